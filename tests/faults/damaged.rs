//! F5: a phone's file with a bit flipped or its end cut off. What is damaged is found by the first call that touches it, never with a
//! panic, or does no harm; what a call gives is never other than what was recorded. SQLite takes a log up to its first bad frame; that
//! records are gone is found out by the mark that lies beside it, and said. What was detected is salvaged: that gives nothing else either.

use kieumau_core::{
    id::DocumentId,
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{ObservationView, Phone, PhoneError},
};
use kieumau_tests::{
    trial,
    world::{World, open, try_open, try_salvage},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

const OBSERVATIONS: usize = 30;

/// What became of one damaged folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Everything is there.
    Harmless,
    /// A call said so.
    Detected,
    /// The log was found damaged, and nothing is lost.
    Mended,
    /// The log was found damaged, and what is lost was said.
    Said,
    /// The last records are not there and nobody said so.
    Shorter,
    /// A call gave what was never recorded.
    Other,
    /// A call panicked.
    Panicked,
}

/// The files of a phone's database, by name.
type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    ["kieumau.db", "kieumau.db-wal", "kieumau.mark"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), fs::read(folder.join(name)).ok()?)))
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect()
}

/// A phone's database in use, with its log, and the same at rest; and what it holds.
async fn recorded(world: &World) -> (Files, Files, DocumentId, Vec<ObservationView>) {
    let folder = world.folder().join("recorded");
    let phone = open(&folder, &Arc::new(AtomicI64::new(0))).await;
    let code = world.server.code("an").await;
    let enrolled = phone.enrol(&world.server.ward.url, &code.code).await;
    enrolled.expect("enrols");
    let new = NewPatrol {
        title: "Ca máy hỏng".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for number in 0..OBSERVATIONS {
        let new = NewObservation {
            note: Some(format!("Vụ việc {number}")),
            ..NewObservation::of("urban-order", 1, "case")
        };
        phone.add_observation(patrol, new).await.expect("recorded");
    }
    let kept = phone.observations(patrol).await.expect("reads");
    let in_use = files(&folder);
    drop(phone);
    open(&folder, &Arc::new(AtomicI64::new(0))).await;
    (in_use, files(&folder), patrol, kept)
}

/// Everything the patrol holds, what is said about damage, and one more record.
async fn all_of(
    phone: Phone,
    patrol: DocumentId,
) -> Result<(Vec<ObservationView>, Option<u32>), PhoneError> {
    let damages = phone.damages().await?;
    let lost = damages
        .first()
        .map(|damage| damage.lost_records.unwrap_or(0));
    let read = match phone.observations(patrol).await {
        // The start of the patrol itself is among what is said to be gone.
        Err(PhoneError::NotFound) if lost > Some(0) => Vec::new(),
        read => read?,
    };
    phone.items(None).await?;
    let new = NewObservation::of("urban-order", 1, "case");
    match phone.add_observation(patrol, new).await {
        Err(PhoneError::NotFound | PhoneError::SignedOut { .. }) if lost > Some(0) => {}
        added => _ = added?,
    }
    Ok((read, lost))
}

/// What a salvage gives: never anything else than what was recorded.
async fn salvaged(folder: &Path, patrol: DocumentId, kept: &[ObservationView]) -> bool {
    let phone = match try_salvage(folder, &Arc::new(AtomicI64::new(0))).await {
        Ok(phone) => phone,
        Err(error) => {
            println!("F5 not salvaged: {error}");
            return false;
        }
    };
    let said = phone
        .damages()
        .await
        .is_ok_and(|damages| !damages.is_empty());
    match phone.observations(patrol).await {
        Ok(read) => said && read.iter().all(|read| kept.contains(read)),
        Err(PhoneError::NotFound) => said,
        Err(error) => {
            println!("F5 salvaged and not read: {error}");
            false
        }
    }
}

/// The folder is this case's own: a phone that is let go of closes its files some time later, and removes its log by name.
async fn end(folder: &Path, damaged: &Files, patrol: DocumentId, kept: &[ObservationView]) -> End {
    fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in damaged {
        fs::write(folder.join(name), bytes).expect("written");
    }
    let path = folder.to_owned();
    let opened = tokio::spawn(async move {
        let phone = try_open(&path, &Arc::new(AtomicI64::new(0))).await?;
        all_of(phone, patrol).await
    });
    match opened.await {
        Err(_) => End::Panicked,
        Ok(Err(_)) if salvaged(folder, patrol, kept).await => End::Detected,
        Ok(Err(_)) => End::Other,
        Ok(Ok((read, None))) if read == kept => End::Harmless,
        Ok(Ok((read, Some(0)))) if read == kept => End::Mended,
        Ok(Ok((read, Some(_)))) if kept.starts_with(&read) => End::Said,
        Ok(Ok((read, _))) if kept.starts_with(&read) => End::Shorter,
        Ok(Ok(_)) => End::Other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_found_out_or_does_no_harm_and_never_panics() {
    let seed = trial::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::on(None).await;
    let (in_use, at_rest, patrol, kept) = recorded(&world).await;
    assert!(in_use.contains_key("kieumau.db-wal"), "a log to damage");
    let whole = [&in_use, &at_rest];
    for (number, files) in whole.into_iter().enumerate() {
        let folder = world.folder().join(format!("whole-{number}"));
        let twin = end(&folder, files, patrol, &kept).await;
        assert_eq!(twin, End::Harmless, "the twin: nothing damaged");
    }
    let flips = trial::size("KIEUMAU_FLIPS", 1_000, 10_000);
    let cuts = trial::size("KIEUMAU_CUTS", 200, 2_000);
    let mut ends: BTreeMap<(bool, End), u64> = BTreeMap::new();
    for number in 0..flips + cuts {
        let mut files = whole[rng.random_range(0..2)].clone();
        let at = rng.random_range(0..files.len());
        let (name, bytes) = files.iter_mut().nth(at).expect("a file");
        let is_log = name.ends_with("-wal");
        let place = rng.random_range(0..bytes.len());
        if number < flips {
            bytes[place] ^= 1 << rng.random_range(0..8);
        } else {
            bytes.truncate(place);
        }
        let (name, length) = (name.clone(), bytes.len());
        let folder = world.folder().join(format!("damaged-{number}"));
        let end = end(&folder, &files, patrol, &kept).await;
        if matches!(end, End::Other | End::Shorter | End::Panicked) {
            println!(
                "F5 {end:?}: {name} at {place} of {length} bytes, number {number} of KIEUMAU_SEED={seed}"
            );
        }
        *ends.entry((is_log, end)).or_default() += 1;
        fs::remove_dir_all(&folder).ok();
    }
    let count = |log, end| ends.get(&(log, end)).copied().unwrap_or_default();
    let both = |end| count(false, end) + count(true, end);
    println!(
        "F5 flips={flips} cuts={cuts} detected_and_salvaged={} log_mended={} log_shorter_said={} harmless={} shorter_unsaid={} \
         other={} panics={}",
        both(End::Detected),
        count(true, End::Mended),
        count(true, End::Said),
        both(End::Harmless),
        both(End::Shorter),
        both(End::Other),
        both(End::Panicked)
    );
    assert_eq!(
        both(End::Panicked) + both(End::Other) + both(End::Shorter),
        0
    );
}
