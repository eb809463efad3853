//! Rows of a database that may be damaged, as loose as they are: read from both ends of each table, so that one bad page costs what lies
//! on it, and written as they were. What they mean is for `salvage` to see.

use super::{database, error::PhoneError};
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Row as _, Sqlite, Transaction, TypeInfo as _,
    ValueRef as _, sqlite::SqliteRow,
};
use std::{collections::BTreeMap, path::Path};

/// A row as it was read: its columns' names and what they held.
pub(super) type Loose = Vec<(String, Held)>;

/// What a column held.
#[derive(Clone)]
pub(super) enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Held {
    fn of(row: &SqliteRow, at: usize) -> Result<Self, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        Ok(match value.type_info().name() {
            "INTEGER" | "BOOLEAN" => Self::Integer(row.try_get_unchecked(at)?),
            "REAL" => Self::Real(row.try_get_unchecked(at)?),
            "BLOB" => Self::Blob(row.try_get_unchecked(at)?),
            _ => Self::Text(row.try_get_unchecked(at)?),
        })
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn loose(row: &SqliteRow) -> Result<Loose, sqlx::Error> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(at, column)| Ok((column.name().to_owned(), Held::of(row, at)?)))
        .collect()
}

/// The column of this name.
pub(super) fn column<'a>(row: &'a Loose, name: &str) -> &'a Held {
    let found = row.iter().find(|(column, _)| column == name);
    found.map_or(&Held::Null, |(_, held)| held)
}

/// What could be read of one table.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Loose>,
    whole: bool,
}

impl Table {
    /// Reads the rows that can be read, from the table's beginning up to the first that cannot, and from its end likewise. What was read
    /// whole before is not read again; to what was not, rows are added.
    ///
    /// # Errors
    /// `StorageFull`: that says nothing about the table.
    pub(super) async fn read(
        &mut self,
        path: &Path,
        key: &[u8; 32],
        table: &str,
        by: &str,
    ) -> Result<(), PhoneError> {
        for direction in ["asc", "desc"] {
            if self.whole {
                return Ok(());
            }
            let sql = format!(
                "select *, cast({by} as text) as by_key from {table} order by {by} {direction}"
            );
            let (read, whole) = read_until_bad(path, key, &sql).await?;
            for mut row in read {
                if let Some((_, Held::Text(key))) = row.pop() {
                    self.rows.entry(key).or_insert(row);
                }
            }
            self.whole = whole;
        }
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Loose> {
        self.rows.values()
    }
}

/// Reads rows until one is bad; whether none was. Each reading has a connection of its own: after a bad page SQLCipher gives nothing more.
async fn read_until_bad(
    path: &Path,
    key: &[u8; 32],
    sql: &str,
) -> Result<(Vec<Loose>, bool), PhoneError> {
    use futures_util::TryStreamExt as _;
    let mut connection = match database::connect(path, key).await {
        Ok(connection) => connection,
        Err(PhoneError::StorageFull) => return Err(PhoneError::StorageFull),
        Err(_) => return Ok((Vec::new(), false)),
    };
    let mut read = Vec::new();
    let ended: Result<(), PhoneError> = async {
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await? {
            read.push(loose(&row)?);
        }
        Ok(())
    }
    .await;
    connection.close().await.ok();
    match ended {
        Err(PhoneError::StorageFull) => Err(PhoneError::StorageFull),
        ended => Ok((read, ended.is_ok())),
    }
}

/// Writes a row as it was.
pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    table: &str,
    row: &Loose,
) -> Result<(), PhoneError> {
    let names: Vec<&str> = row.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "insert into {table} ({}) values ({}) on conflict do nothing",
        names.join(", "),
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (_, held) in row {
        query = match held.clone() {
            Held::Null => query.bind(None::<i64>),
            Held::Integer(number) => query.bind(number),
            Held::Real(number) => query.bind(number),
            Held::Text(text) => query.bind(text),
            Held::Blob(bytes) => query.bind(bytes),
        };
    }
    query.execute(&mut **tx).await?;
    Ok(())
}
