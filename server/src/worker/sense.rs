//! What a document may say: it is still of its kind, and its texts keep their rules. Who may have written what is judged operation by
//! operation (`pointing`).
//!
//! Rules that two honest edits could break together are not asked (see `EvidenceFile::check`): what is refused here is refused for good.

use crate::projection::ReadDocument;
use kieumau_core::{
    document::{self, Key, Whole},
    track,
};

/// Whether the document is still of its kind, in form and in its rules; then what it holds.
pub(super) fn makes_sense(key: &Key, document: &Whole<'_>) -> Result<ReadDocument, &'static str> {
    let read = ReadDocument::read(key, document).map_err(|_| "not-its-kind")?;
    document::check(document).map_err(|_| "breaks-a-rule")?;
    match &read {
        ReadDocument::Patrol(log) => {
            log.check().map_err(|_| "breaks-a-rule")?;
            let mut chunks = log.track.values();
            if chunks.any(|chunk| track::unpack(&chunk.fixes).is_err()) {
                return Err("track-malformed");
            }
        }
        ReadDocument::Evidence(file) => file.check().map_err(|_| "breaks-a-rule")?,
        ReadDocument::Review(..) | ReadDocument::Reference(_) | ReadDocument::Nothing => {}
    }
    Ok(read)
}
