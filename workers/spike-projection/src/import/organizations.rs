//! Organizations from a file: one line for each project of an organization, or for the organization alone.

use std::collections::{BTreeMap, HashMap};

use lockgate_cli::{Problem, Progress};

use super::{Column, Line, Lines, Spool, Strangers};
use crate::category::Category;
use crate::hour::Hour;
use crate::store::{ImportedProject, ImportedQuota, ImportedRow, Organizations};

/// The columns of such a file. A line without `project` is about the organization alone; without `quota` it leaves the
/// quota as it is, which for a new organization is unlimited; `unlimited` lifts it.
pub const COLUMNS: &[Column] = &[
    Column { name: "organization_id", required: true },
    Column { name: "slug", required: false },
    Column { name: "project", required: false },
    Column { name: "quota", required: false },
    Column { name: "category", required: false },
    Column { name: "active", required: false },
    Column { name: "subscribed", required: false },
    Column { name: "trial", required: false },
    Column { name: "project_active", required: false },
    Column { name: "created", required: false },
];

/// Lines imported in one transaction.
const CHUNK: usize = 1_000;

/// The longest id, in bytes: an organization's is a job's key.
const MAX_ID_BYTES: usize = 200;

/// Checks the whole file, then imports it; answers how many lines it has.
///
/// # Errors
/// When a line is bad: then nothing was imported. When the database fails in the middle, run it again.
pub async fn import(spool: &Spool, into: &Organizations, progress: &Progress) -> anyhow::Result<u64> {
    let total = check(spool)?;
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
        done = done.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        into.import(&last_of_each(chunk)).await?;
        progress.set(done, total);
    }
}

/// Checks every line, and that no two organizations claim the same project: the second would take it from the first.
fn check(spool: &Spool) -> Result<u64, Problem> {
    let mut lines = Lines::open(spool.name(), spool.open()?, COLUMNS, Strangers::Refused)?;
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut total = 0;
    while let Some(line) = lines.next_line()? {
        let row = row(&line)?;
        total += 1;
        let Some(project) = row.project else { continue };
        let owner = owners.entry(project.id).or_insert_with(|| row.id.clone());
        if *owner != row.id {
            let why = format!(
                "{:?} belongs to organization {owner:?} on a line before; a project's id is unique among all",
                line.text("project").unwrap_or_default()
            );
            return Err(line.refused("project", why));
        }
    }
    Ok(total)
}

fn row(line: &Line) -> Result<ImportedRow, Problem> {
    let id = id(line, "organization_id")?.unwrap_or_default();
    let slug = line.text("slug").unwrap_or(&id).to_owned();
    let project = match self::id(line, "project")? {
        None => None,
        Some(id) => {
            let created = line.value::<Hour>("created", "a full hour, such as 2026-11-22T09:00:00Z")?;
            let active = line.truth("project_active", true)?;
            Some(ImportedProject { id, active, created: created.map(|hour| hour.0) })
        }
    };
    Ok(ImportedRow {
        slug,
        active: line.truth("active", true)?,
        trial: line.truth("trial", false)?,
        subscribed: line.truth("subscribed", true)?,
        project,
        quota: quota(line)?,
        id,
    })
}

fn id(line: &Line, column: &str) -> Result<Option<String>, Problem> {
    match line.text(column) {
        Some(id) if id.len() > MAX_ID_BYTES => {
            Err(line.refused(column, format!("has {} bytes; an id has at most {MAX_ID_BYTES}", id.len())))
        }
        Some(id) if id.chars().any(char::is_control) => {
            Err(line.refused(column, format!("{id:?} has a control character; leave it out")))
        }
        id => Ok(id.map(str::to_owned)),
    }
}

fn quota(line: &Line) -> Result<ImportedQuota, Problem> {
    let should_be = "a category; one of errors, transactions, attachments";
    let category = line.value::<Category>("category", should_be)?.unwrap_or_default().number();
    if line.text("quota") == Some("unlimited") {
        return Ok(ImportedQuota { category, quota: None, lift: true });
    }
    let quota = line.count("quota")?.and_then(|quota| i64::try_from(quota).ok());
    Ok(ImportedQuota { category, quota, lift: false })
}

/// Of several lines about the same, in one statement, the last holds.
fn last_of_each(chunk: Vec<ImportedRow>) -> Vec<ImportedRow> {
    let about =
        |row: &ImportedRow| (row.id.clone(), row.project.as_ref().map(|p| p.id.clone()), row.quota.category);
    let last: BTreeMap<_, _> = chunk.iter().enumerate().map(|(place, row)| (about(row), place)).collect();
    let keep = |(place, row): (usize, ImportedRow)| (last.get(&about(&row)) == Some(&place)).then_some(row);
    chunk.into_iter().enumerate().filter_map(keep).collect()
}
