//! Conversions of columns, shared by both databases. A value that cannot be converted is an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::category::Category;

/// Returns the text of a statement, by its path under `sql/` without the extension.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// A row of either database, with getters for the column types of these tables.
pub(crate) trait Columns {
    /// Returns an integer.
    fn number(&self, column: &str) -> sqlx::Result<i64>;
    /// Returns an integer, or `None` for NULL.
    fn maybe_number(&self, column: &str) -> sqlx::Result<Option<i64>>;
    /// Returns a floating point number.
    fn real(&self, column: &str) -> sqlx::Result<f64>;
    /// Returns a boolean.
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
    /// Returns a text.
    fn text(&self, column: &str) -> sqlx::Result<String>;
    /// Returns a text, or `None` for NULL.
    fn maybe_text(&self, column: &str) -> sqlx::Result<Option<String>>;
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn number(&self, column: &str) -> sqlx::Result<i64> {
                self.try_get(column)
            }

            fn maybe_number(&self, column: &str) -> sqlx::Result<Option<i64>> {
                self.try_get(column)
            }

            fn real(&self, column: &str) -> sqlx::Result<f64> {
                self.try_get(column)
            }

            fn flag(&self, column: &str) -> sqlx::Result<bool> {
                self.try_get(column)
            }

            fn text(&self, column: &str) -> sqlx::Result<String> {
                self.try_get(column)
            }

            fn maybe_text(&self, column: &str) -> sqlx::Result<Option<String>> {
                self.try_get(column)
            }
        }
    };
}

columns_of!(SqliteRow);
columns_of!(PgRow);

/// Converts a number to the integer type of both databases. Larger numbers become the largest integer.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a count. A negative number is an error.
pub(crate) fn count<N>(row: &dyn Columns, column: &str) -> sqlx::Result<N>
where
    N: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    row.number(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// Returns a category, stored as its number.
pub(crate) fn category(row: &dyn Columns, column: &str) -> sqlx::Result<Category> {
    let number = row.number(column)?;
    Category::numbered(number).ok_or_else(|| unreadable(column, sqlx::Error::RowNotFound))
}

/// Parses a value that is stored as text.
pub(crate) fn word<T>(row: &dyn Columns, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.text(column)?.parse().map_err(|error| unreadable(column, error))
}

/// Parses a value that is stored or returned as JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &dyn Columns, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(&row.text(column)?).map_err(|error| unreadable(column, error))
}

/// Formats values as JSON, for a statement that reads many rows from one parameter.
pub(crate) fn to_json<T: Serialize + ?Sized>(values: &T) -> sqlx::Result<String> {
    serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn unreadable(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
