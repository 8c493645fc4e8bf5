//! Between columns and words, the same for both databases. It must never guess: a column that does not read back as its
//! word is an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::category::Category;

/// The text of a statement, by its path under `sql/` without the ending.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// A row of either database, by the kinds of columns that these tables have.
pub(crate) trait Columns {
    /// A number.
    fn number(&self, column: &str) -> sqlx::Result<i64>;
    /// A number that may be missing.
    fn maybe_number(&self, column: &str) -> sqlx::Result<Option<i64>>;
    /// A number with a fraction.
    fn real(&self, column: &str) -> sqlx::Result<f64>;
    /// Yes or no.
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
    /// A text.
    fn text(&self, column: &str) -> sqlx::Result<String>;
    /// A text that may be missing.
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

/// A number as both databases hold it: the largest when it does not fit.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count that is never negative.
pub(crate) fn count<N>(row: &dyn Columns, column: &str) -> sqlx::Result<N>
where
    N: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    row.number(column)?.try_into().map_err(|error| unreadable(column, error))
}

/// A category that is stored as its number.
pub(crate) fn category(row: &dyn Columns, column: &str) -> sqlx::Result<Category> {
    let number = row.number(column)?;
    Category::numbered(number).ok_or_else(|| unreadable(column, sqlx::Error::RowNotFound))
}

/// A word that is stored as its text.
pub(crate) fn word<T>(row: &dyn Columns, column: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.text(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A value that is stored, or put together, as JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &dyn Columns, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(&row.text(column)?).map_err(|error| unreadable(column, error))
}

/// Values as JSON text, for a statement that reads many rows from one parameter.
pub(crate) fn to_json<T: Serialize + ?Sized>(values: &T) -> sqlx::Result<String> {
    serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn unreadable(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
