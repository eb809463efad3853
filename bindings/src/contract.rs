//! What an app is written against: every record, enum and error that crosses to Kotlin, Swift and Python.
//!
//! Where the core's type can cross as it is, it is mirrored (`uniffi::remote`), and the compiler refuses a mirror that
//! forgets a field. Where it cannot (positions are integers there, maps keep their order), the record is our own and
//! `crossing` converts it. Ids and hashes cross as strings, times as Unix milliseconds, positions as degrees.
//!
//! # Changelog
//! - **1** Open, enrol, patrols with track and observations, evidence, attachments, decisions, clashes, sync and events.
//!   `export_rescue` writes what the server has not signed for to a file that only the server can read; `deliver_rescue` hands
//!   such a file in, one's own or a colleague's.
//!   The server is held to its TLS key: `enrol` takes `https://…#PIN`, and `SignedOut` says `another-key` when another answers, and
//!   `find_server` takes a new address or key from a new QR. `Offline` says why.
//!   `follow` and `unfollow` keep a phone that is looked at up to date; `clock_skew_ms` is for a word to who has a wrong clock; a
//!   cancelled sync answers with what it did. What the server refuses is `Invalid` at the field, `NotFound`, or `SignedOut` with a word
//!   that says what to do (`upgrade-needed`, `server-older`).
//!   An item says what of it waits and why, and when the right to read it ended; photos have a small picture (`preview`), can wait
//!   for Wi-Fi, and their copies go by one rule (`let_go`): only below what the server announced as backed up.
//!   A fix while the patrol is paused is let go (`Dropped::Paused`).
//!   What the server refused is out of its document, which goes on without it: `refused` says what it was, why and what helps,
//!   `write_again` is the officer's way out. `photo_facts` reads where and when a photo was taken, also before it is attached.
//!   `checkpoints` lists what `visit_checkpoint` needs; a patrol whose start is not here says so (`start_received`); a track says which
//!   file it was imported from.
//!   Views name the files that hang on a document; `download` brings one that is not here, `withdraw_attachment` takes back a slip.
//!   Damage to the database is said (`damages`); one that cannot be read is `Invalid` at `database`, and `salvage` opens what is left.
//!   A folder that is open already is `Invalid` at `folder` with `Already`, no longer `Internal`: go on with the phone that is open, or
//!   close it first. Nothing of it was touched.

use kieumau_core::{
    criterion::CriterionNumber,
    document::{ClashValue, Kind, Said},
    evidence::{Evidence, NewEvidence},
    hash::Sha256,
    id::{
        AttachmentId, CheckpointId, DocumentId, EvidenceId, HandoverId, ObservationId, PersonId,
        PhoneId, UnitId,
    },
    invalid::Rule,
    period::Period,
    person::Role,
    phone::{
        Attached, AttachmentView, ClashView, Decided, Event, EvidenceFileView, EvidenceView, Item,
        ItemState, Part, PatrolSummary, Refused, RescueReport, SyncOptions, SyncReport, Unreached,
        Waiting, WayOut, Why,
    },
    review::Verdict,
    track::Dropped,
};
use std::collections::HashMap;

/// The version of this contract. A release that removes or changes something an app can see counts it up, and says so above.
pub const CONTRACT: u32 = 1;

// ---- Errors ----------------------------------------------------------------------------------------------------------

/// What can go wrong, as the six things an app can act on. Carries facts; the app words them in the reader's language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum PhoneError {
    /// A rule is broken: show it at the field.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which field, in the words of the dictionary: `count`, `summary`, `key`.
        field: String,
        /// Which rule.
        rule: Rule,
    },
    /// There is no such thing on this phone.
    #[error("not on this phone")]
    NotFound,
    /// The server cannot be reached, or asks to be left alone; everything recorded is safe.
    #[error("the server cannot be reached")]
    Offline {
        /// For how long it asks to be left alone, seconds.
        retry_after_s: Option<u32>,
        /// What is known of why.
        why: Unreached,
    },
    /// The server does not let this phone in.
    #[error("not let in: {word}")]
    SignedOut {
        /// A stable word: `not-enrolled`, `code-expired`, `phone-revoked`, `person-disabled`; `upgrade-needed` (get the new app: all
        /// that was recorded stays and goes with it), `server-older` (the server must be upgraded first); `another-key`,
        /// `another-server` (somebody else answers where the server should be: nothing was sent).
        word: String,
    },
    /// The disk takes no more; what was shown as saved is safe.
    #[error("the storage is full")]
    StorageFull,
    /// Our fault: offer to report it.
    #[error("internal")]
    Internal {
        /// What happened, for the developers. Not part of the printed error.
        detail: String,
    },
}

/// Why the server is out of reach.
#[uniffi::remote(Enum)]
pub enum Unreached {
    /// No connection, or one that broke off.
    NoAnswer,
    /// Something else answered: the sign-in page of a Wi-Fi, a proxy.
    NotOurs,
    /// The server asks to come back later.
    Busy,
    /// The server's disk takes no more.
    ServerFull,
}

/// A rule of the domain that an input broke.
#[uniffi::remote(Enum)]
pub enum Rule {
    /// Must be given.
    Required,
    /// Must not be below zero (or, for a count of things seen, below one).
    TooSmall,
    /// Above the field's limit.
    TooLarge,
    /// More characters than the field holds.
    TooLong,
    /// Holds a character that no text field takes.
    ForbiddenCharacter,
    /// Not one of the values offered.
    Unknown,
    /// Not in the form that is asked for (a code, a QR text, a key, a date, an id).
    Malformed,
    /// A time before the year 2000 or after 2100.
    OutOfTime,
    /// A position off the Earth, or exactly 0,0.
    OffTheMap,
    /// A fix less exact than is taken.
    TooInaccurate,
    /// A live fix that does not say how exact it is.
    WithoutAccuracy,
    /// Earlier than what it has to follow.
    OutOfOrder,
    /// Too far from the place before for the time between.
    ImpossibleSpeed,
    /// The thing is over and takes no more of this.
    Ended,
    /// The thing is already so.
    Already,
    /// Only the team may do this.
    NotOnTheTeam,
    /// A file with nothing in it.
    Empty,
    /// A file that is not of a kind we take.
    WrongKind,
    /// A track file without times.
    WithoutTimes,
    /// A file that cannot be read as what it says it is.
    Unreadable,
}

// ---- Who this phone is -----------------------------------------------------------------------------------------------

/// How a phone is opened.
#[derive(Clone, uniffi::Record)]
pub struct PhoneConfig {
    /// The folder that is this person's on this phone. Two people on one phone have two folders.
    pub folder: String,
    /// 32 bytes from the platform's key store, the same at every opening.
    pub key: Vec<u8>,
    /// The app's version, told to the server.
    pub app_version: String,
}

/// Who this phone records for.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Profile {
    /// The phone.
    pub phone: PhoneId,
    /// Its person.
    pub person: PersonId,
    /// The person's unit.
    pub unit: UnitId,
    /// The person's role.
    pub role: Role,
    /// How the person is called.
    pub person_name: String,
    /// How the unit is called.
    pub unit_name: String,
    /// Where the server is.
    pub server_url: String,
    /// The server said that this phone was revoked: nothing more is sent, nothing is deleted.
    pub revoked: bool,
}

/// What a person is here to do.
#[uniffi::remote(Enum)]
pub enum Role {
    /// Cán bộ.
    Officer,
    /// Chỉ huy Công an phường.
    Chief,
    /// Cán bộ thẩm định cấp tỉnh.
    Appraiser,
    /// Quản trị.
    Admin,
    /// Thanh tra.
    Auditor,
}

/// A person of one's own unit.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Colleague {
    /// Who.
    pub person: PersonId,
    /// How they are called.
    pub name: String,
}

/// A checkpoint (điểm chốt) of one's own unit, for `visit_checkpoint`.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Checkpoint {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub position: Position,
}

// ---- Patrols ---------------------------------------------------------------------------------------------------------

/// What starting a patrol (ca tuần tra) takes.
#[derive(Clone, Debug, Default, PartialEq, uniffi::Record)]
pub struct NewPatrol {
    /// What people call it.
    pub title: String,
    /// The leader; the one who starts it if none is named.
    #[uniffi(default = None)]
    pub leader: Option<PersonId>,
    /// The others on the team.
    #[uniffi(default = [])]
    pub team: Vec<PersonId>,
    /// Members per force, by the catalogue's code.
    #[uniffi(default)]
    pub forces: HashMap<String, i64>,
    /// Vehicles per kind, by the catalogue's code.
    #[uniffi(default)]
    pub vehicles: HashMap<String, i64>,
}

/// A patrol as a list shows it.
#[uniffi::remote(Record)]
pub struct PatrolSummary {
    /// The patrol's document.
    pub patrol: DocumentId,
    /// What people call it; empty while its start is not here.
    pub title: String,
    /// When it began, Unix milliseconds; while its start is not here, the earliest that the team did in it.
    pub started_at_ms: i64,
    /// The start is here. Who joined by QR has it when the starter's phone has synced; until then say so instead of the title.
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
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct PatrolView {
    /// As the list shows it.
    pub summary: PatrolSummary,
    /// The leader.
    pub leader: Option<PersonId>,
    /// The team.
    pub team: Vec<PersonId>,
    /// Members per force, by code.
    pub forces: HashMap<String, i64>,
    /// Vehicles per kind, by code.
    pub vehicles: HashMap<String, i64>,
    /// One track per recorder and per file they imported: two who walk apart are two lines.
    pub tracks: Vec<Track>,
    /// Checkpoints visited.
    pub visits: Vec<CheckpointId>,
    /// Handovers of the shift, in the order of time.
    pub handovers: Vec<HandoverView>,
    /// Files that hang on it or on its observations, in the order of attaching; withdrawn ones among them.
    pub attachments: Vec<AttachmentView>,
    /// The text of the QR by which a colleague joins.
    pub join_qr: String,
}

/// What one recorder's phone, or one track file of theirs, says of the way.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Track {
    /// Whose phone.
    pub by: PersonId,
    /// SHA-256 of the track file it was imported from; none for what the phone recorded live.
    pub file: Option<Sha256>,
    /// In the order of time.
    pub fixes: Vec<Fix>,
}

/// A handover of the shift (bàn giao ca).
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct HandoverView {
    /// Its id, to confirm it.
    pub handover: HandoverId,
    /// Who hands over.
    pub from: PersonId,
    /// Who takes over.
    pub to: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What the next team must know.
    pub note: String,
    /// When the taker confirmed, Unix milliseconds.
    pub confirmed_at_ms: Option<i64>,
}

/// A place on the Earth (WGS 84).
#[derive(Clone, Copy, PartialEq, uniffi::Record)]
pub struct Position {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

// As in the core: an officer's place is never printed by accident.
impl std::fmt::Debug for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Position(…)")
    }
}

/// One reading of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct Fix {
    /// When, by the satellites' clock: Unix milliseconds.
    pub at_ms: i64,
    /// Where.
    pub position: Position,
    /// How exact, metres (68 %); none if the source does not say.
    pub accuracy_m: Option<f64>,
}

/// Why a fix was not kept.
#[uniffi::remote(Enum)]
pub enum Dropped {
    /// A point of a track file without a time.
    WithoutTime,
    /// Before the year 2000 or after 2100.
    OutOfTime,
    /// Off the Earth, or exactly 0,0.
    OffTheMap,
    /// Live, and does not say how exact it is.
    WithoutAccuracy,
    /// Less exact than is taken.
    TooInaccurate,
    /// Not later than the last kept fix.
    OutOfOrder,
    /// Too far from the last kept fix for the time between.
    ImpossibleSpeed,
    /// Hardly moved: expected thinning, nothing to show.
    StandingStill,
    /// The patrol is paused: nothing says where an officer rests.
    Paused,
}

/// What became of a track file.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TrackImport {
    /// Fixes that are in the patrol now.
    pub kept: u32,
    /// Fixes that are not, by reason.
    pub dropped: HashMap<Dropped, u32>,
    /// The time of the first fix kept, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// The time of the last fix kept, Unix milliseconds.
    pub until_ms: Option<i64>,
}

/// What recording an observation (vụ việc) takes. No field asks for a citizen.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct NewObservation {
    /// The category, by the catalogue's code.
    pub category: String,
    /// How many; at least 1.
    pub count: i64,
    /// What is counted, by code. Counting units are not synonyms.
    pub count_unit: String,
    /// When it happened, Unix milliseconds; when it is recorded if not said.
    #[uniffi(default = None)]
    pub happened_at_ms: Option<i64>,
    /// Where, if known.
    #[uniffi(default = None)]
    pub position: Option<Position>,
    /// Measures taken, by code.
    #[uniffi(default = [])]
    pub measures_taken: Vec<String>,
    /// Sum of fines, đồng.
    #[uniffi(default = None)]
    pub fine_vnd: Option<i64>,
    /// Exhibits held.
    #[uniffi(default = None)]
    pub exhibits_held: Option<i64>,
    /// Vehicles held.
    #[uniffi(default = None)]
    pub vehicles_held: Option<i64>,
    /// Number of the written record (biên bản).
    #[uniffi(default = None)]
    pub record_number: Option<String>,
    /// The office it was handed over to.
    #[uniffi(default = None)]
    pub handed_over_to: Option<String>,
    /// A short note.
    #[uniffi(default = None)]
    pub note: Option<String>,
    /// Taken back as a slip.
    #[uniffi(default = false)]
    pub withdrawn: bool,
}

/// What an observation says.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Observation {
    /// The category, by code.
    pub category: String,
    /// How many, in `count_unit`.
    pub count: i64,
    /// What is counted, by code.
    pub count_unit: String,
    /// When it happened, Unix milliseconds.
    pub happened_at_ms: i64,
    /// When it was recorded, by the phone's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// Who recorded it.
    pub recorded_by: PersonId,
    /// Who changed it last.
    pub edited_by: Option<PersonId>,
    /// Where, if known.
    pub position: Option<Position>,
    /// Measures taken, by code.
    pub measures_taken: Vec<String>,
    /// Sum of fines, đồng.
    pub fine_vnd: Option<i64>,
    /// Exhibits held.
    pub exhibits_held: Option<i64>,
    /// Vehicles held.
    pub vehicles_held: Option<i64>,
    /// Number of the written record.
    pub record_number: Option<String>,
    /// The office it was handed over to.
    pub handed_over_to: Option<String>,
    /// A short note.
    pub note: Option<String>,
    /// When it was withdrawn as a slip, Unix milliseconds.
    pub withdrawn_at_ms: Option<i64>,
}

/// An observation of a patrol.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct ObservationView {
    /// Its id.
    pub observation: ObservationId,
    /// The patrol it belongs to.
    pub patrol: DocumentId,
    /// What it says.
    pub content: Observation,
    /// SHA-256 of the photos that hang on it.
    pub attachments: Vec<Sha256>,
}

// ---- Evidence --------------------------------------------------------------------------------------------------------

/// What filing evidence (minh chứng) takes.
#[uniffi::remote(Record)]
pub struct NewEvidence {
    /// The kind, by the catalogue's code.
    pub evidence_kind: String,
    /// What it is about (trích yếu).
    pub summary: String,
    /// Số, ký hiệu.
    #[uniffi(default = None)]
    pub document_number: Option<String>,
    /// Ngày ban hành, `2026-03-31`.
    #[uniffi(default = None)]
    pub issued_on: Option<String>,
    /// Cơ quan ban hành.
    #[uniffi(default = None)]
    pub issued_by: Option<String>,
    /// Người ký.
    #[uniffi(default = None)]
    pub signed_by: Option<String>,
    /// A short note.
    #[uniffi(default = None)]
    pub note: Option<String>,
    /// Taken back as a slip.
    #[uniffi(default = false)]
    pub withdrawn: bool,
}

/// What a piece of evidence says.
#[uniffi::remote(Record)]
pub struct Evidence {
    /// The kind, by code.
    pub evidence_kind: String,
    /// What it is about.
    pub summary: String,
    /// Số, ký hiệu.
    pub document_number: Option<String>,
    /// Ngày ban hành, `2026-03-31`.
    pub issued_on: Option<String>,
    /// Cơ quan ban hành.
    pub issued_by: Option<String>,
    /// Người ký.
    pub signed_by: Option<String>,
    /// A short note.
    pub note: Option<String>,
    /// When it was filed, by the phone's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// Who filed it.
    pub recorded_by: PersonId,
    /// Who changed it last.
    pub edited_by: Option<PersonId>,
    /// When it was withdrawn as a slip, Unix milliseconds.
    pub withdrawn_at_ms: Option<i64>,
}

/// A piece of evidence in its file.
#[uniffi::remote(Record)]
pub struct EvidenceView {
    /// Its id.
    pub evidence: EvidenceId,
    /// What it says.
    pub content: Evidence,
    /// SHA-256 of its files.
    pub attachments: Vec<Sha256>,
}

/// The evidence of one's unit for one criterion in one period.
#[uniffi::remote(Record)]
pub struct EvidenceFileView {
    /// The document.
    pub document: DocumentId,
    /// Which criterion.
    pub criterion: CriterionNumber,
    /// Which period.
    pub period: Period,
    /// Its pieces, in the order of filing; withdrawn ones among them.
    pub items: Vec<EvidenceView>,
    /// Files that hang on its pieces, in the order of attaching; withdrawn ones among them.
    pub attachments: Vec<AttachmentView>,
    /// Evidence kinds still missing, by code.
    pub missing: Vec<String>,
    /// Where it is on its way to the server and back.
    pub state: ItemState,
    /// When this phone heard that its person may no longer read it, Unix milliseconds. What is here stays readable.
    pub ungranted_at_ms: Option<i64>,
}

/// Where a piece of evidence was filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Filed {
    /// The evidence file's document.
    pub document: DocumentId,
    /// The piece in it.
    pub evidence: EvidenceId,
}

/// An attachment as a document names it: on which of its records it hangs, and since when.
#[uniffi::remote(Record)]
pub struct AttachmentView {
    /// Its id, to withdraw it.
    pub attachment: AttachmentId,
    /// The observation or the piece of evidence it hangs on; none for the document itself.
    pub item: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What it is.
    pub media_type: String,
    /// Who attached it.
    pub attached_by: PersonId,
    /// When, Unix milliseconds.
    pub attached_at_ms: i64,
    /// When it was withdrawn as a slip, Unix milliseconds: it is no longer shown.
    pub withdrawn_at_ms: Option<i64>,
}

/// An attachment as this phone holds it.
#[uniffi::remote(Record)]
pub struct Attached {
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What it is: `image/jpeg`.
    pub media_type: String,
    /// The server has it whole.
    pub received: bool,
    /// This phone still has its copy: see `let_go`.
    pub on_phone: bool,
    /// There is a small picture of it: see `preview`.
    pub preview: bool,
}

// ---- On the way to the server and back -------------------------------------------------------------------------------

/// What a document is about.
#[uniffi::remote(Enum)]
pub enum Kind {
    /// One patrol.
    PatrolLog,
    /// The evidence of a unit for one criterion in one period.
    EvidenceFile,
    /// What supervisors decided about one document.
    Review,
    /// What the server publishes to a unit's phones.
    Reference,
}

/// Where a document is. *Nháp* is the app's own: what is not saved yet.
#[uniffi::remote(Enum)]
pub enum ItemState {
    /// Đã lưu trên máy.
    Saved,
    /// Chờ gửi.
    Waiting,
    /// Đang gửi.
    Sending,
    /// Đã gửi: a receipt covers the heads and every attachment.
    Received,
    /// Bị trả lại.
    Returned,
    /// Đã duyệt.
    Approved,
}

/// One patrol or evidence file, and where it is.
#[uniffi::remote(Record)]
pub struct Item {
    /// The document.
    pub document: DocumentId,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub state: ItemState,
    /// Changes that the server is not known to hold.
    pub unsent_changes: u32,
    /// Attachments that the server is not known to hold.
    pub unsent_attachments: u32,
    /// What of it waits, and why; empty when nothing does.
    pub waiting: Vec<Waiting>,
    /// The decision that stands about it.
    pub decided: Option<Decided>,
    /// When this phone heard that its person may no longer read it, Unix milliseconds. What is here stays readable.
    pub ungranted_at_ms: Option<i64>,
}

/// Things of one document that wait for one reason.
#[uniffi::remote(Record)]
pub struct Waiting {
    /// What.
    pub part: Part,
    /// Why.
    pub why: Why,
    /// How many: changes, fixes or files.
    pub count: u32,
    /// Their bytes; 0 for fixes.
    pub size_bytes: u64,
}

/// What can wait.
#[uniffi::remote(Enum)]
pub enum Part {
    /// What was written.
    Text,
    /// Fixes that are on the disk; the next sync folds them into the patrol.
    Track,
    /// Photos and files.
    File,
}

/// Why it waits.
#[uniffi::remote(Enum)]
pub enum Why {
    /// Nothing is in its way: the next sync sends it.
    Turn,
    /// It is being sent.
    Sending,
    /// The server has it, and waits for what it was written upon, which is on another phone.
    Ancestor,
    /// The server refused it. It stays on the phone.
    Refused {
        /// The refusal's word.
        word: String,
    },
    /// The line is metered, and files wait for one that is not.
    NoWifi,
    /// The phone's disk takes no more.
    NoSpace,
    /// The file on the phone is gone or was changed.
    Unreadable,
}

/// A change that the server refused, and that stands nowhere else.
#[uniffi::remote(Record)]
pub struct Refused {
    /// The document it was written in.
    pub document: DocumentId,
    /// The change; given back to `write_again`.
    pub change: Sha256,
    /// The refusal's word: `document-full`, `not-allowed`; `lacks-an-ancestor` for what a damaged database still held.
    pub word: String,
    /// When it was written, Unix milliseconds.
    pub written_at_ms: i64,
    /// What it wrote, by field.
    pub says: Vec<Said>,
    /// What the officer can do.
    pub way_out: WayOut,
}

/// One thing that a change wrote.
#[uniffi::remote(Record)]
pub struct Said {
    /// Where: `observations/…/note`.
    pub path: String,
    /// The value as text; empty for one that was taken away.
    pub text: String,
}

/// What an officer can do about a refused change.
#[uniffi::remote(Enum)]
pub enum WayOut {
    /// Nothing: the phone does it by itself.
    Wait,
    /// `write_again`, or writing it elsewhere: it is no longer in the document.
    WriteAgain,
    /// Going to the chief, with a rescue file if need be: it is still in the document, and whatever this phone writes is refused.
    Chief,
}

/// Damage that was found in this phone's database, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Damage {
    /// When it was found, Unix milliseconds.
    pub found_at_ms: i64,
    /// Where what was found lies as it was.
    pub set_aside: String,
    /// Records that were acknowledged as saved and are gone; none when nobody can tell.
    pub lost_records: Option<u32>,
    /// Documents of which something could not be read. What the server has of them comes with the next sync.
    pub lacking: Vec<DocumentId>,
    /// The phone no longer knows who it is: enrol it anew.
    pub identity_lost: bool,
}

/// What a photo says about itself.
#[derive(Clone, Debug, Default, PartialEq, uniffi::Record)]
pub struct PhotoFacts {
    /// Where it was taken.
    pub position: Option<Position>,
    /// When by the camera's clock, `2026-11-21T21:05:00`; without a zone unless the camera names one.
    pub taken_at: Option<String>,
    /// When by the satellites' clock, Unix milliseconds.
    pub gps_at_ms: Option<i64>,
}

/// What a supervisor decided.
#[uniffi::remote(Enum)]
pub enum Verdict {
    /// Duyệt.
    Approved,
    /// Trả lại.
    Returned,
    /// An earlier decision was taken back.
    Withdrawn,
}

/// A supervisor's decision.
#[uniffi::remote(Record)]
pub struct Decided {
    /// Approved or returned.
    pub verdict: Verdict,
    /// The heads that were decided about.
    pub heads: String,
    /// The field that the remark is about.
    pub field: Option<String>,
    /// What to know or do.
    pub remark: Option<String>,
    /// Who decided.
    pub by: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// A document and the decision that stands about it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Reviewed {
    /// The document.
    pub document: DocumentId,
    /// The decision.
    pub decided: Decided,
}

/// A field with two values, for a person to pick.
#[uniffi::remote(Record)]
pub struct ClashView {
    /// The document.
    pub document: DocumentId,
    /// Where the field is; opaque, given back to `choose`.
    pub path: String,
    /// The values, the visible one last; its index chooses one.
    pub values: Vec<ClashValue>,
}

/// One of the values of a clash.
#[uniffi::remote(Record)]
pub struct ClashValue {
    /// The value as text; empty for none.
    pub text: String,
    /// The phone that wrote it; none when it came with the document's birth.
    pub phone: Option<PhoneId>,
}

/// How a sync is done.
#[uniffi::remote(Record)]
pub struct SyncOptions {
    /// Give up after so many failures in a row.
    pub tries: u32,
    /// Send files too, not only text.
    pub attachments: bool,
    /// Files wait for a line that is not metered: the officer's choice.
    #[uniffi(default = false)]
    pub wifi_only: bool,
    /// The line is metered now: the platform says so.
    #[uniffi(default = false)]
    pub metered: bool,
}

/// What a sync did.
#[uniffi::remote(Record)]
pub struct SyncReport {
    /// Changes the server took or had.
    pub sent_changes: u32,
    /// Changes the server refused, by the refusal's word. Kept on the phone.
    pub refused_changes: Vec<String>,
    /// Files the server has whole now.
    pub sent_files: u32,
    /// Files that could not be read or were refused. Kept on the phone, and tried again at the next sync.
    pub failed_files: u32,
    /// Changes that came.
    pub received_changes: u32,
    /// Documents whose receipt came.
    pub receipts: u32,
    /// It was ended by `cancel`: what stands above was done, the rest waits.
    pub cancelled: bool,
}

/// What is in a rescue file (tệp cứu hộ).
#[uniffi::remote(Record)]
pub struct RescueReport {
    /// Changes that the server has not signed for.
    pub changes: u32,
    /// Changes that the server refused, with its reason.
    pub refused: u32,
    /// Attachments that the server is not known to hold.
    pub files: u32,
    /// Attachments that could not be read or no longer fit: they are still only on this phone.
    pub files_left: u32,
    /// Fixes that are in no document, because the disk is full or their patrol is damaged: they are still only on this phone.
    pub fixes_left: u32,
    /// The file's size, bytes.
    pub size_bytes: u64,
}

/// What became of a rescue file that was handed in. Numbers and stable words, never content.
#[derive(Clone, Debug, Default, PartialEq, Eq, uniffi::Record)]
pub struct RescueTaken {
    /// Changes that the server has now and had not before.
    pub changes_taken: u32,
    /// Changes that it had before.
    pub changes_held: u32,
    /// Changes that wait for an ancestor.
    pub changes_waiting: u32,
    /// Changes in quarantine, by the refusal's word.
    pub quarantined: HashMap<String, u32>,
    /// Attachments that are whole now and were not before.
    pub files_taken: u32,
    /// Attachments that the server had before.
    pub files_held: u32,
    /// Attachments that were not taken, by the problem's word.
    pub files_refused: HashMap<String, u32>,
}

/// What an app hears while things happen.
#[uniffi::remote(Enum)]
pub enum Event {
    /// A document changed: read it anew.
    Changed {
        /// Which.
        document: DocumentId,
    },
    /// Bytes of a file arrived at the server.
    Progress {
        /// Which file.
        sha256: Sha256,
        /// Bytes there.
        sent_bytes: u64,
        /// Bytes in all.
        size_bytes: u64,
    },
    /// The states of items may have changed.
    State,
}

/// Hears events. Called on a thread of the core's: take note and return, and never call the phone from in here.
#[uniffi::export(foreign)]
pub trait Listener: Send + Sync {
    /// Something happened. An error is swallowed: a missed event loses nothing, what it told of is on the disk.
    fn on_event(&self, event: Event) -> Result<(), PhoneError>;
}

// ---- What an officer picks from --------------------------------------------------------------------------------------

/// The criteria (bộ tiêu chí) and the lists for pickers.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Catalogue {
    /// Its name.
    pub version: String,
    /// Not official: every screen that shows it says so.
    pub placeholder: bool,
    /// Groups of criteria, in their order.
    pub groups: Vec<CriterionGroup>,
    /// Criteria, by number.
    pub criteria: Vec<Criterion>,
    /// Categories of observations.
    pub categories: Vec<Choice>,
    /// Measures taken.
    pub measures_taken: Vec<Choice>,
    /// Counting units.
    pub count_units: Vec<Choice>,
    /// Kinds of evidence.
    pub evidence_kinds: Vec<Choice>,
    /// Forces.
    pub forces: Vec<Choice>,
    /// Kinds of vehicles.
    pub vehicles: Vec<Choice>,
}

/// A group of criteria.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct CriterionGroup {
    /// `A`, `B` …
    pub letter: String,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
}

/// One criterion (tiêu chí). How it is measured is the server's to say: a phone scores nothing.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Criterion {
    /// Its number.
    pub number: CriterionNumber,
    /// The letter of its group.
    pub group: String,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
    /// The kinds of evidence it needs, by code.
    pub evidence_kinds: Vec<String>,
}

/// One choice of a list.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Choice {
    /// What records keep.
    pub code: String,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
    /// A measure with an amount of money, in đồng.
    pub takes_amount: bool,
    /// An official document, which has the five heads.
    pub official_document: bool,
}
