//! Cancels running queries of the server and confirms their end. A query continues to run when its client
//! disconnects, so only the server's own process list confirms the end.

use std::ops::RangeInclusive;
use std::time::Duration;

use lockgate::{Fence, JobId};
use serde_json::Value;
use tokio::time::Instant;

use super::answer::rows;
use super::client::Client;
use super::error::ClickHouseError;
use super::logged::{LoggedPeak, PeakCounter, Row};
use super::sql;
use super::statement::Statement;
use crate::config::ClickHouseSettings;
use crate::usage::QueryId;
use crate::usage::http::HttpSourceError;

/// How long to wait until a killed query has ended, because it checks for cancellation between two blocks of
/// rows.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval between two reads of the process list.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Rows of the log in one page, and the largest number of pages. They bound time and memory.
const LOG_PAGE: i64 = 20_000;
const LOG_PAGES: i64 = 200;

/// The running queries of a server that the user in its address may see.
#[derive(Debug, Clone)]
pub struct Queries {
    client: Client,
}

/// The result of cancelling a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The query was running, was killed, and has ended.
    Killed,
    /// The server does not list the query: it has ended, or has not started. A query that was just sent, or
    /// sent to a frozen server, may still start.
    NotSeen,
}

impl Queries {
    /// Returns the queries of the server with these settings. Sends nothing yet.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings) -> Result<Self, HttpSourceError> {
        Ok(Self { client: Client::new(settings)? })
    }

    /// Cancels the query with this id. Returns when the server no longer lists it.
    ///
    /// # Errors
    /// When the server does not respond, rejects the statement, or still lists the query at the end: then it
    /// may run.
    pub async fn end(&self, query_id: &str) -> Result<CancelOutcome, ClickHouseError> {
        let id: QueryId = query_id.parse()?;
        let mut seen = match self.ids(sql::KILL, &id).await {
            Ok(killed) => !killed.is_empty(),
            // KILL .. SYNC responds when the query has ended. Without a response the order has arrived, and
            // the process list shows the result.
            Err(ClickHouseError::NoResponse { .. }) => false,
            Err(error) => return Err(error),
        };
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            if self.ids(sql::FIND, &id).await?.is_empty() {
                return Ok(if seen { CancelOutcome::Killed } else { CancelOutcome::NotSeen });
            }
            seen = true;
            if Instant::now() >= deadline {
                return Err(ClickHouseError::StillRunning { id: id.to_string() });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the ids of running queries with this prefix.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn running(&self, prefix: &str) -> Result<Vec<String>, ClickHouseError> {
        let found = self.ids(sql::RUNNING, &prefix.parse()?).await?;
        let id = |row: Vec<Value>| row.first().and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(found.into_iter().filter_map(id).collect())
    }

    /// Returns the ids of all running queries that have the format of a [`QueryId`].
    pub(super) async fn all(&self) -> Result<Vec<QueryId>, ClickHouseError> {
        let body = self.client.control(&Statement::new(sql::ALL_RUNNING)).await?;
        let found: Vec<[String; 1]> = rows(&body)?;
        Ok(found.into_iter().filter_map(|[id]| id.parse().ok()).collect())
    }

    /// Reads the query log. Of the queries that started in these seconds and belong to executions selected by
    /// `is_own`, returns how many certainly ran at once, and how many were rejected. Queries must have been
    /// sent with `log_queries`.
    ///
    /// # Errors
    /// When the server does not respond, rejects the statement, has no query log, or has more log rows than
    /// are read.
    pub async fn logged(
        &self,
        seconds: RangeInclusive<i64>,
        is_own: impl Fn(JobId, Fence) -> bool,
    ) -> Result<LoggedPeak, ClickHouseError> {
        self.client.write(&Statement::new(sql::FLUSH_LOG), "").await?;
        let mut counter = PeakCounter::default();
        let statement = Statement::new(sql::LOGGED_OF_JOBS).number("from", *seconds.start());
        let statement = statement.number("to", *seconds.end()).number("rows", LOG_PAGE);
        for page in 0..LOG_PAGES {
            let statement = statement.clone().number("skip", page.saturating_mul(LOG_PAGE));
            let found: Vec<Row> = rows(&self.client.control(&statement).await?)?;
            let is_last = i64::try_from(found.len()).is_ok_and(|found| found < LOG_PAGE);
            counter.add(found, &is_own);
            if is_last {
                return Ok(counter.peak());
            }
        }
        let most = LOG_PAGES.saturating_mul(LOG_PAGE);
        Err(ClickHouseError::InvalidResponse(format!(
            "more than {most} logged queries in this time; audit a single run"
        )))
    }

    async fn ids(&self, file: &'static str, id: &QueryId) -> Result<Vec<Vec<Value>>, ClickHouseError> {
        let body = self.client.control(&Statement::new(file).id(id)).await?;
        // A KILL that finds no query responds with an empty body, not with JSON.
        if body.iter().all(u8::is_ascii_whitespace) { Ok(Vec::new()) } else { rows(&body) }
    }
}
