//! The projection: rows that pages read, from a document by a pure function. It runs in a worker, because it reads what a
//! change says; the rows come back and are written in one transaction with the heads they say (`store`).
//!
//! A document's rows are replaced whole. They can be emptied and rebuilt to the byte at any time (`kieumau reproject`).

mod store;

pub use store::{Projected, drop_strays};

use automerge::Automerge;
use kieumau_core::{
    attachment::Attachment,
    document::{self, DocumentError, Key, Kind, Whole},
    evidence::EvidenceFile,
    id::{CheckpointId, DocumentId, PersonId},
    patrol::{self, PatrolLog},
    position::Fix,
    reference::{Checkpoint, Reference},
    review::Review,
    track,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that rows say about one document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The content, by kind.
    pub content: Content,
    /// Files that hang on it.
    pub attachments: Vec<(String, Attachment)>,
    /// Fields in a clash.
    pub clashes: Vec<ClashRow>,
}

/// The content of a document, by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing a page shows.
    #[default]
    Nothing,
    /// A patrol.
    Patrol(Box<PatrolRows>),
    /// An evidence file; its criterion and period stand in the key.
    Evidence(EvidenceFile),
    /// Decisions about this document.
    Review(DocumentId, Review),
    /// Checkpoints that a unit publishes; what else it publishes stands in tables already.
    Reference(BTreeMap<CheckpointId, Checkpoint>),
}

/// A patrol: its log without the packed track, and the track as it is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatrolRows {
    /// The log; its track is empty here.
    pub log: PatrolLog,
    /// Length as [`kieumau_core::patrol::length_m`] counts it, metres.
    pub length_m: f64,
    /// Fixes kept.
    pub fix_count: usize,
    /// Some fix does not say how exact it is.
    pub accuracy_unknown: bool,
    /// Unbroken pieces, one recorder after another.
    pub segments: Vec<Segment>,
}

/// An unbroken piece of a track.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Whose phone recorded it.
    pub by: PersonId,
    /// From, Unix milliseconds.
    pub from_ms: i64,
    /// Until, Unix milliseconds.
    pub until_ms: i64,
    /// (lon, lat), 1e-7 degree.
    pub line: Vec<(i32, i32)>,
}

kieumau_core::unprinted!(Segment);

/// One value of a field in a clash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClashRow {
    /// [`document::Clash::pointer`].
    pub path: String,
    /// The values, with the phone that wrote each; the visible one last.
    pub values: Vec<(String, Option<String>)>,
}

/// The rows of a document.
///
/// # Errors
/// `Content` if it is not of its kind.
pub fn project(key: &Key, document: &Automerge) -> Result<Rows, DocumentError> {
    let whole = Whole::of(document);
    Ok(ReadDocument::read(key, &whole)?.rows(&whole))
}

/// What a document holds, by kind. Who asks it for its sense and for its rows reads it once.
#[derive(Debug)]
pub enum ReadDocument {
    /// A patrol.
    Patrol(Box<PatrolLog>),
    /// An evidence file.
    Evidence(Box<EvidenceFile>),
    /// Decisions about this document.
    Review(DocumentId, Review),
    /// What a unit publishes.
    Reference(Box<Reference>),
    /// A review of nothing.
    Nothing,
}

impl ReadDocument {
    /// Reads it.
    ///
    /// # Errors
    /// `Content` if it is not of its kind.
    pub fn read(key: &Key, document: &Whole<'_>) -> Result<Self, DocumentError> {
        Ok(match (key.kind, key.reviewed()) {
            (Kind::PatrolLog, _) => Self::Patrol(Box::new(document.read()?)),
            (Kind::EvidenceFile, _) => Self::Evidence(Box::new(document.read()?)),
            (Kind::Review, Some(reviewed)) => Self::Review(reviewed, document.read()?),
            (Kind::Review, None) => Self::Nothing,
            (Kind::Reference, _) => Self::Reference(Box::new(document.read()?)),
        })
    }

    /// Its rows, with the clashes of `document`, from which it was read.
    pub fn rows(self, document: &Whole<'_>) -> Rows {
        let (content, attachments) = match self {
            Self::Patrol(mut log) => {
                let attachments = std::mem::take(&mut log.attachments);
                (Content::Patrol(Box::new(patrol_rows(*log))), attachments)
            }
            Self::Evidence(mut file) => {
                let attachments = std::mem::take(&mut file.attachments);
                (Content::Evidence(*file), attachments)
            }
            Self::Review(reviewed, review) => {
                (Content::Review(reviewed, review), Default::default())
            }
            Self::Reference(reference) => (
                Content::Reference(reference.checkpoints),
                Default::default(),
            ),
            Self::Nothing => Default::default(),
        };
        let attachments = attachments.into_iter();
        Rows {
            content,
            attachments: attachments
                .map(|(id, attachment)| (id.to_string(), attachment))
                .collect(),
            clashes: document::clashes(document)
                .into_iter()
                .map(clash_row)
                .collect(),
        }
    }
}

fn clash_row(clash: document::Clash) -> ClashRow {
    let path = clash.pointer();
    let values = clash.values.into_iter();
    ClashRow {
        path,
        values: values
            .map(|v| (v.text, v.phone.map(|phone| phone.to_string())))
            .collect(),
    }
}

fn patrol_rows(mut log: PatrolLog) -> PatrolRows {
    let tracks = log.tracks();
    log.track.clear();
    let fixes = || tracks.iter().flat_map(|track| &track.fixes);
    PatrolRows {
        length_m: patrol::length_m(&tracks),
        fix_count: patrol::fix_count(&tracks),
        accuracy_unknown: fixes().any(|fix| fix.accuracy_dm.is_none()),
        segments: tracks
            .iter()
            .flat_map(|one| {
                track::segments(&one.fixes)
                    .into_iter()
                    .filter_map(|run| segment(one.by, run))
            })
            .collect(),
        log,
    }
}

fn segment(by: PersonId, run: &[Fix]) -> Option<Segment> {
    let (first, last) = run.first().zip(run.last())?;
    Some(Segment {
        by,
        from_ms: first.at_ms,
        until_ms: last.at_ms,
        line: run
            .iter()
            .map(|fix| (fix.position.lon_e7, fix.position.lat_e7))
            .collect(),
    })
}

impl Rows {
    /// Who may read the document besides the unit's chiefs: see [`PatrolLog::readers`].
    pub fn readers(&self) -> BTreeSet<PersonId> {
        match &self.content {
            Content::Patrol(patrol) => patrol.log.readers(),
            _ => BTreeSet::new(),
        }
    }
}
