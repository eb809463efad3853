//! All of a document in one pass.
//!
//! Asked for field by field, Automerge seeks each one in its columns anew: a patrol of 600 fixes and 15 observations took
//! longer to read than to load (November 2026). What is read here, its clashes and its depth are looked up in what the pass found.

use super::DocumentError;
use crate::hash::Sha256;
use automerge::{
    Automerge, AutomergeError, ChangeHash, ObjId, ObjType, Prop, Value, ValueRef,
    iter::{DocItem, ListRange, MapRange},
};
use autosurgeon::ReadDoc;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    ops::RangeBounds,
};

/// What a document's maps show. Lists and texts, of which we write none, are read from the document itself.
#[derive(Debug)]
pub struct Whole<'d> {
    document: &'d Automerge,
    maps: HashMap<ObjId, BTreeMap<Cow<'d, str>, Shown<'d>>>,
}

/// What a field shows.
#[derive(Debug)]
pub struct Shown<'d> {
    /// The value, the winning one of several.
    pub value: ValueRef<'d>,
    /// Who wrote it, and when; of a map its name.
    pub id: ObjId,
    /// Whether there are others.
    pub conflict: bool,
}

impl<'d> Whole<'d> {
    /// Reads all of it.
    #[must_use]
    pub fn of(document: &'d Automerge) -> Self {
        let mut maps = HashMap::<_, BTreeMap<_, _>>::new();
        let mut last = (ObjId::Root, BTreeMap::new());
        for found in automerge::ReadDoc::iter(document) {
            let DocItem::Map(item) = found.item else {
                continue;
            };
            if last.0 != *found.obj {
                let (map, fields) =
                    std::mem::replace(&mut last, (ObjId::clone(&found.obj), BTreeMap::new()));
                maps.insert(map, fields);
            }
            let shown = Shown {
                id: item.id(),
                value: item.value,
                conflict: item.conflict,
            };
            last.1.insert(item.key, shown);
        }
        maps.insert(last.0, last.1);
        Self { document, maps }
    }

    /// What it says.
    ///
    /// # Errors
    /// `Content` when it is not a document of that record's kind.
    pub fn read<R: super::Record>(&self) -> Result<R, DocumentError> {
        Ok(autosurgeon::hydrate(self)?)
    }

    /// Its heads, sorted.
    #[must_use]
    pub fn heads(&self) -> Vec<Sha256> {
        super::heads(self.document)
    }

    /// The fields of a map in the order of their names; none if it is empty, or no map.
    pub fn fields(&self, map: &ObjId) -> impl Iterator<Item = (&str, &Shown<'d>)> {
        let fields = self.maps.get(map).into_iter().flatten();
        fields.map(|(name, shown)| (name.as_ref(), shown))
    }

    /// What a field of a map shows.
    #[must_use]
    pub fn shown(&self, map: &ObjId, name: &str) -> Option<&Shown<'d>> {
        self.maps.get(map)?.get(name)
    }

    /// All values of a field with who wrote each, the winning one last.
    ///
    /// # Errors
    /// What Automerge says.
    pub fn values(
        &self,
        map: &ObjId,
        name: &str,
    ) -> Result<Vec<(Value<'_>, ObjId)>, AutomergeError> {
        match self.shown(map, name) {
            None => Ok(Vec::new()),
            Some(shown) if shown.conflict => automerge::ReadDoc::get_all(self.document, map, name),
            Some(shown) => Ok(vec![(shown.value.clone().into_value(), shown.id.clone())]),
        }
    }
}

impl ReadDoc for Whole<'_> {
    type Parents<'a>
        = automerge::Parents<'a>
    where
        Self: 'a;

    fn get_heads(&self) -> Vec<ChangeHash> {
        self.document.get_heads()
    }

    fn get<P: Into<Prop>>(
        &self,
        obj: &ObjId,
        prop: P,
    ) -> Result<Option<(Value<'_>, ObjId)>, AutomergeError> {
        match (prop.into(), self.maps.get(obj)) {
            (Prop::Map(name), Some(fields)) => Ok(fields
                .get(name.as_str())
                .map(|shown| (shown.value.clone().into_value(), shown.id.clone()))),
            (prop, _) => automerge::ReadDoc::get(self.document, obj, prop),
        }
    }

    fn object_type<O: AsRef<ObjId>>(&self, obj: O) -> Option<ObjType> {
        if self.maps.contains_key(obj.as_ref()) {
            return Some(ObjType::Map);
        }
        ReadDoc::object_type(self.document, obj)
    }

    fn map_range<'a, O, R>(&'a self, obj: O, range: R) -> MapRange<'a>
    where
        R: RangeBounds<String> + 'a,
        O: AsRef<ObjId>,
    {
        automerge::ReadDoc::map_range(self.document, obj, range)
    }

    fn list_range<O: AsRef<ObjId>, R: RangeBounds<usize>>(
        &self,
        obj: O,
        range: R,
    ) -> ListRange<'_> {
        automerge::ReadDoc::list_range(self.document, obj, range)
    }

    fn length<O: AsRef<ObjId>>(&self, obj: O) -> usize {
        automerge::ReadDoc::length(self.document, obj)
    }

    fn text<O: AsRef<ObjId>>(&self, obj: O) -> Result<String, AutomergeError> {
        automerge::ReadDoc::text(self.document, obj)
    }

    fn parents<O: AsRef<ObjId>>(&self, obj: O) -> Result<Self::Parents<'_>, AutomergeError> {
        automerge::ReadDoc::parents(self.document, obj)
    }

    fn is_empty(&self) -> bool {
        self.document.is_empty()
    }
}
