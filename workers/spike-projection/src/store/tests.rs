//! The tables: one list of cases, each on a database of its own, in SQLite and in PostgreSQL.

mod server;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lockgate::Fence;
use lockgate::embedded::{Options, open};
use sqlx::{AssertSqlSafe, Executor, PgPool, SqlSafeStr};
use tempfile::TempDir;

use super::*;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Method, Organization, Projection, Rules, Usage, project};
use server::Server;

const NOW: Hour = Hour(480_000);

/// Runs every case on both databases. In PostgreSQL all of them share one test: a server is started once.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod in_sqlite {
            use super::Stage;

            $(#[tokio::test]
            async fn $case() {
                super::$case(Stage::sqlite().await).await;
            })+
        }

        #[tokio::test]
        async fn every_case_holds_in_postgres() {
            let Some(server) = Server::find() else { return };
            $(
                println!("case {}", stringify!($case));
                $case(Stage::postgres(&server).await).await;
            )+
        }
    };
}

on_both![
    every_statement_prepares_against_the_migrated_tables,
    what_is_imported_is_found_again,
    of_several_rows_of_one_thing_the_last_holds,
    organizations_are_listed_in_the_order_of_their_import,
    an_empty_quota_leaves_it_and_unlimited_lifts_it,
    only_active_organizations_with_an_active_subscription_are_fanned_out_over,
    an_hour_is_known_when_any_organization_has_a_row_in_it,
    usage_imported_twice_is_once_and_the_last_row_of_an_hour_holds,
    a_projection_written_twice_leaves_the_same_rows_as_once,
    an_older_fence_and_an_older_generation_change_nothing,
    some_projects_are_replaced_alone_and_a_run_still_replaces_all,
    newer_projections_of_some_projects_leave_the_others_and_the_generation,
    a_newer_generation_wins_with_any_fence_and_past_hours_go,
    of_many_writers_at_once_the_largest_fence_wins,
    rows_of_what_has_no_projection_any_more_are_removed,
    a_projection_that_could_not_be_replaced_is_kept_and_marked,
    coverage_counts_active_organizations_and_the_oldest_age,
];

/// Empty tables of one of the databases.
pub(crate) struct Stage {
    pub(crate) store: Store,
    raw: Raw,
}

/// The database itself, for what no table's type tells.
enum Raw {
    Sqlite { _folder: TempDir, database: embedded::Database },
    Postgres(PgPool),
}

impl Stage {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(Options::new(folder.path().join("test.db"))).await.unwrap().database;
        database.migrate(&TABLES.embedded).await.unwrap();
        let store = Store::new(&Database::Embedded(database.clone()));
        Self { store, raw: Raw::Sqlite { _folder: folder, database } }
    }

    async fn postgres(server: &Server) -> Self {
        let database = server.database().await;
        database.migrate(&TABLES.distributed).await.unwrap();
        let (store, pool) = (Store::new(&Database::Distributed(database.clone())), database.pool().clone());
        Self { store, raw: Raw::Postgres(pool) }
    }

    async fn rows_of(&self, table: &str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        match &self.raw {
            Raw::Sqlite { database, .. } => {
                sqlx::query_scalar(query).fetch_one(database.reader()).await.unwrap()
            }
            Raw::Postgres(pool) => sqlx::query_scalar(query).fetch_one(pool).await.unwrap(),
        }
    }

    /// As if so much time had passed since everything was projected.
    async fn let_pass(&self, time: Duration) {
        match &self.raw {
            Raw::Sqlite { database, .. } => database.advance(time),
            Raw::Postgres(pool) => {
                let older = "UPDATE projected SET computed_at = computed_at - $1";
                let millis = i64::try_from(time.as_millis()).unwrap();
                sqlx::query(older).bind(millis).execute(pool).await.unwrap();
            }
        }
    }

    /// The error of a statement that does not fit the tables.
    async fn unfit(&self, text: String) -> Option<sqlx::Error> {
        let text = AssertSqlSafe(text).into_sql_str();
        match &self.raw {
            Raw::Sqlite { database, .. } => database.reader().prepare(text).await.err(),
            Raw::Postgres(pool) => pool.prepare(text).await.err(),
        }
    }
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
    stage: Stage,
    organization: Organization,
    usage: Usage,
    rules: Rules,
}

impl Projected {
    /// An organization `o` with a week of usage.
    async fn on(stage: Stage) -> Self {
        let store = &stage.store;
        store.organizations.import(&[imported("o")]).await.unwrap();
        store.usage.import(&hours_of("o", 100, NOW.plus(-168).until(NOW))).await.unwrap();
        let organization = store.organizations.find("o").await.unwrap().unwrap();
        let usage = store.usage.of("o", NOW.plus(-168)..NOW).await.unwrap();
        Self { stage, organization, usage, rules: Rules::of(Method::Kernel) }
    }

    async fn replace(&self, now: Hour, fence: u64) -> Replaced {
        let rows = rows(&self.organization, &self.usage, NOW);
        let rows: Vec<Projection> = rows.into_iter().map(|row| moved(row, now)).collect();
        self.put(now, fence, &rows).await
    }

    async fn put(&self, generation: Hour, fence: u64, rows: &[Projection]) -> Replaced {
        let from = Provenance { generation, fence: Fence(fence), rules: &self.rules };
        self.stage.store.projections.replace("o", from, rows).await.unwrap()
    }

    async fn stored(&self) -> Vec<StoredProjection> {
        self.stage.store.projections.of("o", None).await.unwrap()
    }
}

fn moved(mut projection: Projection, now: Hour) -> Projection {
    for (place, hour) in projection.hours.iter_mut().enumerate() {
        hour.hour = now.plus(i64::try_from(place).unwrap());
    }
    projection
}

async fn every_statement_prepares_against_the_migrated_tables(stage: Stage) {
    let (engine, mut prepared) = (
        match stage.raw {
            Raw::Sqlite { .. } => "sqlite",
            Raw::Postgres(_) => "postgres",
        },
        0,
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(engine);
    for part in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(part.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("-- "), "{} has no header", path.display());
            let unfit = stage.unfit(text).await;
            assert!(unfit.is_none(), "{}: {unfit:?}", path.display());
            prepared += 1;
        }
    }
    assert!(prepared >= 18);
}

async fn what_is_imported_is_found_again(stage: Stage) {
    let store = &stage.store;
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

async fn an_empty_quota_leaves_it_and_unlimited_lifts_it(stage: Stage) {
    let store = &stage.store;
    let mut row = imported("o");
    store.organizations.import(&[row.clone()]).await.unwrap();
    row.quota.quota = None;
    store.organizations.import(&[row.clone()]).await.unwrap();
    assert_eq!(store.organizations.find("o").await.unwrap().unwrap().quotas.len(), 1);
    row.quota.lift = true;
    store.organizations.import(&[row]).await.unwrap();
    assert!(store.organizations.find("o").await.unwrap().unwrap().quotas.is_empty());
}

async fn only_active_organizations_with_an_active_subscription_are_fanned_out_over(stage: Stage) {
    let store = &stage.store;
    let (mut gone, mut unsubscribed) = (imported("gone"), imported("unsubscribed"));
    gone.active = false;
    unsubscribed.subscribed = false;
    store.organizations.import(&[imported("a"), gone, unsubscribed, imported("b")]).await.unwrap();
    let first = store.organizations.active_after(0, 1).await.unwrap();
    let rest = store.organizations.active_after(first[0].0, 9).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

async fn an_hour_is_known_when_any_organization_has_a_row_in_it(stage: Stage) {
    let store = &stage.store;
    store.organizations.import(&[imported("a"), imported("b")]).await.unwrap();
    store.usage.import(&hours_of("a", 5, [NOW.plus(-2), NOW].into_iter())).await.unwrap();
    let usage = store.usage.of("b", NOW.plus(-3)..NOW).await.unwrap();
    assert_eq!(usage.known, BTreeSet::from([NOW.plus(-2)]));
    assert!(usage.series.is_empty());
    assert_eq!(store.usage.import(&hours_of("nobody", 5, [NOW].into_iter())).await.unwrap(), 0);
    assert_eq!(store.usage.unknown_projects(&["a", "nobody"]).await.unwrap(), ["nobody"]);
}

async fn a_projection_written_twice_leaves_the_same_rows_as_once(stage: Stage) {
    let projected = Projected::on(stage).await;
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

async fn an_older_fence_and_an_older_generation_change_nothing(stage: Stage) {
    let projected = Projected::on(stage).await;
    assert_eq!(projected.replace(NOW, 5).await, Replaced::Yes);
    let before = projected.stored().await;
    assert_eq!(projected.put(NOW, 4, &[]).await, Replaced::Superseded);
    assert_eq!(projected.put(NOW.plus(-1), 99, &[]).await, Replaced::Superseded);
    assert_eq!(projected.stored().await, before);
}

/// An organization with two projects, and the calls that replace some of them alone.
struct TwoProjects(Projected);

impl TwoProjects {
    async fn on(stage: Stage) -> Self {
        let mut second = imported("o");
        second.project = Some(ImportedProject { id: "p2".to_owned(), active: true, created: None });
        stage.store.organizations.import(&[imported("o"), second]).await.unwrap();
        Self(Projected::on(stage).await)
    }

    fn rows(&self, by: i64) -> Vec<Projection> {
        let Projected { organization, usage, .. } = &self.0;
        rows(organization, usage, NOW).into_iter().map(|row| moved(row, NOW.plus(by))).collect()
    }

    /// Replaces the second project alone.
    async fn part(&self, by: i64, fence: u64, rows: &[Projection]) -> Replaced {
        let from = Provenance { generation: NOW.plus(by), fence: Fence(fence), rules: &self.0.rules };
        let projections = &self.0.stage.store.projections;
        projections.replace_projects("o", from, &["p2".to_owned()], rows).await.unwrap()
    }

    async fn all(&self, by: i64, fence: u64) -> Replaced {
        self.0.put(NOW.plus(by), fence, &self.rows(by)).await
    }

    /// How many rows each project has.
    async fn counts(&self) -> (usize, usize) {
        (self.first("o").await.0, self.first("p2").await.0)
    }

    /// How many rows the project has, and the hour and the generation of the first.
    async fn first(&self, project: &str) -> (usize, Option<(Hour, Hour)>) {
        let rows = self.0.stage.store.projections.of("o", Some(project)).await.unwrap();
        (rows.len(), rows.first().map(|row| (row.hour, row.generation)))
    }
}

async fn some_projects_are_replaced_alone_and_a_run_still_replaces_all(stage: Stage) {
    let projects = TwoProjects::on(stage).await;
    assert_eq!(projects.part(0, 9, &projects.rows(0)).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (0, 168), "only the listed project gets rows");
    assert_eq!(projects.first("p2").await.1, Some((NOW, NOW)));
    assert_eq!(projects.all(0, 5).await, Replaced::Yes, "a run for the same hour wins with any fence");
    assert_eq!(projects.counts().await, (168, 168));
}

async fn newer_projections_of_some_projects_leave_the_others_and_the_generation(stage: Stage) {
    let projects = TwoProjects::on(stage).await;
    assert_eq!(projects.all(0, 5).await, Replaced::Yes);
    assert_eq!(projects.part(0, 4, &[]).await, Replaced::Superseded, "an older fence");
    assert_eq!(projects.part(-1, 99, &[]).await, Replaced::Superseded, "an older hour");
    assert_eq!(projects.part(1, 1, &projects.rows(1)).await, Replaced::Yes);
    assert_eq!(projects.first("p2").await, (168, Some((NOW.plus(1), NOW))));
    assert_eq!(projects.first("o").await, (167, Some((NOW.plus(1), NOW))), "past hours go, the others stay");
    assert_eq!(projects.part(1, 1, &[]).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (167, 0), "a listed project without a projection loses its rows");
    assert_eq!(projects.all(1, 1).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (168, 168));
}

async fn a_newer_generation_wins_with_any_fence_and_past_hours_go(stage: Stage) {
    let projected = Projected::on(stage).await;
    projected.replace(NOW, 5).await;
    assert_eq!(projected.replace(NOW.plus(1), 1).await, Replaced::Yes);
    let rows = projected.stored().await;
    assert_eq!((rows.len(), rows[0].hour, rows[0].generation), (168, NOW.plus(1), NOW.plus(1)));
}

async fn rows_of_what_has_no_projection_any_more_are_removed(stage: Stage) {
    let mut projected = Projected::on(stage).await;
    projected.replace(NOW, 5).await;
    projected.organization.projects[0].active = false;
    let none = rows(&projected.organization, &projected.usage, NOW);
    assert_eq!(projected.put(NOW, 6, &none).await, Replaced::Yes);
    assert!(projected.stored().await.is_empty());
    assert_eq!(projected.stage.rows_of("projected_hours").await, 0);
}

async fn a_projection_that_could_not_be_replaced_is_kept_and_marked(stage: Stage) {
    let projected = Projected::on(stage).await;
    projected.replace(NOW, 5).await;
    projected.stage.store.projections.mark_stale("o", NOW, "not of an earlier run").await.unwrap();
    assert_eq!(projected.stored().await[0].stale, None);
    projected.stage.store.projections.mark_stale("o", NOW.plus(1), "nothing known").await.unwrap();
    let kept = projected.stored().await;
    assert_eq!((kept.len(), kept[0].stale.as_deref()), (168, Some("nothing known")));
    projected.replace(NOW.plus(2), 1).await;
    assert_eq!(projected.stored().await[0].stale, None);
}

async fn coverage_counts_active_organizations_and_the_oldest_age(stage: Stage) {
    let projected = Projected::on(stage).await;
    let mut inactive = imported("inactive");
    inactive.active = false;
    projected.stage.store.organizations.import(&[imported("second"), inactive]).await.unwrap();
    let empty = projected.stage.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((empty.active, empty.covered, empty.missing, empty.freshness_seconds), (2, 0, 2, None));
    projected.replace(NOW, 1).await;
    projected.stage.let_pass(Duration::from_secs(3_600)).await;
    let half = projected.stage.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((half.active, half.covered, half.missing), (2, 1, 1));
    assert!((half.coverage - 0.5).abs() < 1e-9);
    assert!(half.freshness_seconds.unwrap() >= 3_600);
    let later = projected.stage.store.projections.coverage(NOW.plus(1)).await.unwrap();
    assert_eq!(later.covered, 0);
}

async fn of_several_rows_of_one_thing_the_last_holds(stage: Stage) {
    let store = &stage.store;
    let (mut first, mut last) = (imported("o"), imported("o"));
    first.slug = String::from("before");
    first.project = Some(ImportedProject { id: String::from("p"), active: false, created: Some(7) });
    first.quota.quota = Some(1);
    last.project = Some(ImportedProject { id: String::from("p"), active: true, created: None });
    last.quota.quota = Some(2);
    store.organizations.import(&[first, imported("between"), last]).await.unwrap();
    let found = store.organizations.find("o").await.unwrap().unwrap();
    assert_eq!(found.quotas, [(Category::Errors, 2)].into());
    let projects: Vec<_> = found.projects.iter().map(|p| (p.id.as_str(), p.active, p.created)).collect();
    assert_eq!(projects, [("p", true, Some(Hour(7)))], "an empty `created` leaves the one before");
    assert_eq!(store.organizations.list(0, 1).await.unwrap()[0].slug, "o");
}

async fn organizations_are_listed_in_the_order_of_their_import(stage: Stage) {
    let store = &stage.store;
    store.organizations.import(&[imported("z"), imported("b")]).await.unwrap();
    store.organizations.import(&[imported("a"), imported("z")]).await.unwrap();
    let first = store.organizations.list(0, 2).await.unwrap();
    let rest = store.organizations.list(first[1].number, 9).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|o| o.organization_id.as_str()).collect();
    assert_eq!(ids, ["z", "b", "a"]);
    assert_eq!((first[0].projects, first[0].quotas.len(), first[0].projected), (1, 1, None));
}

async fn usage_imported_twice_is_once_and_the_last_row_of_an_hour_holds(stage: Stage) {
    let store = &stage.store;
    store.organizations.import(&[imported("o")]).await.unwrap();
    let mut rows = hours_of("o", 5, [NOW, NOW].into_iter());
    rows[1].count.accepted = 6;
    for _ in 0..2 {
        assert_eq!(store.usage.import(&rows).await.unwrap(), 2, "both rows are of a known project");
    }
    let usage = store.usage.of("o", NOW..NOW.plus(1)).await.unwrap();
    let counts: Vec<u64> = usage.series.values().flatten().map(|count| count.accepted).collect();
    assert_eq!((counts, stage.rows_of("hourly_usage").await), (vec![6], 1));
}

async fn of_many_writers_at_once_the_largest_fence_wins(stage: Stage) {
    let projected = Projected::on(stage).await;
    let fences = [3, 9, 1, 7, 5, 8, 2, 6, 4];
    let none: [Projection; 0] = [];
    let rows = rows(&projected.organization, &projected.usage, NOW);
    // Only the largest leaves rows: whoever came last, its rows are there.
    let mut writers = tokio::task::JoinSet::new();
    for fence in fences {
        let store = projected.stage.store.projections.clone();
        let (rows, rules) = (if fence == 9 { rows.clone() } else { none.to_vec() }, projected.rules.clone());
        writers.spawn(async move {
            let from = Provenance { generation: NOW, fence: Fence(fence), rules: &rules };
            store.replace("o", from, &rows).await.unwrap()
        });
    }
    writers.join_all().await;
    assert_eq!(projected.stored().await.len(), 168);
}
