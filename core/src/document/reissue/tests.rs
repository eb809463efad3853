//! Whatever is refused, and whenever: what was recorded after it reaches the server and the colleagues, and the original stays.

use super::*;
use crate::{
    document::{self, new},
    id::{ObservationId, PersonId, PhoneId, UnitId},
    log::admission::{self, Candidate, Known, Outcome},
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    stamp::Stamp,
};
use proptest::prelude::*;

const AN: u8 = 1;
const HA: u8 = 2;

fn key() -> Key {
    Key::patrol(
        UnitId::from_bytes([1; 16]),
        uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001),
    )
}

fn stamp(phone: u8, step: usize) -> Stamp {
    let mut random = [phone; 10];
    random[..8].copy_from_slice(&(step as u64).to_be_bytes());
    Stamp {
        by: PersonId::from_bytes([phone; 16]),
        at_ms: 1_700_000_000_000 + step as i64 * 1_000,
        random,
    }
}

/// The server: admission, and what it took.
#[derive(Default)]
struct Server {
    taken: Vec<Change>,
    waiting: BTreeMap<Sha256, Change>,
}

fn candidate(change: &Change) -> Candidate {
    let header = crate::header::read(&change.bytes).expect("a change");
    Candidate {
        hash: header.hash,
        actor: header.actor.to_vec(),
        seq: header.seq,
        deps: header.deps,
    }
}

impl Server {
    fn known(&self) -> Known {
        let mut known = Known::default();
        known
            .held
            .extend(document::birth(&key()).iter().map(|c| c.hash));
        for change in &self.taken {
            let taken = candidate(change);
            known.held.insert(taken.hash);
            known.newest.insert(taken.actor, (taken.seq, taken.hash));
        }
        known
    }

    /// Takes what fits of `pushed`, of which it refuses what is not `sealed`; what became of each.
    fn take(
        &mut self,
        pushed: &[Change],
        sealed: impl Fn(usize) -> bool,
    ) -> BTreeMap<Sha256, Outcome> {
        let arrived: Vec<Change> = self.waiting.values().chain(pushed).cloned().collect();
        let candidates: Vec<Candidate> = arrived.iter().map(candidate).collect();
        let good = pushed
            .iter()
            .enumerate()
            .filter(|(place, _)| sealed(*place));
        let sealed = good.map(|(_, change)| change.hash);
        let sealed = sealed.chain(self.waiting.keys().copied()).collect();
        let admitted = admission::admit(&self.known(), &candidates, &sealed);
        let named: BTreeMap<Sha256, Change> = arrived.into_iter().map(|c| (c.hash, c)).collect();
        self.taken
            .extend(admitted.accepted.iter().map(|hash| named[hash].clone()));
        let waits = |(hash, _): &(Sha256, Change)| admitted.outcomes[hash] == Outcome::Waiting;
        self.waiting = named.into_iter().filter(waits).collect();
        admitted.outcomes
    }

    fn document(&self) -> Automerge {
        load(&key(), self.taken.iter().map(|c| c.bytes.as_slice())).expect("loads")
    }
}

/// An's phone: its pile, and what it took out of it.
struct Phone {
    pile: Vec<Change>,
    answered: BTreeSet<Sha256>,
    document: Automerge,
    opening: u8,
    /// What each change of An's recorded.
    says: BTreeMap<Sha256, (ObservationId, String)>,
    /// The order in which An recorded.
    recorded: Vec<(ObservationId, String)>,
    left_out: BTreeSet<(ObservationId, String)>,
    originals: BTreeSet<Sha256>,
    /// Changes that were written anew already.
    anew: BTreeSet<Sha256>,
}

impl Phone {
    fn actor(&self) -> Actor {
        Actor {
            phone: PhoneId::from_bytes([AN; 16]),
            opening: [self.opening; 8],
        }
    }

    fn record(&mut self, step: usize, edits: bool) {
        let (actor, stamp) = (self.actor(), stamp(AN, step));
        let note = format!("lần {step}");
        let new = NewObservation {
            note: Some(note.clone()),
            ..NewObservation::of("urban-order", 1, "case")
        };
        let an = stamp.by;
        let (id, change) = document::edit(
            &mut self.document,
            actor,
            stamp.at_ms,
            |log: &mut PatrolLog| {
                log.team.entry(an).or_insert(0);
                let own = log.observations.iter().find(|(_, o)| o.recorded_by == an);
                match own.map(|(id, _)| *id).filter(|_| edits) {
                    Some(id) => log.edit_observation(stamp, id, new).map(|()| id),
                    None => log.observe(stamp, new),
                }
            },
        )
        .expect("the rules hold");
        let change = change.expect("something was written");
        self.says.insert(change.hash, (id, note.clone()));
        self.recorded.push((id, note));
        self.pile.push(change);
    }

    fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            if !self.pile.iter().any(|held| held.hash == change.hash) {
                self.document
                    .load_incremental(&change.bytes)
                    .expect("a change");
                self.pile.push(change.clone());
            }
            self.answered.insert(change.hash);
        }
    }

    fn push(&mut self, server: &mut Server, sealed: impl Fn(usize) -> bool, reissues: bool) {
        let unsent: Vec<Change> = self
            .pile
            .iter()
            .filter(|change| !self.answered.contains(&change.hash))
            .cloned()
            .collect();
        let outcomes = server.take(&unsent, sealed);
        let refused = |hash: &Sha256| matches!(outcomes.get(hash), Some(Outcome::Refused(_)));
        // What was answered is not sent again, whatever the answer.
        self.answered
            .extend(unsent.iter().map(|change| change.hash));
        if reissues {
            self.reissue(refused);
        }
    }

    fn reissue(&mut self, refused: impl Fn(&Sha256) -> bool) {
        let fate = |hash: &Sha256| match refused(hash) {
            false => Fate::Stands,
            true if self.anew.contains(hash) => Fate::LeftOut,
            true => Fate::Again,
        };
        let pile: Vec<Piled> = self
            .pile
            .iter()
            .map(|change| Piled {
                change: change.clone(),
                fate: fate(&change.hash),
            })
            .collect();
        self.opening += 1;
        let Some(reissued) = reissue(&key(), &pile, self.actor()).expect("reissues") else {
            return;
        };
        for (hash, anew) in &reissued.set_aside {
            let Some(said) = self.says.get(hash).cloned() else {
                panic!("a colleague's change was taken out");
            };
            self.originals.insert(*hash);
            self.pile.retain(|change| change.hash != *hash);
            self.answered.remove(hash);
            match anew {
                Some(anew) => {
                    self.says.insert(*anew, said);
                    self.anew.insert(*anew);
                }
                None => {
                    let refused = pile.iter().find(|p| p.change.hash == *hash);
                    let fate = refused.expect("was in the pile").fate;
                    assert_eq!(fate, Fate::LeftOut, "only what is left out does nothing");
                    self.left_out.insert(said);
                }
            }
        }
        self.pile.extend(reissued.fresh);
        self.document = reissued.document;
    }
}

/// A patrol that both know, with a first observation of An's.
fn begun() -> (Server, Phone, Automerge) {
    let mut document = new(&key());
    let actor = Actor {
        phone: PhoneId::from_bytes([HA; 16]),
        opening: [HA; 8],
    };
    let start = |log: &mut PatrolLog| {
        let title = "Ca".to_owned();
        log.start(
            stamp(HA, 0),
            NewPatrol {
                title,
                team: vec![PersonId::from_bytes([AN; 16])],
                ..NewPatrol::default()
            },
        )
    };
    let (_, change) = document::edit(&mut document, actor, 0, start).expect("starts");
    let change = change.expect("something was written");
    let mut server = Server::default();
    server.take(std::slice::from_ref(&change), |_| true);
    let phone = Phone {
        answered: BTreeSet::from([change.hash]),
        pile: vec![change],
        document: document.clone(),
        opening: 10,
        says: BTreeMap::new(),
        recorded: Vec::new(),
        left_out: BTreeSet::new(),
        originals: BTreeSet::new(),
        anew: BTreeSet::new(),
    };
    (server, phone, document)
}

/// What An's phone and the server are after `script`, and after two pushes that are refused nothing.
fn play(script: &[(u8, u16)], reissues: bool) -> (Server, Phone) {
    let (mut server, mut an, mut ha) = begun();
    for (step, &(what, refused)) in (1..).zip(script) {
        match what % 6 {
            0..=2 => an.record(step, what % 6 == 2),
            3 => {
                ha.load_incremental(
                    &server
                        .taken
                        .iter()
                        .flat_map(|c| c.bytes.clone())
                        .collect::<Vec<_>>(),
                )
                .expect("hears");
                let actor = Actor {
                    phone: PhoneId::from_bytes([HA; 16]),
                    opening: [HA; 8],
                };
                let observe = |log: &mut PatrolLog| {
                    log.observe(stamp(HA, step), NewObservation::of("drugs", 1, "case"))
                };
                let (_, change) = document::edit(&mut ha, actor, 0, observe).expect("recorded");
                server.take(&[change.expect("written")], |_| true);
            }
            4 => an.hear(&server.taken.clone()),
            _ => an.push(
                &mut server,
                |place| refused & (1 << (place % 16)) == 0,
                reissues,
            ),
        }
    }
    for _ in 0..2 {
        an.push(&mut server, |_| true, reissues);
        an.hear(&server.taken.clone());
    }
    (server, an)
}

/// What An recorded last about each observation, and was not left out.
fn expected(an: &Phone) -> BTreeMap<ObservationId, String> {
    let last: BTreeMap<ObservationId, String> = an.recorded.iter().cloned().collect();
    last.into_iter()
        .filter(|(id, note)| !an.left_out.contains(&(*id, note.clone())))
        .collect()
}

fn notes(document: &Automerge) -> BTreeMap<ObservationId, String> {
    let log: PatrolLog = document::read(document).expect("a patrol");
    log.observations
        .into_iter()
        .map(|(id, observation)| (id, observation.note.unwrap_or_default()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_recorded_after_a_refused_change_is_all_on_the_server_and_the_original_stays(
        script in prop::collection::vec((any::<u8>(), any::<u16>()), 1..40),
    ) {
        let (server, an) = play(&script, true);
        let (there, here) = (server.document(), &an.document);
        prop_assert_eq!(document::heads(&there), document::heads(here));
        let said = notes(&there);
        for (id, note) in expected(&an) {
            prop_assert_eq!(said.get(&id), Some(&note));
        }
        prop_assert_eq!(&said, &notes(here));
        for original in &an.originals {
            prop_assert!(an.says.contains_key(original));
            prop_assert!(!server.taken.iter().any(|taken| taken.hash == *original));
        }
    }
}

/// An records twice, the first is refused, the second waits.
const REFUSED_ONCE: [(u8, u16); 3] = [(0, 0), (0, 0), (5, 0b01)];

/// The twin: without writing anew, what came after a refused change waits for ever.
#[test]
fn without_writing_anew_later_records_wait() {
    let (server, an) = play(&REFUSED_ONCE, false);
    assert!(notes(&server.document()).is_empty());
    assert_eq!(server.waiting.len(), 1);
    let (server, an_anew) = play(&REFUSED_ONCE, true);
    assert_eq!(notes(&server.document()).len(), 2);
    assert_eq!(an_anew.recorded, an.recorded);
}

/// The one observation of a document with a refused first change and a later edit of what it made.
#[test]
fn an_entry_that_only_the_refused_change_made_is_written_whole() {
    let (_, mut an, _) = begun();
    an.record(1, false);
    an.record(2, true);
    let pile: Vec<Piled> = an
        .pile
        .iter()
        .enumerate()
        .map(|(place, change)| Piled {
            change: change.clone(),
            fate: if place == 1 {
                Fate::LeftOut
            } else {
                Fate::Stands
            },
        })
        .collect();
    let fresh = Actor {
        phone: PhoneId::from_bytes([AN; 16]),
        opening: [99; 8],
    };
    let reissued = reissue(&key(), &pile, fresh)
        .expect("reissues")
        .expect("something");
    let (before, after): (PatrolLog, PatrolLog) = (
        document::read(&an.document).expect("a patrol"),
        document::read(&reissued.document).expect("a patrol"),
    );
    assert_eq!(after.observations, before.observations);
    assert_eq!(reissued.fresh.len(), 1);
    assert_eq!(reissued.set_aside.len(), 2);
    assert_eq!(reissued.set_aside[0].1, None);
}

/// Colleagues' values set apart from the original are set apart from what says it anew.
#[test]
fn a_clash_with_the_original_is_a_clash_with_what_says_it_anew() {
    let title = |text: &str| {
        let text = text.to_owned();
        move |log: &mut PatrolLog| {
            log.title = Some(text);
            Ok(())
        }
    };
    let (_, mut an, mut ha) = begun();
    let mut theirs = an.document.clone();
    an.record(1, false);
    let actor = an.actor();
    let (_, own) = document::edit(&mut an.document, actor, 0, title("An")).expect("edits");
    an.pile.push(own.expect("written"));
    let other = Actor {
        phone: PhoneId::from_bytes([HA; 16]),
        opening: [77; 8],
    };
    let (_, change) = document::edit(&mut theirs, other, 0, title("Hà")).expect("edits");
    an.hear(&[change.expect("written")]);
    ha.merge(&mut an.document.clone()).expect("merges");
    assert_eq!(
        document::clashes(&document::Whole::of(&ha)).len(),
        1,
        "there is one to keep"
    );
    let fate = |place| {
        if place == 1 {
            Fate::LeftOut
        } else {
            Fate::Stands
        }
    };
    let pile = an.pile.iter().enumerate().map(|(place, change)| Piled {
        change: change.clone(),
        fate: fate(place),
    });
    let fresh = Actor {
        opening: [99; 8],
        ..actor
    };
    let reissued = reissue(&key(), &pile.collect::<Vec<_>>(), fresh).expect("reissues");
    let clashes = document::clashes(&document::Whole::of(&reissued.expect("something").document));
    assert_eq!(clashes.len(), 1);
    assert_eq!(clashes[0].path, ["title"]);
}
