//! Admission: which of the changes that arrived a document takes, decided from data alone.
//!
//! A change is taken when a verified seal covers it, everything it depends on is there, and it is the next of its actor.
//! What lacks an ancestor waits; what can never fit is refused with a word. Nothing here reads a database or a change's
//! operations, so the same function runs in the committer, in the simulator and in tests.

use crate::{document::Actor, hash::Sha256, id::PhoneId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Changes of one document that may wait for an ancestor.
pub const WAITING_LIMIT: usize = 1_000;
/// The most that one document may hold, bytes of changes.
pub const DOCUMENT_LIMIT_BYTES: i64 = 4 << 20;

/// A change as admission sees it: its header, nothing of what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its hash.
    pub hash: Sha256,
    /// Its actor's bytes, as hexadecimal digits.
    pub actor: Vec<u8>,
    /// Its number among its actor's changes, from 1.
    pub seq: u64,
    /// What it depends on.
    pub deps: Vec<Sha256>,
}

impl Candidate {
    /// The phone that wrote it, or what stands in its place in the server's own; none for what is no actor of either.
    #[must_use]
    pub fn writer(&self) -> Option<PhoneId> {
        let actor = hex::decode(&self.actor).ok()?;
        Actor::from_slice(&actor).map(|actor| actor.phone)
    }
}

/// What arrives for one document, and what waits for it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The changes that arrive, and the bytes of each.
    pub arrived: Vec<(Candidate, usize)>,
    /// Those of them that verified seals cover.
    pub sealed: BTreeSet<Sha256>,
    /// Changes that wait: their seals held when they came.
    pub waited: Vec<Candidate>,
    /// Phones that were revoked by now.
    pub revoked: BTreeSet<PhoneId>,
    /// Bytes that the document holds before.
    pub size_bytes: i64,
}

/// What is known of the document before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Hashes of accepted changes, the birth's among them; at least all that candidates are or depend on.
    pub held: BTreeSet<Sha256>,
    /// The document's heads.
    pub heads: BTreeSet<Sha256>,
    /// The newest accepted change of each actor that a candidate has.
    pub newest: BTreeMap<Vec<u8>, (u64, Sha256)>,
}

/// Why a change can never be taken. The words are stable: they travel, and stand in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Not one uncompressed change chunk.
    Malformed,
    /// No verified seal covers it.
    Unsealed,
    /// Its number is taken by another change of its actor, or does not follow the previous one.
    Sequence,
    /// It claims the actor of a birth and is not that birth.
    ForgedBirth,
    /// Its writer may not write documents of this kind or unit.
    NotAllowed,
    /// Its writer's phone was revoked before it came into the log.
    PhoneRevoked,
    /// The document holds as much as a document may.
    DocumentFull,
    /// Too many changes of this document wait for an ancestor already.
    TooManyWaiting,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Unsealed,
        Self::Sequence,
        Self::ForgedBirth,
        Self::NotAllowed,
        Self::PhoneRevoked,
        Self::DocumentFull,
        Self::TooManyWaiting,
    ];

    /// The refusal of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.word() == word)
    }

    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsealed => "unsealed",
            Self::Sequence => "sequence",
            Self::ForgedBirth => "forged-birth",
            Self::NotAllowed => "not-allowed",
            Self::PhoneRevoked => "phone-revoked",
            Self::DocumentFull => "document-full",
            Self::TooManyWaiting => "too-many-waiting",
        }
    }
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken now.
    Accepted,
    /// Was there before.
    Held,
    /// Kept until an ancestor comes.
    Waiting,
    /// Can never be taken.
    Refused(Refusal),
}

/// What admission decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// One outcome per distinct candidate.
    pub outcomes: BTreeMap<Sha256, Outcome>,
    /// The accepted ones, each after what it depends on.
    pub accepted: Vec<Sha256>,
    /// The document's heads afterwards.
    pub heads: BTreeSet<Sha256>,
}

/// Decides about what arrives for a document, and by how many bytes it grows.
///
/// What a revoked phone had not got into the log by its revocation stays out, whoever carries it and however long it waited. A
/// document that would grow beyond its limit takes nothing.
#[must_use]
pub fn decide(known: &Known, arrival: &Arrival) -> (Admitted, i64) {
    let of_revoked = |candidate: &Candidate| {
        let writer = candidate.writer();
        writer.is_some_and(|phone| arrival.revoked.contains(&phone))
    };
    let arrived = arrival.arrived.iter().map(|(candidate, _)| candidate);
    let (silenced, candidates): (Vec<Candidate>, Vec<Candidate>) = arrived
        .chain(&arrival.waited)
        .cloned()
        .partition(|candidate| of_revoked(candidate) && !known.held.contains(&candidate.hash));
    let waited = arrival.waited.iter().map(|candidate| candidate.hash);
    let sealed = arrival.sealed.iter().copied().chain(waited).collect();
    let mut admitted = admit(known, &candidates, &sealed);
    let mut grows = grown_by(&admitted, &arrival.arrived);
    if arrival.size_bytes + grows > DOCUMENT_LIMIT_BYTES {
        admitted = refuse_all(known, &admitted, Refusal::DocumentFull);
        grows = 0;
    }
    admitted.outcomes.extend(
        silenced
            .into_iter()
            .map(|candidate| (candidate.hash, Outcome::Refused(Refusal::PhoneRevoked))),
    );
    (admitted, grows)
}

fn grown_by(admitted: &Admitted, arrived: &[(Candidate, usize)]) -> i64 {
    let accepted = arrived.iter().filter(|(candidate, _)| {
        admitted.outcomes.get(&candidate.hash) == Some(&Outcome::Accepted)
    });
    let bytes: usize = accepted.map(|(_, bytes)| bytes).sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn refuse_all(known: &Known, admitted: &Admitted, refusal: Refusal) -> Admitted {
    let outcomes = admitted
        .outcomes
        .iter()
        .map(|(hash, outcome)| match outcome {
            Outcome::Accepted | Outcome::Waiting => (*hash, Outcome::Refused(refusal)),
            other => (*hash, *other),
        })
        .collect();
    Admitted {
        outcomes,
        accepted: Vec::new(),
        heads: known.heads.clone(),
    }
}

/// Decides about `candidates` (new ones and those that waited), of which `sealed` are covered by verified seals.
#[must_use]
pub fn admit(known: &Known, candidates: &[Candidate], sealed: &BTreeSet<Sha256>) -> Admitted {
    let mut admitted = Admitted {
        heads: known.heads.clone(),
        ..Admitted::default()
    };
    let mut newest = known.newest.clone();
    let mut open: BTreeMap<Sha256, &Candidate> = BTreeMap::new();
    for candidate in candidates {
        if known.held.contains(&candidate.hash) {
            admitted.outcomes.insert(candidate.hash, Outcome::Held);
        } else if sealed.contains(&candidate.hash) {
            open.insert(candidate.hash, candidate);
        } else {
            admitted
                .outcomes
                .insert(candidate.hash, Outcome::Refused(Refusal::Unsealed));
        }
    }
    let mut order = Ready::new(known, &open);
    while let Some(hash) = order.next() {
        let candidate = open[&hash];
        if follows(candidate, newest.get(&candidate.actor)) {
            newest.insert(candidate.actor.clone(), (candidate.seq, hash));
            for dep in &candidate.deps {
                admitted.heads.remove(dep);
            }
            admitted.heads.insert(hash);
            admitted.outcomes.insert(hash, Outcome::Accepted);
            admitted.accepted.push(hash);
            order.accept(hash);
        } else {
            admitted
                .outcomes
                .insert(hash, Outcome::Refused(Refusal::Sequence));
        }
        open.remove(&hash);
    }
    for (room, hash) in (0..).zip(open.into_keys()) {
        let outcome = if room < WAITING_LIMIT {
            Outcome::Waiting
        } else {
            Outcome::Refused(Refusal::TooManyWaiting)
        };
        admitted.outcomes.insert(hash, outcome);
    }
    admitted
}

/// Whether the candidate is the next of its actor: number one, or one more than `previous` and depending on it.
fn follows(candidate: &Candidate, previous: Option<&(u64, Sha256)>) -> bool {
    match previous {
        None => candidate.seq == 1,
        Some((seq, hash)) => candidate.seq == seq + 1 && candidate.deps.contains(hash),
    }
}

/// Candidates whose dependencies are all there, in a fixed order (by hash among those that are ready together).
struct Ready {
    missing: BTreeMap<Sha256, usize>,
    dependents: BTreeMap<Sha256, Vec<Sha256>>,
    ready: BTreeSet<Sha256>,
}

impl Ready {
    fn new(known: &Known, open: &BTreeMap<Sha256, &Candidate>) -> Self {
        let mut order = Self {
            missing: BTreeMap::new(),
            dependents: BTreeMap::new(),
            ready: BTreeSet::new(),
        };
        for (&hash, candidate) in open {
            let missing: Vec<Sha256> = candidate
                .deps
                .iter()
                .filter(|dep| !known.held.contains(dep))
                .copied()
                .collect();
            if missing.is_empty() {
                order.ready.insert(hash);
            }
            order.missing.insert(hash, missing.len());
            for dep in missing {
                order.dependents.entry(dep).or_default().push(hash);
            }
        }
        order
    }

    fn next(&mut self) -> Option<Sha256> {
        self.ready.pop_first()
    }

    fn accept(&mut self, hash: Sha256) {
        for dependent in self.dependents.remove(&hash).unwrap_or_default() {
            if let Some(missing) = self.missing.get_mut(&dependent) {
                *missing -= 1;
                if *missing == 0 {
                    self.ready.insert(dependent);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(name: &str) -> Sha256 {
        Sha256::of(name.as_bytes())
    }

    fn candidate(name: &str, actor: u8, seq: u64, deps: &[&str]) -> Candidate {
        Candidate {
            hash: hash(name),
            actor: vec![actor; 24],
            seq,
            deps: deps.iter().map(|d| hash(d)).collect(),
        }
    }

    fn born() -> Known {
        let birth = BTreeSet::from([hash("birth")]);
        Known {
            held: birth.clone(),
            heads: birth,
            ..Known::default()
        }
    }

    fn story() -> Vec<Candidate> {
        vec![
            candidate("a1", 1, 1, &["birth"]),
            candidate("b1", 2, 1, &["birth"]),
            candidate("a2", 1, 2, &["a1", "b1"]),
            candidate("b2", 2, 2, &["b1"]),
            candidate("a3", 1, 3, &["a2"]),
        ]
    }

    fn all(candidates: &[Candidate]) -> BTreeSet<Sha256> {
        candidates.iter().map(|c| c.hash).collect()
    }

    #[test]
    fn what_lacks_an_ancestor_waits_and_comes_in_with_it() {
        let late = [candidate("a2", 1, 2, &["a1"])];
        let admitted = admit(&born(), &late, &all(&late));
        assert_eq!(admitted.outcomes[&hash("a2")], Outcome::Waiting);
        let both = [late[0].clone(), candidate("a1", 1, 1, &["birth"])];
        let admitted = admit(&born(), &both, &all(&both));
        assert_eq!(admitted.accepted, [hash("a1"), hash("a2")]);
        assert_eq!(admitted.heads, BTreeSet::from([hash("a2")]));
    }

    #[test]
    fn an_unsealed_change_is_refused_and_holds_back_what_follows() {
        let story = [
            candidate("a1", 1, 1, &["birth"]),
            candidate("a2", 1, 2, &["a1"]),
        ];
        let admitted = admit(&born(), &story, &BTreeSet::from([hash("a2")]));
        assert_eq!(
            admitted.outcomes[&hash("a1")],
            Outcome::Refused(Refusal::Unsealed)
        );
        assert_eq!(admitted.outcomes[&hash("a2")], Outcome::Waiting);
        // The twin: with the seal it comes in.
        assert_eq!(admit(&born(), &story, &all(&story)).accepted.len(), 2);
    }

    #[test]
    fn a_number_used_twice_or_skipped_is_refused() {
        let mut known = born();
        known.held.insert(hash("a1"));
        known.newest.insert(vec![1; 24], (1, hash("a1")));
        for wrong in [
            candidate("again", 1, 1, &["birth"]),
            candidate("skipped", 1, 3, &["a1"]),
            candidate("not on its own", 1, 2, &["birth"]),
        ] {
            let sealed = BTreeSet::from([wrong.hash]);
            let admitted = admit(&known, std::slice::from_ref(&wrong), &sealed);
            assert_eq!(
                admitted.outcomes[&wrong.hash],
                Outcome::Refused(Refusal::Sequence)
            );
        }
    }

    #[test]
    fn waiting_has_a_limit() {
        let late: Vec<Candidate> = (0..=WAITING_LIMIT)
            .map(|number| candidate(&format!("late {number}"), 1, 2, &["never came"]))
            .collect();
        let admitted = admit(&born(), &late, &all(&late));
        let count = |wanted| {
            admitted
                .outcomes
                .values()
                .filter(|outcome| **outcome == wanted)
                .count()
        };
        assert_eq!(count(Outcome::Waiting), WAITING_LIMIT);
        assert_eq!(count(Outcome::Refused(Refusal::TooManyWaiting)), 1);
    }

    proptest! {
        /// Any order, any cut into pushes, any repetition: the same heads and the same changes.
        #[test]
        fn order_and_repetition_change_nothing(
            order in Just(story().into_iter().chain(story()).collect::<Vec<_>>()).prop_shuffle(),
            cut in 0usize..=10,
        ) {
            let sealed = all(&order);
            let mut known = born();
            let mut waiting: Vec<Candidate> = Vec::new();
            for push in [&order[..cut], &order[cut..]] {
                let candidates: Vec<Candidate> = waiting.iter().chain(push).cloned().collect();
                let admitted = admit(&known, &candidates, &sealed);
                for hash in &admitted.accepted {
                    let taken = candidates.iter().find(|c| c.hash == *hash).expect("it was a candidate");
                    known.newest.insert(taken.actor.clone(), (taken.seq, taken.hash));
                }
                known.held.extend(&admitted.accepted);
                known.heads = admitted.heads;
                waiting = candidates.into_iter().filter(|c| admitted.outcomes[&c.hash] == Outcome::Waiting).collect();
            }
            prop_assert_eq!(known.held.len(), 6);
            prop_assert_eq!(known.heads, BTreeSet::from([hash("a3"), hash("b2")]));
        }
    }
}
