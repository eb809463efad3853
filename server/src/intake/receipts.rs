//! Receipts: the server's signature under "this is held whole". What they say is read in the transaction that made it so; they are
//! signed once it is on the disk, outside of it: nobody waits for a lock while a key works, and what was rolled back was never
//! signed.

use super::PreparedPush;
use crate::{
    database::Tx,
    insert::{Insert, Value},
    ledger::Ledger,
    round::{Answers, Asked, Round},
    row::parsed,
    run,
};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, UnitId},
    log::leaf::Leaf,
    receipt::Receipt,
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// In which leaf the changes stand that this transaction accepted: nobody needs to look them up.
pub(super) type Placed = BTreeMap<(UnitId, DocumentId, Sha256), u64>;

/// What was asked about receipts.
pub(super) struct ReceiptsAsked {
    leaves: Asked,
    files: Asked,
}

/// Asks for the leaves of heads that no row is named after: of a document, not of a hash.
const WITHIN: &str = ") select d.unit_id, c.document_id, c.hash, c.earlier, (select case when l.epoch = \
     (select substr(s.value, 1, 32) from setting s where s.name = 'log') then l.position else 0 end \
     from leaf l where l.document_id = c.document_id \
     and l.through_number >= c.number order by l.through_number limit 1) as position from (select distinct document_id, unit_id from wanted) w \
     join document d on d.document_id = w.document_id and d.unit_id = w.unit_id \
     join change c on c.document_id = w.document_id and c.change_count > 1";
/// Documents whose rows are looked through at once: of each there may be megabytes.
const TOGETHER: usize = 16;

/// Where in the log that stands which is asked for in these pushes.
pub(super) struct Standing {
    placed: Placed,
    files: BTreeMap<(UnitId, Sha256), u64>,
}

/// Asks for the leaves of heads that are not among `accepted`, and of attachments. What stands in an epoch before stands under the head
/// in this one's first leaf, which is leaf 0.
pub(super) fn ask(
    round: &mut Round,
    pushes: &[&PreparedPush],
    accepted: &BTreeSet<(UnitId, DocumentId, Sha256)>,
) -> ReceiptsAsked {
    let mut leaves = Insert::new(
        "with wanted (document_id, hash, unit_id) as (values",
        3,
        ") select distinct d.unit_id, c.document_id, c.hash, (select case when l.epoch = \
         (select substr(s.value, 1, 32) from setting s where s.name = 'log') then l.position else 0 end \
         from leaf l where l.document_id = c.document_id \
         and l.through_number >= c.number order by l.through_number limit 1) as position from wanted w \
         join change c on c.document_id = w.document_id and c.hash = w.hash \
         join document d on d.document_id = w.document_id and d.unit_id = w.unit_id where c.number is not null",
    );
    let mut files = Insert::new(
        "with wanted (unit_id, sha256) as (values",
        2,
        ") select distinct a.unit_id, a.sha256, a.leaf, l.content from wanted w \
         join attachment a on a.unit_id = w.unit_id and a.sha256 = w.sha256 left join leaf l on l.position = a.leaf \
         and l.epoch = (select substr(s.value, 1, 32) from setting s where s.name = 'log')",
    );
    for push in pushes.iter().filter(|push| push.carrier.is_some()) {
        let unit = push.unit;
        for asked in &push.receipts {
            for hash in &asked.heads {
                if !accepted.contains(&(unit, asked.document, *hash)) {
                    leaves.push([
                        Value::text(asked.document),
                        Value::text(hash),
                        Value::text(unit),
                    ]);
                }
            }
            for sha256 in &asked.attachments {
                files.push([Value::text(unit), Value::text(sha256)]);
            }
        }
    }
    ReceiptsAsked {
        leaves: round.ask(leaves),
        files: round.ask(files),
    }
}

impl ReceiptsAsked {
    /// Together with what this transaction placed.
    ///
    /// # Errors
    /// `Decode` for a damaged row.
    pub(super) fn hear(
        self,
        answers: &mut Answers,
        mut placed: Placed,
    ) -> Result<Standing, sqlx::Error> {
        for row in answers.take(self.leaves) {
            if let Some(position) = row.get::<Option<i64>, _>("position") {
                let change = (
                    parsed(&row, "unit_id")?,
                    parsed(&row, "document_id")?,
                    parsed(&row, "hash")?,
                );
                placed.insert(change, position.unsigned_abs());
            }
        }
        let files = answers.take(self.files);
        let files = files.iter().map(|row| {
            let (unit, sha256) = (parsed(row, "unit_id")?, parsed(row, "sha256")?);
            let leaf = if is_of(sha256, row.get("content")) {
                row.get::<i64, _>("leaf").unsigned_abs()
            } else {
                0
            };
            Ok(((unit, sha256), leaf))
        });
        Ok(Standing {
            placed,
            files: files.collect::<Result<_, sqlx::Error>>()?,
        })
    }
}

impl Standing {
    /// Looks for heads that are asked for and that no row is named after among those within rows: a phone may ask about a state that it has
    /// read in part.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn look_within(
        &mut self,
        tx: &mut Tx,
        pushes: &[&PreparedPush],
    ) -> Result<(), sqlx::Error> {
        let mut open: BTreeMap<(UnitId, DocumentId), BTreeSet<Sha256>> = BTreeMap::new();
        for push in pushes.iter().filter(|push| push.carrier.is_some()) {
            for asked in &push.receipts {
                for hash in &asked.heads {
                    if !self
                        .placed
                        .contains_key(&(push.unit, asked.document, *hash))
                    {
                        let of_document = open.entry((push.unit, asked.document));
                        of_document.or_default().insert(*hash);
                    }
                }
            }
        }
        let documents: Vec<(UnitId, DocumentId)> = open.keys().copied().collect();
        for some in documents.chunks(TOGETHER) {
            let mut wanted =
                Insert::new("with wanted (document_id, unit_id) as (values", 2, WITHIN);
            for (unit, document) in some {
                wanted.push([Value::text(document), Value::text(unit)]);
            }
            for row in wanted.fetch(tx).await? {
                let (unit, document) = (parsed(&row, "unit_id")?, parsed(&row, "document_id")?);
                let asked = open.get(&(unit, document));
                if let (Some(asked), Some(position)) =
                    (asked, row.get::<Option<i64>, _>("position"))
                {
                    let hashes = run::hashes(&row)?.into_iter();
                    let found = hashes.filter(|hash| asked.contains(hash));
                    let leaf = position.unsigned_abs();
                    self.placed
                        .extend(found.map(|hash| ((unit, document, hash), leaf)));
                }
            }
        }
        Ok(())
    }

    /// A receipt for every document that `push` asks about and that is held whole; and the attachments that are not.
    pub(super) fn receipts(
        &self,
        ledger: &Ledger,
        push: &PreparedPush,
        now_ms: i64,
    ) -> (Vec<Receipt>, Vec<Sha256>) {
        let (mut receipts, mut missing) = (Vec::new(), Vec::new());
        let Some(phone) = push.carrier else {
            return (receipts, missing);
        };
        let head = ledger.head(now_ms);
        for asked in &push.receipts {
            let placed = |hash: &Sha256| self.placed.get(&(push.unit, asked.document, *hash));
            let filed = |sha256: &Sha256| self.files.get(&(push.unit, *sha256));
            let files = asked.attachments.iter();
            missing.extend(files.filter(|sha256| filed(sha256).is_none()));
            let receipt = Receipt::of(
                asked,
                |hash| placed(hash).copied(),
                |sha256| filed(sha256).copied(),
                (&head, phone),
            );
            let Some(receipt) = receipt else {
                continue;
            };
            receipts.extend(receipt.parts());
        }
        (receipts, missing)
    }
}

/// Whether a leaf of this epoch is the file's.
fn is_of(sha256: Sha256, content: Option<Vec<u8>>) -> bool {
    let leaf = content.and_then(|content| Leaf::decode(&content).ok());
    matches!(leaf, Some(Leaf::Attachment { sha256: of, .. }) if of == sha256)
}
