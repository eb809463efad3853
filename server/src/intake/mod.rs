//! What a group of pushes writes, in one transaction: changes with their feed numbers, seals, quarantine, log leaves, receipts.
//!
//! Admission itself is `core::log::admission`, a pure function; here is the IO at both its ends. Order of locks: feeds by unit
//! id, then phones, then documents, then the log. `rows` writes what was decided, `receipts` signs for what is held.

mod receipts;
mod rows;

use crate::{
    app::App,
    clock,
    database::Tx,
    feed,
    ledger::Ledger,
    stored::{self, StoredDocument},
};
use kieumau_core::{
    document::{Actor, Key, birth},
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    log::{
        admission::{self, Admitted, Candidate, Known, Outcome, Refusal},
        leaf::Leaf,
    },
    review::heads_text,
    seal::Seal,
    wire::{ChangeOutcome, Pushed, ReceiptRequest},
};
use rows::{place, put_changes, put_seals, quarantine};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// The most that one document may hold, bytes of changes.
const DOCUMENT_LIMIT_BYTES: i64 = 4 << 20;

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
}

/// Writes `pushes` in one transaction; one answer per push, in order.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn write(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Pushed>, sqlx::Error> {
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let units: BTreeSet<UnitId> = pushes
        .iter()
        .flat_map(|p| p.documents.iter().map(|d| d.key.unit))
        .collect();
    let mut feeds = feed::hold(&mut tx, &units).await?;
    let mut answers = Vec::with_capacity(pushes.len());
    let mut leaves = Vec::new();
    let revoked = revoked_among(&mut tx, writers(pushes)).await?;
    for push in pushes {
        let mut answer = Pushed {
            server_time_ms: now_ms,
            ..Pushed::default()
        };
        for refused in &push.refused {
            quarantine(app, &mut tx, push.carrier, refused, now_ms).await?;
            answer
                .changes
                .push(ChangeOutcome::refused(refused.hash, refused.refusal));
        }
        for document in &push.documents {
            let outcome = take(
                app,
                &mut tx,
                &mut feeds,
                &revoked,
                push.carrier,
                document,
                now_ms,
            )
            .await?;
            answer.changes.extend(
                outcome
                    .outcomes
                    .iter()
                    .filter_map(|(h, o)| ChangeOutcome::of(*h, *o)),
            );
            leaves.extend(outcome.leaf);
        }
        answers.push(answer);
    }
    feed::store(&mut tx, &feeds).await?;
    let mut ledger = Ledger::take(&mut tx).await?;
    for leaf in leaves {
        let position = ledger.append(&mut tx, &leaf.leaf).await?;
        place(&mut tx, leaf.document, &leaf.accepted, position).await?;
    }
    for (push, answer) in pushes.iter().zip(&mut answers) {
        receipts::sign(app, &mut tx, &ledger, push, answer, now_ms).await?;
    }
    tx.commit().await?;
    Ok(answers)
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

/// Which of these phones are revoked by now. Their rows are held until the transaction ends: a revocation that comes later has
/// its leaf later, and what is in the log before it stays valid.
async fn revoked_among(
    tx: &mut Tx,
    phones: BTreeSet<PhoneId>,
) -> Result<BTreeSet<PhoneId>, sqlx::Error> {
    let mut revoked = BTreeSet::new();
    for phone in phones {
        let row = sqlx::query(
            "update phone set last_seen_at_ms = last_seen_at_ms where phone_id = $1 returning revoked_at_ms",
        )
        .bind(phone.to_string())
        .fetch_optional(&mut **tx)
        .await?;
        if row.is_some_and(|row| row.get::<Option<i64>, _>(0).is_some()) {
            revoked.insert(phone);
        }
    }
    Ok(revoked)
}

struct Taken {
    outcomes: BTreeMap<Sha256, Outcome>,
    leaf: Option<NewLeaf>,
}

struct NewLeaf {
    document: DocumentId,
    accepted: Vec<Sha256>,
    leaf: Leaf,
}

/// Takes what a document takes of `arrived`.
async fn take(
    app: &App,
    tx: &mut Tx,
    feeds: &mut feed::Feeds,
    revoked: &BTreeSet<PhoneId>,
    carrier: Option<PhoneId>,
    arrived: &PreparedDocument,
    now_ms: i64,
) -> Result<Taken, sqlx::Error> {
    let id = arrived.key.document();
    let mut stored = match StoredDocument::hold(tx, &app.vault, id).await? {
        Some(stored) => stored,
        None => StoredDocument::create(tx, &app.vault, &arrived.key, now_ms).await?,
    };
    let (known, waited) = known(tx, &stored, arrived).await?;
    let mut revoked = revoked.clone();
    revoked.extend(revoked_among(tx, waited.iter().filter_map(writer).collect()).await?);
    let of_revoked =
        |candidate: &Candidate| writer(candidate).is_some_and(|phone| revoked.contains(&phone));
    // What a revoked phone had not got into the log by its revocation stays out, whoever carries it and however long it waited.
    let (silenced, candidates): (Vec<Candidate>, Vec<Candidate>) = arrived
        .changes
        .iter()
        .map(|change| change.candidate.clone())
        .chain(waited.iter().cloned())
        .partition(|candidate| of_revoked(candidate) && !known.held.contains(&candidate.hash));
    let waiting: Vec<Candidate> = waited
        .into_iter()
        .filter(|candidate| !of_revoked(candidate))
        .collect();
    let sealed: BTreeSet<Sha256> = arrived
        .sealed
        .iter()
        .copied()
        .chain(waiting.iter().map(|candidate| candidate.hash))
        .collect();
    let mut admitted = admission::admit(&known, &candidates, &sealed);
    let grows: i64 = accepted_bytes(arrived, &admitted);
    if stored.size_bytes + grows > DOCUMENT_LIMIT_BYTES {
        admitted = refuse_all(&known, &admitted, Refusal::DocumentFull);
    }
    let silenced = silenced
        .into_iter()
        .map(|candidate| (candidate.hash, Outcome::Refused(Refusal::PhoneRevoked)));
    admitted.outcomes.extend(silenced);
    put_changes(
        app, tx, feeds, carrier, &stored, arrived, &admitted, &waiting, now_ms,
    )
    .await?;
    put_seals(tx, id, &arrived.seals, &admitted).await?;
    if admitted.accepted.is_empty() {
        return Ok(Taken {
            outcomes: admitted.outcomes,
            leaf: None,
        });
    }
    stored.size_bytes += grows;
    let heads: Vec<Sha256> = admitted.heads.iter().copied().collect();
    sqlx::query("update document set heads = $1, size_bytes = $2 where document_id = $3")
        .bind(heads_text(&heads))
        .bind(stored.size_bytes)
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    let seals = arrived
        .seals
        .iter()
        .map(|seal| Sha256::of(&seal.encode()))
        .collect();
    let leaf = Leaf::Batch {
        document: id,
        changes: admitted.accepted.clone(),
        seals,
        received_at_ms: now_ms,
    };
    let leaf = Some(NewLeaf {
        document: id,
        accepted: admitted.accepted,
        leaf,
    });
    Ok(Taken {
        outcomes: admitted.outcomes,
        leaf,
    })
}

fn accepted_bytes(arrived: &PreparedDocument, admitted: &Admitted) -> i64 {
    let accepted = |change: &&PreparedChange| {
        admitted.outcomes.get(&change.candidate.hash) == Some(&Outcome::Accepted)
    };
    let bytes: usize = arrived
        .changes
        .iter()
        .filter(accepted)
        .map(|change| change.bytes.len())
        .sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn refuse_all(known: &Known, admitted: &Admitted, refusal: Refusal) -> Admitted {
    let outcomes = admitted
        .outcomes
        .iter()
        .map(|(hash, outcome)| match outcome {
            Outcome::Accepted | Outcome::Waiting => (*hash, Outcome::Refused(refusal)),
            other => (*hash, *other),
        })
        .collect();
    Admitted {
        outcomes,
        accepted: Vec::new(),
        heads: known.heads.clone(),
    }
}

/// What admission has to know of the document, and the changes that waited.
async fn known(
    tx: &mut Tx,
    stored: &StoredDocument,
    arrived: &PreparedDocument,
) -> Result<(Known, Vec<Candidate>), sqlx::Error> {
    let births: Vec<Sha256> = birth(&stored.key)
        .into_iter()
        .map(|change| change.hash)
        .collect();
    let mut known = Known {
        held: births.iter().copied().collect(),
        ..Known::default()
    };
    known.heads = if stored.heads.is_empty() {
        born_heads(&births)
    } else {
        stored::parse_hashes(&stored.heads).into_iter().collect()
    };
    let mut waiting = Vec::new();
    let rows =
        sqlx::query("select hash, actor, seq, deps, state from change where document_id = $1")
            .bind(arrived.key.document().to_string())
            .fetch_all(&mut **tx)
            .await?;
    for row in rows {
        let candidate = Candidate {
            hash: row
                .get::<String, _>(0)
                .parse()
                .map_err(|_| stored::damaged("a change's hash"))?,
            actor: row.get::<String, _>(1).into_bytes(),
            seq: row.get::<i64, _>(2).unsigned_abs(),
            deps: stored::parse_hashes(&row.get::<String, _>(3)),
        };
        if row.get::<String, _>(4) == "waiting" {
            waiting.push(candidate);
        } else {
            known.held.insert(candidate.hash);
            let newest = known
                .newest
                .entry(candidate.actor)
                .or_insert((0, candidate.hash));
            *newest = (*newest).max((candidate.seq, candidate.hash));
        }
    }
    Ok((known, waiting))
}

/// The heads of a new document: its layers, or genesis if there are none.
fn born_heads(births: &[Sha256]) -> BTreeSet<Sha256> {
    if births.len() > 1 {
        births[1..].iter().copied().collect()
    } else {
        births.iter().copied().collect()
    }
}
