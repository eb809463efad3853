//! tus 1.0.0, the resumable upload: what a phone says over a bad line, and what it is answered. [`body`](super::body) takes
//! the bytes.
//!
//! The phone that created an upload is the only one that knows it. Creation of what the unit already holds answers with an
//! upload that is complete; only the own unit's files are asked. A length is announced at creation or not at all
//! (`Upload-Defer-Length` is not offered): a hash that is known has a length that is known. Of the metadata only the hash is
//! kept; a file's name may say more than the file.

use super::{
    Held,
    body::{self, Piece},
    checksum::Checksum,
    preview::Preview,
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
use kieumau_core::{
    attachment::{MediaType, PREVIEW_LIMIT_BYTES, SIZE_LIMIT_BYTES},
    hash::Sha256,
    id::UnitId,
    invalid::{Invalid, Rule},
};

const VERSION: &str = "1.0.0";
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_METADATA: &str = "upload-metadata";
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_EXPIRES: &str = "upload-expires";
const METHOD_OVERRIDE: &str = "x-http-method-override";
const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

/// tus's own status for a body that does not have its checksum.
pub fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).expect("a status has three digits")
}

pub(super) fn malformed(title: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", title)
}

pub(super) fn too_large() -> Problem {
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
                "creation,creation-with-upload,checksum,termination,expiration".to_owned(),
            ),
            ("tus-max-size", SIZE_LIMIT_BYTES.to_string()),
            ("tus-checksum-algorithm", "sha1,sha256".to_owned()),
        ],
    )
}

/// POST: a new upload, with its first bytes if the body has any.
pub async fn create(
    State(app): State<App>,
    phone: EnrolledPhone,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let new = NewUpload::announced(&headers)?;
    let piece = is_piece(&headers)
        .then(|| Piece::announced(&headers, 0))
        .transpose()?;
    let mut upload = begin(&app, &phone, phone.unit, new).await?;
    if let Some(piece) = piece {
        upload = body::take_first(app.clone(), phone, upload, piece, body).await?;
    }
    let location = format!("/v1/attachments/{}", upload.id);
    let state = state_headers(&upload);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], state).into_response())
}

/// What a creation announces.
struct NewUpload {
    sha256: Sha256,
    size_bytes: u64,
    preview_of: Option<Sha256>,
}

impl NewUpload {
    /// Refuses by size and type before a byte is taken.
    fn announced(headers: &HeaderMap) -> Answer<Self> {
        let size_bytes = number(headers, UPLOAD_LENGTH)?
            .ok_or_else(|| malformed("Upload-Length must be given."))?;
        if size_bytes == 0 {
            return Err(Invalid::new("attachment", Rule::Empty).into());
        }
        if size_bytes > SIZE_LIMIT_BYTES {
            return Err(too_large());
        }
        let sha256 = metadata(headers, "sha256")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| malformed("Upload-Metadata must hold sha256: 64 hexadecimal digits."))?;
        // A type need not be said, and what is said is not believed; but one we never take saves the bytes.
        if metadata(headers, "filetype").is_some_and(|word| !MediaType::is_word(&word)) {
            return Err(body::wrong_kind());
        }
        let preview_of = metadata(headers, "preview-of")
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| malformed("preview-of must be 64 hexadecimal digits."))?;
        if preview_of.is_some() && size_bytes > PREVIEW_LIMIT_BYTES {
            return Err(too_large());
        }
        Ok(Self {
            sha256,
            size_bytes,
            preview_of,
        })
    }
}

/// Writes the row and the empty file of a new upload. It is complete if the unit `asked`, the phone's own, holds the file.
async fn begin(app: &App, phone: &EnrolledPhone, asked: UnitId, new: NewUpload) -> Answer<Upload> {
    let mut upload = Upload::new(app, phone.unit, phone.phone, new.sha256, new.size_bytes);
    upload.preview_of = new.preview_of;
    if is_held(app, asked, &new).await? {
        upload.offset_bytes = new.size_bytes;
    } else {
        staging::create_file(app, upload.id)
            .await
            .map_err(Problem::internal)?;
    }
    upload.insert(app).await?;
    give_way(app, phone).await?;
    Ok(upload)
}

/// Whether the unit has the file; of a preview, whether it has one, or the photo itself.
async fn is_held(app: &App, unit: UnitId, new: &NewUpload) -> Result<bool, sqlx::Error> {
    let named = new.preview_of.unwrap_or(new.sha256);
    let held = Held::find(&app.database, unit, named).await?;
    Ok(match new.preview_of {
        None => held.is_some_and(|held| held.size_bytes == new.size_bytes),
        Some(of) => held.is_some() || Preview::find(&app.database, unit, of).await?.is_some(),
    })
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
    let sha256 = BASE64_STANDARD.encode(upload.sha256.to_string());
    let metadata = [(UPLOAD_METADATA, format!("sha256 {sha256}"))];
    Ok((StatusCode::OK, metadata, state_headers(&upload)).into_response())
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
    if !is_piece(&headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong-content-type",
            "The body must be application/offset+octet-stream.",
        ));
    }
    let offset_bytes = number(&headers, UPLOAD_OFFSET)?
        .ok_or_else(|| malformed("Upload-Offset must be given."))?;
    let piece = Piece::announced(&headers, offset_bytes)?;
    let upload = body::take(app, phone, name, piece, body).await?;
    Ok((StatusCode::NO_CONTENT, state_headers(&upload)).into_response())
}

/// POST to an upload: the method that its X-HTTP-Method-Override says, for lines that let no other through.
pub async fn overridden(
    State(app): State<App>,
    phone: EnrolledPhone,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let meant = headers.get(METHOD_OVERRIDE).map(HeaderValue::as_bytes);
    let (app, name) = (State(app), Path(name));
    match meant {
        Some(b"PATCH") => patch(app, phone, name, headers, body).await,
        Some(b"DELETE") => delete(app, phone, name)
            .await
            .map(IntoResponse::into_response),
        Some(b"HEAD") => head(app, phone, name).await,
        _ => Err(malformed(
            "X-HTTP-Method-Override must be PATCH, DELETE or HEAD.",
        )),
    }
}

/// Whether the body is a piece of a file.
fn is_piece(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == OFFSET_OCTET_STREAM)
}

impl Piece {
    /// What the headers say about a body that begins at `offset_bytes`.
    fn announced(headers: &HeaderMap, offset_bytes: u64) -> Answer<Self> {
        Ok(Self {
            offset_bytes,
            length_bytes: number(headers, header::CONTENT_LENGTH.as_str())?,
            checksum: Checksum::announced(headers)?,
        })
    }
}

/// The phone's own upload of this name; 404 for anybody else's, 410 when its time is over and it is not swept away yet.
pub(super) async fn own(app: &App, phone: &EnrolledPhone, name: &str) -> Answer<Upload> {
    let id: UploadId = name.parse().map_err(|_| Problem::not_found())?;
    let upload = Upload::find(app, id, i64::MIN)
        .await?
        .filter(|upload| upload.phone == phone.phone && upload.unit == phone.unit)
        .ok_or_else(Problem::not_found)?;
    if upload.expires_at_ms <= clock::now_ms() {
        return Err(Problem::new(
            StatusCode::GONE,
            "upload-expired",
            "The upload has expired. Begin anew.",
        ));
    }
    Ok(upload)
}

pub(super) fn wrong_offset() -> Problem {
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

/// What Upload-Metadata says under `key`; none if it is missing or no text.
fn metadata(headers: &HeaderMap, key: &str) -> Option<String> {
    let pairs = headers.get(UPLOAD_METADATA)?.to_str().ok()?;
    let value = pairs.split(',').find_map(|pair| {
        let (said, value) = pair.trim().split_once(' ')?;
        (said == key).then_some(value)
    })?;
    String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests;
