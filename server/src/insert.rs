//! Many rows in few statements: values are gathered, then written in chunks of 32, 16, 8, 4, 2 and 1 rows.
//!
//! A statement costs a hop to SQLite's thread or a trip to PostgreSQL, whatever it carries: one row each, a document of 32
//! changes took some hundred of them. Chunks have few sizes so that both databases find each statement prepared.

use crate::{
    database::{Backend, Tx},
    round::Round,
};
use sqlx::{
    Arguments as _,
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
        let mut round = Round::default();
        round.write(self);
        round.run(tx).await?;
        Ok(())
    }

    /// Asks about the rows, which stand between `head` and `tail` as the rows of `values`; all answers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fetch(self, tx: &mut Tx) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut round = Round::default();
        let asked = round.ask(self);
        Ok(round.run(tx).await?.take(asked))
    }

    /// The statements that write the rows.
    pub(crate) fn writing(self) -> Vec<Statement> {
        let mut left = self.values.len() / self.columns;
        let mut values = self.values.into_iter();
        let mut statements = Vec::new();
        while left > 0 {
            let rows = chunk(left);
            statements.push(Statement {
                head: self.head,
                tail: self.tail.clone(),
                columns: self.columns,
                values: values.by_ref().take(rows * self.columns).collect(),
            });
            left -= rows;
        }
        statements
    }

    /// The statements that ask about the rows. The last row stands in them again and again until they have one of the few sizes:
    /// who asks twice gets told by a join on what is wanted, not on how often.
    pub(crate) fn asking(self) -> Vec<Statement> {
        let chunks = self.values.chunks(CHUNK * self.columns);
        chunks
            .map(|chunk| {
                let rows = chunk.len() / self.columns;
                let last = &chunk[(rows - 1) * self.columns..];
                let more = (rows.next_power_of_two() - rows) * self.columns;
                let repeated = last.iter().cycle().take(more);
                Statement {
                    head: self.head,
                    tail: self.tail.clone(),
                    columns: self.columns,
                    values: chunk.iter().chain(repeated).cloned().collect(),
                }
            })
            .collect()
    }
}

/// One statement with its values.
pub(crate) struct Statement {
    head: &'static str,
    tail: String,
    columns: usize,
    values: Vec<Value>,
}

impl Statement {
    /// How many values it has.
    pub(crate) fn size(&self) -> usize {
        self.values.len()
    }

    /// Writes its text to the end of `sql`.
    pub(crate) fn add_text(&self, sql: &mut String, backend: Backend) {
        sql.push_str(self.head);
        sql.push(' ');
        places(sql, backend, self.values.len() / self.columns, self.columns);
        sql.push_str(&self.tail);
    }

    /// Adds its values to the end of `arguments`.
    ///
    /// # Errors
    /// `Encode`.
    pub(crate) fn add_values(self, arguments: &mut AnyArguments) -> Result<(), sqlx::Error> {
        arguments.reserve(self.values.len(), 0);
        let mut values = self.values.into_iter();
        values.try_for_each(|value| value.add_to(arguments))
    }
}

/// The largest power of two that is at most `left` and [`CHUNK`].
fn chunk(left: usize) -> usize {
    1 << left.min(CHUNK).ilog2()
}

/// `($1,$2),($3,$4)`, only numbers of our own; on SQLite `(?,?),(?,?)`, for there `$1` is a name, and each binding of the driver
/// looks for its name among all of the statement's: 32 changes have 352.
fn places(sql: &mut String, backend: Backend, rows: usize, columns: usize) {
    sql.reserve(rows * columns * 6);
    for place in 0..rows * columns {
        sql.push_str(match (place, place % columns) {
            (0, _) => "(",
            (_, 0) => "),(",
            _ => ",",
        });
        match backend {
            Backend::Sqlite => sql.push('?'),
            Backend::Postgres => {
                let _ = write!(sql, "${}", place + 1);
            }
        }
    }
    sql.push_str(") ");
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
        let text = |backend| {
            let mut sql = String::new();
            places(&mut sql, backend, 2, 2);
            sql
        };
        assert_eq!(text(Backend::Postgres), "($1,$2),($3,$4) ");
        assert_eq!(text(Backend::Sqlite), "(?,?),(?,?) ");
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
