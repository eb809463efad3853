//! What a push can be that no phone of ours sends: each gets a word, nothing is lost, nothing is doubled, and the server goes on.

use kieumau_core::{
    document::{self, Actor, Change, Key},
    hash::Sha256,
    header,
    id::UnitId,
    patrol::{NewPatrol, PatrolLog},
    seal::Signer,
    stamp::Stamp,
    wire::{After, ChangeOutcome, Pulled, Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use kieumau_tests::{
    driver::Driver,
    world::{World, eventually},
};
use reqwest::StatusCode;

fn words(outcomes: &[ChangeOutcome]) -> Vec<&str> {
    outcomes
        .iter()
        .map(|outcome| outcome.word.as_str())
        .collect()
}

#[tokio::test]
async fn the_same_push_twice_is_held_and_counted_once() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, changes) = an.patrol(3);
    let seals = vec![an.seal(&key, changes[3].hash)];
    assert_eq!(
        words(&an.push_changes(&key, &changes, seals.clone()).await),
        [""; 0]
    );
    assert_eq!(
        words(&an.push_changes(&key, &changes, seals).await),
        ["held"; 4]
    );
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", key.document());
    eventually("the page shows it", async || {
        chi.read(&page).await.0 == StatusCode::OK
    })
    .await;
    let (_, text) = chi.read(&page).await;
    assert_eq!(text.matches("Lấn chiếm vỉa hè, đã nhắc nhở").count(), 3);
}

/// The changes on the page that a push's answer brings to who stands at `after`.
async fn page_of(phone: &Driver, after: After) -> Vec<Sha256> {
    let push = Push {
        after: Some(after),
        ..Push::default()
    };
    let (status, answer) = phone.send(minicbor::to_vec(&push).expect("CBOR")).await;
    assert_eq!(status, StatusCode::OK);
    let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
    let page = pushed.page.expect("a short page");
    let mut decoder = minicbor::Decoder::new(&page);
    let mut changes = Vec::new();
    while decoder.position() < page.len() {
        if let Pulled::Change(bytes) = decoder.decode().expect("an item") {
            changes.push(header::read(&bytes).expect("a change").hash);
        }
    }
    changes
}

#[tokio::test]
async fn a_phone_is_not_sent_what_it_wrote_in_its_present_opening_and_a_restored_one_is() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, changes) = an.patrol(1);
    let seals = vec![an.seal(&key, changes[1].hash)];
    let header = header::read(&changes[1].bytes).expect("a change");
    let opening = Actor::from_slice(header.actor).expect("a phone's").opening;
    an.push_changes(&key, &changes, seals).await;
    // The twin: a copy restored from a backup draws another opening, and gets what the phone wrote before.
    let restored = || After {
        opening: Some([0xee; 8]),
        ..After::default()
    };
    eventually("what was pushed is served", async || {
        page_of(&an, restored()).await.contains(&changes[1].hash)
    })
    .await;
    let same = After {
        opening: Some(opening),
        ..After::default()
    };
    let page = page_of(&an, same).await;
    assert!(changes.iter().all(|change| !page.contains(&change.hash)));
}

#[tokio::test]
async fn children_before_their_parents_wait_and_then_come_in() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, changes) = an.patrol(2);
    let late = &changes[1..];
    let answer = an
        .push_changes(&key, late, vec![an.seal(&key, changes[2].hash)])
        .await;
    assert_eq!(words(&answer), ["waiting", "waiting"]);
    let first = &changes[..1];
    assert_eq!(
        words(
            &an.push_changes(&key, first, vec![an.seal(&key, changes[0].hash)])
                .await
        ),
        [""; 0]
    );
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", key.document());
    eventually("all three are read", async || {
        chi.read(&page)
            .await
            .1
            .matches("Lấn chiếm vỉa hè, đã nhắc nhở")
            .count()
            == 2
    })
    .await;
}

#[tokio::test]
async fn a_wrong_seal_no_seal_and_another_phones_seal_are_refused_and_kept_in_quarantine() {
    let world = World::new().await;
    let (an, ha) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "ha").await,
    );
    let (key, changes) = an.patrol(0);
    let good = an.seal(&key, changes[0].hash);
    let mut bent = good;
    bent.signature[5] ^= 1;
    let other = Key::patrol(key.unit, uuid::Uuid::now_v7());
    let moved = an.seal(&other, changes[0].hash);
    // Hà's phone is in good standing, but these changes are not its own.
    let foreign = ha.seal(&key, changes[0].hash);
    for seals in [vec![], vec![bent], vec![moved], vec![foreign]] {
        assert_eq!(
            words(&an.push_changes(&key, &changes, seals).await),
            ["unsealed"]
        );
    }
    // The twin: with its own seal it comes in, carried by whomever.
    assert_eq!(
        words(&ha.push_changes(&key, &changes, vec![good]).await),
        [""; 0]
    );
}

#[tokio::test]
async fn another_units_document_and_a_kind_of_the_servers_are_refused() {
    let world = World::new().await;
    let (an, binh) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "binh").await,
    );
    let (key, changes) = an.patrol(0);
    let seal = an.seal(&key, changes[0].hash);
    assert_eq!(
        words(&binh.push_changes(&key, &changes, vec![seal]).await),
        ["not-allowed"]
    );
    let unknown = Key::patrol(UnitId::from_bytes([9; 16]), uuid::Uuid::now_v7());
    assert_eq!(
        words(&an.push_changes(&unknown, &changes, vec![]).await),
        ["not-allowed"]
    );
    let review = Key::review(key.unit, key.document());
    let birthless: Vec<Change> = changes.clone();
    let seal = an.seal(&review, birthless[0].hash);
    assert_eq!(
        words(&an.push_changes(&review, &birthless, vec![seal]).await),
        ["not-allowed"]
    );
}

#[tokio::test]
async fn what_another_units_phone_brought_is_routed_by_the_admin_and_taken_when_it_is_tried_again()
{
    let world = World::new().await;
    let (an, binh) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "binh").await,
    );
    let (key, changes) = an.patrol(1);
    let seals = vec![an.seal(&key, changes[1].hash)];
    let answer = binh.push_changes(&key, &changes, seals).await;
    assert_eq!(words(&answer), ["not-allowed"; 2]);
    let retried = async || world.server.command(&["quarantine", "retry"]).await;
    // The twin: of nobody's unit it is tried in vain.
    let in_vain = retried().await;
    assert!(
        in_vain.contains("\"admitted\":0,\"refused\":2"),
        "{in_vain}"
    );
    let dung = world.desk("dung").await;
    let (_, page) = dung.read("/quarantine").await;
    let forms: Vec<&str> = page.split("action=\"/quarantine/").skip(1).collect();
    assert_eq!(forms.len(), 2);
    let unit = key.unit.to_string();
    for form in forms {
        let id = form.split('/').next().expect("an id");
        let path = format!("/quarantine/{id}/unit");
        let status = dung.send(&path, &[("unit", &unit)]).await.status();
        assert!(status.is_redirection(), "{status}");
    }
    let taken = retried().await;
    assert!(taken.contains("\"admitted\":2,\"refused\":0"), "{taken}");
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", key.document());
    eventually("the page shows it", async || {
        let (_, text) = chi.read(&page).await;
        text.contains("Lấn chiếm vỉa hè, đã nhắc nhở")
    })
    .await;
}

#[tokio::test]
async fn an_observation_in_a_colleagues_name_is_stored_but_never_shown() {
    let world = World::new().await;
    let (an, ha) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "ha").await,
    );
    let key = Key::patrol(an.enrolled.unit, uuid::Uuid::now_v7());
    let mut patrol = document::new(&key);
    let actor = Actor {
        phone: an.enrolled.phone,
        opening: [1; 8],
    };
    let mut changes = Vec::new();
    for (by, note) in [
        (an.enrolled.person, "Tên thật"),
        (ha.enrolled.person, "Mạo danh Hà"),
    ] {
        let stamp = Stamp {
            by,
            at_ms: an.enrolled.server_time_ms,
            random: rand::random(),
        };
        let (_, change) = document::edit(&mut patrol, actor, stamp.at_ms, |log: &mut PatrolLog| {
            if log.started_at_ms.is_none() {
                let team = vec![ha.enrolled.person];
                log.start(
                    stamp,
                    NewPatrol {
                        title: "Ca".into(),
                        team,
                        ..NewPatrol::default()
                    },
                )?;
            }
            let new = kieumau_core::observation::NewObservation {
                note: Some(note.into()),
                ..kieumau_core::observation::NewObservation::of("urban-order", 1, "case")
            };
            log.observe(stamp, new).map(|_| ())
        })
        .expect("the rules hold");
        changes.extend(change);
    }
    let seal = an.seal(&key, changes[1].hash);
    assert_eq!(
        words(&an.push_changes(&key, &changes, vec![seal]).await),
        [""; 0]
    );
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", key.document());
    eventually("what is in the own name is shown", async || {
        chi.read(&page).await.1.contains("Tên thật")
    })
    .await;
    assert!(!chi.read(&page).await.1.contains("Mạo danh Hà"));
}

#[tokio::test]
async fn a_push_cut_at_any_byte_is_a_problem_and_never_a_500() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let body = an.prepare(1).remove(0);
    for cut in (0..body.len()).step_by(7).chain([body.len() - 1]) {
        let (status, answer) = an.send(body[..cut].to_vec()).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "cut at {cut}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    let (status, _) = an.send(body).await;
    assert!(status.is_success());
}

#[tokio::test]
async fn changed_bytes_of_a_change_are_refused_or_what_they_were() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, changes) = an.patrol(0);
    let seal = an.seal(&key, changes[0].hash);
    for at in (0..changes[0].bytes.len()).step_by(5) {
        let mut bytes = changes[0].bytes.clone();
        bytes[at] ^= 0x55;
        let bent = Change {
            hash: Sha256::of(&bytes),
            bytes,
        };
        let answer = an.push_changes(&key, &[bent], vec![seal]).await;
        assert!(
            matches!(
                words(&answer)[..],
                ["malformed" | "unsealed" | "forged-birth"]
            ),
            "byte {at}: {answer:?}"
        );
    }
    assert_eq!(
        words(&an.push_changes(&key, &changes, vec![seal]).await),
        [""; 0]
    );
}

#[tokio::test]
async fn no_receipt_is_given_for_what_is_not_here() {
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, changes) = an.patrol(1);
    let ask = |heads: Vec<Sha256>, attachments: Vec<Sha256>| {
        let signer = Signer::Phone(an.enrolled.phone);
        let push = Push {
            after: None,
            backups: None,
            documents: vec![PushedDocument {
                key: WireKey::from(&key),
                changes: vec![changes[0].bytes.clone()],
                seals: vec![key.seal(&an.key, signer, changes[0].hash)],
            }],
            receipts: vec![ReceiptRequest {
                document: key.document(),
                heads,
                attachments,
            }],
        };
        minicbor::to_vec(&push).expect("CBOR")
    };
    for (heads, attachments, receipts) in [
        (vec![changes[1].hash], vec![], 0),
        (
            vec![changes[0].hash],
            vec![Sha256::of(b"never uploaded")],
            0,
        ),
        (vec![], vec![], 0),
        // The twin: what is here gets its receipt.
        (vec![changes[0].hash], vec![], 1),
    ] {
        let (_, answer) = an.send(ask(heads, attachments)).await;
        let pushed: kieumau_core::wire::Pushed = minicbor::decode(&answer).expect("CBOR");
        assert_eq!(pushed.receipts.len(), receipts);
    }
}

/// Each time that a phone is opened it is another writer, and a document is written for a year. A worker that kept for each change what
/// its writer had seen of every other one had no room for this, and withheld what was honest.
#[tokio::test]
async fn a_document_that_phones_were_opened_for_thousands_of_times_is_still_looked_into() {
    const OPENINGS: u32 = 5_000;
    let world = World::new().await;
    let an = Driver::enrol(&world.server, "an").await;
    let (key, started) = an.patrol(0);
    let seals = vec![an.seal(&key, started[0].hash)];
    an.push_changes(&key, &started, seals).await;
    let bytes = started[0].bytes.as_slice();
    let mut patrol = document::load(&key, [bytes]).expect("it is honest");
    let titled = |patrol: &mut automerge::Automerge, number: u32| {
        let mut opening = [0; 8];
        opening[..4].copy_from_slice(&number.to_be_bytes());
        let actor = Actor {
            phone: an.enrolled.phone,
            opening,
        };
        let title = |log: &mut PatrolLog| {
            log.title = Some(format!("Ca {number}"));
            Ok(())
        };
        let edited = document::edit(patrol, actor, 1_795_000_000_000, title);
        edited.expect("edits").1.expect("a change")
    };
    let changes: Vec<Change> = (0..OPENINGS)
        .map(|number| titled(&mut patrol, number))
        .collect();
    let seals = changes.iter().map(|change| an.seal(&key, change.hash));
    let refused = an.push_changes(&key, &changes, seals.collect()).await;
    assert_eq!(words(&refused), [""; 0]);
    // What comes then is looked into upon all of these.
    let last = titled(&mut patrol, OPENINGS);
    let seals = vec![an.seal(&key, last.hash)];
    assert_eq!(words(&an.push_changes(&key, &[last], seals).await), [""; 0]);
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", key.document());
    eventually("the last title stands on the page", async || {
        chi.read(&page).await.1.contains(&format!("Ca {OPENINGS}"))
    })
    .await;
}
