//! tus 1.0.0, the resumable upload: what a phone says over a bad line, and what it is answered.
//!
//! The phone that created an upload is the only one that knows it. A body is taken piece by piece by a task of its own, because
//! a handler is dropped when its connection breaks and what had arrived by then must count. Creation of what the unit
//! already holds answers with an upload that is complete; only the own unit's files are asked.

use super::{
    Held,
    checksum::Checksum,
    finish,
    staging::{self, HoldError, Staged, Upload, UploadId},
};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
    token::EnrolledPhone,
};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::StreamExt as _;
use kieumau_core::{
    attachment::SIZE_LIMIT_BYTES,
    hash::Sha256,
    invalid::{Invalid, Rule},
};
use std::time::Duration;

const VERSION: &str = "1.0.0";
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_METADATA: &str = "upload-metadata";
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_EXPIRES: &str = "upload-expires";
const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

/// What is written to the disk at a time.
const WRITE_BYTES: usize = 256 << 10;
/// How far a body without checksum gets ahead of what counts.
const COUNT_BYTES: u64 = 4 << 20;
/// A line on which nothing arrives for this long is broken; the phone comes back on a new one.
const SILENCE: Duration = Duration::from_secs(30);

/// tus's own status for a body that does not have its checksum.
pub fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).expect("a status has three digits")
}

fn malformed(title: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", title)
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "More bytes than are taken.",
    )
}

/// Refuses other versions of tus, and says ours on every answer. A download is not tus.
pub async fn speak_tus(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let asked = request.headers().get(TUS_RESUMABLE);
    let spoken = asked.is_some_and(|version| version == VERSION);
    let mut response = if spoken || request.method() == Method::OPTIONS {
        next.run(request).await
    } else {
        let problem = Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "tus-version",
            "This server speaks tus 1.0.0.",
        );
        ([(TUS_VERSION, VERSION)], problem).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// OPTIONS: what we speak.
pub async fn options() -> impl IntoResponse {
    (
        StatusCode::NO_CONTENT,
        [
            ("tus-version", VERSION.to_owned()),
            (
                "tus-extension",
                "creation,checksum,termination,expiration".to_owned(),
            ),
            ("tus-max-size", SIZE_LIMIT_BYTES.to_string()),
            ("tus-checksum-algorithm", "sha1,sha256".to_owned()),
        ],
    )
}

/// POST: a new upload.
pub async fn create(
    State(app): State<App>,
    phone: EnrolledPhone,
    headers: HeaderMap,
) -> Answer<Response> {
    let size_bytes = number(&headers, UPLOAD_LENGTH)?
        .ok_or_else(|| malformed("Upload-Length must be given."))?;
    if size_bytes == 0 {
        return Err(Invalid::new("attachment", Rule::Empty).into());
    }
    if size_bytes > SIZE_LIMIT_BYTES {
        return Err(too_large());
    }
    let sha256 = announced(&headers)
        .ok_or_else(|| malformed("Upload-Metadata must hold sha256: 64 hexadecimal digits."))?;

    let mut upload = Upload::new(&app, phone.unit, phone.phone, sha256, size_bytes);
    let held = Held::find(&app.database, phone.unit, sha256).await?;
    if held.is_some_and(|held| held.size_bytes == size_bytes) {
        upload.offset_bytes = size_bytes;
    } else {
        staging::create_file(&app, upload.id)
            .await
            .map_err(Problem::internal)?;
    }
    upload.insert(&app).await?;
    give_way(&app, &phone).await?;
    let location = format!("/v1/attachments/{}", upload.id);
    let state = state_headers(&upload);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], state).into_response())
}

/// Removes the phone's uploads beyond the limit, but for one that is being written this moment.
async fn give_way(app: &App, phone: &EnrolledPhone) -> Answer<()> {
    for id in staging::beyond_the_limit(app, phone.phone).await? {
        let Some(upload) = Upload::find(app, id, i64::MIN).await? else {
            continue;
        };
        // Held while it is removed, so that nobody writes into what is being taken away.
        let held = Staged::hold(app, &upload).await;
        if !matches!(held, Err(HoldError::Busy)) {
            upload.remove(app).await.map_err(Problem::internal)?;
        }
    }
    Ok(())
}

/// HEAD: how far an upload got.
pub async fn head(
    State(app): State<App>,
    phone: EnrolledPhone,
    Path(name): Path<String>,
) -> Answer<Response> {
    let upload = own(&app, &phone, &name).await?;
    Ok((StatusCode::OK, state_headers(&upload)).into_response())
}

/// DELETE: the phone gives an upload up. A finished attachment stays.
pub async fn delete(
    State(app): State<App>,
    phone: EnrolledPhone,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let upload = own(&app, &phone, &name).await?;
    let held = Staged::hold(&app, &upload).await;
    match held {
        Ok(_) | Err(HoldError::Gone | HoldError::Sealed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    upload.remove(&app).await.map_err(Problem::internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// PATCH: more of the file.
pub async fn patch(
    State(app): State<App>,
    phone: EnrolledPhone,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind != OFFSET_OCTET_STREAM)
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong-content-type",
            "The body must be application/offset+octet-stream.",
        ));
    }
    let piece = Piece {
        offset_bytes: number(&headers, UPLOAD_OFFSET)?
            .ok_or_else(|| malformed("Upload-Offset must be given."))?,
        length_bytes: number(&headers, header::CONTENT_LENGTH.as_str())?,
        checksum: Checksum::announced(&headers)?,
    };
    // A task of its own: this handler is dropped with its connection, what arrived must be counted all the same.
    let taken = tokio::spawn(async move { take(&app, &phone, &name, piece, body).await });
    let upload = taken.await.map_err(Problem::internal)??;
    Ok((StatusCode::NO_CONTENT, state_headers(&upload)).into_response())
}

/// What a PATCH says about its body.
struct Piece {
    offset_bytes: u64,
    length_bytes: Option<u64>,
    checksum: Option<Checksum>,
}

/// Takes a body into the upload, and finishes the upload if it is the last one.
async fn take(
    app: &App,
    phone: &EnrolledPhone,
    name: &str,
    piece: Piece,
    body: Body,
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
    body: Body,
) -> Answer<Arrived> {
    let mut end_bytes = upload.offset_bytes;
    let mut batch = Vec::with_capacity(WRITE_BYTES);
    let mut pieces = body.into_data_stream();
    let broken = loop {
        let bytes = match tokio::time::timeout(SILENCE, pieces.next()).await {
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

/// Writes the batch at `offset_bytes`; where it ends.
async fn write(staged: &mut Staged, offset_bytes: u64, batch: &mut Vec<u8>) -> Answer<u64> {
    let end_bytes = offset_bytes + batch.len() as u64;
    staged
        .write(offset_bytes, batch)
        .await
        .map_err(Problem::internal)?;
    Ok(end_bytes)
}

/// The phone's own upload of this name; 404 for anybody else's.
async fn own(app: &App, phone: &EnrolledPhone, name: &str) -> Answer<Upload> {
    let id: UploadId = name.parse().map_err(|_| Problem::not_found())?;
    Upload::find(app, id, clock::now_ms())
        .await?
        .filter(|upload| upload.phone == phone.phone && upload.unit == phone.unit)
        .ok_or_else(Problem::not_found)
}

fn wrong_offset() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "wrong-offset",
        "Not where the upload stands. Ask with HEAD.",
    )
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Busy => Self::new(
                StatusCode::LOCKED,
                "upload-busy",
                "Another request is writing this upload.",
            ),
            error => Self::internal(error),
        }
    }
}

/// Where an upload stands.
fn state_headers(upload: &Upload) -> [(&'static str, String); 3] {
    [
        (UPLOAD_OFFSET, upload.offset_bytes.to_string()),
        (UPLOAD_LENGTH, upload.size_bytes.to_string()),
        (UPLOAD_EXPIRES, http_date(upload.expires_at_ms)),
    ]
}

/// `Mon, 23 Nov 2026 07:40:00 GMT`; empty for a time that no calendar holds.
fn http_date(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

/// A header that holds a whole number; none if it is not there.
fn number(headers: &HeaderMap, name: &str) -> Answer<Option<u64>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let digits = value
        .to_str()
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| malformed("A length or an offset is not a number."))
}

/// The hash in Upload-Metadata; none if it is missing or no hash.
fn announced(headers: &HeaderMap) -> Option<Sha256> {
    let metadata = headers.get(UPLOAD_METADATA)?.to_str().ok()?;
    let value = metadata
        .split(',')
        .find_map(|pair| pair.trim().strip_prefix("sha256 "))?;
    let text = BASE64_STANDARD.decode(value.trim()).ok()?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
