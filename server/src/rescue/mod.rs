//! Rescue files (tệp cứu hộ): the work of a phone that could not send it itself, handed in by a colleague's phone, on a page, or on
//! the command line. All three end in [`take`].
//!
//! In reading order: [`receive`] keeps the bytes on the disk as they came, unreadable; [`take`] opens them. A file is read
//! twice, first to its end and against its bounds, so that nothing is taken of one that was cut or changed. After that
//! its changes go the way of every push and its attachments the way of every upload: taken twice, nothing is doubled. What a
//! refusal keeps out lies in quarantine, and so do the changes of a revoked phone.

pub mod receive;
mod taking;

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    keys::Keys,
    problem::{Answer, Problem},
    row::parsed,
    token::EnrolledPhone,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use ed25519_dalek::VerifyingKey;
use kieumau_core::{
    id::{PersonId, PhoneId, UnitId},
    rescue::{
        Bounds, Origin, RESCUE, RescueError, Taken,
        sealed::{HEADER_BYTES, Records},
    },
};
use sqlx::Row as _;
use std::{
    fs::File,
    io::{BufReader, Seek as _},
    sync::Arc,
};
use taking::Taking;
use tokio::{sync::mpsc, task::spawn_blocking};

/// Records that are read ahead of those being taken.
const READ_AHEAD: usize = 2;

/// Who hands a file in: for the audit, and no authority. Nobody is the administration on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carrier {
    /// The person.
    pub person: Option<PersonId>,
    /// With which phone.
    pub phone: Option<PhoneId>,
    /// Of which unit.
    pub unit: Option<UnitId>,
}

/// Where phones hand in rescue files.
pub fn router() -> Router<App> {
    Router::new()
        .route(RESCUE, post(by_phone))
        .layer(DefaultBodyLimit::disable())
}

/// `POST /v1/rescue`: an enrolled phone brings a file, its own or a colleague's.
async fn by_phone(
    State(app): State<App>,
    phone: EnrolledPhone,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Taken>> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let received = receive::receive(&app, length, body.into_data_stream()).await?;
    let carrier = Carrier {
        person: Some(phone.person),
        phone: Some(phone.phone),
        unit: Some(phone.unit),
    };
    // A task of its own: a phone that hangs up does not leave half a file taken.
    let taken = tokio::spawn(async move { received.take(&app, carrier).await });
    taken.await.map_err(Problem::internal)?.map(Json)
}

/// Takes what a rescue file holds. What was taken before is counted as held, and nothing is doubled.
///
/// # Errors
/// 422 with `not-a-rescue-file`, `rescue-version`, `rescue-another-server`, `rescue-damaged`, `rescue-malformed`, or
/// `rescue-unknown-phone` for a file that no enrolled phone signed; 413 with `too-large`: nothing was taken then. `internal`.
pub async fn take(app: &App, carrier: Carrier, file: File) -> Answer<Taken> {
    match open(app, file).await {
        Ok(opened) => {
            note(app, &carrier, &opened, "rescue-opened", None).await?;
            let taken = take_all(app, &carrier, &opened).await?;
            note(
                app,
                &carrier,
                &opened,
                "rescue-taken",
                Some(in_short(&taken)),
            )
            .await?;
            Ok(taken)
        }
        Err(problem) => {
            let mut tx = app.database.begin().await?;
            let deed = Deed {
                person: carrier.person,
                phone: carrier.phone,
                unit: carrier.unit,
                action: "rescue-refused",
                detail: Some(problem.word().to_owned()),
                ..Deed::default()
            };
            audit::write(&mut tx, clock::now_ms(), deed).await?;
            tx.commit().await?;
            Err(problem)
        }
    }
}

/// A file that was read to its end, and the enrolled phone that wrote it.
struct Opened {
    file: File,
    phone: PhoneId,
    unit: UnitId,
}

async fn open(app: &App, file: File) -> Answer<Opened> {
    let keys = Arc::clone(&app.keys);
    let (file, header, origin) = spawn_blocking(move || read_through(file, &keys))
        .await
        .map_err(Problem::internal)??;
    let unit = signed_by(app, &header, &origin).await?.ok_or_else(|| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "rescue-unknown-phone",
            "No phone that is enrolled here wrote this file.",
        )
    })?;
    Ok(Opened {
        file,
        phone: origin.phone,
        unit,
    })
}

/// Reads the file to its end and holds every record against the bounds.
fn read_through(
    file: File,
    keys: &Keys,
) -> Result<(File, [u8; HEADER_BYTES], Origin), RescueError> {
    let mut records = Records::open(BufReader::new(&file), &keys.rescue)?;
    let mut bounds = Bounds::default();
    while let Some(record) = records.next_record()? {
        bounds.look(&record)?;
    }
    let (header, origin) = (*records.header(), bounds.origin()?);
    Ok((file, header, origin))
}

/// The unit of the phone that the file says it is from, if that phone signed it. Revoked or not: the seals decide.
async fn signed_by(
    app: &App,
    header: &[u8],
    origin: &Origin,
) -> Result<Option<UnitId>, sqlx::Error> {
    let row = sqlx::query("select public_key, unit_id from phone where phone_id = $1")
        .bind(origin.phone.to_string())
        .fetch_optional(&app.database.read)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let key = <[u8; 32]>::try_from(row.get::<Vec<u8>, _>(0)).ok();
    let signed = key
        .and_then(|key| VerifyingKey::from_bytes(&key).ok())
        .is_some_and(|key| origin.is_by(&key, header));
    let unit = parsed(&row, "unit_id")?;
    Ok(signed.then_some(unit))
}

/// Takes every record of a file that was read through.
async fn take_all(app: &App, carrier: &Carrier, opened: &Opened) -> Answer<Taken> {
    let mut file = opened.file.try_clone().map_err(Problem::internal)?;
    let keys = Arc::clone(&app.keys);
    let (queue, mut queued) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || -> Result<(), RescueError> {
        file.rewind()?;
        let mut records = Records::open(BufReader::new(file), &keys.rescue)?;
        while let Some(record) = records.next_record()? {
            // Who takes has failed, and says why.
            if queue.blocking_send(record).is_err() {
                break;
            }
        }
        Ok(())
    });
    let brought_by = carrier.phone.unwrap_or(opened.phone);
    let mut taking = Taking::new(app, opened.phone, brought_by, opened.unit);
    while let Some(record) = queued.recv().await {
        taking.take(record).await?;
    }
    reading.await.map_err(Problem::internal)??;
    let taken = taking.end().await?;
    app.checker.wake();
    Ok(taken)
}

async fn note(
    app: &App,
    carrier: &Carrier,
    opened: &Opened,
    action: &str,
    detail: Option<String>,
) -> Answer<()> {
    let mut tx = app.database.begin().await?;
    let deed = Deed {
        person: carrier.person,
        phone: carrier.phone,
        // Of the unit whose work it is: its chief reads in the audit that a file came.
        unit: Some(opened.unit),
        action,
        subject: Some(opened.phone.to_string()),
        detail,
    };
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(())
}

/// Numbers for the audit.
fn in_short(taken: &Taken) -> String {
    let quarantined: u32 = taken.quarantined.values().sum();
    format!(
        "taken {} held {} waiting {} quarantined {quarantined} files {}",
        taken.changes_taken, taken.changes_held, taken.changes_waiting, taken.files_taken
    )
}

impl From<RescueError> for Problem {
    fn from(error: RescueError) -> Self {
        let title = match &error {
            RescueError::Disk(_) => return Self::internal(error),
            RescueError::TooLarge => return receive::too_large(),
            RescueError::NotRescue => "This is not a rescue file.",
            RescueError::Version => "A newer app wrote this file: upgrade the server.",
            RescueError::AnotherServer => "This file is for another server.",
            RescueError::Damaged => "The file was changed or cut. Write or copy it again.",
            RescueError::Malformed => "The file breaks the format of rescue files.",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.word(), title)
    }
}

#[cfg(test)]
mod tests;
