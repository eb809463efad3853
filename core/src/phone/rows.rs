//! What is kept of a document beside its changes: the columns that lists show, the files it names, and its record whole, so that
//! a patrol opens without its changes (3.8 ms of loading and reading, against 0.3; November 2026).
//!
//! All of it is computed from the document at each write and can be computed anew. The record is read back only by the version
//! of the app that wrote it: an older one may have left out fields that it did not know.

use super::{error::PhoneError, items::Decided, patrols::Summary};
use crate::{
    attachment::Attachment,
    document::{self, Key, Kind, Record},
    evidence::EvidenceFile,
    hash::Sha256,
    id::{AttachmentId, DocumentId},
    patrol::PatrolLog,
    reference::Reference,
    review::{Review, heads_text},
};
use automerge::Automerge;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, Sqlite, SqliteConnection, Transaction};
use std::collections::BTreeMap;

/// What rows need of a document.
#[derive(Default)]
pub(super) struct Rows {
    patrol: Option<Summary>,
    decided: Option<Decided>,
    files: Vec<Sha256>,
}

/// A record that the phone keeps rows of.
pub(super) trait Projected: Record + Serialize + DeserializeOwned + Send + 'static {
    /// What rows need of it.
    fn rows(&self) -> Rows;
}

impl Projected for PatrolLog {
    fn rows(&self) -> Rows {
        Rows {
            patrol: Some(Summary::of(self)),
            files: files(&self.attachments),
            ..Rows::default()
        }
    }
}

impl Projected for EvidenceFile {
    fn rows(&self) -> Rows {
        Rows {
            files: files(&self.attachments),
            ..Rows::default()
        }
    }
}

impl Projected for Review {
    fn rows(&self) -> Rows {
        Rows {
            decided: Decided::standing(self),
            ..Rows::default()
        }
    }
}

impl Projected for Reference {
    fn rows(&self) -> Rows {
        Rows::default()
    }
}

/// Colleagues' files among them: nothing is called sent before the server has every file that the document names. A withdrawn
/// one is sent like another, but nothing waits for it.
fn files(attachments: &BTreeMap<AttachmentId, Attachment>) -> Vec<Sha256> {
    let standing = attachments.values().filter(|a| a.withdrawn_at_ms.is_none());
    standing.map(|a| a.sha256).collect()
}

/// What rows need of a document whose record is not at hand.
pub(super) fn of(kind: Kind, document: &Automerge) -> Result<Rows, PhoneError> {
    Ok(match kind {
        Kind::PatrolLog => document::read::<PatrolLog>(document)?.rows(),
        Kind::EvidenceFile => document::read::<EvidenceFile>(document)?.rows(),
        Kind::Review => document::read::<Review>(document)?.rows(),
        Kind::Reference => document::read::<Reference>(document)?.rows(),
    })
}

/// Who wrote what made the rows change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// This phone.
    Us,
    /// Others. That it came means that it may be read.
    Others,
}

/// Writes the rows of a document that has `heads` now.
pub(super) async fn put(
    tx: &mut Transaction<'_, Sqlite>,
    key: &Key,
    heads: &[Sha256],
    by: By,
    rows: &Rows,
) -> Result<(), PhoneError> {
    let document = key.document().to_string();
    let patrol = rows.patrol.as_ref();
    sqlx::query(
        "insert into document (document_id, kind, unit_id, name, heads, own, \
         title, started_at_ms, ended_at_ms, paused, observation_count, length_m) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (document_id) do update set heads = excluded.heads, own = max(own, excluded.own), \
         ungranted_at_ms = case when excluded.own then ungranted_at_ms end, title = excluded.title, \
         started_at_ms = excluded.started_at_ms, ended_at_ms = excluded.ended_at_ms, paused = excluded.paused, \
         observation_count = excluded.observation_count, length_m = excluded.length_m",
    )
    .bind(&document)
    .bind(key.kind.word())
    .bind(key.unit.to_string())
    .bind(&key.name)
    .bind(heads_text(heads))
    .bind(by == By::Us)
    .bind(patrol.map(|patrol| &patrol.title))
    .bind(patrol.map(|patrol| patrol.started_at_ms))
    .bind(patrol.and_then(|patrol| patrol.ended_at_ms))
    .bind(patrol.map(|patrol| patrol.paused))
    .bind(patrol.map(|patrol| patrol.observation_count))
    .bind(patrol.map(|patrol| patrol.length_m))
    .execute(&mut **tx)
    .await?;
    let files = serde_json::to_string(&rows.files).map_err(PhoneError::internal)?;
    sqlx::query(
        "delete from attachment_use where document_id = $1 and sha256 not in (select value from json_each($2))",
    )
    .bind(&document)
    .bind(&files)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "insert into attachment_use (document_id, sha256) select $1, value from json_each($2) where true \
         on conflict do nothing",
    )
    .bind(&document)
    .bind(&files)
    .execute(&mut **tx)
    .await?;
    if let Some(reviewed) = key.reviewed() {
        put_decision(tx, reviewed, rows.decided.as_ref()).await?;
    }
    Ok(())
}

async fn put_decision(
    tx: &mut Transaction<'_, Sqlite>,
    reviewed: DocumentId,
    decided: Option<&Decided>,
) -> Result<(), PhoneError> {
    sqlx::query("delete from decision where document_id = $1")
        .bind(reviewed.to_string())
        .execute(&mut **tx)
        .await?;
    let Some(decided) = decided else {
        return Ok(());
    };
    sqlx::query(
        "insert into decision (document_id, verdict, heads, field, remark, decided_by, decided_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(reviewed.to_string())
    .bind(decided.verdict.word())
    .bind(&decided.heads)
    .bind(&decided.field)
    .bind(&decided.remark)
    .bind(decided.by.to_string())
    .bind(decided.at_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a document says at `heads`.
pub(super) async fn put_record<R: Projected>(
    connection: &mut SqliteConnection,
    id: DocumentId,
    heads: &[Sha256],
    app_version: &str,
    record: &R,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into record (document_id, heads, app_version, content) values ($1, $2, $3, $4) \
         on conflict (document_id) do update set heads = excluded.heads, app_version = excluded.app_version, \
         content = excluded.content",
    )
    .bind(id.to_string())
    .bind(heads_text(heads))
    .bind(app_version)
    .bind(serde_json::to_string(record).map_err(PhoneError::internal)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a document says, if that is written beside it for its present heads, by this version of the app.
pub(super) async fn record<R: Projected>(
    connection: &mut SqliteConnection,
    id: DocumentId,
    app_version: &str,
) -> Result<Option<R>, PhoneError> {
    let row = sqlx::query(
        "select r.content from record r join document d on d.document_id = r.document_id and d.heads = r.heads \
         where r.document_id = $1 and r.app_version = $2",
    )
    .bind(id.to_string())
    .bind(app_version)
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|row| serde_json::from_str(row.get(0)).ok()))
}
