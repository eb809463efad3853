//! Feeds: a unit's ordered list of entries. An entry gets its number in the transaction that stores it, under the feed's row
//! lock, so numbers appear in the order of commits and a reader can never skip one. Which number is `core::log::numbering`, a pure
//! function; here is the IO at both its ends.

use crate::{
    database::{Tx, holding},
    insert::{Insert, Value},
};
pub use kieumau_core::log::numbering::Entry;
use kieumau_core::{
    id::UnitId,
    log::numbering::{self, Numbering},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// Feeds held until the transaction ends; [`store`] writes what was appended.
pub struct Feeds(Numbering);

/// Holds the feeds of these units, in the order of their ids.
///
/// # Errors
/// What the database says; a unit that is not there is a foreign-key error.
pub async fn hold(tx: &mut Tx, units: &BTreeSet<UnitId>) -> Result<Feeds, sqlx::Error> {
    let mut last = BTreeMap::new();
    for unit in units {
        let number = match held(tx, *unit).await? {
            Some(number) => number,
            None => {
                sqlx::query(
                    "insert into feed (unit_id, last_number, checked_through) values ($1, 0, 0) on conflict do nothing",
                )
                .bind(unit.to_string())
                .execute(&mut **tx)
                .await?;
                held(tx, *unit).await?.ok_or(sqlx::Error::RowNotFound)?
            }
        };
        last.insert(*unit, number);
    }
    Ok(Feeds(Numbering::new(last)))
}

async fn held(tx: &mut Tx, unit: UnitId) -> Result<Option<i64>, sqlx::Error> {
    let sql = format!(
        "select last_number from feed where unit_id = $1{}",
        holding(tx)
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(unit.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Writes the new entries and the last numbers.
///
/// # Errors
/// What the database says.
pub async fn store(tx: &mut Tx, feeds: Feeds) -> Result<(), sqlx::Error> {
    let numbered = feeds.0.into_numbered();
    let mut rows = Insert::new(
        "insert into entry (unit_id, number, type, document_id, change_hash, person_id) values",
        6,
        "",
    );
    for (unit, number, entry) in numbered.entries {
        let (word, document, change, person) = match entry {
            Entry::Change(document, hash) => ("change", document, Some(hash), None),
            Entry::Grant(document, person) => ("grant", document, None, Some(person)),
            Entry::Ungrant(document, person) => ("ungrant", document, None, Some(person)),
        };
        rows.push([
            Value::text(unit),
            number.into(),
            word.into(),
            Value::text(document),
            Value::text_or_null(change),
            Value::text_or_null(person),
        ]);
    }
    rows.execute(tx).await?;
    for (unit, last) in numbered.last {
        sqlx::query("update feed set last_number = $1 where unit_id = $2")
            .bind(last)
            .bind(unit.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Moves `checked_through` up to the last entry before the first change that waits for the worker.
///
/// # Errors
/// What the database says.
pub async fn advance(tx: &mut Tx, unit: UnitId) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "select f.last_number, f.checked_through, (select min(d.unchecked_from) from document d \
         where d.unit_id = f.unit_id and d.unchecked_from is not null) from feed f where f.unit_id = $1",
    )
    .bind(unit.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let through = numbering::checked_through(row.get(0), row.get(2));
    if through != row.get::<i64, _>(1) {
        sqlx::query("update feed set checked_through = $1 where unit_id = $2")
            .bind(through)
            .bind(unit.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

impl Feeds {
    /// Gives `entry` the next number of the feed of `unit`, which must be held; [`store`] writes it.
    ///
    /// # Errors
    /// `RowNotFound` if the feed is not held.
    pub fn append(&mut self, unit: UnitId, entry: Entry) -> Result<i64, sqlx::Error> {
        self.0.append(unit, entry).ok_or(sqlx::Error::RowNotFound)
    }
}
