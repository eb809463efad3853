//! The files of a dossier, proven: the log received these bytes, and a document of the same unit names them.

use super::{
    Statement,
    leaves::Leaves,
    parts::Attached,
    proof::{Broken, ProvenAttachment, ProvenDocument, What},
};
use crate::{hash::Sha256, id::DocumentId};
use std::collections::BTreeSet;

/// Which hashes of files stand in which documents' changes, as 64 hexadecimal digits: a change is not interpreted, but it is
/// uncompressed, and a phone sealed it.
pub(super) struct Named {
    wanted: BTreeSet<Sha256>,
    found: BTreeSet<(Sha256, DocumentId)>,
}

impl Named {
    const DIGITS: usize = 64;

    pub(super) fn new(files: &[Attached], statement: &Statement) -> Self {
        let held = files.iter().map(|file| file.sha256);
        let missing = statement
            .documents
            .iter()
            .flat_map(|document| &document.missing);
        Self {
            wanted: held.chain(missing.copied()).collect(),
            found: BTreeSet::new(),
        }
    }

    pub(super) fn look(&mut self, document: DocumentId, operations: &[u8]) {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        for run in operations.split(|byte| !is_digit(byte)) {
            for digits in run.windows(Self::DIGITS) {
                let sha256 = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
                if let Some(sha256) = sha256.filter(|sha256| self.wanted.contains(sha256)) {
                    self.found.insert((sha256, document));
                }
            }
        }
    }

    pub(super) fn by(&self, document: DocumentId, sha256: &Sha256) -> bool {
        self.found.contains(&(*sha256, document))
    }
}

/// Proves each file: its bytes have the hash that a leaf of the unit and a document of the unit name.
pub(super) fn prove(
    files: &[Attached],
    leaves: &Leaves,
    documents: &[ProvenDocument],
    named: &Named,
) -> Result<Vec<ProvenAttachment>, Broken> {
    let mut left = leaves.attachments.clone();
    let mut proven: Vec<ProvenAttachment> = Vec::new();
    for file in files {
        let sha256 = file.sha256;
        let broken = || Broken::new(What::Attachment, sha256);
        let naming: Vec<&ProvenDocument> = documents
            .iter()
            .filter(|document| named.by(document.document, &sha256))
            .collect();
        let units: BTreeSet<_> = naming.iter().map(|document| document.unit).collect();
        let mut received_at_ms = None;
        for unit in units {
            let (size_bytes, at_ms) = left.remove(&(unit, sha256)).ok_or_else(broken)?;
            if size_bytes != file.size_bytes {
                return Err(broken());
            }
            received_at_ms = received_at_ms.max(Some(at_ms));
        }
        if proven.last().is_some_and(|last| last.sha256 >= sha256) {
            return Err(broken());
        }
        proven.push(ProvenAttachment {
            sha256,
            size_bytes: file.size_bytes,
            received_at_ms: received_at_ms.ok_or_else(broken)?,
            named_in: naming.iter().map(|document| document.document).collect(),
        });
    }
    match left.keys().next() {
        Some((_, sha256)) => Err(Broken::new(What::Attachment, sha256)),
        None => Ok(proven),
    }
}
