//! From columns to words, and from words to the arrays that carry many rows into one statement.
//!
//! It must never guess: a column that does not read back as its word is an error.

use std::error::Error;
use std::time::Duration;

use lockgate_core::time::millis;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// The text of a statement, by its path under `sql/` without the ending.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// A word that is stored as its text: a name, a state.
pub(crate) fn name<T>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A count that is stored as a signed number.
pub(crate) fn count<T: TryFrom<i64>>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T::Error: Error + Send + Sync + 'static,
{
    row.try_get::<i64, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// The same of a narrow column.
pub(crate) fn small(row: &PgRow, column: &str) -> sqlx::Result<u32> {
    row.try_get::<i32, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// The same of one that may be missing.
pub(crate) fn maybe_small(row: &PgRow, column: &str) -> sqlx::Result<Option<u32>> {
    let number = row.try_get::<Option<i32>, _>(column)?;
    number.map(u32::try_from).transpose().map_err(|error| unreadable(column, error))
}

/// A number as the store holds it: its largest when it does not fit.
pub(crate) fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The same of a number of rows.
pub(crate) fn rows(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Milliseconds in a narrow column: 24 days at most.
pub(crate) fn narrow_millis(duration: Duration) -> i32 {
    i32::try_from(millis(duration)).unwrap_or(i32::MAX)
}

/// A text that the store can hold: it knows no zero character.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn unreadable(column: &str, error: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
