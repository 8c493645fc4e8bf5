//! The backend of a demo: the fake backend in this process, or a ClickHouse server. Each counts its own
//! queries; the demo does not count for it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use lockgate_cli::Terminal;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clickhouse::{QueryWatcher, Server};
use super::ids::Ids;
use crate::config::{SECTION, SpikeSettings};
use crate::fake_backend::{CountsReader, FakeBackend, FakeBackendOptions, NOTICE};
use crate::store::{HourlyUsage, UsageRow};
use crate::usage::SqlSource;

/// Value of `--backend` for the fake backend.
pub(super) const FAKE: &str = "fake";

/// The selected backend, before it serves.
pub(super) enum Backend {
    /// The fake backend.
    Fake {
        /// Where it will listen.
        listener: TcpListener,
        /// Concurrency limit and query time.
        options: FakeBackendOptions,
    },
    /// A real server.
    ClickHouse(Box<Server>),
}

/// The query counters of a backend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Counted {
    pub(super) fake_backend: bool,
    /// Queries that run at once. `None`: a ClickHouse server does not report its limit.
    pub(super) limit: Option<u32>,
    pub(super) peak: u32,
    /// `None`: the server could not be queried.
    pub(super) served: Option<u64>,
    #[serde(skip)]
    pub(super) refused: Option<u64>,
}

impl Backend {
    /// Returns the backend that `--backend` names.
    pub(super) async fn choose(
        name: &str,
        section: &SpikeSettings,
        options: FakeBackendOptions,
    ) -> anyhow::Result<Self> {
        if name != FAKE {
            return Ok(Self::ClickHouse(Box::new(Server::named(name, section, options.query_time)?)));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Ok(Self::Fake { listener: listener.context("cannot listen on this machine")?, options })
    }

    /// Returns how the backend identifies organizations.
    pub(super) fn ids(&self) -> Ids {
        match self {
            Self::Fake { .. } => Ids::Texts,
            Self::ClickHouse(_) => Ids::Numbers,
        }
    }

    /// Returns the settings with which workers use this backend.
    pub(super) fn settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let key = |name: &str| format!("{SECTION}.{name}");
        match self {
            Self::Fake { listener, options } => {
                let url = listener.local_addr().context("cannot read the address of the fake backend")?;
                Ok(vec![
                    (key("source"), String::from("http")),
                    (key("http.url"), format!("http://{url}")),
                    (key("http.query_timeout"), millis(options.query_time)),
                ])
            }
            Self::ClickHouse(server) => Ok(server.settings(key)),
        }
    }

    /// Creates the tables of the backend, if it has any.
    pub(super) async fn prepare(&self, terminal: &Terminal) -> anyhow::Result<()> {
        match self {
            Self::Fake { .. } => terminal.note(NOTICE),
            Self::ClickHouse(server) => {
                server.create().await?;
                terminal.note(&server.notice());
            }
        }
        Ok(())
    }

    /// Stores usage, each row with the id of its organization. The database has this usage already.
    pub(super) async fn fill(&self, rows: &[(&str, &UsageRow)]) -> anyhow::Result<()> {
        match self {
            // The fake backend reads the database.
            Self::Fake { .. } => Ok(()),
            Self::ClickHouse(server) => server.put(rows).await,
        }
    }

    /// Starts serving and counting.
    pub(super) fn serve(self, usage: HourlyUsage) -> Serving {
        let (tasks, close) = (TaskTracker::new(), CancellationToken::new());
        let stop = close.clone();
        let count = match self {
            Self::Fake { listener, options } => {
                let fake_backend = FakeBackend::new(listener, options, SqlSource(usage));
                let counts = fake_backend.counts();
                tasks.spawn(async move {
                    if let Err(error) = fake_backend.serve(stop).await {
                        tracing::error!(%error, "fake backend failed");
                    }
                });
                Count::Fake(counts, options.limit)
            }
            Self::ClickHouse(server) => {
                let watcher = QueryWatcher::new(&server);
                tasks.spawn(watcher.clone().until(stop));
                Count::ClickHouse(server, watcher)
            }
        };
        Serving { tasks, close, count }
    }
}

/// A backend in operation.
pub(super) struct Serving {
    pub(super) tasks: TaskTracker,
    close: CancellationToken,
    count: Count,
}

enum Count {
    Fake(CountsReader, u32),
    ClickHouse(Box<Server>, QueryWatcher),
}

impl Serving {
    /// Stops the backend's tasks and returns its counters.
    pub(super) async fn end(self, terminal: &Terminal) -> Counted {
        self.close.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        match self.count {
            Count::Fake(counts, limit) => {
                let read = counts.read();
                Counted {
                    fake_backend: true,
                    limit: Some(limit),
                    peak: read.peak,
                    served: Some(read.served),
                    refused: Some(read.refused),
                }
            }
            Count::ClickHouse(server, watcher) => server.counted(watcher.peak(), terminal).await,
        }
    }
}

/// Formats a duration as a setting.
pub(super) fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
