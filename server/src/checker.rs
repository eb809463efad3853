//! Bytes first, understanding second: what the committer stored is given to a worker, and only what passes is served and shown.
//!
//! One task per process. It has no memory of its own: what is to be checked is what the rows say is accepted and unchecked, so
//! it goes on after any crash. Several processes may check the same document: the rows are written by compare-and-set.

use crate::{
    app::App,
    attachment::thumbnail,
    clock,
    database::Tx,
    feed,
    projection::{self, Projected, Rows},
    row::parsed,
    snapshot,
    stored::StoredDocument,
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
/// Documents that go to a worker, and into a transaction, together.
const TOGETHER: usize = 16;
/// Bytes of changes that do: a large document goes alone.
const TOGETHER_BYTES: i64 = 1 << 20;
/// How long no push must have come before it checks. SQLite has one writer, and an answer to a phone comes before a page.
const QUIET: Duration = Duration::from_millis(20);
/// How long it waits for that at most: pages must not wait for the last phone of an evening.
const PATIENCE: Duration = Duration::from_millis(400);

/// Wakes the checking task.
#[derive(Clone, Debug, Default)]
pub struct Checker(Arc<Notify>);

/// A document as it was read to be checked.
struct Looked {
    id: DocumentId,
    key: Key,
    /// Heads of what passed before, as text.
    checked_heads: String,
    /// What passed before.
    held: Vec<Bytes>,
    /// What is to be checked.
    fresh: Vec<Fresh>,
    /// Whose the phones are that wrote in it.
    people: Vec<(PhoneId, PersonId)>,
}

/// One change to be checked.
struct Fresh {
    hash: Sha256,
    number: i64,
    bytes: Bytes,
}

/// What the worker said about one document.
struct Told {
    /// Per fresh change: none if it passed, or the word of why not.
    verdicts: Vec<Option<String>>,
    /// The document without those that did not; none if no answer came that says.
    checked: Option<Checked>,
}

impl Checker {
    /// There is something to check.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Checks until the server ends.
    pub async fn run(self, app: App) {
        loop {
            self.quiet().await;
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

    /// Waits until no push has come for [`QUIET`], at most for [`PATIENCE`].
    async fn quiet(&self) {
        let pushes =
            async { while tokio::time::timeout(QUIET, self.0.notified()).await.is_ok() {} };
        let _ = tokio::time::timeout(PATIENCE, pushes).await;
    }
}

/// Checks what there is to check, and makes thumbnails that wait. How much was done.
///
/// # Errors
/// What the database says.
pub async fn round(app: &App) -> Result<usize, sqlx::Error> {
    // In any order: documents that cannot be checked must not fill the page for ever.
    let rows = sqlx::query(
        "select document_id, size_bytes from document where unchecked_from is not null order by random() limit $1",
    )
    .bind(PAGE)
    .fetch_all(&app.database.read)
    .await?;
    let mut done = 0;
    let mut together: Vec<DocumentId> = Vec::new();
    let mut bytes = 0;
    for row in &rows {
        let size_bytes: i64 = row.get(1);
        let full = together.len() == TOGETHER || bytes + size_bytes > TOGETHER_BYTES;
        if full && !together.is_empty() {
            done += check_together(app, &std::mem::take(&mut together)).await;
            bytes = 0;
        }
        together.push(parsed(row, "document_id")?);
        bytes += size_bytes;
    }
    done += check_together(app, &together).await;
    // One picture at a time: text does not wait for pictures.
    if let Some((unit, sha256)) = thumbnail::pending_thumbnails(app, clock::now_ms())
        .await?
        .into_iter()
        .next()
    {
        done += usize::from(picture(app, unit, sha256).await);
    }
    // Last: without one a document goes as single changes.
    if done == 0 {
        done += snapshot::round(app).await?;
    }
    Ok(done)
}

/// Checks documents together, and one by one if that fails: one that cannot be read at rest must not keep the others waiting.
async fn check_together(app: &App, ids: &[DocumentId]) -> usize {
    if ids.len() > 1
        && let Ok(done) = check(app, ids).await
    {
        return done;
    }
    let mut done = 0;
    for id in ids {
        match check(app, &[*id]).await {
            Ok(checked) => done += checked,
            Err(error) => {
                tracing::error!(document.id = %id, cause = %error, "a document could not be checked; it is tried again");
                if let Err(error) = unable(app, *id, &error).await {
                    tracing::error!(document.id = %id, cause = %error, "that could not be written down");
                }
            }
        }
    }
    done
}

/// Counts a document's failures, so that it does not hold up its unit's feed for ever; not those of the database or the machine.
async fn unable(app: &App, id: DocumentId, error: &sqlx::Error) -> Result<(), sqlx::Error> {
    let its_own = match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::Other,
        _ => false,
    };
    if !its_own {
        return Ok(());
    }
    let row = sqlx::query("select unit_id from document where document_id = $1")
        .bind(id.to_string())
        .fetch_one(&app.database.read)
        .await?;
    let unit = parsed(&row, "unit_id")?;
    let mut tx = app.database.begin().await?;
    if feed::unable(&mut tx, unit, id, clock::now_ms()).await? {
        tracing::error!(document.id = %id, "a document that cannot be checked is passed over; `recheck` looks at it again");
    }
    tx.commit().await
}

/// Makes one thumbnail; false if it stays waiting. One whose original cannot be read is put off: that says nothing about the
/// picture.
async fn picture(app: &App, unit: UnitId, sha256: Sha256) -> bool {
    let original = match thumbnail::original(app, unit, sha256).await {
        Ok(original) => original,
        Err(problem) => {
            problem.log();
            if let Err(error) = thumbnail::put_off(app, unit, sha256, clock::now_ms()).await {
                tracing::error!(cause = %error, "a thumbnail could not be put off; it is tried again");
            }
            return false;
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

/// Checks the unchecked changes of these documents. How many documents that settled; none of which another process was faster.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn check(app: &App, ids: &[DocumentId]) -> Result<usize, sqlx::Error> {
    // Only read, and not held over the worker's time: SQLite has one writer.
    let mut tx = app.database.read.begin().await?;
    let mut looked = Vec::with_capacity(ids.len());
    for id in ids {
        looked.extend(look(app, &mut tx, *id).await?);
    }
    people(&mut tx, &mut looked).await?;
    tx.rollback().await?;
    if looked.is_empty() {
        return Ok(0);
    }
    let told = ask_together(app, &looked).await?;
    settle(app, &looked, told).await
}

/// Writes what the worker said.
async fn settle(app: &App, looked: &[Looked], told: Vec<Told>) -> Result<usize, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    // The feeds first, as everywhere: held before `advance` looks, no entry can come in between that it would not see.
    let units: BTreeSet<UnitId> = looked.iter().map(|looked| looked.key.unit).collect();
    feed::hold(&mut tx, &units).await?;
    let ids = looked.iter().map(|looked| looked.id).collect();
    let now = StoredDocument::hold_all(&mut tx, &app.vault, &ids).await?;
    let mut settled = 0;
    let mut shown = Shown::default();
    for (looked, told) in looked.iter().zip(told) {
        let same = |now: &StoredDocument| now.checked_heads == looked.checked_heads;
        // Else another process was faster.
        if now.get(&looked.id).is_some_and(same) {
            verdicts(&mut tx, looked, &told.verdicts).await?;
            settled += usize::from(!looked.fresh.is_empty());
            if let Some(checked) = told.checked {
                let rows: Rows = serde_json::from_str(&checked.rows)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                let before = !looked.checked_heads.is_empty();
                shown.add(&looked.key, checked.heads, rows, before);
            }
        }
    }
    shown.store(&mut tx).await?;
    for unit in &units {
        feed::advance(&mut tx, *unit).await?;
    }
    tx.commit().await?;
    app.live.grew(units);
    Ok(settled)
}

/// Writes the verdicts, and from where the document is unchecked now.
///
/// # Errors
/// What the database says; `RowNotFound` if the document has unchecked changes that were not looked at: it is looked at anew.
async fn verdicts(
    tx: &mut Tx,
    looked: &Looked,
    verdicts: &[Option<String>],
) -> Result<(), sqlx::Error> {
    let Some(last) = looked.fresh.last() else {
        return Ok(());
    };
    let id = looked.id.to_string();
    let mut changed = 0;
    for (fresh, verdict) in looked.fresh.iter().zip(verdicts) {
        let Some(word) = verdict else { continue };
        tracing::warn!(document.id = %id, change.hash = %fresh.hash, reason = word, "change withheld");
        changed += sqlx::query(
            "update change set state = 'withheld', withheld_for = $1 \
             where document_id = $2 and hash = $3 and state = 'accepted'",
        )
        .bind(word)
        .bind(&id)
        .bind(fresh.hash.to_string())
        .execute(&mut **tx)
        .await?
        .rows_affected();
    }
    changed += sqlx::query(
        "update change set state = 'checked' where document_id = $1 and state = 'accepted' and number <= $2",
    )
    .bind(&id)
    .bind(last.number)
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if changed != looked.fresh.len() as u64 {
        return Err(sqlx::Error::RowNotFound);
    }
    sqlx::query(
        "update document set unable_tries = 0, unable_since_ms = null, unchecked_from = \
         (select min(coalesce(entered, number)) from change where document_id = $1 and state = 'accepted') where document_id = $1",
    )
    .bind(&id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Documents that were looked into, with their heads and rows.
#[derive(Default)]
struct Shown {
    documents: Vec<(Key, Vec<Sha256>, Rows)>,
    rows: Projected,
}

impl Shown {
    /// One more; `before` says whether it may have been shown before.
    fn add(&mut self, key: &Key, heads: Vec<Sha256>, rows: Rows, before: bool) {
        self.rows.add(key, &rows, before);
        self.documents.push((key.clone(), heads, rows));
    }

    /// Writes grants, rows and heads.
    async fn store(self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        for (key, heads, rows) in &self.documents {
            grants(tx, key, rows).await?;
            sqlx::query(
                "update document set checked_heads = $1, projected_heads = $1 where document_id = $2",
            )
            .bind(heads_text(heads))
            .bind(key.document().to_string())
            .execute(&mut **tx)
            .await?;
        }
        self.rows.store(tx).await
    }
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
    let mut shown = Shown::default();
    shown.add(key, heads.to_vec(), rows.clone(), true);
    shown.store(tx).await
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
        feeds.append(key.unit, feed::Entry::Grant(key.document(), *person))?;
    }
    for person in old.difference(&members) {
        feeds.append(key.unit, feed::Entry::Ungrant(key.document(), *person))?;
    }
    feed::store(tx, feeds).await
}

/// Reads a document with its changes; none if there is no such document.
async fn look(app: &App, tx: &mut Tx, id: DocumentId) -> Result<Option<Looked>, sqlx::Error> {
    let Some(stored) = StoredDocument::read(tx, &app.vault, id).await? else {
        return Ok(None);
    };
    let rows = sqlx::query(
        "select hash, state, number, actor, bytes from change \
         where document_id = $1 and (state = 'checked' or state = 'accepted') order by number",
    )
    .bind(id.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let mut looked = Looked {
        id,
        key: stored.key.clone(),
        checked_heads: stored.checked_heads.clone(),
        held: Vec::new(),
        fresh: Vec::new(),
        people: Vec::new(),
    };
    let mut phones = BTreeSet::new();
    for row in rows {
        let hash = parsed(&row, "hash")?;
        let bytes = Bytes(stored.open(hash, &row.get::<Vec<u8>, _>(4))?);
        if row.get::<String, _>(1) == "accepted" {
            let number = row.get(2);
            looked.fresh.push(Fresh {
                hash,
                number,
                bytes,
            });
        } else {
            looked.held.push(bytes);
        }
        let actor = hex::decode(row.get::<String, _>(3)).ok();
        phones.extend(actor.and_then(|actor| Some(Actor::from_slice(&actor)?.phone)));
    }
    // Whose they are is filled in for all documents at once.
    let nobody = PersonId::from_bytes([0; 16]);
    looked.people = phones.into_iter().map(|phone| (phone, nobody)).collect();
    Ok(Some(looked))
}

/// Fills in whose the phones are that wrote in these documents.
async fn people(tx: &mut Tx, looked: &mut [Looked]) -> Result<(), sqlx::Error> {
    let phones: BTreeSet<PhoneId> = looked
        .iter()
        .flat_map(|looked| looked.people.iter().map(|(phone, _)| *phone))
        .collect();
    let mut owners = BTreeMap::new();
    for phone in phones {
        let row = sqlx::query("select person_id from phone where phone_id = $1")
            .bind(phone.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(row) = row {
            owners.insert(phone, parsed(&row, "person_id")?);
        }
    }
    for looked in looked {
        looked.people = looked
            .people
            .iter()
            .filter_map(|(phone, _)| Some((*phone, *owners.get(phone)?)))
            .collect();
    }
    Ok(())
}

/// Asks a worker about all of them; about those of which it does not answer, one by one.
async fn ask_together(app: &App, looked: &[Looked]) -> Result<Vec<Told>, sqlx::Error> {
    let mut jobs = Vec::with_capacity(looked.len());
    for looked in looked {
        jobs.push(Job::Check(looked.job(looked.fresh.iter())?));
    }
    let answers = match app.workers.run(&Job::All(jobs)).await {
        Ok(Answer::All(answers)) if answers.len() == looked.len() => answers,
        Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
        Ok(_) | Err(_) => Vec::new(),
    };
    let mut answers = answers.into_iter();
    let mut told = Vec::with_capacity(looked.len());
    for looked in looked {
        told.push(match answers.next() {
            Some(Answer::Checked(checked)) if checked.verdicts.len() == looked.fresh.len() => {
                Told {
                    verdicts: checked.verdicts.clone(),
                    checked: Some(checked),
                }
            }
            _ => ask_one_by_one(app, looked).await?,
        });
    }
    Ok(told)
}

impl Looked {
    /// What a worker is asked about these of its fresh changes.
    fn job<'a>(&self, fresh: impl Iterator<Item = &'a Fresh>) -> Result<CheckJob, sqlx::Error> {
        Ok(CheckJob {
            key: serde_json::to_string(&self.key)
                .map_err(|error| sqlx::Error::Encode(error.into()))?,
            held: self.held.clone(),
            fresh: fresh.map(|fresh| fresh.bytes.clone()).collect(),
            people: self.people.clone(),
        })
    }
}

/// Asks about one change after the other, so that only what kills a worker is withheld.
async fn ask_one_by_one(app: &App, looked: &Looked) -> Result<Told, sqlx::Error> {
    let mut passed = looked.job([].iter())?;
    let mut told = Told {
        verdicts: Vec::with_capacity(looked.fresh.len()),
        checked: None,
    };
    for fresh in &looked.fresh {
        let mut with = passed.clone();
        with.fresh = vec![fresh.bytes.clone()];
        let verdict = match app.workers.run(&Job::Check(with)).await {
            Ok(Answer::Checked(mut checked)) => {
                let verdict = checked
                    .verdicts
                    .pop()
                    .ok_or_else(|| unanswered("no verdict"))?;
                if verdict.is_none() {
                    passed.held.push(fresh.bytes.clone());
                }
                told.checked = Some(checked);
                verdict
            }
            // What could not be done at all is about what was held before, not about this change.
            Ok(Answer::Failed(word)) => return Err(unanswered(&word)),
            Ok(_) => return Err(unanswered("another answer")),
            Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
            Err(error @ (WorkerError::Died | WorkerError::TooSlow)) => {
                // A worker that fails without it too says nothing about this change: it is tried again later.
                app.workers
                    .run(&Job::Check(passed.clone()))
                    .await
                    .map_err(std::io::Error::other)?;
                Some(error.word().to_owned())
            }
        };
        told.verdicts.push(verdict);
    }
    Ok(told)
}

/// A worker that says nothing about a change: it is asked again later.
fn unanswered(word: &str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(format!("the worker says {word}")))
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
    let mut tx = app.database.read.begin().await?;
    let looked = look(app, &mut tx, id).await?;
    tx.rollback().await?;
    let Some(looked) = looked else {
        return Ok(true);
    };
    let job = Job::Check(looked.job([].iter())?);
    let checked = match app.workers.run(&job).await {
        Ok(Answer::Checked(checked)) => checked,
        Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
        Ok(_) | Err(_) => return Ok(false),
    };
    let rows: Rows =
        serde_json::from_str(&checked.rows).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut tx = app.database.begin().await?;
    let now = StoredDocument::hold(&mut tx, &app.vault, id).await?;
    if now.is_some_and(|now| now.checked_heads == looked.checked_heads) {
        let mut projected = Projected::default();
        projected.add(&looked.key, &rows, true);
        projected.store(&mut tx).await?;
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
    let again = feed::release(&mut tx, None).await?;
    tx.commit().await?;
    while round(app).await? > 0 {}
    Ok(again)
}

#[cfg(test)]
mod tests;
