//! Automerge documents with a type: how they are named, born, loaded, edited and read.
//!
//! [`edit`] is the writer. It hydrates the typed record, lets a closure change it, and writes *only what differs
//! from what was visible*: reconciling a whole record would put every unchanged field again, and in Automerge a put of the
//! winning value silently ends a clash. A document is a pile of changes; nothing here reads a disk or a clock.

mod clash;
mod genesis;
mod joins;
mod key;
mod reissue;
mod snapshot;
mod whole;
mod writer;

pub use clash::{Clash, ClashValue, DEPTH_LIMIT, check, choose, clashes, path_of};
pub use genesis::birth;
pub use joins::join_heads;
pub use key::{Key, Kind};
pub use reissue::{Fate, Piled, Reissued, Said, again, reissue, said};
pub use snapshot::{save, unfold};
pub use whole::{Shown, Whole};

use crate::{hash::Sha256, id::PhoneId, invalid::Invalid};
use automerge::{
    ActorId, Automerge, ObjType, ROOT, ReadDoc as _, Value, transaction::CommitOptions,
};
use autosurgeon::{Hydrate, Reconcile};

/// The typed content of one kind of document.
pub trait Record: Hydrate + Reconcile + Clone + PartialEq {
    /// The kind whose documents hold this record.
    const KIND: Kind;
}

/// Who writes changes: a phone (or the server), in one opening of its database.
///
/// The eight bytes are drawn at each opening: a restored copy of a database holds the old ones, and an actor that goes
/// on from an old copy would reuse sequence numbers, which Automerge refuses for ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Whose key seals the changes.
    pub phone: PhoneId,
    /// Drawn at random when the database was opened.
    pub opening: [u8; 8],
}

impl Actor {
    /// Bytes of an actor: 16 of the phone, 8 of the opening.
    pub const LEN: usize = 24;

    /// As Automerge wants it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(self.phone.as_bytes());
        bytes[16..].copy_from_slice(&self.opening);
        bytes
    }

    /// The actor in these bytes; none for a genesis', a layer's, or anything else of another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (phone, opening) = bytes.split_at_checked(16)?;
        Some(Self {
            phone: PhoneId::from_slice(phone)?,
            opening: opening.try_into().ok()?,
        })
    }
}

/// A change as it is stored and travels: uncompressed bytes and their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// SHA-256 of the chunk's content, which is the change's name.
    pub hash: Sha256,
    /// The uncompressed chunk.
    pub bytes: Vec<u8>,
}

// A change holds what people wrote: never printed.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Change({}, {} bytes)", self.hash, self.bytes.len())
    }
}

impl From<&automerge::Change> for Change {
    fn from(change: &automerge::Change) -> Self {
        Self {
            hash: change.hash().into(),
            bytes: change.raw_bytes().to_vec(),
        }
    }
}

/// Why a document could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The stored changes do not make a whole document: a change is damaged or lacks an ancestor.
    #[error("{loaded} of {stored} stored changes load")]
    Incomplete {
        /// Changes that were given, birth included.
        stored: usize,
        /// Changes that the document holds after loading them.
        loaded: usize,
    },
    /// Automerge refused.
    #[error("automerge refused the document")]
    Automerge(#[source] Box<automerge::AutomergeError>),
    /// The document does not hold what its kind promises.
    #[error("the document's content is not of its kind")]
    Content(#[source] Box<autosurgeon::HydrateError>),
    /// The typed record could not be written.
    #[error("the record could not be written")]
    Write(#[source] Box<autosurgeon::ReconcileError>),
    /// The edit broke a rule; nothing was written.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A new document of `key`: its birth and nothing else.
///
/// # Panics
/// Never: a birth is made of constants (tested for every kind).
#[must_use]
pub fn new(key: &Key) -> Automerge {
    load(key, std::iter::empty()).expect("a birth loads")
}

/// The document of `key` holding its birth and `changes` (uncompressed chunks, any order, without the birth).
///
/// # Errors
/// `Incomplete` unless every change is there with all its ancestors: a torn tail would otherwise load as fewer changes
/// without a word. `Automerge` for bytes that are no changes.
pub fn load<'a>(
    key: &Key,
    changes: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Automerge, DocumentError> {
    let mut stored = 0;
    let mut bytes = Vec::new();
    for change in birth(key) {
        stored += 1;
        bytes.extend_from_slice(&change.bytes);
    }
    for change in changes {
        stored += 1;
        bytes.extend_from_slice(change);
    }
    let mut document = Automerge::new();
    document.load_incremental(&bytes)?;
    let loaded = document.get_changes_meta(&[]).len();
    if loaded == stored {
        Ok(document)
    } else {
        Err(DocumentError::Incomplete { stored, loaded })
    }
}

// Boxed: these are large, and an error travels through every `Result`.
impl From<automerge::AutomergeError> for DocumentError {
    fn from(error: automerge::AutomergeError) -> Self {
        Self::Automerge(Box::new(error))
    }
}

impl From<autosurgeon::HydrateError> for DocumentError {
    fn from(error: autosurgeon::HydrateError) -> Self {
        Self::Content(Box::new(error))
    }
}

impl From<autosurgeon::ReconcileError> for DocumentError {
    fn from(error: autosurgeon::ReconcileError) -> Self {
        Self::Write(Box::new(error))
    }
}

/// What a merge took, and what it left aside.
#[derive(Debug)]
pub struct Merge<'c> {
    /// Changes that are in the document now.
    pub whole: Vec<&'c Change>,
    /// How many came without what they depend on. They are not to be kept: stored, they would make the pile incomplete for ever.
    /// Nor is the document then, which remembers them.
    pub lacking: usize,
}

/// Merges `changes`, in any order, none of which the document has.
///
/// # Errors
/// `Automerge` for bytes that are no changes.
pub fn merge<'c>(
    document: &mut Automerge,
    changes: Vec<&'c Change>,
) -> Result<Merge<'c>, DocumentError> {
    for change in &changes {
        document.load_incremental(&change.bytes)?;
    }
    let (whole, lacking): (Vec<&Change>, Vec<&Change>) = changes.into_iter().partition(|change| {
        document
            .get_change_meta_by_hash(&change.hash.into())
            .is_some()
    });
    Ok(Merge {
        whole,
        lacking: lacking.len(),
    })
}

/// What the document says.
///
/// # Errors
/// `Content` when it is not a document of that record's kind.
pub fn read<R: Record>(document: &Automerge) -> Result<R, DocumentError> {
    Whole::of(document).read()
}

/// The document's heads, sorted.
#[must_use]
pub fn heads(document: &Automerge) -> Vec<Sha256> {
    let mut heads: Vec<Sha256> = document.get_heads().into_iter().map(Sha256::from).collect();
    heads.sort_unstable();
    heads
}

/// Changes the typed record in one Automerge transaction by `actor`; `at_ms` (Unix milliseconds) labels it and orders nothing.
///
/// Returns what the closure returned, and the change unless nothing differed. When the closure or a write fails, the
/// document is as before.
///
/// # Errors
/// The closure's `Invalid`; `Content`, `Write`, `Automerge` for a document that is not of this kind.
pub fn edit<R: Record, T>(
    document: &mut Automerge,
    actor: Actor,
    at_ms: i64,
    change: impl FnOnce(&mut R) -> Result<T, Invalid>,
) -> Result<(T, Option<Change>), DocumentError> {
    let mut record: R = read(document)?;
    edit_read(document, &mut record, actor, at_ms, change)
}

/// As [`edit`], of a `record` that is what the document says now, and says it afterwards. After an error it may not.
///
/// # Errors
/// As [`edit`].
pub fn edit_read<R: Record, T>(
    document: &mut Automerge,
    record: &mut R,
    actor: Actor,
    at_ms: i64,
    change: impl FnOnce(&mut R) -> Result<T, Invalid>,
) -> Result<(T, Option<Change>), DocumentError> {
    let answer = change(record)?;
    let change = commit(document, actor, at_ms, |writer| {
        autosurgeon::reconcile(writer, &*record).map_err(DocumentError::from)
    })?;
    Ok((answer, change))
}

/// Puts one fresh entry into one of the document's root maps and looks at nothing else: reconciling the whole of a patrol with
/// 600 fixes to add 60 more took 2 ms (November 2026).
///
/// # Errors
/// `Content` for a document without that map; `Write`, `Automerge`.
pub fn add(
    document: &mut Automerge,
    actor: Actor,
    at_ms: i64,
    map: &str,
    id: impl std::fmt::Display,
    entry: &impl Reconcile,
) -> Result<Option<Change>, DocumentError> {
    let Some((Value::Object(ObjType::Map), map)) = document.get(ROOT, map)? else {
        let missing = autosurgeon::HydrateError::unexpected("a root map", "nothing".to_owned());
        return Err(missing.into());
    };
    commit(document, actor, at_ms, |writer| {
        autosurgeon::reconcile_prop(writer, &map, id.to_string().as_str(), entry)
            .map_err(DocumentError::from)
    })
}

/// One transaction through the careful writer; rolled back when `write` fails.
fn commit(
    document: &mut Automerge,
    actor: Actor,
    at_ms: i64,
    write: impl FnOnce(&mut writer::Differing<'_>) -> Result<(), DocumentError>,
) -> Result<Option<Change>, DocumentError> {
    document.set_actor(ActorId::from(actor.to_bytes().as_slice()));
    let mut differing = writer::Differing::new(document.transaction());
    if let Err(error) = write(&mut differing) {
        differing.into_inner().rollback();
        return Err(error);
    }
    let time = CommitOptions::default().with_time(at_ms.div_euclid(1_000));
    let (hash, _) = differing.into_inner().commit_with(time);
    Ok(hash
        .and_then(|_| document.get_last_local_change())
        .map(|change| Change::from(&change)))
}

#[cfg(test)]
mod tests;
