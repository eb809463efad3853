//! Whatever page is bad: what is read afterwards was recorded, the damaged file lies aside as it was, and what lacks something comes
//! back with what it lacks.

use super::*;
use crate::{
    invalid::{Invalid, Rule},
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{
        Phone,
        disk::died,
        refused::LACKING,
        tests::{NOW_MS, close, config, phone, profile},
    },
};
use std::path::PathBuf;

const PATROLS: usize = 6;
const OBSERVATIONS: usize = 12;
const PAGE: usize = 4_096;

/// A phone at rest with patrols and their observations; and a photo's bytes nobody names.
async fn at_rest(folder: &Path) -> (Vec<DocumentId>, Vec<u8>) {
    let phone = phone(folder).await;
    let mut store = phone.store().await;
    let saved = profile().save(&mut store.connection, NOW_MS).await;
    saved.expect("written");
    drop(store);
    let mut patrols = Vec::new();
    for _ in 0..PATROLS {
        let new = NewPatrol {
            title: "Ca".to_owned(),
            ..NewPatrol::default()
        };
        patrols.push(phone.start_patrol(new).await.expect("starts"));
    }
    for number in 0..OBSERVATIONS {
        for patrol in &patrols {
            let new = NewObservation {
                note: recorded().nth(number),
                ..NewObservation::of("urban-order", 1, "case")
            };
            phone.add_observation(*patrol, new).await.expect("recorded");
        }
    }
    close(phone).await;
    (patrols, fs::read(folder.join(FILE)).expect("reads"))
}

/// What is noted of the observations of each patrol.
fn recorded() -> impl Iterator<Item = String> {
    (0..OBSERVATIONS).map(|number| format!("Vụ {number} {}", "dài ".repeat(40)))
}

/// How many observations each patrol shows; what cannot be read is an error.
async fn read(phone: &Phone, patrols: &[DocumentId]) -> Result<Vec<usize>, PhoneError> {
    let mut counts = Vec::new();
    for patrol in patrols {
        match phone.observations(*patrol).await {
            Ok(observations) => {
                let notes = observations.into_iter().filter_map(|o| o.content.note);
                let notes: BTreeSet<String> = notes.collect();
                assert!(notes.iter().all(|note| recorded().any(|own| own == *note)));
                counts.push(notes.len());
            }
            Err(PhoneError::NotFound) => counts.push(0),
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}

fn is_damage(error: &PhoneError) -> bool {
    matches!(error, PhoneError::Invalid(invalid) if *invalid == Invalid::new("database", Rule::Unreadable))
}

#[tokio::test]
async fn one_bad_page_costs_what_lies_on_it_and_what_was_found_lies_aside() {
    let world = tempfile::tempdir().expect("a folder");
    let (patrols, whole) = at_rest(&world.path().join("phone")).await;
    let pages = whole.len() / PAGE;
    let (mut salvaged, mut kept, mut identities) = (0, 0, 0);
    for page in 0..pages {
        let folder = world.path().join("damaged-phone");
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a folder");
        let mark = world.path().join("phone").join(mark::FILE);
        fs::copy(mark, folder.join(mark::FILE)).expect("copied");
        let mut damaged = whole.clone();
        damaged[page * PAGE + 777] ^= 8;
        fs::write(folder.join(FILE), &damaged).expect("written");
        let found = match Phone::open(config(&folder, 7)).await {
            Ok(phone) => read(&phone, &patrols).await,
            Err(error) => Err(error),
        };
        match found {
            // The page holds nothing that these calls need.
            Ok(counts) => assert_eq!(counts, [OBSERVATIONS; PATROLS], "page {page}"),
            Err(error) if is_damage(&error) => {
                salvaged += 1;
                let phone = Phone::salvage(config(&folder, 7)).await.expect("salvages");
                let [damage] = phone
                    .damages()
                    .await
                    .expect("reads")
                    .try_into()
                    .expect("one");
                let aside = fs::read(damage.set_aside.join(FILE)).expect("reads");
                assert!(aside == damaged, "page {page}");
                identities += usize::from(!damage.identity_lost);
                let counts = read(&phone, &patrols).await.expect("reads");
                for (patrol, count) in patrols.iter().zip(&counts) {
                    let said = damage.lacking.contains(patrol);
                    // A patrol whose very row is gone is not even named: the server tells it.
                    assert!(*count == OBSERVATIONS || said || *count == 0, "page {page}");
                }
                kept += counts.iter().sum::<usize>();
            }
            Err(error) => panic!("page {page}: {error}"),
        }
    }
    let most = salvaged * PATROLS * OBSERVATIONS;
    println!("pages={pages} salvaged={salvaged} kept={kept}/{most} identities={identities}");
    assert!(salvaged > 3 && kept * 2 > most, "kept {kept} of {most}");
}

/// A phone whose first change of the first patrol is gone, and that change.
async fn without_the_first_change(folder: &Path) -> (Phone, DocumentId, Change) {
    at_rest(folder).await;
    let phone = phone(folder).await;
    let mut store = phone.store().await;
    let row = sqlx::query("select document_id, hash, bytes from change order by position limit 1")
        .fetch_one(&mut store.connection)
        .await
        .expect("reads");
    let patrol = row.get::<&str, _>(0).parse().expect("an id");
    let change = Change {
        hash: row.get::<&str, _>(1).parse().expect("a hash"),
        bytes: row.get(2),
    };
    let mut bad = change.bytes.clone();
    bad[20] ^= 1;
    sqlx::query("update change set bytes = $1 where position = 1")
        .bind(bad)
        .execute(&mut store.connection)
        .await
        .expect("written");
    drop(store);
    close(phone).await;
    let phone = Phone::salvage(config(folder, 7)).await.expect("salvages");
    (phone, patrol, change)
}

#[tokio::test]
async fn what_stands_on_a_change_that_is_gone_comes_back_with_it() {
    let world = tempfile::tempdir().expect("a folder");
    let (phone, patrol, change) = without_the_first_change(world.path()).await;
    let [damage] = phone
        .damages()
        .await
        .expect("reads")
        .try_into()
        .expect("one");
    assert_eq!(damage.lacking, [patrol]);
    assert!(!damage.identity_lost);
    assert_eq!(phone.observations(patrol).await.expect("reads").len(), 0);
    let refused = phone.refused(patrol).await.expect("reads");
    assert_eq!(refused.len(), OBSERVATIONS);
    assert!(refused.iter().all(|refused| refused.word == LACKING));
    let mut store = phone.store().await;
    let key = store.key(patrol).await.expect("is here");
    store.merge(&key, &[change], &[]).await.expect("merges");
    drop(store);
    let back = phone.observations(patrol).await.expect("reads");
    assert_eq!(back.len(), OBSERVATIONS);
    assert!(phone.refused(patrol).await.expect("reads").is_empty());
    let new = NewObservation::of("urban-order", 1, "case");
    phone.add_observation(patrol, new).await.expect("goes on");
    close(phone).await;
    let phone = self::phone(world.path()).await;
    let read = phone.observations(patrol).await.expect("loads anew");
    assert_eq!(read.len(), OBSERVATIONS + 1);
}

#[tokio::test]
async fn a_phone_that_is_open_is_not_salvaged() {
    let world = tempfile::tempdir().expect("a folder");
    at_rest(world.path()).await;
    let phone = phone(world.path()).await;
    let salvaged = Phone::salvage(config(world.path(), 7)).await;
    let is_open = Invalid::new("folder", Rule::Already);
    assert!(matches!(salvaged, Err(PhoneError::Invalid(said)) if said == is_open));
    assert!(!world.path().join(FOLDER).exists());
    // The twin: at rest it is.
    close(phone).await;
    assert!(Phone::salvage(config(world.path(), 7)).await.is_ok());
}

#[tokio::test]
async fn a_wrong_key_sets_nothing_aside_and_a_whole_database_survives_a_salvage() {
    let world = tempfile::tempdir().expect("a folder");
    let (patrols, _) = at_rest(world.path()).await;
    let refused = Phone::salvage(config(world.path(), 8)).await;
    assert!(
        matches!(&refused, Err(PhoneError::Invalid(i)) if i.field == "key"),
        "{refused:?}"
    );
    assert!(!world.path().join(FOLDER).exists());
    let phone = Phone::salvage(config(world.path(), 7))
        .await
        .expect("salvages");
    let counts = read(&phone, &patrols).await.expect("reads");
    assert_eq!(counts, [OBSERVATIONS; PATROLS]);
    let damages = phone.damages().await.expect("reads");
    assert_eq!(damages[0].lacking, []);
    let aside: PathBuf = damages[0].set_aside.clone();
    assert!(aside.join(FILE).exists());
}

/// A phone that was killed, with the last records behind a break of its log and a bad page in its database, one that costs something but
/// not all.
async fn killed_and_damaged(world: &Path) -> (PathBuf, Vec<DocumentId>) {
    let (folder, whole) = (world.join("phone"), world.join("whole"));
    let (patrols, _) = at_rest(&folder).await;
    let phone = phone(&folder).await;
    for patrol in &patrols {
        let new = NewObservation {
            note: recorded().next(),
            ..NewObservation::of("urban-order", 2, "case")
        };
        phone.add_observation(*patrol, new).await.expect("recorded");
    }
    died::copy_folder(&folder, &whole);
    let mut log = fs::read(whole.join(LOG)).expect("reads");
    log[32 + 17] ^= 4;
    fs::write(whole.join(LOG), log).expect("written");
    let bytes = fs::read(whole.join(FILE)).expect("reads");
    for page in (1..bytes.len() / PAGE).rev() {
        let (damaged, trial) = (world.join(format!("{page}")), world.join("trial"));
        died::copy_folder(&whole, &damaged);
        let mut bytes = bytes.clone();
        bytes[page * PAGE + 777] ^= 8;
        fs::write(damaged.join(FILE), bytes).expect("written");
        died::copy_folder(&damaged, &trial);
        Phone::salvage(config(&trial, 7)).await.expect("salvages");
        let (read, _) = read_after_dying(&trial, &patrols).await;
        fs::remove_dir_all(trial).expect("removed");
        if (OBSERVATIONS..PATROLS * (OBSERVATIONS + 1)).contains(&read) {
            return (damaged, patrols);
        }
    }
    panic!("no page costs a part");
}

/// How many observations are read in all, and how many changes there are, those kept apart with the rest; opened, or salvaged where that
/// is what the opening asks for.
async fn read_after_dying(folder: &Path, patrols: &[DocumentId]) -> (usize, i64) {
    let mut opened = Phone::open(config(folder, 7)).await;
    if let Ok(phone) = opened {
        opened = match phone.damages().await {
            Ok(damages) if !damages.is_empty() => Ok(phone),
            _ => {
                close(phone).await;
                Phone::salvage(config(folder, 7)).await
            }
        };
    } else {
        opened = Phone::salvage(config(folder, 7)).await;
    }
    let phone = opened.expect("salvages");
    let mut count = 0;
    for patrol in patrols {
        count += phone.observations(*patrol).await.map_or(0, |o| o.len());
    }
    let mut store = phone.store().await;
    let kept = "select (select count(*) from change) + (select count(*) from set_aside)";
    let kept = sqlx::query(kept).fetch_one(&mut store.connection).await;
    let kept = kept.expect("a row").get(0);
    drop(store);
    close(phone).await;
    (count, kept)
}

#[tokio::test]
async fn a_salvage_that_dies_anywhere_is_taken_up_and_keeps_what_an_undisturbed_one_keeps() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, patrols) = killed_and_damaged(world.path()).await;
    let left = world.path().join("left");
    died::killed(&folder, &left);
    Phone::salvage(config(&folder, 7)).await.expect("salvages");
    let kills = died::no_more();
    let undisturbed = read_after_dying(&folder, &patrols).await;
    assert!(undisturbed.0 > OBSERVATIONS, "{undisturbed:?}");
    for kill in 0..kills {
        let killed = left.join(kill.to_string());
        let read = read_after_dying(&killed, &patrols).await;
        assert_eq!(read, undisturbed, "killed before operation {kill}");
        for gone in [NEW, WRITING] {
            assert!(!killed.join(gone).exists(), "{gone}, {kill}");
        }
    }
    assert!(kills > 20, "{kills}");
}

#[tokio::test]
async fn a_salvage_on_a_full_disk_is_done_when_there_is_room() {
    let world = tempfile::tempdir().expect("a folder");
    let (folder, patrols) = killed_and_damaged(world.path()).await;
    let twin = world.path().join("twin");
    died::copy_folder(&folder, &twin);
    let undisturbed = read_after_dying(&twin, &patrols).await;
    let mut fulls = 0;
    for operations in 0.. {
        let full = world.path().join(format!("full {operations}"));
        died::copy_folder(&folder, &full);
        died::full(operations);
        let salvaged = Phone::salvage(config(&full, 7)).await;
        died::no_more();
        match salvaged {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, PhoneError::StorageFull), "{error}"),
        }
        fulls += 1;
        let read = read_after_dying(&full, &patrols).await;
        assert_eq!(read, undisturbed, "full at operation {operations}");
        let copies = fs::read_dir(full.join(FOLDER)).expect("reads");
        let copies = copies.filter(|copy| {
            let copy = copy.as_ref().expect("reads").path();
            copy.join(FILE).exists()
        });
        assert!(copies.count() <= 2, "full at operation {operations}");
    }
    assert!(fulls > 20, "{fulls}");
}

/// Takes the patrol's row away, as a bad page does, with loose fixes of it. Its changes, and what the salvage gives.
async fn without_the_row(folder: &Path) -> (Phone, Key, Vec<Change>) {
    let (patrols, _) = at_rest(folder).await;
    let phone = phone(folder).await;
    for step in 0..5 {
        let fix = crate::track::tests::fix(step * 10, step as f64 * 10.0);
        let dropped = phone.add_fix(patrols[0], fix).await;
        assert_eq!(dropped.expect("recorded"), None);
    }
    let mut store = phone.store().await;
    let key = store.key(patrols[0]).await.expect("is here");
    let rows = sqlx::query("select hash, bytes from change where document_id = $1")
        .bind(patrols[0].to_string())
        .fetch_all(&mut store.connection)
        .await
        .expect("reads");
    let change = |row: &sqlx::sqlite::SqliteRow| Change {
        hash: row.get::<&str, _>(0).parse().expect("a hash"),
        bytes: row.get(1),
    };
    let changes = rows.iter().map(change).collect();
    for sql in [
        "pragma foreign_keys = off",
        "delete from document where document_id = (select document_id from fix)",
    ] {
        let done = sqlx::query(sql).execute(&mut store.connection).await;
        done.expect("written");
    }
    drop(store);
    close(phone).await;
    let phone = Phone::salvage(config(folder, 7)).await.expect("salvages");
    (phone, key, changes)
}

/// How many fixes the patrol's document holds after its changes came back by a sync.
async fn fixes_after_it_came_back(phone: &Phone, key: &Key, changes: &[Change]) -> usize {
    phone.fold_all().await.expect("what has no document waits");
    let mut store = phone.store().await;
    store.merge(key, changes, &[]).await.expect("merges");
    drop(store);
    phone.fold_all().await.expect("folds");
    let patrol = phone.patrol(key.document()).await.expect("opens");
    patrol.tracks.iter().map(|track| track.fixes.len()).sum()
}

#[tokio::test]
async fn fixes_of_a_patrol_whose_name_is_gone_are_said_and_folded_when_it_comes_back() {
    let world = tempfile::tempdir().expect("a folder");
    let (phone, key, changes) = without_the_row(world.path()).await;
    let damages = phone.damages().await.expect("reads");
    assert!(damages[0].lacking.contains(&key.document()));
    let rescue = world.path().join("rescue");
    let report = phone.export_rescue(&rescue).await.expect("writes");
    assert_eq!(report.fixes_left, 5);
    assert_eq!(fixes_after_it_came_back(&phone, &key, &changes).await, 5);
}

/// The twin: what a salvage did that took them away.
#[tokio::test]
async fn without_their_rows_the_fixes_do_not_come_back() {
    let world = tempfile::tempdir().expect("a folder");
    let (phone, key, changes) = without_the_row(world.path()).await;
    let mut store = phone.store().await;
    let gone = "delete from fix where document_id not in (select document_id from document)";
    let done = sqlx::query(gone).execute(&mut store.connection).await;
    assert_eq!(done.expect("written").rows_affected(), 5);
    drop(store);
    assert_eq!(fixes_after_it_came_back(&phone, &key, &changes).await, 0);
}

/// A colleague's patrol whose first change a salvage could not read, after it came back; and what is unsent of it.
async fn colleagues_came_back(folder: &Path, apart_is_own: bool) -> (Phone, Key, i64) {
    let (key, changes) = crate::phone::tests::colleagues();
    let phone = phone(folder).await;
    let mut store = phone.store().await;
    let saved = profile().save(&mut store.connection, NOW_MS).await;
    saved.expect("written");
    store.merge(&key, &changes, &[]).await.expect("merges");
    let bad = sqlx::query("update change set bytes = x'00' where position = 1");
    bad.execute(&mut store.connection).await.expect("written");
    drop(store);
    close(phone).await;
    let phone = Phone::salvage(config(folder, 7)).await.expect("salvages");
    assert!(
        phone
            .refused(key.document())
            .await
            .expect("reads")
            .is_empty()
    );
    let mut store = phone.store().await;
    if apart_is_own {
        let own = sqlx::query("update set_aside set own = 1");
        let own = own.execute(&mut store.connection).await.expect("written");
        assert_eq!(own.rows_affected(), 2);
    }
    store.merge(&key, &changes[..1], &[]).await.expect("merges");
    let unsent = sqlx::query("select count(*) from change where server is null")
        .fetch_one(&mut store.connection)
        .await
        .expect("reads")
        .get(0);
    drop(store);
    (phone, key, unsent)
}

#[tokio::test]
async fn a_colleagues_change_that_was_kept_apart_comes_back_as_the_colleagues() {
    let world = tempfile::tempdir().expect("a folder");
    let (phone, key, unsent) = colleagues_came_back(world.path(), false).await;
    let read = phone.observations(key.document()).await.expect("reads");
    assert_eq!((read.len(), unsent), (2, 0));
}

/// The twin: as its own the phone would send it, under a seal of its own that no server takes.
#[tokio::test]
async fn taken_for_the_phones_own_it_would_be_sent() {
    let world = tempfile::tempdir().expect("a folder");
    let (_, _, unsent) = colleagues_came_back(world.path(), true).await;
    assert_eq!(unsent, 2);
}
