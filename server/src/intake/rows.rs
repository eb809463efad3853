//! What intake decided, as rows: documents, changes with their numbers, seals.

use super::opened::{Opened, signer};
use crate::{
    insert::{Insert, Value},
    round::Round,
    stored::StoredDocument,
};
use kieumau_core::hash::Sha256;

/// Writes what became of these documents.
pub(super) fn write<'a>(
    round: &mut Round,
    documents: impl Iterator<Item = &'a Opened<'a>> + Clone,
    now_ms: i64,
) {
    let grown = documents.clone().filter(|opened| opened.grown);
    StoredDocument::write_all(round, grown.map(|opened| &opened.stored), now_ms);
    let mut changes = Insert::new(
        "insert into change (document_id, unit_id, hash, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, \
         state, number, bytes) values",
        12,
        "",
    );
    let mut ended = Insert::new(
        "with ended (document_id, hash, number) as (values",
        3,
        ") update change set state = 'accepted', number = ended.number from ended \
         where change.document_id = ended.document_id and change.hash = ended.hash",
    );
    let mut seals = Insert::new(
        "insert into seal (document_id, change_hash, signer, signature) values",
        4,
        "on conflict do nothing",
    );
    for opened in documents {
        let id = opened.stored.key.document();
        for (hash, number) in &opened.ended {
            ended.push([Value::text(id), Value::text(hash), (*number).into()]);
        }
        for row in opened.rows.values() {
            let candidate = &row.change.candidate;
            let deps: Vec<String> = candidate.deps.iter().map(Sha256::to_string).collect();
            let accepted = row.number.is_some();
            changes.push([
                Value::text(id),
                Value::text(opened.stored.key.unit),
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
    round.write(ended);
    round.write(changes);
    round.write(seals);
}
