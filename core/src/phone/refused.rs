//! What the server refused: the document goes on without it, what was written upon it is written anew, and the original stays on the
//! phone with its reason and a way out.
//!
//! One transaction per document takes the refused change and all that depends on it out of the pile and puts the fresh ones in, so a
//! phone that dies in between has either. The fresh changes are of a fresh opening: the numbers of the old one are taken.
//! Where whatever this phone writes is refused (it was revoked, or its person moved), nothing is taken out: the officer goes on
//! reading it, and a person has to help.

use super::{
    Phone,
    error::PhoneError,
    rows::{self, By},
    store::{Store, put_change},
};
use crate::{
    document::{self, Change, Key, Piled, Reissued, Said},
    hash::Sha256,
    header,
    id::DocumentId,
    log::admission::{Refusal, Remedy},
    outbox,
};
use automerge::Automerge;
use sqlx::{Connection as _, Row as _};
use std::collections::BTreeSet;

/// The word of what a damaged database still held and what stands on something that it did not.
pub(super) const LACKING: &str = Refusal::LacksAnAncestor.word();

/// A change that the server refused, and that stands nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The document it was written in.
    pub document: DocumentId,
    /// The change.
    pub change: Sha256,
    /// The refusal's word.
    pub word: String,
    /// When it was written, by this phone's clock, Unix milliseconds (of a whole second).
    pub written_at_ms: i64,
    /// What it wrote.
    pub says: Vec<Said>,
    /// What the officer can do.
    pub way_out: WayOut,
}

/// What an officer can do about a refused change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WayOut {
    /// Nothing: the phone sends it again by itself.
    Wait,
    /// [`Phone::write_again`], or writing it elsewhere: it is no longer in the document.
    WriteAgain,
    /// Going to the chief, with a rescue file if need be: it is still in the document, and whatever this phone writes is refused.
    Chief,
}

impl WayOut {
    fn of(word: &str) -> Self {
        match Remedy::of_word(word) {
            // Of these what lacks an ancestor comes back when that comes from the server.
            Some(Remedy::SendAgain) => Self::Wait,
            Some(Remedy::Person) => Self::Chief,
            Some(Remedy::WriteAnew | Remedy::LeaveOut) | None => Self::WriteAgain,
        }
    }
}

impl Store {
    /// What is to be tried again as it is, is unsent.
    pub(super) async fn send_again(&mut self) -> Result<(), PhoneError> {
        let mut words = self.words().await?;
        words.push(outbox::WAITING.to_owned());
        for word in words {
            for own in [true, false] {
                if outbox::is_sent_again(&word, own) {
                    sqlx::query("update change set server = null where server = $1 and own = $2")
                        .bind(&word)
                        .bind(own)
                        .execute(&mut self.connection)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Takes what was refused out of its documents and writes anew what was written upon it. The documents that changed.
    ///
    /// # Errors
    /// `StorageFull`, `Internal`; what was not done is done at the next sync.
    pub(super) async fn reissue(&mut self, now_ms: i64) -> Result<Vec<DocumentId>, PhoneError> {
        let mut documents = BTreeSet::new();
        for word in self.words().await? {
            if !outbox::is_taken_out(&word) {
                continue;
            }
            let rows = sqlx::query("select distinct document_id from change where server = $1")
                .bind(word)
                .fetch_all(&mut self.connection)
                .await?;
            for row in &rows {
                let document = row.get::<&str, _>(0).parse();
                documents.insert(document.map_err(PhoneError::internal)?);
            }
        }
        let mut changed = Vec::new();
        for document in documents {
            match self.reissue_in(document, now_ms).await {
                Ok(true) => changed.push(document),
                // One that does not load keeps what was refused, and holds up no other.
                Ok(false) | Err(PhoneError::Internal { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    /// The words of all that the server refused.
    async fn words(&mut self) -> Result<Vec<String>, PhoneError> {
        let rows = sqlx::query(
            "select distinct server from change where server is not 'held' and server is not null",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let words = rows.iter().map(|row| row.get::<String, _>(0));
        Ok(words.filter(|word| word != "waiting").collect())
    }

    async fn reissue_in(&mut self, id: DocumentId, now_ms: i64) -> Result<bool, PhoneError> {
        let key = self.key(id).await?;
        let (pile, settled) = self.pile(id).await?;
        self.opening = rand::random();
        let Some(reissued) = document::reissue(&key, &pile, self.actor()?)? else {
            return Ok(false);
        };
        if reissued.undoes(&settled) {
            return Ok(false);
        }
        self.walk = None;
        self.opened.take(id);
        self.put_reissued(&key, &reissued, now_ms).await?;
        let size = reissued.fresh.iter().map(|change| change.bytes.len());
        let change_bytes = pile.iter().map(|p| p.change.bytes.len()).sum::<usize>();
        self.keep(id, reissued.document, change_bytes + size.sum::<usize>());
        Ok(true)
    }

    /// The changes of a document with what became of them, and those of them that others wrote or that the server holds.
    async fn pile(&mut self, id: DocumentId) -> Result<(Vec<Piled>, BTreeSet<Sha256>), PhoneError> {
        let rows = sqlx::query(
            "select hash, bytes, own, server, exists (select 1 from set_aside s where s.anew = c.hash) \
             from change c where document_id = $1 order by position",
        )
        .bind(id.to_string())
        .fetch_all(&mut self.connection)
        .await?;
        let (mut pile, mut settled) = (Vec::new(), BTreeSet::new());
        for row in &rows {
            let hash = row.get::<&str, _>(0).parse();
            let hash = hash.map_err(PhoneError::internal)?;
            let server: Option<&str> = row.get(3);
            let bytes = row.get(1);
            pile.push(Piled {
                change: Change { hash, bytes },
                fate: outbox::fate(server, row.get(4)),
            });
            if !row.get::<bool, _>(2) || server == Some("held") {
                settled.insert(hash);
            }
        }
        Ok((pile, settled))
    }

    async fn put_reissued(
        &mut self,
        key: &Key,
        reissued: &Reissued,
        now_ms: i64,
    ) -> Result<(), PhoneError> {
        let id = key.document();
        let rows = rows::of(key.kind, &reissued.document)?;
        let heads = document::heads(&reissued.document);
        let mut tx = self.connection.begin().await?;
        for (hash, anew) in &reissued.set_aside {
            sqlx::query(
                "insert into set_aside (document_id, hash, refusal, anew, set_aside_at_ms, bytes) \
                 select document_id, hash, nullif(server, 'waiting'), $1, $2, bytes from change where hash = $3",
            )
            .bind(anew.map(|anew| anew.to_string()))
            .bind(now_ms)
            .bind(hash.to_string())
            .execute(&mut *tx)
            .await?;
            sqlx::query("delete from change where hash = $1")
                .bind(hash.to_string())
                .execute(&mut *tx)
                .await?;
        }
        for change in &reissued.fresh {
            put_change(&mut tx, id, change, true).await?;
        }
        rows::put(&mut tx, key, &heads, By::Us, &rows).await?;
        tx.commit().await?;
        self.recorded().await;
        Ok(())
    }

    /// The document with all that was ever taken out of it: where an original can be read.
    async fn original(&mut self, key: &Key) -> Result<Automerge, PhoneError> {
        let rows = sqlx::query(
            "select bytes from change where document_id = $1 union all select bytes from set_aside \
             where document_id = $1 and refusal is not 'lacks-an-ancestor'",
        )
        .bind(key.document().to_string())
        .fetch_all(&mut self.connection)
        .await?;
        let changes = rows.iter().map(|row| row.get::<&[u8], _>(0));
        Ok(document::load(key, changes)?)
    }

    /// What was taken out and stands nowhere else: its document, the refusal's word, its bytes.
    pub(super) async fn left_out(
        &mut self,
    ) -> Result<Vec<(DocumentId, String, Vec<u8>)>, PhoneError> {
        let rows = sqlx::query(
            "select document_id, refusal, bytes from set_aside where refusal is not null and anew is null and own order by position",
        )
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| {
                let document = row.get::<&str, _>(0).parse();
                Ok((
                    document.map_err(PhoneError::internal)?,
                    row.get(1),
                    row.get(2),
                ))
            })
            .collect()
    }
}

impl Phone {
    /// What of a document the server refused and what stands nowhere else, oldest first.
    ///
    /// # Errors
    /// `NotFound` if the document is not on this phone.
    pub async fn refused(&self, document: DocumentId) -> Result<Vec<Refused>, PhoneError> {
        let mut store = self.store().await;
        let key = store.key(document).await?;
        let rows = sqlx::query(
            "select hash, refusal, bytes from set_aside where document_id = $1 and refusal is not null and anew is null and own \
             union all select hash, server, bytes from change where document_id = $1 and server is not null \
             and server not in ('held', 'waiting')",
        )
        .bind(document.to_string())
        .fetch_all(&mut store.connection)
        .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let original = store.original(&key).await?;
        let mut refused = Vec::new();
        for row in &rows {
            let change = row.get::<&str, _>(0).parse();
            let change: Sha256 = change.map_err(PhoneError::internal)?;
            let word: String = row.get(1);
            let header = header::read(row.get(2)).ok();
            refused.push(Refused {
                document,
                change,
                written_at_ms: header.map_or(0, |header| header.time_s.saturating_mul(1_000)),
                says: document::said(&original, change),
                way_out: WayOut::of(&word),
                word,
            });
        }
        refused.sort_by_key(|refused| (refused.written_at_ms, refused.change));
        Ok(refused)
    }

    /// Writes what a refused change said once more, as a change of now: the officer's way out. False if the document says it already.
    ///
    /// # Errors
    /// `NotFound` for no such refused change; `StorageFull`, `Internal`.
    pub async fn write_again(
        &self,
        document: DocumentId,
        change: Sha256,
    ) -> Result<bool, PhoneError> {
        let mut store = self.store().await;
        let key = store.key(document).await?;
        sqlx::query(
            "select 1 from set_aside where document_id = $1 and hash = $2 and refusal is not null and anew is null \
             and refusal is not 'lacks-an-ancestor'",
        )
        .bind(document.to_string())
        .bind(change.to_string())
        .fetch_one(&mut store.connection)
        .await?;
        let original = store.original(&key).await?;
        let actor = store.actor()?;
        store.walk = None;
        let mut open = store.take(&key).await?;
        let joins = document::join_heads(&mut open.document, actor, self.now_ms())?;
        let written = document::again(&original, change, &mut open.document, actor)?;
        let heads = document::heads(&open.document);
        let rows = rows::of(key.kind, &open.document)?;
        let anew = written.as_ref().map_or(change, |written| written.hash);
        let mut tx = store.connection.begin().await?;
        for written in joins.iter().chain(&written) {
            put_change(&mut tx, document, written, true).await?;
            open.change_bytes += written.bytes.len();
        }
        if written.is_some() || !joins.is_empty() {
            rows::put(&mut tx, &key, &heads, By::Us, &rows).await?;
        }
        sqlx::query("update set_aside set anew = $1 where hash = $2")
            .bind(anew.to_string())
            .bind(change.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        store.recorded().await;
        store.keep(document, open.document, open.change_bytes);
        Ok(written.is_some())
    }
}

#[cfg(test)]
mod tests;
