//! The documents that are measured, made in thousands: a *patrol document* of the project's table, or a small one.
//!
//! To edit one thirty-two times takes longer than to sync it, so each is made once as a template and then renamed: the actor, the
//! person and the hashes it depends on are replaced in the bytes of its changes by others of the same length, and every change gets
//! its new checksum and hash. What comes out is what a phone would have written (the test loads it and reads it). Several templates
//! with random content, so that a compressor does not find one document a thousand times.

use kieumau_core::{
    attachment::Attachment,
    catalogue::Catalogue,
    document::{self, Actor, Change, Key, birth},
    hash::Sha256,
    header,
    id::{PersonId, PhoneId, UnitId},
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    position::{Fix, Position},
    seal::Signer,
    stamp::Stamp,
    wire::{PushedDocument, ReceiptRequest, WireKey},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const OBSERVATIONS: usize = 15;
const CHUNKS: usize = 10;
const FIXES_PER_CHUNK: usize = 60;
const ATTACHMENTS: usize = 5;
/// With six texts and times, four forces, four kinds of vehicles and four pauses of three fields, 31 fields of a head.
const TEAM: usize = 5;
const PAUSES: i64 = 4;
/// Some evening of the pilot year, Unix milliseconds.
const START_MS: i64 = 1_795_410_000_000;
/// Magic and checksum of a change; its hash covers the rest.
const HASHED_FROM: usize = 8;
/// Syllables of one note: with what else is in it, a document of this size is as large as the table says.
const NOTE: usize = 104;
const SMALL_NOTE: usize = 8;
/// Parts of made-up syllables: a compressor finds as little in them as in what people write.
const ONSETS: [&str; 22] = [
    "b", "c", "ch", "d", "đ", "g", "gi", "h", "kh", "l", "m", "n", "ng", "nh", "ph", "qu", "s",
    "t", "th", "tr", "v", "x",
];
const VOWELS: [&str; 15] = [
    "a", "ă", "â", "e", "ê", "i", "o", "ô", "ơ", "u", "ư", "ươ", "iê", "uô", "oa",
];
const CODAS: [&str; 8] = ["", "c", "m", "n", "ng", "nh", "p", "t"];

/// How much is in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 31 fields of a head, 600 fixes, 15 observations, 5 attachments, 32 changes.
    Patrol,
    /// A title and one observation, one change.
    Small,
}

/// Who writes a document.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// Their unit.
    pub unit: UnitId,
    /// The person.
    pub person: PersonId,
    /// Who is on the team beside them.
    pub colleague: PersonId,
    /// Their phone.
    pub phone: PhoneId,
}

/// Changes of one document, to be renamed.
#[derive(Clone, Debug)]
pub struct Template {
    key: Key,
    author: Author,
    actor: Actor,
    changes: Vec<Change>,
}

/// A document as one phone holds it, unsent.
#[derive(Clone, Debug)]
pub struct Made {
    /// What names it.
    pub key: Key,
    /// Its changes without its birth, oldest first.
    pub changes: Vec<Change>,
}

/// So many templates with different content, drawn from `seed`.
#[must_use]
pub fn several(shape: Shape, count: usize, seed: u64) -> Vec<Template> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| Template::new(shape, &mut rng)).collect()
}

impl Template {
    /// A document with random content.
    ///
    /// # Panics
    /// When it breaks a rule of the product: then it is no document to measure.
    #[must_use]
    pub fn new(shape: Shape, rng: &mut StdRng) -> Self {
        let author = Author {
            unit: UnitId::from_bytes(rng.random()),
            person: PersonId::fresh(START_MS, rng.random()),
            colleague: PersonId::fresh(START_MS, rng.random()),
            phone: PhoneId::from_bytes(rng.random()),
        };
        let actor = Actor {
            phone: author.phone,
            opening: rng.random(),
        };
        let key = Key::patrol(author.unit, kieumau_core::id::fresh(START_MS, rng.random()));
        let mut writer = Writer {
            document: document::new(&key),
            actor,
            author,
            at_ms: START_MS,
            changes: Vec::new(),
        };
        match shape {
            Shape::Patrol => writer.patrol(rng),
            Shape::Small => writer.small(rng),
        }
        Self {
            key,
            author,
            actor,
            changes: writer.changes,
        }
    }

    /// The same content as `author`'s document under a fresh name.
    ///
    /// # Panics
    /// When a change depends on two others: their order in its bytes would be another one.
    #[must_use]
    pub fn renamed(&self, author: Author, opening: [u8; 8]) -> Made {
        let key = Key::patrol(author.unit, uuid::Uuid::now_v7());
        let actor = Actor {
            phone: author.phone,
            opening,
        };
        let text = |id: PersonId| id.to_string().into_bytes();
        let mut renames = vec![
            (self.actor.to_bytes().to_vec(), actor.to_bytes().to_vec()),
            (text(self.author.person), text(author.person)),
            (text(self.author.colleague), text(author.colleague)),
        ];
        let fixed = renames.len();
        for (old, new) in birth(&self.key).iter().zip(birth(&key)) {
            renames.push((old.hash.as_bytes().to_vec(), new.hash.as_bytes().to_vec()));
        }
        let mut changes = Vec::with_capacity(self.changes.len());
        for old in &self.changes {
            let deps = header::read(&old.bytes).expect("a change").deps;
            assert_eq!(deps.len(), 1, "one phone wrote it, one after the other");
            let mut bytes = old.bytes.clone();
            for (from, to) in &renames {
                replace(&mut bytes, from, to);
            }
            let hash = Sha256::of(&bytes[HASHED_FROM..]);
            bytes[4..HASHED_FROM].copy_from_slice(&hash.as_bytes()[..4]);
            // Only the next change names this one.
            renames.truncate(fixed);
            renames.push((old.hash.as_bytes().to_vec(), hash.as_bytes().to_vec()));
            changes.push(Change { hash, bytes });
        }
        Made { key, changes }
    }
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at] == from[0] && bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
            at += from.len();
        } else {
            at += 1;
        }
    }
}

/// Writes a template, change by change.
struct Writer {
    document: automerge::Automerge,
    actor: Actor,
    author: Author,
    at_ms: i64,
    changes: Vec<Change>,
}

impl Writer {
    fn change<T>(
        &mut self,
        rng: &mut StdRng,
        change: impl FnOnce(&mut PatrolLog, Stamp) -> Result<T, kieumau_core::invalid::Invalid>,
    ) {
        self.at_ms += rng.random_range(20_000..90_000);
        let stamp = Stamp {
            by: self.author.person,
            at_ms: self.at_ms,
            random: rng.random(),
        };
        let (_, change) = document::edit(&mut self.document, self.actor, self.at_ms, |log| {
            change(log, stamp)
        })
        .expect("no rule is broken");
        self.changes.extend(change);
    }

    fn patrol(&mut self, rng: &mut StdRng) {
        let catalogue = Catalogue::placeholder();
        let title = words(rng, 4);
        let counts = |items: &[kieumau_core::catalogue::Item], rng: &mut StdRng| {
            items
                .iter()
                .map(|item| (item.code.clone(), rng.random_range(1..9)))
                .collect()
        };
        let others = (1..TEAM - 1).map(|_| PersonId::fresh(START_MS, rng.random()));
        let team = std::iter::once(self.author.colleague).chain(others);
        let new = NewPatrol {
            title,
            team: team.collect(),
            forces: counts(&catalogue.forces, rng),
            vehicles: counts(&catalogue.vehicles, rng),
            ..NewPatrol::default()
        };
        self.change(rng, |log, stamp| log.start(stamp, new));
        for _ in 0..OBSERVATIONS {
            let new = observation(rng, NOTE);
            self.change(rng, |log, stamp| log.observe(stamp, new));
        }
        let mut place = (18.67, 105.68);
        let mut at_ms = START_MS;
        for _ in 0..CHUNKS {
            let fixes = walk(rng, &mut place, &mut at_ms);
            self.change(rng, |log, stamp| log.add_track(stamp, None, &fixes));
        }
        for _ in 0..ATTACHMENTS {
            let sha256 = Sha256::of(&rng.random::<[u8; 32]>());
            let size_bytes = rng.random_range(1_000_000..9_000_000);
            self.change(rng, |log, stamp| {
                let attachment = Attachment {
                    item: None,
                    sha256,
                    size_bytes,
                    media_type: "image/jpeg".to_owned(),
                    attached_at_ms: stamp.at_ms,
                    attached_by: stamp.by,
                    withdrawn_at_ms: None,
                };
                log.attach(stamp, attachment)
            });
        }
        self.change(rng, |log, stamp| {
            for pause in 0..PAUSES {
                let at = |seconds: i64| Stamp {
                    at_ms: stamp.at_ms + 1_000 * (60 * pause + seconds),
                    random: [u8::try_from(pause).unwrap_or_default(); 10],
                    ..stamp
                };
                log.pause(at(0))?;
                log.resume(at(30))?;
            }
            log.end(stamp)
        });
    }

    fn small(&mut self, rng: &mut StdRng) {
        let start = NewPatrol {
            title: words(rng, 3),
            team: vec![self.author.colleague],
            ..NewPatrol::default()
        };
        let new = observation(rng, SMALL_NOTE);
        self.change(rng, |log, stamp| {
            log.start(stamp, start)?;
            log.observe(stamp, new)
        });
    }
}

/// The first change of a new patrol by `author`, written into `document`.
///
/// # Panics
/// When it breaks a rule of the product.
pub fn started(document: &mut automerge::Automerge, author: Author) -> Change {
    let actor = Actor {
        phone: author.phone,
        opening: [0x17; 8],
    };
    let stamp = Stamp {
        by: author.person,
        at_ms: START_MS,
        random: [1; 10],
    };
    let new = NewPatrol {
        title: "Ca đo".to_owned(),
        team: vec![author.colleague],
        ..NewPatrol::default()
    };
    let (_, change) = document::edit(document, actor, START_MS, |log: &mut PatrolLog| {
        log.start(stamp, new)
    })
    .expect("no rule is broken");
    change.expect("something was written")
}

fn words(rng: &mut StdRng, count: usize) -> String {
    let mut part = |parts: &[&'static str]| parts[rng.random_range(0..parts.len())];
    let words: Vec<String> = (0..count)
        .map(|_| format!("{}{}{}", part(&ONSETS), part(&VOWELS), part(&CODAS)))
        .collect();
    words.join(" ")
}

fn observation(rng: &mut StdRng, note: usize) -> NewObservation {
    NewObservation {
        note: Some(words(rng, note)),
        ..NewObservation::of("urban-order", rng.random_range(1..20), "case")
    }
}

/// Sixty fixes of somebody on foot, ten seconds apart.
fn walk(rng: &mut StdRng, place: &mut (f64, f64), at_ms: &mut i64) -> Vec<Fix> {
    (0..FIXES_PER_CHUNK)
        .map(|_| {
            place.0 += rng.random_range(-0.000_05..0.000_15);
            place.1 += rng.random_range(-0.000_1..0.000_1);
            *at_ms += 10_000 + rng.random_range(-400..400);
            Fix {
                at_ms: *at_ms,
                position: Position::from_degrees(place.0, place.1).expect("in Vinh"),
                accuracy_dm: Some(rng.random_range(30..120)),
            }
        })
        .collect()
}

impl Made {
    /// Everything of it as one push brings it, with one fresh seal over all.
    ///
    /// # Panics
    /// When it has no changes.
    #[must_use]
    pub fn pushed(&self, key: &ed25519_dalek::SigningKey, phone: PhoneId) -> PushedDocument {
        let newest = self.changes.last().expect("changes").hash;
        PushedDocument {
            key: WireKey::from(&self.key),
            changes: self.changes.iter().map(|c| c.bytes.clone()).collect(),
            seals: vec![self.key.seal(key, Signer::Phone(phone), newest)],
        }
    }

    /// The question for its receipt. About the text: photos go after it, and are no part of this measure.
    ///
    /// # Panics
    /// When it has no changes.
    #[must_use]
    pub fn receipt(&self) -> ReceiptRequest {
        ReceiptRequest {
            document: self.key.document(),
            heads: vec![self.changes.last().expect("changes").hash],
            attachments: Vec::new(),
        }
    }

    /// The whole document.
    ///
    /// # Panics
    /// When its bytes are not what they should be.
    #[must_use]
    pub fn document(&self) -> automerge::Automerge {
        document::load(&self.key, self.changes.iter().map(|c| &c.bytes[..])).expect("it loads")
    }

    /// The same records as JSON, the track as a list of fixes: what a system without documents of changes would keep.
    ///
    /// # Panics
    /// When the document is not what it should be.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let log: PatrolLog = document::read(&self.document()).expect("a patrol log");
        let fixes: Vec<_> = log
            .tracks()
            .into_iter()
            .flat_map(|track| track.fixes)
            .collect();
        let mut value = serde_json::to_value(&log).expect("JSON");
        let fixes = fixes.iter().map(|fix| {
            serde_json::json!([
                fix.at_ms,
                fix.position.lat(),
                fix.position.lon(),
                fix.accuracy_dm
            ])
        });
        value["track"] = fixes.collect();
        value["_id"] = self.key.document().to_string().into();
        value["kind"] = self.key.kind.word().into();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 20_231_121;

    fn author() -> Author {
        let mut rng = StdRng::seed_from_u64(7);
        Author {
            unit: UnitId::from_bytes(rng.random()),
            person: PersonId::fresh(1, rng.random()),
            colleague: PersonId::fresh(1, rng.random()),
            phone: PhoneId::from_bytes(rng.random()),
        }
    }

    #[test]
    fn a_renamed_document_is_one_that_its_new_author_would_have_written() {
        let template = Template::new(Shape::Patrol, &mut StdRng::seed_from_u64(SEED));
        let made = template.renamed(author(), [9; 8]);
        let log: PatrolLog = document::read(&made.document()).expect("a patrol log");
        assert_eq!(log.check(), Ok(()));
        assert_eq!(log.started_by, Some(author().person));
        assert!(log.has(author().colleague));
        for change in &made.changes {
            let header = header::read(&change.bytes).expect("its checksum is right");
            assert_eq!(header.hash, change.hash);
            let actor = Actor::from_slice(header.actor).expect("a phone's");
            assert_eq!((actor.phone, actor.opening), (author().phone, [9; 8]));
        }
        let twice = template.renamed(author(), [9; 8]);
        assert_ne!(twice.key, made.key);
        assert_ne!(twice.changes, made.changes);
    }

    #[test]
    fn a_patrol_document_is_as_large_as_the_table_of_targets_says() {
        let template = Template::new(Shape::Patrol, &mut StdRng::seed_from_u64(SEED));
        let made = template.renamed(author(), [9; 8]);
        let document = made.document();
        let log: PatrolLog = document::read(&document).expect("a patrol log");
        let fixes: usize = log.tracks().iter().map(|track| track.fixes.len()).sum();
        let head =
            6 + log.team.len() + log.forces.len() + log.vehicles.len() + 3 * log.pauses.len();
        assert_eq!(
            (
                head,
                fixes,
                log.observations.len(),
                log.attachments.len(),
                made.changes.len()
            ),
            (31, 600, 15, 5, 32)
        );
        let saved = document.save().len();
        assert!((11_000..12_000).contains(&saved), "{saved} bytes saved");
    }
}
