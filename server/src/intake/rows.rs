//! What intake decided, as rows: documents, changes with their numbers, seals, quarantine.

use super::{
    RefusedChange,
    opened::{Opened, signer},
};
use crate::{
    app::App,
    database::Tx,
    insert::{Insert, Value},
    stored::StoredDocument,
};
use kieumau_core::{hash::Sha256, id::PhoneId};

/// Writes what became of these documents.
///
/// # Errors
/// What the database says.
pub(super) async fn store<'a>(
    tx: &mut Tx,
    documents: impl Iterator<Item = &'a Opened<'a>> + Clone,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let grown = documents.clone().filter(|opened| opened.grown);
    StoredDocument::store_all(tx, grown.map(|opened| &opened.stored), now_ms).await?;
    let mut changes = Insert::new(
        "insert into change (document_id, hash, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, state, \
         number, bytes) values",
        11,
        "",
    );
    let mut seals = Insert::new(
        "insert into seal (document_id, change_hash, signer, signature) values",
        4,
        "on conflict do nothing",
    );
    for opened in documents {
        let id = opened.stored.key.document();
        for (hash, number) in &opened.ended {
            sqlx::query("update change set state = 'accepted', number = $1 where document_id = $2 and hash = $3")
                .bind(*number)
                .bind(id.to_string())
                .bind(hash.to_string())
                .execute(&mut **tx)
                .await?;
        }
        for row in opened.rows.values() {
            let candidate = &row.change.candidate;
            let deps: Vec<String> = candidate.deps.iter().map(Sha256::to_string).collect();
            let accepted = row.number.is_some();
            changes.push([
                Value::text(id),
                Value::text(candidate.hash),
                String::from_utf8_lossy(&candidate.actor)
                    .into_owned()
                    .into(),
                i64::try_from(candidate.seq).unwrap_or(i64::MAX).into(),
                deps.join(" ").into(),
                row.change.written_at_s.into(),
                now_ms.into(),
                Value::text_or_null(row.carrier),
                if accepted { "accepted" } else { "waiting" }.into(),
                row.number.into(),
                opened
                    .stored
                    .close(candidate.hash, &row.change.bytes)
                    .into(),
            ]);
        }
        for seal in &opened.seals {
            seals.push([
                Value::text(id),
                Value::text(seal.change),
                signer(seal).into(),
                seal.signature.to_vec().into(),
            ]);
        }
    }
    changes.execute(tx).await?;
    seals.execute(tx).await
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
