//! Imports the organizations of the demo, with the functions that also import a user's files.

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::{Kind, Timestamp};
use lockgate_cli::{Manifest, Terminal, fanout};

use super::backend::Backend;
use super::windows::{DemoOrganization, Window};
use crate::category::Category;
use crate::hour::Hour;
use crate::job::ProjectSpikes;
use crate::projection::Count;
use crate::store::{ImportedProject, ImportedQuota, ImportedRow, Store, UsageRow};

/// Organizations created in one transaction.
const ORGANIZATIONS_PER_TRANSACTION: usize = 5_000;

/// Organizations whose usage is imported in one transaction, some thousand rows.
const USAGE_PER_TRANSACTION: usize = 30;

/// Imports the organizations. The windows are moved in time so that they end before `now`.
pub(super) async fn fill(
    (store, backend): (&Store, &Backend),
    organizations: &[DemoOrganization],
    now: Hour,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    for part in organizations.chunks(ORGANIZATIONS_PER_TRANSACTION) {
        let rows: Vec<ImportedRow> = part.iter().flat_map(rows).collect();
        store.organizations.import(&rows).await?;
    }
    let total = organizations.len().try_into().unwrap_or(u64::MAX);
    let bar = terminal.progress("importing real usage", Some(total));
    for part in organizations.chunks(USAGE_PER_TRANSACTION) {
        let of = |organization: &'_ DemoOrganization| {
            organization.windows.iter().flat_map(|window| usage(window, now)).collect::<Vec<_>>()
        };
        let rows: Vec<(&str, Vec<UsageRow>)> =
            part.iter().map(|organization| (organization.id.as_str(), of(organization))).collect();
        let owned: Vec<(&str, &UsageRow)> =
            rows.iter().flat_map(|(id, rows)| rows.iter().map(|row| (*id, row))).collect();
        backend.fill(&owned).await?;
        let rows: Vec<UsageRow> = rows.into_iter().flat_map(|(_, rows)| rows).collect();
        store.usage.import(&rows).await?;
        bar.inc(part.len().try_into().unwrap_or(0));
    }
    Ok(())
}

fn rows(organization: &DemoOrganization) -> impl Iterator<Item = ImportedRow> {
    let quota =
        ImportedQuota { category: Category::Errors.number(), quota: quota(organization), lift: false };
    organization.windows.iter().map(move |window| ImportedRow {
        id: organization.id.clone(),
        slug: organization.slug.clone(),
        active: true,
        trial: false,
        subscribed: true,
        project: Some(ImportedProject { id: window.project.clone(), active: true, created: None }),
        quota,
    })
}

/// Extrapolates the organization's usage to 30 days, as a plan that fits its needs.
fn quota(organization: &DemoOrganization) -> Option<i64> {
    let hours = organization.windows.first()?.counts.len().try_into().ok()?;
    let used: u64 = organization.windows.iter().flat_map(|window| &window.counts).sum();
    i64::try_from((used * 720).checked_div(hours)?).ok()
}

fn usage(window: &Window, now: Hour) -> impl Iterator<Item = UsageRow> {
    let first = now.plus(-i64::try_from(window.counts.len()).unwrap_or(0));
    first.until(now).zip(&window.counts).map(|(hour, &accepted)| UsageRow {
        project: window.project.clone(),
        category: Category::Errors,
        count: Count { hour, accepted, dropped: 0 },
    })
}

/// Yields a job for each organization of the demo.
pub(super) struct DemoManifest<'a> {
    left: &'a [DemoOrganization],
    as_of: Timestamp,
    kind: Kind,
}

impl<'a> DemoManifest<'a> {
    pub(super) fn new(organizations: &'a [DemoOrganization], as_of: Timestamp, kind: Kind) -> Self {
        Self { left: organizations, as_of, kind }
    }
}

#[async_trait]
impl Manifest for DemoManifest<'_> {
    fn kind(&self) -> Kind {
        self.kind.clone()
    }

    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>> {
        let (now, later) = self.left.split_at(most.min(self.left.len()));
        self.left = later;
        now.iter()
            .map(|organization| {
                fanout::job(&organization.id, &ProjectSpikes::new(organization.id.as_str(), self.as_of))
            })
            .collect()
    }
}
