//! A log that lost its end is found out by the mark, kept as it was, mended where only its chain is broken, and said.

use super::*;
use crate::{
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{
        disk::died,
        mark,
        tests::{close, config, phone},
    },
};

const OBSERVATIONS: usize = 12;

/// What a phone that is killed now would leave in `copy`, which holds its patrol and [`OBSERVATIONS`].
async fn killed(folder: &Path, copy: &Path) -> DocumentId {
    let phone = phone(folder).await;
    let new = NewPatrol {
        title: "Ca".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for number in 0..OBSERVATIONS {
        let new = NewObservation {
            note: Some(format!("Vụ {number}")),
            ..NewObservation::of("urban-order", 1, "case")
        };
        phone.add_observation(patrol, new).await.expect("recorded");
    }
    fs::create_dir_all(copy).expect("a folder");
    for name in [FILE, LOG, mark::FILE] {
        fs::copy(folder.join(name), copy.join(name)).expect("copied");
    }
    patrol
}

/// How many observations are read of what lies in `folder`, and what it says of damage.
async fn opened(folder: &Path, patrol: DocumentId) -> (usize, Vec<Damage>) {
    let phone = phone(folder).await;
    let damages = phone.damages().await.expect("reads");
    let read = match phone.observations(patrol).await {
        Ok(observations) => observations.len(),
        Err(PhoneError::NotFound) => 0,
        Err(error) => panic!("{error}"),
    };
    close(phone).await;
    (read, damages)
}

fn log(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(LOG)).expect("reads")
}

#[tokio::test]
async fn a_whole_log_is_no_damage() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    let patrol = killed(&folder, &copy).await;
    assert_eq!(opened(&copy, patrol).await, (OBSERVATIONS, vec![]));
}

#[tokio::test]
async fn a_log_cut_in_the_middle_is_said_with_how_much_is_gone_and_kept() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    let patrol = killed(&folder, &copy).await;
    let cut = log(&copy).len() * 2 / 3;
    let short = log(&copy)[..cut].to_vec();
    fs::write(copy.join(LOG), &short).expect("written");
    let (read, damages) = opened(&copy, patrol).await;
    assert!(read < OBSERVATIONS, "{read} are left");
    let [damage] = damages.try_into().expect("one");
    // The start of the patrol is one of what was recorded.
    let lost = damage.lost_records.expect("is counted") as usize;
    assert_eq!(lost, OBSERVATIONS - read);
    assert_eq!(log(&damage.set_aside), short);
    let (again, damages) = opened(&copy, patrol).await;
    assert_eq!((again, damages.len()), (read, 1), "it is found once");
}

/// The twin: without the mark the same log is shorter without a word.
#[tokio::test]
async fn without_the_mark_a_cut_log_is_shorter_without_a_word() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    let patrol = killed(&folder, &copy).await;
    let cut = log(&copy).len() * 2 / 3;
    fs::write(copy.join(LOG), &log(&copy)[..cut]).expect("written");
    fs::remove_file(copy.join(mark::FILE)).expect("removed");
    let (read, damages) = opened(&copy, patrol).await;
    assert!(read < OBSERVATIONS);
    assert_eq!(damages, []);
}

#[tokio::test]
async fn a_bit_that_breaks_the_chain_costs_nothing_and_is_said() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    let patrol = killed(&folder, &copy).await;
    let mut broken = log(&copy);
    // In the checksum of the fourth frame.
    broken[32 + 3 * (24 + 4_096) + 17] ^= 4;
    fs::write(copy.join(LOG), &broken).expect("written");
    let (read, damages) = opened(&copy, patrol).await;
    assert_eq!(read, OBSERVATIONS);
    let [damage] = damages.try_into().expect("one");
    assert_eq!(damage.lost_records, Some(0));
    assert_eq!(log(&damage.set_aside), broken);
    assert!(!copy.join(SHORT).exists());
}

#[tokio::test]
async fn a_database_whose_first_page_is_bad_is_damaged_and_not_a_wrong_key() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    killed(&folder, &copy).await;
    close(Phone::open(config(&copy, 7)).await.expect("opens")).await;
    let mut bytes = fs::read(copy.join(FILE)).expect("reads");
    bytes[100] ^= 1;
    fs::write(copy.join(FILE), bytes).expect("written");
    for (key, field) in [(7, "database"), (8, "key")] {
        match Phone::open(config(&copy, key)).await {
            Err(PhoneError::Invalid(invalid)) => {
                assert_eq!(invalid, Invalid::new(field, Rule::Unreadable));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A killed phone's files in `copy`, one frame's checksum broken: nothing is lost, but SQLite takes the log for one of three frames.
async fn broken(world: &Path) -> (PathBuf, DocumentId) {
    let copy = world.join("copy");
    let patrol = killed(&world.join("phone"), &copy).await;
    let mut broken = log(&copy);
    broken[32 + 3 * (24 + 4_096) + 17] ^= 4;
    fs::write(copy.join(LOG), broken).expect("written");
    (copy, patrol)
}

#[tokio::test]
async fn a_mending_that_dies_anywhere_is_taken_up_and_costs_nothing() {
    let world = tempfile::tempdir().expect("a folder");
    let (copy, patrol) = broken(world.path()).await;
    let (left, found) = (world.path().join("left"), log(&copy));
    died::killed(&copy, &left);
    Phone::open(config(&copy, 7)).await.expect("mends");
    let kills = died::no_more();
    assert!(kills > 10, "{kills}");
    let mut without = 0;
    for kill in 0..kills {
        let killed = left.join(kill.to_string());
        let twin = world.path().join("twin");
        died::copy_folder(&killed, &twin);
        let (read, damages) = opened(&killed, patrol).await;
        assert_eq!(read, OBSERVATIONS, "killed before operation {kill}");
        let said: Vec<_> = damages.iter().map(|damage| damage.lost_records).collect();
        assert_eq!(said, [Some(0)], "killed before operation {kill}");
        assert_eq!(log(&damages[0].set_aside), found, "{kill}");
        for gone in [FOUND, SHORT] {
            assert!(!killed.join(gone).exists(), "{gone}, {kill}");
        }
        // The twin: an opening that does not know of what was broken off.
        remove(&twin, &[FOUND, SHORT]);
        without += usize::from(opened(&twin, patrol).await.0 < OBSERVATIONS);
        fs::remove_dir_all(twin).expect("removed");
    }
    assert!(without > 3, "{without} of {kills}");
}

#[tokio::test]
async fn a_mending_on_a_full_disk_is_done_when_there_is_room() {
    let world = tempfile::tempdir().expect("a folder");
    let (copy, patrol) = broken(world.path()).await;
    let mut fulls = 0;
    for operations in 0.. {
        let full = world.path().join(format!("full {operations}"));
        died::copy_folder(&copy, &full);
        died::full(operations);
        let opened_full = Phone::open(config(&full, 7)).await;
        died::no_more();
        match opened_full {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, PhoneError::StorageFull), "{error}"),
        }
        fulls += 1;
        let (read, damages) = opened(&full, patrol).await;
        assert_eq!(read, OBSERVATIONS, "full at operation {operations}");
        assert_eq!(damages.len(), 1, "full at operation {operations}");
    }
    assert!(fulls > 10, "{fulls}");
}

fn remove(folder: &Path, names: &[&str]) {
    for name in names {
        fs::remove_file(folder.join(name)).ok();
    }
}

#[tokio::test]
async fn a_log_of_any_length_is_kept_and_mended() {
    let world = tempfile::tempdir().expect("a folder");
    let (copy, patrol) = broken(world.path()).await;
    // Frames of an older log lie behind the end, as after a long transaction.
    let mut long = fs::OpenOptions::new();
    let long = long.write(true).open(copy.join(LOG)).expect("opens");
    let size = 80 << 20;
    long.set_len(size).expect("grows");
    let (read, damages) = opened(&copy, patrol).await;
    assert_eq!(read, OBSERVATIONS);
    assert_eq!(damages[0].lost_records, Some(0));
    let aside = fs::metadata(damages[0].set_aside.join(LOG)).expect("is there");
    assert_eq!(aside.len(), size);
}

/// A phone that is closed takes its log away while the next opening looks at it: one that took this for an error failed within some
/// 4,000 looks here, and once in 1,000 kills of a phone (F1).
#[test]
fn a_log_that_goes_while_it_is_looked_at_is_none() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().expect("a folder");
    let (log, found) = (folder.path().join(LOG), folder.path().join(FOUND));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                fs::write(&log, [7; 100]).expect("written");
                (0..500).for_each(|_| std::hint::spin_loop());
                fs::remove_file(&log).expect("removed");
            }
        });
        let mut looks = 0;
        let kept = (0..100_000).find_map(|_| {
            looks += 1;
            let looked = keep_broken_log(folder.path());
            disk::remove_if_there(&found).expect("removed");
            looked.err()
        });
        ended.store(true, Ordering::Relaxed);
        assert!(kept.is_none(), "after {looks}: {kept:?}");
    });
}
