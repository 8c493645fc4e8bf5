//! From columns to words, and from words to the JSON arrays that carry many rows into one statement.
//!
//! It must never guess: a column that does not read back as its word is an error.

use std::error::Error;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// The text of a statement, by its path under `sql/` without the ending.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// A word that is stored as its text: a name, a state.
pub(crate) fn name<T>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
{
    text(row, column)?.parse().map_err(|error| unreadable(column, error))
}

/// A text.
pub(crate) fn text(row: &SqliteRow, column: &str) -> sqlx::Result<String> {
    row.try_get(column)
}

/// A duration that is stored as its milliseconds.
pub(crate) fn duration(row: &SqliteRow, column: &str) -> sqlx::Result<Duration> {
    row.try_get(column).map(Duration::from_millis)
}

/// A duration that may be missing.
pub(crate) fn maybe_duration(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Duration>> {
    Ok(row.try_get::<Option<u64>, _>(column)?.map(Duration::from_millis))
}

/// A value that is stored as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| unreadable(column, error))
}

/// Values as JSON text, for `json_each`.
pub(crate) fn to_json<T: Serialize + ?Sized>(values: &T) -> sqlx::Result<String> {
    serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// A number as SQLite holds it: its largest when it does not fit.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unreadable(column: &str, error: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
