//! Push: the oldest unsent changes with fresh seals, and the question which documents the server holds whole.
//!
//! What goes into it and what the answer makes of it is `outbox`; here are the rows at both its ends. What the server answers is
//! written down in one transaction.

use super::{Event, Session, feed};
use crate::{
    document::Change,
    exchange::Feed,
    hash::Sha256,
    id::DocumentId,
    inbox::Page,
    log::admission::Refusal,
    outbox::{self, Heard, Load, PUSH_CHANGES, Signed},
    phone::{
        PhoneError, Unreached, arrivals,
        retention::BackedUp,
        store::{parse_hashes, put_seal},
    },
    review::heads_text,
    seal::{Seal, Signer},
    wire::{Push, Pushed, ReceiptRequest},
};
use ed25519_dalek::VerifyingKey;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, Transaction, sqlite::SqliteRow};
use std::time::Instant;

impl Session<'_> {
    pub(super) async fn push(&mut self) -> Result<(bool, Feed), PhoneError> {
        let (mut push, sent) = self.next_push().await?;
        // The last push of several asks for the feed's next page; a phone that has nothing yet pulls, which comes compressed.
        let after = self.after().await?;
        let unsent = self.unsent().await?;
        let lacking = {
            let mut store = self.phone.store().await;
            unconfirmed(&mut store.connection).await?
        };
        outbox::ask_for_receipts(&mut push, lacking, unsent, sent.len());
        push.after = outbox::asks_for_page(&after.cursor, unsent, sent.len()).then_some(after);
        let begun = Instant::now();
        let (mut pushed, size) = self.client.push(self.token()?, &push).await?;
        self.pace.went(size, begun.elapsed());
        outbox::under_their_names(&push, &mut pushed);
        self.phone.hear_time(pushed.server_time_ms);
        self.hear(&sent, &pushed).await?;
        self.asked.note(&push.receipts, self.phone.now_ms());
        match &pushed.page {
            None => Ok((false, Feed::Unread)),
            Some(page) => {
                let (news, more) = self.take_in(&Page::read(page)?).await?;
                Ok((news, feed(more)))
            }
        }
    }

    /// How many changes are unsent.
    async fn unsent(&self) -> Result<usize, PhoneError> {
        let mut store = self.phone.store().await;
        let unsent: i64 = sqlx::query("select count(*) from change where server is null")
            .fetch_one(&mut store.connection)
            .await?
            .get(0);
        usize::try_from(unsent).map_err(PhoneError::internal)
    }

    /// The oldest unsent changes with fresh seals.
    async fn next_push(&mut self) -> Result<(Push, Vec<Sha256>), PhoneError> {
        let mut store = self.phone.store().await;
        let rows = sqlx::query(
            "select document_id, hash, bytes from change where server is null and own order by position limit $1",
        )
        .bind(i64::try_from(PUSH_CHANGES).unwrap_or(i64::MAX))
        .fetch_all(&mut store.connection)
        .await?;
        let (mut load, mut unreadable) = (Load::new(self.pace.size()), Vec::new());
        for row in &rows {
            let change = change_in(row)?;
            if outbox::is_readable(&change) {
                load.write(document_in(row)?, change);
            } else {
                unreadable.push(change.hash);
            }
        }
        if !load.is_full() {
            unreadable.extend(carry(&mut store.connection, &mut load).await?);
        }
        let mut tx = store.connection.begin().await?;
        for hash in &unreadable {
            write_down(&mut tx, *hash, Refusal::Malformed.word()).await?;
        }
        tx.commit().await?;
        let phone = store.profile()?.phone;
        let mut push = Push::default();
        for (document, unsent) in load.documents {
            let key = store.key(document).await?;
            let fresh = unsent.seals(&self.key, Signer::Phone(phone), &key);
            let fresh = fresh.map_err(PhoneError::internal)?;
            let mut tx = store.connection.begin().await?;
            for seal in &fresh {
                put_seal(&mut tx, document, seal).await?;
            }
            tx.commit().await?;
            push.documents.push(unsent.pushed(&key, fresh));
        }
        push.backups = BackedUp::question(&mut store.connection).await?;
        Ok((push, load.sent))
    }

    /// Writes down what the server said. A receipt counts only if its signature holds.
    async fn hear(&mut self, sent: &[Sha256], pushed: &Pushed) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        let receipt_key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let heard = Heard::of(sent, pushed, receipt_key)
            .ok_or_else(|| PhoneError::offline(Unreached::NotOurs))?;
        let mut refused = Vec::new();
        let mut tx = store.connection.begin().await?;
        let place = arrivals::place(&mut tx).await?;
        for (hash, word) in &heard.words {
            if !outbox::is_kept(word) {
                refused.push(word.clone());
            }
            write_down(&mut tx, *hash, word).await?;
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
        for (document, signed) in &heard.receipts {
            // Before the first pull nothing else says which epoch it is.
            if let Some(epoch) = place.heard(signed.epoch) {
                sqlx::query("update sync set epoch = $1 where epoch = ''")
                    .bind(epoch.to_string())
                    .execute(&mut *tx)
                    .await?;
            }
            put_signed(&mut tx, *document, signed).await?;
        }
        if let Some(token) = &pushed.backed_up {
            BackedUp::hear(&mut tx, token, receipt_key).await?;
        }
        let taken = u32::try_from(sent.len() - refused.len()).map_err(PhoneError::internal)?;
        let came = u32::try_from(heard.receipts.len()).map_err(PhoneError::internal)?;
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

/// Keeps what was said of a change.
async fn write_down(
    tx: &mut Transaction<'_, Sqlite>,
    hash: Sha256,
    word: &str,
) -> Result<(), PhoneError> {
    sqlx::query("update change set server = case when own then $1 else $2 end where hash = $3")
        .bind(outbox::written_down(word, true))
        .bind(outbox::written_down(word, false))
        .bind(hash.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Keeps what the server signed about a document.
async fn put_signed(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    signed: &Signed,
) -> Result<(), PhoneError> {
    let attachments: Vec<Sha256> = signed.attachments.iter().copied().collect();
    sqlx::query(
        "insert into receipt (document_id, heads, attachments, epoch, jws) values ($1, $2, $3, $4, $5) \
         on conflict (document_id) do update set heads = excluded.heads, \
         attachments = excluded.attachments, epoch = excluded.epoch, jws = excluded.jws",
    )
    .bind(document.to_string())
    .bind(&signed.heads)
    .bind(heads_text(&attachments))
    .bind(signed.epoch.to_string())
    .bind(signed.tokens.join(" "))
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("select heads from document where document_id = $1")
        .bind(document.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    if row.is_some_and(|row| signed.settles(row.get(0))) {
        sqlx::query(
            "update change set server = 'held' where document_id = $1 and server is not 'held'",
        )
        .bind(document.to_string())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// What others wrote and the server lost, document by document, as far as it goes in; what of it cannot be read, to be written down.
async fn carry(
    connection: &mut SqliteConnection,
    load: &mut Load,
) -> Result<Vec<Sha256>, PhoneError> {
    let mut unreadable = Vec::new();
    let documents = sqlx::query(
        "select distinct document_id from change where server is null and not own order by document_id limit $1",
    )
    .bind(i64::try_from(PUSH_CHANGES).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    for row in &documents {
        if load.is_full() {
            break;
        }
        let document = document_in(row)?;
        let rows = sqlx::query(
            "select document_id, hash, bytes from change where document_id = $1 and server is null and not own \
             order by position",
        )
        .bind(document.to_string())
        .fetch_all(&mut *connection)
        .await?;
        let changes = rows.iter().map(change_in).collect::<Result<Vec<_>, _>>()?;
        let (changes, broken): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(outbox::is_readable);
        unreadable.extend(broken.iter().map(|change| change.hash));
        let seals = kept_seals(connection, document).await?;
        load.carry(document, changes, &seals)
            .map_err(PhoneError::internal)?;
    }
    Ok(unreadable)
}

/// The document in a row that begins with its id.
fn document_in(row: &SqliteRow) -> Result<DocumentId, PhoneError> {
    let document = row.get::<&str, _>(0).parse();
    document.map_err(PhoneError::internal)
}

/// The change in a row of (document_id, hash, bytes).
fn change_in(row: &SqliteRow) -> Result<Change, PhoneError> {
    let hash = row.get::<&str, _>(1).parse();
    Ok(Change {
        hash: hash.map_err(PhoneError::internal)?,
        bytes: row.get(2),
    })
}

/// Every seal that is kept of a document.
async fn kept_seals(
    connection: &mut SqliteConnection,
    document: DocumentId,
) -> Result<Vec<Seal>, PhoneError> {
    let rows = sqlx::query("select seal from seal where document_id = $1")
        .bind(document.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| minicbor::decode(row.get(0)).map_err(PhoneError::internal))
        .collect()
}

/// What to ask receipts for: every document with something of one's own whose present state no receipt covers.
pub(super) async fn unconfirmed(
    connection: &mut SqliteConnection,
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
