//! Documents kept open between edits, the most recently used, with what they say.
//!
//! Bounded in bytes, not in number: a month's evidence file weighs as much as thirty patrols. An open document takes about
//! [`MEMORY_PER_BYTE`] times the bytes of its changes; weighing it each time would cost more than the estimate is wrong.

use crate::{document::Record, id::DocumentId};
use automerge::Automerge;
use std::any::Any;

/// Memory of all open documents together, bytes.
const LIMIT_BYTES: usize = 8 << 20;
/// Memory of an open document and its record, per byte of its changes.
pub(super) const MEMORY_PER_BYTE: usize = 20;

/// A document in memory.
pub(super) struct Open {
    pub(super) document: Automerge,
    /// What the document says, if it was read.
    record: Option<Box<dyn Any + Send>>,
    /// Bytes of its changes.
    pub(super) change_bytes: usize,
}

impl Open {
    pub(super) const fn new(document: Automerge, change_bytes: usize) -> Self {
        Self {
            document,
            record: None,
            change_bytes,
        }
    }

    /// What the document says, if it is known; unknown from now on.
    pub(super) fn take_record<R: Record + 'static>(&mut self) -> Option<R> {
        let record = self.record.take()?.downcast().ok()?;
        Some(*record)
    }

    /// Remembers what the document says now.
    pub(super) fn says<R: Record + Send + 'static>(&mut self, record: R) {
        self.record = Some(Box::new(record));
    }
}

/// See the module. The last was used last.
#[derive(Default)]
pub(super) struct Opened(Vec<(DocumentId, Open)>);

impl Opened {
    /// The document, no longer kept.
    pub(super) fn take(&mut self, id: DocumentId) -> Option<Open> {
        let place = self.0.iter().position(|(kept, _)| *kept == id)?;
        Some(self.0.remove(place).1)
    }

    /// Keeps the document, and lets go of those that were not used for longest.
    pub(super) fn keep(&mut self, id: DocumentId, open: Open) {
        self.take(id);
        self.0.push((id, open));
        let mut bytes: usize = self.0.iter().map(|(_, open)| open.change_bytes).sum();
        while bytes * MEMORY_PER_BYTE > LIMIT_BYTES && self.0.len() > 1 {
            bytes -= self.0.remove(0).1.change_bytes;
        }
    }

    /// What the document says, if it is known here.
    pub(super) fn record<R: Record + 'static>(&self, id: DocumentId) -> Option<&R> {
        let (_, open) = self.0.iter().find(|(kept, _)| *kept == id)?;
        open.record.as_ref()?.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> DocumentId {
        DocumentId::from_bytes([number; 16])
    }

    fn weighing(bytes: usize) -> Open {
        Open::new(Automerge::new(), bytes / MEMORY_PER_BYTE)
    }

    #[test]
    fn the_document_used_last_stays_and_the_oldest_goes() {
        let mut opened = Opened::default();
        opened.keep(id(1), weighing(LIMIT_BYTES / 2));
        opened.keep(id(2), weighing(LIMIT_BYTES / 2));
        let used = opened.take(id(1)).expect("is kept");
        opened.keep(id(1), used);
        opened.keep(id(3), weighing(LIMIT_BYTES / 2));
        let kept: Vec<DocumentId> = opened.0.iter().map(|(id, _)| *id).collect();
        assert_eq!(kept, [id(1), id(3)]);
    }

    #[test]
    fn a_document_above_the_bound_is_kept_alone() {
        let mut opened = Opened::default();
        opened.keep(id(1), weighing(1_000));
        opened.keep(id(2), weighing(2 * LIMIT_BYTES));
        assert!(opened.take(id(1)).is_none());
        assert!(opened.take(id(2)).is_some());
    }
}
