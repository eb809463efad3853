//! Receipts: the server's signature under "this is held whole", given in the transaction that made it so.

use super::PreparedPush;
use crate::{app::App, database::Tx, ledger::Ledger};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, UnitId},
    receipt::Receipt,
    wire::Pushed,
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// In which leaf the changes stand that this transaction accepted: nobody needs to look them up.
pub(super) type Placed = BTreeMap<(UnitId, DocumentId, Sha256), u64>;

/// Signs a receipt for every asked document that is held whole; names the attachments that are not.
pub(super) async fn sign(
    app: &App,
    tx: &mut Tx,
    ledger: &Ledger,
    placed: &Placed,
    push: &PreparedPush,
    answer: &mut Pushed,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let Some(phone) = push.carrier else {
        return Ok(());
    };
    let head = ledger.head(now_ms);
    for asked in &push.receipts {
        let mut newest = 0;
        let mut whole = !asked.heads.is_empty();
        for hash in &asked.heads {
            let leaf = match placed.get(&(push.unit, asked.document, *hash)) {
                Some(leaf) => Some(*leaf),
                None => leaf_of(tx, push.unit, asked.document, *hash).await?,
            };
            match leaf {
                Some(leaf) => newest = newest.max(leaf),
                None => whole = false,
            }
        }
        for sha256 in &asked.attachments {
            let row = sqlx::query("select leaf from attachment where unit_id = $1 and sha256 = $2")
                .bind(push.unit.to_string())
                .bind(sha256.to_string())
                .fetch_optional(&mut **tx)
                .await?;
            match row {
                Some(row) => newest = newest.max(row.get::<i64, _>(0).unsigned_abs()),
                None => {
                    whole = false;
                    answer.missing_attachments.push(*sha256);
                }
            }
        }
        if !whole {
            continue;
        }
        let sorted = |hashes: &[Sha256]| {
            hashes
                .iter()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        };
        let receipt = Receipt {
            document: asked.document,
            heads: sorted(&asked.heads),
            attachments: sorted(&asked.attachments),
            epoch: head.epoch,
            leaf_index: newest,
            tree_size: head.size,
            root: head.root,
            received_at_ms: now_ms,
            phone,
        };
        let parts = receipt.parts();
        let signed = parts
            .iter()
            .filter_map(|part| part.sign(&app.keys.receipt).ok());
        answer.receipts.extend(signed);
    }
    Ok(())
}

/// The leaf in which a change of the unit's document stands; none unless it was accepted.
async fn leaf_of(
    tx: &mut Tx,
    unit: UnitId,
    document: DocumentId,
    hash: Sha256,
) -> Result<Option<u64>, sqlx::Error> {
    let row = sqlx::query(
        "select l.position from change c join document d on d.document_id = c.document_id \
         join leaf l on l.document_id = c.document_id and l.through_number >= c.number \
         where c.document_id = $1 and c.hash = $2 and d.unit_id = $3 order by l.through_number limit 1",
    )
    .bind(document.to_string())
    .bind(hash.to_string())
    .bind(unit.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| row.get::<i64, _>(0).unsigned_abs()))
}
