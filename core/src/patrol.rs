//! A patrol (ca tuần tra): one shift of one team, from start to end. The document holds what the team did; every rule about
//! when what may be written is a method here and nowhere else.
//!
//! Nothing is ever removed: a slip is withdrawn, which is one more fact. What a team of two phones writes at once merges,
//! because every list is a map under fresh ids and every field a scalar.

use crate::{
    attachment::{self, Attachment},
    catalogue::{Catalogue, List},
    document::{Kind, Record},
    id::{
        AttachmentId, CheckpointId, HandoverId, ObservationId, PauseId, PersonId, TrackChunkId,
        VisitId,
    },
    invalid::{self, Invalid, Rule},
    observation::{NewObservation, Observation},
    position::Fix,
    stamp::Stamp,
    track,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Characters in a patrol's title.
pub const TITLE_LIMIT: usize = 200;
/// People in one team.
pub const TEAM_LIMIT: usize = 50;
/// Members of one force, or vehicles of one kind.
pub const COUNT_LIMIT: i64 = 500;

/// The content of a patrol log.
#[derive(Clone, Debug, Default, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct PatrolLog {
    /// What people call it: "Ca đêm 21/11, tổ An".
    #[autosurgeon(missing = "Option::default")]
    pub title: Option<String>,
    /// When it began, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub started_at_ms: Option<i64>,
    /// Who began it.
    #[autosurgeon(missing = "Option::default")]
    pub started_by: Option<PersonId>,
    /// The team's leader (tổ trưởng).
    #[autosurgeon(missing = "Option::default")]
    pub leader: Option<PersonId>,
    /// When it ended, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub ended_at_ms: Option<i64>,
    /// Who ended it.
    #[autosurgeon(missing = "Option::default")]
    pub ended_by: Option<PersonId>,
    /// The track was imported from a file, not recorded live.
    #[autosurgeon(missing = "Option::default")]
    pub imported_at_ms: Option<i64>,
    /// Who is on the team, and since when (Unix milliseconds). Membership is what lets a person read the patrol.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub team: BTreeMap<PersonId, i64>,
    /// Members per force, by the catalogue's code.
    pub forces: BTreeMap<String, i64>,
    /// Vehicles per kind, by the catalogue's code.
    pub vehicles: BTreeMap<String, i64>,
    /// Pauses.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub pauses: BTreeMap<PauseId, Pause>,
    /// The track in chunks of one recorder each.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub track: BTreeMap<TrackChunkId, TrackChunk>,
    /// What was seen and done.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub observations: BTreeMap<ObservationId, Observation>,
    /// Checkpoints visited.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub visits: BTreeMap<VisitId, Visit>,
    /// Photos and files, of the patrol or of one observation.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub attachments: BTreeMap<AttachmentId, Attachment>,
    /// Handovers (bàn giao ca).
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub handovers: BTreeMap<HandoverId, Handover>,
}

impl Record for PatrolLog {
    const KIND: Kind = Kind::PatrolLog;
}

/// A pause of the patrol.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Pause {
    /// From, Unix milliseconds.
    pub from_ms: i64,
    /// Until, Unix milliseconds; none while it lasts.
    #[autosurgeon(missing = "Option::default")]
    pub until_ms: Option<i64>,
    /// Who paused.
    pub by: PersonId,
}

/// Up to 60 fixes of one phone.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct TrackChunk {
    /// Whose phone recorded it.
    pub by: PersonId,
    /// The fixes as [`track::pack`] writes them.
    #[autosurgeon(with = "packed")]
    pub fixes: Vec<u8>,
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

/// A checkpoint reached.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Visit {
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who was there.
    pub by: PersonId,
    /// How it was shown: `gps`, `qr`, `nfc` or `hand`.
    pub proof: String,
}

/// A handover of the shift to the next team.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Handover {
    /// Who hands over.
    pub from: PersonId,
    /// Who takes over.
    pub to: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What the next team must know.
    pub note: String,
    /// When the taker confirmed, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub confirmed_at_ms: Option<i64>,
}

/// What starting a patrol takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewPatrol {
    /// What people call it.
    pub title: String,
    /// The leader; the one who starts it if none is named.
    pub leader: Option<PersonId>,
    /// The others on the team.
    pub team: Vec<PersonId>,
    /// Members per force, by code.
    pub forces: BTreeMap<String, i64>,
    /// Vehicles per kind, by code.
    pub vehicles: BTreeMap<String, i64>,
}

/// How a checkpoint visit was shown.
pub const VISIT_PROOFS: [&str; 4] = ["gps", "qr", "nfc", "hand"];

impl PatrolLog {
    /// Starts the patrol.
    ///
    /// # Errors
    /// `Already` if it was started; rules of the title, the team and the counts.
    pub fn start(&mut self, stamp: Stamp, new: NewPatrol) -> Result<(), Invalid> {
        if self.started_at_ms.is_some() {
            return Err(Invalid::new("patrol", Rule::Already));
        }
        invalid::text("title", &new.title, TITLE_LIMIT)?;
        if new.title.trim().is_empty() {
            return Err(Invalid::new("title", Rule::Required));
        }
        if new.team.len() > TEAM_LIMIT {
            return Err(Invalid::new("team", Rule::TooLarge));
        }
        let catalogue = Catalogue::placeholder();
        counts("forces", &new.forces, |code| {
            catalogue.item(List::Forces, code).is_some()
        })?;
        counts("vehicles", &new.vehicles, |code| {
            catalogue.item(List::Vehicles, code).is_some()
        })?;
        let leader = new.leader.unwrap_or(stamp.by);
        self.title = Some(new.title);
        self.started_at_ms = Some(stamp.at_ms);
        self.started_by = Some(stamp.by);
        self.leader = Some(leader);
        self.team.extend(
            [leader, stamp.by]
                .into_iter()
                .chain(new.team)
                .map(|person| (person, stamp.at_ms)),
        );
        self.forces = new.forces;
        self.vehicles = new.vehicles;
        Ok(())
    }

    /// Whether `person` is on the team.
    #[must_use]
    pub fn has(&self, person: PersonId) -> bool {
        self.team.contains_key(&person)
    }

    /// Puts `person` on the team (who scanned the patrol's QR).
    pub fn join(&mut self, stamp: Stamp) {
        self.team.entry(stamp.by).or_insert(stamp.at_ms);
    }

    /// Begins a pause.
    ///
    /// # Errors
    /// `Already` while one lasts; `Ended`, `NotOnTheTeam`.
    pub fn pause(&mut self, stamp: Stamp) -> Result<PauseId, Invalid> {
        self.going_on(stamp.by)?;
        if self.open_pause().is_some() {
            return Err(Invalid::new("pause", Rule::Already));
        }
        let id = PauseId::fresh(stamp.at_ms, stamp.random);
        self.pauses.insert(
            id,
            Pause {
                from_ms: stamp.at_ms,
                until_ms: None,
                by: stamp.by,
            },
        );
        Ok(id)
    }

    /// Ends every open pause.
    ///
    /// # Errors
    /// `Already` when none is open; `Ended`, `NotOnTheTeam`.
    pub fn resume(&mut self, stamp: Stamp) -> Result<(), Invalid> {
        self.going_on(stamp.by)?;
        if self.open_pause().is_none() {
            return Err(Invalid::new("pause", Rule::Already));
        }
        self.close_pauses(stamp.at_ms);
        Ok(())
    }

    /// Ends the patrol.
    ///
    /// # Errors
    /// `Ended` if it is over; `NotOnTheTeam`.
    pub fn end(&mut self, stamp: Stamp) -> Result<(), Invalid> {
        self.going_on(stamp.by)?;
        self.close_pauses(stamp.at_ms);
        self.ended_at_ms = Some(stamp.at_ms);
        self.ended_by = Some(stamp.by);
        Ok(())
    }

    /// Records an observation. Also after the end: notes are often written up at the station.
    ///
    /// # Errors
    /// `NotOnTheTeam`, and the rules of [`NewObservation`].
    pub fn observe(&mut self, stamp: Stamp, new: NewObservation) -> Result<ObservationId, Invalid> {
        self.on_the_team(stamp.by)?;
        let observation = Observation::record(stamp, new)?;
        let id = ObservationId::fresh(stamp.at_ms, stamp.random);
        self.observations.insert(id, observation);
        Ok(id)
    }

    /// Changes an observation to what `new` says.
    ///
    /// # Errors
    /// `Unknown` if there is none of that id; `NotOnTheTeam`, and the rules of [`NewObservation`].
    pub fn edit_observation(
        &mut self,
        stamp: Stamp,
        id: ObservationId,
        new: NewObservation,
    ) -> Result<(), Invalid> {
        self.on_the_team(stamp.by)?;
        let observation = self
            .observations
            .get_mut(&id)
            .ok_or_else(|| Invalid::new("observation", Rule::Unknown))?;
        observation.change(stamp, new)
    }

    /// Records that a checkpoint was reached.
    ///
    /// # Errors
    /// `Unknown` for another proof than [`VISIT_PROOFS`]; `Ended`, `NotOnTheTeam`.
    pub fn visit(
        &mut self,
        stamp: Stamp,
        checkpoint: CheckpointId,
        proof: &str,
    ) -> Result<VisitId, Invalid> {
        self.going_on(stamp.by)?;
        if !VISIT_PROOFS.contains(&proof) {
            return Err(Invalid::new("proof", Rule::Unknown));
        }
        let id = VisitId::fresh(stamp.at_ms, stamp.random);
        let visit = Visit {
            checkpoint,
            at_ms: stamp.at_ms,
            by: stamp.by,
            proof: proof.to_owned(),
        };
        self.visits.insert(id, visit);
        Ok(id)
    }

    /// Hands the shift over to `to`, who may read the patrol from then on and is asked to confirm.
    ///
    /// # Errors
    /// `NotOnTheTeam`; `Already` at `to` for oneself; the rules of the note.
    pub fn hand_over(
        &mut self,
        stamp: Stamp,
        to: PersonId,
        note: &str,
    ) -> Result<HandoverId, Invalid> {
        self.on_the_team(stamp.by)?;
        if to == stamp.by {
            return Err(Invalid::new("to", Rule::Already));
        }
        invalid::text("note", note, crate::observation::NOTE_LIMIT)?;
        let id = HandoverId::fresh(stamp.at_ms, stamp.random);
        let handover = Handover {
            from: stamp.by,
            to,
            at_ms: stamp.at_ms,
            note: note.to_owned(),
            confirmed_at_ms: None,
        };
        self.handovers.insert(id, handover);
        Ok(id)
    }

    /// Confirms a handover: only who takes over can.
    ///
    /// # Errors
    /// `Unknown` at `handover` if there is none of that id to this person; `Already` when it is confirmed.
    pub fn confirm_handover(&mut self, stamp: Stamp, id: HandoverId) -> Result<(), Invalid> {
        let at = |rule| Invalid::new("handover", rule);
        let handover = self
            .handovers
            .get_mut(&id)
            .filter(|handover| handover.to == stamp.by)
            .ok_or_else(|| at(Rule::Unknown))?;
        if handover.confirmed_at_ms.is_some() {
            return Err(at(Rule::Already));
        }
        handover.confirmed_at_ms = Some(stamp.at_ms);
        Ok(())
    }

    /// Who may read the patrol because they are on its team, or were handed the shift.
    #[must_use]
    pub fn readers(&self) -> BTreeSet<PersonId> {
        let takers = self.handovers.values().map(|handover| handover.to);
        self.team.keys().copied().chain(takers).collect()
    }

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

    /// Hangs a file on the patrol, or on one of its observations; where it hangs already, nothing is added.
    ///
    /// # Errors
    /// `NotOnTheTeam`; `Unknown` for an observation that is not there.
    pub fn attach(
        &mut self,
        stamp: Stamp,
        attachment: Attachment,
    ) -> Result<AttachmentId, Invalid> {
        self.on_the_team(stamp.by)?;
        if let Some(item) = &attachment.item {
            let id = item
                .parse()
                .map_err(|_| Invalid::new("item", Rule::Malformed))?;
            if !self.observations.contains_key(&id) {
                return Err(Invalid::new("item", Rule::Unknown));
            }
        }
        Ok(attachment::hang(&mut self.attachments, stamp, attachment))
    }

    /// Whether everything in it could have come from a phone that keeps the rules: texts within their limits and without
    /// control characters, counts that are counts. Codes are not judged: a newer phone may know more of them.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text(
            "title",
            self.title.as_deref().unwrap_or_default(),
            TITLE_LIMIT,
        )?;
        for (code, count) in self.forces.iter().chain(&self.vehicles) {
            invalid::text("code", code, crate::observation::CODE_LIMIT)?;
            within_limit(*count).map_err(|rule| Invalid::new("count", rule))?;
        }
        for observation in self.observations.values() {
            observation.check()?;
        }
        for visit in self.visits.values() {
            invalid::text("proof", &visit.proof, crate::observation::CODE_LIMIT)?;
        }
        for handover in self.handovers.values() {
            invalid::text("note", &handover.note, crate::observation::NOTE_LIMIT)?;
        }
        self.attachments.values().try_for_each(Attachment::check)
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

    /// The pause that lasts.
    #[must_use]
    pub fn open_pause(&self) -> Option<PauseId> {
        self.pauses
            .iter()
            .find(|(_, pause)| pause.until_ms.is_none())
            .map(|(id, _)| *id)
    }

    fn close_pauses(&mut self, at_ms: i64) {
        for pause in self
            .pauses
            .values_mut()
            .filter(|pause| pause.until_ms.is_none())
        {
            pause.until_ms = Some(at_ms.max(pause.from_ms));
        }
    }

    fn on_the_team(&self, person: PersonId) -> Result<(), Invalid> {
        if self.has(person) {
            Ok(())
        } else {
            Err(Invalid::new("team", Rule::NotOnTheTeam))
        }
    }

    fn going_on(&self, person: PersonId) -> Result<(), Invalid> {
        self.on_the_team(person)?;
        if self.started_at_ms.is_none() {
            return Err(Invalid::new("patrol", Rule::Required));
        }
        if self.ended_at_ms.is_some() {
            return Err(Invalid::new("patrol", Rule::Ended));
        }
        Ok(())
    }
}

/// The way the patrol took, metres: the longest of its recorders' tracks, gaps left out. Two who walk together walked it once.
#[must_use]
pub fn length_m<'t>(tracks: impl IntoIterator<Item = &'t Vec<Fix>>) -> f64 {
    let lengths = tracks.into_iter().map(|fixes| track::length_m(fixes));
    lengths.fold(0.0, f64::max)
}

fn counts(
    field: &str,
    counts: &BTreeMap<String, i64>,
    known: impl Fn(&str) -> bool,
) -> Result<(), Invalid> {
    for (code, &count) in counts {
        let at = |rule| Invalid::new(format!("{field}.{code}"), rule);
        if !known(code) {
            return Err(at(Rule::Unknown));
        }
        within_limit(count).map_err(at)?;
    }
    Ok(())
}

fn within_limit(count: i64) -> Result<(), Rule> {
    match count {
        ..0 => Err(Rule::TooSmall),
        0..=COUNT_LIMIT => Ok(()),
        _ => Err(Rule::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AN: PersonId = PersonId::from_bytes([1; 16]);
    const HA: PersonId = PersonId::from_bytes([2; 16]);
    const BINH: PersonId = PersonId::from_bytes([3; 16]);

    fn at(by: PersonId, at_ms: i64) -> Stamp {
        Stamp {
            by,
            at_ms,
            random: [at_ms.to_le_bytes()[0]; 10],
        }
    }

    fn started() -> PatrolLog {
        let mut patrol = PatrolLog::default();
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            team: vec![HA],
            ..NewPatrol::default()
        };
        patrol.start(at(AN, 1), new).expect("a patrol starts");
        patrol
    }

    #[test]
    fn who_starts_a_patrol_leads_it_and_is_on_the_team() {
        let patrol = started();
        assert_eq!(patrol.leader, Some(AN));
        assert!(patrol.has(AN) && patrol.has(HA) && !patrol.has(BINH));
    }

    #[test]
    fn only_the_team_writes() {
        let mut patrol = started();
        assert_eq!(
            patrol.pause(at(BINH, 2)),
            Err(Invalid::new("team", Rule::NotOnTheTeam))
        );
        patrol.join(at(BINH, 3));
        assert!(patrol.pause(at(BINH, 4)).is_ok());
    }

    #[test]
    fn a_patrol_pauses_resumes_and_ends_once() {
        let mut patrol = started();
        patrol.pause(at(AN, 2)).expect("pauses");
        assert_eq!(
            patrol.pause(at(HA, 3)),
            Err(Invalid::new("pause", Rule::Already))
        );
        patrol.resume(at(HA, 4)).expect("resumes");
        patrol.pause(at(AN, 5)).expect("pauses again");
        patrol.end(at(AN, 6)).expect("ends");
        assert!(patrol.open_pause().is_none());
        assert_eq!(
            patrol.end(at(AN, 7)),
            Err(Invalid::new("patrol", Rule::Ended))
        );
    }

    #[test]
    fn a_count_below_zero_names_its_force() {
        let mut patrol = PatrolLog::default();
        let forces = BTreeMap::from([("militia".to_owned(), -1)]);
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            forces,
            ..NewPatrol::default()
        };
        assert_eq!(
            patrol.start(at(AN, 1), new),
            Err(Invalid::new("forces.militia", Rule::TooSmall))
        );
        assert_eq!(patrol, PatrolLog::default());
    }

    #[test]
    fn two_recorders_side_by_side_are_two_tracks_and_the_way_is_counted_once() {
        use crate::track::tests::fix;
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
    fn the_same_fixes_or_file_again_add_nothing() {
        use crate::{hash::Sha256, track::tests::fix};
        let mut patrol = started();
        let walked = [fix(0, 0.0), fix(10, 20.0)];
        for again in 2..4 {
            patrol.add_track(at(AN, again), &walked).expect("added");
        }
        assert_eq!(patrol.track.len(), 1);
        let photo = |by| Attachment {
            sha256: Sha256::of(b"a photo"),
            size_bytes: 7,
            media_type: "image/jpeg".to_owned(),
            item: None,
            attached_at_ms: 5,
            attached_by: by,
            withdrawn_at_ms: None,
        };
        let first = patrol.attach(at(AN, 5), photo(AN)).expect("hangs");
        assert_eq!(patrol.attach(at(HA, 6), photo(HA)), Ok(first));
        assert_eq!(patrol.attachments.len(), 1);
    }

    #[test]
    fn a_handover_is_confirmed_once_and_by_who_takes_over() {
        let mut patrol = started();
        let oneself = patrol.hand_over(at(AN, 2), AN, "");
        assert_eq!(oneself, Err(Invalid::new("to", Rule::Already)));
        let id = patrol
            .hand_over(at(AN, 3), BINH, "Còn một xe tạm giữ")
            .expect("hands over");
        assert!(patrol.readers().contains(&BINH) && !patrol.has(BINH));
        let unknown = Err(Invalid::new("handover", Rule::Unknown));
        assert_eq!(patrol.confirm_handover(at(HA, 4), id), unknown);
        patrol.confirm_handover(at(BINH, 5), id).expect("confirms");
        assert_eq!(patrol.handovers[&id].confirmed_at_ms, Some(5));
        let again = patrol.confirm_handover(at(BINH, 6), id);
        assert_eq!(again, Err(Invalid::new("handover", Rule::Already)));
    }
}
