//! Opening what lies in quarantine: the chief of the unit reads what a change would have said, as a list of fields and values. A
//! worker reads it, under the limits of all hostile bytes; each opening is a row in the audit.

use super::{Item, find};
use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    problem::{Answer, Problem},
    row::parsed,
    run::Run,
    session::SignedIn,
    stored::{StoredDocument, damaged},
    vault,
    worker::{self, Bytes, Job},
};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, UnitId},
    person::Role,
};
use sqlx::Row as _;

/// What was opened.
#[derive(Debug)]
pub struct Content {
    /// The item.
    pub item: Item,
    /// What it would write: field and value. None if no worker can read it.
    pub fields: Option<Vec<(String, String)>>,
}

/// Opens an item for the chief of its unit.
///
/// # Errors
/// `forbidden` for any other role; `not-found` for another unit's, or one that is not routed yet; `internal`.
pub async fn content(app: &App, who: &SignedIn, id: &str) -> Answer<Content> {
    let item = find(app, who, id).await?;
    if who.role != Role::Chief {
        return Err(Problem::forbidden());
    }
    let bytes = bytes(app, &item).await?;
    // The row first: who reads is written down whatever reading comes to.
    let mut tx = app.database.begin().await?;
    let unit: Option<UnitId> = item.unit.as_ref().and_then(|unit| unit.parse().ok());
    let deed = Deed {
        unit,
        subject: Some(item.id.clone()),
        detail: Some(item.reason.clone()),
        ..who.deed("quarantine-read")
    };
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    let fields = match app.workers.run(&Job::Read(Bytes(bytes))).await {
        Ok(worker::Answer::Read(fields)) => Some(fields),
        Err(worker::WorkerError::NotStarted(error)) => return Err(Problem::internal(error)),
        // It is here because nobody can read it safely.
        Ok(_) | Err(_) => None,
    };
    Ok(Content { item, fields })
}

/// The bytes of an item, out of their envelope.
pub(super) async fn bytes(app: &App, item: &Item) -> Result<Vec<u8>, sqlx::Error> {
    let hash: Sha256 = item
        .hash
        .parse()
        .map_err(|_| damaged("a hash in quarantine"))?;
    if item.state == "withheld" {
        let document: Option<DocumentId> = item.document.as_ref().and_then(|id| id.parse().ok());
        let document = document.ok_or(sqlx::Error::RowNotFound)?;
        let mut tx = app.database.read.begin().await?;
        let stored = StoredDocument::read(&mut tx, &app.vault, document)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        let row = sqlx::query(
            "select hash, earlier, number, bytes from change where document_id = $1 and hash = $2",
        )
        .bind(document.to_string())
        .bind(hash.to_string())
        .fetch_one(&mut *tx)
        .await?;
        tx.rollback().await?;
        return Run::of(&row)?.open_last(&stored.vault_key);
    }
    let row = sqlx::query(
        "select quarantine_id, wrapped_key, bytes from quarantine where quarantine_id = $1",
    )
    .bind(&item.id)
    .fetch_one(&app.database.read)
    .await?;
    let id: String = parsed(&row, "quarantine_id")?;
    let key = app
        .vault
        .key(&id, &row.get::<Vec<u8>, _>(1))
        .map_err(|_| damaged("a key in quarantine"))?;
    vault::open(&key, &[0; 24], hash.as_bytes(), &row.get::<Vec<u8>, _>(2))
        .map_err(|_| damaged("bytes in quarantine were changed"))
}
