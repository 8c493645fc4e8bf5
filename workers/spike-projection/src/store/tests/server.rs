//! A PostgreSQL server for tests: the one around this process, or a private one that ends with this value.

use lockgate::distributed::{Database, DatabaseOptions};
use support::servers::{POSTGRES_URL, Postgres, Shared, available, shared};
use uuid::Uuid;

/// The server.
pub(super) enum Server {
    Around(&'static Shared),
    Own(Postgres),
}

impl Server {
    /// `None`: there is no server, which has been said aloud, and this is no machine on which there must be one.
    pub(super) fn find() -> Option<Self> {
        if std::env::var_os(POSTGRES_URL).is_some() {
            return shared().unwrap().map(Self::Around);
        }
        available().unwrap().then(|| Self::Own(Postgres::start().unwrap()))
    }

    /// A new, empty database.
    pub(super) async fn database(&self) -> Database {
        let name = format!("spike_{}", Uuid::now_v7().simple());
        let url = match self {
            Self::Around(servers) => servers.database(&name),
            Self::Own(server) => server.database(&name),
        };
        Database::connect(DatabaseOptions::new(url.unwrap())).await.unwrap()
    }
}
