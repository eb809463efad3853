//! A phone as a process of its own: commands as JSON lines on its input, one JSON line of answer each. To be killed at any moment.
//!
//! It prints an answer only after the call returned, so what it printed as saved is what the core promised.

use kieumau_core::{
    criterion::CriterionNumber,
    evidence::NewEvidence,
    id::{DocumentId, ObservationId},
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{ItemState, Phone, PhoneError, SyncOptions},
    position::{Fix, Position},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc, sync::atomic::AtomicI64};

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
    Observations {
        patrol: DocumentId,
    },
    Clash {
        document: DocumentId,
    },
    Items,
    Sync {
        tries: u32,
    },
    /// Records observations without end, and prints the id of each when it is saved.
    Record {
        patrol: DocumentId,
    },
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("usage: phone FOLDER"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let phone = runtime.block_on(kieumau_tests::world::open(
        &folder,
        &Arc::new(AtomicI64::new(0)),
    ));
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        let answer = match serde_json::from_str::<Told>(&line) {
            Ok(told) => runtime
                .block_on(obey(&phone, told))
                .unwrap_or_else(|error| worded(&error)),
            Err(error) => json!({ "error": "malformed", "detail": error.to_string() }),
        };
        print(&answer);
    }
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
        Told::Enrol { qr, url: Some(url) } => json!({ "phone": phone.enrol(&url, &qr).await?.phone }),
        Told::Start { title } => {
            json!({ "patrol": phone.start_patrol(NewPatrol { title, ..NewPatrol::default() }).await? })
        }
        Told::Join { qr } => json!({ "patrol": phone.join_patrol(&qr).await? }),
        Told::Fix { patrol, at_ms, lat, lon, accuracy_m } => {
            let position = Position::from_degrees(lat, lon)?;
            let fix = Fix { at_ms, position, accuracy_dm: Some(accuracy_m * 10) };
            json!({ "dropped": phone.add_fix(patrol, fix).await?.map(|reason| format!("{reason:?}")) })
        }
        Told::Import { patrol, path } => {
            let import = phone.import_track(patrol, &path).await?;
            let dropped: u32 = import.dropped.values().sum();
            json!({ "kept": import.kept, "dropped": dropped, "span_ms": import.span_ms })
        }
        Told::Observe { patrol, category, count, unit, note } => {
            json!({ "observation": phone.add_observation(patrol, observation(&category, count, &unit, note)).await? })
        }
        Told::Edit { patrol, observation: id, category, count, unit, note } => {
            phone.edit_observation(patrol, id, observation(&category, count, &unit, note)).await?;
            json!({ "edited": id })
        }
        Told::FileEvidence { criterion, period, kind, summary } => {
            let criterion = CriterionNumber::new(criterion)?;
            let new = NewEvidence { evidence_kind: kind, summary, ..NewEvidence::default() };
            let (document, evidence) = phone.file_evidence(criterion, &period.parse()?, new).await?;
            json!({ "document": document, "evidence": evidence })
        }
        Told::Attach { document, item, path } => {
            let sha256 = phone.attach(document, item, &path).await?;
            json!({ "sha256": sha256, "is": phone.attachment(sha256).await?.media_type })
        }
        Told::End { patrol } => {
            phone.end(patrol).await?;
            json!({ "ended": patrol })
        }
        Told::Patrol { patrol } => {
            let view = phone.patrol(patrol).await?;
            json!({
                "title": view.summary.title, "state": state_word(view.summary.state), "join_qr": view.join_qr,
                "fixes": view.fixes.len(), "length_m": view.summary.length_m, "team": view.team,
            })
        }
        Told::Observations { patrol } => {
            let seen = phone.observations(patrol).await?;
            Value::from(
                seen.into_iter()
                    .map(|o| json!({ "observation": o.observation, "count": o.content.count, "note": o.content.note }))
                    .collect::<Vec<_>>(),
            )
        }
        Told::Clash { document } => Value::from(
            phone
                .clash(document)
                .await?
                .into_iter()
                .map(|c| json!({ "path": c.path, "values": c.values.into_iter().map(|v| v.text).collect::<Vec<_>>() }))
                .collect::<Vec<_>>(),
        ),
        Told::Items => Value::from(
            phone
                .items(None)
                .await?
                .into_iter()
                .map(|item| {
                    json!({
                        "document": item.document, "kind": item.kind, "state": state_word(item.state),
                        "unsent_changes": item.unsent_changes, "unsent_attachments": item.unsent_attachments,
                        "refused": item.refused, "remark": item.decided.and_then(|decided| decided.remark),
                    })
                })
                .collect::<Vec<_>>(),
        ),
        Told::Sync { tries } => {
            let report = phone.sync(SyncOptions { tries, attachments: true }).await?;
            json!({
                "sent_changes": report.sent_changes, "sent_files": report.sent_files,
                "received_changes": report.received_changes, "receipts": report.receipts,
                "refused": report.refused_changes,
            })
        }
        Told::Record { patrol } => loop {
            let new = observation("urban-order", 1, "case", "ghi liên tục".to_owned());
            print(&json!({ "saved": phone.add_observation(patrol, new).await? }));
        },
    })
}
