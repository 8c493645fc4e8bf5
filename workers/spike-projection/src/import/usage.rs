//! Hourly usage from a file: `project,hour,accepted`, and optionally `dropped` and `category`.

use std::collections::HashSet;

use lockgate_cli::{Problem, Progress};

use super::{ClickHouseTarget, Column, Line, Lines, Spool, Strangers};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::Count;
use crate::store::{HourlyUsage, UsageRow};

/// The columns of such a file.
pub const COLUMNS: &[Column] = &[
    Column { name: "project", required: true },
    Column { name: "hour", required: true },
    Column { name: "accepted", required: true },
    Column { name: "dropped", required: false },
    Column { name: "category", required: false },
];

/// Lines imported in one transaction, and projects looked up at once.
const CHUNK: usize = 5_000;

/// Where usage goes. Its projects are those of the database in either case.
#[derive(Debug)]
pub enum Target {
    /// The table of the database. An hour that is there already is replaced.
    Database,
    /// A table of ClickHouse. An hour that is there already is left, and must be the same.
    ClickHouse(ClickHouseTarget),
}

/// Checks the whole file, its projects too, then imports it; answers how many lines it has.
///
/// # Errors
/// When a line is bad: then nothing was imported. When the database fails in the middle, run it again.
pub async fn import(
    spool: &Spool,
    into: &HourlyUsage,
    target: &mut Target,
    progress: &Progress,
) -> anyhow::Result<u64> {
    let total = check(spool, into, target).await?;
    let mut lines = Lines::open(spool.name(), spool.open()?, COLUMNS, Strangers::Refused)?;
    let mut done = 0_u64;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let Some(line) = lines.next_line()? else { break };
            chunk.push(row(&line)?);
        }
        if chunk.is_empty() {
            return Ok(done);
        }
        match target {
            Target::Database => drop(into.import(&chunk).await?),
            Target::ClickHouse(target) => target.import(&chunk, into).await?,
        }
        done = done.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        progress.set(done, total);
    }
}

async fn check(spool: &Spool, usage: &HourlyUsage, target: &Target) -> anyhow::Result<u64> {
    let mut lines = Lines::open(spool.name(), spool.open()?, COLUMNS, Strangers::Refused)?;
    let mut projects: HashSet<String> = HashSet::new();
    // The first lines of projects that were not looked up yet.
    let mut pending: Vec<Line> = Vec::new();
    let mut total = 0;
    while let Some(line) = lines.next_line()? {
        let project = row(&line)?.project;
        total += 1;
        if projects.insert(project) {
            pending.push(line);
        }
        if pending.len() >= CHUNK {
            look_up(&std::mem::take(&mut pending), usage, target).await?;
        }
    }
    look_up(&pending, usage, target).await?;
    Ok(total)
}

async fn look_up(lines: &[Line], usage: &HourlyUsage, target: &Target) -> anyhow::Result<()> {
    let names: Vec<&str> = lines.iter().filter_map(|line| line.text("project")).collect();
    let unknown = usage.unknown_projects(&names).await?;
    let bad = lines.iter().find(|line| line.text("project").is_some_and(|p| unknown.iter().any(|u| u == p)));
    match bad {
        None => match target {
            Target::Database => Ok(()),
            Target::ClickHouse(_) => ClickHouseTarget::check(lines, &usage.owners(&names).await?),
        },
        Some(line) => {
            let project = line.text("project").unwrap_or_default();
            let why =
                format!("there is no project {project:?}; import its organization first, with `orgs import`");
            Err(line.refused("project", why).into())
        }
    }
}

fn row(line: &Line) -> Result<UsageRow, Problem> {
    let hour = line.value::<Hour>("hour", "a full hour in UTC, such as 2026-11-22T09:00:00Z")?;
    let category =
        line.value::<Category>("category", "a category; one of errors, transactions, attachments")?;
    Ok(UsageRow {
        project: line.text("project").unwrap_or_default().to_owned(),
        category: category.unwrap_or_default(),
        count: Count {
            hour: hour.unwrap_or(Hour(0)),
            accepted: line.count("accepted")?.unwrap_or(0),
            dropped: line.count("dropped")?.unwrap_or(0),
        },
    })
}
