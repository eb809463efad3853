//! Compare: a phone tells what it has, 24 bytes a document, and hears what differs. The rule is `core::log::compare`; here are its rows.

use crate::{
    app::App,
    problem::{Answer, Problem},
    row::parsed,
    sync::{delivery, pull},
    token::EnrolledPhone,
};
use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use kieumau_core::{
    id::DocumentId,
    invalid::{Invalid, Rule},
    log::{
        compare::{self, Digest, Held},
        paging::Cursor,
    },
    wire::{self, Compare, Compared},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// `POST /v1/sync/compare`.
pub async fn compare(
    State(app): State<App>,
    phone: EnrolledPhone,
    body: Bytes,
) -> Answer<Response> {
    let unreadable = || Problem::invalid(Invalid::new("compare", Rule::Unreadable));
    let compare: Compare = super::body::read(&body, "compare")?;
    if compare.documents.len() > wire::COMPARE_LIMIT_DOCUMENTS * compare::PAIR_BYTES {
        return Err(Problem::invalid(Invalid::new("compare", Rule::TooLarge)));
    }
    let named = compare::unpack(&compare.documents).ok_or_else(unreadable)?;
    let _place = app.room.enter().await?;
    // The cursor first: what comes into the feed meanwhile lies behind it and is pulled.
    let (epoch, end) = pull::end(&app, phone.unit).await?;
    let feeds = vec![pull::position(phone.unit, end, None)];
    let compared = Compared {
        differing: differing(&app, &phone, &named).await?.into_iter().collect(),
        cursor: Cursor { epoch, feeds }.to_text(),
    };
    let body = minicbor::to_vec(&compared)
        .map_err(|error| Problem::internal(std::io::Error::other(error.to_string())))?;
    Ok(([(header::CONTENT_TYPE, wire::CBOR)], body).into_response())
}

async fn differing(
    app: &App,
    phone: &EnrolledPhone,
    named: &BTreeMap<DocumentId, Digest>,
) -> Result<BTreeSet<DocumentId>, sqlx::Error> {
    let rows = sqlx::query(
        "select document_id, heads, checked_heads from document where unit_id = $1 and heads <> ''",
    )
    .bind(phone.unit.to_string())
    .fetch_all(&app.database.read)
    .await?;
    // A phone names most of what it may read: who may read is asked about the rest only.
    let mut unnamed = BTreeSet::new();
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        let document: DocumentId = parsed(row, "document_id")?;
        if !named.contains_key(&document) {
            unnamed.insert(document);
        }
        held.push(Held {
            document,
            heads: row.get(1),
            checked_heads: row.get(2),
            readable: false,
        });
    }
    let mut tx = app.database.read.begin().await?;
    let readable = delivery::readable(&mut tx, phone, &unnamed).await?;
    let held = held.into_iter().map(|held| Held {
        readable: readable.contains_key(&held.document),
        ..held
    });
    Ok(compare::differing(named, held))
}

#[cfg(test)]
mod tests;
