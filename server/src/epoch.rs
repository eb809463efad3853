//! A new epoch of the log, to be begun after a backup was put back: what came after the backup is not here any more, and phones that
//! have receipts of it must hear so. They compare then, and push again what this server lost.

use crate::{
    app::App,
    audit::{self, Deed},
    clock, ledger,
};
use kieumau_core::log::head::{Epoch, TreeHead};

/// Ends the log's epoch and begins another, with an audit row. The new epoch, and the head of the one before, which its first
/// leaf holds.
///
/// # Errors
/// What the database says; the epoch is then the old one.
pub async fn begin(app: &App, reason: &str) -> Result<(Epoch, TreeHead), sqlx::Error> {
    let epoch = Epoch(rand::random());
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let previous = ledger::begin_anew(&mut tx, epoch, app.keys.purposes(), now_ms).await?;
    let deed = Deed {
        action: "epoch-begun",
        subject: Some(epoch.to_string()),
        detail: Some(reason.to_owned()),
        ..Deed::default()
    };
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    Ok((epoch, previous))
}

#[cfg(test)]
mod tests;
