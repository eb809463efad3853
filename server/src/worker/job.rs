//! What a worker does: checks changes, edits the server's own documents, makes thumbnails. Data in, data out.
//!
//! A change passes when its bytes are the one canonical form of what they say, when it applies, when the document is still of
//! its kind, and when the names in it are those of the people whose phones wrote it.

use super::{
    limits,
    past::{self, PastJob},
    pointing::{Pointed, Pointing},
    reading,
    sense::makes_sense,
};
use crate::{
    attachment::thumbnail,
    projection::{self, ReadDocument},
};
use automerge::{Automerge, Change as AutomergeChange, ExpandedChange};
use kieumau_core::{
    document::{self, Actor, Change, Key, Record, Whole},
    hash::Sha256,
    id::{CheckpointId, PersonId, PhoneId},
    invalid::Invalid,
    reference::{Checkpoint, Reference},
    review::{NewDecision, Review},
    stamp::Stamp,
};
use minicbor::{Decode, Encode};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

/// Operations in one change. A file of 100,000 fixes, taken in at once, makes some 7,000.
const OPERATIONS_LIMIT: usize = 50_000;
/// The largest job or answer, bytes.
const MESSAGE_LIMIT: u32 = 96 << 20;

/// A byte string.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Bytes(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

/// What a worker is asked.
#[derive(Encode, Decode)]
pub enum Job {
    /// Do these changes make sense?
    #[n(0)]
    Check(#[n(0)] CheckJob),
    /// Write one change into a document of the server's own.
    #[n(1)]
    Edit(#[n(0)] EditJob),
    /// A small picture of this file.
    #[n(2)]
    Thumbnail(#[n(0)] Bytes),
    /// The document of these changes, saved whole.
    #[n(4)]
    Snapshot(#[n(0)] SnapshotJob),
    /// What does this change say, which lies in quarantine?
    #[n(5)]
    Read(#[n(0)] Bytes),
    /// What did the document say at these heads?
    #[n(6)]
    Past(#[n(0)] PastJob),
}

/// What it answers.
#[derive(Encode, Decode)]
pub enum Answer {
    /// To a check.
    #[n(0)]
    Checked(#[n(0)] Checked),
    /// To an edit.
    #[n(1)]
    Edited(#[n(0)] Edited),
    /// To an edit that broke a rule (JSON).
    #[n(2)]
    Invalid(#[n(0)] String),
    /// To a thumbnail.
    #[n(3)]
    Thumbnail(#[n(0)] Bytes),
    /// The job could not be done; a stable word.
    #[n(4)]
    Failed(#[n(0)] String),
    /// To a snapshot.
    #[n(6)]
    Snapshot(#[n(0)] Saved),
    /// To a reading: field and value of what the change writes.
    #[n(7)]
    Read(#[n(0)] Vec<(String, String)>),
    /// To a look at the past: rows as JSON, for each of the heads asked about.
    #[n(8)]
    Past(#[n(0)] Vec<String>),
}

/// Changes of one document to be checked.
#[derive(Clone, Encode, Decode)]
pub struct CheckJob {
    /// The key as JSON.
    #[n(0)]
    pub key: String,
    /// Changes that passed before.
    #[n(1)]
    pub held: Vec<Bytes>,
    /// Changes to check, each after what it depends on.
    #[n(2)]
    pub fresh: Vec<Bytes>,
    /// Whose phones they are.
    #[n(3)]
    pub people: Vec<(PhoneId, PersonId)>,
}

/// A document to be saved whole.
#[derive(Clone, Encode, Decode)]
pub struct SnapshotJob {
    /// The key as JSON.
    #[n(0)]
    pub key: String,
    /// Its changes, all of which passed.
    #[n(1)]
    pub held: Vec<Bytes>,
}

/// A document saved whole.
#[derive(Encode, Decode)]
pub struct Saved {
    /// Its heads.
    #[n(0)]
    pub heads: Vec<Sha256>,
    /// Its bytes.
    #[n(1)]
    pub bytes: Bytes,
}

/// What became of a check.
#[derive(Encode, Decode)]
pub struct Checked {
    /// Per fresh change: none if it passed, or the word of why not.
    #[n(0)]
    pub verdicts: Vec<Option<String>>,
    /// The document's heads without those that did not pass.
    #[n(1)]
    pub heads: Vec<Sha256>,
    /// Its rows as JSON.
    #[n(2)]
    pub rows: String,
}

/// An edit of one of the server's own documents.
#[derive(Clone, Encode, Decode)]
pub struct EditJob {
    /// The key as JSON.
    #[n(0)]
    pub key: String,
    /// The document's changes.
    #[n(1)]
    pub held: Vec<Bytes>,
    /// Who writes.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub actor: [u8; Actor::LEN],
    /// Who decides.
    #[n(3)]
    pub person: PersonId,
    /// When, Unix milliseconds.
    #[n(4)]
    pub at_ms: i64,
    /// Randomness for the record's id.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub random: [u8; 10],
    /// What to write.
    #[n(6)]
    pub edit: Edit,
}

/// What the server writes, as JSON.
#[derive(Clone, Encode, Decode)]
pub enum Edit {
    /// A [`NewDecision`].
    #[n(0)]
    Decide(#[n(0)] String),
    /// A [`Reference`].
    #[n(1)]
    Publish(#[n(0)] String),
    /// One checkpoint of a [`Reference`], and what it is now.
    #[n(2)]
    Checkpoint(#[n(0)] String),
}

/// What became of an edit.
#[derive(Encode, Decode)]
pub struct Edited {
    /// The new change; none if nothing differed.
    #[n(0)]
    pub change: Option<Bytes>,
    /// The document's heads.
    #[n(1)]
    pub heads: Vec<Sha256>,
    /// Its rows as JSON.
    #[n(2)]
    pub rows: String,
}

/// The worker's loop: messages of jobs from `input`, one answer per job to `output`, until the pipe ends.
///
/// # Errors
/// What the pipe says, or the system that sets the limits.
pub fn run(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    limits::of_process()?;
    let mut length = [0; 4];
    while input.read_exact(&mut length).is_ok() {
        let length = u32::from_le_bytes(length);
        if length > MESSAGE_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length as usize];
        input.read_exact(&mut message)?;
        limits::of_job()?;
        let jobs = minicbor::decode::<Vec<Job>>(&message).map_err(io::Error::other)?;
        drop(message);
        for job in jobs {
            limits::of_job()?;
            let bytes = minicbor::to_vec(answer(job)).map_err(io::Error::other)?;
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            output.write_all(&length.to_le_bytes())?;
            output.write_all(&bytes)?;
            output.flush()?;
        }
    }
    Ok(())
}

fn answer(job: Job) -> Answer {
    match job {
        Job::Check(job) => check(&job).map_or_else(Answer::Failed, Answer::Checked),
        Job::Edit(job) => edit(&job),
        Job::Thumbnail(bytes) => match thumbnail::make(&bytes.0) {
            Ok(picture) => Answer::Thumbnail(Bytes(picture)),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Job::Read(bytes) => reading::fields(&bytes.0).map_or_else(Answer::Failed, Answer::Read),
        Job::Past(job) => past::rows(&job).map_or_else(Answer::Failed, Answer::Past),
        Job::Snapshot(job) => save(&job).map_or_else(Answer::Failed, Answer::Snapshot),
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|_| "malformed-job".to_owned())
}

/// The document of these changes, all of which passed before.
pub(super) fn load(key: &Key, held: &[Bytes]) -> Result<Automerge, String> {
    document::load(key, held.iter().map(|bytes| bytes.0.as_slice()))
        .map_err(|_| "held-does-not-load".to_owned())
}

/// Checks all at once; only if that fails, one by one, so that the usual case costs one look.
fn check(job: &CheckJob) -> Result<Checked, String> {
    let key: Key = parse(&job.key)?;
    let people: BTreeMap<PhoneId, PersonId> = job.people.iter().copied().collect();
    let held = load(&key, &job.held)?;
    let mut verdicts = vec![None; job.fresh.len()];
    if let Ok(with) = taken_together(&key, &held, &people, job) {
        let whole = Whole::of(&with);
        if let Ok(read) = makes_sense(&key, &whole) {
            return checked(verdicts, &whole, read);
        }
    }
    let (mut document, mut pointing) = (held, pointing(&key, &people, &job.held)?);
    for (bytes, verdict) in job.fresh.iter().zip(&mut verdicts) {
        let mut with = document.clone();
        match takes(&mut pointing, &mut with, bytes)
            .and_then(|pointed| makes_sense(&key, &Whole::of(&with)).map(|_| pointed))
        {
            Ok(pointed) => {
                pointing.keep(pointed);
                document = with;
            }
            Err(word) => *verdict = Some(word.to_owned()),
        }
    }
    let whole = Whole::of(&document);
    let read = ReadDocument::read(&key, &whole).map_err(|_| "not-its-kind".to_owned())?;
    checked(verdicts, &whole, read)
}

fn checked(
    verdicts: Vec<Option<String>>,
    document: &Whole<'_>,
    read: ReadDocument,
) -> Result<Checked, String> {
    let rows = serde_json::to_string(&read.rows(document)).map_err(|error| error.to_string())?;
    Ok(Checked {
        verdicts,
        heads: document.heads(),
        rows,
    })
}

/// What the changes point at that passed before, births included.
fn pointing<'j>(
    key: &Key,
    people: &'j BTreeMap<PhoneId, PersonId>,
    held: &[Bytes],
) -> Result<Pointing<'j>, String> {
    let mut pointing = Pointing::of(key.kind, people);
    let births = document::birth(key);
    let births = births.iter().map(|birth| birth.bytes.as_slice());
    for bytes in births.chain(held.iter().map(|bytes| bytes.0.as_slice())) {
        let change = read_change(bytes).map_err(|_| "held-does-not-load".to_owned())?;
        pointing
            .held(change.hash(), &change.decode())
            .map_err(|_| "held-does-not-load".to_owned())?;
    }
    Ok(pointing)
}

/// The document with all that is new, if each of it may be in it.
fn taken_together(
    key: &Key,
    held: &Automerge,
    people: &BTreeMap<PhoneId, PersonId>,
    job: &CheckJob,
) -> Result<Automerge, String> {
    let mut pointing = pointing(key, people, &job.held)?;
    let mut changes = Vec::with_capacity(job.fresh.len());
    for bytes in &job.fresh {
        let (change, says) = canonical(&bytes.0)?;
        let pointed = pointing.look(change.hash(), &says)?;
        pointing.keep(pointed);
        changes.push(change);
    }
    let hashes: Vec<_> = changes.iter().map(AutomergeChange::hash).collect();
    let mut document = held.clone();
    document
        .apply_changes(changes)
        .map_err(|_| "does-not-apply".to_owned())?;
    let is_in = |hash| document.get_change_meta_by_hash(hash).is_some();
    if hashes.iter().all(is_in) {
        Ok(document)
    } else {
        Err("lacks-an-ancestor".to_owned())
    }
}

fn save(job: &SnapshotJob) -> Result<Saved, String> {
    let key: Key = parse(&job.key)?;
    let document = load(&key, &job.held)?;
    Ok(Saved {
        heads: document::heads(&document),
        bytes: Bytes(document::save(&document)),
    })
}

/// Applies one change, if its bytes are the canonical form of what they say and it points well.
fn takes(
    pointing: &mut Pointing<'_>,
    document: &mut Automerge,
    bytes: &Bytes,
) -> Result<Pointed, &'static str> {
    let (change, says) = canonical(&bytes.0)?;
    let hash = change.hash();
    let pointed = pointing.look(hash, &says)?;
    document
        .apply_changes([change])
        .map_err(|_| "does-not-apply")?;
    if document.get_change_meta_by_hash(&hash).is_some() {
        Ok(pointed)
    } else {
        Err("lacks-an-ancestor")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the worker: limited, and killed at its deadline"
)]
fn read_change(bytes: &[u8]) -> Result<AutomergeChange, &'static str> {
    AutomergeChange::from_bytes(bytes.to_vec()).map_err(|_| "not-a-change")
}

/// The change in these bytes and what it says, if they are the canonical form of that.
fn canonical(bytes: &[u8]) -> Result<(AutomergeChange, ExpandedChange), &'static str> {
    let change = read_change(bytes)?;
    if change.len() > OPERATIONS_LIMIT {
        return Err("breaks-a-rule");
    }
    let says = change.decode();
    // Bytes behind the last column survive re-encoding, and nobody would ever see what they say.
    if !change.extra_bytes().is_empty() || AutomergeChange::from(says.clone()).raw_bytes() != bytes
    {
        return Err("not-canonical");
    }
    Ok((change, says))
}

fn edit(job: &EditJob) -> Answer {
    let edited = || -> Result<Result<Edited, Invalid>, String> {
        let key: Key = parse(&job.key)?;
        let mut document = load(&key, &job.held)?;
        let stamp = Stamp {
            by: job.person,
            at_ms: job.at_ms,
            random: job.random,
        };
        let change = match &job.edit {
            Edit::Decide(new) => {
                let new: NewDecision = parse(new)?;
                write(job, &mut document, |review: &mut Review| {
                    review.decide(stamp, &new).map(|_| ())
                })?
            }
            Edit::Publish(reference) => {
                let published: Reference = parse(reference)?;
                write(job, &mut document, |reference: &mut Reference| {
                    // Checkpoints are added or moved; publishing people does not take them away.
                    let mut checkpoints = std::mem::take(&mut reference.checkpoints);
                    checkpoints.extend(published.checkpoints.clone());
                    *reference = Reference {
                        checkpoints,
                        ..published
                    };
                    Ok(())
                })?
            }
            Edit::Checkpoint(edit) => {
                let (id, checkpoint): (CheckpointId, Checkpoint) = parse(edit)?;
                write(job, &mut document, |reference: &mut Reference| {
                    reference.checkpoints.insert(id, checkpoint);
                    Ok(())
                })?
            }
        };
        let change = match change {
            Ok(change) => change,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let rows = projection::project(&key, &document).map_err(|_| "not-its-kind".to_owned())?;
        let rows = serde_json::to_string(&rows).map_err(|error| error.to_string())?;
        let change = change.map(|change| Bytes(change.bytes));
        Ok(Ok(Edited {
            change,
            heads: document::heads(&document),
            rows,
        }))
    };
    match edited() {
        Ok(Ok(edited)) => Answer::Edited(edited),
        Ok(Err(invalid)) => serde_json::to_string(&invalid)
            .map_or_else(|_| Answer::Failed("invalid".into()), Answer::Invalid),
        Err(word) => Answer::Failed(word),
    }
}

fn write<R: Record>(
    job: &EditJob,
    document: &mut Automerge,
    change: impl FnOnce(&mut R) -> Result<(), Invalid>,
) -> Result<Result<Option<Change>, Invalid>, String> {
    let actor = Actor::from_slice(&job.actor).ok_or("malformed-job")?;
    match document::edit(document, actor, job.at_ms, change) {
        Ok(((), change)) => Ok(Ok(change)),
        Err(document::DocumentError::Invalid(invalid)) => Ok(Err(invalid)),
        Err(_) => Err("edit-failed".to_owned()),
    }
}

#[cfg(test)]
mod tests;
