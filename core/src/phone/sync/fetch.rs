//! Fetch: documents that this phone asks for by their ids, because what it has of them is not whole or differs from the server's.
//!
//! What is asked for is a fact on the disk; it is settled when the answer has it, or has it not: then the server has nothing to give.

use super::Session;
use crate::{
    id::DocumentId,
    inbox::Page,
    phone::PhoneError,
    wire::{FETCH_LIMIT_DOCUMENTS, Fetch},
};
use sqlx::{Connection as _, Row as _, SqliteConnection};

impl Session<'_> {
    pub(super) async fn fetch(&mut self) -> Result<(bool, bool), PhoneError> {
        let fetch = wanted(&mut self.phone.store().await.connection).await?;
        let answer = self.client.fetch(self.token()?, &fetch).await?;
        let page = Page::read(&answer)?;
        let came = self.take_documents(&page, None).await?;
        self.report.received_changes += came;
        // Up to there the answer says all: what it does not bring, this phone may not read or the server has not.
        let through: DocumentId = match page.cursor.as_str() {
            _ if !page.more => DocumentId::from_bytes([0xff; 16]),
            through => through.parse().map_err(PhoneError::internal)?,
        };
        let mut store = self.phone.store().await;
        let mut tx = store.connection.begin().await?;
        for document in fetch.documents.iter().filter(|id| **id <= through) {
            for settled in [
                // What came and did not unfold is wanted in another form by now.
                "delete from wanted where document_id = $1 and singly <= $2",
                // What does not unfold has come in another form.
                "delete from arrival where document_id = $1 and set_aside \
                 and exists (select 1 from document d where d.document_id = $1) and $2 is not null",
            ] {
                sqlx::query(settled)
                    .bind(document.to_string())
                    .bind(fetch.singly)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        Ok((came > 0, page.more))
    }
}

/// What is wanted in one form, as much as one request names.
async fn wanted(connection: &mut SqliteConnection) -> Result<Fetch, PhoneError> {
    let rows =
        sqlx::query("select document_id, singly from wanted order by singly, document_id limit $1")
            .bind(i64::try_from(FETCH_LIMIT_DOCUMENTS).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
    let singly = rows.first().is_some_and(|row| row.get(1));
    let mut documents = Vec::new();
    for row in rows.iter().filter(|row| row.get::<bool, _>(1) == singly) {
        documents.push(
            row.get::<&str, _>(0)
                .parse()
                .map_err(PhoneError::internal)?,
        );
    }
    Ok(Fetch { documents, singly })
}
