//! The tables in SQLite and in PostgreSQL: one list of cases, each on an empty database.

mod fixture;
mod server;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lockgate::Fence;

use super::*;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Method, Organization, Projection, Rules, Usage, project};
use fixture::{Projected, Raw, TwoProjects, hours_of, rows};
use server::Server;

pub(crate) use fixture::{Fixture, imported};

const NOW: Hour = Hour(480_000);

/// Runs every case on both databases. In PostgreSQL all cases share one test, so that one server is started.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod in_sqlite {
            use super::Fixture;

            $(#[tokio::test]
            async fn $case() {
                super::$case(Fixture::sqlite().await).await;
            })+
        }

        #[tokio::test]
        async fn every_case_holds_in_postgres() {
            let Some(server) = Server::find() else { return };
            $(
                println!("case {}", stringify!($case));
                $case(Fixture::postgres(&server).await).await;
            )+
        }
    };
}

on_both![
    every_statement_prepares_against_the_migrated_tables,
    imported_organizations_are_found,
    last_of_several_imported_rows_is_used,
    organizations_are_listed_in_the_order_of_their_import,
    empty_quota_keeps_the_stored_one_and_unlimited_removes_it,
    only_active_organizations_with_an_active_subscription_are_in_a_run,
    hour_is_known_when_any_organization_has_a_row_in_it,
    usage_imported_twice_is_stored_once_and_the_last_row_of_an_hour_is_used,
    projection_written_twice_leaves_the_same_rows_as_once,
    older_fence_and_older_generation_change_nothing,
    some_projects_are_replaced_alone_and_a_run_still_replaces_all,
    newer_projections_of_some_projects_keep_the_others_and_the_generation,
    newer_generation_wins_with_any_fence_and_past_hours_are_removed,
    largest_fence_of_many_concurrent_writers_wins,
    rows_without_a_projection_are_removed,
    projection_that_could_not_be_replaced_is_kept_and_marked_stale,
    coverage_counts_active_organizations_and_the_oldest_age,
];

async fn every_statement_prepares_against_the_migrated_tables(fixture: Fixture) {
    let (engine, mut prepared) = (
        match fixture.raw {
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
            let unfit = fixture.unfit(text).await;
            assert!(unfit.is_none(), "{}: {unfit:?}", path.display());
            prepared += 1;
        }
    }
    assert!(prepared >= 18);
}

async fn imported_organizations_are_found(fixture: Fixture) {
    let store = &fixture.store;
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

async fn empty_quota_keeps_the_stored_one_and_unlimited_removes_it(fixture: Fixture) {
    let store = &fixture.store;
    let mut row = imported("o");
    store.organizations.import(&[row.clone()]).await.unwrap();
    row.quota.quota = None;
    store.organizations.import(&[row.clone()]).await.unwrap();
    assert_eq!(store.organizations.find("o").await.unwrap().unwrap().quotas.len(), 1);
    row.quota.lift = true;
    store.organizations.import(&[row]).await.unwrap();
    assert!(store.organizations.find("o").await.unwrap().unwrap().quotas.is_empty());
}

async fn only_active_organizations_with_an_active_subscription_are_in_a_run(fixture: Fixture) {
    let store = &fixture.store;
    let (mut inactive, mut unsubscribed) = (imported("inactive"), imported("unsubscribed"));
    inactive.active = false;
    unsubscribed.subscribed = false;
    store.organizations.import(&[imported("a"), inactive, unsubscribed, imported("b")]).await.unwrap();
    let first = store.organizations.active_after(0, 1).await.unwrap();
    let rest = store.organizations.active_after(first[0].0, 9).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

async fn hour_is_known_when_any_organization_has_a_row_in_it(fixture: Fixture) {
    let store = &fixture.store;
    store.organizations.import(&[imported("a"), imported("b")]).await.unwrap();
    store.usage.import(&hours_of("a", 5, [NOW.plus(-2), NOW].into_iter())).await.unwrap();
    let usage = store.usage.of("b", NOW.plus(-3)..NOW).await.unwrap();
    assert_eq!(usage.known, BTreeSet::from([NOW.plus(-2)]));
    assert!(usage.series.is_empty());
    assert_eq!(store.usage.import(&hours_of("nobody", 5, [NOW].into_iter())).await.unwrap(), 0);
    assert_eq!(store.usage.unknown_projects(&["a", "nobody"]).await.unwrap(), ["nobody"]);
}

async fn projection_written_twice_leaves_the_same_rows_as_once(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
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

async fn older_fence_and_older_generation_change_nothing(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
    assert_eq!(projected.replace(NOW, 5).await, Replaced::Yes);
    let before = projected.stored().await;
    assert_eq!(projected.put(NOW, 4, &[]).await, Replaced::Superseded);
    assert_eq!(projected.put(NOW.plus(-1), 99, &[]).await, Replaced::Superseded);
    assert_eq!(projected.stored().await, before);
}

async fn some_projects_are_replaced_alone_and_a_run_still_replaces_all(fixture: Fixture) {
    let projects = TwoProjects::on(fixture).await;
    assert_eq!(projects.part(0, 9, &projects.rows(0)).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (0, 168), "only the listed project has rows");
    assert_eq!(projects.first("p2").await.1, Some((NOW, NOW)));
    assert_eq!(projects.all(0, 5).await, Replaced::Yes, "a run for the same hour wins with any fence");
    assert_eq!(projects.counts().await, (168, 168));
}

async fn newer_projections_of_some_projects_keep_the_others_and_the_generation(fixture: Fixture) {
    let projects = TwoProjects::on(fixture).await;
    assert_eq!(projects.all(0, 5).await, Replaced::Yes);
    assert_eq!(projects.part(0, 4, &[]).await, Replaced::Superseded, "an older fence");
    assert_eq!(projects.part(-1, 99, &[]).await, Replaced::Superseded, "an older hour");
    assert_eq!(projects.part(1, 1, &projects.rows(1)).await, Replaced::Yes);
    assert_eq!(projects.first("p2").await, (168, Some((NOW.plus(1), NOW))));
    assert_eq!(
        projects.first("o").await,
        (167, Some((NOW.plus(1), NOW))),
        "past hours are removed, others are kept"
    );
    assert_eq!(projects.part(1, 1, &[]).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (167, 0), "a listed project without a projection loses its rows");
    assert_eq!(projects.all(1, 1).await, Replaced::Yes);
    assert_eq!(projects.counts().await, (168, 168));
}

async fn newer_generation_wins_with_any_fence_and_past_hours_are_removed(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
    projected.replace(NOW, 5).await;
    assert_eq!(projected.replace(NOW.plus(1), 1).await, Replaced::Yes);
    let rows = projected.stored().await;
    assert_eq!((rows.len(), rows[0].hour, rows[0].generation), (168, NOW.plus(1), NOW.plus(1)));
}

async fn rows_without_a_projection_are_removed(fixture: Fixture) {
    let mut projected = Projected::on(fixture).await;
    projected.replace(NOW, 5).await;
    projected.organization.projects[0].active = false;
    let none = rows(&projected.organization, &projected.usage, NOW);
    assert_eq!(projected.put(NOW, 6, &none).await, Replaced::Yes);
    assert!(projected.stored().await.is_empty());
    assert_eq!(projected.fixture.rows_of("projected_hours").await, 0);
}

async fn projection_that_could_not_be_replaced_is_kept_and_marked_stale(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
    projected.replace(NOW, 5).await;
    projected.fixture.store.projections.mark_stale("o", NOW, "not of an earlier run").await.unwrap();
    assert_eq!(projected.stored().await[0].stale, None);
    projected.fixture.store.projections.mark_stale("o", NOW.plus(1), "nothing known").await.unwrap();
    let kept = projected.stored().await;
    assert_eq!((kept.len(), kept[0].stale.as_deref()), (168, Some("nothing known")));
    projected.replace(NOW.plus(2), 1).await;
    assert_eq!(projected.stored().await[0].stale, None);
}

async fn coverage_counts_active_organizations_and_the_oldest_age(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
    let mut inactive = imported("inactive");
    inactive.active = false;
    projected.fixture.store.organizations.import(&[imported("second"), inactive]).await.unwrap();
    let empty = projected.fixture.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((empty.active, empty.covered, empty.missing, empty.freshness_seconds), (2, 0, 2, None));
    projected.replace(NOW, 1).await;
    projected.fixture.let_pass(Duration::from_secs(3_600)).await;
    let half = projected.fixture.store.projections.coverage(NOW).await.unwrap();
    assert_eq!((half.active, half.covered, half.missing), (2, 1, 1));
    assert!((half.coverage - 0.5).abs() < 1e-9);
    assert!(half.freshness_seconds.unwrap() >= 3_600);
    let later = projected.fixture.store.projections.coverage(NOW.plus(1)).await.unwrap();
    assert_eq!(later.covered, 0);
}

async fn last_of_several_imported_rows_is_used(fixture: Fixture) {
    let store = &fixture.store;
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
    assert_eq!(projects, [("p", true, Some(Hour(7)))], "an empty `created` keeps the earlier value");
    assert_eq!(store.organizations.list(0, 1).await.unwrap()[0].slug, "o");
}

async fn organizations_are_listed_in_the_order_of_their_import(fixture: Fixture) {
    let store = &fixture.store;
    store.organizations.import(&[imported("z"), imported("b")]).await.unwrap();
    store.organizations.import(&[imported("a"), imported("z")]).await.unwrap();
    let first = store.organizations.list(0, 2).await.unwrap();
    let rest = store.organizations.list(first[1].number, 9).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|o| o.organization_id.as_str()).collect();
    assert_eq!(ids, ["z", "b", "a"]);
    assert_eq!((first[0].projects, first[0].quotas.len(), first[0].projected), (1, 1, None));
}

async fn usage_imported_twice_is_stored_once_and_the_last_row_of_an_hour_is_used(fixture: Fixture) {
    let store = &fixture.store;
    store.organizations.import(&[imported("o")]).await.unwrap();
    let mut rows = hours_of("o", 5, [NOW, NOW].into_iter());
    rows[1].count.accepted = 6;
    for _ in 0..2 {
        assert_eq!(store.usage.import(&rows).await.unwrap(), 2, "both rows belong to a known project");
    }
    let usage = store.usage.of("o", NOW..NOW.plus(1)).await.unwrap();
    let counts: Vec<u64> = usage.series.values().flatten().map(|count| count.accepted).collect();
    assert_eq!((counts, fixture.rows_of("hourly_usage").await), (vec![6], 1));
}

async fn largest_fence_of_many_concurrent_writers_wins(fixture: Fixture) {
    let projected = Projected::on(fixture).await;
    let fences = [3, 9, 1, 7, 5, 8, 2, 6, 4];
    let none: [Projection; 0] = [];
    let rows = rows(&projected.organization, &projected.usage, NOW);
    // Only the writer with the largest fence leaves rows, in whatever order the writers run.
    let mut writers = tokio::task::JoinSet::new();
    for fence in fences {
        let store = projected.fixture.store.projections.clone();
        let (rows, rules) = (if fence == 9 { rows.clone() } else { none.to_vec() }, projected.rules.clone());
        writers.spawn(async move {
            let from = Provenance { generation: NOW, fence: Fence(fence), rules: &rules };
            store.replace("o", from, &rows).await.unwrap()
        });
    }
    writers.join_all().await;
    assert_eq!(projected.stored().await.len(), 168);
}
