//! Usage from ClickHouse. Each query has an id that identifies its execution.
//!
//! The source does not retry by itself, sends no query without a time limit, and returns no partial result.

mod answer;
mod canceller;
mod client;
mod code;
mod counter;
mod error;
mod group;
mod known;
mod logged;
mod queries;
mod sql;
mod statement;
mod table;

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;

use super::http::HttpSourceError;
use super::{QueryId, UsageError, UsageSource};
use crate::config::ClickHouseSettings;
use crate::hour::Hour;
use crate::projection::Usage;
use client::Client;
use known::KnownHours;
use statement::Statement;

pub use code::{Meaning, code_in_the_middle, code_of, meaning};
pub use counter::{FinishedQueries, QueryCounter};
pub use error::ClickHouseError;
pub use logged::LoggedPeak;
pub use queries::{CancelOutcome, Queries};
pub use statement::{Name, NotAName};
pub use table::{PutOutcome, Table, check_hour, number};

/// The source `clickhouse`.
#[derive(Debug)]
pub struct ClickHouseSource {
    client: Client,
    queries: Queries,
    table: Name,
    known: KnownHours,
}

impl ClickHouseSource {
    /// Creates a source with these settings. Sends nothing yet.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings) -> Result<Self, HttpSourceError> {
        Ok(Self {
            client: Client::new(settings)?,
            queries: Queries::new(settings)?,
            table: settings.table.clone(),
            known: KnownHours::new(settings.timeout),
        })
    }

    /// Returns the known hours, which are the same for all organizations.
    async fn known_hours(
        &self,
        hours: &Range<Hour>,
        query: &QueryId,
    ) -> Result<BTreeSet<Hour>, ClickHouseError> {
        let ask = async || {
            let statement = within(Statement::new(sql::KNOWN_HOURS).table(&self.table), hours);
            let rows = answer::rows(&self.read(&statement, &query.another("hours")).await?)?;
            answer::known(&rows, hours)
        };
        self.known.of(hours, ask).await
    }

    /// Sends a query. If its response does not arrive, cancels it on the server, so that it no longer
    /// occupies one of the server's query slots.
    async fn read(&self, statement: &Statement, id: &QueryId) -> Result<Vec<u8>, ClickHouseError> {
        match self.client.read(statement, id).await {
            Err(ClickHouseError::NoResponse { source, .. }) => {
                let end = self.queries.end(id.as_str()).await;
                // Only a query that was seen running and then killed is proof. A server that was frozen may
                // still start a query that it has received but not listed.
                let ended = matches!(end, Ok(CancelOutcome::Killed));
                if let Err(error) = end {
                    tracing::warn!(query = %id, %error, "cannot cancel a query without a response");
                }
                Err(ClickHouseError::NoResponse { ended, source })
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl UsageSource for ClickHouseSource {
    async fn hourly(
        &self,
        organization_id: &str,
        hours: Range<Hour>,
        query: &QueryId,
    ) -> Result<Usage, UsageError> {
        let organization = table::number("the organization", organization_id)?;
        let mut all = self.usage_of(&[organization], &hours, query).await?;
        Ok(all.remove(&organization).unwrap_or_default())
    }

    async fn each(
        &self,
        organization_ids: &[&str],
        hours: Range<Hour>,
        query: &QueryId,
    ) -> Result<Vec<Result<Usage, UsageError>>, UsageError> {
        let numbers: Vec<_> =
            organization_ids.iter().map(|id| table::number("the organization", id)).collect();
        let asked: Vec<u64> = numbers.iter().flatten().copied().collect();
        if asked.is_empty() {
            return Ok(numbers.into_iter().map(|number| Ok(number.map(|_| Usage::default())?)).collect());
        }
        let mut each = self.each_of(&asked, &hours, query).await?;
        let mut of = |number| each.remove(&number).unwrap_or_else(|| Ok(Usage::default()));
        Ok(numbers.into_iter().map(|number| Ok(number.and_then(&mut of)?)).collect())
    }
}

fn of_organizations(table: &Name, organizations: &[u64], hours: &Range<Hour>) -> Statement {
    within(Statement::new(sql::OF_ORGANIZATIONS).table(table).numbers("organizations", organizations), hours)
}

/// Restricts a statement to these hours. They are clamped to the 32 bits of `toDateTime`, which would wrap;
/// no row is outside.
fn within(statement: Statement, hours: &Range<Hour>) -> Statement {
    let second = |hour: Hour| hour.0.saturating_mul(3_600).clamp(0, i64::from(u32::MAX));
    statement.number("from", second(hours.start)).number("to", second(hours.end))
}

#[cfg(test)]
mod tests;
