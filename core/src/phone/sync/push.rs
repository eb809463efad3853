//! Push: the oldest unsent changes with fresh seals, and the question which documents the server holds whole.
//!
//! What the server answers is written down in one transaction; a receipt counts only if its signature holds.

use super::{Event, Session, feed};
use crate::{
    document::{Change, Key},
    exchange::Feed,
    hash::Sha256,
    header,
    id::DocumentId,
    log::{admission::Refusal, paging::Cursor},
    phone::{
        PhoneError, Unreached,
        arrivals::Page,
        retention::BackedUp,
        store::{parse_hashes, put_seal},
    },
    receipt::Receipt,
    review::heads_text,
    seal::{Seal, Signer},
    wire::{Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::{Connection as _, Row as _, Sqlite, Transaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// Changes in one push: with their seals well below the server's limits.
const PUSH_CHANGES: i64 = 2_000;
/// Bytes of changes in one push, on a line that bears them.
const PUSH_BYTES: usize = 4 << 20;
/// Documents asked about in one push.
const PUSH_RECEIPTS: usize = 2_000;

impl Session<'_> {
    pub(super) async fn push(&mut self) -> Result<(bool, Feed), PhoneError> {
        let (mut push, sent) = self.next_push().await?;
        // The last push of several asks for the feed's next page; a phone that has nothing yet pulls, which comes compressed.
        let after = self.after().await?;
        push.after = (goes_on(&after.cursor) && self.all_sent_after(&sent).await?).then_some(after);
        let begun = Instant::now();
        let (pushed, size) = self.client.push(self.token()?, &push).await?;
        self.pace.went(size, begun.elapsed());
        self.phone.hear_time(pushed.server_time_ms);
        self.hear(&sent, &pushed).await?;
        match &pushed.page {
            None => Ok((false, Feed::Unread)),
            Some(page) => {
                let (news, more) = self.take_in(&Page::read(page)?).await?;
                Ok((news, feed(more)))
            }
        }
    }

    /// Whether nothing is unsent but `sent`.
    async fn all_sent_after(&self, sent: &[Sha256]) -> Result<bool, PhoneError> {
        let mut store = self.phone.store().await;
        let unsent: i64 = sqlx::query("select count(*) from change where server is null")
            .fetch_one(&mut store.connection)
            .await?
            .get(0);
        Ok(unsent <= i64::try_from(sent.len()).map_err(PhoneError::internal)?)
    }

    /// The oldest unsent changes with fresh seals, and a question about every document that lacks its receipt.
    async fn next_push(&mut self) -> Result<(Push, Vec<Sha256>), PhoneError> {
        let mut store = self.phone.store().await;
        let rows = sqlx::query(
            "select document_id, hash, bytes, own from change where server is null order by position limit $1",
        )
        .bind(PUSH_CHANGES)
        .fetch_all(&mut store.connection)
        .await?;
        let mut sent = Vec::new();
        let mut bytes = 0;
        let mut documents: BTreeMap<DocumentId, Unsent> = BTreeMap::new();
        for row in &rows {
            let change = Change {
                hash: row
                    .get::<&str, _>(1)
                    .parse()
                    .map_err(PhoneError::internal)?,
                bytes: row.get(2),
            };
            bytes += change.bytes.len();
            if bytes > self.pace.size().min(PUSH_BYTES) && !sent.is_empty() {
                break;
            }
            sent.push(change.hash);
            documents
                .entry(
                    row.get::<&str, _>(0)
                        .parse()
                        .map_err(PhoneError::internal)?,
                )
                .or_default()
                .add(change, row.get(3));
        }
        let phone = store.profile()?.phone;
        let mut push = Push::default();
        for (document, unsent) in documents {
            let key = store.key(document).await?;
            let mut seals = seals(&self.key, Signer::Phone(phone), &key, &unsent.own)?;
            let mut tx = store.connection.begin().await?;
            for seal in &seals {
                put_seal(&mut tx, document, seal).await?;
            }
            if !unsent.carried.is_empty() {
                seals = kept_seals(&mut tx, document).await?;
            }
            tx.commit().await?;
            let changes = unsent.own.into_iter().chain(unsent.carried);
            push.documents.push(PushedDocument {
                key: WireKey::from(&key),
                changes: changes.map(|change| change.bytes).collect(),
                seals,
            });
        }
        push.receipts = unconfirmed(&mut store.connection).await?;
        push.receipts.truncate(PUSH_RECEIPTS);
        push.backups = BackedUp::question(&mut store.connection).await?;
        Ok((push, sent))
    }

    /// Writes down what the server said. A receipt counts only if its signature holds.
    async fn hear(&mut self, sent: &[Sha256], pushed: &Pushed) -> Result<(), PhoneError> {
        let outcomes: BTreeMap<Sha256, &str> = pushed
            .changes
            .iter()
            .map(|c| (c.hash, c.word.as_str()))
            .collect();
        // It names bytes that were never sent: on the way to it a change became another, so what it took without a word is not known.
        let strange = |(hash, word): (&Sha256, &&str)| {
            *word == Refusal::Malformed.word() && !sent.contains(hash)
        };
        if outcomes.iter().any(strange) {
            return Err(PhoneError::offline(Unreached::NotOurs));
        }
        let mut store = self.phone.store().await;
        let receipt_key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let mut refused = Vec::new();
        let mut tx = store.connection.begin().await?;
        for hash in sent {
            let word = outcomes.get(hash).copied().unwrap_or("held");
            if !matches!(word, "held" | "waiting") {
                refused.push(word.to_owned());
            }
            // What this phone only carried is its writer's to be told of: nothing here waits for it.
            sqlx::query("update change set server = case when own or $1 = 'waiting' then $1 else 'held' end where hash = $2")
                .bind(word)
                .bind(hash.to_string())
                .execute(&mut *tx)
                .await?;
        }
        // The server says it has not what this phone thought it had sent: it is sent again. One that is on its way goes on.
        for sha256 in &pushed.missing_attachments {
            sqlx::query(
                "update attachment set received_at_ms = null, upload_url = null \
                 where sha256 = $1 and received_at_ms is not null",
            )
            .bind(sha256.to_string())
            .execute(&mut *tx)
            .await?;
        }
        let mut receipts: BTreeMap<DocumentId, Receipts> = BTreeMap::new();
        for jws in &pushed.receipts {
            if let Ok(receipt) = Receipt::verify(jws, |_| Some(receipt_key)) {
                receipts
                    .entry(receipt.document)
                    .or_default()
                    .add(receipt, jws);
            }
        }
        for (document, receipts) in &receipts {
            // Before the first pull nothing else says which epoch it is.
            sqlx::query("update sync set epoch = $1 where epoch = ''")
                .bind(&receipts.epoch)
                .execute(&mut *tx)
                .await?;
            receipts.put(&mut tx, *document).await?;
        }
        if let Some(token) = &pushed.backed_up {
            BackedUp::hear(&mut tx, token, receipt_key).await?;
        }
        let taken = u32::try_from(sent.len() - refused.len()).map_err(PhoneError::internal)?;
        let came = u32::try_from(receipts.len()).map_err(PhoneError::internal)?;
        tx.commit().await?;
        // Only now: a sync may be cancelled anywhere, and its report says what is on the disk.
        self.report.sent_changes += taken;
        self.report.refused_changes.extend(refused);
        self.report.receipts += came;
        let changed = store.reissue(self.phone.now_ms()).await?;
        drop(store);
        for document in changed {
            self.phone.syncing.tell(Event::Changed { document }).await;
        }
        self.phone.syncing.tell(Event::State).await;
        Ok(())
    }
}

/// Whether a cursor may be read on from inside a push. One that says to begin anew waits for the comparison: an ordinary page would
/// write an ordinary cursor over it, and what the restored server lost of documents that this phone may no longer read would
/// never be named.
fn goes_on(cursor: &str) -> bool {
    Cursor::parse(cursor).is_some_and(|cursor| !cursor.is_anew())
}

/// What one answer's receipts say about one document: more than one when it names more files than one receipt does.
#[derive(Default)]
struct Receipts {
    heads: String,
    epoch: String,
    attachments: BTreeSet<Sha256>,
    tokens: Vec<String>,
}

impl Receipts {
    fn add(&mut self, receipt: Receipt, jws: &str) {
        let (heads, epoch) = (heads_text(&receipt.heads), receipt.epoch.to_string());
        if self.heads != heads || self.epoch != epoch {
            *self = Self {
                heads,
                epoch,
                ..Self::default()
            };
        }
        self.attachments.extend(receipt.attachments);
        self.tokens.push(jws.to_owned());
    }

    async fn put(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        document: DocumentId,
    ) -> Result<(), PhoneError> {
        let attachments: Vec<Sha256> = self.attachments.iter().copied().collect();
        sqlx::query(
            "insert into receipt (document_id, heads, attachments, epoch, jws) values ($1, $2, $3, $4, $5) \
             on conflict (document_id) do update set heads = excluded.heads, \
             attachments = excluded.attachments, epoch = excluded.epoch, jws = excluded.jws",
        )
        .bind(document.to_string())
        .bind(&self.heads)
        .bind(heads_text(&attachments))
        .bind(&self.epoch)
        .bind(self.tokens.join(" "))
        .execute(&mut **tx)
        .await?;
        // The heads are held with all that is below them: nothing of the document waits any more.
        sqlx::query(
            "update change set server = 'held' where document_id = $1 and server = 'waiting' \
             and exists (select 1 from document d where d.document_id = $1 and d.heads = $2)",
        )
        .bind(document.to_string())
        .bind(&self.heads)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// What is to be sent of one document.
#[derive(Default)]
struct Unsent {
    /// Written here.
    own: Vec<Change>,
    /// Written by others, and lost by the server.
    carried: Vec<Change>,
}

impl Unsent {
    fn add(&mut self, change: Change, own: bool) {
        if own {
            self.own.push(change);
        } else {
            self.carried.push(change);
        }
    }
}

/// Every seal that is kept of a document: one may cover many changes.
async fn kept_seals(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
) -> Result<Vec<Seal>, PhoneError> {
    let rows = sqlx::query("select seal from seal where document_id = $1")
        .bind(document.to_string())
        .fetch_all(&mut **tx)
        .await?;
    rows.iter()
        .map(|row| minicbor::decode(row.get(0)).map_err(PhoneError::internal))
        .collect()
}

/// One seal per actor: of its newest change here, which covers the older ones through its own dependencies.
fn seals(
    key: &SigningKey,
    signer: Signer,
    of: &Key,
    changes: &[Change],
) -> Result<Vec<Seal>, PhoneError> {
    let mut newest: BTreeMap<Vec<u8>, (u64, Sha256)> = BTreeMap::new();
    for change in changes {
        let header = header::read(&change.bytes).map_err(PhoneError::internal)?;
        let entry = newest
            .entry(header.actor.to_vec())
            .or_insert((header.seq, header.hash));
        *entry = (*entry).max((header.seq, header.hash));
    }
    Ok(newest
        .into_values()
        .map(|(_, hash)| of.seal(key, signer, hash))
        .collect())
}

/// What to ask receipts for: every document with something of one's own whose present state no receipt covers.
pub(super) async fn unconfirmed(
    connection: &mut sqlx::SqliteConnection,
) -> Result<Vec<ReceiptRequest>, PhoneError> {
    let rows = sqlx::query(
        "select document_id, heads, \
         coalesce((select group_concat(u.sha256, ' ') from attachment_use u where u.document_id = standing.document_id), '') \
         from standing where own and not covered",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let mut attachments = parse_hashes(row.get(2));
            attachments.sort_unstable();
            Ok(ReceiptRequest {
                document: row
                    .get::<&str, _>(0)
                    .parse()
                    .map_err(PhoneError::internal)?,
                heads: parse_hashes(row.get(1)),
                attachments,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::UnitId,
        log::{head::Epoch, paging::Position},
    };

    #[test]
    fn a_cursor_that_says_to_begin_anew_is_not_read_on_inside_a_push() {
        let epoch = Epoch([1; 16]);
        let anew = Cursor {
            epoch,
            feeds: vec![],
        };
        assert!(anew.is_anew() && !goes_on(&anew.to_text()));
        assert!(!goes_on(""), "a phone that has nothing pulls");
        // The twin: any other is.
        let position = Position {
            unit: UnitId::from_bytes([2; 16]),
            number: 7,
            listed: None,
        };
        let ordinary = Cursor {
            epoch,
            feeds: vec![position],
        };
        assert!(goes_on(&ordinary.to_text()));
    }
}
