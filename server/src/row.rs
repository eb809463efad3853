//! Reading typed values out of a row: ids, hashes, roles and dates are text in the database and types in the program.
//!
//! A text that does not parse was not written by this program; it is an internal error, not a broken rule.

use sqlx::{Row as _, any::AnyRow};
use std::str::FromStr;

/// The text in `column`, parsed.
///
/// # Errors
/// `ColumnDecode` if there is none or it does not parse.
pub fn parsed<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|error: T::Err| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: Box::new(error),
        })
}

/// The text in `column`, parsed; none if it is null.
///
/// # Errors
/// `ColumnDecode` if it does not parse.
pub fn parsed_or_null<T>(row: &AnyRow, column: &str) -> Result<Option<T>, sqlx::Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.try_get::<Option<String>, _>(column)? {
        None => Ok(None),
        Some(_) => parsed(row, column).map(Some),
    }
}
