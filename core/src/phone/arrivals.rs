//! What came whole is put down as it came, in one row, and unfolded into changes before anything else is done with it.
//!
//! A phone that has nothing yet takes a unit's documents several times faster so than change by change, and a crash between
//! loses nothing: what arrived is on the disk with the cursor that says so. A snapshot that does not unfold is set aside, and its document is
//! fetched as single changes. What is of a kind that this version of the app does not know stays as it came, until one does.

use super::{
    error::{PhoneError, Unreached},
    rows::{self, By},
    store::{Store, put_change, put_seal},
};
use crate::{
    document::{self, Change, Key},
    id::DocumentId,
    inbox::{Arrived, Incoming, Moved, NotOurs, Place},
    outbox,
    seal::Seal,
};
use automerge::Automerge;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, Transaction};

/// Documents unfolded in one transaction.
const TOGETHER: usize = 64;
/// Rows written in one statement: each costs a hop to SQLite's thread.
const ROWS: usize = 16;

impl From<NotOurs> for PhoneError {
    fn from(_: NotOurs) -> Self {
        Self::offline(Unreached::NotOurs)
    }
}

impl Store {
    /// Finds what is not unfolded yet, and gives what lay here of unknown kinds its name if this version knows it.
    pub(super) async fn find_arrivals(&mut self) -> Result<(), PhoneError> {
        let strange =
            sqlx::query("select arrival_id, items from arrival where document_id is null")
                .fetch_all(&mut self.connection)
                .await?;
        for row in &strange {
            if let Some(incoming) = Incoming::read(row.get(1))? {
                sqlx::query("update arrival set document_id = $1 where arrival_id = $2")
                    .bind(incoming.key.document().to_string())
                    .bind(row.get::<i64, _>(0))
                    .execute(&mut self.connection)
                    .await?;
            }
        }
        let rows = sqlx::query(
            "select distinct document_id from arrival where document_id is not null and not set_aside",
        )
        .fetch_all(&mut self.connection)
        .await?;
        for row in &rows {
            let id = row.get::<&str, _>(0).parse();
            self.folded.insert(id.map_err(PhoneError::internal)?);
        }
        Ok(())
    }

    /// Puts down what came, as it came, with the cursor that says that it did.
    pub(super) async fn put_down(
        &mut self,
        arrived: &[&Arrived<'_>],
        cursor: Option<&str>,
        now_ms: i64,
    ) -> Result<(), PhoneError> {
        let mut tx = self.connection.begin().await?;
        let strange = |arrived: &Arrived<'_>| arrived.strange.map(|id| id.to_string());
        // What came whole holds what came before.
        let anew = arrived.iter().filter(|arrived| arrived.snapshot.is_some());
        for strange in anew.filter_map(|arrived| strange(arrived)) {
            sqlx::query("delete from arrival where document_id is null and strange = $1")
                .bind(strange)
                .execute(&mut *tx)
                .await?;
        }
        for some in arrived.chunks(ROWS) {
            let mut rows = sqlx::QueryBuilder::new(
                "insert into arrival (document_id, strange, app_version, items) ",
            );
            rows.push_values(some, |mut row, arrived| {
                row.push_bind(arrived.key.as_ref().map(|key| key.document().to_string()));
                row.push_bind(strange(arrived));
                row.push_bind(&self.app_version);
                row.push_bind(arrived.items());
            });
            rows.build().execute(&mut *tx).await?;
        }
        if let Some(cursor) = cursor {
            put_cursor(&mut tx, cursor, now_ms).await?;
        }
        tx.commit().await?;
        let ids = arrived.iter().filter_map(|arrived| arrived.key.as_ref());
        self.folded.extend(ids.map(Key::document));
        Ok(())
    }

    /// Whether there is nothing of this document here.
    pub(super) async fn is_new(&mut self, id: DocumentId) -> Result<bool, PhoneError> {
        if self.folded.contains(&id) {
            return Ok(false);
        }
        let row = sqlx::query("select 1 from document where document_id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(row.is_none())
    }

    /// Unfolds a document if it is not yet.
    pub(super) async fn unfold(&mut self, id: DocumentId) -> Result<(), PhoneError> {
        if self.folded.contains(&id) {
            self.unfold_these(&[id]).await?;
        }
        Ok(())
    }

    /// Unfolds all there is, before a list. A full disk hides what came last from lists and nothing else.
    pub(super) async fn unfold_all(&mut self) -> Result<(), PhoneError> {
        while !self.folded.is_empty() {
            let some: Vec<DocumentId> = self.folded.iter().take(TOGETHER).copied().collect();
            match self.unfold_these(&some).await {
                Ok(()) => {}
                Err(PhoneError::StorageFull) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn unfold_these(&mut self, ids: &[DocumentId]) -> Result<(), PhoneError> {
        let mut tx = self.connection.begin().await?;
        for id in ids {
            let rows = sqlx::query(
                "select items from arrival where document_id = $1 and not set_aside order by arrival_id",
            )
            .bind(id.to_string())
            .fetch_all(&mut *tx)
            .await?;
            let items: Vec<u8> = rows
                .iter()
                .flat_map(|row| row.get::<&[u8], _>(0))
                .copied()
                .collect();
            match unfolded(&items) {
                Ok(Some(unfolded)) => unfolded.put(&mut tx, *id).await?,
                Ok(None) | Err(_) => set_aside(&mut tx, *id).await?,
            }
        }
        tx.commit().await?;
        for id in ids {
            self.folded.remove(id);
        }
        Ok(())
    }
}

/// Whether this version of the app fetched a document and did not know its kind: it would not know it tomorrow either.
pub(super) async fn is_strange(
    connection: &mut SqliteConnection,
    id: DocumentId,
    app_version: &str,
) -> Result<bool, PhoneError> {
    let row = sqlx::query(
        "select 1 from arrival where document_id is null and strange = $1 and app_version = $2 limit 1",
    )
    .bind(id.to_string())
    .bind(app_version)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// A document that is about to get its rows.
struct Unfolded {
    key: Key,
    document: Automerge,
    rows: rows::Rows,
    changes: Vec<Change>,
    seals: Vec<Seal>,
}

fn unfolded(items: &[u8]) -> Result<Option<Unfolded>, PhoneError> {
    let Some(incoming) = Incoming::read(items)? else {
        return Ok(None);
    };
    let key = incoming.key.clone();
    let (document, changes, seals) = incoming.into_document()?;
    Ok(Some(Unfolded {
        rows: rows::of(key.kind, &document)?,
        key,
        document,
        changes,
        seals,
    }))
}

impl Unfolded {
    async fn put(self, tx: &mut Transaction<'_, Sqlite>, id: DocumentId) -> Result<(), PhoneError> {
        let heads = document::heads(&self.document);
        rows::put(tx, &self.key, &heads, By::Others, &self.rows).await?;
        for change in &self.changes {
            put_change(tx, id, change, false).await?;
        }
        for seal in &self.seals {
            put_seal(tx, id, seal).await?;
        }
        sqlx::query("delete from arrival where document_id = $1")
            .bind(id.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Keeps what does not unfold, and asks for it in another form.
async fn set_aside(tx: &mut Transaction<'_, Sqlite>, id: DocumentId) -> Result<(), PhoneError> {
    sqlx::query("update arrival set set_aside = 1 where document_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    want(tx, id, true).await
}

/// Asks for a document at the next sync.
pub(super) async fn want(
    tx: &mut Transaction<'_, Sqlite>,
    id: DocumentId,
    singly: bool,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into wanted (document_id, singly) values ($1, $2) \
         on conflict (document_id) do update set singly = max(singly, excluded.singly)",
    )
    .bind(id.to_string())
    .bind(singly)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where this phone is in its feeds.
pub(super) async fn place(connection: &mut SqliteConnection) -> Result<Place, PhoneError> {
    let row = sqlx::query("select cursor, epoch, compared_at_ms from sync")
        .fetch_one(&mut *connection)
        .await?;
    let cursor: String = row.get(0);
    let mut sent = false;
    if cursor.is_empty() {
        let words =
            sqlx::query("select distinct server from change where own and server is not null")
                .fetch_all(connection)
                .await?;
        sent = words.iter().any(|row| outbox::is_settled(row.get(0)));
    }
    Ok(Place {
        cursor,
        epoch: row.get::<&str, _>(1).parse().ok(),
        compared_at_ms: row.get(2),
        sent,
    })
}

/// Writes down whose history a first page is of, before anything of it: its cursor comes after all the rest.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    cursor: &str,
) -> Result<(), PhoneError> {
    if let Some(epoch) = place(connection).await?.begun(cursor)? {
        sqlx::query("update sync set epoch = $1")
            .bind(epoch.to_string())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Where the feed is read on, and what that makes of receipts of before.
pub(super) async fn put_cursor(
    tx: &mut Transaction<'_, Sqlite>,
    cursor: &str,
    now_ms: i64,
) -> Result<(), PhoneError> {
    let Moved { place, cut_short } = place(tx).await?.moved(cursor, now_ms)?;
    if cut_short {
        for cut_short in [
            "update receipt set epoch = ''",
            "update sync set backed_up_epoch = null, backed_up_through = null",
        ] {
            sqlx::query(cut_short).execute(&mut **tx).await?;
        }
    }
    sqlx::query("update sync set cursor = $1, epoch = $2, compared_at_ms = $3")
        .bind(place.cursor)
        .bind(
            place
                .epoch
                .map_or_else(String::new, |epoch| epoch.to_string()),
        )
        .bind(place.compared_at_ms)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
