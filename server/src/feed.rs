//! Feeds: a unit's ordered list of entries. An entry gets its number in the transaction that stores it, under the feed's row
//! lock, so numbers appear in the order of commits and a reader can never skip one. A row of `change` holds the
//! entries of its changes; `entry` holds the others. Which number is `core::log::numbering`, a pure
//! function; here is the IO at both its ends.

use crate::{
    database::{Tx, holding},
    insert::{Insert, Value},
    round::Round,
    row::parsed,
    run,
    vault::Vault,
};
pub use kieumau_core::log::numbering::Entry;
use kieumau_core::{
    id::{DocumentId, PhoneId, UnitId},
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

/// What [`store`] writes, as part of a round. A change says in its own row where it stands: who appends one writes that.
pub fn write(round: &mut Round, feeds: Feeds) {
    let numbered = feeds.0.into_numbered();
    let mut rows = Insert::new(
        "insert into entry (unit_id, number, type, document_id, person_id) values",
        5,
        "",
    );
    for (unit, number, entry) in numbered.entries {
        let (word, document, person) = match entry {
            Entry::Change(..) => continue,
            Entry::Grant(document, person) => ("grant", document, person),
            Entry::Ungrant(document, person) => ("ungrant", document, person),
        };
        rows.push([
            Value::text(unit),
            number.into(),
            word.into(),
            Value::text(document),
            Value::text(person),
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

/// Why the changes of a document are withheld that could not be checked at all.
pub const UNABLE: &str = "document-unable";

/// A document could not be checked; true if it stops holding up its feed: what is unchecked of it is withheld until [`release`].
///
/// # Errors
/// What the database says.
pub async fn unable(
    tx: &mut Tx,
    vault: &Vault,
    unit: UnitId,
    document: DocumentId,
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    hold(tx, &BTreeSet::from([unit])).await?;
    let row = sqlx::query(
        "update document set unable_tries = unable_tries + 1, unable_since_ms = coalesce(unable_since_ms, $1) \
         where document_id = $2 returning unable_tries, unable_since_ms",
    )
    .bind(now_ms)
    .bind(document.to_string())
    .fetch_one(&mut **tx)
    .await?;
    if !numbering::is_passed_over(row.get(0), row.get(1), now_ms) {
        return Ok(false);
    }
    run::single_out(tx, vault, document, None).await?;
    sqlx::query("update change set state = 'withheld', withheld_for = $1 where document_id = $2 and state = 'accepted'")
        .bind(UNABLE)
        .bind(document.to_string())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "update document set unchecked_from = null, unable_tries = 0, unable_since_ms = null where document_id = $1",
    )
    .bind(document.to_string())
    .execute(&mut **tx)
    .await?;
    advance(tx, unit).await?;
    Ok(true)
}

/// Why the changes of a phone are withheld unread of which others killed workers.
pub const KILLER: &str = "writer-kills-workers";

/// What is passed over.
pub struct PassedOver {
    /// How many changes.
    pub changes: usize,
    /// Whose feeds they held up.
    pub units: BTreeSet<UnitId>,
}

/// Withholds all that waits for the worker of what this phone wrote, wherever, until [`release`].
///
/// # Errors
/// What the database says.
pub async fn pass_over(
    tx: &mut Tx,
    vault: &Vault,
    writer: PhoneId,
) -> Result<PassedOver, sqlx::Error> {
    let actor = hex::encode(writer.as_bytes());
    let found = unread_of(tx, &actor).await?;
    let units: BTreeSet<UnitId> = found.iter().map(|(unit, _)| *unit).collect();
    hold(tx, &units).await?;
    let mut changes = 0;
    // Once more: its phone may have brought more before the feeds were held.
    for (unit, document) in unread_of(tx, &actor).await? {
        if !units.contains(&unit) {
            continue;
        }
        run::single_out(tx, vault, document, Some(writer)).await?;
        let rows = sqlx::query(
            "update change set state = 'withheld', withheld_for = $1 where state = 'accepted' and substr(actor, 1, 32) = $2 \
             and document_id = $3 returning change_count",
        )
        .bind(KILLER)
        .bind(&actor)
        .bind(document.to_string())
        .fetch_all(&mut **tx)
        .await?;
        changes += rows.iter().map(|row| row.get::<i64, _>(0)).sum::<i64>();
        look_from(tx, document).await?;
    }
    for unit in &units {
        advance(tx, *unit).await?;
    }
    Ok(PassedOver {
        changes: usize::try_from(changes).unwrap_or(usize::MAX),
        units,
    })
}

/// Documents, with their units, in which something of this phone waits for the worker.
async fn unread_of(tx: &mut Tx, actor: &str) -> Result<Vec<(UnitId, DocumentId)>, sqlx::Error> {
    let rows = sqlx::query(
        "select distinct d.unit_id, d.document_id from document d join change c on c.document_id = d.document_id \
         where d.unchecked_from is not null and c.state = 'accepted' and substr(c.actor, 1, 32) = $1 order by d.document_id",
    )
    .bind(actor)
    .fetch_all(&mut **tx)
    .await?;
    let documents = rows.iter();
    documents
        .map(|row| Ok((parsed(row, "unit_id")?, parsed(row, "document_id")?)))
        .collect()
}

/// Writes down from where a document is unchecked.
async fn look_from(tx: &mut Tx, document: DocumentId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update document set unchecked_from = (select min(coalesce(entered, number) - change_count + 1) from change \
         where document_id = $1 and state = 'accepted') where document_id = $1",
    )
    .bind(document.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets withheld changes in again, those withheld for `reason` or all: each gets a new entry, for readers are beyond its first. How many.
///
/// # Errors
/// What the database says.
pub async fn release(tx: &mut Tx, reason: Option<&str>) -> Result<u64, sqlx::Error> {
    let units = withheld(tx, reason).await?;
    let units = units.iter().map(|row| parsed(row, "unit_id"));
    let units: BTreeSet<UnitId> = units.collect::<Result<_, _>>()?;
    let mut feeds = hold(tx, &units).await?;
    let mut released = 0;
    let mut documents = BTreeSet::new();
    // Once more: another may have let some in before the feeds were held, and a number that no change gets would be a hole.
    for row in &withheld(tx, reason).await? {
        let (unit, document) = (parsed(row, "unit_id")?, parsed(row, "document_id")?);
        if !units.contains(&unit) {
            continue;
        }
        let hashes = run::hashes(row)?;
        let mut number = 0;
        for hash in &hashes {
            number = feeds.append(unit, Entry::Change(document, *hash))?;
        }
        let named = hashes.last().ok_or(sqlx::Error::RowNotFound)?;
        let entered = sqlx::query(
            "update change set state = 'accepted', withheld_for = null, entered = $1 \
             where document_id = $2 and hash = $3 and state = 'withheld'",
        )
        .bind(number)
        .bind(document.to_string())
        .bind(named.to_string())
        .execute(&mut **tx)
        .await?;
        released += entered.rows_affected() * hashes.len() as u64;
        documents.insert(document);
    }
    for document in documents {
        look_from(tx, document).await?;
    }
    store(tx, feeds).await?;
    Ok(released)
}

/// Changes withheld for `reason`, or all that are, in the order of their numbers.
async fn withheld(tx: &mut Tx, reason: Option<&str>) -> Result<Vec<AnyRow>, sqlx::Error> {
    sqlx::query(
        "select c.unit_id, c.document_id, c.hash, c.earlier from change c where c.state = 'withheld' \
         and coalesce($1, c.withheld_for) = c.withheld_for order by c.document_id, c.number",
    )
    .bind(reason.map(str::to_owned))
    .fetch_all(&mut **tx)
    .await
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
