//! The demo's organizations, put into the database by the same imports as a user's.

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::{Kind, Timestamp};
use lockgate_cli::{Manifest, Terminal, fanout};

use super::backend::Backend;
use super::windows::{Cut, Window};
use crate::category::Category;
use crate::hour::Hour;
use crate::job::ProjectSpikes;
use crate::projection::Count;
use crate::store::{ImportedProject, ImportedQuota, ImportedRow, Store, UsageRow};

/// Organizations made in one transaction.
const CHUNK: usize = 5_000;

/// Organizations whose usage is imported in one transaction: some thousand rows.
const CUTS: usize = 30;

/// Puts the organizations into the database, each window moved in time so that it ends before `now`.
pub(super) async fn fill(
    (store, backend): (&Store, &Backend),
    cuts: &[Cut],
    now: Hour,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    for chunk in cuts.chunks(CHUNK) {
        let rows: Vec<ImportedRow> = chunk.iter().flat_map(rows).collect();
        store.organizations.import(&rows).await?;
    }
    let total = cuts.len().try_into().unwrap_or(u64::MAX);
    let bar = terminal.progress("importing real usage", Some(total));
    for chunk in cuts.chunks(CUTS) {
        let of = |cut: &'_ Cut| cut.windows.iter().flat_map(|window| usage(window, now)).collect::<Vec<_>>();
        let rows: Vec<(&str, Vec<UsageRow>)> = chunk.iter().map(|cut| (cut.id.as_str(), of(cut))).collect();
        let owned: Vec<(&str, &UsageRow)> =
            rows.iter().flat_map(|(id, rows)| rows.iter().map(|row| (*id, row))).collect();
        backend.fill(&owned).await?;
        let rows: Vec<UsageRow> = rows.into_iter().flat_map(|(_, rows)| rows).collect();
        store.usage.import(&rows).await?;
        bar.inc(chunk.len().try_into().unwrap_or(0));
    }
    Ok(())
}

fn rows(cut: &Cut) -> impl Iterator<Item = ImportedRow> {
    let quota = ImportedQuota { category: Category::Errors.number(), quota: quota(cut), lift: false };
    cut.windows.iter().map(move |window| ImportedRow {
        id: cut.id.clone(),
        slug: cut.slug.clone(),
        active: true,
        trial: false,
        subscribed: true,
        project: Some(ImportedProject { id: window.project.clone(), active: true, created: None }),
        quota,
    })
}

/// What the organization used, made out for 30 days: a plan is bought for what is needed.
fn quota(cut: &Cut) -> Option<i64> {
    let hours = cut.windows.first()?.counts.len().try_into().ok()?;
    let used: u64 = cut.windows.iter().flat_map(|window| &window.counts).sum();
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

/// A manifest of these organizations alone.
pub(super) struct DemoManifest<'a> {
    left: &'a [Cut],
    as_of: Timestamp,
    kind: Kind,
}

impl<'a> DemoManifest<'a> {
    pub(super) fn new(cuts: &'a [Cut], as_of: Timestamp, kind: Kind) -> Self {
        Self { left: cuts, as_of, kind }
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
        now.iter().map(|cut| fanout::job(&cut.id, &ProjectSpikes::new(cut.id.as_str(), self.as_of))).collect()
    }
}
