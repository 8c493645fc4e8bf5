//! Between columns and words. It must never guess: a column that does not read back as its word is an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::category::Category;

/// The text of a statement, by its path under `sql/` without the ending.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// A number as SQLite holds it: its largest when it does not fit.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count that is never negative.
pub(crate) fn count(row: &SqliteRow, column: &str) -> sqlx::Result<u64> {
    row.try_get::<i64, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// A category that is stored as its number.
pub(crate) fn category(row: &SqliteRow, column: &str) -> sqlx::Result<Category> {
    let number: i64 = row.try_get(column)?;
    Category::numbered(number).ok_or_else(|| unreadable(column, sqlx::Error::RowNotFound))
}

/// A word that is stored as its text.
pub(crate) fn word<T>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<String, _>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A value that is stored, or put together, as JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| unreadable(column, error))
}

/// Values as JSON text, for `json_each`.
pub(crate) fn to_json<T: Serialize + ?Sized>(values: &T) -> sqlx::Result<String> {
    serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn unreadable(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
