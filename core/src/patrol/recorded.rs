//! The recorded track (lộ trình): chunks of fixes, each of one recorder and one source, and what they add up to.
//!
//! A walk recorded live and imported from a watch's file are two tracks of one person: sorted into one line by time they would
//! zigzag between two receivers.

use super::PatrolLog;
use crate::{
    hash::Sha256,
    id::{PersonId, TrackChunkId},
    invalid::{Invalid, Rule},
    position::{Fix, Position},
    stamp::Stamp,
    track,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Up to 60 fixes of one phone, or of one track file.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct TrackChunk {
    /// Whose phone recorded it.
    pub by: PersonId,
    /// SHA-256 of the track file it was imported from; none for what the phone recorded live.
    #[autosurgeon(missing = "Option::default")]
    pub file: Option<Sha256>,
    /// The fixes as [`track::pack`] writes them.
    #[autosurgeon(with = "packed")]
    pub fixes: Vec<u8>,
}

crate::unprinted!(TrackChunk);

/// What one recorder's phone, or one track file of theirs, says of the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Whose phone.
    pub by: PersonId,
    /// The track file it was imported from; none for what the phone recorded live.
    pub file: Option<Sha256>,
    /// In the order of time, each once.
    pub fixes: Vec<Fix>,
}

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
    /// Appends fixes that passed the filter, at most [`track::FIXES_PER_CHUNK`] at once, recorded live or imported from `file`. Also
    /// after the end: the last rows are folded late. Returns the new chunk's key; none for the same fixes of the same recorder again (a file imported twice),
    /// which add nothing.
    ///
    /// # Errors
    /// `NotOnTheTeam`; `TooLarge` for more fixes than a chunk holds.
    pub fn add_track(
        &mut self,
        stamp: Stamp,
        file: Option<Sha256>,
        fixes: &[Fix],
    ) -> Result<Option<TrackChunkId>, Invalid> {
        self.on_the_team(stamp.by)?;
        if fixes.len() > track::FIXES_PER_CHUNK {
            return Err(Invalid::new("track", Rule::TooLarge));
        }
        let chunk = TrackChunk {
            by: stamp.by,
            file,
            fixes: track::pack(fixes),
        };
        let same = |held: &TrackChunk| held.by == chunk.by && held.fixes == chunk.fixes;
        if self.track.values().any(same) {
            return Ok(None);
        }
        let at_ms = fixes.first().map_or(stamp.at_ms, |fix| fix.at_ms);
        let id = TrackChunkId::fresh(at_ms, stamp.random);
        self.track.insert(id, chunk);
        Ok(Some(id))
    }

    /// The track of each recorder and of each file they imported. Two phones of a team walk two ways: one line through both would
    /// claim streets nobody walked. A chunk that does not unpack is left out: the worker has refused it already.
    #[must_use]
    pub fn tracks(&self) -> Vec<Track> {
        let mut tracks: BTreeMap<_, Vec<Fix>> = BTreeMap::new();
        for chunk in self.track.values() {
            let fixes = track::unpack(&chunk.fixes).unwrap_or_default();
            let of = (chunk.by, chunk.file);
            tracks.entry(of).or_default().extend(fixes);
        }
        let in_order = |((by, file), mut fixes): (_, Vec<Fix>)| {
            fixes.sort_by_key(key);
            // The same file again, cut into chunks at other fixes.
            fixes.dedup();
            Track { by, file, fixes }
        };
        tracks.into_iter().map(in_order).collect()
    }
}

/// Equal only for equal fixes, and in the order of time.
fn key(fix: &Fix) -> (i64, i32, i32, Option<u32>) {
    let Position { lat_e7, lon_e7 } = fix.position;
    (fix.at_ms, lat_e7, lon_e7, fix.accuracy_dm)
}

/// The way the patrol took, metres: the longest of its tracks, gaps left out. Two who walk together walked it once, and so did one
/// who also imported it.
#[must_use]
pub fn length_m(tracks: &[Track]) -> f64 {
    let lengths = tracks.iter().map(|track| track::length_m(&track.fixes));
    lengths.fold(0.0, f64::max)
}

/// How many fixes the tracks hold; one that a person's several tracks say alike counts once.
#[must_use]
pub fn fix_count(tracks: &[Track]) -> usize {
    let fixes = |track: &'_ Track| {
        let by = track.by;
        let keys: Vec<_> = track.fixes.iter().map(|fix| (by, key(fix))).collect();
        keys
    };
    tracks.iter().flat_map(fixes).collect::<BTreeSet<_>>().len()
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
        patrol.add_track(at(AN, 2), None, &walked).expect("An's");
        patrol.add_track(at(HA, 3), None, &beside).expect("Hà's");
        let tracks = patrol.tracks();
        let live = |by, fixes: &Vec<Fix>| Track {
            by,
            file: None,
            fixes: fixes.clone(),
        };
        assert_eq!(tracks, [live(AN, &walked), live(HA, &beside)]);
        assert!((length_m(&tracks) - 180.0).abs() < 1.0);
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
            patrol
                .add_track(at(AN, again), None, &walked)
                .expect("added");
        }
        assert_eq!(patrol.track.len(), 1);
    }

    #[test]
    fn a_walk_recorded_live_and_imported_too_is_two_lines_and_its_way_is_counted_once() {
        let mut patrol = started();
        let walked: Vec<_> = (0..10).map(|i| fix(i * 10, 20.0 * i as f64)).collect();
        let watch: Vec<_> = (0..10)
            .map(|i| fix(i * 10 + 5, 40.0 + 20.0 * i as f64))
            .collect();
        patrol.add_track(at(AN, 2), None, &walked).expect("live");
        let file = Some(Sha256::of(b"walk.gpx"));
        patrol.add_track(at(AN, 3), file, &watch).expect("imported");
        let tracks = patrol.tracks();
        assert_eq!(tracks.len(), 2);
        assert!((length_m(&tracks) - 180.0).abs() < 1.0);
        // The twin: as one line the same fixes are more than twice as long.
        patrol
            .track
            .values_mut()
            .for_each(|chunk| chunk.file = None);
        assert!(length_m(&patrol.tracks()) > 400.0);
    }

    #[test]
    fn the_same_file_cut_at_other_fixes_counts_no_fix_twice() {
        let mut patrol = started();
        let walked: Vec<_> = (0..10).map(|i| fix(i * 10, 20.0 * i as f64)).collect();
        let file = Sha256::of(b"walk.gpx");
        for (again, cut) in [(2, 10), (3, 4)] {
            for (n, fixes) in walked.chunks(cut).enumerate() {
                let stamp = at(AN, again * 10 + n as i64);
                patrol.add_track(stamp, Some(file), fixes).expect("added");
            }
        }
        assert_eq!(patrol.track.len(), 4);
        let tracks = patrol.tracks();
        assert_eq!(tracks[0].fixes, walked);
        assert_eq!(fix_count(&tracks), 10);
        // And in another file of hers, a longer one: counted once, drawn twice.
        let another = Some(Sha256::of(b"walk-trimmed.gpx"));
        patrol
            .add_track(at(AN, 50), another, &walked[..5])
            .expect("added");
        assert_eq!(patrol.tracks().len(), 2);
        assert_eq!(fix_count(&patrol.tracks()), 10);
    }
}
