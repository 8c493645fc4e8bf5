//! Usage into ClickHouse. The organizations of its projects are those of the database.
//!
//! It must never replace what the server has: it cannot, so it says what differs and stops.

use std::collections::BTreeMap;

use lockgate::core::error::chain;
use lockgate::{ErrorClass, JobError};
use lockgate_cli::{Exit, Problem};
use uuid::Uuid;

use super::Line;
use crate::config::ClickHouseSettings;
use crate::store::{HourlyUsage, UsageRow};
use crate::usage::clickhouse::{ClickHouseError, Put, Table, number};
use crate::usage::{NotAQueryId, QueryId};

/// The table of a server, and what was written to it.
#[derive(Debug)]
pub struct ClickHouseTarget {
    table: Table,
    reads: QueryId,
    written: u64,
}

impl ClickHouseTarget {
    /// The table of these settings, made when it is not there.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn open(settings: &ClickHouseSettings) -> anyhow::Result<Self> {
        let table = Table::new(settings)?;
        table.create().await.map_err(problem)?;
        let reads = format!("import-{}", Uuid::now_v7().simple()).parse();
        Ok(Self { table, reads: reads.map_err(|error: NotAQueryId| problem(error.into()))?, written: 0 })
    }

    /// How many hours of projects were not there before.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes these rows.
    ///
    /// # Errors
    /// When the server does not answer, or refuses, or has other counts.
    pub async fn import(&mut self, rows: &[UsageRow], usage: &HourlyUsage) -> anyhow::Result<()> {
        let names: Vec<&str> = rows.iter().map(|row| row.project.as_str()).collect();
        let owners = usage.owners(&names).await?;
        // A project that is gone since it was looked at has no organization: its rows have nowhere to go.
        let owned: Vec<(&str, &UsageRow)> =
            rows.iter().filter_map(|row| Some((owners.get(&row.project)?.as_str(), row))).collect();
        match self.table.put(&owned, &self.reads).await.map_err(problem)? {
            Put::Written(new) => self.written = self.written.saturating_add(new),
            Put::Differs { row, there } => return Err(differs(&row, there).into()),
        }
        Ok(())
    }

    /// Whether the server can know the projects of these lines, and their organizations.
    pub(super) fn check(lines: &[Line], owners: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for line in lines {
            let project = line.text("project").unwrap_or_default();
            let organization = owners.get(project).map(String::as_str).unwrap_or_default();
            let checked =
                number("the project", project).and_then(|_| number("its organization", organization));
            if let Err(error) = checked {
                return Err(line.refused("project", error).into());
            }
        }
        Ok(())
    }
}

fn differs(row: &UsageRow, there: crate::projection::Count) -> Problem {
    let UsageRow { project, category, count } = row;
    Problem::data(format!(
        "project {project:?} has {} {category} ({} dropped) in {} and the table has {} ({} dropped); ClickHouse adds up and \
         does not replace: drop the table, or name another with spike_projection.clickhouse.table",
        count.accepted, count.dropped, count.hour, there.accepted, there.dropped
    ))
}

/// As a person is told of it: come again later, or change something.
fn problem(error: ClickHouseError) -> Problem {
    let exit = match error.class() {
        ErrorClass::Permanent => Exit::Negative,
        ErrorClass::Retry | ErrorClass::Unavailable | ErrorClass::Overloaded { .. } => Exit::Unavailable,
    };
    Problem::new(exit, chain(&error))
}
