//! Patrols and their observations, as an app uses them.

use super::{
    Phone,
    attachments::AttachmentView,
    error::PhoneError,
    items::{self, ItemState},
    store::Also,
};
use crate::{
    attachment,
    document::{Key, Kind},
    id::{self, CheckpointId, DocumentId, HandoverId, ObservationId, PersonId, VisitId},
    invalid::{Invalid, Rule},
    observation::{NewObservation, Observation},
    patrol::{self, Handover, NewPatrol, PatrolLog, Track},
};
use sqlx::{Row as _, sqlite::SqliteRow};
use std::collections::BTreeMap;

/// A patrol as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct PatrolSummary {
    /// The patrol's document.
    pub patrol: DocumentId,
    /// What people call it; empty while its start is not here.
    pub title: String,
    /// When it began, Unix milliseconds; see [`PatrolLog::began_at_ms`].
    pub started_at_ms: i64,
    /// The start is here. Who joined by QR has it when the starter's phone has synced.
    pub start_received: bool,
    /// When it ended, Unix milliseconds.
    pub ended_at_ms: Option<i64>,
    /// A pause lasts.
    pub paused: bool,
    /// Observations that stand.
    pub observation_count: u32,
    /// Length of the track, metres, gaps left out.
    pub length_m: f64,
    /// Where it is on its way to the server and back.
    pub state: ItemState,
    /// When this phone heard that its person may no longer read it, Unix milliseconds. What is here stays readable.
    pub ungranted_at_ms: Option<i64>,
}

/// A patrol whole.
#[derive(Clone, Debug, PartialEq)]
pub struct PatrolView {
    /// As the list shows it.
    pub summary: PatrolSummary,
    /// The leader.
    pub leader: Option<PersonId>,
    /// The team.
    pub team: Vec<PersonId>,
    /// Members per force, by code.
    pub forces: BTreeMap<String, i64>,
    /// Vehicles per kind, by code.
    pub vehicles: BTreeMap<String, i64>,
    /// The tracks; one's own fixes that are not folded yet among them.
    pub tracks: Vec<Track>,
    /// Checkpoints visited.
    pub visits: Vec<CheckpointId>,
    /// Handovers of the shift, in the order of time.
    pub handovers: Vec<(HandoverId, Handover)>,
    /// Files that hang on it or on its observations, in the order of attaching; withdrawn ones among them.
    pub attachments: Vec<AttachmentView>,
    /// The text of the QR by which a colleague joins.
    pub join_qr: String,
}

/// An observation as the app shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservationView {
    /// Its id.
    pub observation: ObservationId,
    /// The patrol it belongs to.
    pub patrol: DocumentId,
    /// What it says.
    pub content: Observation,
    /// SHA-256 of the photos that hang on it and stand.
    pub attachments: Vec<crate::hash::Sha256>,
}

/// What a list needs of a patrol, computed at each write and kept beside the document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) title: String,
    pub(super) started_at_ms: i64,
    pub(super) ended_at_ms: Option<i64>,
    pub(super) paused: bool,
    pub(super) observation_count: u32,
    pub(super) length_m: f64,
}

impl Summary {
    pub(super) fn of(patrol: &PatrolLog) -> Self {
        let standing = patrol
            .observations
            .values()
            .filter(|o| o.withdrawn_at_ms.is_none())
            .count();
        Self {
            title: patrol.title.clone().unwrap_or_default(),
            started_at_ms: patrol.began_at_ms().unwrap_or_default(),
            ended_at_ms: patrol.ended_at_ms,
            paused: patrol.open_pause().is_some(),
            observation_count: u32::try_from(standing).unwrap_or(u32::MAX),
            length_m: patrol::length_m(&patrol.tracks()),
        }
    }
}

/// Lists read columns: to take them out of JSON was half of 114 ms for 5,000 patrols (November 2026).
macro_rules! select_summary {
    ($which:literal) => {
        concat!(
            "select ",
            items::state_columns!(),
            ", document_id, title, started_at_ms, ended_at_ms, paused, observation_count, length_m, ungranted_at_ms \
             from standing where kind = 'patrol-log' ",
            $which
        )
    };
}

fn listed(row: &SqliteRow, sending: bool) -> Result<PatrolSummary, PhoneError> {
    Ok(PatrolSummary {
        state: items::state_in(row, 0, sending)?,
        patrol: row
            .get::<&str, _>(6)
            .parse()
            .map_err(PhoneError::internal)?,
        // No patrol starts without a title.
        start_received: !row.get::<&str, _>(7).is_empty(),
        title: row.get(7),
        started_at_ms: row.get(8),
        ended_at_ms: row.get(9),
        paused: row.get(10),
        observation_count: row.get(11),
        length_m: row.get(12),
        ungranted_at_ms: row.get(13),
    })
}

/// The QR by which a colleague's phone joins a patrol.
const JOIN: &str = "kieumau-join:1?";

impl Phone {
    /// Starts a patrol of one's own unit. Returns its document's id.
    ///
    /// # Errors
    /// The rules of [`NewPatrol`]; `SignedOut` before enrolment; `StorageFull`.
    pub async fn start_patrol(&self, new: NewPatrol) -> Result<DocumentId, PhoneError> {
        let mut store = self.store().await;
        let profile = store.profile()?;
        let stamp = self.stamp(profile.person);
        let key = Key::patrol(profile.unit, id::fresh(stamp.at_ms, rand::random()));
        store
            .edit(
                &key,
                stamp.at_ms,
                Also::Nothing,
                |patrol: &mut PatrolLog| patrol.start(stamp, new),
            )
            .await?;
        Ok(key.document())
    }

    /// Joins the patrol whose QR a colleague shows; works without signal. Returns its document's id.
    ///
    /// # Errors
    /// `Invalid` at `qr` for another text, or a patrol of another unit.
    pub async fn join_patrol(&self, qr: &str) -> Result<DocumentId, PhoneError> {
        let mut store = self.store().await;
        let profile = store.profile()?;
        let stamp = self.stamp(profile.person);
        let malformed = || Invalid::new("qr", Rule::Malformed);
        let (unit, name) = qr
            .strip_prefix(JOIN)
            .and_then(|text| text.split_once('&'))
            .ok_or_else(malformed)?;
        let unit = unit.parse().map_err(|_| malformed())?;
        if unit != profile.unit {
            return Err(Invalid::new("qr", Rule::NotOnTheTeam).into());
        }
        let key = Key::parse(Kind::PatrolLog, unit, name)?;
        let join = |patrol: &mut PatrolLog| {
            patrol.join(stamp);
            Ok(())
        };
        store.edit(&key, stamp.at_ms, Also::Nothing, join).await?;
        Ok(key.document())
    }

    /// Pauses the patrol; the track so far is folded into it.
    ///
    /// # Errors
    /// See [`PatrolLog::pause`].
    pub async fn pause(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        self.fold(patrol).await?;
        self.edit_patrol(patrol, |log, stamp| log.pause(stamp).map(|_| ()))
            .await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// See [`PatrolLog::resume`].
    pub async fn resume(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        self.edit_patrol(patrol, PatrolLog::resume).await
    }

    /// Ends the patrol; the track is folded into it.
    ///
    /// # Errors
    /// See [`PatrolLog::end`].
    pub async fn end(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        self.fold(patrol).await?;
        self.edit_patrol(patrol, PatrolLog::end).await
    }

    /// Hands the shift over to a colleague.
    ///
    /// # Errors
    /// See [`PatrolLog::hand_over`].
    pub async fn hand_over(
        &self,
        patrol: DocumentId,
        to: PersonId,
        note: &str,
    ) -> Result<HandoverId, PhoneError> {
        self.edit_patrol(patrol, |log, stamp| log.hand_over(stamp, to, note))
            .await
    }

    /// Confirms a handover to oneself.
    ///
    /// # Errors
    /// See [`PatrolLog::confirm_handover`].
    pub async fn confirm_handover(
        &self,
        patrol: DocumentId,
        handover: HandoverId,
    ) -> Result<(), PhoneError> {
        self.edit_patrol(patrol, |log, stamp| log.confirm_handover(stamp, handover))
            .await
    }

    /// Records an observation.
    ///
    /// # Errors
    /// See [`PatrolLog::observe`].
    pub async fn add_observation(
        &self,
        patrol: DocumentId,
        new: NewObservation,
    ) -> Result<ObservationId, PhoneError> {
        self.edit_patrol(patrol, |log, stamp| log.observe(stamp, new))
            .await
    }

    /// Changes an observation to what `new` says.
    ///
    /// # Errors
    /// See [`PatrolLog::edit_observation`].
    pub async fn edit_observation(
        &self,
        patrol: DocumentId,
        observation: ObservationId,
        new: NewObservation,
    ) -> Result<(), PhoneError> {
        self.edit_patrol(patrol, |log, stamp| {
            log.edit_observation(stamp, observation, new)
        })
        .await
    }

    /// Records that a checkpoint was reached; `proof` is `gps`, `qr`, `nfc` or `hand`.
    ///
    /// # Errors
    /// See [`PatrolLog::visit`].
    pub async fn visit_checkpoint(
        &self,
        patrol: DocumentId,
        checkpoint: CheckpointId,
        proof: &str,
    ) -> Result<VisitId, PhoneError> {
        self.edit_patrol(patrol, |log, stamp| log.visit(stamp, checkpoint, proof))
            .await
    }

    /// Every patrol on this phone, the latest first.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn patrols(&self) -> Result<Vec<PatrolSummary>, PhoneError> {
        let mut store = self.store().await;
        store.unfold_all().await?;
        let sending = self.syncing.sending();
        let rows = sqlx::query(select_summary!(""))
            .fetch_all(&mut store.connection)
            .await?;
        let listed = rows.iter().map(|row| listed(row, sending));
        let mut patrols: Vec<PatrolSummary> = listed.collect::<Result<_, _>>()?;
        // Here, not in SQLite: it would carry every column through its sorter, which is a third of the query.
        patrols.sort_by_key(|patrol| std::cmp::Reverse((patrol.started_at_ms, patrol.patrol)));
        Ok(patrols)
    }

    /// One patrol whole.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn patrol(&self, patrol: DocumentId) -> Result<PatrolView, PhoneError> {
        let mut store = self.store().await;
        let (key, log) = store.read::<PatrolLog>(patrol).await?;
        let row = sqlx::query(select_summary!("and document_id = $1"))
            .bind(patrol.to_string())
            .fetch_one(&mut store.connection)
            .await?;
        let mut summary = listed(&row, self.syncing.sending())?;
        let loose = super::tracks::loose(&mut store.connection, patrol).await?;
        let mut tracks = log.tracks();
        if !loose.is_empty() {
            let by = store.profile()?.person;
            let fixes = loose.into_iter().map(|(_, fix)| fix);
            match tracks
                .iter_mut()
                .find(|track| track.by == by && track.file.is_none())
            {
                Some(own) => own.fixes.extend(fixes),
                None => tracks.push(Track {
                    by,
                    file: None,
                    fixes: fixes.collect(),
                }),
            }
            summary.length_m = patrol::length_m(&tracks);
        }
        Ok(PatrolView {
            summary,
            leader: log.leader,
            team: log.team.keys().copied().collect(),
            forces: log.forces,
            vehicles: log.vehicles,
            tracks,
            visits: log.visits.values().map(|visit| visit.checkpoint).collect(),
            handovers: log.handovers.into_iter().collect(),
            attachments: AttachmentView::of(log.attachments),
            join_qr: format!("{JOIN}{}&{}", key.unit, key.name),
        })
    }

    /// The observations of a patrol, in the order of recording; withdrawn ones among them.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn observations(
        &self,
        patrol: DocumentId,
    ) -> Result<Vec<ObservationView>, PhoneError> {
        let (_, log) = self.store().await.read::<PatrolLog>(patrol).await?;
        Ok(log
            .observations
            .iter()
            .map(|(id, content)| ObservationView {
                observation: *id,
                patrol,
                content: content.clone(),
                attachments: attachment::hanging_on(&log.attachments, id),
            })
            .collect())
    }

    async fn edit_patrol<T>(
        &self,
        patrol: DocumentId,
        change: impl FnOnce(&mut PatrolLog, crate::stamp::Stamp) -> Result<T, Invalid>,
    ) -> Result<T, PhoneError> {
        let mut store = self.store().await;
        let stamp = self.stamp(store.profile()?.person);
        let key = store.key(patrol).await?;
        if key.kind != Kind::PatrolLog {
            return Err(PhoneError::NotFound);
        }
        store
            .edit(&key, stamp.at_ms, Also::Nothing, |log: &mut PatrolLog| {
                change(log, stamp)
            })
            .await
    }
}
