//! Clashes of meaning: a field that two phones set apart holds both values; Automerge shows one and keeps the other.
//! Here both are readable, with who wrote each, and a person picks. A value that lost is read by people too, so it is held to
//! what any text is held to.

use super::{Actor, Change, DocumentError, Shown, Whole, commit};
use crate::{
    id::PhoneId,
    invalid::{self, Invalid, Rule},
    review::REMARK_LIMIT,
};
use automerge::{Automerge, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, Value, ValueRef};

/// One field with more than one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Clash {
    /// Where: map keys from the root down to the field.
    pub path: Vec<String>,
    /// The values, the visible one last.
    pub values: Vec<ClashValue>,
}

/// One of the values of a clash.
#[derive(Clone, Debug, PartialEq)]
pub struct ClashValue {
    /// The value as text; empty for null.
    pub text: String,
    /// Who wrote it; none when it came with the document's birth.
    pub phone: Option<PhoneId>,
}

/// Maps within maps that a document may hold. Ours are three deep.
pub const DEPTH_LIMIT: usize = 64;
/// Characters in a map's key: ids and codes.
const KEY_LIMIT: usize = 100;

impl Clash {
    /// The path as one text: its keys joined by `/`, each escaped as in a JSON Pointer (RFC 6901), so that no two paths share one.
    #[must_use]
    pub fn pointer(&self) -> String {
        pointer(&self.path)
    }
}

pub(super) fn pointer(path: &[String]) -> String {
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    path.iter().map(escaped).collect::<Vec<_>>().join("/")
}

/// The keys in a [`Clash::pointer`].
#[must_use]
pub fn path_of(pointer: &str) -> Vec<String> {
    let plain = |key: &str| key.replace("~1", "/").replace("~0", "~");
    pointer.split('/').map(plain).collect()
}

/// Whether its maps are no deeper than [`DEPTH_LIMIT`] (we write no lists), and every key and value of its clashes is a text people can be shown.
///
/// # Errors
/// `TooLarge` at `depth`; `TooLong` or `ForbiddenCharacter` at the field.
pub fn check(document: &Whole<'_>) -> Result<(), Invalid> {
    let mut waiting = vec![(ROOT, 0)];
    while let Some((object, depth)) = waiting.pop() {
        if depth > DEPTH_LIMIT {
            return Err(Invalid::new("depth", Rule::TooLarge));
        }
        let children = document
            .fields(&object)
            .filter(|(_, shown)| is_object(shown));
        waiting.extend(children.map(|(_, shown)| (shown.id.clone(), depth + 1)));
    }
    for clash in clashes(document) {
        for key in &clash.path {
            invalid::text("key", key, KEY_LIMIT)?;
        }
        let field = clash.path.last().map_or("", String::as_str);
        for value in &clash.values {
            invalid::text(field, &value.text, REMARK_LIMIT)?;
        }
    }
    Ok(())
}

const fn is_object(shown: &Shown<'_>) -> bool {
    matches!(shown.value, ValueRef::Object(_))
}

/// Who did a thing is no matter of meaning, and nobody may choose another's name or confirm for them: a server withholds that,
/// and with it all that is written upon it. So these are never offered for a choice.
const ATTRIBUTIONS: [&str; 9] = [
    "attached_by",
    "by",
    "confirmed_at_ms",
    "edited_by",
    "ended_by",
    "from",
    "recorded_by",
    "started_by",
    "to",
];

/// Every field in a clash, in the order of the document's keys; attributions are none.
#[must_use]
pub fn clashes(document: &Whole<'_>) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut waiting = vec![(ROOT, Vec::new())];
    while let Some((object, path)) = waiting.pop() {
        for (name, shown) in document.fields(&object) {
            let is_map = matches!(shown.value, ValueRef::Object(ObjType::Map));
            let is_clash = shown.conflict && !ATTRIBUTIONS.contains(&name);
            if !is_map && !is_clash {
                continue;
            }
            let path: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
            if is_map {
                waiting.push((shown.id.clone(), path));
            } else if let Some(values) = several(document, &object, name) {
                found.push(Clash { path, values });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn several(document: &Whole<'_>, object: &ObjId, key: &str) -> Option<Vec<ClashValue>> {
    let values = document
        .values(object, key)
        .ok()
        .filter(|values| values.len() > 1)?;
    Some(
        values
            .into_iter()
            .map(|(value, id)| ClashValue {
                text: scalar_text(&value),
                phone: writer(&id),
            })
            .collect(),
    )
}

fn scalar_text(value: &Value<'_>) -> String {
    match value {
        Value::Scalar(scalar) => text_of(scalar),
        Value::Object(_) => String::new(),
    }
}

/// A value as people read it; empty for null.
pub(super) fn text_of(scalar: &ScalarValue) -> String {
    match scalar {
        ScalarValue::Null => String::new(),
        ScalarValue::Str(text) => text.to_string(),
        other => other.to_string(),
    }
}

fn writer(id: &ObjId) -> Option<PhoneId> {
    match id {
        ObjId::Id(_, actor, _) => Actor::from_slice(actor.to_bytes()).map(|actor| actor.phone),
        ObjId::Root => None,
    }
}

/// Ends the clash at `path` by writing the value at `index` of [`Clash::values`] once more. None if there is no such clash.
///
/// # Errors
/// `Automerge` if the document refuses.
pub fn choose(
    document: &mut Automerge,
    actor: Actor,
    at_ms: i64,
    path: &[String],
    index: usize,
) -> Result<Option<Change>, DocumentError> {
    let Some((field, parents)) = path
        .split_last()
        .filter(|(field, _)| !ATTRIBUTIONS.contains(&field.as_str()))
    else {
        return Ok(None);
    };
    let mut object = ROOT;
    for parent in parents {
        let Some((Value::Object(_), child)) = document.get(&object, parent.as_str())? else {
            return Ok(None);
        };
        object = child;
    }
    let values = document.get_all(&object, field.as_str())?;
    if values.len() < 2 {
        return Ok(None);
    }
    let Some((Value::Scalar(value), _)) = values.into_iter().nth(index) else {
        return Ok(None);
    };
    let value = value.into_owned();
    commit(document, actor, at_ms, |writer| {
        Ok(writer.put_anyway(&object, field, value)?)
    })
}
