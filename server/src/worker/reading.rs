//! What a change in quarantine would write, for the chief who opens it: fields and values as text, so many and so long at most.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the worker: limited, and killed at its deadline"
)]

use automerge::{
    Change, ScalarValue,
    legacy::{Key, OpType},
};

/// Fields that are shown.
const FIELDS: usize = 200;
/// Characters of a value that are.
const CHARACTERS: usize = 1_000;

/// Field and value of each thing that the change in `bytes` writes.
///
/// # Errors
/// `not-a-change`.
pub(super) fn fields(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let change = Change::from_bytes(bytes.to_vec()).map_err(|_| "not-a-change")?;
    let decoded = change.decode();
    let written = decoded.operations.iter().filter_map(|operation| {
        let OpType::Put(value) = &operation.action else {
            return None;
        };
        let Key::Map(field) = &operation.key else {
            return None;
        };
        Some((short(field), text(value)))
    });
    Ok(written.take(FIELDS).collect())
}

fn text(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Null => String::new(),
        ScalarValue::Str(text) => short(text),
        ScalarValue::Bytes(bytes) => format!("{} bytes", bytes.len()),
        other => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(CHARACTERS).collect()
}
