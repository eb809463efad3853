//! How the core's types cross: ids and hashes as strings, and each record of ours from or to the core's.
//!
//! A core record is taken apart by name and without `..`, so that a field added in the core does not compile here until
//! the contract says what becomes of it. A string that is no id is `Invalid`, at the word for what it should have named.

use crate::contract::{
    Catalogue, Checkpoint, Choice, Colleague, Criterion, CriterionGroup, Damage, Fix, HandoverView,
    NewObservation, NewPatrol, Observation, ObservationView, PatrolView, PhoneConfig, PhoneError,
    PhotoFacts, Position, Profile, RescueTaken, Track, TrackImport,
};
use kieumau_core::{
    catalogue,
    criterion::{self, CriterionNumber},
    hash::Sha256,
    id::{
        AttachmentId, CheckpointId, DocumentId, EvidenceId, HandoverId, ObservationId, PersonId,
        PhoneId, UnitId, VisitId,
    },
    invalid::{Invalid, Rule},
    observation, patrol,
    period::Period,
    phone, position, reference, rescue,
};
use std::path::PathBuf;
use zeroize::Zeroizing;

macro_rules! crosses_as_text {
    ($($(#[$doc:meta])* $name:ident at $field:literal),+ $(,)?) => {$(
        uniffi::custom_type!($(#[$doc])* $name, String, {
            remote,
            lower: |id| id.to_string(),
            try_lift: |text| {
                text.parse::<$name>()
                    .map_err(|_| PhoneError::from(Invalid::new($field, Rule::Malformed)).into())
            },
        });
    )+};
}

crosses_as_text! {
    /// A ward, as a UUID.
    UnitId at "unit",
    /// A person of the force, as a UUID.
    PersonId at "person",
    /// An enrolled phone, as a UUID.
    PhoneId at "phone",
    /// A document (a patrol, an evidence file), as a UUID.
    DocumentId at "document",
    /// A handover of a patrol, as a UUID.
    HandoverId at "handover",
    /// An observation inside a patrol, as a UUID.
    ObservationId at "observation",
    /// A file as it hangs on a document, as a UUID.
    AttachmentId at "attachment",
    /// A checkpoint of a unit, as a UUID.
    CheckpointId at "checkpoint",
    /// A visit to a checkpoint, as a UUID.
    VisitId at "visit",
    /// A piece of evidence inside an evidence file, as a UUID.
    EvidenceId at "evidence",
    /// SHA-256 of a file, 64 lower-case hexadecimal digits.
    Sha256 at "sha256",
    /// A period's first and last day: `2025-11-16..2026-11-15`.
    Period at "period",
}

uniffi::custom_type!(
    /// A criterion's number, 1 to 99.
    CriterionNumber, u8, {
        remote,
        lower: |number| number.get(),
        try_lift: |number| CriterionNumber::new(number).map_err(|invalid| PhoneError::from(invalid).into()),
    }
);

impl From<Invalid> for PhoneError {
    fn from(Invalid { field, rule }: Invalid) -> Self {
        Self::Invalid { field, rule }
    }
}

impl From<phone::PhoneError> for PhoneError {
    fn from(error: phone::PhoneError) -> Self {
        match error {
            phone::PhoneError::Invalid(invalid) => invalid.into(),
            phone::PhoneError::NotFound => Self::NotFound,
            phone::PhoneError::Offline { retry_after_s, why } => {
                Self::Offline { retry_after_s, why }
            }
            phone::PhoneError::SignedOut { word } => Self::SignedOut { word },
            phone::PhoneError::StorageFull => Self::StorageFull,
            phone::PhoneError::Internal { detail } => Self::Internal { detail },
        }
    }
}

/// A listener threw something that is none of the six. Its words may hold content, so they stop here.
impl From<uniffi::UnexpectedUniFFICallbackError> for PhoneError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Internal {
            detail: "the listener failed".to_owned(),
        }
    }
}

impl PhoneConfig {
    /// The core's configuration, with `clock` for its time.
    ///
    /// # Errors
    /// `Invalid` at `key` unless it has 32 bytes.
    pub(crate) fn with(self, clock: phone::Clock) -> Result<phone::PhoneConfig, PhoneError> {
        let given = Zeroizing::new(self.key);
        let mut key = Zeroizing::new([0; 32]);
        if given.len() != key.len() {
            return Err(Invalid::new("key", Rule::Malformed).into());
        }
        key.copy_from_slice(&given);
        Ok(phone::PhoneConfig {
            folder: self.folder.into(),
            key,
            app_version: self.app_version,
            clock,
        })
    }
}

impl From<phone::Profile> for Profile {
    fn from(profile: phone::Profile) -> Self {
        let phone::Profile {
            phone,
            person,
            unit,
            role,
            person_name,
            unit_name,
            server_url,
            // The server's keys are the core's to believe; an app has no use for them.
            pins: _,
            log_key: _,
            receipt_key: _,
            seal_key: _,
            rescue_key: _,
            revoked,
        } = profile;
        Self {
            phone,
            person,
            unit,
            role,
            person_name,
            unit_name,
            server_url,
            revoked,
        }
    }
}

impl From<NewPatrol> for patrol::NewPatrol {
    fn from(new: NewPatrol) -> Self {
        Self {
            title: new.title,
            leader: new.leader,
            team: new.team,
            forces: new.forces.into_iter().collect(),
            vehicles: new.vehicles.into_iter().collect(),
        }
    }
}

impl From<phone::PatrolView> for PatrolView {
    fn from(view: phone::PatrolView) -> Self {
        let phone::PatrolView {
            summary,
            leader,
            team,
            forces,
            vehicles,
            tracks,
            visits,
            handovers,
            attachments,
            join_qr,
        } = view;
        Self {
            summary,
            leader,
            team,
            forces: forces.into_iter().collect(),
            vehicles: vehicles.into_iter().collect(),
            tracks: tracks.into_iter().map(Track::from).collect(),
            visits,
            handovers: handovers.into_iter().map(HandoverView::from).collect(),
            attachments,
            join_qr,
        }
    }
}

impl From<patrol::Track> for Track {
    fn from(patrol::Track { by, file, fixes }: patrol::Track) -> Self {
        Self {
            by,
            file,
            fixes: fixes.into_iter().map(Fix::from).collect(),
        }
    }
}

impl From<(PersonId, String)> for Colleague {
    fn from((person, name): (PersonId, String)) -> Self {
        Self { person, name }
    }
}

impl From<(CheckpointId, reference::Checkpoint)> for Checkpoint {
    fn from((checkpoint, of): (CheckpointId, reference::Checkpoint)) -> Self {
        let reference::Checkpoint {
            name,
            lat_e7,
            lon_e7,
            removed_at_ms: _,
        } = of;
        Self {
            checkpoint,
            name,
            position: position::Position { lat_e7, lon_e7 }.into(),
        }
    }
}

impl From<(HandoverId, patrol::Handover)> for HandoverView {
    fn from((handover, of): (HandoverId, patrol::Handover)) -> Self {
        let patrol::Handover {
            from,
            to,
            at_ms,
            note,
            confirmed_at_ms,
        } = of;
        Self {
            handover,
            from,
            to,
            at_ms,
            note,
            confirmed_at_ms,
        }
    }
}

impl From<rescue::Taken> for RescueTaken {
    fn from(taken: rescue::Taken) -> Self {
        let rescue::Taken {
            changes_taken,
            changes_held,
            changes_waiting,
            quarantined,
            files_taken,
            files_held,
            files_refused,
        } = taken;
        Self {
            changes_taken,
            changes_held,
            changes_waiting,
            quarantined: quarantined.into_iter().collect(),
            files_taken,
            files_held,
            files_refused: files_refused.into_iter().collect(),
        }
    }
}

impl From<position::Position> for Position {
    fn from(position: position::Position) -> Self {
        Self {
            lat: position.lat(),
            lon: position.lon(),
        }
    }
}

impl TryFrom<Position> for position::Position {
    type Error = Invalid;

    fn try_from(position: Position) -> Result<Self, Invalid> {
        Self::from_degrees(position.lat, position.lon)
    }
}

impl From<position::Fix> for Fix {
    fn from(fix: position::Fix) -> Self {
        Self {
            at_ms: fix.at_ms,
            position: fix.position.into(),
            accuracy_m: fix.accuracy_dm.map(|dm| f64::from(dm) / 10.0),
        }
    }
}

impl TryFrom<Fix> for position::Fix {
    type Error = Invalid;

    fn try_from(fix: Fix) -> Result<Self, Invalid> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates: no number and below zero are 0, which the filter takes for `does not say`"
        )]
        // Up, so that no fix claims to be more exact than its source said.
        let decimetres = |metres: f64| (metres * 10.0).ceil() as u32;
        Ok(Self {
            at_ms: fix.at_ms,
            position: fix.position.try_into()?,
            accuracy_dm: fix.accuracy_m.map(decimetres),
        })
    }
}

impl From<phone::TrackImport> for TrackImport {
    fn from(import: phone::TrackImport) -> Self {
        let phone::TrackImport {
            kept,
            dropped,
            span_ms,
        } = import;
        Self {
            kept,
            dropped: dropped.into_iter().collect(),
            from_ms: span_ms.map(|(from, _)| from),
            until_ms: span_ms.map(|(_, until)| until),
        }
    }
}

impl TryFrom<NewObservation> for observation::NewObservation {
    type Error = Invalid;

    fn try_from(new: NewObservation) -> Result<Self, Invalid> {
        Ok(Self {
            category: new.category,
            count: new.count,
            count_unit: new.count_unit,
            happened_at_ms: new.happened_at_ms,
            position: new.position.map(TryInto::try_into).transpose()?,
            measures_taken: new.measures_taken,
            fine_vnd: new.fine_vnd,
            exhibits_held: new.exhibits_held,
            vehicles_held: new.vehicles_held,
            record_number: new.record_number,
            handed_over_to: new.handed_over_to,
            note: new.note,
            withdrawn: new.withdrawn,
        })
    }
}

impl From<observation::Observation> for Observation {
    fn from(observation: observation::Observation) -> Self {
        let position = observation.position().map(Position::from);
        let observation::Observation {
            category,
            count,
            count_unit,
            happened_at_ms,
            recorded_at_ms,
            recorded_by,
            edited_by,
            lat_e7: _,
            lon_e7: _,
            measures_taken,
            fine_vnd,
            exhibits_held,
            vehicles_held,
            record_number,
            handed_over_to,
            note,
            withdrawn_at_ms,
        } = observation;
        Self {
            category,
            count,
            count_unit,
            happened_at_ms,
            recorded_at_ms,
            recorded_by,
            edited_by,
            position,
            measures_taken: measures_taken
                .into_iter()
                .filter_map(|(code, taken)| taken.then_some(code))
                .collect(),
            fine_vnd,
            exhibits_held,
            vehicles_held,
            record_number,
            handed_over_to,
            note,
            withdrawn_at_ms,
        }
    }
}

impl From<phone::ObservationView> for ObservationView {
    fn from(view: phone::ObservationView) -> Self {
        let phone::ObservationView {
            observation,
            patrol,
            content,
            attachments,
        } = view;
        Self {
            observation,
            patrol,
            content: content.into(),
            attachments,
        }
    }
}

impl From<&catalogue::Catalogue> for Catalogue {
    fn from(catalogue: &catalogue::Catalogue) -> Self {
        let choices = |list| catalogue.list(list).iter().map(Choice::from).collect();
        Self {
            version: catalogue.version.clone(),
            placeholder: catalogue.placeholder,
            groups: catalogue.groups.iter().map(CriterionGroup::from).collect(),
            criteria: catalogue.criteria.iter().map(Criterion::from).collect(),
            categories: choices(catalogue::List::Categories),
            measures_taken: choices(catalogue::List::MeasuresTaken),
            count_units: choices(catalogue::List::CountUnits),
            evidence_kinds: choices(catalogue::List::EvidenceKinds),
            forces: choices(catalogue::List::Forces),
            vehicles: choices(catalogue::List::Vehicles),
        }
    }
}

impl From<&catalogue::CriterionGroup> for CriterionGroup {
    fn from(group: &catalogue::CriterionGroup) -> Self {
        Self {
            letter: group.letter.to_string(),
            title_vi: group.title_vi.clone(),
            title_en: group.title_en.clone(),
        }
    }
}

impl From<&criterion::Criterion> for Criterion {
    fn from(criterion: &criterion::Criterion) -> Self {
        Self {
            number: criterion.number,
            group: criterion.group.to_string(),
            title_vi: criterion.title_vi.clone(),
            title_en: criterion.title_en.clone(),
            evidence_kinds: criterion.evidence.iter().map(|e| e.kind.clone()).collect(),
        }
    }
}

impl From<&catalogue::Item> for Choice {
    fn from(item: &catalogue::Item) -> Self {
        Self {
            code: item.code.clone(),
            title_vi: item.title_vi.clone(),
            title_en: item.title_en.clone(),
            takes_amount: item.takes_amount,
            official_document: item.official_document,
        }
    }
}

impl TryFrom<phone::Damage> for Damage {
    type Error = PhoneError;

    fn try_from(damage: phone::Damage) -> Result<Self, PhoneError> {
        let phone::Damage {
            found_at_ms,
            set_aside,
            lost_records,
            lacking,
            identity_lost,
        } = damage;
        Ok(Self {
            found_at_ms,
            set_aside: text(set_aside)?,
            lost_records,
            lacking,
            identity_lost,
        })
    }
}

impl From<phone::PhotoFacts> for PhotoFacts {
    fn from(facts: phone::PhotoFacts) -> Self {
        let phone::PhotoFacts {
            position,
            taken_at,
            gps_at_ms,
        } = facts;
        Self {
            position: position.map(Position::from),
            taken_at,
            gps_at_ms,
        }
    }
}

/// A path as the border carries it.
pub(crate) fn text(path: PathBuf) -> Result<String, PhoneError> {
    Ok(path
        .into_os_string()
        .into_string()
        .map_err(|_| phone::PhoneError::internal("a path that is not UTF-8"))?)
}

#[cfg(test)]
mod tests;
