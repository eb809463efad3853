//! The server: its disk, and the transaction that stores what pushes bring.
//!
//! The rows are those of the server's database. What is taken, what is signed for and what gets which number is decided by the
//! core's `log` and `receipt`; here is only what the committer does around them.

use crate::{
    draw::Draw,
    guard::Guard,
    phone::{Fate, Phone},
};
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{Key, birth},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    log::{
        admission::{self, Admitted, Arrival, Candidate, Known, Outcome, Refusal},
        arrival::{PreparedChange, PreparedDocument, RefusedChange, Signers, Standing, prepare},
        head::{Epoch, TreeHead},
        leaf::Leaf,
        merkle::Frontier,
        numbering::{Entry, Numbering},
    },
    receipt::{Found, Receipt},
    seal::Seal,
    wire::{ChangeOutcome, Push, Pushed, ReceiptRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What became of a stored change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Lacks an ancestor.
    Waiting,
    /// In the log and in the feed, and not yet understood.
    Accepted,
    /// Understood: it is served.
    Checked,
    /// Not understood: it is never served.
    Withheld,
}

/// One stored change.
#[derive(Clone, Debug)]
pub struct Row {
    pub candidate: Candidate,
    pub bytes: Rc<Vec<u8>>,
    pub state: State,
    /// Its number in the feed.
    pub number: Option<i64>,
    /// Its leaf in the log.
    pub leaf: Option<u64>,
}

/// One document.
#[derive(Clone, Debug)]
pub struct Stored {
    pub key: Key,
    pub known: Known,
    pub rows: BTreeMap<Sha256, Row>,
    pub seals: Vec<Seal>,
    pub size_bytes: i64,
    /// The number of its first change that was not checked.
    pub unchecked_from: Option<i64>,
    /// Who is on its team, as far as it was checked.
    pub readers: BTreeSet<PersonId>,
}

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub documents: BTreeMap<DocumentId, Rc<Stored>>,
    pub entries: BTreeMap<UnitId, Vec<(i64, Entry)>>,
    pub last: BTreeMap<UnitId, i64>,
    pub checked_through: BTreeMap<UnitId, i64>,
    pub frontier: Frontier,
    pub leaves: Vec<Leaf>,
    /// The log's root after each leaf.
    pub roots: Vec<Sha256>,
    pub attachments: BTreeMap<(UnitId, Sha256), u64>,
    pub uploads: BTreeMap<(UnitId, Sha256), Vec<u8>>,
    pub quarantine: BTreeMap<Sha256, Refusal>,
    /// When a phone was revoked: the leaf that says so.
    pub revoked: BTreeMap<PhoneId, u64>,
}

impl Disk {
    /// Appends a leaf to the log.
    pub fn append(&mut self, leaf: Leaf) -> u64 {
        self.frontier.push(leaf.hash());
        self.roots.push(self.frontier.root());
        self.leaves.push(leaf);
        self.frontier.size() - 1
    }

    /// Writes entries with the numbers they got.
    pub fn number(&mut self, numbering: Numbering) {
        let numbered = numbering.into_numbered();
        for (unit, number, entry) in numbered.entries {
            self.entries.entry(unit).or_default().push((number, entry));
        }
        self.last.extend(numbered.last);
    }

    /// Feeds held, with their last numbers.
    pub fn hold(&self, units: impl IntoIterator<Item = UnitId>) -> Numbering {
        let last = |unit| self.last.get(&unit).copied().unwrap_or(0);
        Numbering::new(units.into_iter().map(|unit| (unit, last(unit))).collect())
    }

    /// The state of a change, wherever it is.
    pub fn row(&self, id: DocumentId, hash: Sha256) -> Option<&Row> {
        self.documents.get(&id)?.rows.get(&hash)
    }

    /// Whether the change is in the log.
    pub fn holds(&self, id: DocumentId, hash: Sha256) -> bool {
        self.row(id, hash).is_some_and(|row| row.leaf.is_some())
    }
}

/// Who brought a push, and where its answer goes.
#[derive(Clone, Debug)]
pub struct Carrier {
    pub phone: PhoneId,
    pub person: PersonId,
    pub unit: UnitId,
}

/// A push whose headers were read and whose seals were checked when it arrived.
pub struct Prepared {
    pub carrier: Carrier,
    documents: Vec<PreparedDocument>,
    receipts: Vec<ReceiptRequest>,
    refused: Vec<RefusedChange>,
    /// Who was revoked when it arrived.
    revoked: BTreeSet<PhoneId>,
}

/// See the module.
pub struct Server {
    pub disk: Disk,
    /// What the disk really has, while it lags behind: with [`Guard::ServerSync`] off.
    synced: Option<Disk>,
    pub up: bool,
    pub fate: Option<Fate>,
    pub receipt_key: SigningKey,
    seal_key: SigningKey,
    pub epoch: Epoch,
    phones: BTreeMap<PhoneId, Standing>,
    pub off: Option<Guard>,
}

impl Server {
    /// A server that has enrolled these phones.
    pub fn new(seed: u64, phones: &[Phone], off: Option<Guard>) -> Self {
        let mut draw = Draw::at(seed, "server", [0, 0]);
        let enrolled = phones.iter().map(|phone| {
            let standing = Standing {
                key: phone.key.verifying_key(),
                unit: phone.unit,
                revoked: false,
            };
            (phone.id, standing)
        });
        let epoch = Epoch(draw.bytes());
        let mut disk = Disk::default();
        disk.append(Leaf::Epoch {
            epoch,
            previous: None,
        });
        Self {
            disk,
            synced: None,
            up: true,
            fate: None,
            receipt_key: SigningKey::from_bytes(&draw.bytes()),
            seal_key: SigningKey::from_bytes(&draw.bytes()),
            epoch,
            phones: enrolled.collect(),
            off,
        }
    }

    /// The process is gone.
    pub fn die(&mut self) {
        self.up = false;
        if let Some(synced) = self.synced.take() {
            self.disk = synced;
        }
    }

    /// Writes `next` in one transaction. False if the disk refused it; the process may have died either way.
    pub fn commit(&mut self, next: Disk) -> bool {
        let fate = self.fate.take();
        if matches!(fate, None | Some(Fate::DiesAfter)) {
            let before = std::mem::replace(&mut self.disk, next);
            if self.off == Some(Guard::ServerSync) {
                self.synced = match self.synced.take() {
                    Some(_) => None,
                    None => Some(before),
                };
            }
        }
        if matches!(fate, Some(Fate::DiesBefore | Fate::DiesAfter)) {
            self.die();
        }
        fate.is_none()
    }

    /// Reads the headers and checks the seals of what arrived.
    pub fn prepare(&self, carrier: Carrier, push: Push) -> Prepared {
        let mut phones = self.phones.clone();
        for (id, standing) in &mut phones {
            standing.revoked = self.disk.revoked.contains_key(id);
        }
        let signers = Signers {
            phones,
            server: self.seal_key.verifying_key(),
        };
        let mut refused = Vec::new();
        let mut documents = Vec::new();
        for document in push.documents {
            let key = document.key.key().expect("phones name documents");
            documents.extend(prepare(&signers, carrier.unit, key, document, &mut refused));
        }
        Prepared {
            carrier,
            documents,
            receipts: push.receipts,
            refused,
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
            let mut answer = Pushed {
                server_time_ms: now_ms,
                ..Pushed::default()
            };
            for change in &push.refused {
                disk.quarantine.insert(change.hash, change.refusal);
                let outcome = ChangeOutcome::refused(change.hash, change.refusal);
                answer.changes.push(outcome);
            }
            for document in &push.documents {
                let revoked = match self.off {
                    Some(Guard::Revocation) => push.revoked.clone(),
                    _ => disk.revoked.keys().copied().collect(),
                };
                let outcomes = self.take(&mut disk, &mut feeds, document, revoked, now_ms);
                let told = outcomes.iter();
                let told = told.filter_map(|(hash, it)| ChangeOutcome::of(*hash, *it));
                answer.changes.extend(told);
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
        arrived: &PreparedDocument,
        revoked: BTreeSet<PhoneId>,
        now_ms: i64,
    ) -> BTreeMap<Sha256, Outcome> {
        let id = arrived.key.document();
        let opened = disk.documents.remove(&id);
        let mut stored = opened.unwrap_or_else(|| Rc::new(Stored::new(&arrived.key)));
        let document = Rc::make_mut(&mut stored);
        let waiting = document.rows.values();
        let waiting = waiting.filter(|row| row.state == State::Waiting);
        let arrival = Arrival {
            arrived: arrived.changes.iter().map(sized).collect(),
            sealed: arrived.sealed.clone(),
            waited: waiting.map(|row| row.candidate.clone()).collect(),
            revoked,
            size_bytes: document.size_bytes,
        };
        let (admitted, grows) = match self.off {
            Some(Guard::Held) => admission::decide(&born(&arrived.key), &arrival),
            _ => admission::decide(&document.known, &arrival),
        };
        document.size_bytes += grows;
        for change in &arrived.changes {
            let hash = change.candidate.hash;
            match admitted.outcomes.get(&hash) {
                Some(Outcome::Accepted | Outcome::Waiting) => {
                    document
                        .rows
                        .entry(hash)
                        .or_insert_with(|| waiting_row(change));
                }
                Some(Outcome::Refused(refusal)) => {
                    disk.quarantine.insert(hash, *refusal);
                }
                Some(Outcome::Held) | None => {}
            }
        }
        document.keep_seals(arrived, &admitted);
        if !admitted.accepted.is_empty() {
            let leaf = disk.append(Leaf::Batch {
                document: id,
                changes: admitted.accepted.clone(),
                seals: arrived
                    .seals
                    .iter()
                    .map(|seal| Sha256::of(&seal.encode()))
                    .collect(),
                received_at_ms: now_ms,
            });
            document.accept(feeds, &admitted, leaf);
        }
        disk.documents.insert(id, stored);
        admitted.outcomes
    }

    fn sign(&self, disk: &Disk, push: &Prepared, answer: &mut Pushed, now_ms: i64) {
        let head = TreeHead {
            epoch: self.epoch,
            size: disk.frontier.size(),
            root: disk.frontier.root(),
            at_ms: now_ms,
        };
        let unit = push.carrier.unit;
        for asked in &push.receipts {
            let document = disk.documents.get(&asked.document);
            let document = document.filter(|document| document.key.unit == unit);
            let leaf_of = |hash: &Sha256| document?.rows.get(hash)?.leaf;
            let file_of = |hash: &Sha256| disk.attachments.get(&(unit, *hash)).copied();
            // With the guard off, what is not there is called there.
            let otherwise = (self.off == Some(Guard::Whole)).then_some(0);
            let found = Found {
                heads: found(&asked.heads, |hash| leaf_of(hash).or(otherwise)),
                attachments: found(&asked.attachments, |hash| file_of(hash).or(otherwise)),
            };
            let missing = asked.attachments.iter();
            let missing = missing.filter(|hash| file_of(hash).is_none());
            answer.missing_attachments.extend(missing);
            let receipt = Receipt::of(asked, &found, &head, push.carrier.phone, now_ms);
            let parts = receipt.map(Receipt::parts).unwrap_or_default();
            let signed = parts
                .iter()
                .filter_map(|part| part.sign(&self.receipt_key).ok());
            answer.receipts.extend(signed);
        }
    }
}

impl Stored {
    fn new(key: &Key) -> Self {
        Self {
            key: key.clone(),
            known: born(key),
            rows: BTreeMap::new(),
            seals: Vec::new(),
            size_bytes: 0,
            unchecked_from: None,
            readers: BTreeSet::new(),
        }
    }

    fn accept(&mut self, feeds: &mut Numbering, admitted: &Admitted, leaf: u64) {
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

fn born(key: &Key) -> Known {
    let births: Vec<Sha256> = birth(key).into_iter().map(|change| change.hash).collect();
    let heads = if births.len() > 1 {
        &births[1..]
    } else {
        &births[..]
    };
    Known {
        heads: heads.iter().copied().collect(),
        held: births.iter().copied().collect(),
        newest: BTreeMap::new(),
    }
}

fn sized(change: &PreparedChange) -> (Candidate, usize) {
    (change.candidate.clone(), change.bytes.len())
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

fn found(asked: &[Sha256], leaf: impl Fn(&Sha256) -> Option<u64>) -> BTreeMap<Sha256, u64> {
    asked
        .iter()
        .filter_map(|hash| Some((*hash, leaf(hash)?)))
        .collect()
}
