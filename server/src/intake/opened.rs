//! A document while a group of pushes is decided about: what admission has to know of it (`known` reads that), and what is to
//! be written. Decides nothing itself that `core::log::admission` can decide.

use super::{Batch, PreparedChange, PreparedDocument, RefusedChange, Taken};
use crate::{
    feed,
    stored::{self, StoredDocument},
};
use kieumau_core::{
    hash::Sha256,
    id::{PersonId, PhoneId},
    log::{
        admission::{self, Admitted, Arrival, Candidate, Known, Outcome, Refusal},
        leaf::Leaf,
    },
    review::heads_text,
    seal::{self, Seal, Signer},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Bytes of changes at which a row is long enough: it is read and opened whole.
const ROW_BYTES: usize = 64 << 10;

/// A document that is held.
pub(super) struct Opened<'a> {
    pub(super) stored: StoredDocument,
    pub(super) known: Known,
    /// Changes that wait in the database.
    pub(super) waited: BTreeMap<Sha256, Candidate>,
    /// Bytes of all that waits, here and in the database.
    pub(super) waiting_bytes: BTreeMap<Sha256, i64>,
    /// New rows, by hash; those without a number wait.
    pub(super) rows: BTreeMap<Sha256, NewRow<'a>>,
    /// Rows that waited and are accepted now, with their numbers.
    pub(super) ended: Vec<(Sha256, i64)>,
    /// Rows that waited and can never be taken, with the reason.
    pub(super) refused_waited: Vec<(Sha256, Refusal)>,
    /// Seals to be kept.
    pub(super) seals: Vec<&'a Seal>,
    /// Whether its row is to be written.
    pub(super) grown: bool,
    /// How often something was taken.
    taken: usize,
}

/// A change that gets a row.
pub(super) struct NewRow<'a> {
    pub(super) change: &'a PreparedChange,
    pub(super) carrier: Option<PhoneId>,
    pub(super) number: Option<i64>,
    /// Which of the group's pushes it was taken with: each has a leaf of its own.
    taken: usize,
}

impl NewRow<'_> {
    pub(super) const fn hash(&self) -> Sha256 {
        self.change.candidate.hash
    }

    /// Whether `next` may lie in one row with it: the next number, of the same actor, in the same leaf, standing on this one alone.
    fn goes_on(&self, next: &Self) -> bool {
        let (one, next_one) = (&self.change.candidate, &next.change.candidate);
        self.number.is_some()
            && next.number == self.number.map(|number| number + 1)
            && next.taken == self.taken
            && next.carrier == self.carrier
            && next_one.actor == one.actor
            && next_one.seq == one.seq + 1
            && next_one.deps == [one.hash]
    }
}

impl<'a> Opened<'a> {
    pub(super) fn new(stored: StoredDocument) -> Self {
        let mut known = Known::born(&stored.key);
        if !stored.heads.is_empty() {
            known.heads = stored::parse_hashes(&stored.heads).into_iter().collect();
        }
        Self {
            known,
            grown: stored.is_new(),
            stored,
            waited: BTreeMap::new(),
            waiting_bytes: BTreeMap::new(),
            rows: BTreeMap::new(),
            ended: Vec::new(),
            refused_waited: Vec::new(),
            seals: Vec::new(),
            taken: 0,
        }
    }

    /// New changes as they go into rows, in the order of their numbers. A row ends where a seal stands, for a seal names a row; and when it
    /// is long enough.
    pub(super) fn runs(&self) -> Vec<Vec<&NewRow<'a>>> {
        let sealed: BTreeSet<Sha256> = self.seals.iter().map(|seal| seal.change).collect();
        let mut rows: Vec<&NewRow<'a>> = self.rows.values().collect();
        rows.sort_unstable_by_key(|row| row.number);
        let mut runs: Vec<Vec<&NewRow<'a>>> = Vec::new();
        let mut bytes = 0;
        for row in rows {
            bytes += row.change.bytes.len();
            match runs.last_mut() {
                Some(run)
                    if bytes <= ROW_BYTES
                        && run.last().is_some_and(|last| {
                            last.goes_on(row) && !sealed.contains(&last.hash())
                        }) =>
                {
                    run.push(row);
                }
                _ => {
                    bytes = row.change.bytes.len();
                    runs.push(vec![row]);
                }
            }
        }
        runs
    }

    /// Whether something that is asked about is neither held, as far as that is known by rows' names, nor comes itself: it may lie within a
    /// row.
    pub(super) fn asks_within<'c>(&'c self, arrived: impl Iterator<Item = &'c Candidate>) -> bool {
        if self.stored.is_new() {
            return false;
        }
        let arrived: Vec<&Candidate> = arrived.collect();
        // What waited before waits for nothing that is here: it was decided about with everything that came.
        let coming = arrived.iter().map(|it| it.hash);
        let coming: BTreeSet<Sha256> = coming.chain(self.waited.keys().copied()).collect();
        let held = |hash: &Sha256| self.known.held.contains(hash);
        arrived.into_iter().any(|it| {
            let newest = self.known.newest.get(&it.actor);
            let old = newest.is_some_and(|(seq, _)| it.seq <= *seq);
            old && !held(&it.hash)
                || it
                    .deps
                    .iter()
                    .any(|dep| !held(dep) && !coming.contains(dep))
        })
    }

    /// What waits for an ancestor, with its bytes.
    fn waiting(&self) -> impl Iterator<Item = (Candidate, i64)> {
        let new = self.rows.values().filter(|row| row.number.is_none());
        let waiting = self
            .waited
            .values()
            .chain(new.map(|row| &row.change.candidate));
        let size = |hash| self.waiting_bytes.get(hash).copied().unwrap_or(0);
        waiting.map(move |waits| (waits.clone(), size(&waits.hash)))
    }

    /// Takes what it takes of `arrived`. `admitted_by`: a chief lets in what revoked phones wrote of it, and what waits of theirs.
    ///
    /// # Errors
    /// `RowNotFound` if its feed is not held.
    pub(super) fn take(
        &mut self,
        feeds: &mut feed::Feeds,
        revoked: &BTreeSet<PhoneId>,
        carrier: Option<PhoneId>,
        arrived: &'a PreparedDocument,
        admitted_by: Option<PersonId>,
        now_ms: i64,
    ) -> Result<Taken, sqlx::Error> {
        self.taken += 1;
        let waited: Vec<(Candidate, i64)> = self.waiting().collect();
        let mut revoked = Cow::Borrowed(revoked);
        if admitted_by.is_some() {
            let writers = arrived.changes.iter();
            let writers: BTreeSet<PhoneId> = writers
                .filter_map(|change| change.candidate.writer())
                .collect();
            revoked.to_mut().retain(|phone| !writers.contains(phone));
        }
        let arrival = Arrival {
            arrived: arrived.changes.iter().map(sized).collect(),
            sealed: &arrived.sealed,
            waited: waited.iter().map(|(waits, size)| (waits, *size)).collect(),
            revoked: &revoked,
            size_bytes: self.stored.size_bytes,
        };
        let (admitted, grows) = admission::decide(&self.known, &arrival);
        self.stored.size_bytes += grows;
        self.keep_seals(arrived, &admitted);
        let through = self.accept(feeds, carrier, arrived, &arrival, &admitted)?;
        let refused = self.keep_waiting(carrier, arrived, &arrival, &admitted);
        Ok(Taken {
            batch: through
                .map(|through| self.batch(arrived, &admitted, through, admitted_by, now_ms)),
            refused,
            outcomes: admitted.outcomes,
        })
    }

    /// Gives what was accepted its numbers; the last one.
    fn accept(
        &mut self,
        feeds: &mut feed::Feeds,
        carrier: Option<PhoneId>,
        arrived: &'a PreparedDocument,
        arrival: &Arrival<'_>,
        admitted: &Admitted,
    ) -> Result<Option<i64>, sqlx::Error> {
        let (unit, id) = (self.stored.key.unit, self.stored.key.document());
        let candidates = arrival.arrived.iter().chain(&arrival.waited);
        let named: BTreeMap<Sha256, &Candidate> = candidates.map(|(c, _)| (c.hash, *c)).collect();
        let brought: BTreeMap<Sha256, &PreparedChange> = arrived
            .changes
            .iter()
            .map(|change| (change.candidate.hash, change))
            .collect();
        let mut through = None;
        for hash in &admitted.accepted {
            let number = feeds.append(unit, feed::Entry::Change(id, *hash))?;
            through = Some(number);
            self.stored.unchecked_from.get_or_insert(number);
            self.waiting_bytes.remove(hash);
            if self.waited.remove(hash).is_some() {
                self.ended.push((*hash, number));
            } else if let Some(row) = self.rows.get_mut(hash) {
                row.number = Some(number);
                row.taken = self.taken;
            } else if let Some(change) = brought.get(hash) {
                let number = Some(number);
                let row = NewRow {
                    change,
                    carrier,
                    number,
                    taken: self.taken,
                };
                self.rows.insert(*hash, row);
            }
            self.known.held.insert(*hash);
            if let Some(candidate) = named.get(hash) {
                let newest = (candidate.seq, *hash);
                self.known.newest.insert(candidate.actor.clone(), newest);
            }
        }
        if through.is_some() {
            self.known.heads.clone_from(&admitted.heads);
            let heads: Vec<Sha256> = admitted.heads.iter().copied().collect();
            self.stored.heads = heads_text(&heads);
            self.grown = true;
        }
        Ok(through)
    }

    /// Keeps what waits from here on; answers what can never be taken.
    fn keep_waiting(
        &mut self,
        carrier: Option<PhoneId>,
        arrived: &'a PreparedDocument,
        arrival: &Arrival<'_>,
        admitted: &Admitted,
    ) -> Vec<RefusedChange> {
        let waited: BTreeSet<Sha256> = arrival.waited.iter().map(|(waits, _)| waits.hash).collect();
        let mut refused = self.refuse_waited(&waited, admitted);
        let mut seals = seal::by_change(arrived.seals.iter().copied());
        for change in &arrived.changes {
            let hash = change.candidate.hash;
            if waited.contains(&hash) {
                continue;
            }
            match admitted.outcomes.get(&hash) {
                Some(Outcome::Waiting) => {
                    let number = None;
                    self.waiting_bytes.insert(hash, sized(change).1);
                    let row = NewRow {
                        change,
                        carrier,
                        number,
                        taken: self.taken,
                    };
                    self.rows.insert(hash, row);
                }
                Some(Outcome::Refused(refusal)) => refused.push(RefusedChange {
                    document: Some(arrived.key.clone()),
                    hash,
                    refusal: *refusal,
                    bytes: change.bytes.clone(),
                    seals: seals.remove(&hash).unwrap_or_default(),
                }),
                Some(Outcome::Accepted | Outcome::Held) | None => {}
            }
        }
        refused
    }

    /// What waited and can never be taken: from the database it goes to quarantine with its row, and out of this transaction at once.
    fn refuse_waited(
        &mut self,
        waited: &BTreeSet<Sha256>,
        admitted: &Admitted,
    ) -> Vec<RefusedChange> {
        let mut refused = Vec::new();
        let mut seals = None;
        for hash in waited {
            let Some(Outcome::Refused(refusal)) = admitted.outcomes.get(hash) else {
                continue;
            };
            if self.waited.remove(hash).is_some() {
                self.refused_waited.push((*hash, *refusal));
            } else if let Some(row) = self.rows.remove(hash) {
                let kept = self.seals.iter().map(|seal| **seal);
                let seals = seals.get_or_insert_with(|| seal::by_change(kept));
                refused.push(RefusedChange {
                    document: Some(self.stored.key.clone()),
                    hash: *hash,
                    refusal: *refusal,
                    bytes: row.change.bytes.clone(),
                    seals: seals.remove(hash).unwrap_or_default(),
                });
            }
        }
        refused
    }

    /// Keeps the seals whose change came too. What a seal names that nobody brought it covers nothing of, and of such seals there is no end.
    fn keep_seals(&mut self, arrived: &'a PreparedDocument, admitted: &Admitted) {
        let lands = |seal: &&Seal| match admitted.outcomes.get(&seal.change) {
            None => false,
            // A seal whose own change did not land may still be what covers an earlier one that did.
            Some(Outcome::Refused(_)) => !admitted.accepted.is_empty(),
            Some(_) => true,
        };
        self.seals.extend(arrived.seals.iter().filter(lands));
    }

    fn batch(
        &self,
        arrived: &PreparedDocument,
        admitted: &Admitted,
        through: i64,
        admitted_by: Option<PersonId>,
        now_ms: i64,
    ) -> Batch {
        let document = self.stored.key.document();
        let changes = admitted.accepted.clone();
        let seals = arrived.seals.iter().map(|seal| Sha256::of(&seal.encode()));
        let seals = seals.collect();
        Batch {
            unit: self.stored.key.unit,
            document,
            accepted: admitted.accepted.clone(),
            through,
            leaf: match admitted_by {
                None => Leaf::Batch {
                    document,
                    changes,
                    seals,
                    received_at_ms: now_ms,
                },
                Some(by) => Leaf::Admitted {
                    document,
                    changes,
                    seals,
                    admitted_at_ms: now_ms,
                    by,
                },
            },
        }
    }
}

/// Who made the seal, as text.
pub(super) fn signer(seal: &Seal) -> String {
    match seal.signer {
        Signer::Phone(phone) => phone.to_string(),
        Signer::Server(fingerprint) => fingerprint.to_string(),
    }
}

/// A change as admission sees it, with its bytes.
fn sized(change: &PreparedChange) -> (&Candidate, i64) {
    let size = i64::try_from(change.bytes.len()).unwrap_or(i64::MAX);
    (&change.candidate, size)
}
