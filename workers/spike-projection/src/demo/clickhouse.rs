//! A ClickHouse server as the demo's backend: a table of the demo's own, and the server's own count of its queries.
//!
//! It must never touch a table that this demo did not make. A demo that comes to its end leaves none behind; one that is
//! broken off leaves a table `demo_..`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use lockgate::config::SecretUrl;
use lockgate::core::error::chain;
use lockgate_cli::{Problem, Terminal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backend::Counted;
use crate::config::{ClickHouseSettings, SpikeSettings};
use crate::store::UsageRow;
use crate::usage::QueryId;
use crate::usage::clickhouse::{Count, Name, Put, Table};

/// What the tables of all demos begin with.
const FIRST: &str = "demo_";

/// The longest time that a server can be told to take.
const LONGEST: Duration = Duration::from_secs(3);

/// Time between two looks at what runs.
const LOOK: Duration = Duration::from_millis(20);

/// A server with a table of this demo's own.
pub(super) struct Server {
    /// Where it is, when it is not where the config says.
    url: Option<String>,
    shown: String,
    table: Table,
    count: Count,
    /// What the workers read: the table, or a slow view of it.
    read: Name,
    query_time: Duration,
    put: QueryId,
}

impl Server {
    /// The server that `--backend` names: `clickhouse`, which is that of the config, or `clickhouse://HOST:PORT/DATABASE`.
    pub(super) fn named(name: &str, section: &SpikeSettings, query_time: Duration) -> anyhow::Result<Self> {
        if query_time > LONGEST {
            return Err(Problem::usage("--query-time of a ClickHouse server is at most 3s").into());
        }
        let url = address(name)?;
        let settings = section.clickhouse.clone();
        let settings = match &url {
            Some(url) => ClickHouseSettings { url: SecretUrl::from(url.clone()), ..settings },
            None => settings,
        };
        let id = Uuid::now_v7().simple().to_string();
        let named = |text: String| text.parse::<Name>().context("a name of a demo's table");
        let table = named(format!("{FIRST}{id}"))?;
        let read = if query_time.is_zero() { table.clone() } else { named(format!("{FIRST}{id}_slow"))? };
        // A name begins with no digit.
        let count = Count::new(&settings, named(String::from("demo"))?, named(format!("_{id}"))?)?;
        let shown = settings.url.masked();
        // What is put is no query of the workers, and not counted as one.
        let settings = ClickHouseSettings { table, log_queries: false, ..settings };
        let put = format!("import-{id}").parse().context("an id of a demo's import")?;
        Ok(Self { url, shown, table: Table::new(&settings)?, count, read, query_time, put })
    }

    /// What settings must be.
    pub(super) fn settings(&self, key: impl Fn(&str) -> String) -> Vec<(String, String)> {
        let url = self.url.clone().map(|url| (key("clickhouse.url"), url));
        let mut settings = vec![
            (key("source"), String::from("clickhouse")),
            (key("clickhouse.table"), self.read.to_string()),
            (key("clickhouse.log_queries"), String::from("true")),
        ];
        settings.extend(url);
        settings
    }

    /// What people are told.
    pub(super) fn notice(&self) -> String {
        format!(
            "the backend is the ClickHouse at {}: a table of this demo's own, removed at its end",
            self.shown
        )
    }

    /// Makes the table, and the slow view of it.
    pub(super) async fn create(&self) -> anyhow::Result<()> {
        self.table.create().await.context("cannot make the demo's table")?;
        if !self.query_time.is_zero() {
            let slow = self.table.create_slow(&self.read, self.query_time).await;
            slow.context("cannot make the demo's view")?;
        }
        Ok(())
    }

    /// Puts usage into the table.
    pub(super) async fn put(&self, rows: &[(&str, &UsageRow)]) -> anyhow::Result<()> {
        match self.table.put(rows, &self.put).await.context("cannot fill the demo's table")? {
            Put::Written(_) => Ok(()),
            Put::Differs { row, .. } => anyhow::bail!("the demo's table has other usage of {}", row.project),
        }
    }

    /// What the server counted; the table goes.
    pub(super) async fn counted(self, peak: u32, terminal: &Terminal) -> Counted {
        let logged = self.count.logged().await;
        if let Err(error) = &logged {
            terminal.note(&format!("the server does not tell what it served: {}", chain(error)));
        }
        for name in [&self.read, self.table.name()] {
            if let Err(error) = self.table.drop(name).await {
                terminal.note(&format!("the table {name} is still there: {}", chain(&error)));
            }
        }
        let logged = logged.ok();
        Counted {
            stand_in: false,
            limit: None,
            peak,
            served: logged.map(|logged| logged.served),
            refused: logged.map(|logged| logged.refused),
        }
    }
}

/// Looks at what runs, again and again, and keeps the most.
#[derive(Clone)]
pub(super) struct Watch {
    count: Count,
    peak: Arc<AtomicU32>,
}

impl Watch {
    /// Of the queries on this server's table.
    pub(super) fn new(server: &Server) -> Self {
        Self { count: server.count.clone(), peak: Arc::default() }
    }

    /// The most that was seen to run at once.
    pub(super) fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Looks until `stop` fires.
    pub(super) async fn until(self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            match self.count.running().await {
                Ok(running) => {
                    let running = u32::try_from(running).unwrap_or(u32::MAX);
                    self.peak.fetch_max(running, Ordering::Relaxed);
                }
                Err(error) => tracing::debug!(%error, "cannot look at what the server runs"),
            }
        }
    }
}

/// As the settings have it; `None` for what they have already.
fn address(name: &str) -> Result<Option<String>, Problem> {
    match name.split_once("://") {
        None if name == "clickhouse" => Ok(None),
        Some(("clickhouse", rest)) => Ok(Some(format!("http://{rest}"))),
        _ => Err(Problem::usage(
            "--backend is stand-in, clickhouse (the one of the config) or clickhouse://HOST:PORT/DATABASE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_named_as_people_name_servers() {
        assert_eq!(address("clickhouse").unwrap(), None);
        let url = address("clickhouse://127.0.0.1:8123/default").unwrap();
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:8123/default"));
        for bad in ["", "postgres://x", "http://x", "clickhouse:"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
