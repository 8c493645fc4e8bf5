//! Creates and fills the table of hourly usage.
//!
//! The server adds up rows with the same key and does not replace them, so a row must not be written twice.
//! Rows are therefore compared with the table first, and a row that would change stored counts is rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use super::answer::{UsageColumns, number_of};
use super::client::Client;
use super::error::ClickHouseError;
use super::statement::{Name, Statement};
use super::{answer, of_organizations, sql};
use crate::category::Category;
use crate::config::ClickHouseSettings;
use crate::hour::Hour;
use crate::projection::{Count, Usage};
use crate::store::UsageRow;
use crate::usage::QueryId;
use crate::usage::http::HttpSourceError;

/// The table of hourly usage.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: Name,
}

/// The result of comparing or writing rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// All rows are stored. The number counts the rows that are new.
    Written(u64),
    /// Nothing was written, because the table has other counts for this hour and project.
    Differs {
        /// The row of the import.
        row: UsageRow,
        /// The stored counts.
        there: Count,
    },
}

/// The last full hour of a `DateTime`. 2106-02-07T06:00Z begins 895 s before the 32-bit seconds end.
pub(super) const LAST_HOUR: Hour = Hour(1_193_046);

/// The key of a count: organization, project, category, hour.
type Key = (u64, u64, Category, Hour);

impl Table {
    /// Returns the table of these settings. Sends nothing yet.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(settings: &ClickHouseSettings) -> Result<Self, HttpSourceError> {
        Ok(Self { client: Client::new(settings)?, name: settings.table.clone() })
    }

    /// Creates the table if it does not exist.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn create(&self) -> Result<(), ClickHouseError> {
        self.client.write(&Statement::new(sql::CREATE_TABLE).table(&self.name), "").await
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Creates a view of the table for demos. Each query on it takes this much longer, at most 3 s.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn create_slow(&self, view: &Name, longer: Duration) -> Result<(), ClickHouseError> {
        let milliseconds = i64::try_from(longer.as_millis()).unwrap_or(i64::MAX);
        let statement = Statement::new(sql::SLOW_VIEW).table(&self.name).name("view", view);
        self.client.write(&statement.number("milliseconds", milliseconds), "").await
    }

    /// Drops a table or view of the same database.
    ///
    /// # Errors
    /// When the server does not respond or rejects the statement.
    pub async fn drop(&self, name: &Name) -> Result<(), ClickHouseError> {
        self.client.write(&Statement::new(sql::DROP).table(name), "").await
    }

    /// Compares usage with the table without writing. `Written` has the number of rows that [`Table::put`]
    /// would write.
    ///
    /// # Errors
    /// When an id is not a number, an hour is out of range, or the server fails.
    pub async fn compare(
        &self,
        rows: &[(&str, &UsageRow)],
        read: &QueryId,
    ) -> Result<PutOutcome, ClickHouseError> {
        Ok(match self.missing(rows, read).await? {
            Ok(missing) => PutOutcome::Written(u64::try_from(missing.len()).unwrap_or(u64::MAX)),
            Err(differs) => differs,
        })
    }

    /// Writes usage, each row with the id of its organization. If several rows are for the same hour, the
    /// last one is used. Stored rows are not written again, so an interrupted import is completed by running
    /// it again.
    ///
    /// # Errors
    /// When an id is not a number, an hour is out of range, or the server fails.
    pub async fn put(
        &self,
        rows: &[(&str, &UsageRow)],
        read: &QueryId,
    ) -> Result<PutOutcome, ClickHouseError> {
        match self.missing(rows, read).await? {
            Ok(missing) if missing.is_empty() => Ok(PutOutcome::Written(0)),
            Ok(missing) => {
                self.client.write(&Statement::new(sql::PUT).table(&self.name), &values(&missing)).await?;
                Ok(PutOutcome::Written(u64::try_from(missing.len()).unwrap_or(u64::MAX)))
            }
            Err(differs) => Ok(differs),
        }
    }

    /// Returns the rows that are not stored, or the first row that is stored with other counts.
    async fn missing(
        &self,
        rows: &[(&str, &UsageRow)],
        read: &QueryId,
    ) -> Result<Result<BTreeMap<Key, Count>, PutOutcome>, ClickHouseError> {
        let wanted = keyed(rows)?;
        let Some(hours) = span(&wanted) else { return Ok(Ok(BTreeMap::new())) };
        let organizations: Vec<u64> =
            wanted.keys().map(|key| key.0).collect::<BTreeSet<_>>().into_iter().collect();
        let statement = of_organizations(&self.name, &organizations, &hours);
        let there = answer::rows::<UsageColumns>(&self.client.read(&statement, read).await?)?;
        let there = answer::usage(&there, &organizations, &hours)?;
        Ok(missing(&wanted, &there).map_err(|(key, there)| differs(key, &wanted, there)))
    }
}

/// Checks that a column `DateTime` can hold this hour. It counts seconds since 1970 in 32 bits, and the
/// server would wrap any other hour.
///
/// # Errors
/// When the hour is out of range.
pub fn check_hour(hour: Hour) -> Result<(), ClickHouseError> {
    if (Hour(0)..=LAST_HOUR).contains(&hour) { Ok(()) } else { Err(ClickHouseError::HourOutOfRange(hour)) }
}

/// Returns the number of this id in ClickHouse. The id must be written exactly as the number.
///
/// # Errors
/// When the id is not a number.
pub fn number(what: &'static str, id: &str) -> Result<u64, ClickHouseError> {
    let number = id.parse::<u64>().ok().filter(|number| number.to_string() == id);
    number.ok_or_else(|| ClickHouseError::NotANumber { what, id: id.to_owned() })
}

fn keyed(rows: &[(&str, &UsageRow)]) -> Result<BTreeMap<Key, Count>, ClickHouseError> {
    let key = |(organization, row): &(&str, &UsageRow)| {
        let organization = number("the organization", organization)?;
        let project = number("the project", &row.project)?;
        check_hour(row.count.hour)?;
        Ok(((organization, project, row.category, row.count.hour), row.count))
    };
    rows.iter().map(key).collect()
}

fn span(rows: &BTreeMap<Key, Count>) -> Option<Range<Hour>> {
    let hours = rows.keys().map(|key| key.3);
    Some(hours.clone().min()?..hours.max()?.plus(1))
}

/// Returns the wanted rows that are not stored, or the first that is stored with other counts.
fn missing(
    wanted: &BTreeMap<Key, Count>,
    there: &BTreeMap<u64, Usage>,
) -> Result<BTreeMap<Key, Count>, (Key, Count)> {
    let mut known: BTreeMap<Key, Count> = BTreeMap::new();
    for (organization, usage) in there {
        for ((project, category), counts) in &usage.series {
            let Ok(project) = project.parse() else { continue };
            known
                .extend(counts.iter().map(|count| ((*organization, project, *category, count.hour), *count)));
        }
    }
    let mut missing = BTreeMap::new();
    for (key, count) in wanted {
        match known.get(key) {
            None => drop(missing.insert(*key, *count)),
            Some(there) if there == count => {}
            Some(there) => return Err((*key, *there)),
        }
    }
    Ok(missing)
}

fn differs(key: Key, wanted: &BTreeMap<Key, Count>, there: Count) -> PutOutcome {
    let (_, project, category, _) = key;
    let count = wanted.get(&key).copied().unwrap_or(there);
    PutOutcome::Differs { row: UsageRow { project: project.to_string(), category, count }, there }
}

/// Formats rows as tab-separated values: one row for accepted usage, even if it is zero, and one for usage
/// dropped by spike protection. Seconds have ten digits, because the server reads fewer than five digits as a
/// year.
fn values(rows: &BTreeMap<Key, Count>) -> String {
    let mut text = String::new();
    for ((organization, project, category, hour), count) in rows {
        let (second, category) = (hour.0.saturating_mul(3_600), number_of(*category));
        let mut line = |outcome: u8, reason: &str, quantity: u64| {
            let _infallible = writeln!(
                text,
                "{organization}\t{project}\t{second:010}\t{outcome}\t{reason}\t{category}\t{quantity}\t1"
            );
        };
        line(0, "", count.accepted);
        if count.dropped > 0 {
            line(2, "smart_rate_limit", count.dropped);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(project: &str, hour: i64, accepted: u64, dropped: u64) -> UsageRow {
        let count = Count { hour: Hour(hour), accepted, dropped };
        UsageRow { project: project.to_owned(), category: Category::Attachments, count }
    }

    #[test]
    fn only_an_id_written_like_its_number_is_accepted() {
        assert_eq!(number("it", "18446744073709551615").unwrap(), u64::MAX);
        for bad in ["", "o1", "01", "+1", "-1", "1.0", " 1", "18446744073709551616"] {
            assert!(number("it", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hour_that_would_wrap_in_the_table_is_rejected() {
        assert!(check_hour(Hour(0)).is_ok() && check_hour(LAST_HOUR).is_ok());
        for hour in [Hour(-1), LAST_HOUR.plus(1), Hour(i64::MAX), Hour(i64::MIN)] {
            assert!(matches!(
                keyed(&[("1", &row("2", hour.0, 1, 0))]),
                Err(ClickHouseError::HourOutOfRange(_))
            ));
        }
        assert!(
            u32::try_from(LAST_HOUR.0 * 3_600).is_ok() && u32::try_from(LAST_HOUR.plus(1).0 * 3_600).is_err()
        );
    }

    #[test]
    fn accepted_and_dropped_usage_are_separate_rows_and_zero_is_written() {
        let rows = [row("2", 480_000, 0, 0), row("2", 480_001, 5, 7)];
        let keyed = keyed(&rows.each_ref().map(|row| ("1", row))).unwrap();
        assert_eq!(
            values(&keyed),
            "1\t2\t1728000000\t0\t\t4\t0\t1\n1\t2\t1728003600\t0\t\t4\t5\t1\n\
             1\t2\t1728003600\t2\tsmart_rate_limit\t4\t7\t1\n"
        );
        assert_eq!(span(&keyed), Some(Hour(480_000)..Hour(480_002)));
    }

    #[test]
    fn stored_rows_are_not_written_again_and_different_counts_are_found() {
        let rows = [row("2", 1, 5, 0), row("2", 2, 6, 1)];
        let wanted = keyed(&rows.each_ref().map(|row| ("1", row))).unwrap();
        let there = |counts: Vec<Count>| {
            let series = [(("2".to_owned(), Category::Attachments), counts)].into();
            BTreeMap::from([(1, Usage { series, ..Usage::default() })])
        };
        let left = missing(&wanted, &there(vec![rows[0].count])).unwrap();
        assert_eq!(left.values().copied().collect::<Vec<_>>(), [rows[1].count]);
        let other = Count { dropped: 2, ..rows[1].count };
        let found = missing(&wanted, &there(vec![other])).unwrap_err();
        assert_eq!(found, ((1, 2, Category::Attachments, Hour(2)), other));
    }
}
