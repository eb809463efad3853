//! Trying again (`kieumau quarantine retry`): after an upgrade, or when somebody removed the cause. What was refused is pushed once
//! more by the rules of now, with the seals that came with it; what was withheld is given to a worker once more. Nothing is taken
//! that a push of today would not be.
//!
//! What a revoked phone wrote is not tried: that is decided by a person and not by an upgrade.

use super::{Item, Wanted, content, list};
use crate::{
    app::App,
    checker, clock, committer,
    problem::{Answer, Problem},
    stored::damaged,
    sync::push,
};
use kieumau_core::{
    document::{Key, Kind},
    id::{PhoneId, UnitId},
    log::admission::{Refusal, Remedy},
    seal::Seal,
    wire::{Push, PushedDocument, WireKey},
};
use serde::Serialize;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// Items that are read at a time.
const AT_ONCE: usize = 200;

/// What became of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Refused before, and taken now.
    pub admitted: u64,
    /// Refused again, or still not to be tried.
    pub refused: u64,
    /// Withheld before, and given to a worker again.
    pub rechecked: u64,
}

/// Whether a refusal may have healed by itself. What its phone writes anew or leaves out is not tried: taken after all, it would
/// stand beside what the phone wrote in its stead, one of the two hidden. A person decides about such a one.
fn may_heal(reason: &str) -> bool {
    Refusal::of_word(reason).is_some_and(|refusal| {
        // What came by a rescue file has no seals to try it with.
        !matches!(refusal, Refusal::PhoneRevoked | Refusal::LacksAnAncestor)
            && matches!(refusal.remedy(), Remedy::Person | Remedy::SendAgain)
    })
}

/// Tries everything in quarantine again. Run it again and it is as before.
///
/// # Errors
/// `internal`; what was taken by then is taken.
pub async fn retry(app: &App) -> Answer<Retried> {
    let mut retried = Retried::default();
    let mut documents: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let wanted = Wanted {
            after,
            limit: AT_ONCE,
            ..Wanted::default()
        };
        let items = list(app, wanted).await?;
        if items.is_empty() {
            break;
        }
        after += items.len();
        for item in items {
            match &item.document {
                _ if item.state != "refused" || item.admitted_at_ms.is_some() => {}
                Some(document) if may_heal(&item.reason) => {
                    documents.entry(document.clone()).or_default().push(item);
                }
                _ => retried.refused += 1,
            }
        }
    }
    for items in documents.into_values() {
        let taken = together(app, &items).await?;
        retried.admitted += taken;
        retried.refused += items.len() as u64 - taken;
    }
    retried.rechecked = checker::recheck(app).await?;
    Ok(retried)
}

/// Pushes again what lies there of one document, all of it together: one seal stands for a run of changes, of which only the last
/// carries it. How many items are in the log, or wait for an ancestor, now.
async fn together(app: &App, items: &[Item]) -> Answer<u64> {
    let mut tried = Vec::new();
    let mut document = None;
    for item in items {
        let row = sqlx::query(
            "select unit_id, kind, name, seals from quarantine where quarantine_id = $1",
        )
        .bind(&item.id)
        .fetch_one(&app.database.read)
        .await?;
        let Some((key, carrier)) = named(&row, item) else {
            continue;
        };
        let seals = minicbor::decode::<Vec<Seal>>(&row.get::<Vec<u8>, _>(3))
            .map_err(|_| damaged("seals in quarantine"))?;
        let (_, _, pushed) = document.get_or_insert_with(|| {
            let pushed = PushedDocument {
                key: WireKey::from(&key),
                changes: Vec::new(),
                seals: Vec::new(),
            };
            (carrier, key.unit, pushed)
        });
        pushed.changes.push(content::bytes(app, item).await?);
        pushed.seals.extend(seals);
        tried.push(item);
    }
    let Some((carrier, unit, document)) = document else {
        return Ok(0);
    };
    let again = Push {
        documents: vec![document],
        ..Push::default()
    };
    let prepared = push::prepare(app, carrier, unit, again).await?;
    let mut pushed = committer::commit(app, &[&prepared])
        .await
        .map_err(Problem::from)?;
    let outcomes = pushed.pop().unwrap_or_default().changes;
    let refused: BTreeSet<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.is_kept())
        .map(|outcome| outcome.hash.to_string())
        .collect();
    let mut tx = app.database.begin().await?;
    let mut taken = 0;
    for item in tried.iter().filter(|item| !refused.contains(&item.hash)) {
        sqlx::query("update quarantine set admitted_at_ms = $1 where quarantine_id = $2")
            .bind(clock::now_ms())
            .bind(&item.id)
            .execute(&mut *tx)
            .await?;
        taken += 1;
    }
    tx.commit().await?;
    Ok(taken)
}

/// The document it was pushed for and who brought it; none for what names no document, or one of a unit that it was not routed to.
fn named(row: &sqlx::any::AnyRow, item: &Item) -> Option<(Key, PhoneId)> {
    let unit: UnitId = row.get::<Option<String>, _>(0)?.parse().ok()?;
    let kind: Kind = row.get::<Option<String>, _>(1)?.parse().ok()?;
    let key = Key::parse(kind, unit, &row.get::<Option<String>, _>(2)?).ok()?;
    let carrier = item.carrier.as_ref()?.parse().ok()?;
    let same = item.document.as_deref() == Some(key.document().to_string().as_str());
    same.then_some((key, carrier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_phone_wrote_anew_is_not_taken_a_second_time() {
        let tried: Vec<&str> = Refusal::ALL
            .iter()
            .map(|refusal| refusal.word())
            .filter(|word| may_heal(word))
            .collect();
        assert_eq!(
            tried,
            ["not-allowed", "too-many-waiting", "quarantine-full"]
        );
        assert!(!may_heal("a word of another version"));
    }
}
