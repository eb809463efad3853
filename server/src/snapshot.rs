//! Snapshots: documents saved whole, for phones that have nothing of them. One row instead of a row per change.
//!
//! A worker saves them while nothing else is to be done, never this process: what a change says is not read here. A snapshot is made
//! anew when its document has grown by a quarter, so all of them together cost no more than the history is long; what came
//! later follows singly. Without one a document goes as single changes: it is a matter of speed, never of what is there.

use crate::{
    app::App,
    database::Tx,
    insert::{Insert, Value},
    row::parsed,
    run::Run,
    stored::{self, StoredDocument},
    vault::{self, Key as VaultKey},
    worker::{Answer, Bytes, Job, Patience, Saved, SnapshotJob},
};
use kieumau_core::{document::Key, id::DocumentId, review::heads_text, wire::Snapshot};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// Documents that go to a worker, and into a transaction, together.
const TOGETHER: i64 = 16;
/// Bytes of changes that do: a large document goes alone.
const TOGETHER_BYTES: i64 = 1 << 20;
/// Bytes of a nonce before what lies at rest.
const NONCE: usize = 24;

/// A snapshot as it lies at rest.
pub struct Stored {
    /// Its heads, as text.
    pub heads: String,
    changes: i64,
    closed: Vec<u8>,
    /// What was entered beyond this is not in it.
    pub through: i64,
}

/// What a snapshot is made of.
struct Looked {
    id: DocumentId,
    key: Key,
    held: Vec<Bytes>,
    through: i64,
    size_bytes: i64,
}

/// Makes some snapshots that are missing or old; how many documents that settled.
///
/// # Errors
/// What the database says; `Io` when no worker can be started.
pub async fn round(app: &App) -> Result<usize, sqlx::Error> {
    let rows = sqlx::query(
        "select document_id, size_bytes from document \
         where unchecked_from is null and size_bytes > snapshot_bytes + snapshot_bytes / 4 + 2048 limit $1",
    )
    .bind(TOGETHER)
    .fetch_all(&app.database.read)
    .await?;
    let mut ids = BTreeSet::new();
    let mut bytes = 0;
    for row in &rows {
        bytes += row.get::<i64, _>(1);
        if bytes > TOGETHER_BYTES && !ids.is_empty() {
            break;
        }
        ids.insert(parsed(row, "document_id")?);
    }
    if ids.is_empty() {
        return Ok(0);
    }
    let looked = look(app, &ids).await?;
    let saved = ask(app, &looked).await?;
    store(app, &looked, saved).await?;
    Ok(ids.len())
}

/// Reads documents with what passed of them.
async fn look(app: &App, ids: &BTreeSet<DocumentId>) -> Result<Vec<Looked>, sqlx::Error> {
    let mut tx = app.database.read.begin().await?;
    let mut looked = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(stored) = StoredDocument::read(&mut tx, &app.vault, *id).await? else {
            continue;
        };
        let rows = sqlx::query(
            "select hash, earlier, number, bytes, coalesce(entered, number) as entered from change \
             where document_id = $1 and state = 'checked' order by number",
        )
        .bind(id.to_string())
        .fetch_all(&mut *tx)
        .await?;
        let mut document = Looked {
            id: *id,
            key: stored.key.clone(),
            held: Vec::with_capacity(rows.len()),
            through: 0,
            size_bytes: stored.size_bytes,
        };
        for row in rows {
            // One that does not open at rest makes a document that the worker cannot save.
            match Run::of(&row)?.open(&stored.vault_key) {
                Ok(changes) => {
                    let bytes = changes.into_iter().map(|change| Bytes(change.bytes));
                    document.held.extend(bytes);
                }
                Err(_) => document.held.push(Bytes(Vec::new())),
            }
            document.through = document.through.max(row.get("entered"));
        }
        looked.push(document);
    }
    tx.rollback().await?;
    Ok(looked)
}

/// Has workers save them. None for what cannot be saved: one that a worker does not survive takes no other with it.
async fn ask(app: &App, looked: &[Looked]) -> Result<Vec<Option<Saved>>, sqlx::Error> {
    let mut jobs = Vec::with_capacity(looked.len());
    for document in looked {
        jobs.push(document.job()?);
    }
    let answers = app.workers.run_all(&jobs, Patience::Patient).await?;
    Ok(answers
        .into_iter()
        .map(|answer| saved(answer.ok()?))
        .collect())
}

fn saved(answer: Answer) -> Option<Saved> {
    match answer {
        Answer::Snapshot(saved) => Some(saved),
        _ => None,
    }
}

impl Looked {
    fn job(&self) -> Result<Job, sqlx::Error> {
        let key =
            serde_json::to_string(&self.key).map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok(Job::Snapshot(SnapshotJob {
            key,
            held: self.held.clone(),
        }))
    }
}

/// Writes them. Of what cannot be saved it is written that it was tried, so that it is not tried again before it has grown.
async fn store(app: &App, looked: &[Looked], saved: Vec<Option<Saved>>) -> Result<(), sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let ids = looked.iter().map(|document| document.id).collect();
    let held = StoredDocument::hold_all(&mut tx, &app.vault, &ids).await?;
    let mut snapshots = Insert::new(
        "insert into snapshot (document_id, heads, change_count, through_number, bytes) values",
        5,
        "on conflict (document_id) do update set heads = excluded.heads, change_count = excluded.change_count, \
         through_number = excluded.through_number, bytes = excluded.bytes",
    );
    let mut tried = Insert::new(
        "with tried (document_id, size_bytes) as (values",
        2,
        ") update document set snapshot_bytes = tried.size_bytes from tried where document.document_id = tried.document_id",
    );
    for (document, saved) in looked.iter().zip(saved) {
        let Some(stored) = held.get(&document.id) else {
            continue;
        };
        tried.push([Value::text(document.id), document.size_bytes.into()]);
        let Some(saved) = saved else {
            tracing::warn!(document.id = %document.id, "a document could not be saved whole; it goes as single changes");
            continue;
        };
        snapshots.push([
            Value::text(document.id),
            Value::text(heads_text(&saved.heads)),
            i64::try_from(document.held.len())
                .unwrap_or(i64::MAX)
                .into(),
            document.through.into(),
            close(&stored.vault_key, document.id, &saved.bytes.0).into(),
        ]);
    }
    snapshots.execute(&mut tx).await?;
    tried.execute(&mut tx).await?;
    tx.commit().await
}

/// The snapshots of these documents.
///
/// # Errors
/// What the database says.
pub async fn read(
    tx: &mut Tx,
    ids: &BTreeSet<DocumentId>,
) -> Result<BTreeMap<DocumentId, Stored>, sqlx::Error> {
    let mut wanted = Insert::new(
        "with wanted (document_id) as (values",
        1,
        ") select s.document_id, s.heads, s.change_count, s.through_number, s.bytes \
         from snapshot s where s.document_id in (select document_id from wanted)",
    );
    for id in ids {
        wanted.push([Value::text(id)]);
    }
    let stored = |row: &AnyRow| {
        let snapshot = Stored {
            heads: row.get(1),
            changes: row.get(2),
            through: row.get(3),
            closed: row.get(4),
        };
        Ok((parsed(row, "document_id")?, snapshot))
    };
    wanted.fetch(tx).await?.iter().map(stored).collect()
}

impl Stored {
    /// As it travels.
    ///
    /// # Errors
    /// `Decode` if the bytes were changed.
    pub fn open(&self, key: &VaultKey, id: DocumentId) -> Result<Snapshot, sqlx::Error> {
        let damaged = || stored::damaged("a snapshot at rest was changed");
        let (nonce, sealed) = self
            .closed
            .split_first_chunk::<NONCE>()
            .ok_or_else(damaged)?;
        let bytes = vault::open(key, nonce, &name(id), sealed).map_err(|_| damaged())?;
        Ok(Snapshot {
            heads: stored::parse_hashes(&self.heads),
            changes: u32::try_from(self.changes).unwrap_or(u32::MAX),
            bytes,
        })
    }
}

/// `bytes` under the document's key. Its nonce is drawn: changes under the same key have the first bytes of their hashes.
fn close(key: &VaultKey, id: DocumentId, bytes: &[u8]) -> Vec<u8> {
    let mut closed = vec![0; NONCE];
    rand::fill(&mut closed[..]);
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&closed);
    closed.extend(vault::seal(key, &nonce, &name(id), bytes));
    closed
}

/// What a snapshot is bound to at rest. A change is bound to its hash, which has twice as many bytes: neither opens as the other.
fn name(id: DocumentId) -> [u8; 16] {
    *id.as_bytes()
}

#[cfg(test)]
mod tests;
