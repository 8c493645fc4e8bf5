//! The source on a real private server. The tests check its effects with queries of their own.

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

/// A database of its own on a server shared with other tests.
struct TestDatabase {
    server: String,
    settings: ClickHouseSettings,
}

impl TestDatabase {
    /// Returns `None` if no server is installed. The skipped test is reported; in CI this is an error.
    fn find() -> Option<Self> {
        Some(Self::on(shared_clickhouse().unwrap()?))
    }

    /// Creates a database on this server.
    fn on(server: String) -> Self {
        let name = format!("spike_{}", Uuid::now_v7().simple());
        let url = create_clickhouse_database(&server, &name).unwrap();
        Self { server, settings: settings(url) }
    }

    fn client(&self) -> Client {
        Client::new(&self.settings).unwrap()
    }

    /// Returns the address with this user and password.
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

    /// Sends a statement to the server without the code under test.
    fn ask(&self, statement: &str) -> String {
        ask_clickhouse(&self.server, statement).unwrap().trim().to_owned()
    }

    /// Returns how many running queries have this id prefix, according to the server.
    fn running(&self, prefix: &str) -> u32 {
        let count = format!("SELECT count() FROM system.processes WHERE startsWith(query_id, '{prefix}')");
        self.ask(&count).parse().unwrap()
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            let mut poll = tokio::time::interval(Duration::from_millis(20));
            while !holds(self) {
                poll.tick().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(50), wait).await.is_ok(), "{what}");
    }
}

fn settings(url: String) -> ClickHouseSettings {
    // On a busy machine, a slow query must not end before the test looks at it.
    let (query_timeout, timeout) = (Duration::from_secs(60), Duration::from_secs(80));
    ClickHouseSettings { url: SecretUrl::from(url), query_timeout, timeout, ..ClickHouseSettings::default() }
}

/// Returns an id that no other test uses and that is no prefix of another id.
fn an_id() -> QueryId {
    format!("{}-1-7", Uuid::now_v7()).parse().unwrap()
}

/// Runs one second for each of its rows until its time limit, and can be cancelled between two rows.
const SLOW: &str = "SELECT sleep(1) FROM system.numbers LIMIT 300 SETTINGS max_block_size = 1";
