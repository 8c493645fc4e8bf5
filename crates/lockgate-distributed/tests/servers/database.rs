//! A database for one test on the shared server. It must never outlive its owner: it is dropped with it.

use std::ops::Deref;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use support::servers::Shared;

/// The URL of an empty database.
pub(crate) struct OwnDatabase {
    shared: &'static Shared,
    name: String,
    url: String,
}

/// A new one; `None`, said aloud: there are no servers on this machine.
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
        // When this fails, the servers are gone, and it with them.
        drop(self.shared.drop_database(&self.name));
    }
}

/// A connection of the test's own, that knows nothing of ours.
#[allow(dead_code, reason = "not every test binary needs one")]
pub(crate) async fn raw(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}
