//! A phone as a process of its own: commands as JSON lines on its input, one JSON line of answer each. To be killed at any moment.
//!
//! It prints an answer only after the call returned, so what it printed as saved is what the core promised.

mod shown;

use kieumau_core::{
    criterion::CriterionNumber,
    evidence::NewEvidence,
    id::{DocumentId, ObservationId},
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{Phone, PhoneError, SyncOptions},
    position::{Fix, Position},
};
use kieumau_tests::{
    process::KEY_VARIABLE,
    world::{KEY, open_with},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// What a phone can be told.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Told {
    Enrol {
        qr: String,
        url: Option<String>,
    },
    /// Takes the server's address and key from a new QR.
    FindServer {
        qr: String,
    },
    Start {
        title: String,
    },
    Join {
        qr: String,
    },
    Fix {
        patrol: DocumentId,
        at_ms: i64,
        lat: f64,
        lon: f64,
        accuracy_m: u32,
    },
    Import {
        patrol: DocumentId,
        path: PathBuf,
    },
    Observe {
        patrol: DocumentId,
        category: String,
        count: i64,
        unit: String,
        note: String,
        /// Where; `[lat, lon]` in degrees.
        place: Option<(f64, f64)>,
    },
    Edit {
        patrol: DocumentId,
        observation: ObservationId,
        category: String,
        count: i64,
        unit: String,
        note: String,
    },
    FileEvidence {
        criterion: u8,
        period: String,
        kind: String,
        summary: String,
    },
    Attach {
        document: DocumentId,
        item: Option<String>,
        path: PathBuf,
    },
    End {
        patrol: DocumentId,
    },
    Patrol {
        patrol: DocumentId,
    },
    /// The fixes of a patrol's track.
    Track {
        patrol: DocumentId,
    },
    Observations {
        patrol: DocumentId,
    },
    Clash {
        document: DocumentId,
    },
    Choose {
        document: DocumentId,
        path: String,
        index: u32,
    },
    Evidence,
    Items,
    /// The newest receipt of a document.
    Receipt {
        document: DocumentId,
    },
    Sync {
        tries: u32,
    },
    /// From now on the clock is off by so much.
    SetClock {
        skew_ms: i64,
    },
    /// Records observations without end, and prints the id of each when it is saved.
    Record {
        patrol: DocumentId,
    },
    /// What no phone does, so that a test shows what it finds out: prints that it is saved before it is.
    RecordRashly {
        patrol: DocumentId,
    },
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("usage: phone FOLDER"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let skew_ms = Arc::new(AtomicI64::new(0));
    let phone = runtime.block_on(open_with(&folder, key(), &skew_ms));
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        let answer = match serde_json::from_str::<Told>(&line) {
            Ok(Told::SetClock { skew_ms: skew }) => {
                skew_ms.store(skew, Ordering::Relaxed);
                json!({ "skew_ms": skew })
            }
            Ok(told) => runtime
                .block_on(obey(&phone, told))
                .unwrap_or_else(|error| shown::worded(&error)),
            Err(error) => json!({ "error": "malformed", "detail": error.to_string() }),
        };
        print(&answer);
    }
}

/// The key it was given, or the key of all tests.
fn key() -> [u8; 32] {
    let Ok(digits) = std::env::var(KEY_VARIABLE) else {
        return KEY;
    };
    let bytes = hex::decode(digits).expect("the key is hexadecimal");
    bytes.try_into().expect("the key has 32 bytes")
}

#[expect(clippy::print_stdout, reason = "its answers are what it is for")]
fn print(answer: &Value) {
    println!("{answer}");
}

fn observation(category: &str, count: i64, unit: &str, note: String) -> NewObservation {
    NewObservation {
        note: Some(note),
        ..NewObservation::of(category, count, unit)
    }
}

/// A sentence that no other observation says, so that one that is there twice is seen.
fn own_words() -> String {
    format!("ghi liên tục {}", uuid::Uuid::now_v7())
}

async fn obey(phone: &Phone, told: Told) -> Result<Value, PhoneError> {
    Ok(match told {
        Told::Enrol { qr, url: None } => json!({ "phone": phone.enrol_by_qr(&qr).await?.phone }),
        Told::Enrol { qr, url: Some(url) } => {
            json!({ "phone": phone.enrol(&url, &qr).await?.phone })
        }
        Told::FindServer { qr } => json!({ "url": phone.find_server(&qr).await?.server_url }),
        Told::Sync { tries } => sync(phone, tries).await?,
        Told::Record { patrol } => loop {
            let note = own_words();
            let id = phone
                .add_observation(patrol, observation("urban-order", 1, "case", note.clone()))
                .await?;
            print(&json!({ "saved": id, "note": note }));
        },
        Told::RecordRashly { patrol } => loop {
            let note = own_words();
            print(&json!({ "saved": null, "note": note }));
            phone
                .add_observation(patrol, observation("urban-order", 1, "case", note))
                .await?;
        },
        other => write(phone, other).await?,
    })
}

/// What is recorded in a patrol.
async fn write(phone: &Phone, told: Told) -> Result<Value, PhoneError> {
    Ok(match told {
        Told::Start { title } => {
            json!({ "patrol": phone.start_patrol(NewPatrol { title, ..NewPatrol::default() }).await? })
        }
        Told::Join { qr } => json!({ "patrol": phone.join_patrol(&qr).await? }),
        Told::Fix {
            patrol,
            at_ms,
            lat,
            lon,
            accuracy_m,
        } => {
            let position = Position::from_degrees(lat, lon)?;
            let fix = Fix {
                at_ms,
                position,
                accuracy_dm: Some(accuracy_m * 10),
            };
            json!({ "dropped": phone.add_fix(patrol, fix).await?.map(|reason| format!("{reason:?}")) })
        }
        Told::Import { patrol, path } => {
            let import = phone.import_track(patrol, &path).await?;
            let dropped: u32 = import.dropped.values().sum();
            json!({ "kept": import.kept, "dropped": dropped, "span_ms": import.span_ms })
        }
        Told::Observe {
            patrol,
            category,
            count,
            unit,
            note,
            place,
        } => {
            let position = place
                .map(|(lat, lon)| Position::from_degrees(lat, lon))
                .transpose()?;
            let new = NewObservation {
                position,
                ..observation(&category, count, &unit, note)
            };
            json!({ "observation": phone.add_observation(patrol, new).await? })
        }
        Told::Edit {
            patrol,
            observation: id,
            category,
            count,
            unit,
            note,
        } => {
            // An edit says all that the observation says from then on: its place too.
            let held = phone.observations(patrol).await?;
            let held = held.iter().find(|held| held.observation == id);
            let new = NewObservation {
                position: held.and_then(|held| held.content.position()),
                ..observation(&category, count, &unit, note)
            };
            phone.edit_observation(patrol, id, new).await?;
            json!({ "edited": id })
        }
        Told::End { patrol } => {
            phone.end(patrol).await?;
            json!({ "ended": patrol })
        }
        other => write_about_any(phone, other).await?,
    })
}

/// What is recorded in documents of any kind.
async fn write_about_any(phone: &Phone, told: Told) -> Result<Value, PhoneError> {
    Ok(match told {
        Told::FileEvidence {
            criterion,
            period,
            kind,
            summary,
        } => {
            let criterion = CriterionNumber::new(criterion)?;
            let new = NewEvidence {
                evidence_kind: kind,
                summary,
                ..NewEvidence::default()
            };
            let (document, evidence) = phone
                .file_evidence(criterion, &period.parse()?, new)
                .await?;
            json!({ "document": document, "evidence": evidence })
        }
        Told::Attach {
            document,
            item,
            path,
        } => {
            let sha256 = phone.attach(document, item, &path).await?;
            json!({ "sha256": sha256, "is": phone.attachment(sha256).await?.media_type })
        }
        Told::Choose {
            document,
            path,
            index,
        } => json!({ "chosen": phone.choose(document, &path, index).await? }),
        question => answer(phone, question).await?,
    })
}

async fn sync(phone: &Phone, tries: u32) -> Result<Value, PhoneError> {
    let options = SyncOptions {
        tries,
        attachments: true,
        ..SyncOptions::default()
    };
    let report = phone.sync(options).await?;
    Ok(json!({
        "sent_changes": report.sent_changes, "sent_files": report.sent_files,
        "received_changes": report.received_changes, "receipts": report.receipts,
        "refused": report.refused_changes,
    }))
}

/// What only reads.
async fn answer(phone: &Phone, question: Told) -> Result<Value, PhoneError> {
    Ok(match question {
        Told::Patrol { patrol } => shown::patrol(&phone.patrol(patrol).await?),
        Told::Track { patrol } => phone
            .patrol(patrol)
            .await?
            .tracks
            .iter()
            .flat_map(|track| &track.fixes)
            .map(shown::fix)
            .collect(),
        Told::Observations { patrol } => phone
            .observations(patrol)
            .await?
            .iter()
            .map(shown::observation)
            .collect(),
        Told::Clash { document } => phone
            .clash(document)
            .await?
            .iter()
            .map(shown::clash)
            .collect(),
        Told::Evidence => phone
            .evidence()
            .await?
            .iter()
            .map(shown::evidence)
            .collect(),
        Told::Items => phone.items(None).await?.iter().map(shown::item).collect(),
        Told::Receipt { document } => phone
            .receipt(document)
            .await?
            .as_ref()
            .map_or(Value::Null, shown::receipt),
        _ => Value::Null,
    })
}
