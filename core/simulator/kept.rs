//! A phone's disk: the rows of its database, as far as a simulator needs them.

use crate::guard::Guard;
use automerge::Automerge;
use kieumau_core::{
    document::{self, Change, Key, Kind, Record},
    evidence::EvidenceFile,
    hash::Sha256,
    header,
    id::{DocumentId, PersonId},
    inbox::{Incoming, NotOurs, Place},
    outbox::{self, HELD, Signed, Standing},
    patrol::PatrolLog,
    review::heads_text,
    seal::{self, Seal},
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
    /// Written here.
    pub own: bool,
    /// What the server said of it.
    pub word: Option<String>,
}

/// A change that went out of its document.
#[derive(Clone, Debug)]
pub struct Aside {
    pub document: DocumentId,
    /// Why it was refused; none for what was only written upon a refused change.
    pub refusal: Option<String>,
    /// The change that does the same once more.
    pub anew: Option<Sha256>,
}

/// What came whole and is not unfolded yet.
#[derive(Clone, Debug)]
pub struct Lain {
    pub document: DocumentId,
    pub items: Rc<Vec<u8>>,
    /// It does not unfold.
    pub set_aside: bool,
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
    /// Its person may no longer read it.
    pub ungranted: bool,
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
    pub aside: BTreeMap<Sha256, Aside>,
    pub lain: Vec<Lain>,
    /// Documents to be fetched; true as single changes.
    pub wanted: BTreeMap<DocumentId, bool>,
    pub place: Place,
    pub revoked: bool,
}

impl Disk {
    /// The row of a change.
    pub fn row(&self, hash: Sha256) -> Option<&Row> {
        self.rows.iter().find(|row| row.change.hash == hash)
    }

    /// The changes of a document that this phone can prove: those under a seal that it has, or that it wrote and seals anew.
    pub fn provable(&self, document: DocumentId) -> BTreeSet<Sha256> {
        let rows = || self.rows.iter().filter(|row| row.document == document);
        let headers: BTreeMap<Sha256, _> = rows()
            .map(|row| {
                let header = header::read(&row.change.bytes).expect("it was read before");
                (
                    header.hash,
                    (header.actor.to_vec(), header.seq, header.deps),
                )
            })
            .collect();
        let sealed: Vec<Sha256> = rows()
            .filter(|row| row.own || self.seals.contains_key(&(document, row.change.hash)))
            .map(|row| row.change.hash)
            .collect();
        seal::covered(&sealed, |hash| headers.get(hash).cloned())
    }

    /// Whether a document lies here as it came.
    pub fn is_folded(&self, id: DocumentId) -> bool {
        self.lain
            .iter()
            .any(|lain| lain.document == id && !lain.set_aside)
    }

    /// Whether there is nothing of a document here.
    pub fn is_new(&self, id: DocumentId) -> bool {
        !self.is_folded(id) && !self.documents.contains_key(&id)
    }

    /// Whether a change is here, in whatever way.
    pub fn has(&self, hash: Sha256) -> bool {
        let lies = |lain: &Lain| {
            let incoming = Incoming::read(&lain.items).ok().flatten();
            let changes = incoming.and_then(|incoming| incoming.into_changes().ok());
            changes.is_some_and(|(changes, _)| changes.iter().any(|change| change.hash == hash))
        };
        self.row(hash).is_some() || self.aside.contains_key(&hash) || self.lain.iter().any(lies)
    }

    /// Asks for a document at the next sync.
    pub fn want(&mut self, id: DocumentId, singly: bool) {
        *self.wanted.entry(id).or_default() |= singly;
    }

    /// What this phone knows of where it is.
    pub fn whereabouts(&self) -> Place {
        let sent = |row: &Row| row.own && row.word.as_deref().is_some_and(outbox::is_settled);
        Place {
            sent: self.place.cursor.is_empty() && self.rows.iter().any(sent),
            ..self.place.clone()
        }
    }

    /// Reading goes on at `cursor`.
    pub fn go_on(&mut self, cursor: &str, now_ms: i64, off: Option<Guard>) -> Result<(), NotOurs> {
        let moved = self.whereabouts().moved(cursor, now_ms)?;
        self.place = moved.place;
        if moved.cut_short && off != Some(Guard::Epoch) {
            self.receipts.clear();
        }
        Ok(())
    }

    /// Where a document is on its way.
    pub fn standing(&self, id: DocumentId, kept: &Kept, off: Option<Guard>) -> Standing {
        let receipt = self.receipts.get(&id);
        let covers = |signed: &Signed| {
            let epoch = match off {
                Some(Guard::Epoch) => Some(signed.epoch),
                _ => self.place.epoch,
            };
            let heads = match off {
                Some(Guard::Heads) => &signed.heads,
                _ => &kept.heads,
            };
            signed.covers(heads, &kept.files, epoch)
        };
        let unsettled = |row: &Row| row.document == id && row.word.as_deref() != Some(HELD);
        let left_out =
            |aside: &Aside| aside.document == id && aside.refusal.is_some() && aside.anew.is_none();
        Standing {
            covered: receipt.is_some_and(covers),
            own: kept.own,
            // The receipt alone would have to say it if its heads were not looked at.
            unsettled: off != Some(Guard::Heads)
                && (self.rows.iter().any(unsettled) || self.aside.values().any(left_out)),
            loose: false,
        }
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
            ungranted: false,
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
pub fn kept(key: &Key, document: &Automerge, own: bool) -> Kept {
    let kept = match key.kind {
        Kind::PatrolLog => {
            document::read::<PatrolLog>(document).map(|log| log.kept(key, document, own))
        }
        _ => document::read::<EvidenceFile>(document).map(|file| file.kept(key, document, own)),
    };
    kept.expect("is of its kind")
}
