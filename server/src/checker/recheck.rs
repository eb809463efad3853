//! Looking again at what was withheld (`kieumau recheck`).

use super::round;
use crate::app::App;

/// Lets the worker look again at everything it withheld, after an upgrade or a bad day of the machine. How many changes.
///
/// # Errors
/// What the database says.
pub async fn recheck(app: &App) -> Result<u64, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let again = sqlx::query(
        "update change set state = 'accepted', withheld_for = null where state = 'withheld'",
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update document set unchecked_from = (select min(c.number) from change c \
         where c.document_id = document.document_id and c.state = 'accepted')",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    while round(app).await? > 0 {}
    Ok(again.rows_affected())
}
