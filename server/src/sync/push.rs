//! Push: reads headers and checks seals outside any transaction, then hands over to the committer.
//!
//! What is read here is bounded: the body, the number of changes, each header. No operation of a change is looked at. What costs
//! processor time (hashes, signatures) is done on a thread of its own, and once for each change and each seal however they are
//! laid: ten thousand seals up a run of ten thousand changes would else be fifty million steps, with every other request waiting.

use crate::{
    app::App,
    backed_up,
    intake::{PreparedChange, PreparedDocument, PreparedPush, RefusedChange},
    problem::{Answer, Problem},
    row::parsed,
    sync::pull,
    token::{EnrolledPhone, SealingPhone},
};
use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use ed25519_dalek::VerifyingKey;
use kieumau_core::{
    document::{Actor, Key, birth},
    hash::Sha256,
    header as change_header,
    id::{PhoneId, UnitId},
    invalid::{Invalid, Rule},
    jws,
    log::admission::{Candidate, Refusal},
    seal::{self, Seal, Signer},
    wire::{self, After, Push, PushedDocument},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// `POST /v1/sync/push`.
pub async fn push(State(app): State<App>, phone: SealingPhone, body: Bytes) -> Answer<Response> {
    let push: Push = minicbor::decode(&body)
        .map_err(|_| Problem::invalid(Invalid::new("push", Rule::Unreadable)))?;
    if !keeps_limits(&push) {
        return Err(Problem::invalid(Invalid::new("push", Rule::TooLarge)));
    }
    let (after, backups) = (push.after.clone(), push.backups);
    let mut keys = Keys::new(&app);
    keys.add(
        phone.speaks.phone,
        &phone.public_key,
        phone.enrolled_in,
        false,
    );
    let phone = phone.speaks;
    let prepared = prepare_with(&app, keys, phone.phone, phone.unit, push).await?;
    let mut pushed = app.committer.commit(prepared).await?.signed(&app);
    if let Some(after) = after {
        pushed.page = page(&app, &phone, &after).await;
    }
    if let Some(known) = backups {
        let announced = backed_up::announced(&app).await?;
        pushed.backed_up = announced
            .filter(|announced| announced.is_news(known.epoch, known.through))
            .map(|announced| announced.sign(&app.keys.receipt));
    }
    let body = minicbor::to_vec(&pushed)
        .map_err(|error| Problem::internal(std::io::Error::other(error.to_string())))?;
    Ok(([(header::CONTENT_TYPE, wire::CBOR)], body).into_response())
}

/// Whether a push brings and asks no more than one may: what a body of its size could hold would keep the committer for minutes.
fn keeps_limits(push: &Push) -> bool {
    let changes: usize = push.documents.iter().map(|of| of.changes.len()).sum();
    let seals: usize = push.documents.iter().map(|of| of.seals.len()).sum();
    let asked = push.receipts.iter();
    let asked: usize = asked.map(|of| of.heads.len() + of.attachments.len()).sum();
    push.documents.len() <= wire::PUSH_LIMIT_DOCUMENTS
        && push.receipts.len() <= wire::PUSH_LIMIT_DOCUMENTS
        && changes <= wire::PUSH_LIMIT_CHANGES
        && seals <= wire::PUSH_LIMIT_SEALS
        && asked <= wire::PUSH_LIMIT_ASKED
}

/// The feed's next page if it is short. Without it the phone pulls: what it pushed is on the disk whatever becomes of the page.
async fn page(app: &App, phone: &EnrolledPhone, after: &After) -> Option<Vec<u8>> {
    // What is on the disk is said at once, and not when others have read theirs.
    if app.room.is_full() {
        return None;
    }
    match pull::page(app, phone, after).await {
        Ok(page) => (page.len() <= wire::PUSHED_PAGE_LIMIT_BYTES).then_some(page),
        Err(problem) => {
            problem.log();
            None
        }
    }
}

/// Reads headers and checks seals. What is not of `unit` is refused; `carrier` brought it, and is no authority.
///
/// # Errors
/// `invalid` for a name that is no document's; `internal`.
pub async fn prepare(
    app: &App,
    carrier: PhoneId,
    unit: UnitId,
    push: Push,
) -> Answer<PreparedPush> {
    prepare_with(app, Keys::new(app), carrier, unit, push).await
}

/// The same, with `keys` that are known already.
async fn prepare_with(
    app: &App,
    mut keys: Keys,
    carrier: PhoneId,
    unit: UnitId,
    push: Push,
) -> Answer<PreparedPush> {
    let signers: BTreeSet<PhoneId> = push
        .documents
        .iter()
        .flat_map(|document| &document.seals)
        .filter_map(|seal| match seal.signer {
            Signer::Phone(phone) => Some(phone),
            Signer::Server(_) => None,
        })
        .collect();
    keys.load(app, &signers).await?;
    // Named a thousand times, a document is one: each time would cost what waits in it.
    let mut documents: BTreeMap<Key, PushedDocument> = BTreeMap::new();
    for document in push.documents {
        match documents.entry(document.key.key()?) {
            Entry::Vacant(new) => {
                new.insert(document);
            }
            Entry::Occupied(mut named) => {
                named.get_mut().changes.extend(document.changes);
                named.get_mut().seals.extend(document.seals);
            }
        }
    }
    let receipts = push.receipts;
    let read = tokio::task::spawn_blocking(move || read_all(&keys, unit, documents)).await;
    let (documents, refused) = read.map_err(Problem::internal)?;
    Ok(PreparedPush {
        carrier: Some(carrier),
        unit,
        documents,
        receipts,
        refused,
    })
}

/// Reads what was pushed: what can be decided about, and what can never be taken.
fn read_all(
    keys: &Keys,
    unit: UnitId,
    pushed: BTreeMap<Key, PushedDocument>,
) -> (Vec<PreparedDocument>, Vec<RefusedChange>) {
    let (mut documents, mut refused) = (Vec::new(), Vec::new());
    for (key, document) in pushed {
        if key.unit == unit {
            let mut document = document_of(keys, key, document, &mut refused);
            if !document.key.kind.written_by_phones() {
                keep_sealed(&mut document, &mut refused);
            }
            if document.key.kind.written_by_phones() || !document.changes.is_empty() {
                documents.push(document);
            }
        } else {
            let mut seals = seal::by_change(document.seals);
            refused.extend(document.changes.into_iter().map(|bytes| {
                let hash = named(&bytes);
                RefusedChange {
                    document: Some(key.clone()),
                    hash,
                    refusal: Refusal::NotAllowed,
                    bytes,
                    seals: seals.remove(&hash).unwrap_or_default(),
                }
            }));
        }
    }
    (documents, refused)
}

/// The change's own hash, or of the bytes if they are no change.
pub fn named(bytes: &[u8]) -> Sha256 {
    change_header::read(bytes).map_or_else(|_| Sha256::of(bytes), |header| header.hash)
}

/// A phone that seals.
#[derive(Clone, Copy)]
struct Standing {
    key: VerifyingKey,
    unit: UnitId,
    revoked: bool,
}

/// Public keys of signers, and how they stand.
struct Keys {
    phones: BTreeMap<PhoneId, Standing>,
    server: VerifyingKey,
    server_name: Sha256,
}

impl Keys {
    /// The server's own.
    fn new(app: &App) -> Self {
        let server = app.keys.seal.verifying_key();
        Self {
            phones: BTreeMap::new(),
            server,
            server_name: jws::fingerprint(&server),
        }
    }

    /// One more phone's; none if that is no key.
    fn add(&mut self, phone: PhoneId, public_key: &[u8], unit: UnitId, revoked: bool) {
        let key = <[u8; 32]>::try_from(public_key).ok();
        if let Some(key) = key.and_then(|key| VerifyingKey::from_bytes(&key).ok()) {
            let standing = Standing { key, unit, revoked };
            self.phones.insert(phone, standing);
        }
    }

    /// Those of these phones that are not known yet.
    async fn load(&mut self, app: &App, signers: &BTreeSet<PhoneId>) -> Result<(), sqlx::Error> {
        for phone in signers {
            if self.phones.contains_key(phone) {
                continue;
            }
            let row = sqlx::query(
                "select public_key, revoked_at_ms, unit_id from phone where phone_id = $1",
            )
            .bind(phone.to_string())
            .fetch_optional(&app.database.read)
            .await?;
            if let Some(row) = row {
                let revoked = row.get::<Option<i64>, _>(1).is_some();
                self.add(*phone, row.get(0), parsed(&row, "unit_id")?, revoked);
            }
        }
        Ok(())
    }

    /// Whether the seal holds and its signer may still speak, about this unit; else why not. Who carries a seal gives it nothing.
    fn check(&self, key: &Key, seal: &Seal) -> Result<(), Refusal> {
        let holds = |by: &VerifyingKey| key.verify(seal, by).map_err(|_| Refusal::Unsealed);
        match seal.signer {
            // What only the server writes comes back from a phone after a restored backup, and is the server's by its seal.
            Signer::Phone(_) if !key.kind.written_by_phones() => Err(Refusal::NotAllowed),
            Signer::Phone(phone) => {
                let phone = self.phones.get(&phone).ok_or(Refusal::Unsealed)?;
                holds(&phone.key)?;
                match phone {
                    _ if phone.unit != key.unit => Err(Refusal::NotAllowed),
                    _ if phone.revoked => Err(Refusal::PhoneRevoked),
                    _ => Ok(()),
                }
            }
            Signer::Server(name) if name == self.server_name => holds(&self.server),
            Signer::Server(_) => Err(Refusal::Unsealed),
        }
    }
}

fn document_of(
    keys: &Keys,
    key: Key,
    document: PushedDocument,
    refused: &mut Vec<RefusedChange>,
) -> PreparedDocument {
    let births: BTreeSet<Sha256> = birth(&key).into_iter().map(|change| change.hash).collect();
    let mut changes: BTreeMap<Sha256, PreparedChange> = BTreeMap::new();
    let mut unread = Vec::new();
    for bytes in document.changes {
        match read(&births, &bytes) {
            Ok(None) => {}
            Ok(Some(change)) => {
                changes.insert(change.candidate.hash, change);
            }
            Err(refusal) => unread.push((named(&bytes), refusal, bytes)),
        }
    }
    if !unread.is_empty() {
        let mut seals = seal::by_change(document.seals.iter().copied());
        refused.extend(
            unread
                .into_iter()
                .map(|(hash, refusal, bytes)| RefusedChange {
                    document: Some(key.clone()),
                    hash,
                    refusal,
                    bytes,
                    seals: seals.remove(&hash).unwrap_or_default(),
                }),
        );
    }
    let (mut good, mut revoked) = (Vec::new(), Vec::new());
    for seal in document.seals {
        match keys.check(&key, &seal) {
            Ok(()) => good.push(seal),
            // It would hold if its phone were in good standing. Another's bad seal must not push changes out.
            Err(Refusal::PhoneRevoked) => revoked.push(seal),
            Err(_) => {}
        }
    }
    // A change is covered by seals of its own writer only, so what these two cover has nothing in common.
    refuse_covered(&key, revoked, &mut changes, refused);
    let sealed = covered(&good, |hash| {
        changes.get(hash).map(|change| &change.candidate)
    });
    PreparedDocument {
        key,
        changes: changes.into_values().collect(),
        seals: good,
        sealed,
    }
}

/// Of what only the server writes, what its own seals cover: phones bring that back after a restored backup. Nothing else is theirs to
/// write.
fn keep_sealed(document: &mut PreparedDocument, refused: &mut Vec<RefusedChange>) {
    let changes = std::mem::take(&mut document.changes);
    let (kept, others): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| document.sealed.contains(&change.candidate.hash));
    document.changes = kept;
    let mut seals = seal::by_change(document.seals.iter().copied());
    refused.extend(others.into_iter().map(|change| RefusedChange {
        document: Some(document.key.clone()),
        hash: change.candidate.hash,
        refusal: Refusal::NotAllowed,
        bytes: change.bytes,
        seals: seals.remove(&change.candidate.hash).unwrap_or_default(),
    }));
}

/// The change in `bytes`; none for a birth, which needs no keeping.
fn read(births: &BTreeSet<Sha256>, bytes: &[u8]) -> Result<Option<PreparedChange>, Refusal> {
    let header = change_header::read(bytes).map_err(|_| Refusal::Malformed)?;
    if births.contains(&header.hash) {
        return Ok(None);
    }
    if header.actor.len() != Actor::LEN {
        return Err(Refusal::ForgedBirth);
    }
    let candidate = Candidate {
        hash: header.hash,
        actor: hex::encode(header.actor).into_bytes(),
        seq: header.seq,
        deps: header.deps,
    };
    Ok(Some(PreparedChange {
        candidate,
        written_at_s: header.time_s,
        bytes: bytes.to_vec(),
    }))
}

/// What these seals cover: the change of each and what that one's actor wrote before it, as far as the signer is that actor. Each change
/// is walked over once, however many seals stand above it.
fn covered<'a>(
    seals: &[Seal],
    change_of: impl Fn(&Sha256) -> Option<&'a Candidate>,
) -> BTreeSet<Sha256> {
    let by_its_writer = |seal: &&Seal| {
        let signer = match seal.signer {
            Signer::Phone(phone) => hex::encode(phone.as_bytes()),
            Signer::Server(name) => hex::encode(&name.as_bytes()[..16]),
        };
        change_of(&seal.change).is_some_and(|change| change.actor.starts_with(signer.as_bytes()))
    };
    let sealed: Vec<Sha256> = seals
        .iter()
        .filter(by_its_writer)
        .map(|seal| seal.change)
        .collect();
    seal::covered(&sealed, |hash| {
        let change = change_of(hash)?;
        Some((change.actor.as_slice(), change.seq, change.deps.as_slice()))
    })
}

/// Takes out what these seals of revoked phones cover.
fn refuse_covered(
    key: &Key,
    revoked: Vec<Seal>,
    changes: &mut BTreeMap<Sha256, PreparedChange>,
    refused: &mut Vec<RefusedChange>,
) {
    let covered = covered(&revoked, |hash| {
        changes.get(hash).map(|change| &change.candidate)
    });
    let mut seals = seal::by_change(revoked);
    for hash in covered {
        if let Some(change) = changes.remove(&hash) {
            refused.push(RefusedChange {
                document: Some(key.clone()),
                hash,
                refusal: Refusal::PhoneRevoked,
                bytes: change.bytes,
                seals: seals.remove(&hash).unwrap_or_default(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
