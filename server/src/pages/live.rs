//! `/live`: an open page hears when its unit's feed grew. What then changed of one document is asked at `/live/{document}`, which
//! answers with its heads and nothing of its content, so that it is no reading.

use super::{
    decision,
    document::{Page, document_id},
    reader::Reader,
    shell::Section,
};
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

/// `/live`, `/live/{document}`.
pub fn router() -> Router<App> {
    Router::new()
        .route("/live", get(live))
        .route("/live/{document}", get(heads))
}

async fn live(State(app): State<App>, reader: Reader, headers: HeaderMap) -> Answer<Response> {
    reader.enter(Section::Patrols)?;
    listen(app, Listener::Person(reader.who.person, headers)).await
}

async fn heads(
    State(app): State<App>,
    reader: Reader,
    Path(document): Path<String>,
) -> Answer<String> {
    let document = document_id(&document)?;
    Page::of(&app, &reader, document).await?;
    decision::heads_now(&app, document).await
}
