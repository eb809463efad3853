//! What a group of pushes writes, in one transaction: changes with their feed numbers, seals, quarantine, log leaves, receipts.
//!
//! Admission itself is `core::log::admission`, a pure function; here is the IO at both its ends. Order of locks: feeds by unit
//! id, then phones, then documents, then the log. `known` holds them and reads what admission must know, `opened` is a document
//! while the group is decided about, `rows` writes what was decided, `receipts` says what is held. What a group reads and writes
//! goes in as few statements as there are tables, and in three rounds.

mod known;
mod opened;
mod quarantine;
mod receipts;
mod rows;
mod slice;

use crate::{app::App, clock, database::Tx, feed, ledger::Ledger, round::Round};
pub use kieumau_core::log::arrival::{PreparedChange, PreparedDocument, RefusedChange};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    log::{admission::Outcome, leaf::Leaf},
    receipt::Receipt,
    wire::{ChangeOutcome, Pushed, ReceiptRequest},
};
use known::Held;
use quarantine::Quarantine;
use receipts::{Placed, Standing};
use std::collections::BTreeMap;

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

impl PreparedPush {
    /// Whether there are changes in it.
    pub fn brings(&self) -> bool {
        self.documents.iter().any(|of| !of.changes.is_empty())
    }
}

/// What was written of one push, and what is to be signed under it.
#[derive(Debug)]
pub struct Written {
    answer: Pushed,
    receipts: Vec<Receipt>,
}

impl Written {
    /// The answer, with its receipts signed.
    #[must_use]
    pub fn signed(self, app: &App) -> Pushed {
        let Self {
            mut answer,
            receipts,
        } = self;
        let signed = receipts
            .iter()
            .filter_map(|receipt| receipt.sign(&app.keys.receipt).ok());
        answer.receipts.extend(signed);
        answer
    }
}

/// Writes `pushes` in one transaction; one answer per push, in order.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn write(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Pushed>, sqlx::Error> {
    let written = store(app, pushes).await?.into_iter();
    Ok(written.map(|written| written.signed(app)).collect())
}

/// Writes `pushes` in one transaction; what was written of each, in order. Whoever waits for an answer signs it.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn store(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Written>, sqlx::Error> {
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let put = put(app, &mut tx, pushes, None, now_ms).await?;
    tx.commit().await?;
    Ok(put.written(pushes, now_ms))
}

/// Writes what `by`, a chief, lets in although its phone was revoked, in a transaction that the caller commits. What became of each change
/// that was not simply taken.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn admit(
    app: &App,
    tx: &mut Tx,
    push: &PreparedPush,
    by: PersonId,
    now_ms: i64,
) -> Result<Vec<ChangeOutcome>, sqlx::Error> {
    let mut put = put(app, tx, &[push], Some(by), now_ms).await?;
    Ok(put.answers.pop().unwrap_or_default().changes)
}

/// What stands in a transaction that is not committed: nobody may hear of it yet.
struct Put {
    answers: Vec<Pushed>,
    ledger: Ledger,
    standing: Standing,
}

impl Put {
    /// What was written of each push.
    fn written(self, pushes: &[&PreparedPush], now_ms: i64) -> Vec<Written> {
        let answers = pushes.iter().zip(self.answers);
        let written = answers.map(|(push, mut answer)| {
            let (receipts, missing) = self.standing.receipts(&self.ledger, push, now_ms);
            answer.missing_attachments = missing;
            Written { answer, receipts }
        });
        written.collect()
    }
}

/// Puts `pushes` into the transaction. `admitted_by`: a chief lets in what they bring of revoked phones.
async fn put(
    app: &App,
    tx: &mut Tx,
    pushes: &[&PreparedPush],
    admitted_by: Option<PersonId>,
    now_ms: i64,
) -> Result<Put, sqlx::Error> {
    let mut held = known::hold(app, tx, pushes).await?;
    let mut decided = decide(pushes, &mut held, admitted_by, now_ms)?;
    let mut kept = Quarantine::new(app, now_ms);
    kept.keep_all(tx, pushes, &mut decided).await?;
    kept.keep_waited(tx, &held.documents).await?;
    let mut round = Round::default();
    kept.write(&mut round);
    rows::write(&mut round, held.documents.values(), now_ms);
    feed::write(&mut round, held.feeds);
    let accepted = decided.batches.iter().flat_map(Batch::accepted).collect();
    let receipts = receipts::ask(&mut round, pushes, &accepted);
    let log = round.ask(Ledger::ask(tx));
    let mut answers = round.run(tx).await?;
    let mut ledger = Ledger::taken(&answers.take(log))?;
    let placed = place(tx, &mut ledger, decided.batches).await?;
    let mut standing = receipts.hear(&mut answers, placed)?;
    standing.look_within(tx, pushes).await?;
    Ok(Put {
        answers: decided.answers,
        ledger,
        standing,
    })
}

/// What was decided about a group of pushes.
struct Decided {
    answers: Vec<Pushed>,
    batches: Vec<Batch>,
    /// What can never be taken, with the number of the push that brought it.
    refused: Vec<(usize, RefusedChange)>,
}

/// Decides about one push after the other.
fn decide<'a>(
    pushes: &[&'a PreparedPush],
    held: &mut Held<'a>,
    admitted_by: Option<PersonId>,
    now_ms: i64,
) -> Result<Decided, sqlx::Error> {
    let mut decided = Decided {
        answers: Vec::with_capacity(pushes.len()),
        batches: Vec::new(),
        refused: Vec::new(),
    };
    for (number, push) in pushes.iter().enumerate() {
        let mut answer = Pushed {
            server_time_ms: now_ms,
            ..Pushed::default()
        };
        for change in &push.refused {
            answer
                .changes
                .push(ChangeOutcome::refused(change.hash, change.refusal));
        }
        for document in &push.documents {
            let Some(opened) = held.documents.get_mut(&document.key.document()) else {
                return Err(sqlx::Error::RowNotFound);
            };
            let taken = opened.take(
                &mut held.feeds,
                &held.revoked,
                push.carrier,
                document,
                admitted_by,
                now_ms,
            )?;
            let outcomes = taken.outcomes.iter();
            answer
                .changes
                .extend(outcomes.filter_map(|(hash, outcome)| ChangeOutcome::of(*hash, *outcome)));
            decided.batches.extend(taken.batch);
            let refused = taken.refused.into_iter();
            decided
                .refused
                .extend(refused.map(|change| (number, change)));
        }
        decided.answers.push(answer);
    }
    Ok(decided)
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

impl Batch {
    fn accepted(&self) -> impl Iterator<Item = (UnitId, DocumentId, Sha256)> {
        let changes = self.accepted.iter();
        changes.map(|hash| (self.unit, self.document, *hash))
    }
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

#[cfg(test)]
mod tests;
