//! The chief's word about a revoked phone: what it had not got into the log by its revocation lies in quarantine until the chief of
//! the unit has looked into it and lets it in. It is stored then as any other change, with a leaf that names who let it in, and with
//! a row in the audit, all in one transaction; the checker and the pages take it from there.
//!
//! Let in is what one phone wrote in one document, all that lies there of it: one seal stands for a run of changes, and a change
//! without the one before it is none. If anything of it does not fit, nothing is let in and all stays where it is.

use super::{Item, Wanted, content, find, list};
use crate::{
    app::App,
    audit::{self, Deed},
    clock, intake,
    problem::{Answer, Problem},
    session::SignedIn,
    stored::damaged,
    sync::{delivery, push},
};
use axum::http::StatusCode;
use kieumau_core::{
    document::{Actor, Key, Kind},
    header,
    id::{PhoneId, UnitId},
    log::admission::Refusal,
    person::Role,
    seal::Seal,
    wire::{Push, PushedDocument, WireKey},
};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// What one phone wrote in one document and was refused because the phone was revoked.
struct OfRevoked {
    key: Key,
    writer: PhoneId,
    carrier: PhoneId,
    /// The items, and their bytes.
    items: Vec<(String, Vec<u8>)>,
    seals: Vec<Seal>,
}

/// Whether `who` may let this item in.
pub fn may_admit(who: &SignedIn, item: &Item) -> bool {
    who.role == Role::Chief
        && item.unit.as_deref() == Some(who.unit.to_string().as_str())
        && item.reason == Refusal::PhoneRevoked.word()
        && item.state == "refused"
        && item.admitted_at_ms.is_none()
}

/// Lets in what the item's phone wrote in its document. How many changes.
///
/// # Errors
/// `forbidden` for any other role; `not-found` for another unit's; `changed-meanwhile` for what is let in already or was refused for
/// another reason; `lacks-an-ancestor` if something of it does not fit: nothing is let in then.
pub async fn admit(app: &App, who: &SignedIn, id: &str) -> Answer<usize> {
    let item = find(app, who, id).await?;
    if who.role != Role::Chief {
        return Err(Problem::forbidden());
    }
    if !may_admit(who, &item) {
        return Err(Problem::changed());
    }
    let found = OfRevoked::beside(app, &item).await?;
    let (changes, count) = (
        found.items.iter().map(|(_, bytes)| bytes.clone()),
        found.items.len(),
    );
    let document = PushedDocument {
        key: WireKey::from(&found.key),
        changes: changes.collect(),
        seals: found.seals,
    };
    let again = Push {
        documents: vec![document],
        ..Push::default()
    };
    let prepared = push::prepare_admitted(app, found.carrier, who.unit, again).await?;
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let outcomes = intake::admit(app, &mut tx, &prepared, who.person, now_ms).await?;
    // What would only wait is not let in: it would be refused again when its ancestor comes.
    let of_it: BTreeSet<_> = prepared
        .documents
        .iter()
        .flat_map(|document| document.changes.iter().map(|change| change.candidate.hash))
        .chain(prepared.refused.iter().map(|refused| refused.hash))
        .collect();
    let unfit = outcomes
        .iter()
        .any(|outcome| of_it.contains(&outcome.hash) && outcome.word != "held");
    if unfit {
        return Err(unfitting());
    }
    for (id, _) in &found.items {
        let marked = sqlx::query(
            "update quarantine set admitted_at_ms = $1 where quarantine_id = $2 and admitted_at_ms is null",
        )
        .bind(now_ms)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        if marked.rows_affected() == 0 {
            return Err(Problem::changed());
        }
    }
    let deed = Deed {
        phone: Some(found.writer),
        unit: Some(who.unit),
        subject: Some(found.key.document().to_string()),
        detail: Some(count.to_string()),
        ..who.deed("quarantine-admitted")
    };
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    app.checker.wake();
    Ok(count)
}

const fn unfitting() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "lacks-an-ancestor",
        "It does not fit its document, or what it builds on is not here. Nothing was let in.",
    )
}

impl OfRevoked {
    /// What lies beside `item` of the same phone in the same document, with every seal of that phone that is known there.
    async fn beside(app: &App, item: &Item) -> Answer<Self> {
        let writer = writer(&content::bytes(app, item).await?)?;
        let row =
            sqlx::query("select unit_id, kind, name from quarantine where quarantine_id = $1")
                .bind(&item.id)
                .fetch_one(&app.database.read)
                .await?;
        let (unit, kind): (UnitId, Kind) = (
            crate::row::parsed(&row, "unit_id")?,
            crate::row::parsed(&row, "kind")?,
        );
        let key = Key::parse(kind, unit, &row.get::<String, _>(2))?;
        let carrier = item
            .carrier
            .as_ref()
            .and_then(|carrier| carrier.parse().ok());
        let mut found = Self {
            writer,
            carrier: carrier.unwrap_or(writer),
            items: Vec::new(),
            seals: Vec::new(),
            key,
        };
        let document = found.key.document().to_string();
        let wanted = Wanted {
            unit: Some(unit),
            limit: usize::MAX,
            ..Wanted::default()
        };
        let others = list(app, wanted).await?.into_iter().filter(|other| {
            other.document.as_deref() == Some(document.as_str())
                && other.reason == item.reason
                && other.state == item.state
                && other.admitted_at_ms.is_none()
        });
        for other in others {
            let bytes = content::bytes(app, &other).await?;
            if self::writer(&bytes)? == writer {
                found.seals.extend(seals_beside(app, &other).await?);
                found.items.push((other.id, bytes));
            }
        }
        let rows = sqlx::query(
            "select change_hash, signer, signature from seal where document_id = $1 and signer = $2",
        )
        .bind(&document)
        .bind(writer.to_string())
        .fetch_all(&app.database.read)
        .await?;
        for row in &rows {
            found
                .seals
                .push(delivery::seal_of(found.key.document(), row)?);
        }
        Ok(found)
    }
}

async fn seals_beside(app: &App, item: &Item) -> Answer<Vec<Seal>> {
    let row = sqlx::query("select seals from quarantine where quarantine_id = $1")
        .bind(&item.id)
        .fetch_one(&app.database.read)
        .await?;
    Ok(minicbor::decode(&row.get::<Vec<u8>, _>(0)).map_err(|_| damaged("seals in quarantine"))?)
}

/// The phone that wrote a change.
fn writer(bytes: &[u8]) -> Result<PhoneId, sqlx::Error> {
    let header = header::read(bytes).map_err(|_| damaged("a change in quarantine"))?;
    let actor = Actor::from_slice(header.actor).ok_or(damaged("a change's actor"))?;
    Ok(actor.phone)
}

#[cfg(test)]
mod tests;
