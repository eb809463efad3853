//! Attachments back out: to phones of the unit, and to pages. Who may not read one is told that there is none.
//!
//! The bytes are a stranger's file on our own origin. Only photos are shown in place; everything else is saved; and nothing
//! is ever run: the type is what was sniffed, `nosniff` holds browsers to it, and the sandbox keeps out what slips through.

use super::{
    Held,
    preview::Preview,
    store::{Part, Reading, StoreError},
};
use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    problem::{Answer, Problem},
    scope,
    session::SignedIn,
    token::EnrolledPhone,
};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use kieumau_core::{
    hash::Sha256,
    id::{PersonId, UnitId},
    person::Role,
};
use std::ops::Range;

/// GET `/v1/attachments/{sha256}`: a file of the phone's own unit.
pub async fn to_phone(
    State(app): State<App>,
    phone: EnrolledPhone,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let reader = Reader {
        person: phone.person,
        unit: phone.unit,
        role: phone.role,
    };
    let held = readable(&app, reader, phone.unit, &name).await?;
    answer(&app, &held, Part::Original, &headers).await
}

/// GET `/attachments/{unit}/{sha256}`: a file, on a page.
pub async fn to_page(
    State(app): State<App>,
    reader: SignedIn,
    Path((unit, sha256)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    page(&app, &reader, (&unit, &sha256), Part::Original, &headers).await
}

/// GET `/attachments/{unit}/{sha256}/thumbnail`: the small picture of a file, on a page.
pub async fn thumbnail_to_page(
    State(app): State<App>,
    reader: SignedIn,
    Path((unit, sha256)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    page(&app, &reader, (&unit, &sha256), Part::Thumbnail, &headers).await
}

/// GET `/attachments/{unit}/{sha256}/preview`: what stands for a photo that is still on the phone, on a page.
pub async fn preview_to_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((unit, sha256)): Path<(String, String)>,
) -> Answer<Response> {
    let unit = unit.parse().map_err(|_| Problem::not_found())?;
    let of: Sha256 = sha256.parse().map_err(|_| Problem::not_found())?;
    let reader = Reader::of(&signed_in);
    if !may_read(&app, reader, unit, of).await? {
        return Err(Problem::not_found());
    }
    let preview = Preview::find(&app.database, unit, of)
        .await?
        .ok_or_else(Problem::not_found)?;
    note_reading(&app, &signed_in, unit, of.to_string(), Part::Preview).await?;
    let key = preview.key(&app.vault)?;
    let reading = Reading::open(&app.objects, &preview.object, &key, Part::Preview)
        .await
        .map_err(Problem::internal)?;
    let bytes = reading
        .read(0..reading.size_bytes())
        .await
        .map_err(Problem::internal)?;
    let caching = [(header::CACHE_CONTROL, "private, no-store")];
    let headers = media_headers("image/jpeg", of, Part::Preview);
    Ok((caching, headers, bytes).into_response())
}

async fn page(
    app: &App,
    signed_in: &SignedIn,
    (unit, sha256): (&str, &str),
    part: Part,
    headers: &HeaderMap,
) -> Answer<Response> {
    let unit = unit.parse().map_err(|_| Problem::not_found())?;
    let reader = Reader::of(signed_in);
    let held = readable(app, reader, unit, sha256).await?;
    if part == Part::Thumbnail && held.thumbnail != "made" {
        return Err(Problem::not_found());
    }
    note_reading(app, signed_in, unit, sha256.to_owned(), part).await?;
    answer(app, &held, part, headers).await
}

/// Before the first byte: what was read without a row cannot be un-read.
async fn note_reading(
    app: &App,
    signed_in: &SignedIn,
    unit: UnitId,
    sha256: String,
    part: Part,
) -> Result<(), sqlx::Error> {
    let detail = match part {
        Part::Original => None,
        Part::Thumbnail => Some("thumbnail"),
        Part::Preview => Some("preview"),
    };
    let deed = Deed {
        person: Some(signed_in.person),
        unit: Some(unit),
        action: "attachment-read",
        subject: Some(sha256),
        detail: detail.map(str::to_owned),
        ..Deed::default()
    };
    let mut tx = app.database.begin().await?;
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await
}

/// Who wants to read.
#[derive(Clone, Copy)]
struct Reader {
    person: PersonId,
    unit: UnitId,
    role: Role,
}

impl Reader {
    const fn of(signed_in: &SignedIn) -> Self {
        Self {
            person: signed_in.person,
            unit: signed_in.unit,
            role: signed_in.role,
        }
    }
}

/// The unit's attachment of this hash, if the reader may read it; 404 otherwise.
async fn readable(app: &App, reader: Reader, unit: UnitId, sha256: &str) -> Answer<Held> {
    let sha256: Sha256 = sha256.parse().map_err(|_| Problem::not_found())?;
    if !may_read(app, reader, unit, sha256).await? {
        return Err(Problem::not_found());
    }
    Held::find(&app.database, unit, sha256)
        .await?
        .ok_or_else(Problem::not_found)
}

/// A chief reads all of the own unit and of those it came from. An officer reads what hangs on a patrol of the own team, or on
/// those units' evidence; what was withdrawn as a slip (a face, an identity card) is for the chief alone.
async fn may_read(
    app: &App,
    reader: Reader,
    unit: UnitId,
    sha256: Sha256,
) -> Result<bool, sqlx::Error> {
    let reached = scope::reaches(&app.database.read, reader.unit, unit).await?;
    if reader.role.reads_the_unit() && reached {
        return Ok(true);
    }
    if !reader.role.records() {
        return Ok(false);
    }
    let use_of_it = sqlx::query(
        "select u.attachment_id from attachment_use u \
         join document d on d.document_id = u.document_id and d.unit_id = $2 \
         where u.sha256 = $1 and u.withdrawn_at_ms is null and ( \
             exists (select 1 from patrol_member m where m.document_id = u.document_id and m.person_id = $3) \
             or ($4 = 1 and exists (select 1 from evidence e where e.document_id = u.document_id))) \
         limit 1",
    )
    .bind(sha256.to_string())
    .bind(unit.to_string())
    .bind(reader.person.to_string())
    .bind(i64::from(reached))
    .fetch_optional(&app.database.read)
    .await?;
    Ok(use_of_it.is_some())
}

/// The file, a range of it, or that it has not changed.
async fn answer(app: &App, held: &Held, part: Part, headers: &HeaderMap) -> Answer<Response> {
    let etag = match part {
        Part::Original => format!("\"{}\"", held.sha256),
        Part::Thumbnail | Part::Preview => format!("\"{}-thumbnail\"", held.sha256),
    };
    let named = [
        (header::ETAG, etag.clone()),
        // Asked for anew each time, so that each reading is one.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    if text(headers, header::IF_NONE_MATCH).is_some_and(|tags| matches(tags, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, named).into_response());
    }
    let reading = held.open(app, part).await?;
    let size_bytes = reading.size_bytes();
    let asked = text(headers, header::RANGE)
        .filter(|_| text(headers, header::IF_RANGE).is_none_or(|tag| tag == etag));
    let (status, range) = match asked.map_or(Asked::Whole, |asked| Asked::of(asked, size_bytes)) {
        Asked::Whole => (StatusCode::OK, 0..size_bytes),
        Asked::Range(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Outside => {
            let content_range = [(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))];
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "outside",
                "The range lies outside the file.",
            );
            return Ok((content_range, problem).into_response());
        }
    };
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1);
    let body = body(reading, range).await.map_err(Problem::internal)?;
    let media = media_headers(&held.media_type, held.sha256, part);
    let mut response = (status, named, media, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&content_range)
    {
        headers.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// The bytes as a body. The first piece is opened before the answer begins: a damaged file is a 500, not half a photo.
async fn body(reading: Reading, range: Range<u64>) -> Result<Body, StoreError> {
    let mut pieces = Box::pin(reading.pieces(range));
    let first: Option<Bytes> = pieces.next().await.transpose()?;
    let first = stream::iter(first.map(Ok));
    let rest = pieces.inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(cause = %error, "an attachment broke off while it was read");
        }
    });
    Ok(Body::from_stream(first.chain(rest)))
}

/// What holds a browser to reading, and to nothing else.
fn media_headers(media_type: &str, sha256: Sha256, part: Part) -> [(HeaderName, String); 6] {
    let (media_type, ending) = match part {
        Part::Thumbnail | Part::Preview => ("image/jpeg", "jpg"),
        Part::Original => match media_type {
            "image/jpeg" => ("image/jpeg", "jpg"),
            "image/png" => ("image/png", "png"),
            "image/webp" => ("image/webp", "webp"),
            "application/pdf" => ("application/pdf", "pdf"),
            "video/mp4" => ("video/mp4", "mp4"),
            "audio/mp4" => ("audio/mp4", "m4a"),
            _ => ("application/octet-stream", "bin"),
        },
    };
    let place = if media_type.starts_with("image/") {
        "inline"
    } else {
        "attachment"
    };
    let name = &sha256.to_string()[..12];
    [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("{place}; filename=\"{name}.{ending}\""),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'".to_owned(),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin".to_owned(),
        ),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ]
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether an If-None-Match names this tag.
fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All of it; also for what is not one range of bytes, as RFC 9110 lets us.
    Whole,
    /// Bytes that are there.
    Range(Range<u64>),
    /// Bytes that are not.
    Outside,
}

impl Asked {
    fn of(header: &str, size_bytes: u64) -> Self {
        let Some((from, until)) = header
            .strip_prefix("bytes=")
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let range = match (from.parse::<u64>(), until.parse::<u64>()) {
            (Ok(from), Ok(last)) if from <= last => from..last.saturating_add(1).min(size_bytes),
            (Ok(from), Err(_)) if until.is_empty() => from..size_bytes,
            (Err(_), Ok(tail)) if from.is_empty() => size_bytes.saturating_sub(tail)..size_bytes,
            _ => return Self::Whole,
        };
        if range.start < range.end {
            Self::Range(range)
        } else {
            Self::Outside
        }
    }
}

#[cfg(test)]
mod tests;
