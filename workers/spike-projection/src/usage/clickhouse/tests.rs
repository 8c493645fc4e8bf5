//! The source on a real server: a private one, asked from outside whether it agrees.

mod canceller;
mod errors;
mod full;
mod queries;
mod series;

use std::time::Duration;

use lockgate::config::SecretUrl;
use support::servers::{ask_clickhouse, create_clickhouse_database, shared_clickhouse};
use uuid::Uuid;

use super::*;

const NOW: Hour = Hour(480_000);

/// A database of its own on a server that others use as well.
struct Place {
    server: String,
    settings: ClickHouseSettings,
}

impl Place {
    /// `None`: there is no server, which has been said aloud, and this is no machine on which there must be one.
    fn find() -> Option<Self> {
        Some(Self::on(shared_clickhouse().unwrap()?))
    }

    /// On this server.
    fn on(server: String) -> Self {
        let name = format!("spike_{}", Uuid::now_v7().simple());
        let url = create_clickhouse_database(&server, &name).unwrap();
        Self { server, settings: settings(url) }
    }

    fn client(&self) -> Client {
        Client::new(&self.settings).unwrap()
    }

    /// The address for this user and password.
    fn url_of(&self, user: &str) -> String {
        self.settings.url.expose().replace("http://", &format!("http://{user}@"))
    }

    fn client_of(&self, user: &str) -> Client {
        Client::new(&settings(self.url_of(user))).unwrap()
    }

    fn queries(&self) -> Queries {
        Queries::new(&self.settings).unwrap()
    }

    fn table(&self) -> Table {
        Table::new(&self.settings).unwrap()
    }

    fn source(&self) -> ClickHouseSource {
        ClickHouseSource::new(&self.settings).unwrap()
    }

    /// What the server says, asked without any of our code.
    fn ask(&self, statement: &str) -> String {
        ask_clickhouse(&self.server, statement).unwrap().trim().to_owned()
    }

    /// How many queries run whose ids begin with this, as the server counts them.
    fn running(&self, prefix: &str) -> u32 {
        let count = format!("SELECT count() FROM system.processes WHERE startsWith(query_id, '{prefix}')");
        self.ask(&count).parse().unwrap()
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !holds(self) {
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(50), wait).await.is_ok(), "{what}");
    }
}

fn settings(url: String) -> ClickHouseSettings {
    // On a machine with much else to do, a slow query must not be over before it was looked at.
    let (query_timeout, timeout) = (Duration::from_secs(60), Duration::from_secs(80));
    ClickHouseSettings { url: SecretUrl::from(url), query_timeout, timeout, ..ClickHouseSettings::default() }
}

/// An id that no other test uses, and that is no beginning of another.
fn an_id() -> QueryId {
    format!("{}-1-7", Uuid::now_v7()).parse().unwrap()
}

/// Works a second for each of its rows until its time is up, and can be ended between two.
const SLOW: &str = "SELECT sleep(1) FROM system.numbers LIMIT 300 SETTINGS max_block_size = 1";
