//! Sync with phones: they push what they wrote and pull what others did. A log, not a conversation: nothing new costs one
//! request, whatever the number of documents.

pub mod delivery;
pub mod pull;
pub mod push;

use crate::app::App;
use axum::{Router, extract::DefaultBodyLimit, routing};
use kieumau_core::wire;

/// `/v1/sync/*`.
pub fn router() -> Router<App> {
    Router::new()
        .route(wire::PUSH, routing::post(push::push))
        .layer(DefaultBodyLimit::max(wire::PUSH_LIMIT_BYTES))
        .route(wire::PULL, routing::get(pull::pull))
}
