//! What a rescue file brings, by whom it may be brought, and what a hostile one gets.

use super::*;
use crate::{
    fixture::{self, Audited, People, TestApp, apps, audited, enrolled, rows},
    phone,
    session::SignedIn,
};
use axum::http::Request;
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key},
    hash::Sha256,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    rescue::{Record, sealed::Sealer},
    seal::Signer,
    stamp::Stamp,
    wire::{PushedDocument, WireKey},
};
use std::io::Write as _;

fn called(title: &str) -> NewPatrol {
    NewPatrol {
        title: title.to_owned(),
        ..NewPatrol::default()
    }
}

/// A phone, and what it can write.
struct Writer {
    phone: PhoneId,
    key: SigningKey,
    person: PersonId,
    unit: UnitId,
}

impl Writer {
    async fn of(app: &TestApp, person: &SignedIn) -> Self {
        let (phone, key) = enrolled(app, person).await;
        Self {
            phone,
            key,
            person: person.person,
            unit: person.unit,
        }
    }

    /// A patrol of `unit` with `count` changes.
    fn patrol(&self, unit: UnitId, count: u8) -> (Key, Vec<Change>) {
        let key = Key::patrol(unit, uuid::Uuid::now_v7());
        let actor = Actor {
            phone: self.phone,
            opening: rand::random(),
        };
        let mut patrol = document::new(&key);
        let changes = (0..count).map(|step| {
            let stamp = Stamp {
                by: self.person,
                at_ms: 1_700_000_000_000 + i64::from(step),
                random: [step; 10],
            };
            let edit = |log: &mut PatrolLog| match step {
                0 => log.start(stamp, called("Ca đêm")),
                _ => log
                    .observe(stamp, NewObservation::of("urban-order", 1, "case"))
                    .map(|_| ()),
            };
            let (_, change) = document::edit(&mut patrol, actor, stamp.at_ms, edit).expect("kept");
            change.expect("something was written")
        });
        let changes = changes.collect();
        (key, changes)
    }

    /// The record of these changes, sealed at the last.
    fn record(&self, key: &Key, changes: &[Change]) -> Record {
        let last = changes.last().expect("changes").hash;
        Record::Changes(PushedDocument {
            key: WireKey::from(key),
            changes: changes.iter().map(|change| change.bytes.clone()).collect(),
            seals: vec![key.seal(&self.key, Signer::Phone(self.phone), last)],
        })
    }

    /// A rescue file of this phone for `app`.
    fn file(&self, app: &TestApp, records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut sealer =
            Sealer::begin(&app.keys.rescue.public(), &mut rand::rng(), &mut bytes).expect("a key");
        let origin = Origin::sign(&self.key, sealer.header(), self.phone, 7);
        for record in [&Record::Origin(origin)].into_iter().chain(records) {
            sealer.push(record, &mut bytes).expect("a short record");
        }
        sealer.end(&mut bytes);
        bytes
    }
}

async fn taken(app: &TestApp, bytes: &[u8]) -> Answer<Taken> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    take(app, Carrier::default(), file).await
}

async fn word(app: &TestApp, bytes: &[u8]) -> &'static str {
    taken(app, bytes).await.expect_err("refused").word()
}

fn attachment(file: &[u8], announced: Sha256) -> [Record; 2] {
    let named = Record::File {
        sha256: announced,
        size_bytes: file.len() as u64,
    };
    [named, Record::Bytes(file.to_vec())]
}

#[tokio::test]
async fn what_is_brought_twice_is_taken_once_and_the_audit_row_says_so() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let (key, changes) = an.patrol(an.unit, 3);
        let photo = b"\xff\xd8\xff\xe0 a photo";
        let [named, bytes] = attachment(photo, Sha256::of(photo));
        let file = an.file(&app, &[an.record(&key, &changes), named, bytes]);
        let first = taken(&app, &file).await.expect("taken");
        assert_eq!((first.changes_taken, first.files_taken), (3, 1));
        let second = taken(&app, &file).await.expect("taken");
        let held = Taken {
            changes_held: 3,
            files_held: 1,
            ..Taken::default()
        };
        assert_eq!(second, held);
        assert_eq!(fixture::changes(&app, "true").await, 3);
        for (table, count) in [("attachment", 1), ("upload", 0)] {
            assert_eq!(rows(&app, table).await, count, "{table}");
        }
        let expected = Audited {
            person: None,
            phone: None,
            unit: Some(an.unit.to_string()),
            subject: Some(an.phone.to_string()),
            detail: Some("taken 3 held 0 waiting 0 quarantined 0 files 1".to_owned()),
        };
        assert_eq!(audited(&app, "rescue-taken").await[0], expected);
    }
}

#[tokio::test]
async fn of_a_revoked_phone_the_log_keeps_what_it_had_and_quarantine_the_rest() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let (key, changes) = an.patrol(an.unit, 4);
        let before = an.file(&app, &[an.record(&key, &changes[..2])]);
        // The twin: in good standing, the same way brings changes into the log.
        assert_eq!(taken(&app, &before).await.expect("taken").changes_taken, 2);
        phone::revoke(&app, None, an.phone).await.expect("revoked");
        let all = an.file(&app, &[an.record(&key, &changes)]);
        for _ in 0..2 {
            let after = taken(&app, &all).await.expect("taken");
            assert_eq!((after.changes_taken, after.changes_held), (0, 2));
            assert_eq!(after.quarantined["phone-revoked"], 2);
            assert_eq!(fixture::changes(&app, "true").await, 2);
            assert_eq!(rows(&app, "quarantine").await, 2);
        }
    }
}

#[tokio::test]
async fn a_refused_original_lies_in_quarantine_with_its_reason_and_what_follows_it_waits() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let (key, changes) = an.patrol(an.unit, 3);
        let refused = Record::Refused {
            key: Some(WireKey::from(&key)),
            reason: "sequence".to_owned(),
            bytes: changes[1].bytes.clone(),
        };
        let before = an.record(&key, &changes[..1]);
        let after = an.record(&key, &changes[2..]);
        let file = an.file(&app, &[before, after, refused]);
        let taken = taken(&app, &file).await.expect("taken");
        assert_eq!((taken.changes_taken, taken.changes_waiting), (1, 1));
        assert_eq!(taken.quarantined["sequence"], 1);
        assert_eq!(rows(&app, "quarantine").await, 1);
    }
}

#[tokio::test]
async fn a_change_whose_documents_name_is_lost_lies_in_quarantine_with_its_reason() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let (_, changes) = an.patrol(an.unit, 1);
        let nameless = Record::Refused {
            key: None,
            reason: "lacks-an-ancestor".to_owned(),
            bytes: changes[0].bytes.clone(),
        };
        let file = an.file(&app, &[nameless]);
        let taken = taken(&app, &file).await.expect("taken");
        assert_eq!(taken.quarantined["lacks-an-ancestor"], 1);
        assert_eq!(rows(&app, "quarantine").await, 1);
    }
}

#[tokio::test]
async fn a_file_that_is_cut_changed_or_another_servers_brings_nothing_at_all() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let (key, changes) = an.patrol(an.unit, 2);
        let file = an.file(&app, &[an.record(&key, &changes)]);
        for cut in [0, 1, 40, 78, 79, 90, file.len() - 1] {
            let word = word(&app, &file[..cut]).await;
            let expected = if cut < 14 {
                "not-a-rescue-file"
            } else {
                "rescue-damaged"
            };
            // Of nothing, nothing can be said but that it is none.
            assert_eq!(
                word,
                if cut == 0 {
                    "not-a-rescue-file"
                } else {
                    expected
                }
            );
        }
        let mut flipped = file.clone();
        *flipped.last_mut().expect("bytes") ^= 1;
        assert_eq!(word(&app, &flipped).await, "rescue-damaged");
        for other in apps().await {
            assert_eq!(word(&other, &file).await, "rescue-another-server");
        }
        assert_eq!(
            word(&app, &an.file(&app, &[Record::Bytes(vec![1])])).await,
            "rescue-malformed"
        );
        assert_eq!(rows(&app, "change").await, 0);
        assert_eq!(rows(&app, "quarantine").await, 0);
        let refused = audited(&app, "rescue-refused").await;
        assert_eq!(
            refused.last().and_then(|row| row.detail.as_deref()),
            Some("rescue-malformed")
        );
        // The twin: as it was written it brings all.
        assert_eq!(taken(&app, &file).await.expect("taken").changes_taken, 2);
    }
}

#[tokio::test]
async fn who_only_knows_the_servers_key_brings_nothing_and_another_units_document_is_not_written() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let stranger = Writer {
            key: SigningKey::from_bytes(&[1; 32]),
            ..Writer::of(&app, &people.ha).await
        };
        let (key, changes) = an.patrol(an.unit, 1);
        let file = stranger.file(&app, &[an.record(&key, &changes)]);
        assert_eq!(word(&app, &file).await, "rescue-unknown-phone");

        let (elsewhere, changes) = an.patrol(people.vinh_phu, 2);
        let file = an.file(&app, &[an.record(&elsewhere, &changes)]);
        let result = taken(&app, &file).await.expect("taken");
        assert_eq!(result.quarantined["not-allowed"], 2);
        assert_eq!(rows(&app, "document").await, 0);
    }
}

#[tokio::test]
async fn an_attachment_is_checked_as_an_uploaded_one_is_and_holds_up_nothing() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let photo = b"\xff\xd8\xff\xe0 a photo";
        let [wrong, wrong_bytes] = attachment(photo, Sha256([9; 32]));
        let page = b"<!DOCTYPE html> not a photo";
        let [html, html_bytes] = attachment(page, Sha256::of(page));
        let [right, right_bytes] = attachment(photo, Sha256::of(photo));
        let [short, _] = attachment(b"\xff\xd8\xff half", Sha256([8; 32]));
        let half = Record::Bytes(vec![0xff]);
        let records = [
            wrong,
            wrong_bytes,
            html,
            html_bytes,
            short,
            half,
            right,
            right_bytes,
        ];
        let result = taken(&app, &an.file(&app, &records)).await.expect("taken");
        assert_eq!(result.files_taken, 1);
        let words: Vec<&str> = result.files_refused.keys().map(String::as_str).collect();
        assert_eq!(words, ["file-incomplete", "hash-mismatch", "wrong-kind"]);
        assert_eq!(rows(&app, "attachment").await, 1);
        assert_eq!(rows(&app, "upload").await, 0);
        let left = std::fs::read_dir(app.config.data.join("uploads")).expect("a folder");
        assert_eq!(left.count(), 0);
    }
}

#[tokio::test]
async fn any_enrolled_phone_may_bring_a_file_and_nobody_else() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let binh = Writer::of(&app, &people.binh).await;
        let (key, changes) = an.patrol(an.unit, 2);
        let file = an.file(&app, &[an.record(&key, &changes)]);
        let request = |authorization: &str| {
            Request::post(RESCUE)
                .header(header::AUTHORIZATION, authorization)
                .body(Body::from(file.clone()))
                .expect("a request")
        };
        let anonymous = fixture::send(&app, router(), request("Bearer nobody")).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
        let bearer = fixture::bearer(&app, binh.phone, &binh.key).await;
        let reply = fixture::send(&app, router(), request(&bearer)).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json::<Taken>().changes_taken, 2);
        let row = audited(&app, "rescue-taken").await.remove(0);
        assert_eq!(row.phone, Some(binh.phone.to_string()));
        // In the audit of the unit whose work it is.
        assert_eq!(row.unit, Some(an.unit.to_string()));
        let large = Request::post(RESCUE)
            .header(header::AUTHORIZATION, &bearer)
            .header(header::CONTENT_LENGTH, (2_u64 << 30) + 1)
            .body(Body::empty())
            .expect("a request");
        let reply = fixture::send(&app, router(), large).await;
        assert_eq!(
            (reply.status, reply.word().as_str()),
            (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
        );
        let left = std::fs::read_dir(app.config.data.join("rescue")).expect("a folder");
        assert_eq!(left.count(), 0, "nothing is left on the disk");
    }
}

#[tokio::test]
async fn no_change_of_a_byte_gets_more_than_a_problem() {
    let app = apps().await.remove(0);
    let people = People::new(&app).await;
    let an = Writer::of(&app, &people.an).await;
    let (key, changes) = an.patrol(an.unit, 1);
    let file = an.file(&app, &[an.record(&key, &changes)]);
    for at in 0..file.len() {
        for broken in [
            file[..at].to_vec(),
            [&file[..at], &[file[at] ^ 0x40], &file[at + 1..]].concat(),
        ] {
            let problem = taken(&app, &broken).await.expect_err("refused");
            assert_eq!(
                problem.status(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "at {at}"
            );
        }
    }
    assert_eq!(rows(&app, "document").await, 0);
}
