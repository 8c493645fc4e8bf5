//! Imports organizations from a file. A record has one project of an organization, or the organization alone.

use std::collections::{BTreeMap, HashMap};

use lockgate_cli::{Problem, Progress};

use super::{Column, Record, Records, Spool, UnknownColumns};
use crate::category::Category;
use crate::hour::Hour;
use crate::store::{ImportedProject, ImportedQuota, ImportedRow, Organizations};

/// The columns of such a file. A record without `project` is for the organization alone. A record without
/// `quota` keeps the stored quota, which is unlimited for a new organization; `unlimited` removes the quota.
pub const COLUMNS: &[Column] = &[
    Column::required("organization_id"),
    Column::optional("slug"),
    Column::optional("project"),
    Column::optional("quota"),
    Column::optional("category"),
    Column::flag("active"),
    Column::flag("subscribed"),
    Column::flag("trial"),
    Column::flag("project_active"),
    Column::optional("created"),
];

/// Records imported in one transaction.
const PAGE_SIZE: usize = 1_000;

/// Longest id or slug, in bytes. The id of an organization is the key of its jobs.
const MAX_NAME_BYTES: usize = 200;

/// Checks the whole file, then imports it. Returns the number of records.
///
/// # Errors
/// When a record is invalid: then nothing was imported. If the database fails during the import, run it
/// again.
pub async fn import(spool: &Spool, into: &Organizations, progress: &Progress) -> anyhow::Result<u64> {
    let total = check(spool)?;
    let mut records = Records::open(spool.name(), spool.open()?, COLUMNS, UnknownColumns::Refuse)?;
    let mut done = 0_u64;
    loop {
        let mut page = Vec::with_capacity(PAGE_SIZE);
        while page.len() < PAGE_SIZE {
            let Some(record) = records.next_record()? else { break };
            page.push(row(&record)?);
        }
        if page.is_empty() {
            return Ok(done);
        }
        done = done.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        into.import(&last_of_each(page)).await?;
        progress.set(done, total);
    }
}

/// Checks every record, and that no two organizations claim the same project, because the second would take
/// it from the first.
fn check(spool: &Spool) -> Result<u64, Problem> {
    let mut records = Records::open(spool.name(), spool.open()?, COLUMNS, UnknownColumns::Refuse)?;
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut total = 0;
    while let Some(record) = records.next_record()? {
        let row = row(&record)?;
        total += 1;
        let Some(project) = row.project else { continue };
        let owner = owners.entry(project.id).or_insert_with(|| row.id.clone());
        if *owner != row.id {
            let why = format!(
                "{:?} belongs to organization {owner:?} on a line before; a project's id is unique among all",
                record.text("project").unwrap_or_default()
            );
            return Err(record.refused("project", why));
        }
    }
    Ok(total)
}

fn row(record: &Record) -> Result<ImportedRow, Problem> {
    let id = name(record, "organization_id")?.unwrap_or_default();
    let slug = name(record, "slug")?.unwrap_or_else(|| id.clone());
    let project = match name(record, "project")? {
        None => None,
        Some(id) => {
            let created = record.value::<Hour>("created", "a full hour, such as 2026-11-22T09:00:00Z")?;
            let active = record.flag("project_active", true)?;
            Some(ImportedProject { id, active, created: created.map(|hour| hour.0) })
        }
    };
    Ok(ImportedRow {
        slug,
        active: record.flag("active", true)?,
        trial: record.flag("trial", false)?,
        subscribed: record.flag("subscribed", true)?,
        project,
        quota: quota(record)?,
        id,
    })
}

fn name(record: &Record, column: &str) -> Result<Option<String>, Problem> {
    match record.text(column) {
        Some(name) if name.len() > MAX_NAME_BYTES => {
            Err(record
                .refused(column, format!("has {} bytes; at most {MAX_NAME_BYTES} are allowed", name.len())))
        }
        Some(name) if name.chars().any(char::is_control) => {
            Err(record.refused(column, format!("{name:?} has a control character; remove it")))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

fn quota(record: &Record) -> Result<ImportedQuota, Problem> {
    let should_be = "a category; one of errors, transactions, attachments";
    let category = record.value::<Category>("category", should_be)?.unwrap_or_default().number();
    if record.text("quota") == Some("unlimited") {
        return Ok(ImportedQuota { category, quota: None, lift: true });
    }
    let quota = record.count("quota")?.and_then(|quota| i64::try_from(quota).ok());
    Ok(ImportedQuota { category, quota, lift: false })
}

/// Keeps the last of several records for the same project and quota, because one statement cannot write a row
/// twice.
fn last_of_each(page: Vec<ImportedRow>) -> Vec<ImportedRow> {
    let about =
        |row: &ImportedRow| (row.id.clone(), row.project.as_ref().map(|p| p.id.clone()), row.quota.category);
    let last: BTreeMap<_, _> = page.iter().enumerate().map(|(index, row)| (about(row), index)).collect();
    let keep = |(index, row): (usize, ImportedRow)| (last.get(&about(&row)) == Some(&index)).then_some(row);
    page.into_iter().enumerate().filter_map(keep).collect()
}
