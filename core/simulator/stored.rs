//! The server's disk: the rows of its database, as far as a simulator needs them.

use crate::guard::Guard;
use kieumau_core::{
    document::{Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    log::{
        admission::{Candidate, Known, Refusal},
        head::{Epoch, TreeHead},
        leaf::Leaf,
        merkle::Frontier,
        numbering::{Entry, Numbering},
        rights,
    },
    person::Role,
    review::heads_text,
    seal::Seal,
    wire::Snapshot,
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

/// A place in the log: which of its lives, and which leaf of that.
pub type Leafed = (u32, u64);

/// One stored change.
#[derive(Clone, Debug)]
pub struct Row {
    pub candidate: Candidate,
    pub bytes: Rc<Vec<u8>>,
    pub state: State,
    /// Its number in the feed.
    pub number: Option<i64>,
    pub leaf: Option<Leafed>,
}

/// A document saved whole.
#[derive(Clone, Debug)]
pub struct Saved {
    pub heads: String,
    /// What was entered beyond this is not in it.
    pub through: i64,
    pub snapshot: Rc<Snapshot>,
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
    pub saved: Option<Saved>,
    /// How large it was when it was last saved whole.
    pub saved_bytes: i64,
}

impl Stored {
    /// A document that was just born.
    pub fn new(key: &Key) -> Self {
        Self {
            key: key.clone(),
            known: Known::born(key),
            rows: BTreeMap::new(),
            seals: Vec::new(),
            size_bytes: 0,
            unchecked_from: None,
            readers: BTreeSet::new(),
            saved: None,
            saved_bytes: 0,
        }
    }

    /// Heads of what was accepted, as text; empty if nothing was.
    pub fn heads(&self) -> String {
        if self.rows.values().all(|row| row.number.is_none()) {
            return String::new();
        }
        heads_text(&self.known.heads.iter().copied().collect::<Vec<_>>())
    }

    /// Heads of what passed, as text; empty if nothing did.
    pub fn checked_heads(&self) -> String {
        let rows = self.rows.values();
        let checked: Vec<_> = rows.filter(|row| row.state == State::Checked).collect();
        let mut heads: BTreeSet<Sha256> = checked.iter().map(|row| row.candidate.hash).collect();
        for row in checked {
            for dep in &row.candidate.deps {
                heads.remove(dep);
            }
        }
        heads_text(&heads.into_iter().collect::<Vec<_>>())
    }
}

/// Who reads.
#[derive(Clone, Debug)]
pub struct Reader {
    pub phone: PhoneId,
    pub person: PersonId,
    pub unit: UnitId,
    pub role: Role,
}

/// What is on the disk.
#[derive(Clone, Debug)]
pub struct Disk {
    pub documents: BTreeMap<DocumentId, Rc<Stored>>,
    pub entries: BTreeMap<UnitId, Vec<(i64, Entry)>>,
    pub last: BTreeMap<UnitId, i64>,
    pub checked_through: BTreeMap<UnitId, i64>,
    pub epoch: Epoch,
    /// How many epochs there were before this one.
    pub life: u32,
    frontier: Frontier,
    /// The leaves of this epoch.
    pub leaves: Vec<Leaf>,
    /// The log's root after each leaf.
    pub roots: Vec<Sha256>,
    pub attachments: BTreeMap<(UnitId, Sha256), Leafed>,
    pub uploads: BTreeMap<(UnitId, Sha256), Vec<u8>>,
    pub quarantine: BTreeMap<Sha256, Refusal>,
    /// When a phone was revoked: the leaf that says so.
    pub revoked: BTreeMap<PhoneId, Leafed>,
}

impl Disk {
    /// A new server's, whose log begins.
    pub fn new(epoch: Epoch) -> Self {
        let mut disk = Self {
            documents: BTreeMap::new(),
            entries: BTreeMap::new(),
            last: BTreeMap::new(),
            checked_through: BTreeMap::new(),
            epoch,
            life: 0,
            frontier: Frontier::default(),
            leaves: Vec::new(),
            roots: Vec::new(),
            attachments: BTreeMap::new(),
            uploads: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            revoked: BTreeMap::new(),
        };
        disk.append(Leaf::Epoch {
            epoch,
            previous: None,
        });
        disk
    }

    /// Ends the log's epoch and begins another, whose first leaf is the head of the one before.
    pub fn begin_anew(&mut self, epoch: Epoch, life: u32, at_ms: i64) {
        let previous = Some(self.head(at_ms));
        self.epoch = epoch;
        self.life = life;
        self.frontier = Frontier::default();
        self.leaves.clear();
        self.roots.clear();
        self.append(Leaf::Epoch { epoch, previous });
    }

    /// The log as it stands.
    pub fn head(&self, at_ms: i64) -> TreeHead {
        TreeHead {
            epoch: self.epoch,
            size: self.frontier.size(),
            root: self.frontier.root(),
            at_ms,
        }
    }

    /// Appends a leaf to the log.
    pub fn append(&mut self, leaf: Leaf) -> Leafed {
        self.frontier.push(leaf.hash());
        self.roots.push(self.frontier.root());
        self.leaves.push(leaf);
        (self.life, self.frontier.size() - 1)
    }

    /// The leaf in this epoch's log under which something stands: what came before it stands under its first.
    pub const fn leaf_now(&self, (life, leaf): Leafed) -> u64 {
        if life == self.life { leaf } else { 0 }
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

    /// A change, if it is here.
    pub fn row(&self, id: DocumentId, hash: Sha256) -> Option<&Row> {
        self.documents.get(&id)?.rows.get(&hash)
    }

    /// Whether the change is in the log.
    pub fn holds(&self, id: DocumentId, hash: Sha256) -> bool {
        self.row(id, hash).is_some_and(|row| row.leaf.is_some())
    }

    /// Whether this reader may read a document now.
    pub fn may_read(&self, reader: &Reader, id: DocumentId, off: Option<Guard>) -> bool {
        let Some(stored) = self.documents.get(&id) else {
            return false;
        };
        let member = stored.key.kind == Kind::PatrolLog && stored.readers.contains(&reader.person);
        let may = rights::may_read(reader.role, stored.key.kind, member, false);
        off == Some(Guard::Rights) || stored.key.unit == reader.unit && may
    }
}
