//! The recorded track (lộ trình): chunks of fixes, each of one recorder, and what they add up to.

use super::PatrolLog;
use crate::{
    id::{PersonId, TrackChunkId},
    invalid::{Invalid, Rule},
    position::Fix,
    stamp::Stamp,
    track,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Up to 60 fixes of one phone.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct TrackChunk {
    /// Whose phone recorded it.
    pub by: PersonId,
    /// The fixes as [`track::pack`] writes them.
    #[autosurgeon(with = "packed")]
    pub fixes: Vec<u8>,
}

crate::unprinted!(TrackChunk);

/// Packed fixes are one byte string: as a list, each byte would be an operation.
mod packed {
    use autosurgeon::{Hydrate as _, HydrateError, ReadDoc, Reconciler, bytes::ByteVec};

    pub(super) fn reconcile<R: Reconciler>(
        bytes: &[u8],
        mut reconciler: R,
    ) -> Result<(), R::Error> {
        reconciler.bytes(bytes)
    }

    pub(super) fn hydrate<D: ReadDoc>(
        document: &D,
        object: &automerge::ObjId,
        prop: autosurgeon::Prop<'_>,
    ) -> Result<Vec<u8>, HydrateError> {
        ByteVec::hydrate(document, object, prop).map(Vec::from)
    }
}

impl PatrolLog {
    /// Appends fixes that passed the filter, at most [`track::FIXES_PER_CHUNK`] at once. Also after the end: the last rows are
    /// folded late. Returns the new chunk's key; none for the same fixes of the same recorder again (a file imported twice),
    /// which add nothing.
    ///
    /// # Errors
    /// `NotOnTheTeam`; `TooLarge` for more fixes than a chunk holds.
    pub fn add_track(
        &mut self,
        stamp: Stamp,
        fixes: &[Fix],
    ) -> Result<Option<TrackChunkId>, Invalid> {
        self.on_the_team(stamp.by)?;
        if fixes.len() > track::FIXES_PER_CHUNK {
            return Err(Invalid::new("track", Rule::TooLarge));
        }
        let chunk = TrackChunk {
            by: stamp.by,
            fixes: track::pack(fixes),
        };
        if self.track.values().any(|held| *held == chunk) {
            return Ok(None);
        }
        let at_ms = fixes.first().map_or(stamp.at_ms, |fix| fix.at_ms);
        let id = TrackChunkId::fresh(at_ms, stamp.random);
        self.track.insert(id, chunk);
        Ok(Some(id))
    }

    /// The track of each recorder in the order of time. Two phones of a team walk two ways: one line through both would claim
    /// streets nobody walked. A chunk that does not unpack is left out: the worker has refused it already.
    #[must_use]
    pub fn tracks(&self) -> BTreeMap<PersonId, Vec<Fix>> {
        let mut tracks: BTreeMap<PersonId, Vec<Fix>> = BTreeMap::new();
        for chunk in self.track.values() {
            let fixes = track::unpack(&chunk.fixes).unwrap_or_default();
            tracks.entry(chunk.by).or_default().extend(fixes);
        }
        for fixes in tracks.values_mut() {
            fixes.sort_by_key(|fix| fix.at_ms);
        }
        tracks
    }
}

/// The way the patrol took, metres: the longest of its recorders' tracks, gaps left out. Two who walk together walked it once.
#[must_use]
pub fn length_m<'t>(tracks: impl IntoIterator<Item = &'t Vec<Fix>>) -> f64 {
    let lengths = tracks.into_iter().map(|fixes| track::length_m(fixes));
    lengths.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        patrol::tests::{AN, HA, at, started},
        track::tests::fix,
    };

    #[test]
    fn two_recorders_side_by_side_are_two_tracks_and_the_way_is_counted_once() {
        let mut patrol = started();
        let walked: Vec<_> = (0..10).map(|i| fix(i * 10, 20.0 * i as f64)).collect();
        // Five seconds later each, and a street further north.
        let beside: Vec<_> = (0..10)
            .map(|i| fix(i * 10 + 5, 100.0 + 20.0 * i as f64))
            .collect();
        patrol.add_track(at(AN, 2), &walked).expect("An's");
        patrol.add_track(at(HA, 3), &beside).expect("Hà's");
        let tracks = patrol.tracks();
        assert_eq!(tracks[&AN], walked);
        assert_eq!(tracks[&HA], beside);
        assert!((length_m(tracks.values()) - 180.0).abs() < 1.0);
        // What one line through both would claim.
        let mut mixed = [walked, beside].concat();
        mixed.sort_by_key(|fix| fix.at_ms);
        assert!(track::length_m(&mixed) > 1_000.0);
    }

    #[test]
    fn the_same_fixes_again_add_nothing() {
        let mut patrol = started();
        let walked = [fix(0, 0.0), fix(10, 20.0)];
        for again in 2..4 {
            patrol.add_track(at(AN, again), &walked).expect("added");
        }
        assert_eq!(patrol.track.len(), 1);
    }
}
