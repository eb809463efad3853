//! What came whole is put down as it came, in one row, and unfolded into changes before anything else is done with it.
//!
//! A phone that has nothing yet takes a unit's documents several times faster so than change by change, and a crash between
//! loses nothing: what arrived is on the disk with the cursor that says so. A snapshot that does not unfold is set aside, and its document is
//! fetched as single changes. What is of a kind that this version of the app does not know stays as it came, until one does.

use super::{
    error::{PhoneError, Unreached},
    rows::{self, By},
    store::{Store, put_change, put_seal},
};
use crate::{
    document::{self, Change, DocumentError, Key},
    hash::Sha256,
    header,
    id::DocumentId,
    log::paging::Cursor,
    seal::Seal,
    wire::{Pulled, Snapshot, WireKey},
};
use automerge::Automerge;
use sqlx::{Connection as _, Row as _, Sqlite, Transaction};
use std::collections::BTreeSet;

/// Documents unfolded in one transaction.
const TOGETHER: usize = 64;
/// Rows written in one statement: each costs a hop to SQLite's thread.
const ROWS: usize = 16;

/// A page as it came.
pub(super) struct Page<'a> {
    /// What of each document came.
    pub(super) documents: Vec<Arrived<'a>>,
    /// What may no longer be read.
    pub(super) ungranted: Vec<DocumentId>,
    /// Where to go on, and whether there is more.
    pub(super) cursor: String,
    pub(super) more: bool,
}

/// What came of one document.
pub(super) struct Arrived<'a> {
    /// Which; none of a kind that is not known here.
    pub(super) key: Option<Key>,
    /// As it travelled: its name and what follows it.
    items: &'a [u8],
    /// How many changes its snapshot holds.
    pub(super) snapshot: Option<u32>,
}

/// The same, read.
pub(super) struct Incoming {
    pub(super) key: Key,
    snapshot: Option<Snapshot>,
    changes: Vec<Change>,
    pub(super) seals: Vec<Seal>,
}

impl<'a> Page<'a> {
    /// Reads a page. What every change says about itself is checked here, so that nothing is put down that is none.
    ///
    /// # Errors
    /// `Offline` for what is not a whole page of our server's: as good as no answer.
    pub(super) fn read(page: &'a [u8]) -> Result<Self, PhoneError> {
        let mut decoder = minicbor::Decoder::new(page);
        let mut read = Self {
            documents: Vec::new(),
            ungranted: Vec::new(),
            cursor: String::new(),
            more: false,
        };
        let mut begun = 0;
        while decoder.position() < page.len() {
            let at = decoder.position();
            let item = decoder.decode::<Pulled>().map_err(|_| not_ours())?;
            let to = decoder.position();
            match item {
                Pulled::Document(key) => {
                    begun = at;
                    read.documents.push(Arrived {
                        key: known(&key)?,
                        items: &page[at..to],
                        snapshot: None,
                    });
                    continue;
                }
                Pulled::Ungrant(document, _) => {
                    read.ungranted.push(document);
                    continue;
                }
                Pulled::Cursor(cursor, more) if to == page.len() => {
                    (read.cursor, read.more) = (cursor, more);
                    return Ok(read);
                }
                Pulled::Cursor(..) => return Err(not_ours()),
                Pulled::Change(_) | Pulled::Seal(_) | Pulled::Snapshot(_) => {}
            }
            let document = read.documents.last_mut().ok_or_else(not_ours)?;
            document.items = &page[begun..to];
            match item {
                Pulled::Change(bytes) => {
                    header::read(&bytes).map_err(|_| not_ours())?;
                }
                Pulled::Snapshot(snapshot) => document.snapshot = Some(snapshot.changes),
                _ => {}
            }
        }
        // Cut before its cursor.
        Err(not_ours())
    }
}

impl Arrived<'_> {
    /// What it says; none of a kind that is not known here.
    pub(super) fn incoming(&self) -> Result<Option<Incoming>, PhoneError> {
        Incoming::read(self.items)
    }
}

impl Incoming {
    fn read(items: &[u8]) -> Result<Option<Self>, PhoneError> {
        let mut decoder = minicbor::Decoder::new(items);
        let mut incoming: Option<Self> = None;
        while decoder.position() < items.len() {
            let item = decoder.decode::<Pulled>().map_err(|_| not_ours())?;
            match (item, &mut incoming) {
                (Pulled::Document(name), _) => {
                    let Some(key) = known(&name)? else {
                        return Ok(None);
                    };
                    incoming.get_or_insert_with(|| Self {
                        key,
                        snapshot: None,
                        changes: Vec::new(),
                        seals: Vec::new(),
                    });
                }
                (Pulled::Change(bytes), Some(incoming)) => {
                    let hash = header::read(&bytes).map_err(|_| not_ours())?.hash;
                    incoming.changes.push(Change { hash, bytes });
                }
                (Pulled::Seal(seal), Some(incoming)) => incoming.seals.push(seal),
                (Pulled::Snapshot(snapshot), Some(incoming)) => incoming.snapshot = Some(snapshot),
                _ => return Err(not_ours()),
            }
        }
        Ok(incoming)
    }

    /// Its changes, those of its snapshot first.
    ///
    /// # Errors
    /// What `document::unfold` says of the snapshot.
    pub(super) fn into_changes(self) -> Result<(Vec<Change>, Vec<Seal>), DocumentError> {
        let mut changes = match &self.snapshot {
            Some(snapshot) => document::unfold(&self.key, &snapshot.bytes, &snapshot.heads)?.1,
            None => Vec::new(),
        };
        changes.extend(self.changes);
        Ok((changes, self.seals))
    }

    /// The document, of which there is nothing here yet.
    fn into_document(self) -> Result<(Automerge, Vec<Change>, Vec<Seal>), DocumentError> {
        let (mut document, mut changes) = match &self.snapshot {
            Some(snapshot) => document::unfold(&self.key, &snapshot.bytes, &snapshot.heads)?,
            None => (document::new(&self.key), Vec::new()),
        };
        let mut held: BTreeSet<Sha256> = changes.iter().map(|change| change.hash).collect();
        for change in self.changes {
            if !held.insert(change.hash) {
                continue;
            }
            document.load_incremental(&change.bytes)?;
            if document
                .get_change_meta_by_hash(&change.hash.into())
                .is_none()
            {
                return Err(DocumentError::Incomplete {
                    stored: held.len(),
                    loaded: changes.len(),
                });
            }
            changes.push(change);
        }
        Ok((document, changes, self.seals))
    }
}

/// The key; none of a kind that is not known here.
fn known(key: &WireKey) -> Result<Option<Key>, PhoneError> {
    if key.kind.parse::<document::Kind>().is_err() {
        return Ok(None);
    }
    key.key().map(Some).map_err(|_| not_ours())
}

fn not_ours() -> PhoneError {
    PhoneError::offline(Unreached::NotOurs)
}

impl Store {
    /// Finds what is not unfolded yet, and gives what lay here of unknown kinds its name if this version knows it.
    pub(super) async fn find_arrivals(&mut self) -> Result<(), PhoneError> {
        let strange =
            sqlx::query("select arrival_id, items from arrival where document_id is null")
                .fetch_all(&mut self.connection)
                .await?;
        for row in &strange {
            if let Some(incoming) = Incoming::read(row.get(1))? {
                sqlx::query("update arrival set document_id = $1 where arrival_id = $2")
                    .bind(incoming.key.document().to_string())
                    .bind(row.get::<i64, _>(0))
                    .execute(&mut self.connection)
                    .await?;
            }
        }
        let rows = sqlx::query(
            "select distinct document_id from arrival where document_id is not null and not set_aside",
        )
        .fetch_all(&mut self.connection)
        .await?;
        for row in &rows {
            let id = row.get::<&str, _>(0).parse();
            self.folded.insert(id.map_err(PhoneError::internal)?);
        }
        Ok(())
    }

    /// Puts down what came, as it came, with the cursor that says that it did.
    pub(super) async fn put_down(
        &mut self,
        arrived: &[&Arrived<'_>],
        cursor: Option<&str>,
        now_ms: i64,
    ) -> Result<(), PhoneError> {
        let mut tx = self.connection.begin().await?;
        for some in arrived.chunks(ROWS) {
            let mut rows = sqlx::QueryBuilder::new("insert into arrival (document_id, items) ");
            rows.push_values(some, |mut row, arrived| {
                row.push_bind(arrived.key.as_ref().map(|key| key.document().to_string()));
                row.push_bind(arrived.items);
            });
            rows.build().execute(&mut *tx).await?;
        }
        if let Some(cursor) = cursor {
            put_cursor(&mut tx, cursor, now_ms).await?;
        }
        tx.commit().await?;
        let ids = arrived.iter().filter_map(|arrived| arrived.key.as_ref());
        self.folded.extend(ids.map(Key::document));
        Ok(())
    }

    /// Whether there is nothing of this document here.
    pub(super) async fn is_new(&mut self, id: DocumentId) -> Result<bool, PhoneError> {
        if self.folded.contains(&id) {
            return Ok(false);
        }
        let row = sqlx::query("select 1 from document where document_id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(row.is_none())
    }

    /// Unfolds a document if it is not yet.
    pub(super) async fn unfold(&mut self, id: DocumentId) -> Result<(), PhoneError> {
        if self.folded.contains(&id) {
            self.unfold_these(&[id]).await?;
        }
        Ok(())
    }

    /// Unfolds all there is, before a list. A full disk hides what came last from lists and nothing else.
    pub(super) async fn unfold_all(&mut self) -> Result<(), PhoneError> {
        while !self.folded.is_empty() {
            let some: Vec<DocumentId> = self.folded.iter().take(TOGETHER).copied().collect();
            match self.unfold_these(&some).await {
                Ok(()) => {}
                Err(PhoneError::StorageFull) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn unfold_these(&mut self, ids: &[DocumentId]) -> Result<(), PhoneError> {
        let mut tx = self.connection.begin().await?;
        for id in ids {
            let rows = sqlx::query(
                "select items from arrival where document_id = $1 and not set_aside order by arrival_id",
            )
            .bind(id.to_string())
            .fetch_all(&mut *tx)
            .await?;
            let items: Vec<u8> = rows
                .iter()
                .flat_map(|row| row.get::<&[u8], _>(0))
                .copied()
                .collect();
            match unfolded(&items) {
                Ok(Some(unfolded)) => unfolded.put(&mut tx, *id).await?,
                Ok(None) | Err(_) => set_aside(&mut tx, *id).await?,
            }
        }
        tx.commit().await?;
        for id in ids {
            self.folded.remove(id);
        }
        Ok(())
    }
}

/// A document that is about to get its rows.
struct Unfolded {
    key: Key,
    document: Automerge,
    rows: rows::Rows,
    changes: Vec<Change>,
    seals: Vec<Seal>,
}

fn unfolded(items: &[u8]) -> Result<Option<Unfolded>, PhoneError> {
    let Some(incoming) = Incoming::read(items)? else {
        return Ok(None);
    };
    let key = incoming.key.clone();
    let (document, changes, seals) = incoming.into_document()?;
    Ok(Some(Unfolded {
        rows: rows::of(key.kind, &document)?,
        key,
        document,
        changes,
        seals,
    }))
}

impl Unfolded {
    async fn put(self, tx: &mut Transaction<'_, Sqlite>, id: DocumentId) -> Result<(), PhoneError> {
        let heads = document::heads(&self.document);
        rows::put(tx, &self.key, &heads, By::Others, &self.rows).await?;
        for change in &self.changes {
            put_change(tx, id, change, false).await?;
        }
        for seal in &self.seals {
            put_seal(tx, id, seal).await?;
        }
        sqlx::query("delete from arrival where document_id = $1")
            .bind(id.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Keeps what does not unfold, and asks for it in another form.
async fn set_aside(tx: &mut Transaction<'_, Sqlite>, id: DocumentId) -> Result<(), PhoneError> {
    sqlx::query("update arrival set set_aside = 1 where document_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    want(tx, id, true).await
}

/// Asks for a document at the next sync.
pub(super) async fn want(
    tx: &mut Transaction<'_, Sqlite>,
    id: DocumentId,
    singly: bool,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into wanted (document_id, singly) values ($1, $2) \
         on conflict (document_id) do update set singly = max(singly, excluded.singly)",
    )
    .bind(id.to_string())
    .bind(singly)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where the feed is read on. A cursor of another epoch, or one that says to begin anew, makes receipts of before count no longer:
/// the server may have lost what they are about, and so may the backup that it announced. The first cursor of all needs no comparison: everything comes with it.
pub(super) async fn put_cursor(
    tx: &mut Transaction<'_, Sqlite>,
    cursor: &str,
    now_ms: i64,
) -> Result<(), PhoneError> {
    let parsed = Cursor::parse(cursor).ok_or_else(not_ours)?;
    if parsed.is_anew() {
        for cut_short in [
            "update receipt set epoch = ''",
            "update sync set backed_up_epoch = null, backed_up_through = null",
        ] {
            sqlx::query(cut_short).execute(&mut **tx).await?;
        }
    }
    sqlx::query(
        "update sync set compared_at_ms = case when cursor = '' then $3 when $4 or epoch <> $2 then null \
         else compared_at_ms end, cursor = $1, epoch = $2",
    )
    .bind(cursor)
    .bind(parsed.epoch.to_string())
    .bind(now_ms)
    .bind(parsed.is_anew())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
