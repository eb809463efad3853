//! Feeds: a unit's ordered list of entries. An entry gets its number in the transaction that stores it, under the feed's row
//! lock, so numbers appear in the order of commits and a reader can never skip one.

use crate::database::Tx;
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// What an entry says.
pub enum Entry {
    /// A change was accepted.
    Change(DocumentId, Sha256),
    /// A person may read a document from here on: it is delivered whole.
    Grant(DocumentId, PersonId),
    /// A person may no longer.
    Ungrant(DocumentId, PersonId),
}

/// Feeds held until the transaction ends, with their last numbers.
pub struct Feeds(BTreeMap<UnitId, i64>);

/// Holds the feeds of these units, in the order of their ids.
///
/// # Errors
/// What the database says; a unit that is not there is a foreign-key error.
pub async fn hold(tx: &mut Tx, units: &BTreeSet<UnitId>) -> Result<Feeds, sqlx::Error> {
    let mut feeds = BTreeMap::new();
    for unit in units {
        let row = sqlx::query(
            "insert into feed (unit_id, last_number, checked_through) values ($1, 0, 0) \
             on conflict (unit_id) do update set last_number = feed.last_number returning last_number",
        )
        .bind(unit.to_string())
        .fetch_one(&mut **tx)
        .await?;
        feeds.insert(*unit, row.get(0));
    }
    Ok(Feeds(feeds))
}

/// Writes the last numbers back.
///
/// # Errors
/// What the database says.
pub async fn store(tx: &mut Tx, feeds: &Feeds) -> Result<(), sqlx::Error> {
    for (unit, last) in &feeds.0 {
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
    sqlx::query(
        "update feed set checked_through = coalesce((select min(c.number) - 1 from change c \
         join document d on d.document_id = c.document_id where d.unit_id = $1 and c.state = 'accepted'), last_number) \
         where unit_id = $1",
    )
    .bind(unit.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Feeds {
    /// Appends an entry to the feed of `unit`, which must be held; its number.
    ///
    /// # Errors
    /// What the database says; `RowNotFound` if the feed is not held.
    pub async fn append(
        &mut self,
        tx: &mut Tx,
        unit: UnitId,
        entry: Entry,
    ) -> Result<i64, sqlx::Error> {
        let last = self.0.get_mut(&unit).ok_or(sqlx::Error::RowNotFound)?;
        *last += 1;
        let (word, document, change, person) = match entry {
            Entry::Change(document, hash) => ("change", document, Some(hash.to_string()), None),
            Entry::Grant(document, person) => ("grant", document, None, Some(person.to_string())),
            Entry::Ungrant(document, person) => {
                ("ungrant", document, None, Some(person.to_string()))
            }
        };
        sqlx::query(
            "insert into entry (unit_id, number, type, document_id, change_hash, person_id) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(unit.to_string())
        .bind(*last)
        .bind(word)
        .bind(document.to_string())
        .bind(change)
        .bind(person)
        .execute(&mut **tx)
        .await?;
        Ok(*last)
    }
}
