//! A phone: what of it is in memory, and transactions that the disk may refuse or that the process may die in.
//!
//! What is decided about its rows is the core's: `document`, `inbox`, `outbox`.

use crate::{
    draw::Draw,
    guard::Guard,
    kept::{Aside, Disk, File, Row, Says, kept},
    stored::Reader,
};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key, Piled, Reissued},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    invalid::Invalid,
    outbox::{self, HELD, Heard, WAITING},
    person::Role,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// Why a transaction was not written, or its end not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The disk takes no more: nothing was written.
    Full,
    /// The process died.
    Died,
}

/// What will become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The disk refuses it.
    Refused,
    /// The process dies before the disk has it.
    DiesBefore,
    /// The process dies after the disk has it, and before anybody hears of that.
    DiesAfter,
}

/// Transactions that a disk lags behind with the guard off.
pub const LAG: u32 = 3;

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
    synced: Option<(u32, Disk)>,
    pub copy: Option<Disk>,
    pub opening: [u8; 8],
    openings: u64,
    seed: u64,
    pub opened: BTreeMap<DocumentId, Automerge>,
    /// What will become of its next transaction but so many.
    pub fate: Option<(u64, Fate)>,
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
            seed,
            opened: BTreeMap::new(),
            fate: None,
            off,
        };
        phone.open();
        phone
    }

    /// Draws eight bytes: every opening of the database does, and every writing anew.
    pub fn open(&mut self) {
        let number = if self.off == Some(Guard::Opening) {
            0
        } else {
            self.openings
        };
        let place = u64::from(self.id.as_bytes()[0]);
        self.opening = Draw::at(self.seed, "opening", [place, number]).bytes();
        self.openings += 1;
    }

    /// The process is gone, and what was in memory with it.
    pub fn die(&mut self) {
        self.opened.clear();
        if let Some((_, synced)) = self.synced.take() {
            self.disk = synced;
        }
    }

    /// Writes in one transaction.
    pub fn commit<T>(&mut self, write: impl FnOnce(&mut Disk) -> T) -> Result<T, Stop> {
        let fate = match &mut self.fate {
            Some((0, fate)) => Some(*fate),
            Some((later, _)) => {
                *later -= 1;
                None
            }
            None => None,
        };
        if fate.is_some() {
            self.fate = None;
        }
        match fate {
            Some(Fate::Refused) => Err(Stop::Full),
            Some(Fate::DiesBefore) => Err(Stop::Died),
            Some(Fate::DiesAfter) | None => {
                if self.off == Some(Guard::PhoneSync) {
                    self.synced = Some(match self.synced.take() {
                        Some((more, disk)) if more > 0 => (more - 1, disk),
                        _ => (LAG, self.disk.clone()),
                    });
                }
                let written = write(&mut self.disk);
                if fate.is_some() {
                    return Err(Stop::Died);
                }
                Ok(written)
            }
        }
    }

    /// Edits a document. Its change is on the disk when this returns it.
    pub fn edit<R: Says>(
        &mut self,
        key: &Key,
        at_ms: i64,
        file: Option<(Sha256, Vec<u8>)>,
        change: impl FnOnce(&mut R) -> Result<(), Invalid>,
    ) -> Result<Option<Sha256>, Stop> {
        let actor = self.actor();
        let id = key.document();
        let mut document = self.take(key)?;
        // A broken rule writes nothing, and what is in memory is thrown away.
        let mut record: R = document::read(&document).expect("is of its kind");
        let edited = document::edit_read(&mut document, &mut record, actor, at_ms, change);
        let Ok(((), Some(change))) = edited else {
            return Ok(None);
        };
        let (hash, mut kept) = (change.hash, record.kept(key, &document, true));
        let before = self.disk.documents.get(&id);
        kept.ungranted = before.is_some_and(|before| before.ungranted);
        self.commit(|disk| {
            disk.documents.insert(id, kept);
            disk.rows.push(own(id, change));
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

    /// Writes down what the server said of a push.
    pub fn hear(&mut self, heard: &Heard, missing: &[Sha256]) -> Result<(), Stop> {
        self.commit(|disk| {
            let place = disk.whereabouts();
            for (hash, word) in &heard.words {
                let rows = disk.rows.iter_mut();
                for row in rows.filter(|row| row.change.hash == *hash) {
                    row.word = Some(outbox::written_down(word, row.own).to_owned());
                }
            }
            for sha256 in missing {
                if let Some(file) = disk.files.get_mut(sha256) {
                    file.received = false;
                }
            }
            for (id, signed) in &heard.receipts {
                // Before the first pull nothing else says which epoch it is.
                disk.place.epoch = disk.place.epoch.or_else(|| place.heard(signed.epoch));
                disk.receipts.insert(*id, signed.clone());
                let heads = disk.documents.get(id).map(|kept| kept.heads.as_str());
                if heads.is_some_and(|heads| signed.settles(heads)) {
                    let rows = disk.rows.iter_mut();
                    for row in rows.filter(|row| row.document == *id) {
                        row.word = Some(HELD.to_owned());
                    }
                }
            }
        })
    }

    /// What was refused for want of room is tried again.
    pub fn send_again(&mut self) -> Result<(), Stop> {
        let again = |row: &Row| {
            let word = row.word.as_deref();
            word.is_some_and(|word| outbox::is_sent_again(word, row.own))
        };
        if !self.disk.rows.iter().any(again) {
            return Ok(());
        }
        self.commit(|disk| {
            for row in disk.rows.iter_mut().filter(|row| again(row)) {
                row.word = None;
            }
        })
    }

    /// Takes what was refused out of its documents and writes anew what was written upon it, one document after the other.
    pub fn reissue(&mut self) -> Result<(), Stop> {
        if self.off == Some(Guard::Reissue) {
            return Ok(());
        }
        let refused = |row: &&Row| row.word.as_deref().is_some_and(outbox::is_taken_out);
        let rows = self.disk.rows.iter().filter(refused);
        let documents: BTreeSet<DocumentId> = rows.map(|row| row.document).collect();
        for id in documents {
            self.reissue_in(id)?;
        }
        Ok(())
    }

    fn reissue_in(&mut self, id: DocumentId) -> Result<(), Stop> {
        let key = self.disk.documents[&id].key.clone();
        let anew: BTreeSet<Sha256> = self.disk.aside.values().filter_map(|it| it.anew).collect();
        let (mut pile, mut settled) = (Vec::new(), BTreeSet::new());
        for row in self.disk.rows.iter().filter(|row| row.document == id) {
            let hash = row.change.hash;
            pile.push(Piled {
                change: Change::clone(&row.change),
                fate: outbox::fate(row.word.as_deref(), anew.contains(&hash)),
            });
            if !row.own || row.word.as_deref() == Some(HELD) {
                settled.insert(hash);
            }
        }
        self.open();
        let reissued = document::reissue(&key, &pile, self.actor());
        let reissued = reissued.expect("what is on the disk is whole");
        let Some(reissued) = reissued.filter(|reissued| !reissued.undoes(&settled)) else {
            return Ok(());
        };
        self.opened.remove(&id);
        self.put_reissued(&key, reissued)
    }

    fn put_reissued(&mut self, key: &Key, reissued: Reissued) -> Result<(), Stop> {
        let id = key.document();
        let before = &self.disk.documents[&id];
        let mut kept = kept(key, &reissued.document, true);
        kept.ungranted = before.ungranted;
        self.commit(|disk| {
            for (hash, anew) in &reissued.set_aside {
                let at = disk.rows.iter().position(|row| row.change.hash == *hash);
                let row = disk.rows.remove(at.expect("it is in the pile"));
                let aside = Aside {
                    document: id,
                    refusal: row.word.filter(|word| word != WAITING),
                    anew: *anew,
                };
                disk.aside.insert(*hash, aside);
            }
            let fresh = reissued.fresh.into_iter();
            disk.rows.extend(fresh.map(|change| own(id, change)));
            disk.documents.insert(id, kept);
        })?;
        self.opened.insert(id, reissued.document);
        Ok(())
    }

    /// As one who reads.
    pub const fn reader(&self) -> Reader {
        Reader {
            phone: self.id,
            person: self.person,
            unit: self.unit,
            role: self.role,
        }
    }

    fn actor(&self) -> Actor {
        Actor {
            phone: self.id,
            opening: self.opening,
        }
    }

    /// The document out of memory, or from its changes.
    pub fn take(&mut self, key: &Key) -> Result<Automerge, Stop> {
        let id = key.document();
        self.unfold(id)?;
        Ok(self.opened.remove(&id).unwrap_or_else(|| {
            let rows = self.disk.rows.iter().filter(|row| row.document == id);
            document::load(key, rows.map(|row| row.change.bytes.as_slice()))
                .expect("what is on the disk is whole")
        }))
    }
}

/// The row of a change that was written here.
fn own(document: DocumentId, change: Change) -> Row {
    Row {
        document,
        change: Rc::new(change),
        own: true,
        word: None,
    }
}
