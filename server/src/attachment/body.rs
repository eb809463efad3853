//! The body of a PATCH on its way into an upload: what counts of it when the line breaks, and when it is refused.
//!
//! A body is taken by a task of its own, because a handler is dropped when its connection breaks and what had arrived by then
//! must count. What is refused half-way is read on for a little: who is still sending would otherwise see a broken line
//! instead of the reason, and come again with the same.

use super::{
    checksum::Checksum,
    finish,
    staging::{HoldError, Staged, Upload},
    upload::{checksum_mismatch, malformed, own, too_large, wrong_offset},
};
use crate::{
    app::App,
    problem::{Answer, Problem},
    token::EnrolledPhone,
};
use axum::{
    body::{Body, BodyDataStream},
    http::StatusCode,
};
use futures_util::StreamExt as _;
use kieumau_core::attachment::MediaType;
use std::time::Duration;

/// What is written to the disk at a time.
const WRITE_BYTES: usize = 256 << 10;
/// How far a body without checksum gets ahead of what counts.
const COUNT_BYTES: u64 = 4 << 20;
/// How much of a refused body is read and forgotten: more than a phone sends at a time.
const FORGOTTEN_BYTES: usize = 4 << 20;
/// A line on which nothing arrives for this long is broken; the phone comes back on a new one.
const SILENCE: Duration = Duration::from_secs(30);

/// What a request says about its body.
pub struct Piece {
    /// Where in the file it begins.
    pub offset_bytes: u64,
    /// How long it is, if that is said.
    pub length_bytes: Option<u64>,
    /// What it must be, if that is said.
    pub checksum: Option<Checksum>,
}

/// Files of this kind are not taken.
pub fn wrong_kind() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "wrong-kind",
        "Files of this kind are not taken.",
    )
}

/// Takes a body into the phone's upload called `name`; the upload as it is then.
///
/// # Errors
/// Why the body, or the file that is complete with it, is not taken.
pub async fn take(
    app: App,
    phone: EnrolledPhone,
    name: String,
    piece: Piece,
    body: Body,
) -> Answer<Upload> {
    let taking = tokio::spawn(async move {
        let mut body = body.into_data_stream();
        let taken = take_piece(&app, &phone, &name, piece, &mut body).await;
        if taken.is_err() {
            forget(body);
        }
        taken
    });
    taking.await.map_err(Problem::internal)?
}

/// Takes the body of a creation. An upload whose body is refused is removed: nobody has been told its name.
///
/// # Errors
/// As [`take`].
pub async fn take_first(
    app: App,
    phone: EnrolledPhone,
    upload: Upload,
    piece: Piece,
    body: Body,
) -> Answer<Upload> {
    if upload.finished() {
        forget(body.into_data_stream());
        return Ok(upload);
    }
    let taken = take(app.clone(), phone, upload.id.to_string(), piece, body).await;
    if taken.is_err() {
        upload.remove(&app).await.map_err(Problem::internal)?;
    }
    taken
}

/// Reads on without keeping anything, while the answer is on its way.
fn forget(mut body: BodyDataStream) {
    let reading = async move {
        let mut room = FORGOTTEN_BYTES;
        while let Some(Ok(bytes)) = body.next().await {
            match room.checked_sub(bytes.len()) {
                Some(left) => room = left,
                None => break,
            }
        }
    };
    tokio::spawn(tokio::time::timeout(SILENCE, reading));
}

/// Takes a body into the upload, and finishes the upload if it is the last one.
async fn take_piece(
    app: &App,
    phone: &EnrolledPhone,
    name: &str,
    piece: Piece,
    body: &mut BodyDataStream,
) -> Answer<Upload> {
    let mut upload = own(app, phone, name).await?;
    if upload.finished() {
        return match (piece.offset_bytes == upload.size_bytes, piece.length_bytes) {
            (true, Some(0) | None) => Ok(upload),
            (true, Some(_)) => Err(too_large()),
            (false, _) => Err(wrong_offset()),
        };
    }
    let mut staged = match Staged::hold(app, &upload).await {
        // The bytes are lost (a database restored without its files): the phone begins anew.
        Err(HoldError::Gone) => {
            upload.remove(app).await.map_err(Problem::internal)?;
            return Err(Problem::not_found());
        }
        held => held?,
    };
    // The row may have moved before the file was held.
    upload = own(app, phone, name).await?;
    if upload.finished() || upload.offset_bytes != piece.offset_bytes {
        return Err(wrong_offset());
    }
    let room = upload.size_bytes - upload.offset_bytes;
    if piece.length_bytes.is_some_and(|length| length > room) {
        return Err(too_large());
    }
    let arrived = receive(app, &mut upload, &mut staged, piece.checksum, body).await?;
    if arrived.end_bytes == upload.size_bytes {
        finish::finish(app, &mut upload, staged).await?;
        return Ok(upload);
    }
    if arrived.end_bytes > upload.offset_bytes {
        upload.count(app, arrived.end_bytes).await?;
    }
    if arrived.broken {
        return Err(malformed("The body broke off; what arrived is kept."));
    }
    Ok(upload)
}

/// How far the file got with a body.
struct Arrived {
    /// Up to here the bytes are on the disk and good.
    end_bytes: u64,
    /// The line broke before the body's end.
    broken: bool,
}

/// Writes a body to the disk. A body without checksum counts as it arrives; one with a checksum counts whole or not at all.
async fn receive(
    app: &App,
    upload: &mut Upload,
    staged: &mut Staged,
    mut checksum: Option<Checksum>,
    body: &mut BodyDataStream,
) -> Answer<Arrived> {
    let mut end_bytes = upload.offset_bytes;
    let mut batch = Vec::with_capacity(WRITE_BYTES);
    let broken = loop {
        let bytes = match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(None) => break false,
            Ok(Some(Err(_))) | Err(_) => break true,
        };
        if (batch.len() + bytes.len()) as u64 > upload.size_bytes - end_bytes {
            return Err(too_large());
        }
        if let Some(checksum) = &mut checksum {
            checksum.update(&bytes);
        }
        batch.extend_from_slice(&bytes);
        if end_bytes == 0 && batch.len() >= MediaType::SNIFFED_BYTES {
            check_kind(app, upload, &batch, checksum.is_some()).await?;
        }
        if batch.len() < WRITE_BYTES {
            continue;
        }
        end_bytes = write(staged, end_bytes, &mut batch).await?;
        let far = end_bytes - upload.offset_bytes >= COUNT_BYTES && end_bytes < upload.size_bytes;
        if far && checksum.is_none() {
            staged.sync().await.map_err(Problem::internal)?;
            upload.count(app, end_bytes).await?;
        }
    };
    end_bytes = write(staged, end_bytes, &mut batch).await?;
    staged.sync().await.map_err(Problem::internal)?;
    if let Some(checksum) = checksum {
        if broken {
            end_bytes = upload.offset_bytes;
        } else if !checksum.holds() {
            return Err(Problem::new(
                checksum_mismatch(),
                "checksum-mismatch",
                "The body does not have its checksum. Send it again.",
            ));
        }
    }
    Ok(Arrived { end_bytes, broken })
}

/// Refuses a file by its first bytes, before the rest is taken. It can never end well and its upload is removed, unless a
/// checksum may yet say that these are not its bytes.
async fn check_kind(app: &App, upload: &Upload, head: &[u8], may_be_bent: bool) -> Answer<()> {
    if MediaType::of(head, upload.size_bytes).is_ok() {
        return Ok(());
    }
    if !may_be_bent {
        upload.remove(app).await.map_err(Problem::internal)?;
    }
    Err(wrong_kind())
}

/// Writes the batch at `offset_bytes`; where it ends.
async fn write(staged: &mut Staged, offset_bytes: u64, batch: &mut Vec<u8>) -> Answer<u64> {
    let end_bytes = offset_bytes + batch.len() as u64;
    staged
        .write(offset_bytes, batch)
        .await
        .map_err(Problem::internal)?;
    Ok(end_bytes)
}

#[cfg(test)]
mod tests;
