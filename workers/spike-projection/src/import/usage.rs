//! Imports hourly usage from a file with the columns `project,hour,accepted` and, optionally, `dropped` and
//! `category`.
//!
//! Every record is checked before the first hour is written: against the other records of the file, the known
//! projects, and for ClickHouse the table. Memory is bounded: a file with more records than `HOURS_IN_MEMORY`
//! is imported in parts, and read again for each part.

mod hours;

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_cli::{Problem, Progress};

use super::{ClickHouseTarget, Column, Record, Records, Spool, UnknownColumns};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::Count;
use crate::store::{HourlyUsage, UsageRow};
use hours::Hours;

pub use hours::OnDuplicate;

/// The columns of such a file.
pub const COLUMNS: &[Column] = &[
    Column::required("project"),
    Column::required("hour"),
    Column::required("accepted"),
    Column::optional("dropped"),
    Column::optional("category"),
];

/// Hours written in one transaction, and projects looked up at once.
const PAGE_SIZE: usize = 5_000;

/// Approximate number of hours held in memory at once. Each takes about 80 bytes.
const HOURS_IN_MEMORY: u64 = 1_000_000;

/// The destination of usage. Its projects must be in the database in either case.
#[derive(Debug)]
pub enum Target {
    /// The table `hourly_usage` of the database. Stored hours are replaced.
    Database,
    /// A table of ClickHouse. Stored hours are kept and must have the same counts.
    ClickHouse(ClickHouseTarget),
}

/// The result of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Number of records in the file.
    pub records: u64,
    /// Number of distinct hours of projects.
    pub hours: u64,
}

/// An import of a file.
#[derive(Debug)]
pub struct Import<'a> {
    /// The file.
    pub spool: &'a Spool,
    /// The usage tables, which know the projects.
    pub usage: &'a HourlyUsage,
    /// What to do with records for the same hour.
    pub on_duplicate: OnDuplicate,
}

/// A summary of the checked records.
#[derive(Debug, Default)]
struct Checked {
    records: u64,
    projects: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Import<'_> {
    /// Checks the whole file, then imports it.
    ///
    /// # Errors
    /// When a record is invalid: then nothing was imported. If the database fails during the import, run it
    /// again.
    pub async fn run(&self, target: &mut Target, progress: &Progress) -> anyhow::Result<Imported> {
        let checked = self.check(target).await?;
        let parts = checked.records.div_ceil(HOURS_IN_MEMORY);
        let (mut total, mut kept) = (0_u64, None);
        for part in 0..parts {
            let hours = self.hours(&checked, (part, parts))?;
            total = total.saturating_add(hours.len());
            if let Target::ClickHouse(target) = target {
                for page in hours.pages(PAGE_SIZE) {
                    target.compare(&page, self.usage).await?;
                }
            }
            kept = (parts == 1).then_some(hours);
        }
        let mut done = 0_u64;
        for part in 0..parts {
            let hours = match kept.take() {
                Some(hours) => hours,
                None => self.hours(&checked, (part, parts))?,
            };
            for page in hours.pages(PAGE_SIZE) {
                match target {
                    Target::Database => drop(self.usage.import(&page).await?),
                    Target::ClickHouse(target) => target.import(&page, self.usage).await?,
                }
                done = done.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
                progress.set(done, total);
            }
        }
        Ok(Imported { records: checked.records, hours: total })
    }

    /// Checks each record by itself, and that its project is known.
    async fn check(&self, target: &Target) -> anyhow::Result<Checked> {
        let mut checked = Checked::default();
        // The first records of projects that have not been looked up yet.
        let mut pending: Vec<Record> = Vec::new();
        let mut records = self.records()?;
        while let Some(record) = records.next_record()? {
            let row = row(&record)?;
            if let Target::ClickHouse(_) = target {
                ClickHouseTarget::check_row(&record, &row)?;
            }
            checked.records += 1;
            if checked.adds(&row.project) {
                pending.push(record);
            }
            if pending.len() >= PAGE_SIZE {
                self.look_up(&std::mem::take(&mut pending), target).await?;
            }
        }
        self.look_up(&pending, target).await?;
        Ok(checked)
    }

    async fn look_up(&self, records: &[Record], target: &Target) -> anyhow::Result<()> {
        let names: Vec<&str> = records.iter().filter_map(|record| record.text("project")).collect();
        let unknown = self.usage.unknown_projects(&names).await?;
        let bad = records.iter().find(|record| {
            record.text("project").is_some_and(|project| unknown.iter().any(|unknown| unknown == project))
        });
        if let Some(record) = bad {
            let project = record.text("project").unwrap_or_default();
            let why =
                format!("there is no project {project:?}; import its organization first, with `orgs import`");
            return Err(record.refused("project", why).into());
        }
        match target {
            Target::Database => Ok(()),
            Target::ClickHouse(_) => ClickHouseTarget::check(records, &self.usage.owners(&names).await?),
        }
    }

    /// Reads the hours of one part of the file.
    fn hours(&self, checked: &Checked, part: (u64, u64)) -> Result<Hours, Problem> {
        let mut hours = Hours::new(self.on_duplicate, part, checked.names.clone());
        let mut records = self.records()?;
        while let Some(record) = records.next_record()? {
            let row = row(&record)?;
            let Some(project) = checked.projects.get(row.project.as_str()) else {
                let why =
                    "was not there when the file was checked; do not change a file while it is imported";
                return Err(record.refused("project", why));
            };
            hours
                .add((*project, row.category, row.count), record.line())
                .map_err(|why| record.refused("hour", why))?;
        }
        Ok(hours)
    }

    fn records(&self) -> Result<Records, Problem> {
        Records::open(self.spool.name(), self.spool.open()?, COLUMNS, UnknownColumns::Refuse)
    }
}

impl Checked {
    /// Adds a project. Returns whether it is new.
    fn adds(&mut self, project: &str) -> bool {
        if self.projects.contains_key(project) {
            return false;
        }
        let name: Arc<str> = project.into();
        self.projects.insert(Arc::clone(&name), u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name);
        true
    }
}

fn row(record: &Record) -> Result<UsageRow, Problem> {
    let hour = record.value::<Hour>("hour", "a full hour in UTC, such as 2026-11-22T09:00:00Z")?;
    let category =
        record.value::<Category>("category", "a category; one of errors, transactions, attachments")?;
    Ok(UsageRow {
        project: record.text("project").unwrap_or_default().to_owned(),
        category: category.unwrap_or_default(),
        count: Count {
            hour: hour.unwrap_or(Hour(0)),
            accepted: record.count("accepted")?.unwrap_or(0),
            dropped: record.count("dropped")?.unwrap_or(0),
        },
    })
}
