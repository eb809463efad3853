//! Arrival: what one push brings, read by headers and seals alone, before it is held against what is there.
//!
//! A change is covered when a seal of a signer in good standing reaches it; who carries it gives it nothing. No operation of a
//! change is looked at, and nothing here reads a database: the server reads the signers' keys, a simulator invents them, and both
//! call the same functions.

use super::admission::{Candidate, Refusal};
use crate::{
    document::{Actor, Key, birth},
    hash::Sha256,
    header,
    id::{PhoneId, UnitId},
    jws,
    seal::{self, Seal, Signer},
    wire::PushedDocument,
};
use ed25519_dalek::VerifyingKey;
use std::collections::{BTreeMap, BTreeSet};

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
pub struct PreparedChange {
    /// Its header.
    pub candidate: Candidate,
    /// When its writer says it was written, Unix seconds.
    pub written_at_s: i64,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// Bytes that can never be taken, and why.
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

crate::unprinted!(PreparedChange, RefusedChange);

/// A phone that seals, as the server knows it.
#[derive(Clone, Copy, Debug)]
struct Standing {
    key: VerifyingKey,
    unit: UnitId,
    revoked: bool,
}

/// Public keys of signers, and how they stand.
#[derive(Clone, Debug)]
pub struct Signers {
    phones: BTreeMap<PhoneId, Standing>,
    server: VerifyingKey,
    server_name: Sha256,
}

impl Signers {
    /// The server alone.
    #[must_use]
    pub fn new(server: VerifyingKey) -> Self {
        Self {
            phones: BTreeMap::new(),
            server,
            server_name: jws::fingerprint(&server),
        }
    }

    /// One more phone, which this unit enrolled; none if its public key is no key.
    pub fn add(&mut self, phone: PhoneId, public_key: &[u8], unit: UnitId, revoked: bool) {
        let key = <[u8; 32]>::try_from(public_key).ok();
        if let Some(key) = key.and_then(|key| VerifyingKey::from_bytes(&key).ok()) {
            let standing = Standing { key, unit, revoked };
            self.phones.insert(phone, standing);
        }
    }

    /// Whether this phone was added.
    #[must_use]
    pub fn knows(&self, phone: PhoneId) -> bool {
        self.phones.contains_key(&phone)
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

/// The phones whose keys are needed to check these documents' seals.
#[must_use]
pub fn phones_that_seal(documents: &[PushedDocument]) -> BTreeSet<PhoneId> {
    let seals = documents.iter().flat_map(|document| &document.seals);
    seals
        .filter_map(|seal| match seal.signer {
            Signer::Phone(phone) => Some(phone),
            Signer::Server(_) => None,
        })
        .collect()
}

/// What a phone of `unit` brings of one document. What is not to be taken goes to `refused`; none if that is all of it.
#[must_use]
pub fn prepare(
    signers: &Signers,
    unit: UnitId,
    key: Key,
    document: PushedDocument,
    refused: &mut Vec<RefusedChange>,
) -> Option<PreparedDocument> {
    if key.unit == unit {
        let mut document = document_of(signers, key, document, refused);
        if !document.key.kind.written_by_phones() {
            keep_sealed(&mut document, refused);
        }
        let any = document.key.kind.written_by_phones() || !document.changes.is_empty();
        return any.then_some(document);
    }
    let seals = document.seals;
    refused.extend(document.changes.into_iter().map(|bytes| {
        let hash = named(&bytes);
        RefusedChange {
            document: Some(key.clone()),
            hash,
            refusal: Refusal::NotAllowed,
            bytes,
            seals: seals_of(&seals, hash),
        }
    }));
    None
}

/// The change's own hash, or of the bytes if they are no change.
#[must_use]
pub fn named(bytes: &[u8]) -> Sha256 {
    header::read(bytes).map_or_else(|_| Sha256::of(bytes), |header| header.hash)
}

fn document_of(
    signers: &Signers,
    key: Key,
    document: PushedDocument,
    refused: &mut Vec<RefusedChange>,
) -> PreparedDocument {
    let births: BTreeSet<Sha256> = birth(&key).into_iter().map(|change| change.hash).collect();
    let mut changes: BTreeMap<Sha256, PreparedChange> = BTreeMap::new();
    for bytes in document.changes {
        match read(&births, &bytes) {
            Ok(None) => {}
            Ok(Some(change)) => {
                changes.insert(change.candidate.hash, change);
            }
            Err(refusal) => {
                let hash = named(&bytes);
                refused.push(RefusedChange {
                    document: Some(key.clone()),
                    hash,
                    refusal,
                    bytes,
                    seals: seals_of(&document.seals, hash),
                });
            }
        }
    }
    let mut sealed = BTreeSet::new();
    let mut good = Vec::new();
    for seal in document.seals {
        match signers.check(&key, &seal) {
            Ok(()) => {
                sealed.extend(covered(&seal, &changes));
                good.push(seal);
            }
            Err(refusal) => refuse_covered(&key, &seal, refusal, &mut changes, refused),
        }
    }
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
    refused.extend(others.into_iter().map(|change| RefusedChange {
        document: Some(document.key.clone()),
        hash: change.candidate.hash,
        refusal: Refusal::NotAllowed,
        bytes: change.bytes,
        seals: seals_of(&document.seals, change.candidate.hash),
    }));
}

/// The change in `bytes`; none for a birth, which needs no keeping.
fn read(births: &BTreeSet<Sha256>, bytes: &[u8]) -> Result<Option<PreparedChange>, Refusal> {
    let header = header::read(bytes).map_err(|_| Refusal::Malformed)?;
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

/// What the seal covers: its change and what that one's actor wrote before it, as far as the signer is that actor.
fn covered(seal: &Seal, changes: &BTreeMap<Sha256, PreparedChange>) -> BTreeSet<Sha256> {
    let covered = seal::covered(&[seal.change], |hash| {
        let candidate = &changes.get(hash)?.candidate;
        Some((
            candidate.actor.clone(),
            candidate.seq,
            candidate.deps.clone(),
        ))
    });
    let signer = match seal.signer {
        Signer::Phone(phone) => hex::encode(phone.as_bytes()),
        Signer::Server(name) => hex::encode(&name.as_bytes()[..16]),
    };
    let by_signer = |hash: &Sha256| {
        changes
            .get(hash)
            .is_some_and(|change| change.candidate.actor.starts_with(signer.as_bytes()))
    };
    covered.into_iter().filter(by_signer).collect()
}

fn refuse_covered(
    key: &Key,
    seal: &Seal,
    refusal: Refusal,
    changes: &mut BTreeMap<Sha256, PreparedChange>,
    refused: &mut Vec<RefusedChange>,
) {
    // Only for a seal that would hold if its phone were in good standing: another's bad seal must not push changes out.
    if refusal != Refusal::PhoneRevoked {
        return;
    }
    for hash in covered(seal, changes) {
        if let Some(change) = changes.remove(&hash) {
            refused.push(RefusedChange {
                document: Some(key.clone()),
                hash,
                refusal,
                bytes: change.bytes,
                seals: if hash == seal.change {
                    vec![*seal]
                } else {
                    Vec::new()
                },
            });
        }
    }
}

/// The seals of this change.
#[must_use]
pub fn seals_of(seals: &[Seal], change: Sha256) -> Vec<Seal> {
    let of_it = seals.iter().filter(|seal| seal.change == change);
    of_it.copied().collect()
}
