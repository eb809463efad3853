//! What a change points at: the objects that it writes into, and the values that it says it replaces.
//!
//! Automerge takes a change's word for both. One that says of a value that it is gone, under another field than the value's, does nothing
//! when it is applied alone and takes the value away where the document is loaded whole; one that points at what its writer had not
//! seen kills who takes it first. The document would say one thing where it is checked and another on a phone, so only what an
//! honest writer can say passes: numbers that go on from what it had seen, and values that it saw where it writes.

use automerge::{
    Automerge, ChangeHash, ExpandedChange, ObjId, ObjType, ReadDoc as _, Value,
    legacy::{Key, ObjectId, Op, OpId, OpType},
};
use kieumau_core::document::Kind;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a change says that it stands upon is not here.
const LACKS: &str = "lacks-an-ancestor";
/// It points at what its writer had not seen, or had seen elsewhere.
const ELSEWHERE: &str = "points-elsewhere";
/// It takes away a record with all that others wrote into it.
const TAKES_AWAY: &str = "takes-a-record-away";

/// Whether `change`, which is not applied yet, points only at what its writer saw in this `document` of `kind`, where it was, and takes no
/// record away: phones edit records and withdraw files, and nothing of theirs makes a record go. The server's own kinds are written
/// anew as they are published.
///
/// # Errors
/// A stable word of why not.
pub(super) fn points_well(
    kind: Kind,
    document: &Automerge,
    change: &ExpandedChange,
) -> Result<(), &'static str> {
    let keeps_records = matches!(kind, Kind::PatrolLog | Kind::EvidenceFile);
    let mut seen = Seen::by(document, change)?;
    let first = change.start_op.get();
    for (number, operation) in (first..).zip(&change.operations) {
        seen.take(
            operation,
            OpId(number, change.actor_id.clone()),
            keeps_records,
        )?;
    }
    Ok(())
}

/// A field of an object.
type Field = (ObjectId, String);

/// A value of a field.
#[derive(Clone)]
struct Standing {
    id: OpId,
    is_record: bool,
}

/// What the writer of a change saw: the document at the change's dependencies, and what the change itself wrote so far.
struct Seen<'d> {
    document: &'d Automerge,
    /// The dependencies; none if they are all that the document has.
    at: Option<&'d [ChangeHash]>,
    /// What the document has besides.
    besides: HashSet<ChangeHash>,
    made: HashSet<OpId>,
    written: HashMap<Field, Option<Standing>>,
}

impl<'d> Seen<'d> {
    fn by(document: &'d Automerge, change: &'d ExpandedChange) -> Result<Self, &'static str> {
        let mut last = 0;
        for hash in &change.deps {
            last = last.max(document.get_change_meta_by_hash(hash).ok_or(LACKS)?.max_op);
        }
        if last.checked_add(1) != Some(change.start_op.get()) {
            return Err(ELSEWHERE);
        }
        let deps: BTreeSet<ChangeHash> = change.deps.iter().copied().collect();
        let is_all = deps == document.get_heads().into_iter().collect();
        let at = (!is_all).then_some(change.deps.as_slice());
        let besides = at.map(|deps| document.get_changes_meta(deps));
        Ok(Self {
            document,
            at,
            besides: besides
                .into_iter()
                .flatten()
                .map(|change| change.hash)
                .collect(),
            made: HashSet::new(),
            written: HashMap::new(),
        })
    }

    /// Takes one operation of the change, the one of this number.
    fn take(&mut self, operation: &Op, id: OpId, keeps_records: bool) -> Result<(), &'static str> {
        // Documents are maps and single values; lists and texts have no place in them.
        let (Key::Map(name), false) = (&operation.key, operation.insert) else {
            return Err(ELSEWHERE);
        };
        let field = (operation.obj.clone(), name.to_string());
        let mut values = self.values(&field)?;
        for replaces in operation.pred.iter() {
            let at = values.iter().position(|value| value.id == *replaces);
            // Taken out, so that no value is replaced twice.
            let value = values.swap_remove(at.ok_or(ELSEWHERE)?);
            if keeps_records && value.is_record {
                return Err(TAKES_AWAY);
            }
        }
        let is_record = matches!(operation.action, OpType::Make(ObjType::Map));
        let written = match &operation.action {
            OpType::Delete if !operation.pred.is_empty() => None,
            OpType::Put(_) | OpType::Make(ObjType::Map) => Some(Standing { id, is_record }),
            _ => return Err(ELSEWHERE),
        };
        let made = written.iter().filter(|written| written.is_record);
        self.made.extend(made.map(|made| made.id.clone()));
        self.written.insert(field, written);
        Ok(())
    }

    /// The values that the writer saw at a field.
    fn values(&self, field: &Field) -> Result<Vec<Standing>, &'static str> {
        if let Some(written) = self.written.get(field) {
            return Ok(written.iter().cloned().collect());
        }
        let (object, name) = field;
        let object = match object {
            ObjectId::Root => ObjId::Root,
            ObjectId::Id(id) if self.made.contains(id) => return Ok(Vec::new()),
            ObjectId::Id(OpId(number, actor)) => {
                let object = ObjId::Id(*number, actor.clone(), 0);
                let made_in = self.document.hash_for_opid(&object).ok_or(ELSEWHERE)?;
                if self.besides.contains(&made_in) {
                    return Err(ELSEWHERE);
                }
                object
            }
        };
        let values = match self.at {
            Some(deps) => self.document.get_all_at(&object, name.as_str(), deps),
            None => self.document.get_all(&object, name.as_str()),
        };
        let values = values.map_err(|_| ELSEWHERE)?.into_iter();
        let standing = |(value, id): (Value<'_>, ObjId)| match id {
            ObjId::Id(number, actor, _) => Some(Standing {
                id: OpId(number, actor),
                is_record: value.is_object(),
            }),
            ObjId::Root => None,
        };
        Ok(values.filter_map(standing).collect())
    }
}

#[cfg(test)]
mod tests;
