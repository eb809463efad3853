//! A patrol (ca tuần tra): one shift of one team, from start to end. The document holds what the team did; every rule about
//! when what may be written is a method here and nowhere else.
//!
//! Nothing is ever removed: a slip is withdrawn, which is one more fact. What a team of two phones writes at once merges,
//! because every list is a map under fresh ids and every field a scalar.

use crate::{
    attachment::Attachment,
    catalogue::{Catalogue, List},
    document::{Kind, Record},
    id::{AttachmentId, CheckpointId, ObservationId, PauseId, PersonId, VisitId},
    invalid::{self, Invalid, Rule},
    observation::{NewObservation, Observation},
    position::{Fix, Position},
    stamp::Stamp,
    track,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The track in chunks, keyed by a UUIDv7.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub track: BTreeMap<uuid::Uuid, TrackChunk>,
    /// What was seen and done.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub observations: BTreeMap<ObservationId, Observation>,
    /// Checkpoints visited.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub visits: BTreeMap<VisitId, Visit>,
    /// Photos and files, of the patrol or of one observation.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub attachments: BTreeMap<AttachmentId, Attachment>,
    /// Handovers (bàn giao ca), by a UUIDv7.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub handovers: BTreeMap<uuid::Uuid, Handover>,
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

    /// Hands the shift over to `to`.
    ///
    /// # Errors
    /// `NotOnTheTeam`, and the rules of the note.
    pub fn hand_over(&mut self, stamp: Stamp, to: PersonId, note: &str) -> Result<(), Invalid> {
        self.on_the_team(stamp.by)?;
        invalid::text("note", note, crate::observation::NOTE_LIMIT)?;
        let id = PauseId::fresh(stamp.at_ms, stamp.random);
        let handover = Handover {
            from: stamp.by,
            to,
            at_ms: stamp.at_ms,
            note: note.to_owned(),
            confirmed_at_ms: None,
        };
        self.handovers
            .insert(uuid::Uuid::from_bytes(*id.as_bytes()), handover);
        Ok(())
    }

    /// Appends fixes that passed the filter, at most [`track::FIXES_PER_CHUNK`] at once. Also after the end: the last rows are folded late.
    /// Returns the key of the chunk in [`PatrolLog::track`].
    ///
    /// # Errors
    /// `NotOnTheTeam`; `TooLarge` for more fixes than a chunk holds.
    pub fn add_track(&mut self, stamp: Stamp, fixes: &[Fix]) -> Result<uuid::Uuid, Invalid> {
        self.on_the_team(stamp.by)?;
        if fixes.len() > track::FIXES_PER_CHUNK {
            return Err(Invalid::new("track", Rule::TooLarge));
        }
        let at_ms = fixes.first().map_or(stamp.at_ms, |fix| fix.at_ms);
        let id = PauseId::fresh(at_ms, stamp.random);
        let chunk = TrackChunk {
            by: stamp.by,
            fixes: track::pack(fixes),
        };
        let id = uuid::Uuid::from_bytes(*id.as_bytes());
        self.track.insert(id, chunk);
        Ok(id)
    }

    /// Hangs a file on the patrol, or on one of its observations.
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
        let id = AttachmentId::fresh(stamp.at_ms, stamp.random);
        self.attachments.insert(id, attachment);
        Ok(id)
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
            if !(0..=COUNT_LIMIT).contains(count) {
                return Err(Invalid::new("count", Rule::TooLarge));
            }
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

    /// All fixes of one recorder in the order of time. A chunk that does not unpack is left out: the worker has refused it already.
    #[must_use]
    pub fn fixes(&self) -> Vec<Fix> {
        let mut fixes: Vec<Fix> = self
            .track
            .values()
            .filter_map(|chunk| track::unpack(&chunk.fixes).ok())
            .flatten()
            .collect();
        fixes.sort_by_key(|fix| fix.at_ms);
        fixes
    }

    /// Where the patrol was last seen.
    #[must_use]
    pub fn last_position(&self) -> Option<Position> {
        self.fixes().last().map(|fix| fix.position)
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

fn counts(
    field: &str,
    counts: &BTreeMap<String, i64>,
    known: impl Fn(&str) -> bool,
) -> Result<(), Invalid> {
    for (code, &count) in counts {
        let at = |rule| Invalid::new(format!("{field}.{code}"), rule);
        match count {
            _ if !known(code) => return Err(at(Rule::Unknown)),
            ..0 => return Err(at(Rule::TooSmall)),
            COUNT_LIMIT.. => return Err(at(Rule::TooLarge)),
            _ => {}
        }
    }
    Ok(())
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
}
