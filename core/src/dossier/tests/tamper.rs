//! Tampers: ways to change what happened in a [`World`], after which every hash is made anew. Each leaves a world that would be
//! believed if its owners had signed it, so that only the signatures are between it and belief.

use super::{
    hand::PHONES,
    world::{Event, World, WorldDocument, hash},
};
use crate::{
    document::{Key, birth},
    hash::Sha256,
    header,
    id::{PersonId, UnitId},
};
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use std::collections::BTreeMap;

/// One way to tamper.
pub(super) type Tamper = fn(&mut World, &mut dyn Rng);

/// What rewrites what a phone wrote, or for which document.
pub(super) const OF_CONTENT: [(&str, Tamper); 7] = [
    ("a change's content is edited", content_edited),
    ("a change is backdated", backdated),
    ("a change is added", change_added),
    ("another phone is the writer", writer_exchanged),
    ("a photo is exchanged", photo_exchanged),
    ("everything is moved to another unit", unit_exchanged),
    ("a document is moved to another key", key_exchanged),
];

/// What rewrites what the server says.
pub(super) const OF_RECORD: [(&str, Tamper); 11] = [
    (
        "a change is dropped and later ones re-linked",
        change_dropped,
    ),
    ("a time of receipt is changed", received_exchanged),
    ("a phone is another person's", person_exchanged),
    ("a document is dropped", document_dropped),
    ("a revocation is dropped from the log", revocation_dropped),
    ("a revocation is dropped from the file", revocation_hidden),
    ("a withheld change is not said to be", withheld_hidden),
    ("a missing file is not said to be", missing_hidden),
    ("the time of export is changed", exported_exchanged),
    ("a seal is dropped that another covers", seal_dropped),
    ("a patrol is called otherwise", name_exchanged),
];

fn index(rng: &mut dyn Rng, length: usize) -> usize {
    rng.random_range(0..length)
}

/// A change taken apart: dependencies, and everything behind them.
fn take_apart(change: &[u8]) -> (Vec<Sha256>, Vec<u8>) {
    let header = header::read(change).expect("a change");
    let length_bytes = change[9..]
        .iter()
        .take_while(|byte| **byte & 0x80 != 0)
        .count()
        + 1;
    let rest_at = 9 + length_bytes + 1 + 32 * header.deps.len();
    (header.deps, change[rest_at..].to_vec())
}

/// The change with these parts: its length, checksum and hash made anew.
fn put_together(mut deps: Vec<Sha256>, rest: &[u8]) -> Vec<u8> {
    deps.sort_unstable();
    deps.dedup();
    let mut data = vec![u8::try_from(deps.len()).expect("few")];
    data.extend(deps.iter().flat_map(|dep| *dep.as_bytes()));
    data.extend(rest);
    let mut chunk = vec![1];
    let mut length = data.len();
    while length >= 0x80 {
        chunk.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    chunk.push(u8::try_from(length).expect("seven bits"));
    chunk.extend(data);
    let checksum = &Sha256::of(&chunk).0[..4];
    [&[0x85, 0x6f, 0x4a, 0x83], checksum, &chunk].concat()
}

/// Applies `edit` to each change's number and rest, and links every later change to the new hashes, beginning with `moved`.
fn rewrite(
    document: &mut WorldDocument,
    mut moved: BTreeMap<Sha256, Vec<Sha256>>,
    mut edit: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) {
    for (at, change) in document.changes.iter_mut().enumerate() {
        let (deps, rest) = take_apart(change);
        let deps = deps
            .into_iter()
            .flat_map(|dep| moved.get(&dep).cloned().unwrap_or_else(|| vec![dep]))
            .collect();
        let new = put_together(deps, &edit(at, rest));
        moved.insert(hash(change), vec![hash(&new)]);
        *change = new;
    }
}

/// Where the numbers behind the actor stand in a change's rest: sequence number, first operation, time; and where the time ends.
fn numbers(rest: &[u8]) -> [usize; 4] {
    let behind = |at: usize| {
        at + rest[at..]
            .iter()
            .take_while(|byte| **byte & 0x80 != 0)
            .count()
            + 1
    };
    let seq = 1 + usize::from(rest[0]);
    let start_op = behind(seq);
    let time = behind(start_op);
    [seq, start_op, time, behind(time)]
}

fn content_edited(world: &mut World, rng: &mut dyn Rng) {
    let at = index(rng, world.documents.len());
    let document = &mut world.documents[at];
    let edited = index(rng, document.changes.len());
    let operations = header::read(&document.changes[edited])
        .expect("a change")
        .operations;
    // Letters that are no hexadecimal digits: the names of files stay what they are.
    let letters: Vec<usize> = (1..=operations.len())
        .filter(|from_end| matches!(operations[operations.len() - from_end], b'g'..=b'y'))
        .collect();
    let from_end = *letters.choose(rng).expect("some letters");
    rewrite(document, BTreeMap::new(), |number, mut rest| {
        if number == edited {
            let place = rest.len() - from_end;
            rest[place] += 1;
        }
        rest
    });
}

fn backdated(world: &mut World, rng: &mut dyn Rng) {
    let at = index(rng, world.documents.len());
    let document = &mut world.documents[at];
    let edited = index(rng, document.changes.len());
    // All were written in second 1; these are shorter than the sign bit of one byte.
    let second = rng.random_range(2..60_u8);
    rewrite(document, BTreeMap::new(), |number, mut rest| {
        if number == edited {
            let [_, _, time, end] = numbers(&rest);
            rest.splice(time..end, [second]);
        }
        rest
    });
}

fn change_added(world: &mut World, rng: &mut dyn Rng) {
    let at = index(rng, 2);
    let document = &mut world.documents[at];
    // The last one, in the log's order, is An's: who was not revoked.
    let last = document.changes.last().expect("changes").clone();
    let (_, mut rest) = take_apart(&last);
    let [seq, ..] = numbers(&rest);
    rest[seq] += 1;
    document
        .changes
        .push(put_together(vec![hash(&last)], &rest));
    let changes = vec![document.changes.len() - 1];
    let at_ms = rng.random_range(401..900);
    let newest = world.log.last_mut().expect("an epoch");
    newest.push(Event::Batch {
        document: at,
        changes,
        at_ms,
        admitted: false,
    });
}

fn writer_exchanged(world: &mut World, rng: &mut dyn Rng) {
    // Both wrote in both documents: they change places, so that no two changes get one number.
    let at = index(rng, 2);
    let late = Event::Revoked {
        phone: 1,
        shown: true,
    };
    rewrite(&mut world.documents[at], BTreeMap::new(), |_, mut rest| {
        let writer = PHONES
            .iter()
            .position(|phone| rest[1..17] == *phone.as_bytes());
        let other = PHONES[1 - writer.expect("a phone")];
        rest[1..17].copy_from_slice(other.as_bytes());
        rest
    });
    // Both were enrolled before anything was received.
    let newest = world.log.last_mut().expect("an epoch");
    newest.retain(|event| !matches!(event, Event::Revoked { .. }));
    newest.push(late);
    let oldest = &mut world.log[0];
    oldest.sort_by_key(|event| !matches!(event, Event::Key(_) | Event::Enrolled { .. }));
}

fn photo_exchanged(world: &mut World, rng: &mut dyn Rng) {
    let old = Sha256::of(&world.photo).to_string();
    world.photo.push(rng.random());
    let new = Sha256::of(&world.photo).to_string();
    rewrite(&mut world.documents[0], BTreeMap::new(), |_, mut rest| {
        let place = rest.windows(64).position(|digits| digits == old.as_bytes());
        if let Some(place) = place {
            rest.splice(place..place + 64, new.bytes());
        }
        rest
    });
}

/// Gives the document another name, and its changes the births of that name.
fn rename(document: &mut WorldDocument, key: Key) {
    let olds = birth(&document.key).into_iter().map(|change| change.hash);
    let news: Vec<Sha256> = birth(&key).into_iter().map(|change| change.hash).collect();
    let moved = olds
        .enumerate()
        .map(|(at, old)| (old, vec![*news.get(at).unwrap_or(&news[0])]))
        .collect();
    document.key = key;
    rewrite(document, moved, |_, rest| rest);
}

fn unit_exchanged(world: &mut World, rng: &mut dyn Rng) {
    let unit = UnitId::from_bytes(rng.random());
    let super::Selection::UnitPeriod(_, period) = world.selection else {
        unreachable!("the world is a unit's period");
    };
    world.selection = super::Selection::UnitPeriod(unit, period);
    for at in 0..2 {
        let key = Key {
            unit,
            ..world.documents[at].key.clone()
        };
        rename(&mut world.documents[at], key);
    }
    let reviewed = world.documents[0].key.document();
    rename(&mut world.documents[2], Key::review(unit, reviewed));
}

fn key_exchanged(world: &mut World, rng: &mut dyn Rng) {
    let old = world.documents[0].key.clone();
    match rng.random_range(0..3) {
        0 => {
            let fresh = uuid::Builder::from_unix_timestamp_millis(7, &rng.random()).into_uuid();
            rename(&mut world.documents[0], Key::patrol(old.unit, fresh));
        }
        1 => {
            let (_, period) = world.documents[1].key.evidence_of().expect("evidence");
            let criterion = "3".parse().expect("a criterion");
            rename(
                &mut world.documents[1],
                Key::evidence(old.unit, criterion, &period),
            );
        }
        // A patrol passed off as the evidence of a criterion.
        _ => {
            let (_, period) = world.documents[1].key.evidence_of().expect("evidence");
            let criterion = "4".parse().expect("a criterion");
            rename(
                &mut world.documents[0],
                Key::evidence(old.unit, criterion, &period),
            );
        }
    }
    let reviewed = world.documents[0].key.document();
    if reviewed != old.document() {
        rename(&mut world.documents[2], Key::review(old.unit, reviewed));
    }
}

fn change_dropped(world: &mut World, rng: &mut dyn Rng) {
    // Any but the one that names the photo, and the review's only one.
    let places = [(0, 0), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)];
    let (at, dropped) = *places.choose(rng).expect("places");
    let document = &mut world.documents[at];
    let gone = document.changes.remove(dropped);
    let (deps, gone_rest) = take_apart(&gone);
    let actor = gone_rest[..numbers(&gone_rest)[0]].to_vec();
    let moved = BTreeMap::from([(hash(&gone), deps)]);
    rewrite(document, moved, |number, mut rest| {
        let [seq, ..] = numbers(&rest);
        if number >= dropped && rest[..seq] == actor {
            rest[seq] -= 1;
        }
        rest
    });
    document.withheld = document
        .withheld
        .iter()
        .filter(|change| **change != dropped)
        .map(|change| change - usize::from(*change > dropped))
        .collect();
    for event in world.log.iter_mut().flatten() {
        if let Event::Batch {
            document, changes, ..
        } = event
            && *document == at
        {
            changes.retain(|change| *change != dropped);
            for change in changes.iter_mut().filter(|change| **change > dropped) {
                *change -= 1;
            }
        }
    }
}

fn received_exchanged(world: &mut World, rng: &mut dyn Rng) {
    let mut times: Vec<&mut i64> = world
        .log
        .iter_mut()
        .flatten()
        .filter_map(|event| match event {
            Event::Batch { at_ms, .. } | Event::File { at_ms } => Some(at_ms),
            _ => None,
        })
        .collect();
    let at = index(rng, times.len());
    *times[at] -= rng.random_range(1..1_000_000_000);
}

fn person_exchanged(world: &mut World, rng: &mut dyn Rng) {
    let number = index(rng, 2);
    for event in world.log.iter_mut().flatten() {
        if let Event::Enrolled { phone, person } = event
            && *phone == number
        {
            *person = PersonId::from_bytes(rng.random());
        }
    }
}

fn document_dropped(world: &mut World, rng: &mut dyn Rng) {
    match rng.random_range(0..3) {
        // With the decisions about it.
        0 => {
            world.documents[0].dropped = true;
            world.documents[2].dropped = true;
        }
        other => world.documents[other].dropped = true,
    }
}

fn revocation_dropped(world: &mut World, rng: &mut dyn Rng) {
    for event in world.log.iter_mut().flatten() {
        if matches!(event, Event::Revoked { .. }) {
            *event = Event::Other(crate::id::PhoneId::from_bytes(rng.random()));
        }
    }
}

fn revocation_hidden(world: &mut World, _: &mut dyn Rng) {
    for event in world.log.iter_mut().flatten() {
        if let Event::Revoked { shown, .. } = event {
            *shown = false;
        }
    }
}

fn withheld_hidden(world: &mut World, _: &mut dyn Rng) {
    world.documents[1].withheld.clear();
}

fn missing_hidden(world: &mut World, _: &mut dyn Rng) {
    world.documents[1].missing.clear();
}

fn name_exchanged(world: &mut World, rng: &mut dyn Rng) {
    world.called = format!("Ca {}", rng.random_range(0..1_000_000));
}

fn exported_exchanged(world: &mut World, rng: &mut dyn Rng) {
    world.exported_at_ms += rng.random_range(1..1_000_000);
}

fn seal_dropped(world: &mut World, rng: &mut dyn Rng) {
    // An's first two in the patrol stand under the seal of the fourth; Hà's first in the evidence under that of the second.
    let (at, change) = *[(0, 0), (0, 1), (1, 0)].choose(rng).expect("places");
    world.documents[at].unsealed.insert(change);
}
