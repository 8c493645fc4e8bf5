//! The backend that a demo protects: the stand-in, in this process, or a ClickHouse server.
//!
//! It must never count for a backend: each tells its own count.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use lockgate_cli::Terminal;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clickhouse::{Server, Watch};
use super::ids::Ids;
use crate::config::{SECTION, SpikeSettings};
use crate::stand_in::{Counts, NOTICE, StandIn, StandInOptions};
use crate::store::{HourlyUsage, UsageRow};
use crate::usage::SqlSource;

/// What a demo calls the stand-in.
pub(super) const STAND_IN: &str = "stand-in";

/// A backend that was chosen.
pub(super) enum Backend {
    /// The stand-in, at this listener.
    StandIn {
        /// Where it will listen.
        listener: TcpListener,
        /// How it will behave.
        options: StandInOptions,
    },
    /// A real server.
    ClickHouse(Box<Server>),
}

/// What a backend counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Counted {
    pub(super) stand_in: bool,
    /// Queries that it runs at once. A server does not tell.
    pub(super) limit: Option<u32>,
    pub(super) peak: u32,
    /// `None`: it could not be asked.
    pub(super) served: Option<u64>,
    #[serde(skip)]
    pub(super) refused: Option<u64>,
}

impl Backend {
    /// The one that `--backend` names.
    pub(super) async fn choose(
        name: &str,
        section: &SpikeSettings,
        options: StandInOptions,
    ) -> anyhow::Result<Self> {
        if name != STAND_IN {
            return Ok(Self::ClickHouse(Box::new(Server::named(name, section, options.query_time)?)));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Ok(Self::StandIn { listener: listener.context("cannot listen on this machine")?, options })
    }

    /// How it knows organizations.
    pub(super) fn ids(&self) -> Ids {
        match self {
            Self::StandIn { .. } => Ids::Texts,
            Self::ClickHouse(_) => Ids::Numbers,
        }
    }

    /// What settings must be, so that the workers ask it.
    pub(super) fn settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let key = |name: &str| format!("{SECTION}.{name}");
        match self {
            Self::StandIn { listener, options } => {
                let url = listener.local_addr().context("cannot see where it listens")?;
                Ok(vec![
                    (key("source"), String::from("http")),
                    (key("http.url"), format!("http://{url}")),
                    (key("http.query_timeout"), millis(options.query_time)),
                ])
            }
            Self::ClickHouse(server) => Ok(server.settings(key)),
        }
    }

    /// Makes it ready to be filled.
    pub(super) async fn prepare(&self, terminal: &Terminal) -> anyhow::Result<()> {
        match self {
            Self::StandIn { .. } => terminal.note(NOTICE),
            Self::ClickHouse(server) => {
                server.create().await?;
                terminal.note(&server.notice());
            }
        }
        Ok(())
    }

    /// Takes usage that the database has already, each row with the id of its organization.
    pub(super) async fn fill(&self, rows: &[(&str, &UsageRow)]) -> anyhow::Result<()> {
        match self {
            // It reads the database.
            Self::StandIn { .. } => Ok(()),
            Self::ClickHouse(server) => server.put(rows).await,
        }
    }

    /// Has it serve, and counts.
    pub(super) fn serve(self, usage: HourlyUsage) -> Serving {
        let (tasks, close) = (TaskTracker::new(), CancellationToken::new());
        let stop = close.clone();
        let count = match self {
            Self::StandIn { listener, options } => {
                let stand_in = StandIn::new(listener, options, SqlSource(usage));
                let counts = stand_in.counts();
                tasks.spawn(async move {
                    if let Err(error) = stand_in.serve(stop).await {
                        tracing::error!(%error, "the stand-in ended");
                    }
                });
                Count::StandIn(counts, options.limit)
            }
            Self::ClickHouse(server) => {
                let watch = Watch::new(&server);
                tasks.spawn(watch.clone().until(stop));
                Count::ClickHouse(server, watch)
            }
        };
        Serving { tasks, close, count }
    }
}

/// A backend that serves.
pub(super) struct Serving {
    pub(super) tasks: TaskTracker,
    close: CancellationToken,
    count: Count,
}

enum Count {
    StandIn(Counts, u32),
    ClickHouse(Box<Server>, Watch),
}

impl Serving {
    /// Ends what of it is ours, and tells what it counted.
    pub(super) async fn end(self, terminal: &Terminal) -> Counted {
        self.close.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        match self.count {
            Count::StandIn(counts, limit) => {
                let read = counts.read();
                Counted {
                    stand_in: true,
                    limit: Some(limit),
                    peak: read.peak,
                    served: Some(read.served),
                    refused: Some(read.refused),
                }
            }
            Count::ClickHouse(server, watch) => server.counted(watch.peak(), terminal).await,
        }
    }
}

/// As a setting is written.
pub(super) fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
