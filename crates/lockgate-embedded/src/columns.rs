//! Converts columns into typed values, and values into the JSON arrays that carry many rows into one
//! statement.
//!
//! A column whose text cannot be parsed is an error; no value is guessed.

use std::error::Error;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// Includes the text of a statement, named by its path under `sql/` without the extension.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// Reads a value that is stored as its text, such as a name, an id or a state.
pub(crate) fn parsed<T>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
{
    text(row, column)?.parse().map_err(|error| decode_error(column, error))
}

/// Reads a text column.
pub(crate) fn text(row: &SqliteRow, column: &str) -> sqlx::Result<String> {
    row.try_get(column)
}

/// Reads a duration that is stored in milliseconds.
pub(crate) fn duration(row: &SqliteRow, column: &str) -> sqlx::Result<Duration> {
    row.try_get(column).map(Duration::from_millis)
}

/// Reads a duration that is stored in milliseconds and may be null.
pub(crate) fn optional_duration(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Duration>> {
    Ok(row.try_get::<Option<u64>, _>(column)?.map(Duration::from_millis))
}

/// Reads a value that is stored as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| decode_error(column, error))
}

/// Serializes values as JSON text, usually an array for `json_each`.
pub(crate) fn to_json<T: Serialize + ?Sized>(values: &T) -> sqlx::Result<String> {
    serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Converts a number to SQLite's integer type, capped at its maximum.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn decode_error(column: &str, error: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
