//! The audit table (nhật ký truy cập): who did what to what, written in the transaction that did it. A row says ids and stable
//! words, never content. Reading a sensitive thing is a deed too.

use crate::database::Tx;
use kieumau_core::id::{PersonId, PhoneId, UnitId};

/// One deed.
#[derive(Clone, Debug, Default)]
pub struct Deed<'a> {
    /// Who, if a person signed in to pages or a phone's owner.
    pub person: Option<PersonId>,
    /// With which phone.
    pub phone: Option<PhoneId>,
    /// In which unit.
    pub unit: Option<UnitId>,
    /// A stable word: `patrol-read`.
    pub action: &'a str,
    /// The id of what it was done to.
    pub subject: Option<String>,
    /// A stable word or a count that tells more; never content.
    pub detail: Option<String>,
}

/// Writes the deed's row.
///
/// # Errors
/// What the database says; the deed is then not done either.
pub async fn write(tx: &mut Tx, at_ms: i64, deed: Deed<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into audit (audit_id, at_ms, person_id, phone_id, unit_id, action, subject, detail) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(at_ms)
    .bind(deed.person.map(|id| id.to_string()))
    .bind(deed.phone.map(|id| id.to_string()))
    .bind(deed.unit.map(|id| id.to_string()))
    .bind(deed.action)
    .bind(deed.subject)
    .bind(deed.detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
