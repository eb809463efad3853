//! What intake decided, as rows: documents, changes with their numbers, seals.

use super::opened::{Opened, signer};
use crate::{
    insert::{Insert, Value},
    round::Round,
    run,
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
    let mut rows = Insert::new(
        "insert into change (document_id, unit_id, hash, actor, seq, deps, written_at_s, written_from_s, received_at_ms, \
         carrier_phone_id, state, number, change_count, earlier, bytes) values",
        15,
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
        for run in opened.runs() {
            let (Some(first), Some((last, earlier))) = (run.first(), run.split_last()) else {
                continue;
            };
            let candidate = &last.change.candidate;
            let earlier: Vec<Sha256> = earlier.iter().map(|row| row.hash()).collect();
            let times = run.iter().map(|row| row.change.written_at_s);
            let changes: Vec<(Sha256, &[u8])> = run
                .iter()
                .map(|row| (row.hash(), row.change.bytes.as_slice()))
                .collect();
            let accepted = last.number.is_some();
            rows.push([
                Value::text(id),
                Value::text(opened.stored.key.unit),
                Value::text(candidate.hash),
                String::from_utf8_lossy(&candidate.actor)
                    .into_owned()
                    .into(),
                i64::try_from(candidate.seq).unwrap_or(i64::MAX).into(),
                run::text(&first.change.candidate.deps).into(),
                times.clone().max().into(),
                times.min().into(),
                now_ms.into(),
                Value::text_or_null(last.carrier),
                if accepted { "accepted" } else { "waiting" }.into(),
                last.number.into(),
                i64::try_from(run.len()).unwrap_or(i64::MAX).into(),
                run::text(&earlier).into(),
                run::close(&opened.stored.vault_key, &changes).into(),
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
    round.write(rows);
    round.write(seals);
}
