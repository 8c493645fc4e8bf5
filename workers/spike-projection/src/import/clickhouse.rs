//! Imports usage into ClickHouse. The organizations of its projects are those in the database.
//!
//! ClickHouse adds up rows and does not replace them. So an hour that is stored with other counts is an
//! error, which is found before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use lockgate::core::error::chain;
use lockgate::{ErrorClass, JobError};
use lockgate_cli::{Exit, Problem};
use uuid::Uuid;

use super::Record;
use crate::config::ClickHouseSettings;
use crate::store::{HourlyUsage, UsageRow};
use crate::usage::clickhouse::{ClickHouseError, PutOutcome, Table, check_hour, number};
use crate::usage::{NotAQueryId, QueryId};

/// The table of a server, and the number of hours written to it.
#[derive(Debug)]
pub struct ClickHouseTarget {
    table: Table,
    reads: QueryId,
    written: u64,
}

impl ClickHouseTarget {
    /// Opens the table of these settings, and creates it if it does not exist.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn open(settings: &ClickHouseSettings) -> anyhow::Result<Self> {
        let table = Table::new(settings)?;
        table.create().await.map_err(problem)?;
        let reads = format!("import-{}", Uuid::now_v7().simple()).parse();
        Ok(Self { table, reads: reads.map_err(|error: NotAQueryId| problem(error.into()))?, written: 0 })
    }

    /// Returns how many hours of projects were new.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Compares these rows with what the table has, and writes nothing.
    ///
    /// # Errors
    /// When the server does not respond, rejects the statement, or has other counts.
    pub async fn compare(&self, rows: &[UsageRow], usage: &HourlyUsage) -> anyhow::Result<()> {
        let owners = owners(rows, usage).await?;
        match self.table.compare(&owned(rows, &owners), &self.reads).await.map_err(problem)? {
            PutOutcome::Written(_) => Ok(()),
            PutOutcome::Differs { row, there } => Err(differs(&row, there).into()),
        }
    }

    /// Writes these rows.
    ///
    /// # Errors
    /// When the server does not respond, rejects the statement, or has other counts.
    pub async fn import(&mut self, rows: &[UsageRow], usage: &HourlyUsage) -> anyhow::Result<()> {
        let owners = owners(rows, usage).await?;
        match self.table.put(&owned(rows, &owners), &self.reads).await.map_err(problem)? {
            PutOutcome::Written(new) => self.written = self.written.saturating_add(new),
            PutOutcome::Differs { row, there } => return Err(differs(&row, there).into()),
        }
        Ok(())
    }

    /// Checks that the table can hold the hour of this record.
    pub(super) fn check_row(record: &Record, row: &UsageRow) -> Result<(), Problem> {
        check_hour(row.count.hour).map_err(|error| record.refused("hour", error))
    }

    /// Checks that the projects of these records and their organizations have numeric ids.
    pub(super) fn check(records: &[Record], owners: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for record in records {
            let project = record.text("project").unwrap_or_default();
            let organization = owners.get(project).map(String::as_str).unwrap_or_default();
            let checked =
                number("the project", project).and_then(|_| number("its organization", organization));
            if let Err(error) = checked {
                return Err(record.refused("project", error).into());
            }
        }
        Ok(())
    }
}

async fn owners(rows: &[UsageRow], usage: &HourlyUsage) -> anyhow::Result<BTreeMap<String, String>> {
    let names: BTreeSet<&str> = rows.iter().map(|row| row.project.as_str()).collect();
    Ok(usage.owners(&names.into_iter().collect::<Vec<_>>()).await?)
}

/// Returns the rows with their organizations. Rows of a project that was deleted in the meantime are skipped.
fn owned<'a>(rows: &'a [UsageRow], owners: &'a BTreeMap<String, String>) -> Vec<(&'a str, &'a UsageRow)> {
    rows.iter().filter_map(|row| Some((owners.get(&row.project)?.as_str(), row))).collect()
}

fn differs(row: &UsageRow, there: crate::projection::Count) -> Problem {
    let UsageRow { project, category, count } = row;
    Problem::data(format!(
        "project {project:?} has {} {category} ({} dropped) in {} and the table has {} ({} dropped); ClickHouse adds up and \
        does not replace: drop the table, or name another with spike_projection.clickhouse.table",
        count.accepted, count.dropped, count.hour, there.accepted, there.dropped
    ))
}

/// Converts an error for the user. The exit code tells whether to retry later or to change something.
fn problem(error: ClickHouseError) -> Problem {
    let exit = match error.class() {
        ErrorClass::Permanent => Exit::Negative,
        ErrorClass::Retry | ErrorClass::Unavailable | ErrorClass::Overloaded { .. } => Exit::Unavailable,
    };
    Problem::new(exit, chain(&error))
}
