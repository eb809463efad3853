//! `/`: the first page that a role has. An appraiser has none until dossiers are submitted, and is told so.

use super::{
    html,
    reader::Reader,
    shell::{Section, Shell},
};
use crate::{app::App, problem::Answer};
use askama::Template;
use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    shell: Shell,
}

/// `/`.
pub fn router() -> Router<App> {
    Router::new().route("/", get(home))
}

async fn home(reader: Reader) -> Answer<Response> {
    if let Some(first) = Section::first_of(reader.who.role) {
        return Ok(Redirect::to(first.path()).into_response());
    }
    let shell = Shell::of(&reader, Section::None, reader.language.words().dossiers);
    Ok(html(&HomePage { shell })?.into_response())
}
