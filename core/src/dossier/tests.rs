//! Nothing in a dossier can be changed unnoticed: not one byte, and nothing by somebody who makes every hash anew.

mod hand;
mod story;
mod tamper;
mod world;

use super::*;
use crate::id::PersonId;
use hand::{Hand, Keys, PHONES, Signed};
use proof::{NotProven, Writer};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tamper::{OF_CONTENT, OF_RECORD};
use world::{Event, UNIT, World};

struct Setting {
    owners: Keys,
    forger: Keys,
    signed: Signed,
    world: World,
    file: Vec<u8>,
}

fn setting() -> Setting {
    let (owners, forger) = (Keys::new(1), Keys::new(101));
    let world = World::new(&owners);
    let mut signed = Signed::default();
    let file = world.build(&owners, &mut Hand::Owners(&owners, &mut signed));
    Setting {
        owners,
        forger,
        signed,
        world,
        file,
    }
}

/// The verdict on a file in memory.
fn verify(file: &[u8], known: Option<Sha256>) -> Result<Proven, Broken> {
    super::verify(file, known).map_err(|error| match error {
        Unbelieved::Broken(broken) => broken,
        Unbelieved::Unreadable(error) => panic!("memory is read to its end: {error}"),
    })
}

impl Setting {
    fn forged(&self, world: &World) -> Vec<u8> {
        let (owners, own, signed) = (&self.owners, &self.forger, &self.signed);
        world.build(
            owners,
            &mut Hand::Forger {
                owners,
                own,
                signed,
            },
        )
    }

    fn copied(&self, world: &World) -> Vec<u8> {
        let (owners, signed) = (&self.owners, &self.signed);
        world.build(owners, &mut Hand::Copyist { owners, signed })
    }

    fn by_the_server(&self, world: &World) -> Vec<u8> {
        let (owners, own, signed) = (&self.owners, &self.forger, &self.signed);
        world.build(
            owners,
            &mut Hand::Server {
                owners,
                own,
                signed,
            },
        )
    }

    fn by_the_owners(&self, world: &World) -> Vec<u8> {
        world.build(
            &self.owners,
            &mut Hand::Owners(&self.owners, &mut Signed::default()),
        )
    }
}

#[test]
fn a_dossier_says_what_it_proves_and_what_it_does_not() {
    let setting = setting();
    let proven = verify(&setting.file, Some(setting.owners.fingerprint())).expect("it holds");
    assert_eq!(proven.fingerprint, setting.owners.fingerprint());
    assert_eq!(proven.documents.len(), 3);
    let of = |kind| {
        let mut found = proven
            .documents
            .iter()
            .filter(|document| document.kind == kind);
        found.next().expect("one of each kind")
    };
    let patrol = of(Kind::PatrolLog);
    assert_eq!((patrol.changes, patrol.heads.len()), (4, 1));
    assert_eq!(
        (patrol.earliest_received_at_ms, patrol.latest_received_at_ms),
        (100, 300)
    );
    let phone = |at: usize, person| Writer::Phone {
        phone: PHONES[at],
        person: PersonId::from_bytes([person; 16]),
        unit: UNIT,
    };
    assert_eq!(patrol.writers, [phone(0, 1), phone(1, 2)]);
    assert_eq!(of(Kind::Review).writers, [Writer::Server]);
    let evidence = of(Kind::EvidenceFile);
    assert_eq!((evidence.withheld.len(), evidence.missing.len()), (1, 1));
    let [photo] = &proven.attachments[..] else {
        panic!("one photo");
    };
    assert_eq!(photo.sha256, Sha256::of(&setting.world.photo));
    assert_eq!(photo.named_in, [patrol.document]);
    assert_eq!(photo.received_at_ms, 350);
    let always = [
        NotProven::TrueWhenWritten,
        NotProven::ServerClock,
        NotProven::SameLogForAll,
    ];
    assert_eq!(
        proven.names[&patrol.document.to_string()],
        "Ca đêm 21/11, tổ An"
    );
    let here = [NotProven::Withheld, NotProven::Missing, NotProven::Names];
    assert_eq!(proven.not_proven, [&always[..], &here].concat());
}

#[test]
fn a_dossier_holds_the_heads_that_automerge_finds() {
    let setting = setting();
    let proven = verify(&setting.file, None).expect("it holds");
    for document in &setting.world.documents {
        let changes = document.changes.iter().map(Vec::as_slice);
        let loaded = crate::document::load(&document.key, changes).expect("it loads");
        let of = |proven: &&proof::ProvenDocument| proven.document == document.key.document();
        let proven = proven.documents.iter().find(of).expect("in the dossier");
        assert_eq!(proven.heads, crate::document::heads(&loaded));
    }
}

#[test]
fn without_a_key_to_compare_whose_log_it_is_stays_unverified() {
    let proven = verify(&setting().file, None).expect("it holds");
    assert!(proven.not_proven.contains(&NotProven::WhoseKey));
}

#[test]
fn two_hundred_changed_bytes_are_all_found() {
    let setting = setting();
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let mut file = setting.file.clone();
        let at = rng.random_range(0..file.len());
        let flip = rng.random_range(1..=255_u8);
        file[at] ^= flip;
        assert!(
            verify(&file, None).is_err(),
            "byte {at} xor {flip:#x} of seed {seed}"
        );
    }
}

#[test]
fn another_file_is_no_dossier_and_a_broken_one_still_is() {
    let file = setting().file;
    assert!(begins(&file) && begins(&file[..file.len() / 2]));
    let mut broken = file.clone();
    broken[file.len() / 2] ^= 1;
    assert!(begins(&broken));
    for other in [
        &b""[..],
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"{\"a\":1}",
        b"\xff\xd8\xff\xe0",
        &[0; 64],
    ] {
        assert!(!begins(other), "{other:?}");
    }
}

#[test]
fn a_name_of_nothing_in_the_file_is_refused() {
    let stray = PersonId::from_bytes([9; 16]).to_string();
    let called = |world: &mut World| world.called_besides = Some((stray, "Ai đó".into()));
    assert_eq!(refused(called), What::Listing);
}

#[test]
fn a_cut_file_a_longer_one_and_another_spelling_are_no_dossier() {
    let file = setting().file;
    let format = |bytes: &[u8]| verify(bytes, None).map_err(|broken| broken.what);
    assert_eq!(format(&[]), Err(What::Format));
    for length in (0..file.len()).step_by(97) {
        assert_eq!(format(&file[..length]), Err(What::Format));
    }
    assert_eq!(format(&[&file[..], &[0]].concat()), Err(What::Format));
    // The array's length of 4 written in two bytes.
    let respelled = [&[0x98, 4], &file[1..]].concat();
    let spelled = |bytes| minicbor::Decoder::new(bytes).array().expect("an array");
    assert_eq!(spelled(&respelled), spelled(&file));
    assert_eq!(format(&respelled), Err(What::Format));
    // A length that the file does not have costs nothing but the refusal.
    let endless = [&[0x84, 1, 0x7b][..], &[0xff; 8], b"eyJ"].concat();
    assert_eq!(format(&endless), Err(What::Format));
}

#[test]
fn a_front_is_verified_beside_its_attachments_as_the_whole_file_is() {
    let setting = setting();
    let known = Some(setting.owners.fingerprint());
    let photo = &setting.world.photo;
    let behind = before_attachment(photo.len() as u64).len() + photo.len();
    let front = &setting.file[..setting.file.len() - behind];
    let attached = Attached {
        sha256: Sha256::of(photo),
        size_bytes: photo.len() as u64,
    };
    let proven = verify_beside(front, vec![attached], known).expect("it holds");
    assert_eq!(Ok(proven), verify(&setting.file, known));
    // The twins: none where one is announced, another one, one of another size.
    let other = Attached {
        sha256: Sha256::of(b"another photo"),
        ..attached
    };
    let longer = Attached {
        size_bytes: attached.size_bytes + 1,
        ..attached
    };
    for (attachments, what) in [
        (vec![], What::Format),
        (vec![attached, attached], What::Format),
        (vec![other], What::Attachment),
        (vec![longer], What::Attachment),
    ] {
        let verdict = verify_beside(front, attachments, known);
        assert_eq!(verdict.expect_err("something else").what, what);
    }
}

/// A file whose disk fails in the middle of it.
struct Failing<'a>(&'a [u8]);

impl std::io::Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::Error::other("the disk"));
        }
        self.0.read(into)
    }
}

#[test]
fn a_disk_that_fails_says_nothing_about_the_dossier() {
    let file = setting().file;
    let verdict = super::verify(Failing(&file[..file.len() / 2]), None);
    assert!(matches!(verdict, Err(Unbelieved::Unreadable(_))));
    // The twin: a file that ends there is cut.
    assert_eq!(
        verify(&file[..file.len() / 2], None).map_err(|broken| broken.what),
        Err(What::Format)
    );
}

#[test]
fn two_hundred_tampers_with_every_hash_made_anew_are_all_found() {
    let setting = setting();
    let known = Some(setting.owners.fingerprint());
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let all = [&OF_CONTENT[..], &OF_RECORD].concat();
    for round in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(round));
        let (name, tamper) = all[round as usize % all.len()];
        let mut world = setting.world.clone();
        tamper(&mut world, &mut rng);
        for file in [setting.forged(&world), setting.copied(&world)] {
            assert_ne!(
                file, setting.file,
                "{name} changed nothing, seed {seed}, round {round}"
            );
            assert!(
                verify(&file, known).is_err(),
                "{name}, seed {seed}, round {round}"
            );
            assert!(
                verify(&file, None).is_err(),
                "{name}, seed {seed}, round {round}"
            );
        }
        // The twin: signed by the owners of the keys, the same tampered file is believed. Only signatures stood in its way.
        let owned = verify(&setting.by_the_owners(&world), known);
        assert!(
            owned.is_ok(),
            "{name}, seed {seed}, round {round}: {owned:?}"
        );
    }
}

#[test]
fn not_even_the_server_can_write_for_a_phone() {
    // The server signs the tree, the statement and the receipts anew. The seals of the phones are what it lacks.
    let setting = setting();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    for round in 0..70 {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(round));
        let (name, tamper) = OF_CONTENT[round as usize % OF_CONTENT.len()];
        let mut world = setting.world.clone();
        tamper(&mut world, &mut rng);
        let phones_wrote_as_before = world.documents[..2]
            .iter()
            .zip(&setting.world.documents)
            .all(|(new, old)| new.changes == old.changes);
        let verdict = verify(&setting.by_the_server(&world), None);
        if phones_wrote_as_before {
            // It edited its own review: that is in its power, and in the log.
            assert!(verdict.is_ok());
        } else {
            let what = verdict.map_err(|broken| broken.what);
            assert_eq!(what, Err(What::Seal), "{name}, seed {seed}, round {round}");
        }
    }
}

#[test]
fn a_dossier_forged_under_another_servers_key_fails_when_the_key_is_known() {
    let setting = setting();
    let forger = &setting.forger;
    let file = World::new(forger).build(forger, &mut Hand::Owners(forger, &mut Signed::default()));
    // The twin: the forgery is flawless, and only says whose key it is.
    let proven = verify(&file, None).expect("consistent in itself");
    assert_eq!(proven.fingerprint, forger.fingerprint());
    assert!(proven.not_proven.contains(&NotProven::WhoseKey));
    let broken = verify(&file, Some(setting.owners.fingerprint())).expect_err("another's");
    assert_eq!(broken, Broken::new(What::LogKey, forger.fingerprint()));
}

/// The word for a world whose owners signed it although it breaks a rule.
fn refused(tamper: impl FnOnce(&mut World)) -> What {
    let setting = setting();
    let mut world = setting.world.clone();
    tamper(&mut world);
    let verdict = verify(&setting.by_the_owners(&world), None);
    verdict.expect_err("it breaks a rule").what
}

fn take_event(world: &mut World, which: impl Fn(&Event) -> bool) -> Event {
    for events in &mut world.log {
        if let Some(at) = events.iter().position(&which) {
            return events.remove(at);
        }
    }
    panic!("no such event");
}

#[test]
fn what_came_after_the_revocation_of_its_phone_is_refused() {
    let revoked_first = |world: &mut World| {
        let revoked = take_event(world, |event| matches!(event, Event::Revoked { .. }));
        world.log[1].insert(0, revoked);
    };
    assert_eq!(refused(revoked_first), What::Revoked);
}

#[test]
fn what_a_chief_let_in_after_the_revocation_is_as_good_as_what_came_before_it() {
    let setting = setting();
    let mut world = setting.world.clone();
    let revoked = take_event(&mut world, |event| matches!(event, Event::Revoked { .. }));
    world.log[1].insert(0, revoked);
    // The twin is above: the same without that word is refused.
    for event in world.log.iter_mut().flatten() {
        if let Event::Batch { admitted, .. } = event {
            *admitted = true;
        }
    }
    verify(&setting.by_the_owners(&world), None).expect("verified");
}

#[test]
fn what_came_before_its_phone_was_enrolled_is_refused() {
    let enrolled_last = |world: &mut World| {
        let enrolled = take_event(world, |event| {
            matches!(event, Event::Enrolled { phone: 0, .. })
        });
        world.log[1].push(enrolled);
    };
    assert_eq!(refused(enrolled_last), What::Revoked);
}

#[test]
fn a_change_that_no_leaf_names_is_refused() {
    // An's first: their later seals cover it.
    let unlogged = |world: &mut World| {
        take_event(
            world,
            |event| matches!(event, Event::Batch { document: 0, changes, .. } if changes == &[0]),
        );
    };
    assert_eq!(refused(unlogged), What::NotReceived);
}

#[test]
fn a_change_that_a_leaf_names_and_the_file_lacks_is_refused() {
    // Nothing depends on the last one: only its leaf tells of it.
    let hidden = |world: &mut World| {
        world.documents[0].hidden.insert(3);
    };
    assert_eq!(refused(hidden), What::Incomplete);
}

#[test]
fn a_change_that_another_depends_on_and_that_is_nowhere_is_refused() {
    let hidden_for_ever = |world: &mut World| {
        world.documents[0].hidden.insert(2);
        for event in world.log.iter_mut().flatten() {
            if let Event::Batch {
                document: 0,
                changes,
                ..
            } = event
            {
                changes.retain(|change| *change != 2);
            }
        }
    };
    assert_eq!(refused(hidden_for_ever), What::Incomplete);
}

#[test]
fn a_change_without_a_seal_is_refused() {
    let unsealed = |world: &mut World| {
        world.documents[0].unsealed.insert(2);
    };
    assert_eq!(refused(unsealed), What::Unsealed);
}

#[test]
fn a_phone_that_was_never_enrolled_writes_nothing() {
    let stranger = |world: &mut World| {
        take_event(world, |event| {
            matches!(event, Event::Enrolled { phone: 1, .. })
        });
    };
    assert_eq!(refused(stranger), What::Writer);
}

#[test]
fn a_photo_that_no_document_names_is_refused() {
    assert_eq!(refused(|world| world.photo.push(0)), What::Attachment);
}

#[test]
fn a_review_without_what_it_reviews_is_refused() {
    assert_eq!(
        refused(|world| world.documents[0].dropped = true),
        What::Listing
    );
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let another = |world: &mut World| {
        world.selection = Selection::Patrol(world.documents[0].key.document());
    };
    assert_eq!(refused(another), What::Listing);
}
