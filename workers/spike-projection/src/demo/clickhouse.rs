//! A ClickHouse server as the backend of a demo. The demo creates its own table and reads the query counters
//! from the server's system tables.
//!
//! The demo touches no table that it did not create. It drops its table at the end; an interrupted demo
//! leaves a table `demo_..` behind.

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
use crate::usage::clickhouse::{Name, PutOutcome, QueryCounter, Table};

/// Prefix of the tables of all demos.
const PREFIX: &str = "demo_";

/// Longest time that can be added to a query, because ClickHouse sleeps at most 3 s.
const LONGEST: Duration = Duration::from_secs(3);

/// Interval between two reads of the running queries.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A server with the table of this demo.
pub(super) struct Server {
    /// Address given with `--backend`; `None` means the address in the config.
    url: Option<String>,
    shown: String,
    table: Table,
    counter: QueryCounter,
    /// What the workers read: the table, or a slow view of it.
    read: Name,
    query_time: Duration,
    put: QueryId,
}

impl Server {
    /// Returns the server that `--backend` names: `clickhouse` (the one in the config) or
    /// `clickhouse://HOST:PORT/DATABASE`.
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
        let table = named(format!("{PREFIX}{id}"))?;
        let read = if query_time.is_zero() { table.clone() } else { named(format!("{PREFIX}{id}_slow"))? };
        // A name must not begin with a digit.
        let counter = QueryCounter::new(&settings, named(String::from("demo"))?, named(format!("_{id}"))?)?;
        let shown = settings.url.masked();
        // The import is not a query of the workers, so it is not finished and not counted.
        let settings = ClickHouseSettings { table, log_queries: false, ..settings };
        let put = format!("import-{id}").parse().context("an id of a demo's import")?;
        Ok(Self { url, shown, table: Table::new(&settings)?, counter, read, query_time, put })
    }

    /// Returns the settings with which workers use this server.
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

    /// Returns the notice shown at the start of the demo.
    pub(super) fn notice(&self) -> String {
        format!(
            "the backend is the ClickHouse server at {}; the demo creates its own table and drops it at the end",
            self.shown
        )
    }

    /// Creates the table, and the slow view of it.
    pub(super) async fn create(&self) -> anyhow::Result<()> {
        self.table.create().await.context("cannot create the demo's table")?;
        if !self.query_time.is_zero() {
            let slow = self.table.create_slow(&self.read, self.query_time).await;
            slow.context("cannot create the demo's view")?;
        }
        Ok(())
    }

    /// Writes usage into the table.
    pub(super) async fn put(&self, rows: &[(&str, &UsageRow)]) -> anyhow::Result<()> {
        match self.table.put(rows, &self.put).await.context("cannot fill the demo's table")? {
            PutOutcome::Written(_) => Ok(()),
            PutOutcome::Differs { row, .. } => {
                anyhow::bail!("the demo's table has other usage of project {}", row.project)
            }
        }
    }

    /// Returns the server's counters and drops the table.
    pub(super) async fn counted(self, peak: u32, terminal: &Terminal) -> Counted {
        let finished = self.counter.finished().await;
        if let Err(error) = &finished {
            terminal.note(&format!("cannot read the number of served queries: {}", chain(error)));
        }
        for name in [&self.read, self.table.name()] {
            if let Err(error) = self.table.drop(name).await {
                terminal.note(&format!("cannot drop the table {name}: {}", chain(&error)));
            }
        }
        let finished = finished.ok();
        Counted {
            fake_backend: false,
            limit: None,
            peak,
            served: finished.map(|finished| finished.served),
            refused: finished.map(|finished| finished.refused),
        }
    }
}

/// Polls the running queries and keeps their maximum.
#[derive(Clone)]
pub(super) struct QueryWatcher {
    counter: QueryCounter,
    peak: Arc<AtomicU32>,
}

impl QueryWatcher {
    /// Watches the queries on this server's table.
    pub(super) fn new(server: &Server) -> Self {
        Self { counter: server.counter.clone(), peak: Arc::default() }
    }

    /// Returns the largest number of queries that were seen at once.
    pub(super) fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Polls until `stop` is cancelled.
    pub(super) async fn until(self, stop: CancellationToken) {
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(poll.tick()).await.is_some() {
            match self.counter.running().await {
                Ok(running) => {
                    let running = u32::try_from(running).unwrap_or(u32::MAX);
                    self.peak.fetch_max(running, Ordering::Relaxed);
                }
                Err(error) => tracing::debug!(%error, "cannot read the running queries"),
            }
        }
    }
}

/// Converts the value of `--backend` to an HTTP address. `None` means the address in the config.
fn address(name: &str) -> Result<Option<String>, Problem> {
    match name.split_once("://") {
        None if name == "clickhouse" => Ok(None),
        Some(("clickhouse", rest)) => Ok(Some(format!("http://{rest}"))),
        _ => Err(Problem::usage(
            "--backend must be fake, clickhouse (the server in the config) or clickhouse://HOST:PORT/DATABASE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_is_named_by_a_clickhouse_address() {
        assert_eq!(address("clickhouse").unwrap(), None);
        let url = address("clickhouse://127.0.0.1:8123/default").unwrap();
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:8123/default"));
        for bad in ["", "postgres://x", "http://x", "clickhouse:"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
