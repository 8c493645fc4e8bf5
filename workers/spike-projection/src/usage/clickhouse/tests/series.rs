//! Rows written to the table and read back. The result equals that of the embedded database.

use support::servers::{ClickHouse, clickhouse_available};

use super::*;
use crate::category::Category;
use crate::projection::Count;
use crate::store::tests::{Fixture, imported};
use crate::store::{ImportedRow, UsageRow};
use crate::usage::SqlSource;

/// The queried hours, and one of them in which the pipeline had no data.
const WEEK: Range<Hour> = Hour(NOW.0 - 168)..NOW;
const MISSED: Hour = Hour(NOW.0 - 50);

/// Projects and their organizations.
const PROJECTS: [(&str, &str); 4] = [("11", "7"), ("12", "7"), ("21", "8"), ("18446744073709551615", "9")];

fn row((project, n): (&str, u64), category: Category, hour: Hour) -> UsageRow {
    let age = u64::try_from(NOW.since(hour)).unwrap();
    let count = Count { hour, accepted: age * n % 97, dropped: if age % 5 == 0 { age * n } else { 0 } };
    UsageRow { project: project.to_owned(), category, count }
}

/// Usage of each project, in another range of hours for each category, including hours outside the queried
/// ones.
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

/// Sorts the counts, because the sources return them in no particular order.
fn sorted(mut usage: Usage) -> Usage {
    usage.series.values_mut().for_each(|counts| counts.sort_by_key(|count| count.hour));
    usage
}

async fn filled(database: &TestDatabase, rows: &[UsageRow]) -> Table {
    let table = database.table();
    table.create().await.unwrap();
    let put = table.put(&owned(rows), &an_id()).await.unwrap();
    assert_eq!(put, PutOutcome::Written(rows.len().try_into().unwrap()));
    table
}

#[tokio::test]
async fn clickhouse_returns_the_same_series_as_the_embedded_database() {
    let Some(database) = TestDatabase::find() else { return };
    let rows = usage();
    filled(&database, &rows).await;
    let fixture = Fixture::sqlite().await;
    for (project, organization) in PROJECTS {
        let mut imported: ImportedRow = imported(organization);
        imported.project.as_mut().unwrap().id = project.to_owned();
        fixture.store.organizations.import(&[imported]).await.unwrap();
    }
    fixture.store.usage.import(&rows).await.unwrap();
    let (embedded, source) = (SqlSource(fixture.store.usage.clone()), database.source());
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
async fn group_with_a_response_above_the_size_limit_is_queried_one_by_one() {
    let Some(database) = TestDatabase::find() else { return };
    filled(&database, &usage()).await;
    let whole = database.source().each_of(&[7, 8, 9, 10], &WEEK, &an_id()).await.unwrap();
    // Large enough for the known hours and the smaller organizations, but not for the largest.
    let small = ClickHouseSettings { max_answer_bytes: 15_000, ..database.settings.clone() };
    let split =
        ClickHouseSource::new(&small).unwrap().each_of(&[7, 8, 9, 10], &WEEK, &an_id()).await.unwrap();
    assert_eq!(split.keys().collect::<Vec<_>>(), [&7, &8, &9, &10]);
    for id in [8, 9, 10] {
        assert_eq!(split[&id].as_ref().unwrap(), whole[&id].as_ref().unwrap(), "{id}");
    }
    assert!(matches!(split[&7], Err(ClickHouseError::TooLarge { .. })), "{:?}", split[&7]);
    let refused = ClickHouseSource::new(&ClickHouseSettings {
        table: "no_such_table".parse().unwrap(),
        ..database.settings.clone()
    });
    let error = refused.unwrap().each_of(&[7, 8], &WEEK, &an_id()).await.unwrap_err();
    assert!(
        matches!(error, ClickHouseError::Server { code: 60, .. }),
        "one query is sent, not three: {error}"
    );
}

#[tokio::test]
async fn shared_query_returns_the_same_usage_as_single_queries() {
    let Some(database) = TestDatabase::find() else { return };
    filled(&database, &usage()).await;
    let source = database.source();
    let together = source.usage_of(&[7, 9, 10], &WEEK, &an_id()).await.unwrap();
    assert_eq!(together.keys().copied().collect::<Vec<_>>(), [7, 9, 10]);
    for (organization, usage) in together {
        let alone = source.hourly(&organization.to_string(), WEEK, &an_id()).await.unwrap();
        assert_eq!(usage, alone, "{organization}");
    }
}

#[tokio::test]
async fn rows_written_twice_are_stored_once_even_after_a_merge() {
    let Some(database) = TestDatabase::find() else { return };
    let rows = usage();
    let table = filled(&database, &rows[..300]).await;
    let before = database.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!(table.put(&owned(&rows[..300]), &an_id()).await.unwrap(), PutOutcome::Written(0));
    let rest: u64 = (rows.len() - 300).try_into().unwrap();
    assert_eq!(
        table.put(&owned(&rows), &an_id()).await.unwrap(),
        PutOutcome::Written(rest),
        "an interrupted import is completed"
    );
    database.ask(&format!("OPTIMIZE TABLE {}.usage_hourly FINAL", database.name()));
    let after = database.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!(
        after.series[&("11".to_owned(), Category::Errors)],
        before.series[&("11".to_owned(), Category::Errors)]
    );
    let zeros = rows.iter().filter(|row| row.count.accepted == 0).count();
    let kept =
        format!("SELECT count() FROM {}.usage_hourly WHERE outcome = 0 AND quantity = 0", database.name());
    assert!(
        zeros > 0 && database.ask(&kept) == zeros.to_string(),
        "a merge keeps the zero rows, which say that an hour is known"
    );
}

#[tokio::test]
async fn server_in_another_time_zone_returns_the_same_hours() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let mut server = ClickHouse::start().unwrap();
    // This time zone is half an hour off UTC.
    server.set_environment("TZ", "Asia/Kolkata");
    server.restart().unwrap();
    let database = TestDatabase::on(server.url());
    assert_eq!(database.ask("SELECT timezone()"), "Asia/Kolkata");
    let rows = usage();
    filled(&database, &rows).await;
    let usage = database.source().hourly("7", WEEK, &an_id()).await.unwrap();
    assert_eq!((usage.known.first(), usage.known.last()), (Some(&WEEK.start), Some(&NOW.plus(-1))));
    let wanted = rows.iter().filter(|row| (row.project.as_str(), row.category) == ("11", Category::Errors));
    let wanted: Vec<Count> = wanted.map(|row| row.count).filter(|count| WEEK.contains(&count.hour)).collect();
    assert_eq!(usage.series[&("11".to_owned(), Category::Errors)], wanted);
}

#[tokio::test]
async fn import_with_different_counts_for_an_hour_is_rejected_and_writes_nothing() {
    let Some(database) = TestDatabase::find() else { return };
    let rows = usage();
    let table = filled(&database, &rows[..10]).await;
    let mut other = rows[..12].to_vec();
    other[3].count.accepted += 1;
    let put = table.put(&owned(&other), &an_id()).await.unwrap();
    assert_eq!(put, PutOutcome::Differs { row: other[3].clone(), there: rows[3].count });
    let count = format!("SELECT uniqExact(timestamp) FROM {}.usage_hourly", database.name());
    assert_eq!(database.ask(&count), "10");
}

#[tokio::test]
async fn first_and_last_hour_of_the_table_are_stored_and_others_are_rejected() {
    let Some(database) = TestDatabase::find() else { return };
    let rows = [Hour(0), table::LAST_HOUR].map(|hour| {
        let count = Count { hour, accepted: u64::try_from(i64::MAX).unwrap(), dropped: 1 };
        UsageRow { project: "11".to_owned(), category: Category::Errors, count }
    });
    let table = filled(&database, &rows).await;
    for row in &rows {
        // The range extends beyond the hours of the table, where timestamps must not wrap.
        let hours = row.count.hour.plus(-2)..row.count.hour.plus(2);
        let usage = database.source().hourly("7", hours, &an_id()).await.unwrap();
        assert_eq!(usage.series[&("11".to_owned(), Category::Errors)], [row.count]);
    }
    let outside =
        UsageRow { count: Count { hour: table::LAST_HOUR.plus(1), ..rows[0].count }, ..rows[0].clone() };
    let refused = table.put(&owned(&[outside]), &an_id()).await.unwrap_err();
    assert!(matches!(refused, ClickHouseError::HourOutOfRange(_)), "{refused}");
    let far = database.source().hourly("7", Hour(2_000_000)..Hour(2_000_168), &an_id()).await.unwrap();
    assert_eq!(far, Usage::default());
}

#[tokio::test]
async fn organization_without_a_numeric_id_is_not_queried() {
    let settings = settings("http://127.0.0.1:1/nowhere".to_owned());
    let source = ClickHouseSource::new(&settings).unwrap();
    let error = source.hourly("demo-00001", WEEK, &an_id()).await.unwrap_err();
    assert!(error.to_string().contains("is not a whole number"), "{error}");
    assert_eq!(lockgate::JobError::class(&error), lockgate::ErrorClass::Permanent);
}

impl TestDatabase {
    fn name(&self) -> &str {
        self.settings.url.expose().rsplit('/').next().unwrap()
    }
}
