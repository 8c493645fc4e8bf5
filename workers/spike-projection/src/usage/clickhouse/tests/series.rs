//! The table, what is put into it, and what comes out: the same as from the table of the embedded database.

use support::servers::{ClickHouse, clickhouse_available};

use super::*;
use crate::category::Category;
use crate::projection::Count;
use crate::store::tests::{Stage, imported};
use crate::store::{ImportedRow, UsageRow};
use crate::usage::SqlSource;

/// The window of the tests, and an hour of it that the pipeline missed.
const WEEK: Range<Hour> = Hour(NOW.0 - 168)..NOW;
const MISSED: Hour = Hour(NOW.0 - 50);

/// Projects and their organizations.
const PROJECTS: [(&str, &str); 4] = [("11", "7"), ("12", "7"), ("21", "8"), ("18446744073709551615", "9")];

fn row((project, n): (&str, u64), category: Category, hour: Hour) -> UsageRow {
    let age = u64::try_from(NOW.since(hour)).unwrap();
    let count = Count { hour, accepted: age * n % 97, dropped: if age % 5 == 0 { age * n } else { 0 } };
    UsageRow { project: project.to_owned(), category, count }
}

/// A week of each project, in each category another stretch of it, and hours before and after the window.
fn usage() -> Vec<UsageRow> {
    let mut rows = Vec::new();
    for ((project, _), n) in PROJECTS.iter().zip(1..) {
        for (category, first) in
            [(Category::Errors, -170), (Category::Transactions, -30), (Category::Attachments, -9)]
        {
            let hours = NOW.plus(first).until(NOW).filter(|hour| *hour != MISSED);
            rows.extend(hours.map(|hour| row((project, n), category, hour)));
        }
    }
    rows
}

fn owned(rows: &[UsageRow]) -> Vec<(&str, &UsageRow)> {
    let owner = |row: &UsageRow| PROJECTS.iter().find(|(project, _)| *project == row.project).unwrap().1;
    rows.iter().map(|row| (owner(row), row)).collect()
}

/// In an order of their own: neither source promises one.
fn sorted(mut usage: Usage) -> Usage {
    usage.series.values_mut().for_each(|counts| counts.sort_by_key(|count| count.hour));
    usage
}

async fn filled(place: &Place, rows: &[UsageRow]) -> Table {
    let table = place.table();
    table.create().await.unwrap();
    let put = table.put(&owned(rows), &an_id()).await.unwrap();
    assert_eq!(put, Put::Written(rows.len().try_into().unwrap()));
    table
}

#[tokio::test]
async fn an_organization_has_the_same_series_as_from_the_embedded_database() {
    let Some(place) = Place::find() else { return };
    let rows = usage();
    filled(&place, &rows).await;
    let stage = Stage::sqlite().await;
    for (project, organization) in PROJECTS {
        let mut imported: ImportedRow = imported(organization);
        imported.project.as_mut().unwrap().id = project.to_owned();
        stage.store.organizations.import(&[imported]).await.unwrap();
    }
    stage.store.usage.import(&rows).await.unwrap();
    let (embedded, source) = (SqlSource(stage.store.usage.clone()), place.source());
    for organization in ["7", "8", "9", "10"] {
        let wanted = sorted(embedded.hourly(organization, WEEK, &an_id()).await.unwrap());
        let got = sorted(source.hourly(organization, WEEK, &an_id()).await.unwrap());
        assert_eq!(got, wanted, "{organization}");
        assert_eq!((got.known.len(), got.known.contains(&MISSED)), (167, false));
    }
    let series = source.hourly("7", WEEK, &an_id()).await.unwrap().series;
    assert_eq!(series.len(), 6);
    assert_eq!(series[&("12".to_owned(), Category::Errors)].len(), 167);
}

#[tokio::test]
async fn a_group_whose_answer_is_too_large_is_asked_for_one_by_one() {
    let Some(place) = Place::find() else { return };
    filled(&place, &usage()).await;
    let whole = place.source().each_of(&[7, 8, 9, 10], &WEEK, &an_id()).await.unwrap();
    // Room for what is known and for the smaller ones alone, and not for the largest.
    let small = ClickHouseSettings { max_answer_bytes: 15_000, ..place.settings.clone() };
    let split =
        ClickHouseSource::new(&small).unwrap().each_of(&[7, 8, 9, 10], &WEEK, &an_id()).await.unwrap();
    assert_eq!(split.keys().collect::<Vec<_>>(), [&7, &8, &9, &10]);
    for id in [8, 9, 10] {
        assert_eq!(split[&id].as_ref().unwrap(), whole[&id].as_ref().unwrap(), "{id}");
    }
    assert!(matches!(split[&7], Err(ClickHouseError::TooLarge { .. })), "{:?}", split[&7]);
    let refused = ClickHouseSource::new(&ClickHouseSettings {
        table: "no_such_table".parse().unwrap(),
        ..place.settings.clone()
    });
    let error = refused.unwrap().each_of(&[7, 8], &WEEK, &an_id()).await.unwrap_err();
    assert!(matches!(error, ClickHouseError::Server { code: 60, .. }), "one query, not three: {error}");
}

#[tokio::test]
async fn several_organizations_in_one_query_are_split_as_if_each_had_been_asked_for() {
    let Some(place) = Place::find() else { return };
    filled(&place, &usage()).await;
    let source = place.source();
    let together = source.together(&[7, 9, 10], &WEEK, &an_id()).await.unwrap();
    assert_eq!(together.keys().copied().collect::<Vec<_>>(), [7, 9, 10]);
    for (organization, usage) in together {
        let alone = source.hourly(&organization.to_string(), WEEK, &an_id()).await.unwrap();
        assert_eq!(usage, alone, "{organization}");
    }
}

#[tokio::test]
async fn what_is_put_twice_is_there_once_also_after_the_server_has_merged_it() {
    let Some(place) = Place::find() else { return };
    let rows = usage();
    let table = filled(&place, &rows[..300]).await;
    let before = place.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!(table.put(&owned(&rows[..300]), &an_id()).await.unwrap(), Put::Written(0));
    let rest: u64 = (rows.len() - 300).try_into().unwrap();
    assert_eq!(
        table.put(&owned(&rows), &an_id()).await.unwrap(),
        Put::Written(rest),
        "what was cut off is made whole"
    );
    place.ask(&format!("OPTIMIZE TABLE {}.usage_hourly FINAL", place.database()));
    let after = place.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!(
        after.series[&("11".to_owned(), Category::Errors)],
        before.series[&("11".to_owned(), Category::Errors)]
    );
    let zeros = rows.iter().filter(|row| row.count.accepted == 0).count();
    let kept =
        format!("SELECT count() FROM {}.usage_hourly WHERE outcome = 0 AND quantity = 0", place.database());
    assert!(
        zeros > 0 && place.ask(&kept) == zeros.to_string(),
        "a merge keeps what says that an hour is known"
    );
}

#[tokio::test]
async fn a_server_in_another_time_zone_has_the_same_hours() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let mut server = ClickHouse::start().unwrap();
    // Half an hour beside every full hour in UTC.
    server.set_environment("TZ", "Asia/Kolkata");
    server.restart().unwrap();
    let place = Place::on(server.url());
    assert_eq!(place.ask("SELECT timezone()"), "Asia/Kolkata");
    let rows = usage();
    filled(&place, &rows).await;
    let usage = place.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!((usage.known.first(), usage.known.last()), (Some(&WEEK.start), Some(&NOW.plus(-1))));
    let wanted = rows.iter().filter(|row| (row.project.as_str(), row.category) == ("11", Category::Errors));
    let wanted: Vec<Count> = wanted.map(|row| row.count).filter(|count| WEEK.contains(&count.hour)).collect();
    assert_eq!(usage.series[&("11".to_owned(), Category::Errors)], wanted);
}

#[tokio::test]
async fn an_hour_with_other_counts_is_refused_and_nothing_of_its_rows_is_written() {
    let Some(place) = Place::find() else { return };
    let rows = usage();
    let table = filled(&place, &rows[..10]).await;
    let mut other = rows[..12].to_vec();
    other[3].count.accepted += 1;
    let put = table.put(&owned(&other), &an_id()).await.unwrap();
    assert_eq!(put, Put::Differs { row: other[3].clone(), there: rows[3].count });
    let count = format!("SELECT uniqExact(timestamp) FROM {}.usage_hourly", place.database());
    assert_eq!(place.ask(&count), "10");
}

#[tokio::test]
async fn the_first_and_the_last_hour_of_the_table_read_back_and_others_are_refused() {
    let Some(place) = Place::find() else { return };
    let rows = [Hour(0), table::LAST_HOUR].map(|hour| {
        let count = Count { hour, accepted: u64::try_from(i64::MAX).unwrap(), dropped: 1 };
        UsageRow { project: "11".to_owned(), category: Category::Errors, count }
    });
    let table = filled(&place, &rows).await;
    for row in &rows {
        // Wider than the table's hours: what lies outside is asked for as well, and must not wrap.
        let hours = row.count.hour.plus(-2)..row.count.hour.plus(2);
        let usage = place.source().hourly("7", hours, &an_id()).await.unwrap();
        assert_eq!(usage.series[&("11".to_owned(), Category::Errors)], [row.count]);
    }
    let outside =
        UsageRow { count: Count { hour: table::LAST_HOUR.plus(1), ..rows[0].count }, ..rows[0].clone() };
    let refused = table.put(&owned(&[outside]), &an_id()).await.unwrap_err();
    assert!(matches!(refused, ClickHouseError::HourOutOfRange(_)), "{refused}");
    let far = place.source().hourly("7", Hour(2_000_000)..Hour(2_000_168), &an_id()).await.unwrap();
    assert_eq!(far, Usage::default());
}

#[tokio::test]
async fn an_organization_without_a_number_is_never_asked_for() {
    let settings = settings("http://127.0.0.1:1/nowhere".to_owned());
    let source = ClickHouseSource::new(&settings).unwrap();
    let error = source.hourly("demo-00001", WEEK, &an_id()).await.unwrap_err();
    assert!(error.to_string().contains("is no whole number"), "{error}");
    assert_eq!(lockgate::JobError::class(&error), lockgate::ErrorClass::Permanent);
}

impl Place {
    fn database(&self) -> &str {
        self.settings.url.expose().rsplit('/').next().unwrap()
    }
}
