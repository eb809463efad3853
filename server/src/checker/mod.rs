//! Bytes first, understanding second: what the committer stored is given to a worker, and only what passes is served and shown.
//!
//! In reading order: [`looked`] is a document as it was read to be checked, [`told`] what a worker said about it, [`shown`] what is
//! written of what passed. [`reproject`](mod@reproject) and [`recheck`](mod@recheck) are the administration's.
//!
//! Two tasks per process: one checks documents together and gives each half a second, the other is patient with what [`slow`] names,
//! and makes thumbnails. So one hostile document costs the others half a second and not its whole trial. What is to be checked is
//! what the rows say is accepted and unchecked, so it goes on after any crash. Several processes may check the same document: the
//! rows are written by compare-and-set.

mod looked;
mod picture;
mod recheck;
mod reproject;
mod shown;
mod slow;
mod told;

pub use recheck::recheck;
pub use reproject::reproject;
pub use shown::write;

use crate::{
    app::App, clock, database::Tx, feed, projection::Rows, row::parsed, run, snapshot,
    stored::StoredDocument, worker::Patience,
};
use kieumau_core::id::{DocumentId, UnitId};
use looked::Looked;
use shown::Shown;
use slow::Slow;
use sqlx::Row as _;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use told::Told;

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
/// How long it waits for that at most: pages must not wait for the last phone of an evening. At 400 ms a worker took a quarter of the
/// processor from phones that came without a pause.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the database is tidied at most, while there is nothing else to do.
const TIDY: Duration = Duration::from_secs(10);

/// How long whole documents wait for a moment with nothing to check.
const TURN: Duration = Duration::from_secs(5);

/// Wakes the checking tasks, and knows what is slow.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    quick: Arc<Notify>,
    patient: Arc<Notify>,
    slow: Arc<Slow>,
    /// Whether the quick task has something to check.
    checking: Arc<AtomicBool>,
    /// Pushes that were read and are not answered.
    under_way: Arc<AtomicUsize>,
}

/// A push that is under way, until it is dropped.
pub struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Checker {
    /// There is something to check.
    pub fn wake(&self) {
        self.quick.notify_one();
        self.patient.notify_one();
    }

    /// Something was stored. What is slow, pictures and whole documents wait for a moment without pushes all the same.
    pub fn stored(&self) {
        self.quick.notify_one();
    }

    /// A push begins: nothing is checked before it is answered, within [`PATIENCE`].
    pub fn push_begins(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Checks until the server ends.
    pub async fn run(self, app: App) {
        tokio::join!(self.run_quick(&app), self.run_patient(&app));
    }

    async fn run_quick(&self, app: &App) {
        loop {
            self.quiet().await;
            let checked = quick_round(app).await;
            let more = checked.as_ref().is_ok_and(|checked| *checked > 0);
            if self.checking.swap(more, Ordering::Relaxed) && !more {
                // Whole documents waited for this.
                self.patient.notify_one();
            }
            match checked {
                Ok(0) => {
                    // The time-out is the look that nobody asked for.
                    let _ = tokio::time::timeout(LOOK, self.quick.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(cause = %error, "checking failed; it is tried again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// One slow document and one picture at a time: neither keeps the other waiting.
    async fn run_patient(&self, app: &App) {
        let (mut saved, mut tidied) = (Instant::now(), Instant::now());
        loop {
            let checked = match self.slow.due() {
                Some(id) => slow_one(app, id).await,
                None => 0,
            };
            match self.leisure(app, checked, &mut saved).await {
                Ok(0) => {
                    if tidied.elapsed() > TIDY && !self.checking.load(Ordering::Relaxed) {
                        app.database.tidy().await;
                        tidied = Instant::now();
                    }
                    let _ = tokio::time::timeout(LOOK, self.patient.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(cause = %error, "pictures could not be looked up; it is tried again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// A picture, and whole documents when there is nothing else, nothing to check either: without one a document goes as single changes,
    /// unchecked it does not go at all. Where there is always something to check they get a turn all the same, [`TURN`] after the one
    /// before (`saved`). How much was done, with what was done before.
    async fn leisure(
        &self,
        app: &App,
        before: usize,
        saved: &mut Instant,
    ) -> Result<usize, sqlx::Error> {
        let done = before + picture::next(app).await?;
        if done > 0 || (self.checking.load(Ordering::Relaxed) && saved.elapsed() < TURN) {
            return Ok(done);
        }
        *saved = Instant::now();
        snapshot::round(app).await
    }

    /// Waits until no push has come for [`QUIET`] and none is under way, at most for [`PATIENCE`]. A push that a worker slowed down looked like
    /// a pause, and so the worker went on: a first upload took two or three times as long as another, as it happened.
    async fn quiet(&self) {
        let pushes = async {
            while tokio::time::timeout(QUIET, self.quick.notified())
                .await
                .is_ok()
                || self.under_way.load(Ordering::Relaxed) > 0
            {}
        };
        let _ = tokio::time::timeout(PATIENCE, pushes).await;
    }
}

/// Checks what there is to check with all patience, and makes thumbnails that wait: for a command, while no server need answer.
/// How much was done.
///
/// # Errors
/// What the database says.
pub async fn round(app: &App) -> Result<usize, sqlx::Error> {
    let mut done = 0;
    for ids in together(app, |_| true).await? {
        done += check_together(app, &ids, Patience::Patient).await;
    }
    done += picture::next(app).await?;
    // Last: without one a document goes as single changes.
    if done == 0 {
        done += snapshot::round(app).await?;
    }
    Ok(done)
}

/// Checks what there is to check but for what is known as slow. How many documents were settled or found slow.
async fn quick_round(app: &App) -> Result<usize, sqlx::Error> {
    let mut done = 0;
    let groups = together(app, |id| !app.checker.slow.holds(id)).await?;
    app.checker
        .checking
        .store(!groups.is_empty(), Ordering::Relaxed);
    for ids in groups {
        done += check_together(app, &ids, Patience::Quick).await;
    }
    Ok(done)
}

/// Documents that have something to be checked, as they go to a worker together.
async fn together(
    app: &App,
    wanted: impl Fn(DocumentId) -> bool,
) -> Result<Vec<Vec<DocumentId>>, sqlx::Error> {
    // In any order: documents that cannot be checked must not fill the page for ever.
    let rows = sqlx::query(
        "select document_id, size_bytes from document where unchecked_from is not null order by random() limit $1",
    )
    .bind(PAGE)
    .fetch_all(&app.database.read)
    .await?;
    let mut groups: Vec<Vec<DocumentId>> = Vec::new();
    let mut bytes = 0;
    for row in &rows {
        let id = parsed(row, "document_id")?;
        if !wanted(id) {
            continue;
        }
        let size_bytes: i64 = row.get(1);
        match groups.last_mut() {
            Some(group) if group.len() < TOGETHER && bytes + size_bytes <= TOGETHER_BYTES => {
                group.push(id);
                bytes += size_bytes;
            }
            _ => {
                groups.push(vec![id]);
                bytes = size_bytes;
            }
        }
    }
    Ok(groups)
}

/// Checks documents together, and one by one if that fails: one that cannot be read at rest must not keep the others waiting.
async fn check_together(app: &App, ids: &[DocumentId], patience: Patience) -> usize {
    if ids.len() > 1
        && let Ok(done) = check(app, ids, patience).await
    {
        return done;
    }
    let mut done = 0;
    for id in ids {
        match check(app, &[*id], patience).await {
            Ok(checked) => done += checked,
            Err(error) => unable(app, *id, &error).await,
        }
    }
    done
}

/// Checks a slow document with patience; 1 if that was something. What phones wrote that killed workers enough is not tried.
async fn slow_one(app: &App, id: DocumentId) -> usize {
    let checked = match pass_over_killers(app).await {
        Ok(()) => check(app, &[id], Patience::Patient).await,
        Err(error) => Err(error),
    };
    match checked {
        Ok(_) => {
            app.checker.slow.settled(id);
            // What came meanwhile is not known to be slow.
            app.checker.quick.notify_one();
        }
        Err(error) => {
            unable(app, id, &error).await;
            app.checker.slow.failed(id);
        }
    }
    1
}

/// Withholds unread what waits of the phones that killed workers enough: others of their units are served.
async fn pass_over_killers(app: &App) -> Result<(), sqlx::Error> {
    for killer in app.checker.slow.killers() {
        let mut tx = app.database.begin().await?;
        let passed = feed::pass_over(&mut tx, &app.vault, killer).await?;
        tx.commit().await?;
        if passed.changes > 0 {
            tracing::error!(phone.id = %killer, changes = passed.changes, "what a phone wrote killed workers, and the rest of it is withheld unread; `recheck` looks at it");
            app.live.grew(passed.units);
        }
    }
    Ok(())
}

/// A document could not be checked: said, and counted if it is the document's own fault.
async fn unable(app: &App, id: DocumentId, error: &sqlx::Error) {
    tracing::error!(document.id = %id, cause = %error, "a document could not be checked; it is tried again");
    if let Err(error) = count(app, id, error).await {
        tracing::error!(document.id = %id, cause = %error, "that could not be written down");
    }
}

/// Counts a document's failures, so that it does not hold up its unit's feed for ever; not those of the database or the machine.
async fn count(app: &App, id: DocumentId, error: &sqlx::Error) -> Result<(), sqlx::Error> {
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
    if feed::unable(&mut tx, &app.vault, unit, id, clock::now_ms()).await? {
        tracing::error!(document.id = %id, "a document that cannot be checked is passed over; `recheck` looks at it again");
    }
    tx.commit().await
}

/// Checks the unchecked changes of these documents. How many documents that settled, or found slow; none of which another process
/// was faster.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn check(
    app: &App,
    ids: &[DocumentId],
    patience: Patience,
) -> Result<usize, sqlx::Error> {
    // Only read, and not held over the worker's time: SQLite has one writer.
    let mut tx = app.database.read.begin().await?;
    let mut looked = Vec::with_capacity(ids.len());
    for id in ids {
        looked.extend(Looked::read(app, &mut tx, *id).await?);
    }
    looked::people(&mut tx, &mut looked).await?;
    tx.rollback().await?;
    // What was withheld since it was found slow.
    looked.retain(|looked| !looked.fresh.is_empty());
    let before = looked.len();
    if patience == Patience::Quick {
        looked.retain(|looked| !app.checker.slow.is_of_slow_writer(looked));
    }
    let told = told::ask(app, &looked, patience).await?;
    let mut settled = Vec::with_capacity(looked.len());
    for (looked, told) in looked.into_iter().zip(told) {
        match told {
            Some(told) => {
                for killer in &told.killers {
                    app.checker.slow.killed(*killer);
                }
                settled.push((looked, told));
            }
            None => app.checker.slow.found(&looked),
        }
    }
    let slow = before - settled.len();
    if slow > 0 {
        app.checker.patient.notify_one();
    }
    if settled.is_empty() {
        return Ok(slow);
    }
    Ok(slow + settle(app, settled).await?)
}

/// Writes what the worker said.
async fn settle(app: &App, settled: Vec<(Looked, Told)>) -> Result<usize, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    // The feeds first, as everywhere: held before `advance` looks, no entry can come in between that it would not see.
    let units: BTreeSet<UnitId> = settled.iter().map(|(looked, _)| looked.key.unit).collect();
    feed::hold(&mut tx, &units).await?;
    let ids = settled.iter().map(|(looked, _)| looked.id).collect();
    let now = StoredDocument::hold_all(&mut tx, &app.vault, &ids).await?;
    let mut done = 0;
    let mut shown = Shown::default();
    for (looked, told) in settled {
        let same = |now: &&StoredDocument| now.checked_heads == looked.checked_heads;
        // Else another process was faster.
        if let Some(stored) = now.get(&looked.id).filter(same) {
            verdicts(&mut tx, stored, &looked, &told.verdicts).await?;
            done += usize::from(!looked.fresh.is_empty());
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
    Ok(done)
}

/// Writes the verdicts, and from where the document is unchecked now.
///
/// # Errors
/// What the database says; `RowNotFound` if the document has unchecked changes that were not looked at: it is looked at anew.
async fn verdicts(
    tx: &mut Tx,
    stored: &StoredDocument,
    looked: &Looked,
    verdicts: &[Option<String>],
) -> Result<(), sqlx::Error> {
    let Some(last) = looked.fresh.last() else {
        return Ok(());
    };
    let id = looked.id.to_string();
    cut(tx, stored, looked, verdicts).await?;
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
        .rows_affected()
        .cast_signed();
    }
    let passed = sqlx::query(
        "update change set state = 'checked' where document_id = $1 and state = 'accepted' and number <= $2 returning change_count",
    )
    .bind(&id)
    .bind(last.number)
    .fetch_all(&mut **tx)
    .await?;
    changed += passed.iter().map(|row| row.get::<i64, _>(0)).sum::<i64>();
    if usize::try_from(changed) != Ok(looked.fresh.len()) {
        return Err(sqlx::Error::RowNotFound);
    }
    sqlx::query(
        "update document set unable_tries = 0, unable_since_ms = null, unchecked_from = \
         (select min(coalesce(entered, number) - change_count + 1) from change where document_id = $1 and state = 'accepted') where document_id = $1",
    )
    .bind(&id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Cuts the rows that hold what passed beside what did not: a withheld change has a row of its own.
async fn cut(
    tx: &mut Tx,
    stored: &StoredDocument,
    looked: &Looked,
    verdicts: &[Option<String>],
) -> Result<(), sqlx::Error> {
    let mut left = looked.fresh.iter().zip(verdicts);
    for count in &looked.runs {
        let row: Vec<_> = left.by_ref().take(*count).collect();
        let Some((last, _)) = row.last() else {
            continue;
        };
        if row.len() == 1 || row.iter().all(|(_, verdict)| verdict.is_none()) {
            continue;
        }
        let alike = row.chunk_by(|(_, one), (_, next)| one.is_none() && next.is_none());
        let parts: Vec<usize> = alike.map(<[_]>::len).collect();
        run::cut(tx, stored, last.hash, &parts).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
