//! A patrol (ca tuần tra): one shift of one team, from start to end. The document holds what the team did; every rule about
//! when what may be written is a method here and nowhere else.
//!
//! Nothing is ever removed: a slip is withdrawn, which is one more fact. What a team of two phones writes at once merges,
//! because every list is a map under fresh ids and every field a scalar. Pauses, the recorded track, handovers and what another phone's log
//! is held to have a file each.

mod handover;
mod pause;
mod recorded;
mod rules;

pub use handover::Handover;
pub use pause::Pause;
pub use recorded::{Track, TrackChunk, fix_count, length_m};

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
    stamp::Stamp,
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
#[derive(Clone, Default, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
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

/// What starting a patrol takes.
#[derive(Clone, Default, PartialEq)]
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

crate::unprinted!(PatrolLog, NewPatrol);

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

    /// When it began, Unix milliseconds. Who joined by QR may be heard of before who started it: then the earliest that the team
    /// did in it. None while nothing is known.
    #[must_use]
    pub fn began_at_ms(&self) -> Option<i64> {
        let joined = self.team.values().copied();
        let seen = self.observations.values().map(|seen| seen.recorded_at_ms);
        self.started_at_ms.or_else(|| joined.chain(seen).min())
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

    /// Who may read the patrol because they are on its team, or were handed the shift.
    #[must_use]
    pub fn readers(&self) -> BTreeSet<PersonId> {
        let takers = self.handovers.values().map(|handover| handover.to);
        self.team.keys().copied().chain(takers).collect()
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

    /// Withdraws a file that was attached by mistake; see [`attachment::withdraw`].
    ///
    /// # Errors
    /// `NotOnTheTeam`; at `attachment`: `Unknown`, `Already`.
    pub fn withdraw_attachment(&mut self, stamp: Stamp, id: AttachmentId) -> Result<(), Invalid> {
        self.on_the_team(stamp.by)?;
        attachment::withdraw(&mut self.attachments, stamp, id)
    }

    fn on_the_team(&self, person: PersonId) -> Result<(), Invalid> {
        if self.has(person) {
            Ok(())
        } else {
            Err(Invalid::new("team", Rule::NotOnTheTeam))
        }
    }

    /// Whether `person` may go on with it. Also before its start is here: who joined by QR walks, although the starter's phone
    /// has not synced.
    fn going_on(&self, person: PersonId) -> Result<(), Invalid> {
        self.on_the_team(person)?;
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

    pub(super) const AN: PersonId = PersonId::from_bytes([1; 16]);
    pub(super) const HA: PersonId = PersonId::from_bytes([2; 16]);
    pub(super) const BINH: PersonId = PersonId::from_bytes([3; 16]);

    pub(super) fn at(by: PersonId, at_ms: i64) -> Stamp {
        Stamp {
            by,
            at_ms,
            random: [at_ms.to_le_bytes()[0]; 10],
        }
    }

    pub(super) fn started() -> PatrolLog {
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
    fn who_joined_before_the_start_was_here_visits_pauses_and_ends_and_others_do_not() {
        let mut patrol = PatrolLog::default();
        assert_eq!(patrol.began_at_ms(), None);
        patrol.join(at(HA, 5));
        assert_eq!(patrol.began_at_ms(), Some(5));
        let checkpoint = CheckpointId::from_bytes([4; 16]);
        patrol.visit(at(HA, 6), checkpoint, "gps").expect("visits");
        patrol.pause(at(HA, 7)).expect("pauses");
        patrol.resume(at(HA, 8)).expect("goes on");
        let stranger = patrol.end(at(BINH, 9));
        assert_eq!(stranger, Err(Invalid::new("team", Rule::NotOnTheTeam)));
        patrol.end(at(HA, 9)).expect("ends");
        assert_eq!(patrol.ended_at_ms, Some(9));
        assert_eq!(started().began_at_ms(), Some(1));
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
    fn the_same_file_again_adds_nothing() {
        use crate::hash::Sha256;
        let mut patrol = started();
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
    fn a_file_attached_by_mistake_is_withdrawn_by_the_team_and_its_record_stays() {
        use crate::hash::Sha256;
        let mut patrol = started();
        let photo = Attachment {
            sha256: Sha256::of(b"a photo"),
            size_bytes: 7,
            media_type: "image/jpeg".to_owned(),
            item: None,
            attached_at_ms: 5,
            attached_by: AN,
            withdrawn_at_ms: None,
        };
        let id = patrol.attach(at(AN, 5), photo.clone()).expect("hangs");
        let stranger = patrol.withdraw_attachment(at(BINH, 6), id);
        assert_eq!(stranger, Err(Invalid::new("team", Rule::NotOnTheTeam)));
        patrol
            .withdraw_attachment(at(AN, 6), id)
            .expect("withdraws");
        assert_eq!(patrol.attachments[&id].withdrawn_at_ms, Some(6));
        let again = patrol.withdraw_attachment(at(AN, 7), id);
        assert_eq!(again, Err(Invalid::new("attachment", Rule::Already)));
        let anew = patrol.attach(at(AN, 8), photo).expect("hangs");
        assert_ne!(anew, id, "attached again on purpose, it stands");
    }
}
