//! Looking again at what was withheld (`kieumau recheck`).

use super::round;
use crate::{app::App, feed};

/// Lets the worker look again at everything it withheld, after an upgrade or a bad day of the machine. How many changes.
///
/// # Errors
/// What the database says.
pub async fn recheck(app: &App) -> Result<u64, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let again = feed::release(&mut tx, None).await?;
    tx.commit().await?;
    while round(app).await? > 0 {}
    Ok(again)
}
