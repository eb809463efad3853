//! The server: its process, and the transaction that stores what pushes bring.
//!
//! What is taken, what is signed for and what gets which number is decided by the core's `log` and `receipt`; here is only what
//! the committer does around them.

use crate::{
    draw::Draw,
    guard::Guard,
    phone::{Fate, LAG, Phone},
    stored::{Disk, Leafed, Reader, Row, State, Stored},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use kieumau_core::{
    hash::Sha256,
    id::{PhoneId, UnitId},
    log::{
        admission::{self, Admitted, Arrival, Candidate, DOCUMENT_LIMIT_BYTES, Outcome, Refusal},
        arrival::{self, PreparedChange, PreparedDocument, RefusedChange, Signers},
        head::Epoch,
        leaf::Leaf,
        numbering::{Entry, Numbering},
    },
    receipt::Receipt,
    wire::{ChangeOutcome, Push, Pushed, ReceiptRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What goes wrong with the next push of a phone that is otherwise good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its seals are lost on the way.
    Unsealed,
    /// They are, and quarantine has no room for it.
    NoRoom,
    /// Its documents are found full.
    Full,
}

/// A push whose headers were read and whose seals were checked when it arrived.
pub struct Prepared {
    pub carrier: Reader,
    documents: Vec<PreparedDocument>,
    receipts: Vec<ReceiptRequest>,
    refused: Vec<RefusedChange>,
    trouble: Option<Trouble>,
    /// Who was revoked when it arrived.
    revoked: BTreeSet<PhoneId>,
}

/// See the module.
pub struct Server {
    pub disk: Disk,
    /// What the disk really has, while it lags behind: with [`Guard::ServerSync`] off.
    synced: Option<(u32, Disk)>,
    /// A backup.
    pub backup: Option<Disk>,
    pub up: bool,
    pub fate: Option<Fate>,
    pub receipt_key: SigningKey,
    seal_key: SigningKey,
    phones: BTreeMap<PhoneId, (VerifyingKey, UnitId)>,
    pub off: Option<Guard>,
}

impl Server {
    /// A server that has enrolled these phones.
    pub fn new(seed: u64, phones: &[Phone], off: Option<Guard>) -> Self {
        let mut draw = Draw::at(seed, "server", [0, 0]);
        let enrolled = phones
            .iter()
            .map(|phone| (phone.id, (phone.key.verifying_key(), phone.unit)));
        Self {
            disk: Disk::new(Epoch(draw.bytes())),
            synced: None,
            backup: None,
            up: true,
            fate: None,
            receipt_key: SigningKey::from_bytes(&draw.bytes()),
            seal_key: SigningKey::from_bytes(&draw.bytes()),
            phones: enrolled.collect(),
            off,
        }
    }

    /// The process is gone.
    pub fn die(&mut self) {
        self.up = false;
        if let Some((_, synced)) = self.synced.take() {
            self.disk = synced;
        }
    }

    /// Writes `next` in one transaction. False if the disk refused it; the process may have died either way.
    pub fn commit(&mut self, next: Disk) -> bool {
        let fate = self.fate.take();
        if matches!(fate, None | Some(Fate::DiesAfter)) {
            let before = std::mem::replace(&mut self.disk, next);
            if self.off == Some(Guard::ServerSync) {
                self.synced = Some(match self.synced.take() {
                    Some((more, disk)) if more > 0 => (more - 1, disk),
                    _ => (LAG, before),
                });
            }
        }
        if matches!(fate, Some(Fate::DiesBefore | Fate::DiesAfter)) {
            self.die();
        }
        fate.is_none()
    }

    /// Reads the headers and checks the seals of what arrived.
    pub fn prepare(&self, carrier: Reader, push: Push, trouble: Option<Trouble>) -> Prepared {
        let mut signers = Signers::new(self.seal_key.verifying_key());
        for (id, (key, unit)) in &self.phones {
            let revoked = self.disk.revoked.contains_key(id);
            signers.add(*id, key.as_bytes(), *unit, revoked);
        }
        let mut refused = Vec::new();
        let mut documents = Vec::new();
        for document in push.documents {
            let key = document.key.key().expect("phones name documents");
            let unit = carrier.unit;
            documents.extend(arrival::prepare(
                &signers,
                unit,
                key,
                document,
                &mut refused,
            ));
        }
        Prepared {
            carrier,
            documents,
            receipts: push.receipts,
            refused,
            trouble,
            revoked: self.disk.revoked.keys().copied().collect(),
        }
    }

    /// What one transaction with all of these makes of the disk, and its answers.
    pub fn write(&self, pushes: &[Prepared], now_ms: i64) -> (Disk, Vec<Pushed>) {
        let mut disk = self.disk.clone();
        let arrived = || pushes.iter().flat_map(|push| &push.documents);
        let mut feeds = disk.hold(arrived().map(|document| document.key.unit));
        let mut answers = Vec::new();
        for push in pushes {
            let mut outcomes = BTreeMap::new();
            for change in &push.refused {
                outcomes.insert(change.hash, Outcome::Refused(change.refusal));
            }
            for document in &push.documents {
                outcomes.extend(self.take(&mut disk, &mut feeds, push, document, now_ms));
            }
            let mut answer = Pushed {
                server_time_ms: now_ms,
                ..Pushed::default()
            };
            for (hash, outcome) in outcomes {
                let outcome = quarantined(&mut disk, push, hash, outcome);
                answer.changes.extend(ChangeOutcome::of(hash, outcome));
            }
            answers.push(answer);
        }
        disk.number(feeds);
        for (push, answer) in pushes.iter().zip(&mut answers) {
            self.sign(&disk, push, answer, now_ms);
        }
        (disk, answers)
    }

    fn take(
        &self,
        disk: &mut Disk,
        feeds: &mut Numbering,
        push: &Prepared,
        arrived: &PreparedDocument,
        now_ms: i64,
    ) -> BTreeMap<Sha256, Outcome> {
        let id = arrived.key.document();
        let opened = disk.documents.remove(&id);
        let mut stored = opened.unwrap_or_else(|| Rc::new(Stored::new(&arrived.key)));
        let document = Rc::make_mut(&mut stored);
        let now_revoked = disk.revoked.keys().copied().collect();
        let waiting = document.rows.values();
        let waiting = waiting.filter(|row| row.state == State::Waiting);
        let arrival = Arrival {
            arrived: arrived.changes.iter().map(sized).collect(),
            sealed: &arrived.sealed,
            waited: waiting
                .map(|row| (&row.candidate, row.bytes.len() as i64))
                .collect(),
            revoked: match self.off {
                Some(Guard::Revocation) => &push.revoked,
                _ => &now_revoked,
            },
            size_bytes: match push.trouble {
                Some(Trouble::Full) => DOCUMENT_LIMIT_BYTES,
                _ => document.size_bytes,
            },
        };
        let born = admission::Known::born(&arrived.key);
        let known = match self.off {
            Some(Guard::Held) => &born,
            _ => &document.known,
        };
        let (admitted, grows) = admission::decide(known, &arrival);
        document.size_bytes += grows;
        for change in &arrived.changes {
            let outcome = admitted.outcomes.get(&change.candidate.hash);
            if matches!(outcome, Some(Outcome::Accepted | Outcome::Waiting)) {
                let hash = change.candidate.hash;
                let rows = document.rows.entry(hash);
                rows.or_insert_with(|| waiting_row(change));
            }
        }
        // What waited and can never be taken leaves its document.
        document.rows.retain(|hash, row| {
            let refused = matches!(admitted.outcomes.get(hash), Some(Outcome::Refused(_)));
            row.state != State::Waiting || !refused
        });
        document.keep_seals(arrived, &admitted);
        if !admitted.accepted.is_empty() {
            let seals = arrived.seals.iter();
            let leaf = disk.append(Leaf::Batch {
                document: id,
                changes: admitted.accepted.clone(),
                seals: seals.map(|seal| Sha256::of(&seal.encode())).collect(),
                received_at_ms: now_ms,
            });
            document.accept(feeds, &admitted, leaf);
        }
        disk.documents.insert(id, stored);
        admitted.outcomes
    }

    fn sign(&self, disk: &Disk, push: &Prepared, answer: &mut Pushed, now_ms: i64) {
        let head = disk.head(now_ms);
        let unit = push.carrier.unit;
        for asked in &push.receipts {
            let document = disk.documents.get(&asked.document);
            let document = document.filter(|document| document.key.unit == unit);
            let leaf_of = |hash: &Sha256| document?.rows.get(hash)?.leaf;
            let file_of = |hash: &Sha256| disk.attachments.get(&(unit, *hash)).copied();
            // With the guard off, what is not there is called there.
            let otherwise = (self.off == Some(Guard::Whole)).then_some(0);
            let missing = asked.attachments.iter();
            let missing = missing.filter(|hash| file_of(hash).is_none());
            answer.missing_attachments.extend(missing);
            let leaf_now = |leaf: Option<Leafed>| leaf.map(|it| disk.leaf_now(it)).or(otherwise);
            let receipt = Receipt::of(
                asked,
                |hash| leaf_now(leaf_of(hash)),
                |hash| leaf_now(file_of(hash)),
                (&head, push.carrier.phone),
            );
            let parts = receipt.map(Receipt::parts).unwrap_or_default();
            let signed = parts
                .iter()
                .filter_map(|part| part.sign(&self.receipt_key).ok());
            answer.receipts.extend(signed);
        }
    }
}

/// Keeps what is refused; what is said of it, which is another word if there is no room.
fn quarantined(disk: &mut Disk, push: &Prepared, hash: Sha256, outcome: Outcome) -> Outcome {
    let Outcome::Refused(refusal) = outcome else {
        return outcome;
    };
    if push.trouble == Some(Trouble::NoRoom) {
        return Outcome::Refused(Refusal::QuarantineFull);
    }
    disk.quarantine.insert(hash, refusal);
    outcome
}

impl Stored {
    fn accept(&mut self, feeds: &mut Numbering, admitted: &Admitted, leaf: Leafed) {
        let (unit, id) = (self.key.unit, self.key.document());
        for hash in &admitted.accepted {
            let number = feeds.append(unit, Entry::Change(id, *hash));
            let number = number.expect("the feed is held");
            self.unchecked_from.get_or_insert(number);
            let row = self.rows.get_mut(hash).expect("it arrived or waited");
            row.state = State::Accepted;
            row.number = Some(number);
            row.leaf = Some(leaf);
            self.known.held.insert(*hash);
            let newest = (row.candidate.seq, *hash);
            self.known
                .newest
                .insert(row.candidate.actor.clone(), newest);
        }
        self.known.heads.clone_from(&admitted.heads);
    }

    /// Keeps the seals whose change is here.
    fn keep_seals(&mut self, arrived: &PreparedDocument, admitted: &Admitted) {
        for seal in &arrived.seals {
            let lands = !matches!(
                admitted.outcomes.get(&seal.change),
                None | Some(Outcome::Refused(_))
            );
            if (lands || !admitted.accepted.is_empty()) && !self.seals.contains(seal) {
                self.seals.push(*seal);
            }
        }
    }
}

fn sized(change: &PreparedChange) -> (&Candidate, i64) {
    (&change.candidate, change.bytes.len() as i64)
}

fn waiting_row(change: &PreparedChange) -> Row {
    Row {
        candidate: change.candidate.clone(),
        bytes: Rc::new(change.bytes.clone()),
        state: State::Waiting,
        number: None,
        leaf: None,
    }
}
