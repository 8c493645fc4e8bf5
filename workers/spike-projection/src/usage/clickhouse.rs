//! Usage from ClickHouse: one query for an organization, under an id that tells whose it is.
//!
//! It must never retry by itself, never run a query without a time limit, and never hand out a part of a result.

mod answer;
mod canceller;
mod client;
mod code;
mod count;
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

use super::http::NoHttpSource;
use super::{QueryId, UsageError, UsageSource};
use crate::config::ClickHouseSettings;
use crate::hour::Hour;
use crate::projection::Usage;
use client::Client;
use known::KnownHours;
use statement::Statement;

pub use code::{Meaning, code_in_the_middle, code_of, meaning};
pub use count::{Count, Logged};
pub use error::ClickHouseError;
pub use logged::LoggedPeak;
pub use queries::{Ended, Queries};
pub use statement::{Name, NotAName};
pub use table::{Put, Table, check_hour, number};

/// The source `clickhouse`.
#[derive(Debug)]
pub struct ClickHouseSource {
    client: Client,
    queries: Queries,
    table: Name,
    known: KnownHours,
}

impl ClickHouseSource {
    /// A source with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings) -> Result<Self, NoHttpSource> {
        Ok(Self {
            client: Client::new(settings)?,
            queries: Queries::new(settings)?,
            table: settings.table.clone(),
            known: KnownHours::new(settings.timeout),
        })
    }

    /// The same for all of them are the hours in which the pipeline had data.
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

    /// Asks; a query whose answer does not come is ended, so that it holds its place on the server no longer.
    async fn read(&self, statement: &Statement, id: &QueryId) -> Result<Vec<u8>, ClickHouseError> {
        match self.client.read(statement, id).await {
            Err(ClickHouseError::NoAnswer { source, .. }) => {
                let end = self.queries.end(id.as_str()).await;
                // Not seen is no proof: a server that was frozen may still find the query on its doorstep.
                let ended = matches!(end, Ok(Ended::Killed));
                if let Err(error) = end {
                    tracing::warn!(query = %id, %error, "a query without an answer could not be ended");
                }
                Err(ClickHouseError::NoAnswer { ended, source })
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
        let mut all = self.together(&[organization], &hours, query).await?;
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

/// Limits a statement to these hours. `toDateTime` wraps outside of its 32 bits, and no row is there.
fn within(statement: Statement, hours: &Range<Hour>) -> Statement {
    let second = |hour: Hour| hour.0.saturating_mul(3_600).clamp(0, i64::from(u32::MAX));
    statement.number("from", second(hours.start)).number("to", second(hours.end))
}

#[cfg(test)]
mod tests;
