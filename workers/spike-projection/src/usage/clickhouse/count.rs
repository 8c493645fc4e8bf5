//! What the server itself counts of the queries on one table: the word of a program that is not ours.
//!
//! It must never count its own queries.

use super::answer::{Number, rows};
use super::client::Client;
use super::error::ClickHouseError;
use super::sql;
use super::statement::{Name, Statement};
use crate::config::ClickHouseSettings;
use crate::usage::http::NoHttpSource;

/// The server's count of the queries that name a table.
#[derive(Debug, Clone)]
pub struct Count {
    client: Client,
    // The name in two parts: a statement that had it whole would count itself.
    first: Name,
    rest: Name,
}

/// Queries that are over, as the server has logged them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Logged {
    /// Queries that came to their end.
    pub served: u64,
    /// Queries refused because as many ran as may.
    pub refused: u64,
}

impl Count {
    /// Of the table whose name is `first` and then `rest`, and of tables whose names begin so.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings, first: Name, rest: Name) -> Result<Self, NoHttpSource> {
        Ok(Self { client: Client::new(settings)?, first, rest })
    }

    /// How many run now. It is answered on a full server.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn running(&self) -> Result<u64, ClickHouseError> {
        let found: Vec<[Number; 1]> = rows(&self.client.control(&self.statement(sql::RUNNING_ON)).await?)?;
        found.first().map(|[count]| count.0).ok_or_else(none)
    }

    /// What is over, of queries that were sent to be logged.
    ///
    /// # Errors
    /// When the server does not answer, or refuses, or logs no queries.
    pub async fn logged(&self) -> Result<Logged, ClickHouseError> {
        self.client.write(&Statement::new(sql::FLUSH_LOG), "").await?;
        let found: Vec<[Number; 2]> = rows(&self.client.control(&self.statement(sql::LOGGED)).await?)?;
        let [served, refused] = found.first().ok_or_else(none)?;
        Ok(Logged { served: served.0, refused: refused.0 })
    }

    fn statement(&self, file: &'static str) -> Statement {
        Statement::new(file).name("first", &self.first).name("rest", &self.rest)
    }
}

fn none() -> ClickHouseError {
    ClickHouseError::Broken(String::from("a count without a row"))
}
