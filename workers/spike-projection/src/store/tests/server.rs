//! A PostgreSQL server for tests: the one that the environment names, or a private one that stops with this
//! value.

use lockgate::distributed::{Database, DatabaseOptions};
use support::servers::{POSTGRES_URL, Postgres, Shared, available, shared};
use uuid::Uuid;

/// The server.
pub(super) enum Server {
    Shared(&'static Shared),
    Private(Postgres),
}

impl Server {
    /// Returns `None` if no server is installed. The skipped test is reported; in CI this is an error.
    pub(super) fn find() -> Option<Self> {
        if std::env::var_os(POSTGRES_URL).is_some() {
            return shared().unwrap().map(Self::Shared);
        }
        available().unwrap().then(|| Self::Private(Postgres::start().unwrap()))
    }

    /// Creates an empty database.
    pub(super) async fn database(&self) -> Database {
        let name = format!("spike_{}", Uuid::now_v7().simple());
        let url = match self {
            Self::Shared(servers) => servers.database(&name),
            Self::Private(server) => server.database(&name),
        };
        Database::connect(DatabaseOptions::new(url.unwrap())).await.unwrap()
    }
}
