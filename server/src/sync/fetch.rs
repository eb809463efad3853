//! Fetch: documents that a phone names, whole, whatever its cursor says. For what a comparison found to differ, and for a snapshot
//! that did not unfold. It hands out nothing that a pull would not.

use crate::{
    app::App,
    insert::{Insert, Value},
    problem::{Answer, Problem},
    row::parsed,
    sync::{
        delivery::{self, Deliveries, Sequence},
        pull,
    },
    token::EnrolledPhone,
};
use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};
use kieumau_core::{
    id::DocumentId,
    invalid::{Invalid, Rule},
    log::paging::{self, Limits},
    wire::{self, Fetch, Pulled},
};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// What one answer holds; its first document goes whatever its size.
const LIMITS: Limits = Limits {
    entries: usize::MAX,
    bytes: 8 << 20,
};

/// `POST /v1/sync/fetch`.
pub async fn fetch(
    State(app): State<App>,
    phone: EnrolledPhone,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let fetch: Fetch = super::body::read(&body, "fetch")?;
    if fetch.documents.len() > wire::FETCH_LIMIT_DOCUMENTS {
        return Err(Problem::invalid(Invalid::new("fetch", Rule::TooLarge)));
    }
    let _place = app.room.enter().await?;
    let page = page(&app, &phone, &fetch).await?;
    pull::answer(&headers, page).await
}

async fn page(app: &App, phone: &EnrolledPhone, fetch: &Fetch) -> Result<Vec<u8>, sqlx::Error> {
    let mut tx = app.database.read.begin().await?;
    let ids: BTreeSet<DocumentId> = fetch.documents.iter().copied().collect();
    let readable = delivery::readable(&mut tx, phone, &ids).await?;
    let mut sizes = Insert::new(
        "with wanted (document_id) as (values",
        1,
        ") select d.document_id, d.size_bytes from document d \
         where d.document_id in (select document_id from wanted)",
    );
    for id in readable.keys() {
        sizes.push([Value::text(id)]);
    }
    let mut rows: Vec<(DocumentId, i64)> = Vec::new();
    for row in sizes.fetch(&mut tx).await? {
        rows.push((parsed(&row, "document_id")?, row.get(1)));
    }
    rows.sort_unstable();
    let listing = paging::listing(&rows, |_| true, LIMITS);
    let mut deliveries = Deliveries::new(!fetch.singly);
    for document in &listing.documents {
        deliveries.whole(*document);
    }
    let mut answer = Sequence::default();
    // Also what this phone wrote itself: it asks because it may have lost it.
    deliveries
        .put(app, &mut tx, "nobody", &readable, &mut answer)
        .await?;
    let through = listing.through.or(listing.documents.last().copied());
    let through = through.map_or_else(String::new, |id| id.to_string());
    answer.push(&Pulled::Cursor(through, listing.through.is_some()));
    Ok(answer.0)
}

#[cfg(test)]
mod tests;
