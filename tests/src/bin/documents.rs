//! `documents DOSSIER FOLDER`: takes a dossier apart for readers of another make. Per document, `ID.automerge` is its birth and
//! its changes as they travel, and `ID.json` what this program's Automerge reads in them.
//!
//! The JSON says every field, type and value of every object, *all* values where several are in force, and the heads; numbers
//! and bytes as text, so that no reader of JSON can round them.

use automerge::{Automerge, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, Value};
use kieumau_core::{
    document::{self, birth},
    dossier::{self, Contents},
};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        panic!("usage: documents DOSSIER FOLDER");
    };
    let bytes = std::fs::read(file).expect("the dossier is there");
    dossier::verify(&bytes[..], None).expect("the dossier holds");
    for document in contents(&bytes).documents {
        let key = document.key.key().expect("a verified dossier's key");
        let mut chunks: Vec<Vec<u8>> = birth(&key).into_iter().map(|change| change.bytes).collect();
        chunks.extend(document.changes.iter().map(|change| change.to_vec()));
        let all = chunks.concat();
        let automerge = Automerge::load(&all).expect("a verified dossier's document");
        let content = json!({
            "kind": key.kind.word(),
            "heads": document::heads(&automerge).iter().map(ToString::to_string).collect::<Vec<_>>(),
            "fields": object(&automerge, &ROOT, ObjType::Map),
        });
        let name = key.document().to_string();
        write(&folder, &name, "automerge", &all);
        write(&folder, &name, "json", content.to_string().as_bytes());
    }
}

fn write(folder: &Path, name: &str, ending: &str, bytes: &[u8]) {
    std::fs::write(folder.join(format!("{name}.{ending}")), bytes)
        .expect("the folder can be written");
}

/// What the dossier holds: a list of version, statement, contents and attachments.
fn contents(bytes: &[u8]) -> Contents<'_> {
    let mut file = minicbor::Decoder::new(bytes);
    file.array().expect("a list");
    file.u64().expect("a version");
    file.str().expect("a statement");
    minicbor::decode(file.bytes().expect("contents")).expect("contents of a verified dossier")
}

fn object(document: &Automerge, id: &ObjId, of: ObjType) -> Json {
    match of {
        ObjType::Map | ObjType::Table => Json::Object(
            document
                .keys(id)
                .map(|key| {
                    let values = values(document, id, key.as_str());
                    (key, values)
                })
                .collect::<Map<_, _>>(),
        ),
        ObjType::List => (0..document.length(id))
            .map(|at| values(document, id, at))
            .collect(),
        ObjType::Text => Json::String(document.text(id).expect("a text")),
    }
}

/// Every value in force at this place, in the order of their text.
fn values(document: &Automerge, id: &ObjId, at: impl Into<automerge::Prop>) -> Json {
    let all = document.get_all(id, at).expect("a place of this object");
    let mut values: Vec<Json> = all
        .into_iter()
        .map(|(value, id)| match value {
            Value::Object(of) => json!([of.to_string(), object(document, &id, of)]),
            Value::Scalar(scalar) => self::scalar(&scalar),
        })
        .collect();
    values.sort_by_cached_key(Json::to_string);
    Json::Array(values)
}

fn scalar(scalar: &ScalarValue) -> Json {
    match scalar {
        ScalarValue::Str(text) => json!(["str", text.as_str()]),
        ScalarValue::Int(number) => json!(["int", number.to_string()]),
        ScalarValue::Uint(number) => json!(["uint", number.to_string()]),
        ScalarValue::F64(number) => json!(["f64", hex::encode(number.to_be_bytes())]),
        ScalarValue::Bytes(bytes) => json!(["bytes", hex::encode(bytes)]),
        ScalarValue::Boolean(truth) => json!(["boolean", truth]),
        ScalarValue::Timestamp(at) => json!(["timestamp", at.to_string()]),
        ScalarValue::Null => json!(["null", null]),
        // None of our documents holds one; the other reader names it too, and the comparison then fails by itself.
        ScalarValue::Counter(_) | ScalarValue::Unknown { .. } => json!(["unknown", null]),
    }
}
