//! `GET /v1/sync/live`: a phone in the foreground hears when its unit's feed grew, and pulls.

use crate::{
    app::App,
    live::stream::{Listener, listen},
    problem::Answer,
    token::EnrolledPhone,
};
use axum::{extract::State, response::Response};

/// See the module.
///
/// # Errors
/// As for every request of a phone; 503 when too many listen.
pub async fn live(State(app): State<App>, phone: EnrolledPhone) -> Answer<Response> {
    listen(app, Listener::from(&phone)).await
}
