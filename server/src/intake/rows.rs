//! What intake decided, as rows: changes with their numbers, seals, quarantine, and in which leaf each change stands.

use super::{PreparedChange, PreparedDocument, RefusedChange};
use crate::{app::App, database::Tx, feed, stored::StoredDocument};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PhoneId},
    log::admission::{Admitted, Candidate, Outcome},
    seal::{Seal, Signer},
};
use std::collections::{BTreeMap, BTreeSet};

#[expect(
    clippy::too_many_arguments,
    reason = "one row's columns come from all of these"
)]
pub(super) async fn put_changes(
    app: &App,
    tx: &mut Tx,
    feeds: &mut feed::Feeds,
    carrier: Option<PhoneId>,
    stored: &StoredDocument,
    arrived: &PreparedDocument,
    admitted: &Admitted,
    waited: &[Candidate],
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let id = arrived.key.document();
    let mut numbers: BTreeMap<Sha256, i64> = BTreeMap::new();
    for hash in &admitted.accepted {
        numbers.insert(
            *hash,
            feeds
                .append(tx, arrived.key.unit, feed::Entry::Change(id, *hash))
                .await?,
        );
    }
    let waited: BTreeSet<Sha256> = waited.iter().map(|candidate| candidate.hash).collect();
    for hash in waited.iter().filter(|hash| numbers.contains_key(hash)) {
        sqlx::query("update change set state = 'accepted', number = $1 where document_id = $2 and hash = $3")
            .bind(numbers[hash])
            .bind(id.to_string())
            .bind(hash.to_string())
            .execute(&mut **tx)
            .await?;
    }
    let mut seen = BTreeSet::new();
    for change in arrived
        .changes
        .iter()
        .filter(|change| !waited.contains(&change.candidate.hash))
    {
        let hash = change.candidate.hash;
        if !seen.insert(hash) {
            continue;
        }
        match admitted.outcomes.get(&hash) {
            Some(Outcome::Accepted) => {
                put_change(
                    tx,
                    stored,
                    id,
                    carrier,
                    change,
                    "accepted",
                    Some(numbers[&hash]),
                    now_ms,
                )
                .await?;
            }
            Some(Outcome::Waiting) => {
                put_change(tx, stored, id, carrier, change, "waiting", None, now_ms).await?
            }
            Some(Outcome::Refused(refusal)) => {
                let document = Some(arrived.key.clone());
                let refused = RefusedChange {
                    document,
                    hash,
                    refusal: *refusal,
                    bytes: change.bytes.clone(),
                };
                quarantine(app, tx, carrier, &refused, now_ms).await?;
            }
            Some(Outcome::Held) | None => {}
        }
    }
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "one row's columns come from all of these"
)]
async fn put_change(
    tx: &mut Tx,
    stored: &StoredDocument,
    id: DocumentId,
    carrier: Option<PhoneId>,
    change: &PreparedChange,
    state: &str,
    number: Option<i64>,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let candidate = &change.candidate;
    let deps: Vec<String> = candidate.deps.iter().map(Sha256::to_string).collect();
    sqlx::query(
        "insert into change (document_id, hash, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, state, \
         number, bytes) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(id.to_string())
    .bind(candidate.hash.to_string())
    .bind(String::from_utf8_lossy(&candidate.actor).into_owned())
    .bind(i64::try_from(candidate.seq).unwrap_or(i64::MAX))
    .bind(deps.join(" "))
    .bind(change.written_at_s)
    .bind(now_ms)
    .bind(carrier.map(|phone| phone.to_string()))
    .bind(state)
    .bind(number)
    .bind(stored.close(candidate.hash, &change.bytes))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the seals whose change is here.
pub(super) async fn put_seals(
    tx: &mut Tx,
    id: DocumentId,
    seals: &[Seal],
    admitted: &Admitted,
) -> Result<(), sqlx::Error> {
    for seal in seals {
        let lands = !matches!(
            admitted.outcomes.get(&seal.change),
            None | Some(Outcome::Refused(_))
        );
        // A seal whose own change did not land may still be what covers an earlier one that did.
        if !lands && admitted.accepted.is_empty() {
            continue;
        }
        let signer = match seal.signer {
            Signer::Phone(phone) => phone.to_string(),
            Signer::Server(fingerprint) => fingerprint.to_string(),
        };
        sqlx::query(
            "insert into seal (document_id, change_hash, signer, signature) values ($1, $2, $3, $4) \
             on conflict do nothing",
        )
        .bind(id.to_string())
        .bind(seal.change.to_string())
        .bind(signer)
        .bind(seal.signature.to_vec())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Keeps refused bytes with their reason, under a key of their own. Never dropped.
pub(super) async fn quarantine(
    app: &App,
    tx: &mut Tx,
    carrier: Option<PhoneId>,
    refused: &RefusedChange,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let (key, wrapped) = app.vault.new_key(&id);
    let nonce = [0; 24];
    sqlx::query(
        "insert into quarantine (quarantine_id, unit_id, document_id, hash, reason, carrier_phone_id, received_at_ms, \
         wrapped_key, bytes) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (hash, reason) do nothing",
    )
    .bind(id)
    .bind(refused.document.as_ref().map(|key| key.unit.to_string()))
    .bind(refused.document.as_ref().map(|key| key.document().to_string()))
    .bind(refused.hash.to_string())
    .bind(refused.refusal.word())
    .bind(carrier.map(|phone| phone.to_string()))
    .bind(now_ms)
    .bind(wrapped)
    .bind(crate::vault::seal(&key, &nonce, refused.hash.as_bytes(), &refused.bytes))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down in which leaf the changes stand.
pub(super) async fn place(
    tx: &mut Tx,
    id: DocumentId,
    accepted: &[Sha256],
    position: u64,
) -> Result<(), sqlx::Error> {
    for hash in accepted {
        sqlx::query("update change set leaf = $1 where document_id = $2 and hash = $3")
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(id.to_string())
            .bind(hash.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
