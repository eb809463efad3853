//! Sync with phones: they push what they wrote and pull what others did. A log, not a conversation: nothing new costs one
//! request, whatever the number of documents.

mod body;
mod compare;
pub mod delivery;
pub mod fetch;
pub mod live;
pub mod pull;
pub mod push;
pub mod room;

use crate::app::App;
use axum::{Router, extract::DefaultBodyLimit, routing};
use kieumau_core::{live::LIVE, wire};

/// `/v1/sync/*`.
pub fn router() -> Router<App> {
    Router::new()
        .route(wire::PUSH, routing::post(push::push))
        .route(wire::PULL, routing::get(pull::pull))
        .route(LIVE, routing::get(live::live))
        .route(wire::FETCH, routing::post(fetch::fetch))
        .route(wire::COMPARE, routing::post(compare::compare))
        .layer(DefaultBodyLimit::max(wire::PUSH_LIMIT_BYTES))
}
