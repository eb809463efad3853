//! A dossier (hồ sơ): one file that holds documents and everything needed to prove them without a server or a network.
//!
//! Here is what lies in the file and how it is written; [`mod@verify`] is how it is believed, [`proof`] its verdict. The file
//! is a signed statement, the contents that it names by hash, and the attachments that the contents name; CBOR, in one
//! spelling. Nothing in it is a field that somebody has to be trusted about: phones' and servers' keys are read from leaves
//! that the signed tree head proves, times of receipt from the leaves of the changes, and what no leaf can say (which
//! documents the file has to hold, what was withheld, which files never came) stands in the statement that the log's key
//! signs. So whoever drops a document and recomputes every hash still needs that key. What has no leaf is not in a dossier.
//!
//! The file is an array of four and nothing behind it: [`VERSION`], a [`Statement`] as a token of the log's key, [`Contents`] as
//! bytes in their one encoding (the statement holds their hash), and an array of whole attachments by their hash, ascending.
//! These stand last and apart: they are the bulk, their leaves hold their hashes, and nobody needs two of them in memory at once.

mod attachments;
mod exact;
mod leaves;
mod parts;
pub mod proof;
pub mod verify;

use crate::{
    document::{Key, Kind, birth},
    hash::Sha256,
    header,
    id::{DocumentId, PhoneId, UnitId},
    jws,
    log::head::{Epoch, TreeHead},
    period::Period,
    receipt::{self, Receipt},
    seal::Seal,
    wire::WireKey,
};
use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode, bytes::ByteSlice};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use parts::{Attached, Unbelieved, before_attachment};
pub use proof::{Broken, Proven, What};
pub use verify::{verify, verify_beside};

/// The only version there is.
pub const VERSION: u64 = 1;

/// The type of the signed statement.
pub const TYP: &str = "kieumau-dossier+jws";

/// Whether the bytes begin as a dossier does. What does not is another file, about which nothing was claimed; what does may
/// still be broken.
#[must_use]
pub fn begins(bytes: &[u8]) -> bool {
    let mut reader = minicbor::Decoder::new(bytes);
    matches!(reader.array(), Ok(Some(4)))
        && reader.u64().is_ok()
        && matches!(reader.datatype(), Ok(minicbor::data::Type::String))
}

/// What was asked to be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// One patrol.
    Patrol(DocumentId),
    /// One evidence file.
    Evidence(DocumentId),
    /// A unit's patrols and evidence of a period.
    UnitPeriod(UnitId, Period),
}

impl Selection {
    /// Whether a document of this key was asked for: the thing itself, or the decisions about it.
    #[must_use]
    pub fn takes(&self, key: &Key) -> bool {
        match (self, key.kind) {
            (Self::Patrol(id) | Self::Evidence(id), Kind::Review) => key.reviewed() == Some(*id),
            (Self::Patrol(id), Kind::PatrolLog) | (Self::Evidence(id), Kind::EvidenceFile) => {
                key.document() == *id
            }
            (Self::UnitPeriod(unit, _), Kind::PatrolLog | Kind::Review) => key.unit == *unit,
            (Self::UnitPeriod(unit, period), Kind::EvidenceFile) => {
                key.unit == *unit
                    && key.evidence_of().is_some_and(|(_, of)| {
                        of.starts_on() <= period.ends_on() && period.starts_on() <= of.ends_on()
                    })
            }
            (Self::Patrol(_) | Self::Evidence(_), _) | (_, Kind::Reference) => false,
        }
    }
}

/// What the server says about the file as a whole, signed by the log's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What was asked for.
    pub selection: Selection,
    /// When the file was written: Unix milliseconds, the server's clock.
    pub exported_at_ms: i64,
    /// The log's epoch and size and root, as in the tree head.
    pub epoch: Epoch,
    /// How many leaves the log had.
    pub tree_size: u64,
    /// The root of the tree of these leaves.
    pub root: Sha256,
    /// Every document in the file, by id.
    pub documents: Vec<StatedDocument>,
    /// How documents, units and people of the file are called, by id: for who reads, and as the server says it. A document's own
    /// words lie in its changes, which nobody has to be able to interpret in order to verify.
    pub names: BTreeMap<String, String>,
    /// SHA-256 of the contents.
    pub contents: Sha256,
}

/// What the statement says about one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedDocument {
    /// Which.
    pub document: DocumentId,
    /// Its heads, sorted.
    pub heads: Vec<Sha256>,
    /// Changes that were received but which the server's check did not let through, sorted.
    pub withheld: Vec<Sha256>,
    /// Files that the document names and that had not arrived, sorted.
    pub missing: Vec<Sha256>,
}

/// Everything that is proven.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Contents<'a> {
    /// The tree head as a token of the log's key.
    #[n(0)]
    pub head: String,
    /// Leaves, per epoch of the log, the newest epoch first.
    #[b(1)]
    pub epochs: Vec<EpochLeaves<'a>>,
    /// By id, ascending.
    #[b(2)]
    pub documents: Vec<DossierDocument<'a>>,
    /// At least one per document, as tokens of the receipt key.
    #[n(3)]
    pub receipts: Vec<String>,
}

/// Leaves of one epoch. The newest epoch's tree is under the tree head; each older one's is the `previous` of the first leaf
/// of the epoch after it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EpochLeaves<'a> {
    /// By position, ascending; the first is always the epoch's own.
    #[b(0)]
    pub leaves: Vec<ProvenLeaf<'a>>,
}

/// A leaf and the way from it to the root.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ProvenLeaf<'a> {
    /// Its place in the epoch's log, from 0.
    #[n(0)]
    pub position: u64,
    /// A [`crate::log::leaf::Leaf`].
    #[b(1)]
    pub content: &'a ByteSlice,
    /// The inclusion proof.
    #[n(2)]
    pub path: Vec<Sha256>,
}

/// One document: its name, every change that the server accepted, and the seals that cover them.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DossierDocument<'a> {
    /// Its kind, unit and natural key; its id is recomputed.
    #[n(0)]
    pub key: WireKey,
    /// Uncompressed change chunks without the birth, by hash, ascending.
    #[b(1)]
    pub changes: Vec<&'a ByteSlice>,
    /// By change and signer, ascending.
    #[n(2)]
    pub seals: Vec<Seal>,
}

/// What an exporter collected, still unsigned.
#[derive(Clone, Debug)]
pub struct Collected<'a> {
    /// What was asked for.
    pub selection: Selection,
    /// The log as it stood; its time is that of the export.
    pub head: TreeHead,
    /// Leaves, as in [`Contents`].
    pub epochs: Vec<EpochLeaves<'a>>,
    /// In any order.
    pub documents: Vec<CollectedDocument<'a>>,
    /// How many whole files follow.
    pub attachments: usize,
    /// How documents, units and people are called, by id.
    pub names: BTreeMap<String, String>,
    /// Whom the receipts name as the one who asked.
    pub asked_by: PhoneId,
}

/// One collected document.
#[derive(Clone, Debug)]
pub struct CollectedDocument<'a> {
    /// Its name.
    pub key: Key,
    /// Every accepted change, in any order.
    pub changes: Vec<&'a [u8]>,
    /// Seals of its changes, each by the phone or server whose actor made the change.
    pub seals: Vec<Seal>,
    /// Changes that the check did not let through.
    pub withheld: BTreeSet<Sha256>,
    /// Files that the document names and that are here.
    pub attachments: BTreeSet<Sha256>,
    /// Files that the document names and that are not here.
    pub missing: BTreeSet<Sha256>,
    /// The newest leaf of the newest epoch that brought any of this; 0 when an older epoch did.
    pub newest_leaf: u64,
}

/// What one of the file's tokens claims.
enum Claims<'a> {
    Head(&'a TreeHead),
    Receipt(&'a Receipt),
    Statement(&'a Statement),
}

/// What was collected cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A stored change is no change.
    #[error("a stored change is damaged")]
    Change(#[from] header::HeaderError),
    /// A document has more heads than a receipt names.
    #[error("a document has too many heads for a receipt")]
    Heads,
}

/// The file of what was collected up to its attachments, its statement and head signed by the `log` key, its receipts by the
/// `receipt` key. Each attachment follows behind its [`before_attachment`], by hash ascending.
///
/// # Errors
/// See [`WriteError`]. That the file will verify is not checked here: see [`verify_beside`].
pub fn front(
    collected: &Collected<'_>,
    log: &SigningKey,
    receipt: &SigningKey,
) -> Result<Vec<u8>, WriteError> {
    let sign = |key: &SigningKey, typ, claims: &_| {
        jws::sign(key, typ, &jws::kid(&key.verifying_key()), claims)
    };
    front_with(collected, &mut |claims| match claims {
        Claims::Head(head) => head.sign(log),
        Claims::Receipt(claims) => jws::sign_payload(
            receipt,
            receipt::TYP,
            &jws::kid(&receipt.verifying_key()),
            &claims.payload(),
        ),
        Claims::Statement(statement) => sign(log, TYP, statement),
    })
}

/// [`front`] by whoever makes the tokens.
fn front_with(
    collected: &Collected<'_>,
    token: &mut dyn FnMut(Claims<'_>) -> String,
) -> Result<Vec<u8>, WriteError> {
    let head = &collected.head;
    let mut documents = BTreeMap::new();
    let mut stated = Vec::new();
    let mut receipts = Vec::new();
    let mut by_id: Vec<_> = collected.documents.iter().collect();
    by_id.sort_by_key(|document| document.key.document());
    for document in by_id {
        let id = document.key.document();
        let changes = by_hash(&document.changes)?;
        let heads = heads(
            &document.key,
            changes.values().map(|(_, deps)| deps.as_slice()),
            changes.keys(),
        );
        for receipt in receipts_of(head, collected.asked_by, document, &heads)? {
            receipts.push(token(Claims::Receipt(&receipt)));
        }
        stated.push(StatedDocument {
            document: id,
            heads,
            withheld: document.withheld.iter().copied().collect(),
            missing: document.missing.iter().copied().collect(),
        });
        let mut seals = document.seals.clone();
        seals.sort_by_key(|seal| (seal.change, seal.signer));
        seals.dedup_by_key(|seal| (seal.change, seal.signer));
        let changes = changes
            .into_values()
            .map(|(bytes, _)| bytes.into())
            .collect();
        let key = WireKey::from(&document.key);
        documents.insert(
            id,
            DossierDocument {
                key,
                changes,
                seals,
            },
        );
    }
    let contents = Contents {
        head: token(Claims::Head(head)),
        epochs: collected.epochs.clone(),
        documents: documents.into_values().collect(),
        receipts,
    };
    let contents = minicbor::to_vec(&contents).expect("writing to memory does not fail");
    let statement = Statement {
        selection: collected.selection,
        exported_at_ms: head.at_ms,
        epoch: head.epoch,
        tree_size: head.size,
        root: head.root,
        documents: stated,
        names: collected.names.clone(),
        contents: Sha256::of(&contents),
    };
    Ok(parts::front(
        VERSION,
        &token(Claims::Statement(&statement)),
        &contents,
        collected.attachments as u64,
    ))
}

type ByHash<'a> = BTreeMap<Sha256, (&'a [u8], Vec<Sha256>)>;

fn by_hash<'a>(changes: &[&'a [u8]]) -> Result<ByHash<'a>, WriteError> {
    changes
        .iter()
        .map(|bytes| {
            let header = header::read(bytes)?;
            Ok((header.hash, (*bytes, header.deps)))
        })
        .collect()
}

/// The heads of the document of `key` that holds its birth and `changes`: what nothing depends on.
fn heads<'a>(
    key: &Key,
    deps: impl Iterator<Item = &'a [Sha256]>,
    changes: impl Iterator<Item = &'a Sha256>,
) -> Vec<Sha256> {
    let mut heads: BTreeSet<Sha256> = changes.copied().collect();
    let mut below: BTreeSet<Sha256> = deps.flatten().copied().collect();
    for change in birth(key) {
        heads.insert(change.hash);
        below.extend(
            header::read(&change.bytes)
                .map(|header| header.deps)
                .unwrap_or_default(),
        );
    }
    heads.difference(&below).copied().collect()
}

/// The receipts that cover the document and its attachments.
fn receipts_of(
    head: &TreeHead,
    phone: PhoneId,
    document: &CollectedDocument<'_>,
    heads: &[Sha256],
) -> Result<Vec<Receipt>, WriteError> {
    let receipt = Receipt {
        document: document.key.document(),
        heads: heads.to_vec(),
        attachments: document.attachments.iter().copied().collect(),
        epoch: head.epoch,
        leaf_index: document.newest_leaf,
        tree_size: head.size,
        root: head.root,
        received_at_ms: head.at_ms,
        phone,
    };
    let parts = receipt.parts();
    if parts.is_empty() {
        Err(WriteError::Heads)
    } else {
        Ok(parts)
    }
}

#[cfg(test)]
mod tests;
