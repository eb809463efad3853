//! Quarantine: what was refused when it came, and what a worker withheld later. Kept with its reason, never dropped, and shown to
//! nobody until somebody looks into it.
//!
//! The administration sees ids, reasons and sizes, and says whose chief may look ([`route`]); that chief opens the content
//! ([`content`]), in a worker and with a row in the audit, and lets in what a revoked phone wrote ([`admit`]). [`retry`](mod@retry)
//! tries everything else again after an upgrade.

mod admission;
mod content;
mod retry;

pub use admission::{admit, may_admit};
pub use content::content;
pub use retry::retry;

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    problem::{Answer, Problem},
    session::SignedIn,
};
use kieumau_core::{id::UnitId, person::Role};
use serde::Serialize;
use sqlx::Row as _;

/// Items on one page.
pub const PAGE: usize = 50;

/// One thing in quarantine: what may be known without opening it.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// How it is called: an id of its own if it was refused, the change's hash if it was withheld.
    pub id: String,
    /// `refused` or `withheld`.
    pub state: String,
    /// Whose chief may open it; none until it is routed.
    pub unit: Option<String>,
    /// Its document, if it names one.
    pub document: Option<String>,
    /// The change's hash; of the bytes if they are no change.
    pub hash: String,
    /// Why, a stable word.
    pub reason: String,
    /// The phone that brought it.
    pub carrier: Option<String>,
    /// When, Unix milliseconds.
    pub received_at_ms: i64,
    /// Its length.
    pub size_bytes: i64,
    /// When it was tried again and taken.
    pub admitted_at_ms: Option<i64>,
}

/// Which items.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Of this unit; of every unit, and of none, if there is none.
    pub unit: Option<UnitId>,
    /// This one.
    pub id: Option<&'a str>,
    /// Those after so many.
    pub after: usize,
    /// At most so many.
    pub limit: usize,
}

/// What lies in quarantine, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(app: &App, wanted: Wanted<'_>) -> Result<Vec<Item>, sqlx::Error> {
    let rows = sqlx::query(
        "select * from (select quarantine_id as id, 'refused' as state, unit_id, document_id, hash, reason, carrier_phone_id, \
         received_at_ms, size_bytes, admitted_at_ms from quarantine \
         union all select c.hash, 'withheld', d.unit_id, c.document_id, c.hash, c.withheld_for, c.carrier_phone_id, \
         c.received_at_ms, cast(length(c.bytes) as bigint), null from change c \
         join document d on d.document_id = c.document_id where c.state = 'withheld') item \
         where ($1 = '' or unit_id = $1) and ($2 = '' or id = $2) \
         order by received_at_ms desc, id limit $3 offset $4",
    )
    .bind(wanted.unit.map_or_else(String::new, |unit| unit.to_string()))
    .bind(wanted.id.unwrap_or_default())
    .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
    .bind(i64::try_from(wanted.after).unwrap_or(i64::MAX))
    .fetch_all(&app.database.read)
    .await?;
    let item = |row: &sqlx::any::AnyRow| Item {
        id: row.get(0),
        state: row.get(1),
        unit: row.get(2),
        document: row.get(3),
        hash: row.get(4),
        reason: row.get::<Option<String>, _>(5).unwrap_or_default(),
        carrier: row.get(6),
        received_at_ms: row.get(7),
        size_bytes: row.get(8),
        admitted_at_ms: row.get(9),
    };
    Ok(rows.iter().map(item).collect())
}

/// The item of this id as far as `who` may know of it: a chief of the own unit, an admin of every one.
///
/// # Errors
/// `not-found`, also for another unit's.
pub async fn find(app: &App, who: &SignedIn, id: &str) -> Answer<Item> {
    let unit = (who.role != Role::Admin).then_some(who.unit);
    let wanted = Wanted {
        unit,
        id: Some(id),
        after: 0,
        limit: 1,
    };
    list(app, wanted)
        .await?
        .pop()
        .ok_or_else(Problem::not_found)
}

/// The administration says whose chief may open an item that names no unit of its carrier's. Once.
///
/// # Errors
/// `forbidden` unless by an admin; `not-found`; `changed-meanwhile` for what is routed already.
pub async fn route(app: &App, by: &SignedIn, id: &str, unit: UnitId) -> Answer<()> {
    if by.role != Role::Admin {
        return Err(Problem::forbidden());
    }
    let item = find(app, by, id).await?;
    if item.unit.is_some() {
        return Err(Problem::changed());
    }
    let mut tx = app.database.begin().await?;
    let routed = sqlx::query(
        "update quarantine set unit_id = $1 where quarantine_id = $2 and unit_id is null \
         and exists (select 1 from unit where unit_id = $1)",
    )
    .bind(unit.to_string())
    .bind(id)
    .execute(&mut *tx)
    .await?;
    if routed.rows_affected() == 0 {
        return Err(Problem::changed());
    }
    let deed = Deed {
        unit: Some(unit),
        subject: Some(id.to_owned()),
        ..by.deed("quarantine-routed")
    };
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
