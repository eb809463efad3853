//! Pull: what others wrote, document by document, up to a new cursor.
//!
//! Each document is merged in one transaction; a sequence that was cut keeps what came whole and is asked for again.

use super::{Event, Session};
use crate::{
    document::{Change, Key},
    header,
    id::DocumentId,
    phone::{PhoneError, Unreached},
    seal::Seal,
    wire::{After, Pulled},
};
use sqlx::Row as _;

impl Session<'_> {
    pub(super) async fn pull(&mut self) -> Result<(bool, bool), PhoneError> {
        let after = self.after().await?;
        let items = self.client.pull(self.token()?, &after).await?;
        self.take_in(items).await
    }

    /// Where this phone is in its feeds.
    pub(super) async fn after(&self) -> Result<After, PhoneError> {
        let mut store = self.phone.store().await;
        let cursor = sqlx::query("select cursor from sync")
            .fetch_one(&mut store.connection)
            .await?
            .get(0);
        Ok(After {
            cursor,
            opening: Some(store.opening),
        })
    }

    /// Takes in one page of the feed, wherever it came from.
    pub(super) async fn take_in(&mut self, items: Vec<Pulled>) -> Result<(bool, bool), PhoneError> {
        let mut came = 0;
        let mut open: Option<Incoming> = None;
        for item in items {
            match item {
                Pulled::Document(key) => {
                    came += self.merge(open.replace(Incoming::new(key.key()?))).await?;
                }
                Pulled::Change(bytes) => {
                    let header = header::read(&bytes)
                        .map_err(|_| PhoneError::offline(Unreached::NotOurs))?;
                    let change = Change {
                        hash: header.hash,
                        bytes,
                    };
                    open.as_mut().ok_or_else(no_document)?.changes.push(change);
                }
                Pulled::Seal(seal) => open.as_mut().ok_or_else(no_document)?.seals.push(seal),
                Pulled::Ungrant(document, _) => self.ungrant(document).await?,
                Pulled::Cursor(cursor, more) => {
                    came += self.merge(open.take()).await?;
                    // Once in a sync: a second time would find the same and never end.
                    let again = std::mem::take(&mut self.lacking) && !self.read_anew;
                    self.read_anew |= again;
                    let (cursor, more) = if again {
                        (String::new(), true)
                    } else {
                        (cursor, more)
                    };
                    let mut store = self.phone.store().await;
                    sqlx::query("update sync set cursor = $1")
                        .bind(cursor)
                        .execute(&mut store.connection)
                        .await?;
                    return Ok((came > 0, more));
                }
            }
        }
        // Cut before its cursor: what came whole stays, and the same place is asked for again.
        Err(PhoneError::offline(Unreached::NoAnswer))
    }

    async fn merge(&mut self, incoming: Option<Incoming>) -> Result<u32, PhoneError> {
        let Some(incoming) = incoming else {
            return Ok(0);
        };
        let merged = self
            .phone
            .store()
            .await
            .merge(&incoming.key, &incoming.changes, &incoming.seals)
            .await?;
        self.lacking |= merged.lacking > 0;
        let new = u32::try_from(merged.new).map_err(PhoneError::internal)?;
        self.report.received_changes += new;
        if merged.new > 0 {
            let document = incoming.key.document();
            self.phone.syncing.tell(Event::Changed { document }).await;
        }
        Ok(new)
    }

    async fn ungrant(&self, document: DocumentId) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        sqlx::query("update document set ungranted_at_ms = $1 where document_id = $2")
            .bind(self.phone.now_ms())
            .bind(document.to_string())
            .execute(&mut store.connection)
            .await?;
        Ok(())
    }
}

/// A document's part of a pull.
struct Incoming {
    key: Key,
    changes: Vec<Change>,
    seals: Vec<Seal>,
}

impl Incoming {
    const fn new(key: Key) -> Self {
        Self {
            key,
            changes: Vec::new(),
            seals: Vec::new(),
        }
    }
}

fn no_document() -> PhoneError {
    PhoneError::internal("a change came before its document was named")
}
