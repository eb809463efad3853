//! A log that lost its end is found out by the mark, kept as it was, mended where only its chain is broken, and said.

use super::*;
use crate::{
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{
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
async fn a_mending_that_was_broken_off_is_taken_back() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, copy) = (world.path().join("phone"), world.path().join("copy"));
    let patrol = killed(&folder, &copy).await;
    drop(opened(&copy, patrol).await);
    fs::copy(copy.join(FILE), copy.join(SHORT)).expect("copied");
    fs::write(copy.join(LOG), b"half a log").expect("written");
    fs::write(copy.join(FILE), b"half a database").expect("written");
    assert_eq!(opened(&copy, patrol).await, (OBSERVATIONS, vec![]));
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
