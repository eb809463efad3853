//! Rebuilding every projected row from the documents (`kieumau reproject`).

use super::Looked;
use crate::{
    app::App,
    projection::{self, Projected, Rows},
    row::parsed,
    stored::StoredDocument,
    worker::{Answer, Job, WorkerError},
};
use kieumau_core::{id::DocumentId, review::heads_text};

/// Rebuilds every projected row from the documents, one document at a time. How many there are.
///
/// # Errors
/// What the database says; `Io` naming the documents whose rows could not be rebuilt and are as they were.
pub async fn reproject(app: &App) -> Result<usize, sqlx::Error> {
    let documents = sqlx::query("select document_id from document order by document_id")
        .fetch_all(&app.database.read)
        .await?;
    let mut failed = Vec::new();
    for row in &documents {
        let id: DocumentId = parsed(row, "document_id")?;
        if !reproject_one(app, id).await? {
            failed.push(id.to_string());
        }
    }
    let mut tx = app.database.begin().await?;
    projection::drop_strays(&mut tx).await?;
    tx.commit().await?;
    if failed.is_empty() {
        Ok(documents.len())
    } else {
        Err(sqlx::Error::Io(std::io::Error::other(format!(
            "not rebuilt: {}",
            failed.join(" ")
        ))))
    }
}

async fn reproject_one(app: &App, id: DocumentId) -> Result<bool, sqlx::Error> {
    let mut tx = app.database.read.begin().await?;
    let looked = Looked::read(app, &mut tx, id).await?;
    tx.rollback().await?;
    let Some(looked) = looked else {
        return Ok(true);
    };
    let job = Job::Check(looked.job([].iter(), [].iter())?);
    let checked = match app.workers.run(&job).await {
        Ok(Answer::Checked(checked)) => checked,
        Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
        Ok(_) | Err(_) => return Ok(false),
    };
    let rows: Rows =
        serde_json::from_str(&checked.rows).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut tx = app.database.begin().await?;
    let now = StoredDocument::hold(&mut tx, &app.vault, id).await?;
    if now.is_some_and(|now| now.checked_heads == looked.checked_heads) {
        let mut projected = Projected::default();
        projected.add(&looked.key, &rows, true);
        projected.store(&mut tx).await?;
        sqlx::query("update document set projected_heads = $1 where document_id = $2")
            .bind(heads_text(&checked.heads))
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
    }
    // If it changed meanwhile, whoever changed it has written its rows.
    tx.commit().await?;
    Ok(true)
}
