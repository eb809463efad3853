//! The projection: rows that pages read, from a document by a pure function. It runs in a worker, because it reads what a
//! change says; the rows come back and are written in one transaction with the heads they say (`store`).
//!
//! A document's rows are replaced whole. They can be emptied and rebuilt to the byte at any time (`kieumau reproject`).

mod store;

pub use store::{Projected, drop_strays};

use kieumau_core::{
    attachment::Attachment,
    document::{self, DocumentError, Key, Kind},
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
pub fn project(key: &Key, document: &automerge::Automerge) -> Result<Rows, DocumentError> {
    let clashes = document::clashes(document)
        .into_iter()
        .map(|clash| ClashRow {
            path: clash.pointer(),
            values: clash
                .values
                .into_iter()
                .map(|v| (v.text, v.phone.map(|phone| phone.to_string())))
                .collect(),
        })
        .collect();
    let (content, attachments) = match key.kind {
        Kind::PatrolLog => {
            let mut log: PatrolLog = document::read(document)?;
            let attachments = std::mem::take(&mut log.attachments);
            (Content::Patrol(Box::new(patrol_rows(log))), attachments)
        }
        Kind::EvidenceFile => {
            let mut file: EvidenceFile = document::read(document)?;
            let attachments = std::mem::take(&mut file.attachments);
            (Content::Evidence(file), attachments)
        }
        Kind::Review => match key.reviewed() {
            Some(reviewed) => (
                Content::Review(reviewed, document::read(document)?),
                Default::default(),
            ),
            None => Default::default(),
        },
        Kind::Reference => {
            let reference: Reference = document::read(document)?;
            (
                Content::Reference(reference.checkpoints),
                Default::default(),
            )
        }
    };
    let attachments = attachments
        .into_iter()
        .map(|(id, attachment)| (id.to_string(), attachment))
        .collect();
    Ok(Rows {
        content,
        attachments,
        clashes,
    })
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
