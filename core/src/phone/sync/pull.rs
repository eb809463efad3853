//! Pull: what others wrote, document by document, up to a new cursor.
//!
//! Each document is merged in one transaction; a sequence that was cut keeps what came whole and is asked for again.

use super::{Event, Session};
use crate::{
    id::DocumentId,
    inbox::{self, Arrival, Incoming, PageError},
    phone::PhoneError,
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
        let (arrivals, ended) = inbox::arrivals(items);
        for arrival in arrivals {
            match arrival {
                Arrival::Changes(incoming) => came += self.merge(incoming).await?,
                Arrival::Ungrant(document) => self.ungrant(document).await?,
                Arrival::Cursor { cursor, more } => {
                    let (cursor, more) = self.reading.goes_on(cursor, more);
                    let mut store = self.phone.store().await;
                    sqlx::query("update sync set cursor = $1")
                        .bind(cursor)
                        .execute(&mut store.connection)
                        .await?;
                    self.report.received_changes += came;
                    return Ok((came > 0, more));
                }
            }
        }
        // Cut before its cursor: what came whole stays, and the same place is asked for again. What is no item of ours is as good
        // as a cut, but for what is named before it is carried.
        Err(match ended {
            Some(PageError::Nameless) => PhoneError::internal(PageError::Nameless),
            Some(PageError::Name(invalid)) => invalid.into(),
            Some(PageError::Cut | PageError::NotAChange) | None => PhoneError::Offline {
                retry_after_s: None,
            },
        })
    }

    async fn merge(&mut self, incoming: Incoming) -> Result<u32, PhoneError> {
        let merged = self
            .phone
            .store()
            .await
            .merge(&incoming.key, &incoming.changes, &incoming.seals)
            .await?;
        self.reading.lacked(merged.lacking);
        if merged.new > 0 {
            let document = incoming.key.document();
            self.phone.syncing.tell(Event::Changed { document }).await;
        }
        u32::try_from(merged.new).map_err(PhoneError::internal)
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
