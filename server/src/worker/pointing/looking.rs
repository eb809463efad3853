//! One change that is looked at, operation by operation.

use super::{
    ANOTHER, BREAKS, ELSEWHERE, Id, Place, Pointing, Record, Seen, TAKES_AWAY, Value, is_map,
    makes_a_value, taker, text,
};
use automerge::{
    ObjType, ScalarValue,
    legacy::{Key, Op, OpType},
};
use kieumau_core::{
    document::{DEPTH_LIMIT, Kind},
    id::PersonId,
};
use std::collections::{HashMap, HashSet};

/// Names that a record has from who made it, by the root map that it stands in; they are written with it and stay.
const fn attributions(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::PatrolLog => &[
            ("observations", "recorded_by"),
            ("pauses", "by"),
            ("visits", "by"),
            ("track", "by"),
            ("handovers", "from"),
            ("attachments", "attached_by"),
        ],
        Kind::EvidenceFile => &[("items", "recorded_by"), ("attachments", "attached_by")],
        Kind::Review | Kind::Reference => &[],
    }
}

/// What a change wrote: values, which ones they replaced, to whom handovers go.
type Found = (Vec<(Id, Value)>, Vec<Id>, Vec<(Id, String)>);

/// A change that is being looked at.
pub(super) struct Looking<'p, 'j> {
    of: &'p Pointing<'j>,
    seen: Seen,
    writer: Option<PersonId>,
    /// What it writes itself.
    own: HashMap<Id, Value>,
    standing: HashMap<Place, Vec<Id>>,
    replaced: HashSet<Id>,
    takers: HashMap<Id, String>,
}

impl<'p, 'j> Looking<'p, 'j> {
    /// At a change whose writer had `seen` this.
    pub(super) fn at(of: &'p Pointing<'j>, seen: Seen, writer: Option<PersonId>) -> Self {
        Self {
            of,
            seen,
            writer,
            own: HashMap::new(),
            standing: HashMap::new(),
            replaced: HashSet::new(),
            takers: HashMap::new(),
        }
    }

    /// What was found.
    pub(super) fn found(self) -> Found {
        (
            self.own.into_iter().collect(),
            self.replaced.into_iter().collect(),
            self.takers.into_iter().collect(),
        )
    }

    /// Takes the change's operation `id`.
    ///
    /// # Errors
    /// A stable word of why an honest writer would not have said it.
    pub(super) fn take(&mut self, operation: &Op, id: Id) -> Result<(), &'static str> {
        // Documents are maps and single values; lists and texts have no place in them.
        let is_ours = match &operation.action {
            OpType::Put(value) => !matches!(value, ScalarValue::Counter(_)),
            action => matches!(action, OpType::Delete | OpType::Make(ObjType::Map)),
        };
        if !is_ours || operation.insert || !matches!(operation.key, Key::Map(_)) {
            return Err(ELSEWHERE);
        }
        let place = self.of.place(operation).ok_or(ELSEWHERE)?;
        let map = place.map.map(|map| self.map(map)).transpose()?;
        self.replace(operation, &place)?;
        if matches!(self.of.kind, Kind::PatrolLog | Kind::EvidenceFile) {
            self.keeps_records(operation, &place, map)?;
            self.keeps_names(operation, &place)?;
        }
        if makes_a_value(operation) {
            let depth = map.map_or(1, |map| map.depth + 1);
            if is_map(operation) && depth > DEPTH_LIMIT {
                return Err(BREAKS);
            }
            let record = is_map(operation).then_some(Record {
                depth,
                of_birth: false,
            });
            self.standing.entry(place.clone()).or_default().push(id);
            self.own
                .insert(id, Value::new(place, record, self.of.nodes.len()));
        }
        Ok(())
    }

    /// The map of this name, if the writer had seen it.
    fn map(&self, map: Id) -> Result<Record, &'static str> {
        let of = self.own.get(&map).or_else(|| {
            let seen = self.of.values.get(&map);
            seen.filter(|value| self.seen.has(value.made_by))
        });
        of.and_then(|of| of.record).ok_or(ELSEWHERE)
    }

    /// Whether the operation replaces what its writer saw at the place: all of it, or, as Automerge ends a clash in which the winner is
    /// written once more, all but that.
    fn replace(&mut self, operation: &Op, place: &Place) -> Result<(), &'static str> {
        let mut saw: HashSet<Id> = self.saw(place).collect();
        let winner = saw
            .iter()
            .max_by_key(|(number, actor)| (*number, &self.of.actors[*actor]))
            .copied();
        for replaced in operation.pred.iter() {
            let replaced = self.of.id(replaced).ok_or(ELSEWHERE)?;
            if !saw.remove(&replaced) {
                return Err(ELSEWHERE);
            }
            self.replaced.insert(replaced);
        }
        let is_delete = matches!(operation.action, OpType::Delete);
        let all = saw.is_empty();
        let all_but_the_winner = is_delete && saw.len() == 1 && saw.iter().copied().eq(winner);
        if operation.pred.is_empty() && is_delete || !all && !all_but_the_winner {
            return Err(ELSEWHERE);
        }
        Ok(())
    }

    /// The values that the writer saw at a place.
    fn saw(&self, place: &Place) -> impl Iterator<Item = Id> {
        let seen = |id: &Id| {
            let value = &self.of.values[id];
            self.seen.has(value.made_by) && !value.replaced_by.iter().any(|by| self.seen.has(*by))
        };
        let before = self.of.standing.get(place);
        let open = before.into_iter().flat_map(|before| &before.open);
        let replaced = before.filter(|_| !matches!(self.seen, Seen::All));
        let replaced = replaced.into_iter().flat_map(|before| &before.replaced);
        let before = open.chain(replaced).copied().filter(seen);
        let own = self.standing.get(place).into_iter().flatten().copied();
        let all = before.chain(own);
        all.filter(|id| !self.replaced.contains(id))
    }

    /// Phones edit records and withdraw files; nothing of theirs makes a record go. One is made under a fresh id, in a map that the birth
    /// made or in one of the same change: where one is known, seen by this writer or not, nothing else is written.
    fn keeps_records(
        &self,
        operation: &Op,
        place: &Place,
        map: Option<Record>,
    ) -> Result<(), &'static str> {
        let before = self.of.standing.get(place);
        let mut own = self.standing.get(place).into_iter().flatten();
        if before.is_some_and(|before| before.has_record)
            || own.any(|id| self.own[id].record.is_some())
        {
            return Err(TAKES_AWAY);
        }
        let own_map = place.map.is_some_and(|map| self.own.contains_key(&map));
        if is_map(operation) && !own_map && !map.is_some_and(|map| map.of_birth) {
            return Err(ELSEWHERE);
        }
        Ok(())
    }

    /// A name is the writer's. Whose a record is, and to whom a handover goes, is written with the record and stays.
    fn keeps_names(&mut self, operation: &Op, place: &Place) -> Result<(), &'static str> {
        let Key::Map(name) = &place.field else {
            return Err(ELSEWHERE);
        };
        let writers = |text: &str| self.writer.is_some_and(|writer| writer.to_string() == text);
        let named = text(operation, name);
        let Some(record) = place.map else {
            let signs = self.of.kind == Kind::PatrolLog
                && ["started_by", "ended_by"].contains(&name.as_str());
            return match named {
                Some(named) if signs && !writers(named) => Err(ANOTHER),
                _ => Ok(()),
            };
        };
        let own = self.own.get(&record);
        let of = own.or_else(|| self.of.values.get(&record));
        let root_map = of
            .and_then(|of| of.place.map)
            .and_then(|map| self.of.root_map(map));
        let Some(root_map) = root_map else {
            return Ok(());
        };
        let field = (root_map, name.as_str());
        let attributes = attributions(self.of.kind).contains(&field);
        let hands_over = field == ("handovers", "to");
        if (attributes || hands_over) && own.is_none() {
            return Err(ANOTHER);
        }
        if (attributes || name == "edited_by") && named.is_some_and(|named| !writers(named)) {
            return Err(ANOTHER);
        }
        if hands_over {
            let taker = taker(operation);
            self.takers.extend(taker.map(|taker| (record, taker)));
        }
        let confirms = field == ("handovers", "confirmed_at_ms")
            && matches!(&operation.action, OpType::Put(value) if !value.is_null());
        let taker = self.takers.get(&record);
        let taker = taker.or_else(|| self.of.takers.get(&record));
        if confirms && !taker.is_some_and(|taker| writers(taker)) {
            return Err(ANOTHER);
        }
        Ok(())
    }
}
