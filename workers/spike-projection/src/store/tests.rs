//! The tables, on a database of their own.

use std::collections::BTreeSet;

use lockgate::Fence;
use lockgate::embedded::{Database, Options, open};
use sqlx::{Executor, SqlSafeStr, Statement};
use tempfile::TempDir;

use super::*;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Method, Organization, Projection, Rules, Usage, project};

const NOW: Hour = Hour(480_000);

/// An empty database with the worker's tables. The folder goes with the value.
pub(crate) async fn store() -> (TempDir, Database, Store) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(Options::new(folder.path().join("test.db"))).await.unwrap().database;
    database.migrate(&COMPONENT).await.unwrap();
    let store = Store::new(&database);
    (folder, database, store)
}

/// An active organization with one project of the same id and a quota of errors.
pub(crate) fn imported(id: &str) -> ImportedRow {
    ImportedRow {
        id: id.to_owned(),
        slug: id.to_owned(),
        active: true,
        trial: false,
        subscribed: true,
        project: Some(ImportedProject { id: id.to_owned(), active: true, created: None }),
        quota: ImportedQuota { category: Category::Errors.number(), quota: Some(1_000_000), lift: false },
    }
}

fn hours_of(project: &str, accepted: u64, hours: impl Iterator<Item = Hour>) -> Vec<UsageRow> {
    let count = |hour| Count { hour, accepted, dropped: 0 };
    hours
        .map(|hour| UsageRow { project: project.to_owned(), category: Category::Errors, count: count(hour) })
        .collect()
}

fn rows(organization: &Organization, usage: &Usage, now: Hour) -> Vec<Projection> {
    project(organization, usage, now, &Rules::of(Method::Kernel)).unwrap()
}

struct Projected {
    _folder: TempDir,
    database: Database,
    store: Store,
    organization: Organization,
    usage: Usage,
    rules: Rules,
}

impl Projected {
    /// An organization `o` with a week of usage.
    async fn new() -> Self {
        let (folder, database, store) = store().await;
        store.organizations.import(&[imported("o")]).await.unwrap();
        store.usage.import(&hours_of("o", 100, NOW.plus(-168).until(NOW))).await.unwrap();
        let organization = store.organizations.find("o").await.unwrap().unwrap();
        let usage = store.usage.of("o", NOW.plus(-168)..NOW).await.unwrap();
        Self { _folder: folder, database, store, organization, usage, rules: Rules::of(Method::Kernel) }
    }

    async fn replace(&self, now: Hour, fence: u64) -> Replaced {
        let rows = rows(&self.organization, &self.usage, NOW);
        let rows: Vec<Projection> = rows.into_iter().map(|row| moved(row, now)).collect();
        self.put(now, fence, &rows).await
    }

    async fn put(&self, generation: Hour, fence: u64, rows: &[Projection]) -> Replaced {
        let from = Provenance { generation, fence: Fence(fence), rules: &self.rules };
        self.store.projections.replace("o", from, rows).await.unwrap()
    }

    async fn stored(&self) -> Vec<StoredProjection> {
        self.store.projections.of("o", None).await.unwrap()
    }
}

fn moved(mut projection: Projection, now: Hour) -> Projection {
    for (place, hour) in projection.hours.iter_mut().enumerate() {
        hour.hour = now.plus(i64::try_from(place).unwrap());
    }
    projection
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_file() {
    let (_folder, database, _) = store().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut prepared = 0;
    for part in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(part.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let statement = database.reader().prepare(sqlx::AssertSqlSafe(text).into_sql_str()).await;
            assert!(statement.is_ok(), "{}: {:?}", path.display(), statement.err());
            assert!(statement.unwrap().sql().as_str().starts_with("-- "), "{} has no header", path.display());
            prepared += 1;
        }
    }
    assert!(prepared >= 18);
}

#[tokio::test]
async fn what_is_imported_is_found_again() {
    let (_folder, _, store) = store().await;
    let mut second = imported("o");
    second.project = Some(ImportedProject { id: "p2".to_owned(), active: false, created: Some(NOW.0) });
    second.quota = ImportedQuota { category: Category::Attachments.number(), quota: Some(7), lift: false };
    store.organizations.import(&[imported("o"), second]).await.unwrap();
    let found = store.organizations.find("o").await.unwrap().unwrap();
    assert_eq!(found.quotas, [(Category::Errors, 1_000_000), (Category::Attachments, 7)].into());
    let projects: Vec<_> = found.projects.iter().map(|p| (p.id.as_str(), p.active, p.created)).collect();
    assert_eq!(projects, [("o", true, None), ("p2", false, Some(NOW))]);
    assert_eq!(store.organizations.find("other").await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_quota_leaves_it_and_unlimited_lifts_it() {
    let (_folder, _, store) = store().await;
    let mut row = imported("o");
    store.organizations.import(&[row.clone()]).await.unwrap();
    row.quota.quota = None;
    store.organizations.import(&[row.clone()]).await.unwrap();
    assert_eq!(store.organizations.find("o").await.unwrap().unwrap().quotas.len(), 1);
    row.quota.lift = true;
    store.organizations.import(&[row]).await.unwrap();
    assert!(store.organizations.find("o").await.unwrap().unwrap().quotas.is_empty());
}

#[tokio::test]
async fn only_active_organizations_with_an_active_subscription_are_fanned_out_over() {
    let (_folder, _, store) = store().await;
    let (mut gone, mut unsubscribed) = (imported("gone"), imported("unsubscribed"));
    gone.active = false;
    unsubscribed.subscribed = false;
    store.organizations.import(&[imported("a"), gone, unsubscribed, imported("b")]).await.unwrap();
    let first = store.organizations.active_after(0, 1).await.unwrap();
    let rest = store.organizations.active_after(first[0].0, 9).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn an_hour_is_known_when_any_organization_has_a_row_in_it() {
    let (_folder, _, store) = store().await;
    store.organizations.import(&[imported("a"), imported("b")]).await.unwrap();
    store.usage.import(&hours_of("a", 5, [NOW.plus(-2), NOW].into_iter())).await.unwrap();
    let usage = store.usage.of("b", NOW.plus(-3)..NOW).await.unwrap();
    assert_eq!(usage.known, BTreeSet::from([NOW.plus(-2)]));
    assert!(usage.series.is_empty());
    assert_eq!(store.usage.import(&hours_of("nobody", 5, [NOW].into_iter())).await.unwrap(), 0);
    assert_eq!(store.usage.unknown_projects(&["a", "nobody"]).await.unwrap(), ["nobody"]);
}

#[tokio::test]
async fn a_projection_written_twice_leaves_the_same_rows_as_once() {
    let projected = Projected::new().await;
    assert_eq!(projected.replace(NOW, 5).await, Replaced::Yes);
    let once = projected.stored().await;
    assert_eq!((once.len(), once[0].hour, once[167].hour), (168, NOW, NOW.plus(167)));
    assert_eq!((once[0].expected, once[0].samples, once[0].window), (100.0, 168, 168));
    assert_eq!(projected.replace(NOW, 5).await, Replaced::Yes);
    let twice = projected.stored().await;
    let without_time = |rows: Vec<StoredProjection>| {
        rows.into_iter()
            .map(|row| StoredProjection { computed_at: lockgate::Timestamp(0), ..row })
            .collect::<Vec<_>>()
    };
    assert_eq!(without_time(once), without_time(twice));
}

#[tokio::test]
async fn an_older_fence_and_an_older_generation_change_nothing() {
    let projected = Projected::new().await;
    assert_eq!(projected.replace(NOW, 5).await, Replaced::Yes);
    let before = projected.stored().await;
    assert_eq!(projected.put(NOW, 4, &[]).await, Replaced::Superseded);
    assert_eq!(projected.put(NOW.plus(-1), 99, &[]).await, Replaced::Superseded);
    assert_eq!(projected.stored().await, before);
}

#[tokio::test]
async fn a_newer_generation_wins_with_any_fence_and_past_hours_go() {
    let projected = Projected::new().await;
    projected.replace(NOW, 5).await;
    assert_eq!(projected.replace(NOW.plus(1), 1).await, Replaced::Yes);
    let rows = projected.stored().await;
    assert_eq!((rows.len(), rows[0].hour, rows[0].generation), (168, NOW.plus(1), NOW.plus(1)));
}

#[tokio::test]
async fn rows_of_what_has_no_projection_any_more_are_removed() {
    let mut projected = Projected::new().await;
    projected.replace(NOW, 5).await;
    projected.organization.projects[0].active = false;
    let none = rows(&projected.organization, &projected.usage, NOW);
    assert_eq!(projected.put(NOW, 6, &none).await, Replaced::Yes);
    assert!(projected.stored().await.is_empty());
    let hours: i64 = sqlx::query_scalar("SELECT count(*) FROM projected_hours")
        .fetch_one(projected.database.reader())
        .await
        .unwrap();
    assert_eq!(hours, 0);
}

#[tokio::test]
async fn a_projection_that_could_not_be_replaced_is_kept_and_marked() {
    let projected = Projected::new().await;
    projected.replace(NOW, 5).await;
    projected.store.projections.mark_stale("o", NOW, "not of an earlier run").await.unwrap();
    assert_eq!(projected.stored().await[0].stale, None);
    projected.store.projections.mark_stale("o", NOW.plus(1), "nothing known").await.unwrap();
    let kept = projected.stored().await;
    assert_eq!((kept.len(), kept[0].stale.as_deref()), (168, Some("nothing known")));
    projected.replace(NOW.plus(2), 1).await;
    assert_eq!(projected.stored().await[0].stale, None);
}

#[tokio::test]
async fn coverage_counts_active_organizations_and_the_oldest_age() {
    let projected = Projected::new().await;
    let mut inactive = imported("inactive");
    inactive.active = false;
    projected.store.organizations.import(&[imported("second"), inactive]).await.unwrap();
    let empty = projected.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((empty.active, empty.covered, empty.missing, empty.freshness_seconds), (2, 0, 2, None));
    projected.replace(NOW, 1).await;
    projected.database.advance(std::time::Duration::from_secs(3_600));
    let half = projected.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((half.active, half.covered, half.missing), (2, 1, 1));
    assert!((half.coverage - 0.5).abs() < 1e-9);
    assert!(half.freshness_seconds.unwrap() >= 3_600);
    let later = projected.store.projections.coverage(NOW.plus(1)).await.unwrap();
    assert_eq!(later.covered, 0);
}
