//! Running queries of the server, ended and confirmed: a client that goes away does not end its query.
//!
//! It must never say that a query has ended because its client has: only the server's own list says so.

use std::ops::RangeInclusive;
use std::time::Duration;

use lockgate::{Fence, JobId};
use serde_json::Value;
use tokio::time::Instant;

use super::answer::rows;
use super::client::Client;
use super::error::ClickHouseError;
use super::logged::{LoggedPeak, Row, Tally};
use super::sql;
use super::statement::Statement;
use crate::config::ClickHouseSettings;
use crate::usage::QueryId;
use crate::usage::http::NoHttpSource;

/// How long a query that was told to end may take until it is gone: it looks between two blocks of rows.
const GONE: Duration = Duration::from_secs(10);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Rows of the log that are read at once, and the most pages of them: a bound of time and memory.
const LOG_PAGE: i64 = 20_000;
const LOG_PAGES: i64 = 200;

/// The running queries of a server, seen with the rights of the user in its address.
#[derive(Debug, Clone)]
pub struct Queries {
    client: Client,
}

/// What became of a query that was to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ran, was ended, and is gone: it cannot come back.
    Killed,
    /// The server does not have it: it is over, or has not begun. A query that was sent a moment ago, or to a server
    /// that was frozen, may still begin.
    NotSeen,
}

impl Queries {
    /// The queries of the server with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings) -> Result<Self, NoHttpSource> {
        Ok(Self { client: Client::new(settings)? })
    }

    /// Ends the query of this id, and returns when the server does not have it any more.
    ///
    /// # Errors
    /// When the server does not answer, or refuses, or the query does not go: then it may run.
    pub async fn end(&self, query_id: &str) -> Result<Ended, ClickHouseError> {
        let id: QueryId = query_id.parse()?;
        let mut seen = match self.ids(sql::KILL, &id).await {
            Ok(killed) => !killed.is_empty(),
            // It is answered when the query is gone. The order has arrived; the list tells the rest.
            Err(ClickHouseError::NoAnswer { .. }) => false,
            Err(error) => return Err(error),
        };
        let deadline = Instant::now() + GONE;
        loop {
            if self.ids(sql::LOOK, &id).await?.is_empty() {
                return Ok(if seen { Ended::Killed } else { Ended::NotSeen });
            }
            seen = true;
            if Instant::now() >= deadline {
                return Err(ClickHouseError::StillRunning { id: id.to_string() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The ids of the running queries that begin with this.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn running(&self, prefix: &str) -> Result<Vec<String>, ClickHouseError> {
        let found = self.ids(sql::RUNNING, &prefix.parse()?).await?;
        let id = |row: Vec<Value>| row.first().and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(found.into_iter().filter_map(id).collect())
    }

    /// The ids of all running queries that are ids of ours, or could be.
    pub(super) async fn all(&self) -> Result<Vec<QueryId>, ClickHouseError> {
        let body = self.client.control(&Statement::new(sql::ALL_RUNNING)).await?;
        let found: Vec<[String; 1]> = rows(&body)?;
        Ok(found.into_iter().filter_map(|[id]| id.parse().ok()).collect())
    }

    /// Of the logged queries that began in these seconds and belong to executions that are `ours`: how many certainly ran at
    /// once, and how many were refused. The server must log its queries.
    ///
    /// # Errors
    /// When the server does not answer, or refuses, or logs no queries, or has logged more than can be read.
    pub async fn logged(
        &self,
        seconds: RangeInclusive<i64>,
        ours: impl Fn(JobId, Fence) -> bool,
    ) -> Result<LoggedPeak, ClickHouseError> {
        self.client.write(&Statement::new(sql::FLUSH_LOG), "").await?;
        let mut tally = Tally::default();
        let statement = Statement::new(sql::LOGGED_OF_JOBS).number("from", *seconds.start());
        let statement = statement.number("to", *seconds.end()).number("rows", LOG_PAGE);
        for page in 0..LOG_PAGES {
            let statement = statement.clone().number("skip", page.saturating_mul(LOG_PAGE));
            let found: Vec<Row> = rows(&self.client.control(&statement).await?)?;
            let is_last = i64::try_from(found.len()).is_ok_and(|found| found < LOG_PAGE);
            tally.add(found, &ours);
            if is_last {
                return Ok(tally.peak());
            }
        }
        let most = LOG_PAGES.saturating_mul(LOG_PAGE);
        Err(ClickHouseError::Broken(format!(
            "more than {most} logged queries in this time; audit a run alone"
        )))
    }

    async fn ids(&self, file: &'static str, id: &QueryId) -> Result<Vec<Vec<Value>>, ClickHouseError> {
        let body = self.client.control(&Statement::new(file).id(id)).await?;
        // A KILL that finds nothing says nothing, not even in JSON.
        if body.iter().all(u8::is_ascii_whitespace) { Ok(Vec::new()) } else { rows(&body) }
    }
}
