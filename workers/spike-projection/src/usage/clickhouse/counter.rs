//! Counters of the queries on one table, read from the server's system tables. The counting queries do not
//! count themselves.

use super::answer::{Number, rows};
use super::client::Client;
use super::error::ClickHouseError;
use super::sql;
use super::statement::{Name, Statement};
use crate::config::ClickHouseSettings;
use crate::usage::http::HttpSourceError;

/// Reads the server's counters of queries that name a table.
#[derive(Debug, Clone)]
pub struct QueryCounter {
    client: Client,
    // The name in two parts, so that a counting statement does not contain it and does not count itself.
    first: Name,
    rest: Name,
}

/// Finished queries in the server's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FinishedQueries {
    /// Completed queries.
    pub served: u64,
    /// Queries rejected because too many ran.
    pub refused: u64,
}

impl QueryCounter {
    /// Counts queries on tables whose names begin with `first` followed by `rest`.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings, first: Name, rest: Name) -> Result<Self, HttpSourceError> {
        Ok(Self { client: Client::new(settings)?, first, rest })
    }

    /// Returns the number of running queries. Works on a full server.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn running(&self) -> Result<u64, ClickHouseError> {
        let found: Vec<[Number; 1]> = rows(&self.client.control(&self.statement(sql::RUNNING_ON)).await?)?;
        found.first().map(|[count]| count.0).ok_or_else(none)
    }

    /// Returns the finished queries. Only queries sent with `log_queries = 1` are counted.
    ///
    /// # Errors
    /// When the server does not respond, rejects the statement, or has no query log.
    pub async fn finished(&self) -> Result<FinishedQueries, ClickHouseError> {
        self.client.write(&Statement::new(sql::FLUSH_LOG), "").await?;
        let found: Vec<[Number; 2]> = rows(&self.client.control(&self.statement(sql::LOGGED)).await?)?;
        let [served, refused] = found.first().ok_or_else(none)?;
        Ok(FinishedQueries { served: served.0, refused: refused.0 })
    }

    fn statement(&self, file: &'static str) -> Statement {
        Statement::new(file).name("first", &self.first).name("rest", &self.rest)
    }
}

fn none() -> ClickHouseError {
    ClickHouseError::InvalidResponse(String::from("a count without a row"))
}
