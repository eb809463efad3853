//! Push: the oldest unsent changes with fresh seals, and the question which documents the server holds whole.
//!
//! What the server answers is written down in one transaction; a receipt counts only if its signature holds.

use super::{Event, Session, feed};
use crate::{
    document::Change,
    exchange::Feed,
    hash::Sha256,
    id::DocumentId,
    outbox::{self, Heard, Signed},
    phone::{
        PhoneError, client,
        store::{parse_hashes, put_seal},
    },
    review::heads_text,
    wire::{Push, Pushed, ReceiptRequest},
};
use ed25519_dalek::VerifyingKey;
use sqlx::{Connection as _, Row as _, Sqlite, Transaction};
use std::{collections::BTreeMap, time::Instant};

impl Session<'_> {
    pub(super) async fn push(&mut self) -> Result<(bool, Feed), PhoneError> {
        let (mut push, sent) = self.next_push().await?;
        // The last push of several asks for the feed's next page; a phone that has nothing yet pulls, which comes compressed.
        let after = self.after().await?;
        push.after =
            outbox::asks_for_page(&after.cursor, self.unsent().await?, sent.len()).then_some(after);
        let begun = Instant::now();
        let (pushed, size) = self.client.push(self.token()?, &push).await?;
        self.pace.went(size, begun.elapsed());
        self.hear(&sent, &pushed).await?;
        match &pushed.page {
            None => Ok((false, Feed::Unread)),
            Some(page) => {
                let (news, more) = self.take_in(client::sequence(page)?).await?;
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

    /// The oldest unsent changes with fresh seals, and a question about every document that lacks its receipt.
    async fn next_push(&mut self) -> Result<(Push, Vec<Sha256>), PhoneError> {
        let mut store = self.phone.store().await;
        let rows = sqlx::query(
            "select document_id, hash, bytes from change where server is null order by position limit $1",
        )
        .bind(i64::try_from(outbox::PUSH_CHANGES).map_err(PhoneError::internal)?)
        .fetch_all(&mut store.connection)
        .await?;
        let sizes = rows.iter().map(|row| row.get::<&[u8], _>(2).len());
        let taken = outbox::cut(sizes, self.pace.size());
        let mut sent = Vec::new();
        let mut documents: BTreeMap<DocumentId, Vec<Change>> = BTreeMap::new();
        for row in rows.iter().take(taken) {
            let hash = row
                .get::<&str, _>(1)
                .parse()
                .map_err(PhoneError::internal)?;
            let document = row
                .get::<&str, _>(0)
                .parse()
                .map_err(PhoneError::internal)?;
            let bytes = row.get(2);
            sent.push(hash);
            let changes = documents.entry(document).or_default();
            changes.push(Change { hash, bytes });
        }
        let phone = store.profile()?.phone;
        let mut push = Push::default();
        for (document, changes) in documents {
            let key = store.key(document).await?;
            let document_of = outbox::document(&self.key, phone, &key, changes);
            let pushed = document_of.map_err(PhoneError::internal)?;
            let mut tx = store.connection.begin().await?;
            for seal in &pushed.seals {
                put_seal(&mut tx, document, seal).await?;
            }
            tx.commit().await?;
            push.documents.push(pushed);
        }
        push.receipts = unconfirmed(&mut store.connection).await?;
        push.receipts.truncate(outbox::PUSH_RECEIPTS);
        Ok((push, sent))
    }

    /// Writes down what the server said. A receipt counts only if its signature holds.
    async fn hear(&mut self, sent: &[Sha256], pushed: &Pushed) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        let receipt_key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let heard = Heard::of(sent, pushed, receipt_key);
        let mut tx = store.connection.begin().await?;
        for (hash, word) in &heard.words {
            if outbox::is_kept(word) {
                self.report.sent_changes += 1;
            } else {
                self.report.refused_changes.push(word.clone());
            }
            sqlx::query("update change set server = $1 where hash = $2")
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
        for (document, signed) in &heard.receipts {
            self.report.receipts += 1;
            put_receipt(&mut tx, *document, signed).await?;
        }
        tx.commit().await?;
        drop(store);
        self.phone.syncing.tell(Event::State).await;
        Ok(())
    }
}

async fn put_receipt(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    signed: &Signed,
) -> Result<(), PhoneError> {
    let attachments: Vec<Sha256> = signed.attachments.iter().copied().collect();
    sqlx::query(
        "insert into receipt (document_id, heads, attachments, jws) values ($1, $2, $3, $4) \
         on conflict (document_id) do update set heads = excluded.heads, \
         attachments = excluded.attachments, jws = excluded.jws",
    )
    .bind(document.to_string())
    .bind(&signed.heads)
    .bind(heads_text(&attachments))
    .bind(signed.tokens.join(" "))
    .execute(&mut **tx)
    .await?;
    let heads = sqlx::query("select heads from document where document_id = $1")
        .bind(document.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    if heads.is_some_and(|row| signed.ends_waiting(row.get(0))) {
        sqlx::query("update change set server = $1 where document_id = $2 and server = $3")
            .bind(outbox::HELD)
            .bind(document.to_string())
            .bind(outbox::WAITING)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
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
