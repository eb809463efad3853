//! Documents that a worker had no quick answer about, and the phones that wrote what it choked on: they are checked apart, with
//! patience, so that who sends such things makes only their own documents wait. Who killed [`KILLS`] workers is read no more for a while:
//! each would hold the unit's feed for its whole trial, and there is no end to how many one phone can write.
//!
//! It is this process' memory and forgets: another process, or this one after a start, finds out again at the cost of half a second.

use super::Looked;
use kieumau_core::id::{DocumentId, PhoneId};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a phone's documents are checked apart after one of them was slow.
const WRITER: Duration = Duration::from_secs(600);
/// Workers that a phone's changes may kill before the rest of them is withheld unread.
pub(super) const KILLS: usize = 3;
/// The longest wait between two trials of a document that cannot be checked.
const WAIT: Duration = Duration::from_secs(600);
/// Documents and phones that are remembered; beyond it they are found out again.
const LIMIT: usize = 10_000;

/// What is slow.
#[derive(Debug, Default)]
pub(super) struct Slow(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<DocumentId, Trial>,
    writers: BTreeMap<PhoneId, Writer>,
}

/// When something of a phone's was slow last, and how many of its changes killed a worker.
#[derive(Clone, Copy, Debug)]
struct Writer {
    since: Instant,
    kills: usize,
}

/// When a document is tried next, and how often it was in vain.
#[derive(Clone, Copy, Debug)]
struct Trial {
    due: Instant,
    failed: u32,
}

impl Slow {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change below is whole: what a panic left is good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the document is checked apart.
    pub(super) fn holds(&self, id: DocumentId) -> bool {
        self.known().documents.contains_key(&id)
    }

    /// Whether something that is to be checked was written by a phone whose documents are; if so, this one is from now on.
    pub(super) fn is_of_slow_writer(&self, looked: &Looked) -> bool {
        let now = Instant::now();
        let mut known = self.known();
        known.forget(now);
        let mut writers = looked.fresh.iter().filter_map(|fresh| fresh.writer);
        let of_slow = writers.any(|writer| known.writers.contains_key(&writer));
        if of_slow {
            known.add(looked.id, now);
        }
        of_slow
    }

    /// A worker had no quick answer about this document.
    pub(super) fn found(&self, looked: &Looked) {
        let mut known = self.known();
        let now = Instant::now();
        known.add(looked.id, now);
        for writer in looked.fresh.iter().filter_map(|fresh| fresh.writer) {
            known.slow(writer, now);
        }
    }

    /// A change of this phone killed a worker, and nothing else did.
    pub(super) fn killed(&self, writer: PhoneId) {
        if let Some(writer) = self.known().slow(writer, Instant::now()) {
            writer.kills += 1;
        }
    }

    /// The phones that are read no more.
    pub(super) fn killers(&self) -> Vec<PhoneId> {
        let mut known = self.known();
        known.forget(Instant::now());
        let killers = known.writers.iter().filter(|(_, of)| of.kills >= KILLS);
        killers.map(|(writer, _)| *writer).collect()
    }

    /// The document that waits longest of those whose time has come.
    pub(super) fn due(&self) -> Option<DocumentId> {
        let known = self.known();
        let now = Instant::now();
        let due = known.documents.iter().filter(|(_, trial)| trial.due <= now);
        due.min_by_key(|(_, trial)| trial.due).map(|(id, _)| *id)
    }

    /// The document was checked.
    pub(super) fn settled(&self, id: DocumentId) {
        self.known().documents.remove(&id);
    }

    /// The document could not be checked: it is tried again later, and later still the next time.
    pub(super) fn failed(&self, id: DocumentId) {
        if let Some(trial) = self.known().documents.get_mut(&id) {
            trial.failed += 1;
            let wait = Duration::from_secs(1 << trial.failed.min(9)).min(WAIT);
            trial.due = Instant::now() + wait;
        }
    }
}

impl Known {
    fn forget(&mut self, now: Instant) {
        self.writers.retain(|_, of| now - of.since < WRITER);
    }

    fn slow(&mut self, writer: PhoneId, now: Instant) -> Option<&mut Writer> {
        if self.writers.len() >= LIMIT && !self.writers.contains_key(&writer) {
            return None;
        }
        let new = Writer {
            since: now,
            kills: 0,
        };
        let of = self.writers.entry(writer).or_insert(new);
        of.since = now;
        Some(of)
    }

    fn add(&mut self, id: DocumentId, now: Instant) {
        if self.documents.len() < LIMIT {
            let new = Trial {
                due: now,
                failed: 0,
            };
            self.documents.entry(id).or_insert(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::looked::Looked;

    #[test]
    fn a_phone_that_was_slow_makes_its_own_documents_wait_and_nobody_elses() {
        let slow = Slow::default();
        let [first, second, other] =
            [(1, 7), (2, 7), (3, 8)].map(|(id, phone)| Looked::of_writer(id, phone));
        // The twin: before it was slow, it is checked with all others.
        assert!(!slow.is_of_slow_writer(&second));
        slow.found(&first);
        assert!(slow.is_of_slow_writer(&second) && slow.holds(second.id));
        assert!(!slow.is_of_slow_writer(&other) && !slow.holds(other.id));
        assert_eq!(slow.due(), Some(first.id));
        slow.failed(first.id);
        assert_eq!(slow.due(), Some(second.id), "what failed is tried later");
        slow.settled(second.id);
        assert_eq!(slow.due(), None);
        assert!(slow.holds(first.id));
    }
}
