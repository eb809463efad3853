//! The verdict on a dossier: what it proves, what it does not, or the first thing that is broken.

use crate::{
    document::Kind,
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    log::head::Epoch,
};
use std::{collections::BTreeMap, fmt};

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {which}")]
pub struct Broken {
    /// What kind of thing.
    pub what: What,
    /// Which one: an id, a hash, a position; empty when there is only one.
    pub which: String,
}

impl Broken {
    pub(super) fn new(what: What, which: impl fmt::Display) -> Self {
        Self {
            what,
            which: which.to_string(),
        }
    }
}

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The file is not a dossier in its one encoding.
    Format,
    /// A version that is not known here.
    Version,
    /// The log is another server's than the one that was asked for.
    LogKey,
    /// The tree head is not signed by the log's key.
    TreeHead,
    /// An epoch of the log does not begin with its leaf, or does not lead to the older one.
    Epoch,
    /// A leaf is not in the log, is no leaf, or stands for nothing in the file.
    Leaf,
    /// A server's key is missing, or said twice and differently.
    ServerKey,
    /// A phone was enrolled twice and differently.
    Enrolment,
    /// The statement is not signed by the log's key, or is about another state of the log.
    Statement,
    /// The contents are not those that were signed.
    Contents,
    /// The documents are not those that were signed, or not those that were asked for.
    Listing,
    /// A document's name is not one.
    Document,
    /// A change's bytes are no change, or stand twice.
    Change,
    /// A seal is not a signature of the change's writer over it in this document.
    Seal,
    /// No seal covers a change.
    Unsealed,
    /// The writer of a change is no phone that was enrolled, or may not write such a document.
    Writer,
    /// No leaf says that a change was received.
    NotReceived,
    /// A change was received after its phone was revoked, or before it was enrolled.
    Revoked,
    /// A change that another depends on, or that a leaf names, is not there.
    Incomplete,
    /// Two changes of one writer have one number, or a number does not follow.
    Sequence,
    /// A file is not the one that was received, or no document names it.
    Attachment,
    /// A receipt is not signed by the receipt key, or is about something else.
    Receipt,
}

impl What {
    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Version => "version",
            Self::LogKey => "log-key",
            Self::TreeHead => "tree-head",
            Self::Epoch => "epoch",
            Self::Leaf => "leaf",
            Self::ServerKey => "server-key",
            Self::Enrolment => "enrolment",
            Self::Statement => "statement",
            Self::Contents => "contents",
            Self::Listing => "listing",
            Self::Document => "document",
            Self::Change => "change",
            Self::Seal => "seal",
            Self::Unsealed => "unsealed",
            Self::Writer => "writer",
            Self::NotReceived => "not-received",
            Self::Revoked => "revoked",
            Self::Incomplete => "incomplete",
            Self::Sequence => "sequence",
            Self::Attachment => "attachment",
            Self::Receipt => "receipt",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a dossier that holds proves. Times are Unix milliseconds of the server's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Whose log it is: SHA-256 of the log's public key.
    pub fingerprint: Sha256,
    /// The log's newest epoch.
    pub epoch: Epoch,
    /// How many leaves it had.
    pub tree_size: u64,
    /// When the file was written.
    pub exported_at_ms: i64,
    /// What was asked for.
    pub selection: super::Selection,
    /// By id.
    pub documents: Vec<ProvenDocument>,
    /// By hash.
    pub attachments: Vec<ProvenAttachment>,
    /// How documents, units and people are called, by id, as the server says.
    pub names: BTreeMap<String, String>,
    /// What is not proven, always at least one.
    pub not_proven: Vec<NotProven>,
}

/// What is proven of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenDocument {
    /// Its id, recomputed from kind, unit and natural key.
    pub document: DocumentId,
    /// Its kind.
    pub kind: Kind,
    /// Its unit.
    pub unit: UnitId,
    /// Its natural key.
    pub name: String,
    /// Its heads, sorted.
    pub heads: Vec<Sha256>,
    /// How many changes it has, the birth not counted.
    pub changes: usize,
    /// Changes that the server's check withheld.
    pub withheld: Vec<Sha256>,
    /// Files that it names and that the server did not have.
    pub missing: Vec<Sha256>,
    /// Who wrote it.
    pub writers: Vec<Writer>,
    /// When its first change was received.
    pub earliest_received_at_ms: i64,
    /// When its last change was received.
    pub latest_received_at_ms: i64,
}

/// Who made changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// A phone, and whose it was.
    Phone {
        /// The phone.
        phone: PhoneId,
        /// The person it was enrolled for.
        person: PersonId,
        /// The unit that enrolled it.
        unit: UnitId,
    },
    /// The server, for a person at its pages; which person, only the document says.
    Server,
}

/// What is proven of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAttachment {
    /// Its hash.
    pub sha256: Sha256,
    /// Its size.
    pub size_bytes: u64,
    /// When its last byte came.
    pub received_at_ms: i64,
    /// Documents in whose changes its hash stands.
    pub named_in: Vec<DocumentId>,
}

/// What a dossier that holds does *not* prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotProven {
    /// That what was written was true when it was written, or when and where the phone says. Never proven.
    TrueWhenWritten,
    /// That the server's clock was right. Never proven.
    ServerClock,
    /// That the server shows everybody the same log, and took in everything that was sent to it. Never proven.
    SameLogForAll,
    /// Whose key it is: none was given to compare with.
    WhoseKey,
    /// That withheld changes make sense.
    Withheld,
    /// What the files that had not arrived hold.
    Missing,
    /// That things are called as the server says; the documents' own words are in their changes.
    Names,
}

impl NotProven {
    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TrueWhenWritten => "true-when-written",
            Self::ServerClock => "server-clock",
            Self::SameLogForAll => "same-log-for-all",
            Self::WhoseKey => "whose-key-unverified",
            Self::Withheld => "withheld-changes",
            Self::Missing => "missing-attachments",
            Self::Names => "names",
        }
    }
}
