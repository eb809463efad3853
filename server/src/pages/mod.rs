//! The desk: pages that supervisors read, in Vietnamese first. They read rows and nothing but rows; what a person decides
//! goes through the same functions as everything else.
//!
//! In reading order: [`shell`] is the frame, [`words`] every sentence, [`reader`] who reads and what they may; then one file
//! per page. An answer that is a problem becomes a page in [`problem_page`], so that handlers say `Problem` and nothing of HTML.

mod assets;
mod audit_page;
mod change;
mod clash;
mod decision;
mod difference;
mod document;
mod dossier;
mod evidence;
mod evidence_list;
mod headers;
mod home;
pub mod language;
mod live;
mod map;
mod number;
mod observation;
mod patrol;
mod patrols;
mod phones;
mod photo;
mod problem_page;
mod quarantine;
mod reader;
mod rescue;
mod shell;
mod sign_in;
mod standing;
mod titles;
pub mod words;

use crate::{
    app::App,
    problem::{Answer, Problem},
};
use axum::{Router, middleware, response::Html};
use tower_http::catch_panic::CatchPanicLayer;

/// Every page, with its headers and its protection against forged requests. Whatever no other router knows ends here too.
pub fn router() -> Router<App> {
    let pages = Router::new()
        .merge(home::router())
        .merge(sign_in::router())
        .merge(language::router())
        .merge(patrols::router())
        .merge(patrol::router())
        .merge(evidence_list::router())
        .merge(evidence::router())
        .merge(dossier::router())
        .merge(decision::router())
        .merge(live::router())
        .merge(phones::router())
        .merge(rescue::router())
        .merge(quarantine::router())
        .merge(audit_page::router())
        .fallback(async || Problem::not_found());
    // Inside the layer that makes pages of problems: a panic is a page too.
    let pages = pages.layer(CatchPanicLayer::custom(Problem::of_panic));
    let pages = headers::protect(pages.layer(middleware::from_fn(problem_page::for_browsers)));
    pages.merge(assets::router())
}

/// A template as an answer.
fn html(page: &impl askama::Template) -> Answer<Html<String>> {
    page.render().map(Html).map_err(Problem::internal)
}

#[cfg(test)]
mod tests;
