//! Every known way to hurt who reads a change, one case each: its bytes, and what must become of them. Each case stands in a patrol
//! of its own that began honestly, so that what is hostile is the one change and nothing around it.

use super::chunk::{Chunk, column, framed, leb128, run};
use crate::driver::Driver;
use automerge::{
    ActorId, Automerge, ObjType, ROOT, ScalarValue,
    transaction::{CommitOptions, Transactable as _},
};
use kieumau_core::{
    document::{self, Actor, Key, Kind, birth},
    hash::Sha256,
    header,
    patrol::PatrolLog,
    wire::{PushedDocument, WireKey},
};

/// What must become of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The push says this word; the bytes lie in quarantine under it.
    Refused(&'static str),
    /// It is stored; the worker withholds it under one of these words.
    Withheld(&'static [&'static str]),
    /// It is good: the twin of a case beside it.
    Checked,
}

/// What a worker that was killed leaves as a reason.
const LOST: &[&str] = &["worker-died", "worker-too-slow"];

/// One hostile change.
#[derive(Debug)]
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// What is pushed: an honest beginning, and the hostile change last.
    pub document: PushedDocument,
    /// The hostile change by its hash, or by that of the bytes.
    pub hash: Sha256,
    /// What must become of it.
    pub fate: Fate,
}

/// The corpus, written and sealed by `an`; `ha` is a colleague, `binh` of another unit.
///
/// # Panics
/// When what is honest about a case breaks a rule.
#[must_use]
pub fn cases(an: &Driver, ha: &Driver, binh: &Driver) -> Vec<Case> {
    let maker = Maker { an };
    let mut cases = maker.bombs();
    cases.extend(maker.not_canonical());
    cases.extend(maker.no_change());
    cases.extend(maker.nonsense());
    cases.extend(maker.forged(ha, binh));
    cases
}

/// The bombs alone, written by this phone.
#[must_use]
pub fn bombs(an: &Driver) -> Vec<Case> {
    Maker { an }.bombs()
}

struct Maker<'a> {
    an: &'a Driver,
}

impl Maker<'_> {
    /// A case of the second change of a patrol, changed.
    fn case(&self, name: &'static str, fate: Fate, bend: impl FnOnce(&mut Chunk)) -> Case {
        let (key, changes) = self.an.patrol(1);
        let mut chunk = Chunk::of(&changes[1].bytes);
        bend(&mut chunk);
        self.sealed(
            name,
            fate,
            &key,
            vec![changes[0].bytes.clone(), chunk.bytes()],
        )
    }

    /// A case of these changes of a document, the last of which is the hostile one.
    fn sealed(&self, name: &'static str, fate: Fate, key: &Key, changes: Vec<Vec<u8>>) -> Case {
        let hashes: Vec<Sha256> = changes
            .iter()
            .map(|bytes| header::read(bytes).map_or_else(|_| Sha256::of(bytes), |it| it.hash))
            .collect();
        Case {
            name,
            hash: *hashes.last().expect("a change"),
            document: PushedDocument {
                key: WireKey::from(key),
                changes,
                seals: hashes.iter().map(|hash| self.an.seal(key, *hash)).collect(),
            },
            fate,
        }
    }

    /// What makes its reader work or grow.
    fn bombs(&self) -> Vec<Case> {
        let deep = Fate::Withheld(&["breaks-a-rule", "worker-died", "worker-too-slow"]);
        let lost = Fate::Withheld(LOST);
        let many = |length: u64| {
            move |chunk: &mut Chunk| {
                chunk.columns = vec![
                    (column::KEY, [run(length), vec![1, b'x']].concat()),
                    (column::INSERT, leb128(length)),
                    (column::ACTION, [run(length), vec![1]].concat()),
                    (column::VALUE_META, [run(length), vec![0]].concat()),
                    (column::PRED_COUNT, [run(length), vec![0]].concat()),
                ];
            }
        };
        let huge = |column: u64, value: u64| {
            move |chunk: &mut Chunk| {
                many(1)(chunk);
                let one = [vec![0x7f], leb128(value)].concat();
                chunk.set(column, one);
            }
        };
        let malformed = Fate::Withheld(&["not-a-change", "not-canonical", "worker-died"]);
        vec![
            self.case("10^8 operations in a few bytes", lost, many(100_000_000)),
            self.case("10^7 operations, for memory", lost, many(10_000_000)),
            self.case(
                "an operation that replaces 2^60",
                malformed,
                huge(column::PRED_COUNT, 1 << 60),
            ),
            self.case(
                "an operation that replaces 2^32",
                malformed,
                huge(column::PRED_COUNT, 1 << 32),
            ),
            self.case(
                "a text of 2^50 bytes",
                malformed,
                huge(column::VALUE_META, (1 << 54) | 6),
            ),
            // Found to be too deep, or the end of who reads it: which, is a matter of the stack.
            self.deep("maps nested 100,000 deep", 100_000, deep),
            self.deep("maps nested 10,000 deep", 10_000, deep),
            self.deep(
                "maps nested 66 deep",
                66,
                Fate::Withheld(&["breaks-a-rule"]),
            ),
            // Not too deep, and yet no observation.
            self.deep("maps nested 60 deep", 60, Fate::Withheld(&["not-its-kind"])),
            self.track("a track that says 2^60 fixes", &leb128(1 << 60)),
            self.track("a track of a megabyte of noise", &[0xa5; 900_000]),
        ]
    }

    /// Maps in maps, written by Automerge itself: every byte is right.
    fn deep(&self, name: &'static str, depth: usize, fate: Fate) -> Case {
        self.written(name, fate, |patrol| {
            let mut change = patrol.transaction();
            let (_, mut object) = automerge::ReadDoc::get(&change, ROOT, "observations")
                .expect("reads")
                .expect("a birth has it");
            for _ in 0..depth {
                object = change
                    .put_object(&object, "x", ObjType::Map)
                    .expect("a map");
            }
            change.commit_with(CommitOptions::default().with_time(0));
        })
    }

    fn track(&self, name: &'static str, fixes: &[u8]) -> Case {
        let by = self.an.enrolled.person.to_string();
        self.written(
            name,
            Fate::Withheld(&["not-its-kind", "track-malformed", "breaks-a-rule"]),
            |patrol| {
                let mut change = patrol.transaction();
                let (_, track) = automerge::ReadDoc::get(&change, ROOT, "track")
                    .expect("reads")
                    .expect("a birth has it");
                let id = uuid::Uuid::now_v7().to_string();
                let piece = change.put_object(&track, id, ObjType::Map).expect("a map");
                change.put(&piece, "by", by.as_str()).expect("put");
                change
                    .put(&piece, "fixes", ScalarValue::Bytes(fixes.to_vec()))
                    .expect("put");
                change.commit_with(CommitOptions::default().with_time(0));
            },
        )
    }

    /// A change that Automerge writes after a patrol's start.
    fn written(&self, name: &'static str, fate: Fate, write: impl FnOnce(&mut Automerge)) -> Case {
        let (key, changes) = self.an.patrol(0);
        let start = &changes[0].bytes;
        let mut patrol = document::load(&key, [start.as_slice()]).expect("it is honest so far");
        let actor = Chunk::of(start).actor;
        patrol.set_actor(ActorId::from(actor.as_slice()));
        write(&mut patrol);
        let last = patrol.get_last_local_change().expect("it wrote");
        let bytes = last.raw_bytes().to_vec();
        self.sealed(name, fate, &key, vec![start.clone(), bytes])
    }

    /// A change after a patrol's start that says of the title's value that it is gone, under the field of this name.
    fn takes_title_from(&self, name: &'static str, fate: Fate, field: &str) -> Case {
        let (key, changes) = self.an.patrol(0);
        let start = &changes[0].bytes;
        let mut patrol = document::load(&key, [start.as_slice()]).expect("it is honest so far");
        patrol.set_actor(ActorId::from(Chunk::of(start).actor.as_slice()));
        let mut change = patrol.transaction();
        change.delete(ROOT, "title").expect("it has one");
        change.commit_with(CommitOptions::default().with_time(0));
        let last = patrol.get_last_local_change().expect("it wrote");
        let mut says = last.decode();
        says.operations[0].key = automerge::legacy::Key::Map(field.into());
        let bytes = automerge::Change::from(says).raw_bytes().to_vec();
        self.sealed(name, fate, &key, vec![start.clone(), bytes])
    }

    /// What says the same in other bytes: each loads once and never again after it was saved.
    fn not_canonical(&self) -> Vec<Case> {
        let other = Fate::Withheld(&["not-canonical"]);
        let split = |chunk: &mut Chunk| {
            // All false: one run. Now two, with an empty one between them.
            let operations = chunk.column(column::INSERT)[0];
            chunk.set(column::INSERT, vec![1, 0, operations - 1]);
        };
        let overlong = |chunk: &mut Chunk| {
            let operations = chunk.column(column::INSERT)[0];
            chunk.set(column::INSERT, vec![operations | 0x80, 0]);
        };
        vec![
            self.case("a run that is split", other, split),
            self.case(
                "a number longer than it needs to be",
                Fate::Withheld(&["not-canonical", "not-a-change"]),
                overlong,
            ),
            self.case("a column that nobody knows", other, |chunk| {
                chunk.set(column::UNKNOWN, vec![1, 2, 3]);
            }),
            self.case("an actor that nothing mentions", other, |chunk| {
                chunk.others.push(vec![9; 24]);
            }),
            self.case("bytes after the end of all columns", other, |chunk| {
                chunk.extra = vec![0; 1_000];
            }),
            self.case(
                "an empty column",
                Fate::Withheld(&["not-canonical", "not-a-change"]),
                |chunk| {
                    chunk.set(column::VALUE | 0x1000, Vec::new());
                },
            ),
        ]
    }

    /// What is not one uncompressed change.
    fn no_change(&self) -> Vec<Case> {
        let malformed = Fate::Refused("malformed");
        let (key, changes) = self.an.patrol(1);
        let (start, good) = (&changes[0].bytes, &changes[1].bytes);
        let whole =
            |name, bytes: Vec<u8>| self.sealed(name, malformed, &key, vec![start.clone(), bytes]);
        // 64 MiB of nothing, saved: some tens of kilobytes that inflate to all of it.
        let mut inflated = Automerge::new();
        let mut change = inflated.transaction();
        change
            .put(ROOT, "x", ScalarValue::Bytes(vec![0; 64 << 20]))
            .expect("put");
        change.commit();
        let mut compressed = inflated.get_last_local_change().expect("written");
        let bent = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let mut cases = vec![
            whole("a whole document that inflates to 64 MiB", inflated.save()),
            whole(
                "a compressed change that inflates to 64 MiB",
                compressed.bytes().into_owned(),
            ),
            whole("a type of chunk that nobody knows", framed(7, &good[10..])),
            whole("a wrong checksum", bent(5)),
            whole(
                "a byte bent, the checksum not repaired",
                bent(good.len() - 1),
            ),
            whole("nothing", Vec::new()),
            whole("two changes in one", [good.as_slice(), good].concat()),
        ];
        type Bend = fn(&mut Chunk);
        let headers: [(&str, Bend); 4] = [
            ("sixty-five dependencies", |chunk| {
                chunk.deps = (0..65_u64).map(|n| Sha256::of(&n.to_le_bytes())).collect();
                chunk.deps.sort_unstable();
            }),
            ("a time beyond the year 9999", |chunk| {
                chunk.time = run(1 << 40);
            }),
            ("a message that is no text", |chunk| {
                chunk.message = vec![0xff, 0xfe]
            }),
            ("an actor of a hundred bytes", |chunk| {
                chunk.actor = vec![7; 100]
            }),
        ];
        cases.extend(headers.map(|(name, bend)| self.case(name, malformed, bend)));
        cases.push(self.case(
            "a compressed column",
            Fate::Withheld(&["not-a-change"]),
            |chunk| {
                for (number, _) in &mut chunk.columns {
                    if *number == column::INSERT {
                        *number |= column::DEFLATED;
                    }
                }
            },
        ));
        cases
    }

    /// Good bytes that say what no phone of ours would.
    fn nonsense(&self) -> Vec<Case> {
        let person = self.an.enrolled.person;
        let key = self.an.patrol(0).0;
        let named = "20/2025-11-16..2026-11-15";
        let evidence = Key::parse(Kind::EvidenceFile, key.unit, named).expect("a key");
        let births = birth(&evidence);
        let started = self.an.patrol(0).1;
        let mut elsewhere = Chunk::of(&started[0].bytes);
        elsewhere.deps = births.iter().map(|change| change.hash).collect();
        elsewhere.deps.sort_unstable();
        let bytes = elsewhere.bytes();
        vec![
            self.sealed(
                "a patrol's change in an evidence file",
                Fate::Withheld(&["points-elsewhere"]),
                &evidence,
                vec![bytes],
            ),
            self.written(
                "a root map replaced by a number",
                Fate::Withheld(&["takes-a-record-away"]),
                |patrol| {
                    let mut change = patrol.transaction();
                    change.put(ROOT, "observations", 7).expect("put");
                    change.commit_with(CommitOptions::default().with_time(0));
                },
            ),
            self.written(
                "all observations taken away",
                Fate::Withheld(&["takes-a-record-away"]),
                |patrol| {
                    let mut change = patrol.transaction();
                    change.delete(ROOT, "observations").expect("it has them");
                    change.commit_with(CommitOptions::default().with_time(0));
                },
            ),
            self.takes_title_from(
                "a value said to be gone from where it never was",
                Fate::Withheld(&["points-elsewhere"]),
                "a",
            ),
            self.takes_title_from("its twin: from where it is", Fate::Checked, "title"),
            self.written(
                "a title of ten thousand letters",
                Fate::Withheld(&["breaks-a-rule"]),
                |patrol| {
                    let mut change = patrol.transaction();
                    change.put(ROOT, "title", "x".repeat(10_000)).expect("put");
                    change.commit_with(CommitOptions::default().with_time(0));
                },
            ),
            self.written(
                "another's name",
                Fate::Withheld(&["another-name"]),
                |patrol| {
                    let log: PatrolLog = document::read(patrol).expect("a patrol");
                    assert_eq!(log.started_by, Some(person));
                    let mut change = patrol.transaction();
                    let another = uuid::Uuid::now_v7().to_string();
                    change.put(ROOT, "ended_by", another).expect("put");
                    change.commit_with(CommitOptions::default().with_time(0));
                },
            ),
        ]
    }

    /// What claims to be another's, or to stand where it does not.
    fn forged(&self, ha: &Driver, binh: &Driver) -> Vec<Case> {
        let foreign = Actor {
            phone: ha.enrolled.phone,
            opening: [1; 8],
        };
        let unsealed = Fate::Refused("unsealed");
        let mut cases = vec![
            self.case("a number left out", Fate::Refused("sequence"), |chunk| {
                chunk.seq += 1
            }),
            self.case("a number used before", Fate::Refused("sequence"), |chunk| {
                chunk.seq = 1
            }),
            self.case("a colleague's phone as its actor", unsealed, |chunk| {
                chunk.actor = foreign.to_bytes().to_vec();
            }),
            self.case(
                "the actor of a birth",
                Fate::Refused("forged-birth"),
                |chunk| {
                    chunk.actor = b"genesis0".to_vec();
                },
            ),
        ];
        let not_allowed = Fate::Refused("not-allowed");
        let (key, changes) = self.an.patrol(0);
        let bytes = changes[0].bytes.clone();
        let theirs = Key::patrol(binh.enrolled.unit, uuid::Uuid::now_v7());
        cases.push(self.sealed(
            "another unit's document",
            not_allowed,
            &theirs,
            vec![bytes.clone()],
        ));
        let review = Key::review(key.unit, key.document());
        cases.push(self.sealed(
            "a kind that only the server writes",
            not_allowed,
            &review,
            vec![bytes],
        ));
        cases
    }
}
