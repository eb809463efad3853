//! `/live`: an open page hears when its unit's feed grew. What then changed of one document is asked at `/live/{document}`, which
//! answers with its heads and nothing of its content, so that it is no reading.

use super::{decision, evidence, patrol, reader::Reader, shell::Section};
use crate::{
    app::App,
    live::stream::{Listener, listen},
    problem::Answer,
};
use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};

/// `/live`, `/live/patrols/{id}`, `/live/evidence/{id}`.
pub fn router() -> Router<App> {
    Router::new()
        .route("/live", get(live))
        .route("/live/patrols/{id}", get(of_patrol))
        .route("/live/evidence/{id}", get(of_evidence))
}

async fn live(State(app): State<App>, reader: Reader, headers: HeaderMap) -> Answer<Response> {
    reader.enter(Section::Patrols)?;
    listen(app, Listener::Person(reader.who.person, headers)).await
}

async fn of_patrol(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<String> {
    let patrol = decision::document_id(&id)?;
    patrol::find(&app, &reader, patrol).await?;
    decision::heads_now(&app, patrol).await
}

async fn of_evidence(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<String> {
    let file = decision::document_id(&id)?;
    evidence::find(&app, &reader, file).await?;
    decision::heads_now(&app, file).await
}
