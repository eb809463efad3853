//! A dossier (hồ sơ) out of a page: `/patrols/{id}/dossier`, `/evidence/{document}/dossier`, and `/units/{unit}/dossier?period=` for
//! all of a unit. Whoever reads the page may have it, if nothing in the document is kept from them; having it writes an audit row.
//!
//! Few are made at once. A place is free again when what was made in memory is on its way; the attachments follow piece by
//! piece. What breaks off then is shorter than was announced, so that no browser takes it for whole, and `verify` neither.

use super::{document::document_id, evidence, patrol, reader::Reader, shell::Section};
use crate::{
    app::App,
    export::Dossier,
    problem::{Answer, Problem},
    scope,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use kieumau_core::{
    dossier::Selection,
    id::{DocumentId, UnitId},
    invalid::{Invalid, Rule},
    jws,
    period::Period,
};
use std::future::ready;

/// What is given to a connection at a time, bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The three of them.
pub fn router() -> Router<App> {
    Router::new()
        .route("/patrols/{id}/dossier", get(of_patrol).head(not_told))
        .route(
            "/evidence/{document}/dossier",
            get(of_evidence).head(not_told),
        )
        .route("/units/{unit}/dossier", get(of_unit).head(not_told))
}

/// A dossier's head alone is not told: it would be made and written down as taken for nobody.
async fn not_told() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// What a page says about the dossier of what it shows.
pub struct DossierPart {
    /// Where it is; none if something in it is kept from this reader.
    pub path: Option<String>,
    /// The fingerprint of the log's key, to compare with.
    pub server_key: String,
}

impl DossierPart {
    /// The part of a document's page.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(
        app: &App,
        reader: &Reader,
        document: DocumentId,
        page: String,
    ) -> Answer<Self> {
        let whole = reads_whole(app, reader, document).await?;
        Ok(Self {
            path: whole.then(|| format!("{page}/dossier")),
            server_key: server_key(app),
        })
    }
}

/// The fingerprint that `kieumau verify --server-key` is to be told.
pub(super) fn server_key(app: &App) -> String {
    jws::fingerprint(&app.keys.log.verifying_key()).to_string()
}

#[derive(Debug, serde::Deserialize)]
struct Asked {
    period: String,
}

async fn of_patrol(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Response> {
    let document = document_id(&id)?;
    let patrol = patrol::find(&app, &reader, document).await?;
    must_read_whole(&app, &reader, document).await?;
    let name = format!("ca-{}-{}", patrol.day(), end(&id));
    answer(&app, &reader, Selection::Patrol(document), &name).await
}

async fn of_evidence(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Response> {
    let document = document_id(&id)?;
    let file = evidence::find(&app, &reader, document).await?;
    must_read_whole(&app, &reader, document).await?;
    let name = format!("{}-{}", file.short_name(), end(&id));
    answer(&app, &reader, Selection::Evidence(document), &name).await
}

async fn of_unit(
    State(app): State<App>,
    reader: Reader,
    Path(unit): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    reader.enter(Section::Evidence)?;
    let id: UnitId = unit.parse().map_err(|_| Problem::not_found())?;
    if !scope::reaches(&app.database.read, reader.who.unit, id).await? {
        return Err(Problem::not_found());
    }
    if !reader.who.role.reads_the_unit() {
        // Patrols of teams that they are not on are among it.
        return Err(Problem::forbidden());
    }
    let malformed = |_| Invalid::new("period", Rule::Malformed);
    let period: Period = asked.period.parse().map_err(malformed)?;
    let name = format!("ky-{}-{}", dates(&asked.period), end(&unit));
    answer(&app, &reader, Selection::UnitPeriod(id, period), &name).await
}

/// Makes the dossier, writes that it was taken, and gives it out.
async fn answer(app: &App, reader: &Reader, selection: Selection, name: &str) -> Answer<Response> {
    let place = app.dossiers.enter().await?;
    let dossier = Dossier::make(app, selection).await?;
    // Once more: what came while it waited and was gathered may be kept from this reader.
    if let Selection::Patrol(document) | Selection::Evidence(document) = selection {
        must_read_whole(app, reader, document).await?;
    }
    dossier.note(app, reader.who.deed("exported")).await?;
    let (front, attachments) = dossier.open(app);
    let freed = stream::once(async move { drop(place) }).filter_map(|()| ready(None));
    let file = stream::iter(slices(front).map(Ok))
        .chain(freed)
        .chain(attachments)
        .map(|piece| piece.map_err(broke_off));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"ho-so-{name}.kieumau\""),
        ),
        (header::CONTENT_LENGTH, dossier.size_bytes().to_string()),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(file)).into_response())
}

fn slices(bytes: Bytes) -> impl Iterator<Item = Bytes> {
    let length = bytes.len();
    (0..length)
        .step_by(PIECE_BYTES)
        .map(move |at| bytes.slice(at..length.min(at + PIECE_BYTES)))
}

/// The answer has begun: all that can still be done is to end it, and to say why where it is read.
fn broke_off(problem: Problem) -> std::io::Error {
    let instance = problem.log();
    std::io::Error::other(format!("the dossier broke off: {instance}"))
}

/// Whether nothing in the document is kept from the reader: a chief reads all of it; an officer neither what was withdrawn as a slip
/// nor what no check let through.
async fn reads_whole(app: &App, reader: &Reader, document: DocumentId) -> Answer<bool> {
    if reader.who.role.reads_the_unit() {
        return Ok(true);
    }
    let kept_back: Option<i64> = sqlx::query_scalar(
        "select cast(1 as bigint) from document where document_id = $1 and ( \
             exists (select 1 from attachment_use u where u.document_id = $1 and u.withdrawn_at_ms is not null) \
             or exists (select 1 from change c where c.document_id = $1 and c.number is not null and c.state <> 'checked'))",
    )
    .bind(document.to_string())
    .fetch_optional(&app.database.read)
    .await?;
    Ok(kept_back.is_none())
}

async fn must_read_whole(app: &App, reader: &Reader, document: DocumentId) -> Answer<()> {
    if reads_whole(app, reader, document).await? {
        Ok(())
    } else {
        Err(Problem::forbidden())
    }
}

/// The end of an id, which tells two files of one day apart.
fn end(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

/// A period in a file's name: `2025-11-16_2026-11-15`.
pub(super) fn dates(period: &str) -> String {
    period.replace("..", "_")
}

#[cfg(test)]
mod tests;
