//! Admission: which of the changes that arrived a document takes, decided from data alone.
//!
//! A change is taken when a verified seal covers it, everything it depends on is there, and it is the next of its actor.
//! What lacks an ancestor waits; what can never fit is refused with a word. Nothing here reads a database or a change's
//! operations, so the same function runs in the committer, in the simulator and in tests.

use crate::{
    document::{Actor, Key, birth},
    hash::Sha256,
    id::PhoneId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Changes of one document that may wait for an ancestor.
pub const WAITING_LIMIT: usize = 1_000;
/// The most that one document may hold, bytes of changes; and the most that may wait for it.
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
    /// The phone that wrote it, or what stands in a phone's place in the server's own; none for what is no actor of either.
    #[must_use]
    pub fn writer(&self) -> Option<PhoneId> {
        let actor = hex::decode(&self.actor).ok()?;
        Actor::from_slice(&actor).map(|actor| actor.phone)
    }
}

/// What arrives for one document, and what waits for it there.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// The changes that arrive, with their bytes.
    pub arrived: Vec<(&'a Candidate, i64)>,
    /// Those of them that verified seals cover.
    pub sealed: &'a BTreeSet<Sha256>,
    /// What waits, with its bytes: its seals held when it came.
    pub waited: Vec<(&'a Candidate, i64)>,
    /// Phones that are revoked by now.
    pub revoked: &'a BTreeSet<PhoneId>,
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

impl Known {
    /// What is known of a document that has only its birth: the heads are its layers, or genesis if there are none.
    #[must_use]
    pub fn born(key: &Key) -> Self {
        let births: Vec<Sha256> = birth(key).into_iter().map(|change| change.hash).collect();
        let heads = if births.len() > 1 {
            &births[1..]
        } else {
            &births[..]
        };
        Self {
            heads: heads.iter().copied().collect(),
            held: births.iter().copied().collect(),
            newest: BTreeMap::new(),
        }
    }
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
    /// It was refused, and its carrier has as much in quarantine as one phone may: its bytes stay on the phone.
    QuarantineFull,
    /// No server says so: a damaged phone brings by a rescue file what it could keep and what stands on something that it could not.
    LacksAnAncestor,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unsealed,
        Self::Sequence,
        Self::ForgedBirth,
        Self::NotAllowed,
        Self::PhoneRevoked,
        Self::DocumentFull,
        Self::TooManyWaiting,
        Self::QuarantineFull,
        Self::LacksAnAncestor,
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
            Self::QuarantineFull => "quarantine-full",
            Self::LacksAnAncestor => "lacks-an-ancestor",
        }
    }
}

/// What a phone does about a refused change of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Its envelope was refused, not what it did, which admission never reads: the same is written once more, under a fresh actor.
    WriteAnew,
    /// It is left out, so that what was written upon it gets on without it.
    LeaveOut,
    /// It is sent again later as it is.
    SendAgain,
    /// Only a person helps: whatever this phone writes there is refused.
    Person,
}

impl Refusal {
    /// What a phone does about it.
    #[must_use]
    pub const fn remedy(self) -> Remedy {
        match self {
            Self::Malformed | Self::Unsealed | Self::Sequence | Self::ForgedBirth => {
                Remedy::WriteAnew
            }
            Self::DocumentFull => Remedy::LeaveOut,
            Self::TooManyWaiting | Self::QuarantineFull | Self::LacksAnAncestor => {
                Remedy::SendAgain
            }
            Self::NotAllowed | Self::PhoneRevoked => Remedy::Person,
        }
    }
}

impl Remedy {
    /// What a phone does about an answer of this word; none for what is no refusal. A word of a newer server is left out.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match (word, Refusal::of_word(word)) {
            ("held" | "waiting", _) => None,
            (_, Some(refusal)) => Some(refusal.remedy()),
            (_, None) => Some(Self::LeaveOut),
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
/// What a revoked phone had not got into the log by its revocation stays out, whoever carries it and however long it waited. What
/// waited comes first: there is room for so many, and nobody may push out what waits already. A document that would
/// grow beyond its limit takes what there is room for.
#[must_use]
pub fn decide(known: &Known, arrival: &Arrival<'_>) -> (Admitted, i64) {
    let of_revoked = |candidate: &Candidate| {
        let of = |phone| arrival.revoked.contains(&phone);
        !arrival.revoked.is_empty() && candidate.writer().is_some_and(of)
    };
    let all = arrival.waited.iter().chain(&arrival.arrived);
    let (silenced, candidates): (Vec<&Candidate>, Vec<&Candidate>) = all
        .map(|(candidate, _)| *candidate)
        .partition(|candidate| !known.held.contains(&candidate.hash) && of_revoked(candidate));
    let waited = arrival.waited.iter().map(|(candidate, _)| candidate.hash);
    let sealed = arrival.sealed.iter().copied().chain(waited).collect();
    let mut admitted = admit(known, candidates, &sealed);
    let grows = take_what_fits(known, arrival, &mut admitted);
    let silenced = silenced.iter().map(|candidate| candidate.hash);
    admitted
        .outcomes
        .extend(silenced.map(|hash| (hash, Outcome::Refused(Refusal::PhoneRevoked))));
    refuse_to_wait(arrival, &mut admitted);
    (admitted, grows)
}

/// Takes what there is room for, in order; the rest is refused with all that depends on it. The bytes of what is taken, also of what
/// waited.
fn take_what_fits(known: &Known, arrival: &Arrival<'_>, admitted: &mut Admitted) -> i64 {
    let all = arrival.waited.iter().chain(&arrival.arrived);
    let all: BTreeMap<Sha256, (&Candidate, i64)> =
        all.map(|(it, size)| (it.hash, (*it, *size))).collect();
    let mut grows = 0;
    let mut heads = known.heads.clone();
    let mut full = BTreeSet::new();
    admitted.accepted.retain(|hash| {
        let Some((candidate, size)) = all.get(hash) else {
            return false;
        };
        let stands = candidate.deps.iter().all(|dep| !full.contains(dep));
        if !stands || arrival.size_bytes + grows + size > DOCUMENT_LIMIT_BYTES {
            full.insert(*hash);
            return false;
        }
        grows += size;
        for dep in &candidate.deps {
            heads.remove(dep);
        }
        heads.insert(*hash)
    });
    admitted.heads = heads;
    let refused = full.into_iter();
    admitted
        .outcomes
        .extend(refused.map(|hash| (hash, Outcome::Refused(Refusal::DocumentFull))));
    grows
}

/// What waits is held to what a whole document may hold; what waited already keeps its room.
fn refuse_to_wait(arrival: &Arrival<'_>, admitted: &mut Admitted) {
    let waits = |admitted: &Admitted, it: &Candidate| {
        admitted.outcomes.get(&it.hash) == Some(&Outcome::Waiting)
    };
    let waited: BTreeSet<Sha256> = arrival.waited.iter().map(|(it, _)| it.hash).collect();
    let still = arrival.waited.iter().filter(|(it, _)| waits(admitted, it));
    let mut bytes: i64 = still.map(|(_, size)| size).sum();
    for (candidate, size) in &arrival.arrived {
        if waited.contains(&candidate.hash) || !waits(admitted, candidate) {
            continue;
        }
        if bytes + size <= DOCUMENT_LIMIT_BYTES {
            bytes += size;
        } else {
            let refused = Outcome::Refused(Refusal::TooManyWaiting);
            admitted.outcomes.insert(candidate.hash, refused);
        }
    }
}

/// Decides about `candidates` (those that waited, then new ones), of which `sealed` are covered by verified seals. Room to wait goes
/// in the order given: whoever brings more cannot push out what waits already.
#[must_use]
pub fn admit<'c>(
    known: &Known,
    candidates: impl IntoIterator<Item = &'c Candidate>,
    sealed: &BTreeSet<Sha256>,
) -> Admitted {
    let candidates: Vec<&Candidate> = candidates.into_iter().collect();
    let mut admitted = Admitted {
        heads: known.heads.clone(),
        ..Admitted::default()
    };
    let newest = known.newest.iter();
    let mut newest: BTreeMap<&[u8], (u64, Sha256)> = newest
        .map(|(actor, newest)| (actor.as_slice(), *newest))
        .collect();
    let mut open: BTreeMap<Sha256, &Candidate> = BTreeMap::new();
    for candidate in &candidates {
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
        if follows(candidate, newest.get(candidate.actor.as_slice())) {
            newest.insert(&candidate.actor, (candidate.seq, hash));
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
    let waiting = candidates
        .iter()
        .filter_map(|candidate| open.remove(&candidate.hash))
        .map(|candidate| candidate.hash)
        .collect::<Vec<_>>();
    for (room, hash) in (0..).zip(waiting) {
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

    fn decided(
        arrived: &[Candidate],
        waited: &[Candidate],
        size: i64,
        held_bytes: i64,
    ) -> (Admitted, i64) {
        let sealed = all(arrived);
        let arrival = Arrival {
            arrived: arrived.iter().map(|it| (it, size)).collect(),
            sealed: &sealed,
            waited: waited.iter().map(|it| (it, size)).collect(),
            revoked: &BTreeSet::new(),
            size_bytes: held_bytes,
        };
        decide(&born(), &arrival)
    }

    #[test]
    fn a_document_grows_by_what_it_takes_and_takes_what_there_is_room_for() {
        let waited = [candidate("a2", 1, 2, &["a1"])];
        let arrived = [candidate("a1", 1, 1, &["birth"])];
        let (admitted, grows) = decided(&arrived, &waited, 10, DOCUMENT_LIMIT_BYTES - 20);
        assert_eq!((admitted.accepted.len(), grows), (2, 20));
        assert_eq!(admitted.heads, [hash("a2")].into());
        // The twins: a byte less of room, and none at all.
        let (admitted, grows) = decided(&arrived, &waited, 10, DOCUMENT_LIMIT_BYTES - 19);
        assert_eq!((admitted.accepted, grows), (vec![hash("a1")], 10));
        assert_eq!(admitted.heads, [hash("a1")].into());
        let full = Outcome::Refused(Refusal::DocumentFull);
        assert_eq!(admitted.outcomes[&hash("a2")], full);
        let (admitted, grows) = decided(&arrived, &waited, 10, DOCUMENT_LIMIT_BYTES - 9);
        assert_eq!((admitted.accepted.len(), grows), (0, 0));
        assert!(admitted.outcomes.values().all(|outcome| *outcome == full));
        assert_eq!(admitted.heads, born().heads);
    }

    #[test]
    fn what_depends_on_nothing_that_was_too_much_is_taken() {
        let (large, small) = (
            candidate("a1", 1, 1, &["birth"]),
            candidate("b1", 2, 1, &["birth"]),
        );
        let upon = candidate("a2", 1, 2, &["a1"]);
        let sealed = all(&[large.clone(), small.clone(), upon.clone()]);
        let arrival = Arrival {
            arrived: vec![(&large, DOCUMENT_LIMIT_BYTES), (&small, 10), (&upon, 10)],
            sealed: &sealed,
            waited: Vec::new(),
            revoked: &BTreeSet::new(),
            size_bytes: 1,
        };
        let (admitted, grows) = decide(&born(), &arrival);
        assert_eq!((admitted.accepted, grows), (vec![small.hash], 10));
        let full = Outcome::Refused(Refusal::DocumentFull);
        assert_eq!(admitted.outcomes[&large.hash], full);
        assert_eq!(admitted.outcomes[&upon.hash], full);
    }

    #[test]
    fn what_waits_has_room_for_a_documents_bytes_and_keeps_it() {
        let half = DOCUMENT_LIMIT_BYTES / 2;
        let late = |name: &str| candidate(name, 1, 2, &["never came"]);
        let (admitted, _) = decided(&[late("c"), late("d")], &[late("b")], half, 0);
        assert_eq!(admitted.outcomes[&hash("b")], Outcome::Waiting);
        assert_eq!(admitted.outcomes[&hash("c")], Outcome::Waiting);
        let none = Outcome::Refused(Refusal::TooManyWaiting);
        assert_eq!(admitted.outcomes[&hash("d")], none);
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
    fn what_waits_is_not_pushed_out_by_more() {
        let late = |number: usize| candidate(&format!("late {number}"), 1, 2, &["never came"]);
        let mut waiting: Vec<Candidate> = (0..WAITING_LIMIT).map(late).collect();
        let more: Vec<Candidate> = (WAITING_LIMIT..2 * WAITING_LIMIT).map(late).collect();
        let waited = all(&waiting);
        waiting.extend(more.iter().cloned());
        let still = |order: &[Candidate]| {
            let admitted = admit(&born(), order, &all(order));
            waited
                .iter()
                .filter(|hash| admitted.outcomes[hash] == Outcome::Waiting)
                .count()
        };
        assert_eq!(still(&waiting), WAITING_LIMIT);
        // The twin: with what is new first, it is pushed out.
        let newest_first = [&more[..], &waiting[..WAITING_LIMIT]].concat();
        assert_eq!(still(&newest_first), 0);
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
