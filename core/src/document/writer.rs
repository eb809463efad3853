//! A transaction that writes only what differs from what is visible.
//!
//! Automerge ignores a put of an equal value, unless the field is in a clash: then the put ends the clash. Reconciling a
//! record puts every field, so without this an edit of a note would silently decide about a count that two phones wrote.

use automerge::{
    AutomergeError, ObjId, ObjType, Prop, ScalarValue, Value,
    hydrate,
    iter::{ListRange, MapRange},
    transaction::{Transactable as _, Transaction},
};
use autosurgeon::{Doc, ReadDoc};
use std::ops::RangeBounds;

/// See the module.
pub(super) struct Differing<'a>(Transaction<'a>);

impl<'a> Differing<'a> {
    pub(super) fn new(transaction: Transaction<'a>) -> Self {
        Self(transaction)
    }

    pub(super) fn into_inner(self) -> Transaction<'a> {
        self.0
    }

    /// Puts although the value is the visible one: how a person ends a clash.
    pub(super) fn put_anyway(&mut self, obj: &ObjId, prop: &str, value: ScalarValue) -> Result<(), AutomergeError> {
        self.0.put(obj, prop, value)
    }

    fn shows(&self, obj: &ObjId, prop: Prop, value: &ScalarValue) -> Result<bool, AutomergeError> {
        Ok(match automerge::ReadDoc::get(&self.0, obj, prop)? {
            Some((Value::Scalar(visible), _)) => visible.as_ref() == value,
            Some((Value::Object(_), _)) => false,
            // An absent field and a null say the same; a null is not worth an operation.
            None => *value == ScalarValue::Null,
        })
    }
}

impl ReadDoc for Differing<'_> {
    type Parents<'b>
        = automerge::Parents<'b>
    where
        Self: 'b;

    fn get_heads(&self) -> Vec<automerge::ChangeHash> {
        ReadDoc::get_heads(&self.0)
    }

    fn get<P: Into<Prop>>(&self, obj: &ObjId, prop: P) -> Result<Option<(Value<'_>, ObjId)>, AutomergeError> {
        ReadDoc::get(&self.0, obj, prop)
    }

    fn object_type<O: AsRef<ObjId>>(&self, obj: O) -> Option<ObjType> {
        ReadDoc::object_type(&self.0, obj)
    }

    fn map_range<'b, O, R>(&'b self, obj: O, range: R) -> MapRange<'b>
    where
        R: RangeBounds<String> + 'b,
        O: AsRef<ObjId>,
    {
        ReadDoc::map_range(&self.0, obj, range)
    }

    fn list_range<O: AsRef<ObjId>, R: RangeBounds<usize>>(&self, obj: O, range: R) -> ListRange<'_> {
        ReadDoc::list_range(&self.0, obj, range)
    }

    fn length<O: AsRef<ObjId>>(&self, obj: O) -> usize {
        ReadDoc::length(&self.0, obj)
    }

    fn text<O: AsRef<ObjId>>(&self, obj: O) -> Result<String, AutomergeError> {
        ReadDoc::text(&self.0, obj)
    }

    fn parents<O: AsRef<ObjId>>(&self, obj: O) -> Result<Self::Parents<'_>, AutomergeError> {
        ReadDoc::parents(&self.0, obj)
    }

    fn is_empty(&self) -> bool {
        ReadDoc::is_empty(&self.0)
    }
}

impl Doc for Differing<'_> {
    fn put<O: AsRef<ObjId>, P: Into<Prop>, V: Into<ScalarValue>>(
        &mut self,
        obj: O,
        prop: P,
        value: V,
    ) -> Result<(), AutomergeError> {
        let (prop, value) = (prop.into(), value.into());
        if self.shows(obj.as_ref(), prop.clone(), &value)? { Ok(()) } else { self.0.put(obj.as_ref(), prop, value) }
    }

    fn put_object<O: AsRef<ObjId>, P: Into<Prop>>(
        &mut self,
        obj: O,
        prop: P,
        value: ObjType,
    ) -> Result<ObjId, AutomergeError> {
        self.0.put_object(obj, prop, value)
    }

    fn insert<O: AsRef<ObjId>, V: Into<ScalarValue>>(
        &mut self,
        obj: O,
        index: usize,
        value: V,
    ) -> Result<(), AutomergeError> {
        self.0.insert(obj, index, value)
    }

    fn insert_object<O: AsRef<ObjId>>(
        &mut self,
        obj: O,
        index: usize,
        value: ObjType,
    ) -> Result<ObjId, AutomergeError> {
        self.0.insert_object(obj, index, value)
    }

    fn increment<O: AsRef<ObjId>, P: Into<Prop>>(&mut self, obj: O, prop: P, value: i64) -> Result<(), AutomergeError> {
        self.0.increment(obj.as_ref(), prop, value)
    }

    fn delete<O: AsRef<ObjId>, P: Into<Prop>>(&mut self, obj: O, prop: P) -> Result<(), AutomergeError> {
        self.0.delete(obj.as_ref(), prop)
    }

    fn splice_text<O: AsRef<ObjId>>(
        &mut self,
        obj: O,
        pos: usize,
        del: isize,
        text: &str,
    ) -> Result<(), AutomergeError> {
        self.0.splice_text(obj.as_ref(), pos, del, text)
    }

    fn update_text<O: AsRef<ObjId>>(&mut self, obj: O, text: &str) -> Result<(), AutomergeError> {
        self.0.update_text(obj.as_ref(), text)
    }

    fn batch_create<O: AsRef<ObjId>, P: Into<Prop>>(
        &mut self,
        obj: O,
        prop: P,
        value: hydrate::Value,
        insert: bool,
    ) -> Result<(), AutomergeError> {
        Doc::batch_create(&mut self.0, obj, prop, value, insert)
    }

    fn init_root_from_hydrate(&mut self, value: &hydrate::Map) -> Result<(), AutomergeError> {
        Doc::init_root_from_hydrate(&mut self.0, value)
    }
}
