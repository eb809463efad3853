//! Many rows in few statements: values are gathered, then written in chunks of 32, 16, 8, 4, 2 and 1 rows.
//!
//! A statement costs a hop to SQLite's thread or a trip to PostgreSQL, whatever it carries: one row each, a document of 32
//! changes took some hundred of them. Chunks have few sizes so that both databases find each statement prepared.

use crate::database::Tx;
use sqlx::{
    Arguments as _, AssertSqlSafe,
    any::{AnyArguments, AnyRow},
};
use std::fmt::Write as _;

/// Rows in one statement at most; a table of 19 columns stays far below what either database binds.
const CHUNK: usize = 32;

/// A value of a row. Null has a type too: PostgreSQL wants to know it.
#[derive(Clone, Debug)]
pub enum Value {
    /// `text`.
    Text(Option<String>),
    /// `bigint`.
    Integer(Option<i64>),
    /// `double precision`.
    Real(f64),
    /// `bytea`.
    Bytes(Vec<u8>),
}

impl Value {
    /// An id, a hash, a date: whatever has one text.
    pub fn text(value: impl ToString) -> Self {
        Self::Text(Some(value.to_string()))
    }

    /// The same, or null.
    pub fn text_or_null(value: Option<impl ToString>) -> Self {
        Self::Text(value.map(|value| value.to_string()))
    }

    fn add_to(self, arguments: &mut AnyArguments) -> Result<(), sqlx::Error> {
        match self {
            Self::Text(text) => arguments.add(text),
            Self::Integer(number) => arguments.add(number),
            Self::Real(number) => arguments.add(number),
            Self::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Rows on their way into one table, or into one statement that reads them as a table.
#[derive(Debug)]
pub struct Insert {
    head: &'static str,
    tail: String,
    columns: usize,
    values: Vec<Value>,
}

impl Insert {
    /// Rows of so many columns between `head` (`insert into t (a, b) values`) and `tail` (`on conflict do nothing`).
    pub fn new(head: &'static str, columns: usize, tail: impl Into<String>) -> Self {
        Self {
            head,
            tail: tail.into(),
            columns,
            values: Vec::new(),
        }
    }

    /// One more row.
    pub fn push<const COLUMNS: usize>(&mut self, row: [Value; COLUMNS]) {
        debug_assert_eq!(COLUMNS, self.columns, "{}", self.head);
        self.values.extend(row);
    }

    /// Writes the rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execute(self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        let Self {
            head,
            tail,
            columns,
            values,
        } = self;
        let mut left = values.len() / columns;
        let mut values = values.into_iter();
        while left > 0 {
            let rows = chunk(left);
            let mut arguments = AnyArguments::default();
            arguments.reserve(rows * columns, 0);
            for value in values.by_ref().take(rows * columns) {
                value.add_to(&mut arguments)?;
            }
            let sql = format!("{head} {} {tail}", places(1, rows, columns));
            sqlx::query_with(AssertSqlSafe(sql), arguments)
                .execute(&mut **tx)
                .await?;
            left -= rows;
        }
        Ok(())
    }

    /// Asks about the rows, which stand between `head` and `tail` as the rows of `values`; all answers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fetch(self, tx: &mut Tx) -> Result<Vec<AnyRow>, sqlx::Error> {
        let Self {
            head,
            tail,
            columns,
            values,
        } = self;
        let mut answers = Vec::new();
        for chunk in values.chunks(CHUNK * columns) {
            let rows = chunk.len() / columns;
            let padded = rows.next_power_of_two();
            // The last row again and again: who asks twice gets told by a join on what is wanted, not on how often.
            let last = &chunk[(rows - 1) * columns..];
            let mut arguments = AnyArguments::default();
            for value in chunk
                .iter()
                .chain(last.iter().cycle().take((padded - rows) * columns))
            {
                value.clone().add_to(&mut arguments)?;
            }
            let sql = format!("{head} {} {tail}", places(1, padded, columns));
            answers.extend(
                sqlx::query_with(AssertSqlSafe(sql), arguments)
                    .fetch_all(&mut **tx)
                    .await?,
            );
        }
        Ok(answers)
    }
}

/// The largest power of two that is at most `left` and [`CHUNK`].
fn chunk(left: usize) -> usize {
    1 << left.min(CHUNK).ilog2()
}

/// `($1,$2),($3,$4)`: only numbers of our own.
fn places(first: usize, rows: usize, columns: usize) -> String {
    let mut sql = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            if column > 0 {
                sql.push(',');
            }
            let _ = write!(sql, "${}", first + row * columns + column);
        }
        sql.push(')');
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::apps;
    use sqlx::Row as _;

    #[test]
    fn rows_fall_into_few_sizes_of_chunks() {
        let mut sizes = Vec::new();
        let mut left = 47;
        while left > 0 {
            sizes.push(chunk(left));
            left -= chunk(left);
        }
        assert_eq!(sizes, [32, 8, 4, 2, 1]);
        assert_eq!(places(1, 2, 2), "($1,$2),($3,$4)");
    }

    #[tokio::test]
    async fn every_row_arrives_once_and_is_found_again() {
        for app in apps().await {
            let mut tx = app.database.begin().await.expect("begins");
            let names: Vec<String> = (0..47).map(|number| format!("row-{number:02}")).collect();
            let mut insert = Insert::new("insert into setting (name, value) values", 2, "");
            for name in &names {
                insert.push([Value::text(name), Value::from("1")]);
            }
            insert.execute(&mut tx).await.expect("written");
            let mut wanted = Insert::new(
                "with wanted (name) as (values",
                1,
                ") select s.name from setting s where s.name in (select name from wanted)",
            );
            for name in &names {
                wanted.push([Value::text(name)]);
            }
            let found = wanted.fetch(&mut tx).await.expect("found");
            let mut found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
            found.sort_unstable();
            assert_eq!(found, names);
        }
    }
}
