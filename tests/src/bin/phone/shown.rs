//! What a phone's process answers: the core's views as JSON, states in the words of the screens.

use kieumau_core::{
    phone::{
        ClashView, EvidenceFileView, Item, ItemState, ObservationView, PatrolView, PhoneError, Why,
    },
    position::Fix,
    receipt::Receipt,
};
use serde_json::{Value, json};

/// An error in its stable words.
pub fn worded(error: &PhoneError) -> Value {
    match error {
        PhoneError::Invalid(invalid) => {
            json!({ "error": "invalid", "field": invalid.field, "rule": invalid.rule })
        }
        PhoneError::NotFound => json!({ "error": "not-found" }),
        PhoneError::Offline { why, .. } => json!({ "error": "offline", "why": format!("{why:?}") }),
        PhoneError::SignedOut { word } => json!({ "error": "signed-out", "word": word }),
        PhoneError::StorageFull => json!({ "error": "storage-full" }),
        PhoneError::Internal { detail } => json!({ "error": "internal", "detail": detail }),
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

/// A patrol.
pub fn patrol(view: &PatrolView) -> Value {
    json!({
        "title": view.summary.title, "state": state_word(view.summary.state), "join_qr": view.join_qr,
        "started_at_ms": view.summary.started_at_ms, "ended_at_ms": view.summary.ended_at_ms,
        "fixes": view.tracks.iter().map(|track| track.fixes.len()).sum::<usize>(), "length_m": view.summary.length_m, "team": view.team,
    })
}

/// A fix of a track.
pub fn fix(fix: &Fix) -> Value {
    json!({
        "at_ms": fix.at_ms, "lat": fix.position.lat(), "lon": fix.position.lon(), "accuracy_dm": fix.accuracy_dm,
    })
}

/// An observation.
pub fn observation(o: &ObservationView) -> Value {
    json!({
        "observation": o.observation, "count": o.content.count, "note": o.content.note,
        "recorded_at_ms": o.content.recorded_at_ms, "attachments": o.attachments,
    })
}

/// A field with two values.
pub fn clash(clash: &ClashView) -> Value {
    let values: Vec<_> = clash.values.iter().map(|value| &value.text).collect();
    json!({ "path": clash.path, "values": values })
}

/// An evidence file.
pub fn evidence(file: &EvidenceFileView) -> Value {
    let pieces: Vec<_> = file.items.iter().map(|piece| piece.evidence).collect();
    json!({ "document": file.document, "state": state_word(file.state), "pieces": pieces })
}

/// An item of the lists.
pub fn item(item: &Item) -> Value {
    let remark = item
        .decided
        .as_ref()
        .and_then(|decided| decided.remark.as_ref());
    let refused: Vec<_> = item
        .waiting
        .iter()
        .filter_map(|waiting| match &waiting.why {
            Why::Refused { word } => Some(word),
            _ => None,
        })
        .collect();
    json!({
        "document": item.document, "kind": item.kind, "state": state_word(item.state),
        "unsent_changes": item.unsent_changes, "unsent_attachments": item.unsent_attachments,
        "refused": refused, "remark": remark,
    })
}

/// A receipt.
pub fn receipt(receipt: &Receipt) -> Value {
    json!({
        "heads": receipt.heads, "attachments": receipt.attachments, "leaf_index": receipt.leaf_index,
        "tree_size": receipt.tree_size, "root": receipt.root, "received_at_ms": receipt.received_at_ms,
    })
}
