//! Arrival: what one push brings, read by headers and seals alone, before it is held against what is there.
//!
//! A change is covered when a seal of a signer in good standing reaches it; who carries it gives it nothing. No operation of a
//! change is looked at, and nothing here reads a database: the server reads the signers' keys, a simulator invents them, and both
//! call the same functions. Each change and each seal is looked at once, however they are laid: walked one by one, ten thousand
//! seals up a run of ten thousand changes, which one body holds, would be fifty million steps.

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
    of_revoked_too: bool,
}

impl Signers {
    /// The server alone.
    #[must_use]
    pub fn new(server: VerifyingKey) -> Self {
        Self {
            phones: BTreeMap::new(),
            server,
            server_name: jws::fingerprint(&server),
            of_revoked_too: false,
        }
    }

    /// The same, for what a chief lets in: the seals of revoked phones are as good as they were.
    #[must_use]
    pub fn with_revoked(self) -> Self {
        Self {
            of_revoked_too: true,
            ..self
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
                    _ if phone.revoked && !self.of_revoked_too => Err(Refusal::PhoneRevoked),
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
    let mut unread = Vec::new();
    for bytes in document.changes {
        match read(&births, &bytes) {
            Ok(None) => {}
            Ok(Some((candidate, written_at_s))) => {
                let change = PreparedChange {
                    candidate,
                    written_at_s,
                    bytes,
                };
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
        match signers.check(&key, &seal) {
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

/// The change in `bytes`, and when it was written; none for a birth, which needs no keeping.
fn read(births: &BTreeSet<Sha256>, bytes: &[u8]) -> Result<Option<(Candidate, i64)>, Refusal> {
    let header = header::read(bytes).map_err(|_| Refusal::Malformed)?;
    if births.contains(&header.hash) {
        return Ok(None);
    }
    let mut actor = vec![0; 2 * Actor::LEN];
    // One of another length does not fit.
    hex::encode_to_slice(header.actor, &mut actor).map_err(|_| Refusal::ForgedBirth)?;
    let candidate = Candidate {
        hash: header.hash,
        actor,
        seq: header.seq,
        deps: header.deps,
    };
    Ok(Some((candidate, header.time_s)))
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
mod tests {
    use super::*;
    use crate::wire::PUSH_LIMIT_CHANGES;
    use ed25519_dalek::SigningKey;

    #[test]
    fn each_change_is_walked_over_once_however_many_seals_stand_above_it() {
        let phone = PhoneId::from_bytes([7; 16]);
        let key = Key::patrol(UnitId::from_bytes([1; 16]), uuid::Uuid::from_u128(7));
        let signing = SigningKey::from_bytes(&[7; 32]);
        let hash = |number: u64| Sha256::of(&number.to_le_bytes());
        // As many as one push may bring, each upon the one before, each with a seal.
        let run: BTreeMap<Sha256, Candidate> = (1..=PUSH_LIMIT_CHANGES as u64)
            .map(|seq| Candidate {
                hash: hash(seq),
                actor: hex::encode([7; Actor::LEN]).into_bytes(),
                seq,
                deps: vec![hash(seq - 1)],
            })
            .map(|change| (change.hash, change))
            .collect();
        let seals: Vec<Seal> = run
            .keys()
            .map(|hash| key.seal(&signing, Signer::Phone(phone), *hash))
            .collect();
        let steps = std::cell::Cell::new(0);
        let step = |hash: &Sha256| {
            steps.set(steps.get() + 1);
            run.get(hash)
        };
        assert_eq!(covered(&seals, step).len(), run.len());
        let all = steps.take();
        assert!(all <= 4 * run.len(), "{all}");
        // The twin: a hundred of them, one after the other, are more steps than all together.
        for seal in &seals[..100] {
            covered(&[*seal], step);
        }
        assert!(steps.get() > all, "{}", steps.get());
        // Of another phone's changes they cover nothing.
        let other = key.seal(
            &signing,
            Signer::Phone(PhoneId::from_bytes([8; 16])),
            hash(9),
        );
        assert!(covered(&[other], step).is_empty());
    }
}
