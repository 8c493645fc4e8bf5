//! Converts columns to values, and values to the arrays that pass many rows to one statement.
//!
//! A column that cannot be converted is an error.

use std::error::Error;
use std::time::Duration;

use lockgate_core::time::millis;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// The text of a statement, by its path under `sql/` without the extension.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// Reads a value that is stored as its text, such as a name or a state.
pub(crate) fn read_name<T>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// Reads a count from a `bigint` column.
pub(crate) fn read_count<T: TryFrom<i64>>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T::Error: Error + Send + Sync + 'static,
{
    row.try_get::<i64, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// Reads a count from an `integer` column.
pub(crate) fn read_u32(row: &PgRow, column: &str) -> sqlx::Result<u32> {
    row.try_get::<i32, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// Reads a count from a nullable `integer` column.
pub(crate) fn read_optional_u32(row: &PgRow, column: &str) -> sqlx::Result<Option<u32>> {
    let number = row.try_get::<Option<i32>, _>(column)?;
    number.map(u32::try_from).transpose().map_err(|error| unreadable(column, error))
}

/// Converts a number to an `integer` column. Numbers that do not fit become its maximum.
pub(crate) fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Converts a number of rows to a `bigint` column.
pub(crate) fn rows(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a duration to milliseconds in an `integer` column: 24 days at most.
pub(crate) fn narrow_millis(duration: Duration) -> i32 {
    i32::try_from(millis(duration)).unwrap_or(i32::MAX)
}

/// Replaces zero characters, which PostgreSQL cannot store.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn unreadable(column: &str, error: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
