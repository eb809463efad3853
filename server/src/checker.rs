//! Bytes first, understanding second: what the committer stored is given to a worker, and only what passes is served and shown.
//!
//! One task per process. It has no memory of its own: what is to be checked is what the rows say is accepted and unchecked, so
//! it goes on after any crash. Several processes may check the same document: the rows are written by compare-and-set.

use crate::{
    app::App,
    attachment::thumbnail,
    database::Tx,
    feed,
    projection::{self, Rows},
    row::parsed,
    stored::{self, StoredDocument, parse_hashes},
    worker::{Answer, Bytes, CheckJob, Checked, Job, WorkerError},
};
use kieumau_core::{
    document::{Actor, Key},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    review::heads_text,
};
use sqlx::Row as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// How often it looks although nobody woke it: another process may have stored something.
const LOOK: Duration = Duration::from_secs(1);
/// Documents looked up at once.
const PAGE: i64 = 64;

/// Wakes the checking task.
#[derive(Clone, Debug, Default)]
pub struct Checker(Arc<Notify>);

/// One change to be checked.
struct Fresh {
    hash: Sha256,
    bytes: Vec<u8>,
}

impl Checker {
    /// There is something to check.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Checks until the server ends.
    pub async fn run(self, app: App) {
        loop {
            match round(&app).await {
                Ok(0) => {
                    // The time-out is the look that nobody asked for.
                    let _ = tokio::time::timeout(LOOK, self.0.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(cause = %error, "checking failed; it is tried again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

/// Checks what there is to check, and makes thumbnails that wait. How much was done.
///
/// # Errors
/// What the database says.
pub async fn round(app: &App) -> Result<usize, sqlx::Error> {
    // In any order: documents that cannot be checked must not fill the page for ever.
    let rows = sqlx::query(
        "select document_id from (select distinct document_id from change where state = 'accepted') as open \
         order by random() limit $1",
    )
    .bind(PAGE)
    .fetch_all(&app.database.read)
    .await?;
    let mut done = 0;
    for row in &rows {
        let id = parsed(row, "document_id")?;
        match check(app, id).await {
            Ok(checked) => done += usize::from(checked),
            // One document that cannot be read at rest must not keep the others waiting.
            Err(error) => {
                tracing::error!(document.id = %id, cause = %error, "a document could not be checked; it is tried again");
            }
        }
    }
    // One picture at a time: text does not wait for pictures.
    if let Some((unit, sha256)) = thumbnail::pending_thumbnails(app).await?.into_iter().next() {
        done += usize::from(picture(app, unit, sha256).await);
    }
    Ok(done)
}

/// Makes one thumbnail; false if it stays waiting, which the next look tries again.
async fn picture(app: &App, unit: UnitId, sha256: Sha256) -> bool {
    let original = match thumbnail::original(app, unit, sha256).await {
        Ok(original) => original,
        Err(problem) => {
            problem.log();
            Vec::new()
        }
    };
    let made = match app.workers.run(&Job::Thumbnail(Bytes(original))).await {
        Ok(Answer::Thumbnail(picture)) => Some(picture.0),
        // No worker could be started: that says nothing about the picture.
        Err(WorkerError::NotStarted(_)) => return false,
        _ => None,
    };
    match thumbnail::store_thumbnail(app, unit, sha256, made.as_deref()).await {
        Ok(()) => true,
        Err(problem) => {
            problem.log();
            false
        }
    }
}

/// Checks the unchecked changes of one document; false if that settled nothing, because another process was faster.
///
/// # Errors
/// What the database says.
pub async fn check(app: &App, id: DocumentId) -> Result<bool, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let Some(stored) = StoredDocument::hold(&mut tx, &app.vault, id).await? else {
        return Ok(false);
    };
    let held = changes(&mut tx, &stored, id, "checked").await?;
    let fresh = changes(&mut tx, &stored, id, "accepted").await?;
    let people = people(&mut tx, id).await?;
    // Not held over the worker's time: SQLite has one writer.
    tx.rollback().await?;
    let held: Vec<Bytes> = held.into_iter().map(|fresh| Bytes(fresh.bytes)).collect();
    let (verdicts, checked) = ask(app, &stored.key, held, &fresh, people).await?;
    let mut tx = app.database.begin().await?;
    // The feed first, as everywhere: held before `advance` looks, no entry can come in between that it would not see.
    feed::hold(&mut tx, &BTreeSet::from([stored.key.unit])).await?;
    let now = StoredDocument::hold(&mut tx, &app.vault, id).await?;
    if now.is_none_or(|now| now.checked_heads != stored.checked_heads) {
        // Another process was faster.
        tx.rollback().await?;
        return Ok(false);
    }
    let mut settled = 0;
    for (fresh, verdict) in fresh.iter().zip(&verdicts) {
        let state = if verdict.is_none() {
            "checked"
        } else {
            "withheld"
        };
        let changed = sqlx::query(
            "update change set state = $1, withheld_for = $2 \
             where document_id = $3 and hash = $4 and state = 'accepted'",
        )
        .bind(state)
        .bind(verdict)
        .bind(id.to_string())
        .bind(fresh.hash.to_string())
        .execute(&mut *tx)
        .await?;
        settled += changed.rows_affected();
        if let Some(word) = verdict {
            tracing::warn!(document.id = %id, change.hash = %fresh.hash, reason = word, "change withheld");
        }
    }
    if let Some(checked) = checked {
        let rows: Rows = serde_json::from_str(&checked.rows)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        write(&mut tx, &stored.key, &checked.heads, &rows).await?;
    }
    feed::advance(&mut tx, stored.key.unit).await?;
    tx.commit().await?;
    Ok(settled > 0)
}

/// Rows, heads and grants of a document that was looked into.
///
/// # Errors
/// What the database says.
pub async fn write(
    tx: &mut Tx,
    key: &Key,
    heads: &[Sha256],
    rows: &Rows,
) -> Result<(), sqlx::Error> {
    grants(tx, key, rows).await?;
    projection::replace(tx, key, rows).await?;
    sqlx::query(
        "update document set checked_heads = $1, projected_heads = $1 where document_id = $2",
    )
    .bind(heads_text(heads))
    .bind(key.document().to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Who came onto the team is given the document whole, by an entry with a number of its own.
async fn grants(tx: &mut Tx, key: &Key, rows: &Rows) -> Result<(), sqlx::Error> {
    let members = rows.readers();
    let old = sqlx::query("select person_id from patrol_member where document_id = $1")
        .bind(key.document().to_string())
        .fetch_all(&mut **tx)
        .await?;
    let old: BTreeSet<PersonId> = old
        .iter()
        .map(|row| parsed(row, "person_id"))
        .collect::<Result<_, _>>()?;
    if members == old {
        return Ok(());
    }
    let mut feeds = feed::hold(tx, &BTreeSet::from([key.unit])).await?;
    for person in members.difference(&old) {
        feeds
            .append(tx, key.unit, feed::Entry::Grant(key.document(), *person))
            .await?;
    }
    for person in old.difference(&members) {
        feeds
            .append(tx, key.unit, feed::Entry::Ungrant(key.document(), *person))
            .await?;
    }
    feed::store(tx, &feeds).await
}

async fn changes(
    tx: &mut Tx,
    stored: &StoredDocument,
    id: DocumentId,
    state: &str,
) -> Result<Vec<Fresh>, sqlx::Error> {
    let rows = sqlx::query(
        "select hash, bytes from change where document_id = $1 and state = $2 order by number",
    )
    .bind(id.to_string())
    .bind(state)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            let hash = parse_hashes(&row.get::<String, _>(0))
                .pop()
                .ok_or_else(|| stored::damaged("a change's hash"))?;
            Ok(Fresh {
                hash,
                bytes: stored.open(hash, &row.get::<Vec<u8>, _>(1))?,
            })
        })
        .collect()
}

/// Whose the phones are that wrote in this document.
async fn people(tx: &mut Tx, id: DocumentId) -> Result<Vec<(PhoneId, PersonId)>, sqlx::Error> {
    let rows = sqlx::query("select distinct actor from change where document_id = $1")
        .bind(id.to_string())
        .fetch_all(&mut **tx)
        .await?;
    let mut phones = BTreeMap::new();
    for row in rows {
        let actor = hex::decode(row.get::<String, _>(0))
            .ok()
            .and_then(|actor| Actor::from_slice(&actor));
        let Some(Actor { phone, .. }) = actor else {
            continue;
        };
        let row = sqlx::query("select person_id from phone where phone_id = $1")
            .bind(phone.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(row) = row {
            phones.insert(phone, parsed(&row, "person_id")?);
        }
    }
    Ok(phones.into_iter().collect())
}

/// Asks a worker; if it dies over them, asks again one by one, so that only what kills it is withheld.
async fn ask(
    app: &App,
    key: &Key,
    mut held: Vec<Bytes>,
    fresh: &[Fresh],
    people: Vec<(PhoneId, PersonId)>,
) -> Result<(Vec<Option<String>>, Option<Checked>), sqlx::Error> {
    let json = serde_json::to_string(key).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let job = |held: Vec<Bytes>, fresh: Vec<Bytes>| CheckJob {
        key: json.clone(),
        held,
        fresh,
        people: people.clone(),
    };
    let all: Vec<Bytes> = fresh
        .iter()
        .map(|fresh| Bytes(fresh.bytes.clone()))
        .collect();
    match app
        .workers
        .run(&Job::Check(job(held.clone(), all.clone())))
        .await
    {
        Ok(Answer::Checked(checked)) => return Ok((checked.verdicts.clone(), Some(checked))),
        Err(error @ WorkerError::NotStarted(_)) => {
            return Err(sqlx::Error::Io(std::io::Error::other(error)));
        }
        Ok(_) | Err(_) => {}
    }
    let mut verdicts = Vec::with_capacity(all.len());
    let mut last = None;
    for one in all {
        let verdict = match app
            .workers
            .run(&Job::Check(job(held.clone(), vec![one.clone()])))
            .await
        {
            Ok(Answer::Checked(mut checked)) => {
                let verdict = checked.verdicts.pop().flatten();
                if verdict.is_none() {
                    held.push(one);
                }
                last = Some(checked);
                verdict
            }
            Ok(Answer::Failed(word)) => Some(word),
            Ok(_) => Some("wrong-answer".to_owned()),
            Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
            Err(error @ (WorkerError::Died | WorkerError::TooSlow)) => {
                // A worker that fails without it too says nothing about this change: it is tried again later.
                app.workers
                    .run(&Job::Check(job(held.clone(), Vec::new())))
                    .await
                    .map_err(std::io::Error::other)?;
                Some(error.word().to_owned())
            }
        };
        verdicts.push(verdict);
    }
    Ok((verdicts, last))
}

/// Rebuilds every projected row from the documents, one document at a time. How many there are.
///
/// # Errors
/// What the database says; `Io` naming the documents whose rows could not be rebuilt and are as they were.
pub async fn reproject(app: &App) -> Result<usize, sqlx::Error> {
    let documents = sqlx::query("select document_id from document order by document_id")
        .fetch_all(&app.database.read)
        .await?;
    let mut failed = Vec::new();
    for row in &documents {
        let id: DocumentId = parsed(row, "document_id")?;
        if !reproject_one(app, id).await? {
            failed.push(id.to_string());
        }
    }
    let mut tx = app.database.begin().await?;
    projection::drop_strays(&mut tx).await?;
    tx.commit().await?;
    if failed.is_empty() {
        Ok(documents.len())
    } else {
        Err(sqlx::Error::Io(std::io::Error::other(format!(
            "not rebuilt: {}",
            failed.join(" ")
        ))))
    }
}

async fn reproject_one(app: &App, id: DocumentId) -> Result<bool, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let Some(stored) = StoredDocument::hold(&mut tx, &app.vault, id).await? else {
        return Ok(true);
    };
    let held = changes(&mut tx, &stored, id, "checked").await?;
    tx.rollback().await?;
    let held = held.into_iter().map(|fresh| Bytes(fresh.bytes)).collect();
    let (_, Some(checked)) = ask(app, &stored.key, held, &[], Vec::new()).await? else {
        return Ok(false);
    };
    let rows: Rows =
        serde_json::from_str(&checked.rows).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut tx = app.database.begin().await?;
    let now = StoredDocument::hold(&mut tx, &app.vault, id).await?;
    if now.is_some_and(|now| now.checked_heads == stored.checked_heads) {
        projection::replace(&mut tx, &stored.key, &rows).await?;
        sqlx::query("update document set projected_heads = $1 where document_id = $2")
            .bind(heads_text(&checked.heads))
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
    }
    // If it changed meanwhile, whoever changed it has written its rows.
    tx.commit().await?;
    Ok(true)
}

/// Lets the worker look again at everything it withheld, after an upgrade or a bad day of the machine. How many changes.
///
/// # Errors
/// What the database says.
pub async fn recheck(app: &App) -> Result<u64, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let again = sqlx::query(
        "update change set state = 'accepted', withheld_for = null where state = 'withheld'",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    while round(app).await? > 0 {}
    Ok(again.rows_affected())
}

#[cfg(test)]
mod tests;
