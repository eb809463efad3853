//! The one object of the contract: each method is one call of `kieumau_core::phone::Phone`, and returns when the core does.
//!
//! It decides nothing. Calls that record return after the record is on the disk and never wait for the network; only
//! `enrol`, `enrol_by_qr`, `sync` and `deliver_rescue` do. The system's clock enters the core here and nowhere else.

use crate::contract::{
    CONTRACT, Catalogue, Checkpoint, Colleague, Damage, Filed, Fix, Listener, NewObservation,
    NewPatrol, ObservationView, PatrolView, PhoneConfig, PhoneError, PhotoFacts, Profile,
    RescueTaken, Reviewed, TrackImport,
};
use crate::crossing::text;
use kieumau_core::{
    catalogue,
    criterion::CriterionNumber,
    evidence::NewEvidence,
    hash::Sha256,
    id::{
        AttachmentId, CheckpointId, DocumentId, EvidenceId, HandoverId, ObservationId, PersonId,
        VisitId,
    },
    period::{self, Period},
    phone::{
        self, Attached, ClashView, Event, EvidenceFileView, Item, ItemState, PatrolSummary,
        Refused, RescueReport, SyncOptions, SyncReport,
    },
    track::Dropped,
};
use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The version of the contract that this library keeps.
#[uniffi::export]
pub fn contract() -> u32 {
    CONTRACT
}

/// The criteria and the lists that the core's rules go by.
#[uniffi::export]
pub fn catalogue() -> Catalogue {
    catalogue::Catalogue::placeholder().into()
}

/// The programme's period that this time (Unix milliseconds) lies in, by the day in Vietnam.
#[uniffi::export]
pub fn period_at(at_ms: i64) -> Period {
    Period::of_programme(period::day_of(at_ms))
}

/// What the photo at `path` says about itself: where and when. For the officer's screen, before and after it is attached.
///
/// # Errors
/// `NotFound` for no file.
#[uniffi::export]
pub fn photo_facts(path: String) -> Result<PhotoFacts, PhoneError> {
    Ok(phone::photo_facts(Path::new(&path))?.into())
}

/// One person's records on one phone.
#[derive(Debug, uniffi::Object)]
pub struct Phone(phone::Phone);

#[uniffi::export(async_runtime = "tokio")]
impl Phone {
    /// Opens the phone's database, or makes it. Never deletes. One opening at a time: close one before the next.
    ///
    /// # Errors
    /// `Invalid` at `key` for a wrong key or one that has not 32 bytes, at `database` for a damaged one (`salvage` it), at `folder`
    /// (`Already`) while it is open, here or in another process (close that one); `StorageFull`, `Internal`.
    #[uniffi::constructor]
    pub async fn open(config: PhoneConfig) -> Result<Arc<Self>, PhoneError> {
        let config = config.with(Arc::new(system_ms))?;
        Ok(Arc::new(Self(phone::Phone::open(config).await?)))
    }

    /// Sets a damaged database aside, as it is, and opens a new one with all that can still be read of it. For `Invalid` at `database`,
    /// whichever call said so. What the server has of the rest comes with the next sync; what is lost is in `damages`.
    ///
    /// # Errors
    /// As `open`; `StorageFull` when there is no room beside the damaged one. Nothing is deleted.
    #[uniffi::constructor]
    pub async fn salvage(config: PhoneConfig) -> Result<Arc<Self>, PhoneError> {
        let config = config.with(Arc::new(system_ms))?;
        Ok(Arc::new(Self(phone::Phone::salvage(config).await?)))
    }

    /// Damage that was ever found in this phone's database, oldest first: to be shown once, and kept for who repairs the phone.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn damages(&self) -> Result<Vec<Damage>, PhoneError> {
        let damages = self.0.damages().await?;
        damages.into_iter().map(Damage::try_from).collect()
    }

    /// Who this phone is; none before enrolment.
    pub async fn profile(&self) -> Option<Profile> {
        self.0.profile().await.map(Profile::from)
    }

    /// Enrols with the code from the chief's page, at this server.
    ///
    /// # Errors
    /// `Invalid` at `phone` when it is enrolled already; `SignedOut` with `code-unknown`, `code-used`, `code-expired`; `Offline`.
    pub async fn enrol(&self, server_url: String, code: String) -> Result<Profile, PhoneError> {
        Ok(self.0.enrol(&server_url, &code).await?.into())
    }

    /// Enrols with the text of the QR on the chief's page, which pins the server's keys.
    ///
    /// # Errors
    /// As `enrol`; `Invalid` at `code` for a text that is no invitation; `SignedOut` with `another-server`.
    pub async fn enrol_by_qr(&self, qr: String) -> Result<Profile, PhoneError> {
        Ok(self.0.enrol_by_qr(&qr).await?.into())
    }

    /// Takes the address and the TLS key of one's server from a new QR: it moved, or its key changed while this phone was away.
    ///
    /// # Errors
    /// `SignedOut` with `not-enrolled`, `another-key`, or with `another-server` for the QR of another; `Invalid` at `code` for a
    /// text that is no invitation; `Offline`.
    pub async fn find_server(&self, qr: String) -> Result<Profile, PhoneError> {
        Ok(self.0.find_server(&qr).await?.into())
    }

    /// The people of one's unit, to choose among; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn colleagues(&self) -> Result<Vec<Colleague>, PhoneError> {
        let people = self.0.colleagues().await?;
        Ok(people.into_iter().map(Colleague::from).collect())
    }

    /// `colleagues` and those who left: how whoever stands in a record is called. Not to choose among.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn known_people(&self) -> Result<Vec<Colleague>, PhoneError> {
        let people = self.0.known_people().await?;
        Ok(people.into_iter().map(Colleague::from).collect())
    }

    /// The checkpoints of one's unit, to visit; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, PhoneError> {
        let checkpoints = self.0.checkpoints().await?;
        Ok(checkpoints.into_iter().map(Checkpoint::from).collect())
    }

    /// `checkpoints` and removed ones: what was visited is called something. Not to choose among.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn known_checkpoints(&self) -> Result<Vec<Checkpoint>, PhoneError> {
        let checkpoints = self.0.known_checkpoints().await?;
        Ok(checkpoints.into_iter().map(Checkpoint::from).collect())
    }

    /// Starts a patrol of one's own unit.
    ///
    /// # Errors
    /// `Invalid` at `title`, `team`, `forces`, `vehicles`; `SignedOut` before enrolment; `StorageFull`.
    pub async fn start_patrol(&self, new: NewPatrol) -> Result<DocumentId, PhoneError> {
        Ok(self.0.start_patrol(new.into()).await?)
    }

    /// Joins the patrol whose QR a colleague shows; works without signal.
    ///
    /// # Errors
    /// `Invalid` at `qr` for another text, or a patrol of another unit.
    pub async fn join_patrol(&self, qr: String) -> Result<DocumentId, PhoneError> {
        Ok(self.0.join_patrol(&qr).await?)
    }

    /// Pauses the patrol.
    ///
    /// # Errors
    /// `Invalid` at `pause` (`Already`), `patrol` (`Ended`), `team` (`NotOnTheTeam`); `NotFound`.
    pub async fn pause(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        Ok(self.0.pause(patrol).await?)
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// As `pause`.
    pub async fn resume(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        Ok(self.0.resume(patrol).await?)
    }

    /// Ends the patrol.
    ///
    /// # Errors
    /// `Invalid` at `patrol` (`Ended`), `team` (`NotOnTheTeam`); `NotFound`.
    pub async fn end(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        Ok(self.0.end(patrol).await?)
    }

    /// Hands the shift over to a colleague.
    ///
    /// # Errors
    /// `Invalid` at `note`, `team` (`NotOnTheTeam`); `NotFound`.
    pub async fn hand_over(
        &self,
        patrol: DocumentId,
        to: PersonId,
        note: String,
    ) -> Result<HandoverId, PhoneError> {
        Ok(self.0.hand_over(patrol, to, &note).await?)
    }

    /// Confirms a handover to oneself.
    ///
    /// # Errors
    /// `Invalid` at `handover`: `Unknown` if there is none to this person, `Already` when it is confirmed.
    pub async fn confirm_handover(
        &self,
        patrol: DocumentId,
        handover: HandoverId,
    ) -> Result<(), PhoneError> {
        Ok(self.0.confirm_handover(patrol, handover).await?)
    }

    /// Records one live fix. None when it is on the disk; the reason when it was let go, which is no error.
    ///
    /// # Errors
    /// `Invalid` at `position` for a place off the map, at `patrol` (`Ended`), `team` (`NotOnTheTeam`); `NotFound`.
    pub async fn add_fix(
        &self,
        patrol: DocumentId,
        fix: Fix,
    ) -> Result<Option<Dropped>, PhoneError> {
        Ok(self.0.add_fix(patrol, fix.try_into()?).await?)
    }

    /// Reads the GPX or NMEA file at `path` into the patrol, at the track's own times.
    ///
    /// # Errors
    /// `Invalid` at `track` for a file that breaks a rule; `NotFound` for no file or no patrol.
    pub async fn import_track(
        &self,
        patrol: DocumentId,
        path: String,
    ) -> Result<TrackImport, PhoneError> {
        Ok(self.0.import_track(patrol, Path::new(&path)).await?.into())
    }

    /// Records an observation; also after the patrol's end.
    ///
    /// # Errors
    /// `Invalid` at the field that broke a rule; `NotFound`; `StorageFull`.
    pub async fn add_observation(
        &self,
        patrol: DocumentId,
        new: NewObservation,
    ) -> Result<ObservationId, PhoneError> {
        Ok(self.0.add_observation(patrol, new.try_into()?).await?)
    }

    /// Changes an observation to what `new` says.
    ///
    /// # Errors
    /// As `add_observation`; `Invalid` at `observation` if there is none of that id.
    pub async fn edit_observation(
        &self,
        patrol: DocumentId,
        observation: ObservationId,
        new: NewObservation,
    ) -> Result<(), PhoneError> {
        let new = new.try_into()?;
        Ok(self.0.edit_observation(patrol, observation, new).await?)
    }

    /// Records that a checkpoint was reached; `proof` is `gps`, `qr`, `nfc` or `hand`.
    ///
    /// # Errors
    /// `Invalid` at `proof`, `patrol` (`Ended`), `team` (`NotOnTheTeam`); `NotFound`.
    pub async fn visit_checkpoint(
        &self,
        patrol: DocumentId,
        checkpoint: CheckpointId,
        proof: String,
    ) -> Result<VisitId, PhoneError> {
        Ok(self.0.visit_checkpoint(patrol, checkpoint, &proof).await?)
    }

    /// Every patrol on this phone, the latest first.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn patrols(&self) -> Result<Vec<PatrolSummary>, PhoneError> {
        Ok(self.0.patrols().await?)
    }

    /// One patrol whole.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn patrol(&self, patrol: DocumentId) -> Result<PatrolView, PhoneError> {
        Ok(self.0.patrol(patrol).await?.into())
    }

    /// The observations of a patrol, in the order of recording; withdrawn ones among them.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn observations(
        &self,
        patrol: DocumentId,
    ) -> Result<Vec<ObservationView>, PhoneError> {
        let views = self.0.observations(patrol).await?;
        Ok(views.into_iter().map(ObservationView::from).collect())
    }

    /// Files evidence of one's unit for a criterion in a period.
    ///
    /// # Errors
    /// `Invalid` at the field that broke a rule; `SignedOut` before enrolment; `StorageFull`.
    pub async fn file_evidence(
        &self,
        criterion: CriterionNumber,
        period: Period,
        new: NewEvidence,
    ) -> Result<Filed, PhoneError> {
        let (document, evidence) = self.0.file_evidence(criterion, &period, new).await?;
        Ok(Filed { document, evidence })
    }

    /// Changes a piece of evidence to what `new` says.
    ///
    /// # Errors
    /// `Invalid` at the field that broke a rule; `NotFound`; `StorageFull`.
    pub async fn edit_evidence(
        &self,
        document: DocumentId,
        evidence: EvidenceId,
        new: NewEvidence,
    ) -> Result<(), PhoneError> {
        Ok(self.0.edit_evidence(document, evidence, new).await?)
    }

    /// Every evidence file on this phone, by period and criterion.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn evidence(&self) -> Result<Vec<EvidenceFileView>, PhoneError> {
        Ok(self.0.evidence().await?)
    }

    /// The evidence kinds that a criterion still lacks in a period, by code.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn missing(
        &self,
        criterion: CriterionNumber,
        period: Period,
    ) -> Result<Vec<String>, PhoneError> {
        Ok(self.0.missing(criterion, &period).await?)
    }

    /// Hangs the file at `path` on a document, or on the observation or the piece of evidence `item` in it. When this
    /// returns, the sealed copy is on the disk and the file at `path` is no longer needed.
    ///
    /// # Errors
    /// `Invalid` at `attachment` for the file, at `item` for no such item; `NotFound` for no file or no document;
    /// `StorageFull`.
    pub async fn attach(
        &self,
        document: DocumentId,
        item: Option<String>,
        path: String,
    ) -> Result<Sha256, PhoneError> {
        Ok(self.0.attach(document, item, Path::new(&path)).await?)
    }

    /// What is known here of an attachment.
    ///
    /// # Errors
    /// `NotFound` for one that was attached on another phone.
    pub async fn attachment(&self, sha256: Sha256) -> Result<Attached, PhoneError> {
        Ok(self.0.attachment(sha256).await?)
    }

    /// Withdraws a file that was attached by mistake: the document goes on saying that it was attached, and it is no longer shown.
    ///
    /// # Errors
    /// `Invalid` at `attachment`: `Unknown` for none of that id, `Already` when it is withdrawn; `NotFound` for no document.
    pub async fn withdraw_attachment(
        &self,
        document: DocumentId,
        attachment: AttachmentId,
    ) -> Result<(), PhoneError> {
        Ok(self.0.withdraw_attachment(document, attachment).await?)
    }

    /// Fetches a file whose copy is not on this phone, so that `viewable` can show it. One that is here whole is not fetched again.
    ///
    /// # Errors
    /// `NotFound` for one that the server does not have yet, or that this person may not read; `Offline`, `SignedOut`, `StorageFull`.
    pub async fn download(&self, sha256: Sha256) -> Result<Attached, PhoneError> {
        Ok(self.0.download(sha256).await?)
    }

    /// A path where the file lies in the clear, to be shown now.
    ///
    /// # Errors
    /// `NotFound` for one that was attached on another phone or that this phone let go, until `download` has brought it; `Internal`
    /// for one that was changed on the disk.
    pub async fn viewable(&self, sha256: Sha256) -> Result<String, PhoneError> {
        text(self.0.viewable(sha256).await?)
    }

    /// A path where the small picture of a photo lies in the clear, to be shown now: a JPEG of at most 40 KB.
    ///
    /// # Errors
    /// `NotFound` for what has none.
    pub async fn preview(&self, sha256: Sha256) -> Result<String, PhoneError> {
        text(self.0.preview(sha256).await?)
    }

    /// Deletes this phone's copies of files that the server received at least `keep_ms` ago, that a receipt names, and that
    /// the server's backups hold. Returns what went.
    ///
    /// # Errors
    /// `SignedOut` before enrolment; `Internal`.
    pub async fn let_go(&self, keep_ms: i64) -> Result<Vec<Sha256>, PhoneError> {
        Ok(self.0.let_go(keep_ms).await?)
    }

    /// Every patrol and evidence file with where it is; only those in `state` if one is given.
    ///
    /// # Errors
    /// `Internal`.
    #[uniffi::method(default(state = None))]
    pub async fn items(&self, state: Option<ItemState>) -> Result<Vec<Item>, PhoneError> {
        Ok(self.0.items(state).await?)
    }

    /// What of a document the server refused and what stands nowhere else, oldest first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn refused(&self, document: DocumentId) -> Result<Vec<Refused>, PhoneError> {
        Ok(self.0.refused(document).await?)
    }

    /// Writes what a refused change said once more, as a change of now. False if the document says it already.
    ///
    /// # Errors
    /// `NotFound` for no such refused change; `StorageFull`.
    pub async fn write_again(
        &self,
        document: DocumentId,
        change: Sha256,
    ) -> Result<bool, PhoneError> {
        Ok(self.0.write_again(document, change).await?)
    }

    /// The decisions that stand about documents on this phone.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn reviews(&self) -> Result<Vec<Reviewed>, PhoneError> {
        let reviews = self.0.reviews().await?;
        Ok(reviews
            .into_iter()
            .map(|(document, decided)| Reviewed { document, decided })
            .collect())
    }

    /// The fields of a document that hold two values.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn clash(&self, document: DocumentId) -> Result<Vec<ClashView>, PhoneError> {
        Ok(self.0.clash(document).await?)
    }

    /// Picks the value at `index` of the clash at `path`. False if there is no clash there any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn choose(
        &self,
        document: DocumentId,
        path: String,
        index: u32,
    ) -> Result<bool, PhoneError> {
        Ok(self.0.choose(document, &path, index).await?)
    }

    /// Sends what is unsent, fetches what is new, gets receipts. A second call waits for the first and goes after it.
    ///
    /// # Errors
    /// `Offline` when the server cannot be reached (all is safe, try later); `SignedOut` when it does not let the phone in.
    #[uniffi::method(default(options = None))]
    pub async fn sync(&self, options: Option<SyncOptions>) -> Result<SyncReport, PhoneError> {
        Ok(self.0.sync(options.unwrap_or_default()).await?)
    }

    /// Writes everything that the server has not signed for to a file at `path` that only the server can read. Works offline,
    /// signed out and revoked.
    ///
    /// # Errors
    /// `SignedOut` with `not-enrolled`; `StorageFull`, and nothing is left at `path`; `NotFound` for no such folder.
    pub async fn export_rescue(&self, path: String) -> Result<RescueReport, PhoneError> {
        Ok(self.0.export_rescue(Path::new(&path)).await?)
    }

    /// Hands in the rescue file at `path`, one's own or a colleague's. Twice is as good as once.
    ///
    /// # Errors
    /// `NotFound` for no file; `Offline`; `SignedOut` with why the server does not take it: `rescue-damaged`,
    /// `rescue-another-server`, `rescue-unknown-phone`, `not-a-rescue-file`, `phone-revoked`.
    pub async fn deliver_rescue(&self, path: String) -> Result<RescueTaken, PhoneError> {
        Ok(self.0.deliver_rescue(Path::new(&path)).await?.into())
    }

    /// While the app is looked at: syncs now and whenever the server says that there is something new, until `unfollow`. What came
    /// is heard as events. A lost line is tried again by itself.
    ///
    /// # Errors
    /// `SignedOut` when the server does not let this phone in; `NotFound` for a server that has no live stream; never `Offline`.
    #[uniffi::method(default(options = None))]
    pub async fn follow(&self, options: Option<SyncOptions>) -> Result<(), PhoneError> {
        Ok(self.0.follow(options.unwrap_or_default()).await?)
    }

    /// Ends `follow`: the app is no longer looked at.
    pub fn unfollow(&self) {
        self.0.unfollow();
    }

    /// By how much the server's clock is ahead of this phone's, milliseconds; none before it told since this phone was opened.
    /// To be shown when it is more than minutes: nothing else goes by it.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.0.clock_skew_ms()
    }

    /// Ends a sync that is under way; it answers with what it did, and what arrived so far stays.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Hears events from now on, instead of who heard them before.
    pub async fn listen(&self, listener: Arc<dyn Listener>) {
        self.0.listen(Arc::new(Heard(listener))).await;
    }
}

/// The app's listener as the core hears it.
struct Heard(Arc<dyn Listener>);

impl phone::Listener for Heard {
    fn on_event(&self, event: Event) {
        // See `Listener::on_event`: a listener that fails has missed an event, and the records have not.
        let _ = self.0.on_event(event);
    }
}

/// The phone's clock, Unix milliseconds; before 1970 it reads 0.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the border: the core is given its clock here"
)]
fn system_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
