//! Changes kept apart: what a damaged database still held and what stands on something that it did not. They are in no document until the
//! server sends what they stand on.

use super::{error::PhoneError, refused::LACKING, store::put_change};
use crate::{document::Change, hash::Sha256, header, id::DocumentId};
use automerge::Automerge;
use sqlx::{Row as _, Sqlite, Transaction};

/// Keeps a change apart; whose it is stays known, for what comes back as one's own is sent.
pub(super) async fn keep_apart(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    change: &Change,
    own: bool,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into set_aside (document_id, hash, refusal, set_aside_at_ms, own, bytes) values ($1, $2, $3, 0, $4, $5) \
         on conflict do nothing",
    )
    .bind(document.to_string())
    .bind(change.hash.to_string())
    .bind(LACKING)
    .bind(own)
    .bind(&change.bytes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts back into the document what stood on a change that was gone and is here again; how many bytes came back, and whether any of
/// them are this phone's own.
pub(super) async fn bring_back(
    tx: &mut Transaction<'_, Sqlite>,
    id: DocumentId,
    document: &mut Automerge,
) -> Result<(usize, bool), PhoneError> {
    let rows = sqlx::query(
        "select bytes, own from set_aside where document_id = $1 and anew is null and refusal = $2",
    )
    .bind(id.to_string())
    .bind(LACKING)
    .fetch_all(&mut **tx)
    .await?;
    let mut apart: Vec<(Vec<u8>, bool)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    let (mut back, mut any_own) = (0, false);
    // One that still lacks something is not shown to the document: it would wait there and come in behind the pile's back.
    while let Some(place) = apart.iter().position(|(bytes, _)| fits(document, bytes)) {
        let (bytes, own) = apart.swap_remove(place);
        document
            .load_incremental(&bytes)
            .map_err(PhoneError::internal)?;
        let hash = header::read(&bytes).map_err(PhoneError::internal)?.hash;
        back += bytes.len();
        any_own |= own;
        put_change(tx, id, &Change { hash, bytes }, own).await?;
        sqlx::query("delete from set_aside where hash = $1")
            .bind(hash.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok((back, any_own))
}

/// Whether the document has all that the change depends on.
fn fits(document: &Automerge, change: &[u8]) -> bool {
    let has = |dep: &Sha256| document.get_change_meta_by_hash(&(*dep).into()).is_some();
    header::read(change).is_ok_and(|header| header.deps.iter().all(has))
}
