//! What is written of documents that were looked into: their rows, their heads, and who may read them.

use crate::{
    database::Tx,
    feed,
    projection::{Projected, Rows},
    row::parsed,
};
use kieumau_core::{document::Key, hash::Sha256, id::PersonId, log::rights, review::heads_text};
use std::collections::BTreeSet;

/// Documents that were looked into, with their heads and rows.
#[derive(Default)]
pub(super) struct Shown {
    documents: Vec<(Key, Vec<Sha256>, Rows)>,
    rows: Projected,
}

impl Shown {
    /// One more; `before` says whether it may have been shown before.
    pub(super) fn add(&mut self, key: &Key, heads: Vec<Sha256>, rows: Rows, before: bool) {
        self.rows.add(key, &rows, before);
        self.documents.push((key.clone(), heads, rows));
    }

    /// Writes grants, rows and heads.
    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        for (key, heads, rows) in &self.documents {
            grants(tx, key, rows).await?;
            sqlx::query(
                "update document set checked_heads = $1, projected_heads = $1 where document_id = $2",
            )
            .bind(heads_text(heads))
            .bind(key.document().to_string())
            .execute(&mut **tx)
            .await?;
        }
        self.rows.store(tx).await
    }
}

/// Rows, heads and grants of a document that was looked into.
///
/// # Errors
/// What the database says.
pub async fn write(
    tx: &mut Tx,
    key: &Key,
    heads: &[Sha256],
    rows: &Rows,
) -> Result<(), sqlx::Error> {
    let mut shown = Shown::default();
    shown.add(key, heads.to_vec(), rows.clone(), true);
    shown.store(tx).await
}

/// Who came onto the team is given the document whole, by an entry with a number of its own.
async fn grants(tx: &mut Tx, key: &Key, rows: &Rows) -> Result<(), sqlx::Error> {
    let members = rows.readers();
    let old = sqlx::query("select person_id from patrol_member where document_id = $1")
        .bind(key.document().to_string())
        .fetch_all(&mut **tx)
        .await?;
    let old: BTreeSet<PersonId> = old
        .iter()
        .map(|row| parsed(row, "person_id"))
        .collect::<Result<_, _>>()?;
    if members == old {
        return Ok(());
    }
    let mut feeds = feed::hold(tx, &BTreeSet::from([key.unit])).await?;
    for entry in rights::changed(key.document(), &old, &members) {
        feeds.append(key.unit, entry)?;
    }
    feed::store(tx, feeds).await
}
