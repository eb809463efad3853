//! What a group of pushes writes, in one transaction: changes with their feed numbers, seals, quarantine, log leaves, receipts.
//!
//! Admission itself is `core::log::admission`, a pure function; here is the IO at both its ends. Order of locks: feeds by unit
//! id, then phones, then documents, then the log. `opened` is a document while the group is decided about, `rows` writes what
//! was decided, `receipts` signs for what is held. What a group reads and writes goes in as few statements as there are tables.

mod opened;
mod receipts;
mod rows;

use crate::{
    app::App,
    clock,
    database::{Tx, holding},
    feed,
    ledger::Ledger,
};
use kieumau_core::{
    document::{Actor, Key},
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    log::{
        admission::{Candidate, Outcome, Refusal},
        leaf::Leaf,
    },
    seal::Seal,
    wire::{ChangeOutcome, Pushed, ReceiptRequest},
};
use opened::Opened;
use receipts::Placed;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// A push whose bytes were read and whose seals were checked, outside any transaction.
#[derive(Debug)]
pub struct PreparedPush {
    /// Who brought it; none for the server's own.
    pub carrier: Option<PhoneId>,
    /// The carrier's unit: receipts are for its documents only.
    pub unit: UnitId,
    /// Per document.
    pub documents: Vec<PreparedDocument>,
    /// What the carrier wants receipts for.
    pub receipts: Vec<ReceiptRequest>,
    /// What was refused before it came here.
    pub refused: Vec<RefusedChange>,
}

/// Changes of one document.
#[derive(Debug)]
pub struct PreparedDocument {
    /// Which document.
    pub key: Key,
    /// Its changes.
    pub changes: Vec<PreparedChange>,
    /// Seals that hold.
    pub seals: Vec<Seal>,
    /// The changes that these seals cover.
    pub sealed: BTreeSet<Sha256>,
}

/// One change, read by its header only.
#[derive(Debug)]
pub struct PreparedChange {
    /// Its header.
    pub candidate: Candidate,
    /// When its writer says it was written, Unix seconds.
    pub written_at_s: i64,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// Bytes that can never be taken, and why.
#[derive(Debug)]
pub struct RefusedChange {
    /// The document they were pushed for.
    pub document: Option<Key>,
    /// The change's hash; of the bytes themselves if they are no change.
    pub hash: Sha256,
    /// Why.
    pub refusal: Refusal,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The seals of it that came with it: with them it can be tried again.
    pub seals: Vec<Seal>,
}

/// Writes `pushes` in one transaction; one answer per push, in order.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn write(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Pushed>, sqlx::Error> {
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let arrived = || pushes.iter().flat_map(|push| &push.documents);
    let units: BTreeSet<UnitId> = arrived().map(|document| document.key.unit).collect();
    let mut feeds = feed::hold(&mut tx, &units).await?;
    let mut revoked = revoked_among(&mut tx, writers(pushes)).await?;
    let mut documents = opened::open(app, &mut tx, pushes).await?;
    revoked.extend(revoked_among(&mut tx, waiting_writers(&documents)).await?);
    let mut answers = Vec::with_capacity(pushes.len());
    let mut batches = Vec::new();
    let mut kept = rows::Quarantine::new(app, now_ms);
    for push in pushes {
        let mut answer = Pushed {
            server_time_ms: now_ms,
            ..Pushed::default()
        };
        for change in &push.refused {
            let refusal = kept.keep(&mut tx, push.carrier, change).await?;
            answer
                .changes
                .push(ChangeOutcome::refused(change.hash, refusal));
        }
        for document in &push.documents {
            let Some(opened) = documents.get_mut(&document.key.document()) else {
                return Err(sqlx::Error::RowNotFound);
            };
            let mut taken = opened.take(&mut feeds, &revoked, push.carrier, document, now_ms)?;
            for change in &taken.refused {
                let refusal = kept.keep(&mut tx, push.carrier, change).await?;
                let outcome = Outcome::Refused(refusal);
                taken.outcomes.insert(change.hash, outcome);
            }
            let outcomes = taken.outcomes.iter();
            answer
                .changes
                .extend(outcomes.filter_map(|(hash, outcome)| ChangeOutcome::of(*hash, *outcome)));
            batches.extend(taken.batch);
        }
        answers.push(answer);
    }
    for opened in documents.values() {
        rows::refuse_waited(&mut tx, &mut kept, opened).await?;
    }
    kept.store(&mut tx).await?;
    rows::store(&mut tx, documents.values(), now_ms).await?;
    feed::store(&mut tx, feeds).await?;
    let mut ledger = Ledger::take(&mut tx).await?;
    let placed = place(&mut tx, &mut ledger, batches).await?;
    for (push, answer) in pushes.iter().zip(&mut answers) {
        receipts::sign(app, &mut tx, &ledger, &placed, push, answer, now_ms).await?;
    }
    tx.commit().await?;
    Ok(answers)
}

/// What became of one document of one push.
struct Taken {
    outcomes: BTreeMap<Sha256, Outcome>,
    refused: Vec<RefusedChange>,
    batch: Option<Batch>,
}

/// Changes of one document that were accepted together: one leaf.
struct Batch {
    unit: UnitId,
    document: DocumentId,
    accepted: Vec<Sha256>,
    /// The feed's number of the last one.
    through: i64,
    leaf: Leaf,
}

/// Appends a leaf for each batch.
async fn place(
    tx: &mut Tx,
    ledger: &mut Ledger,
    batches: Vec<Batch>,
) -> Result<Placed, sqlx::Error> {
    if batches.is_empty() {
        return Ok(Placed::default());
    }
    let mut leaves = Vec::with_capacity(batches.len());
    let mut changes = Vec::with_capacity(batches.len());
    for batch in batches {
        leaves.push((batch.leaf, Some(batch.through)));
        changes.push((batch.unit, batch.document, batch.accepted));
    }
    let first = ledger.append(tx, &leaves).await?;
    let mut placed = Placed::new();
    for (position, (unit, document, accepted)) in (first..).zip(changes) {
        placed.extend(
            accepted
                .into_iter()
                .map(|hash| ((unit, document, hash), position)),
        );
    }
    Ok(placed)
}

/// The phone that wrote a change; none for the server's.
fn writer(candidate: &Candidate) -> Option<PhoneId> {
    let actor = hex::decode(&candidate.actor).ok()?;
    Actor::from_slice(&actor).map(|actor| actor.phone)
}

/// The phones that wrote what these pushes bring.
fn writers(pushes: &[&PreparedPush]) -> BTreeSet<PhoneId> {
    let documents = pushes.iter().flat_map(|push| &push.documents);
    documents
        .flat_map(|document| &document.changes)
        .filter_map(|change| writer(&change.candidate))
        .collect()
}

/// The phones that wrote what waits in these documents.
fn waiting_writers(documents: &BTreeMap<DocumentId, Opened<'_>>) -> BTreeSet<PhoneId> {
    documents
        .values()
        .flat_map(Opened::waiting)
        .filter_map(writer)
        .collect()
}

/// Which of these phones are revoked by now. Their rows are held until the transaction ends: a revocation that comes later has
/// its leaf later, and what is in the log before it stays valid.
async fn revoked_among(
    tx: &mut Tx,
    phones: BTreeSet<PhoneId>,
) -> Result<BTreeSet<PhoneId>, sqlx::Error> {
    let mut revoked = BTreeSet::new();
    let sql = format!(
        "select revoked_at_ms from phone where phone_id = $1{}",
        holding(tx)
    );
    for phone in phones {
        let row = sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(phone.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        if row.is_some_and(|row| row.get::<Option<i64>, _>(0).is_some()) {
            revoked.insert(phone);
        }
    }
    Ok(revoked)
}
