//! A database of one test on the shared server. It is dropped with its owner.

use std::ops::Deref;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use support::servers::Shared;

/// An empty database. Dereferences to its URL.
pub(crate) struct OwnDatabase {
    shared: &'static Shared,
    name: String,
    url: String,
}

/// Creates a database; `None`, with a message, when this machine has no servers.
#[allow(dead_code, reason = "not every test binary needs one")]
pub(crate) fn database() -> Option<OwnDatabase> {
    support::servers::shared().unwrap().map(OwnDatabase::on)
}

impl OwnDatabase {
    pub(crate) fn on(shared: &'static Shared) -> Self {
        let name = format!("lockgate_{}", uuid::Uuid::now_v7().simple());
        let url = shared.database(&name).unwrap();
        Self { shared, name, url }
    }
}

impl Deref for OwnDatabase {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        // This fails only when the servers have ended, and the database with them.
        drop(self.shared.drop_database(&self.name));
    }
}

/// Opens a connection without any of Lockgate's settings.
#[allow(dead_code, reason = "not every test binary needs one")]
pub(crate) async fn raw(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}
