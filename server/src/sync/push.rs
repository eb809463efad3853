//! Push: reads headers and checks seals outside any transaction, then hands over to the committer.
//!
//! What is read here is bounded: the body, the number of changes, each header. No operation of a change is looked at. What costs
//! processor time (hashes, signatures) is done on a thread of its own, so that no other request waits for a large push.

use crate::{
    app::App,
    backed_up,
    intake::PreparedPush,
    problem::{Answer, Problem},
    row::parsed,
    sync::pull,
    token::{EnrolledPhone, SealingPhone},
};
use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use kieumau_core::{
    document::Key,
    id::{PhoneId, UnitId},
    invalid::{Invalid, Rule},
    log::arrival::{self, Signers},
    wire::{self, After, Push, PushedDocument},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// `POST /v1/sync/push`.
pub async fn push(State(app): State<App>, phone: SealingPhone, body: Bytes) -> Answer<Response> {
    let _under_way = app.checker.push_begins();
    let push: Push = super::body::read(&body, "push")?;
    // Read, it is there twice.
    drop(body);
    if !keeps_limits(&push) {
        return Err(Problem::invalid(Invalid::new("push", Rule::TooLarge)));
    }
    let (after, backups) = (push.after.clone(), push.backups);
    let mut keys = keys(&app);
    keys.add(
        phone.speaks.phone,
        &phone.public_key,
        phone.enrolled_in,
        false,
    );
    let phone = phone.speaks;
    let prepared = prepare_with(&app, keys, phone.phone, phone.unit, push).await?;
    let mut pushed = app.committer.commit(prepared).await?.signed(&app);
    if let Some(after) = after {
        pushed.page = page(&app, &phone, &after).await;
    }
    if let Some(known) = backups {
        let announced = backed_up::announced(&app).await?;
        pushed.backed_up = announced
            .filter(|announced| announced.is_news(known.epoch, known.through))
            .map(|announced| announced.sign(&app.keys.receipt));
    }
    let body = minicbor::to_vec(&pushed)
        .map_err(|error| Problem::internal(std::io::Error::other(error.to_string())))?;
    Ok(([(header::CONTENT_TYPE, wire::CBOR)], body).into_response())
}

/// Whether a push brings and asks no more than one may: what a body of its size could hold would keep the committer for minutes.
fn keeps_limits(push: &Push) -> bool {
    let changes: usize = push.documents.iter().map(|of| of.changes.len()).sum();
    let seals: usize = push.documents.iter().map(|of| of.seals.len()).sum();
    let asked = push.receipts.iter();
    let asked: usize = asked.map(|of| of.heads.len() + of.attachments.len()).sum();
    push.documents.len() <= wire::PUSH_LIMIT_DOCUMENTS
        && push.receipts.len() <= wire::PUSH_LIMIT_DOCUMENTS
        && changes <= wire::PUSH_LIMIT_CHANGES
        && seals <= wire::PUSH_LIMIT_SEALS
        && asked <= wire::PUSH_LIMIT_ASKED
}

/// The feed's next page if it is short. Without it the phone pulls: what it pushed is on the disk whatever becomes of the page.
async fn page(app: &App, phone: &EnrolledPhone, after: &After) -> Option<Vec<u8>> {
    // What is on the disk is said at once, and not when others have read theirs.
    if app.room.is_full() {
        return None;
    }
    match pull::page(app, phone, after).await {
        Ok(page) => (page.len() <= wire::PUSHED_PAGE_LIMIT_BYTES).then_some(page),
        Err(problem) => {
            problem.log();
            None
        }
    }
}

/// Reads headers and checks seals. What is not of `unit` is refused; `carrier` brought it, and is no authority.
///
/// # Errors
/// `invalid` for a name that is no document's; `internal`.
pub async fn prepare(
    app: &App,
    carrier: PhoneId,
    unit: UnitId,
    push: Push,
) -> Answer<PreparedPush> {
    prepare_with(app, keys(app), carrier, unit, push).await
}

/// The same, where a chief lets in what phones wrote that are revoked by now: their seals count as they did before.
///
/// # Errors
/// As [`prepare`].
pub async fn prepare_admitted(
    app: &App,
    carrier: PhoneId,
    unit: UnitId,
    push: Push,
) -> Answer<PreparedPush> {
    let keys = keys(app).with_revoked();
    prepare_with(app, keys, carrier, unit, push).await
}

/// The same, with `keys` that are known already.
async fn prepare_with(
    app: &App,
    mut keys: Signers,
    carrier: PhoneId,
    unit: UnitId,
    push: Push,
) -> Answer<PreparedPush> {
    load(app, &mut keys, &arrival::phones_that_seal(&push.documents)).await?;
    let pushed = by_document(push.documents)?;
    let read = tokio::task::spawn_blocking(move || {
        let mut refused = Vec::new();
        let documents = pushed
            .into_iter()
            .filter_map(|(key, document)| {
                arrival::prepare(&keys, unit, key, document, &mut refused)
            })
            .collect();
        (documents, refused)
    });
    let (documents, refused) = read.await.map_err(Problem::internal)?;
    Ok(PreparedPush {
        carrier: Some(carrier),
        unit,
        documents,
        receipts: push.receipts,
        refused,
    })
}

/// Named a thousand times, a document is one: each time would cost what waits in it.
fn by_document(pushed: Vec<PushedDocument>) -> Answer<BTreeMap<Key, PushedDocument>> {
    let mut documents = BTreeMap::new();
    for document in pushed {
        match documents.entry(document.key.key()?) {
            Entry::Vacant(new) => {
                new.insert(document);
            }
            Entry::Occupied(mut named) => {
                named.get_mut().changes.extend(document.changes);
                named.get_mut().seals.extend(document.seals);
            }
        }
    }
    Ok(documents)
}

/// The server's own key.
fn keys(app: &App) -> Signers {
    Signers::new(app.keys.seal.verifying_key())
}

/// Adds those of these phones that are not known yet.
async fn load(
    app: &App,
    keys: &mut Signers,
    signers: &BTreeSet<PhoneId>,
) -> Result<(), sqlx::Error> {
    for phone in signers {
        if keys.knows(*phone) {
            continue;
        }
        let row =
            sqlx::query("select public_key, revoked_at_ms, unit_id from phone where phone_id = $1")
                .bind(phone.to_string())
                .fetch_optional(&app.database.read)
                .await?;
        if let Some(row) = row {
            let revoked = row.get::<Option<i64>, _>(1).is_some();
            keys.add(*phone, row.get(0), parsed(&row, "unit_id")?, revoked);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
