//! A phone: its disk, what of it is in memory, and transactions that the disk may refuse or that the process may die in.
//!
//! The rows are those of the phone's database. What is decided about them is the core's: `document`, `inbox`, `outbox`.

use crate::{draw::Draw, guard::Guard};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key, Kind, Record},
    evidence::EvidenceFile,
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    inbox::Incoming,
    invalid::Invalid,
    outbox::{HELD, Heard, Signed, Standing, WAITING},
    patrol::PatrolLog,
    person::Role,
    review::heads_text,
    seal::Seal,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// One stored change.
#[derive(Clone, Debug)]
pub struct Row {
    pub document: DocumentId,
    pub change: Rc<Change>,
    /// What the server said of it.
    pub word: Option<String>,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    pub bytes: Rc<Vec<u8>>,
    /// The server has it whole.
    pub received: bool,
}

/// One document's row.
#[derive(Clone, Debug)]
pub struct Kept {
    pub key: Key,
    pub heads: String,
    pub own: bool,
    pub files: BTreeSet<Sha256>,
    pub team: BTreeSet<PersonId>,
}

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub documents: BTreeMap<DocumentId, Kept>,
    pub rows: Vec<Row>,
    pub seals: BTreeMap<(DocumentId, Sha256), Seal>,
    pub receipts: BTreeMap<DocumentId, Signed>,
    pub files: BTreeMap<Sha256, File>,
    pub cursor: String,
    pub revoked: bool,
}

impl Disk {
    /// The row of a change.
    pub fn row(&self, hash: Sha256) -> Option<&Row> {
        self.rows.iter().find(|row| row.change.hash == hash)
    }

    /// Where a document is on its way.
    pub fn standing(&self, id: DocumentId, kept: &Kept, off: Option<Guard>) -> Standing {
        let receipt = self.receipts.get(&id);
        let covered = match off {
            Some(Guard::Heads) => receipt.is_some(),
            _ => receipt.is_some_and(|signed| signed.covers(&kept.heads, &kept.files)),
        };
        let unsettled = |row: &Row| row.document == id && row.word.as_deref() != Some(HELD);
        Standing {
            covered,
            own: kept.own,
            // The receipt alone would have to say it if its heads were not looked at.
            unsettled: off != Some(Guard::Heads) && self.rows.iter().any(unsettled),
            loose: false,
        }
    }
}

/// Why a transaction was not written, or its end not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The disk takes no more: nothing was written.
    Full,
    /// The process died.
    Died,
}

/// What will become of the next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The disk refuses it.
    Refused,
    /// The process dies before the disk has it.
    DiesBefore,
    /// The process dies after the disk has it, and before anybody hears of that.
    DiesAfter,
}

/// See the module.
pub struct Phone {
    pub id: PhoneId,
    pub person: PersonId,
    pub unit: UnitId,
    pub role: Role,
    pub key: SigningKey,
    /// How wrong its clock is.
    pub skew_ms: i64,
    /// Bytes of changes that its line bears in one push.
    pub line_bytes: usize,
    pub disk: Disk,
    /// What the disk really has, while it lags behind: with [`Guard::PhoneSync`] off.
    synced: Option<Disk>,
    pub copy: Option<Disk>,
    pub opening: [u8; 8],
    openings: u64,
    opened: BTreeMap<DocumentId, Automerge>,
    pub fate: Option<Fate>,
    pub off: Option<Guard>,
}

impl Phone {
    /// The phone at `place`, with an empty disk.
    pub fn new(seed: u64, place: usize, off: Option<Guard>) -> Self {
        let mut draw = Draw::at(seed, "phone", [place as u64, 0]);
        // The first three are of one unit; the second person has a second phone in half of the worlds; the third may be the chief.
        let second = if draw.chance(500) { 1 } else { 2 };
        let (person, unit) = [(0, 1), (1, 1), (second, 1), (3, 2)][place % 4];
        let chief = place == 2 && second == 2 && draw.chance(500);
        let far = draw.chance(200);
        let skew_s = draw.below(if far { 631_152_000 } else { 600 });
        let mut phone = Self {
            id: PhoneId::from_bytes([10 + u8::try_from(place).unwrap_or(0); 16]),
            person: PersonId::from_bytes([50 + person; 16]),
            unit: UnitId::from_bytes([unit; 16]),
            role: if chief { Role::Chief } else { Role::Officer },
            key: SigningKey::from_bytes(&draw.bytes()),
            skew_ms: i64::try_from(skew_s).unwrap_or(0)
                * 1_000
                * if draw.chance(500) { 1 } else { -1 },
            line_bytes: usize::try_from(draw.within(300, 4_000)).unwrap_or(300),
            disk: Disk::default(),
            synced: None,
            copy: None,
            opening: [0; 8],
            openings: 0,
            opened: BTreeMap::new(),
            fate: None,
            off,
        };
        phone.open(seed);
        phone
    }

    /// Opens the database: every opening draws eight bytes.
    pub fn open(&mut self, seed: u64) {
        let number = if self.off == Some(Guard::Opening) {
            0
        } else {
            self.openings
        };
        let place = u64::from(self.id.as_bytes()[0]);
        self.opening = Draw::at(seed, "opening", [place, number]).bytes();
        self.openings += 1;
    }

    /// The process is gone, and what was in memory with it.
    pub fn die(&mut self) {
        self.opened.clear();
        if let Some(synced) = self.synced.take() {
            self.disk = synced;
        }
    }

    /// Writes in one transaction.
    pub fn commit(&mut self, write: impl FnOnce(&mut Disk)) -> Result<(), Stop> {
        match self.fate.take() {
            Some(Fate::Refused) => return Err(Stop::Full),
            Some(Fate::DiesBefore) => return Err(Stop::Died),
            fate @ (Some(Fate::DiesAfter) | None) => {
                if self.off == Some(Guard::PhoneSync) {
                    self.synced = match self.synced.take() {
                        Some(_) => None,
                        None => Some(self.disk.clone()),
                    };
                }
                write(&mut self.disk);
                if fate.is_some() {
                    return Err(Stop::Died);
                }
            }
        }
        Ok(())
    }

    /// Edits a document. Its change is on the disk when this returns it.
    pub fn edit<R: Says>(
        &mut self,
        key: &Key,
        at_ms: i64,
        file: Option<(Sha256, Vec<u8>)>,
        change: impl FnOnce(&mut R) -> Result<(), Invalid>,
    ) -> Result<Option<Sha256>, Stop> {
        let actor = Actor {
            phone: self.id,
            opening: self.opening,
        };
        let id = key.document();
        let mut document = self.take(key);
        // A broken rule writes nothing, and what is in memory is thrown away.
        let mut record: R = document::read(&document).expect("is of its kind");
        let edited = document::edit_read(&mut document, &mut record, actor, at_ms, change);
        let Ok(((), Some(change))) = edited else {
            return Ok(None);
        };
        let (hash, kept) = (change.hash, record.kept(key, &document, true));
        self.commit(|disk| {
            disk.documents.insert(id, kept);
            disk.rows.push(Row {
                document: id,
                change: Rc::new(change),
                word: None,
            });
            if let Some((sha256, bytes)) = file {
                disk.files.entry(sha256).or_insert_with(|| File {
                    bytes: Rc::new(bytes),
                    received: false,
                });
            }
        })?;
        self.opened.insert(id, document);
        Ok(Some(hash))
    }

    /// Merges what the server sent of one document. How much of it is new, and how much was left aside.
    pub fn merge(&mut self, incoming: &Incoming) -> Result<(usize, usize), Stop> {
        let id = incoming.key.document();
        let mut document = self.take(&incoming.key);
        let (known, new): (Vec<&Change>, Vec<&Change>) = incoming
            .changes
            .iter()
            .partition(|change| self.disk.row(change.hash).is_some());
        let known: BTreeSet<Sha256> = known.into_iter().map(|change| change.hash).collect();
        let merged = document::merge(&mut document, new).expect("the server passes on changes");
        let (lacking, whole) = (merged.lacking, merged.whole);
        let own = self.disk.documents.get(&id).is_some_and(|kept| kept.own);
        let kept = kept(&incoming.key, &document, own);
        let count = whole.len();
        self.commit(|disk| {
            for row in disk
                .rows
                .iter_mut()
                .filter(|row| known.contains(&row.change.hash))
            {
                row.word = Some(HELD.to_owned());
            }
            disk.documents.insert(id, kept);
            disk.rows.extend(whole.into_iter().map(|change| Row {
                document: id,
                change: Rc::new(change.clone()),
                word: Some(HELD.to_owned()),
            }));
            disk.seals
                .extend(incoming.seals.iter().map(|seal| ((id, seal.change), *seal)));
        })?;
        if lacking == 0 {
            self.opened.insert(id, document);
        }
        Ok((count, lacking))
    }

    /// Writes down what the server said of a push.
    pub fn hear(&mut self, heard: &Heard, missing: &[Sha256]) -> Result<(), Stop> {
        self.commit(|disk| {
            for (hash, word) in &heard.words {
                let rows = disk.rows.iter_mut();
                for row in rows.filter(|row| row.change.hash == *hash) {
                    row.word = Some(word.clone());
                }
            }
            for sha256 in missing {
                if let Some(file) = disk.files.get_mut(sha256) {
                    file.received = false;
                }
            }
            for (id, signed) in &heard.receipts {
                disk.receipts.insert(*id, signed.clone());
                let heads = disk.documents.get(id).map(|kept| kept.heads.as_str());
                if heads.is_some_and(|heads| signed.ends_waiting(heads)) {
                    let waits = |row: &&mut Row| {
                        row.document == *id && row.word.as_deref() == Some(WAITING)
                    };
                    for row in disk.rows.iter_mut().filter(waits) {
                        row.word = Some(HELD.to_owned());
                    }
                }
            }
        })
    }

    fn take(&mut self, key: &Key) -> Automerge {
        let id = key.document();
        self.opened.remove(&id).unwrap_or_else(|| {
            let rows = self.disk.rows.iter().filter(|row| row.document == id);
            document::load(key, rows.map(|row| row.change.bytes.as_slice()))
                .expect("what is on the disk is whole")
        })
    }
}

/// What rows need of a record.
pub trait Says: Record {
    /// The files it names.
    fn files(&self) -> BTreeSet<Sha256>;
    /// Who is on its team.
    fn team(&self) -> BTreeSet<PersonId>;

    /// The row of a document that says this.
    fn kept(&self, key: &Key, document: &Automerge, own: bool) -> Kept {
        Kept {
            key: key.clone(),
            heads: heads_text(&document::heads(document)),
            own,
            files: self.files(),
            team: self.team(),
        }
    }
}

impl Says for PatrolLog {
    fn files(&self) -> BTreeSet<Sha256> {
        self.attachments.values().map(|file| file.sha256).collect()
    }

    fn team(&self) -> BTreeSet<PersonId> {
        self.team.keys().copied().collect()
    }
}

impl Says for EvidenceFile {
    fn files(&self) -> BTreeSet<Sha256> {
        self.attachments.values().map(|file| file.sha256).collect()
    }

    fn team(&self) -> BTreeSet<PersonId> {
        BTreeSet::new()
    }
}

/// The row of a document whose record is not at hand.
fn kept(key: &Key, document: &Automerge, own: bool) -> Kept {
    let kept = match key.kind {
        Kind::PatrolLog => {
            document::read::<PatrolLog>(document).map(|log| log.kept(key, document, own))
        }
        _ => document::read::<EvidenceFile>(document).map(|file| file.kept(key, document, own)),
    };
    kept.expect("is of its kind")
}
