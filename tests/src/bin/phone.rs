//! A phone as a process of its own: commands as JSON lines on its input, one JSON line of answer each. To be killed at any moment.
//!
//! It prints an answer only after the call returned, so what it printed as saved is what the core promised.

use kieumau_core::{
    criterion::CriterionNumber,
    evidence::NewEvidence,
    id::{DocumentId, ObservationId},
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{
        ClashView, EvidenceFileView, Item, ItemState, ObservationView, PatrolView, Phone,
        PhoneError, SyncOptions,
    },
    position::{Fix, Position},
    receipt::Receipt,
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
                .unwrap_or_else(|error| worded(&error)),
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

fn worded(error: &PhoneError) -> Value {
    match error {
        PhoneError::Invalid(invalid) => {
            json!({ "error": "invalid", "field": invalid.field, "rule": invalid.rule })
        }
        PhoneError::NotFound => json!({ "error": "not-found" }),
        PhoneError::Offline { .. } => json!({ "error": "offline" }),
        PhoneError::SignedOut { word } => json!({ "error": "signed-out", "word": word }),
        PhoneError::StorageFull => json!({ "error": "storage-full" }),
        PhoneError::Internal { detail } => json!({ "error": "internal", "detail": detail }),
    }
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

const fn state_word(state: ItemState) -> &'static str {
    match state {
        ItemState::Saved => "Đã lưu trên máy",
        ItemState::Waiting => "Chờ gửi",
        ItemState::Sending => "Đang gửi",
        ItemState::Received => "Đã gửi",
        ItemState::Returned => "Bị trả lại",
        ItemState::Approved => "Đã duyệt",
    }
}

async fn obey(phone: &Phone, told: Told) -> Result<Value, PhoneError> {
    Ok(match told {
        Told::Enrol { qr, url: None } => json!({ "phone": phone.enrol_by_qr(&qr).await?.phone }),
        Told::Enrol { qr, url: Some(url) } => {
            json!({ "phone": phone.enrol(&url, &qr).await?.phone })
        }
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
            phone
                .edit_observation(patrol, id, observation(&category, count, &unit, note))
                .await?;
            json!({ "edited": id })
        }
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
        Told::End { patrol } => {
            phone.end(patrol).await?;
            json!({ "ended": patrol })
        }
        Told::Choose {
            document,
            path,
            index,
        } => json!({ "chosen": phone.choose(document, &path, index).await? }),
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
        Told::SetClock { .. } => Value::Null,
        question => answer(phone, question).await?,
    })
}

async fn sync(phone: &Phone, tries: u32) -> Result<Value, PhoneError> {
    let options = SyncOptions {
        tries,
        attachments: true,
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
        Told::Patrol { patrol } => patrol_shown(&phone.patrol(patrol).await?),
        Told::Track { patrol } => phone
            .patrol(patrol)
            .await?
            .fixes
            .iter()
            .map(fix_shown)
            .collect(),
        Told::Observations { patrol } => phone
            .observations(patrol)
            .await?
            .iter()
            .map(observation_shown)
            .collect(),
        Told::Clash { document } => phone
            .clash(document)
            .await?
            .iter()
            .map(clash_shown)
            .collect(),
        Told::Evidence => phone.evidence().await?.iter().map(evidence_shown).collect(),
        Told::Items => phone.items(None).await?.iter().map(item_shown).collect(),
        Told::Receipt { document } => phone
            .receipt(document)
            .await?
            .as_ref()
            .map_or(Value::Null, receipt_shown),
        _ => Value::Null,
    })
}

fn patrol_shown(view: &PatrolView) -> Value {
    json!({
        "title": view.summary.title, "state": state_word(view.summary.state), "join_qr": view.join_qr,
        "started_at_ms": view.summary.started_at_ms, "ended_at_ms": view.summary.ended_at_ms,
        "fixes": view.fixes.len(), "length_m": view.summary.length_m, "team": view.team,
    })
}

fn fix_shown(fix: &Fix) -> Value {
    json!({
        "at_ms": fix.at_ms, "lat": fix.position.lat(), "lon": fix.position.lon(), "accuracy_dm": fix.accuracy_dm,
    })
}

fn observation_shown(o: &ObservationView) -> Value {
    json!({
        "observation": o.observation, "count": o.content.count, "note": o.content.note,
        "recorded_at_ms": o.content.recorded_at_ms, "attachments": o.attachments,
    })
}

fn clash_shown(clash: &ClashView) -> Value {
    let values: Vec<_> = clash.values.iter().map(|value| &value.text).collect();
    json!({ "path": clash.path, "values": values })
}

fn evidence_shown(file: &EvidenceFileView) -> Value {
    let pieces: Vec<_> = file.items.iter().map(|piece| piece.evidence).collect();
    json!({ "document": file.document, "state": state_word(file.state), "pieces": pieces })
}

fn item_shown(item: &Item) -> Value {
    let remark = item
        .decided
        .as_ref()
        .and_then(|decided| decided.remark.as_ref());
    json!({
        "document": item.document, "kind": item.kind, "state": state_word(item.state),
        "unsent_changes": item.unsent_changes, "unsent_attachments": item.unsent_attachments,
        "refused": item.refused, "remark": remark,
    })
}

fn receipt_shown(receipt: &Receipt) -> Value {
    json!({
        "heads": receipt.heads, "attachments": receipt.attachments, "leaf_index": receipt.leaf_index,
        "tree_size": receipt.tree_size, "root": receipt.root, "received_at_ms": receipt.received_at_ms,
    })
}
