//! Feeds: a unit's ordered list of entries. An entry gets its number in the transaction that stores it, under the feed's row
//! lock, so numbers appear in the order of commits and a reader can never skip one. Which number is `core::log::numbering`, a pure
//! function; here is the IO at both its ends.

use crate::{
    database::{Tx, holding},
    insert::{Insert, Value},
    round::Round,
    row::parsed,
};
pub use kieumau_core::log::numbering::Entry;
use kieumau_core::{
    id::UnitId,
    log::numbering::{self, Numbering},
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// Feeds held until the transaction ends; [`store`] writes what was appended.
pub struct Feeds(Numbering);

/// Holds the feeds of these units, in the order of their ids.
///
/// # Errors
/// What the database says; a unit that is not there is a foreign-key error.
pub async fn hold(tx: &mut Tx, units: &BTreeSet<UnitId>) -> Result<Feeds, sqlx::Error> {
    let rows = ask(tx, units).fetch(tx).await?;
    found(tx, units, &rows).await
}

/// Asks for the feeds of these units, to be held; [`found`] reads the answer.
pub fn ask(tx: &Tx, units: &BTreeSet<UnitId>) -> Insert {
    let mut asked = Insert::new(
        "with wanted (unit_id) as (values",
        1,
        format!(
            ") select f.unit_id, f.last_number from feed f where f.unit_id in (select unit_id from wanted) \
             order by f.unit_id{}",
            holding(tx, "f")
        ),
    );
    for unit in units {
        asked.push([Value::text(unit)]);
    }
    asked
}

/// The feeds that [`ask`] was answered. A unit that has none yet gets one.
///
/// # Errors
/// What the database says; a unit that is not there is a foreign-key error.
pub async fn found(
    tx: &mut Tx,
    units: &BTreeSet<UnitId>,
    rows: &[AnyRow],
) -> Result<Feeds, sqlx::Error> {
    let mut last = last_numbers(rows)?;
    let missing: BTreeSet<UnitId> = units
        .iter()
        .filter(|unit| !last.contains_key(unit))
        .copied()
        .collect();
    if !missing.is_empty() {
        let mut new = Insert::new(
            "insert into feed (unit_id, last_number, checked_through) values",
            3,
            "on conflict do nothing",
        );
        for unit in &missing {
            new.push([Value::text(unit), 0.into(), 0.into()]);
        }
        new.execute(tx).await?;
        last.extend(last_numbers(&ask(tx, &missing).fetch(tx).await?)?);
    }
    Ok(Feeds(Numbering::new(last)))
}

fn last_numbers(rows: &[AnyRow]) -> Result<BTreeMap<UnitId, i64>, sqlx::Error> {
    rows.iter()
        .map(|row| Ok((parsed(row, "unit_id")?, row.get(1))))
        .collect()
}

/// Writes the new entries and the last numbers.
///
/// # Errors
/// What the database says.
pub async fn store(tx: &mut Tx, feeds: Feeds) -> Result<(), sqlx::Error> {
    let mut round = Round::default();
    write(&mut round, feeds);
    round.run(tx).await?;
    Ok(())
}

/// What [`store`] writes, as part of a round.
pub fn write(round: &mut Round, feeds: Feeds) {
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
    let mut numbers = Insert::new(
        "with grown (unit_id, last_number) as (values",
        2,
        ") update feed set last_number = grown.last_number from grown where feed.unit_id = grown.unit_id",
    );
    for (unit, last) in numbered.last {
        numbers.push([Value::text(unit), last.into()]);
    }
    round.write(rows);
    round.write(numbers);
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
