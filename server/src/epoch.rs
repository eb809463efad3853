//! A new epoch of the log, to be begun after a backup was put back: what came after the backup is not here any more, and phones that
//! have receipts of it must hear so. They compare then, and push again what this server lost.

use crate::{
    app::App,
    attachment::store::StoreError,
    audit::{self, Deed},
    clock, ledger,
};
use kieumau_core::log::head::{Epoch, TreeHead};
use sqlx::Row as _;

/// What a new epoch begins with.
#[derive(Debug)]
pub struct Begun {
    /// The new epoch.
    pub epoch: Epoch,
    /// The head of the one before, which the new one's first leaf holds.
    pub previous: TreeHead,
    /// Files that were known and are not in the store.
    pub lost_files: usize,
}

/// Ends the log's epoch and begins another, with an audit row. Files that the store of today does not hold are forgotten, so that
/// no receipt names them and phones send them again: the database and the files may come from backups of different days.
///
/// # Errors
/// What the database or the store says; the epoch is then the old one.
pub async fn begin(app: &App, reason: &str) -> Result<Begun, sqlx::Error> {
    let epoch = Epoch(rand::random());
    let now_ms = clock::now_ms();
    let lost = lost_files(app).await?;
    let mut tx = app.database.begin().await?;
    for (unit, sha256) in &lost {
        sqlx::query("delete from attachment where unit_id = $1 and sha256 = $2")
            .bind(unit)
            .bind(sha256)
            .execute(&mut *tx)
            .await?;
    }
    let previous = ledger::begin_anew(&mut tx, epoch, app.keys.purposes(), now_ms).await?;
    let deed = Deed {
        action: "epoch-begun",
        subject: Some(epoch.to_string()),
        detail: Some(reason.to_owned()),
        ..Deed::default()
    };
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    Ok(Begun {
        epoch,
        previous,
        lost_files: lost.len(),
    })
}

/// Files that have a row and are not in the store: their units and hashes.
async fn lost_files(app: &App) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query("select unit_id, sha256, object from attachment order by object")
        .fetch_all(&app.database.read)
        .await?;
    let mut lost = Vec::new();
    for row in &rows {
        let held = app.objects.holds(row.get(2)).await;
        if !held.map_err(unreadable)? {
            lost.push((row.get(0), row.get(1)));
        }
    }
    Ok(lost)
}

/// A store that does not answer says nothing about what it holds.
fn unreadable(error: StoreError) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(error))
}

#[cfg(test)]
mod tests;
