//! Pull: what others wrote, document by document, up to a new cursor.
//!
//! Documents that are new here and come whole are put down as they came; of others each is merged in one transaction. The cursor moves on
//! last: whatever ends a pull early, the same place is asked for again. While one page is written, the next one travels.

use super::{Event, Session};
use crate::{
    id::DocumentId,
    inbox::{Arrived, Page, Sorted},
    log::paging::Cursor,
    phone::{PhoneError, arrivals, store::Merged},
    wire::After,
};
use sqlx::{Connection as _, Row as _};
use std::collections::BTreeSet;

impl Session<'_> {
    pub(super) async fn pull(&mut self) -> Result<(bool, bool), PhoneError> {
        let after = self.after().await?;
        let ahead = self.ahead.take();
        let page = match ahead.filter(|(cursor, _)| *cursor == after.cursor) {
            Some((_, page)) => page,
            None => self.client.pull(self.token()?, &after).await?,
        };
        let read = Page::read(&page)?;
        // Before all is compared nothing more is pulled.
        let anew = Cursor::parse(&read.cursor).is_some_and(|cursor| cursor.is_anew());
        if !read.more || anew {
            return self.take_in(&read).await;
        }
        let next = After {
            cursor: read.cursor.clone(),
            ..after
        };
        let (client, token) = (self.client.clone(), self.token()?.clone());
        let (taken, travelled) = tokio::join!(self.take_in(&read), client.pull(&token, &next));
        // One that did not come is asked for again, and says then why.
        self.ahead = travelled.ok().map(|page| (next.cursor, page));
        taken
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
            snapshots: true,
        })
    }

    /// Takes in one page of the feed, wherever it came from: whether anything was new, and whether there is more.
    pub(super) async fn take_in(&mut self, page: &Page<'_>) -> Result<(bool, bool), PhoneError> {
        let came = self.take_documents(page, Some(&page.cursor)).await?;
        self.report.received_changes += came;
        Ok((came > 0, page.more))
    }

    /// Takes in what a page brings; how many changes that were new. The cursor is written with it or after it.
    pub(super) async fn take_documents(
        &mut self,
        page: &Page<'_>,
        cursor: Option<&str>,
    ) -> Result<u32, PhoneError> {
        for document in &page.ungranted {
            self.ungrant(*document).await?;
        }
        let sorted = self.sorted(page).await?;
        let goes_along = sorted.cursor_goes_along();
        let Sorted { whole, others } = sorted;
        let mut came = 0;
        let now_ms = self.phone.now_ms();
        if let Some(cursor) = cursor.filter(|_| !goes_along) {
            let mut store = self.phone.store().await;
            arrivals::begin(&mut store.connection, cursor).await?;
        }
        if !whole.is_empty() {
            let cursor = cursor.filter(|_| goes_along);
            let mut store = self.phone.store().await;
            store.put_down(&whole, cursor, now_ms).await?;
            drop(store);
            for arrived in &whole {
                came += arrived.snapshot.unwrap_or(1);
                self.changed(arrived).await;
            }
        }
        for arrived in &others {
            came += self.merge(arrived).await?;
        }
        if let Some(cursor) = cursor.filter(|_| !goes_along) {
            let mut store = self.phone.store().await;
            let mut tx = store.connection.begin().await?;
            arrivals::put_cursor(&mut tx, cursor, now_ms).await?;
            tx.commit().await?;
        }
        Ok(came)
    }

    async fn sorted<'p>(&self, page: &'p Page<'p>) -> Result<Sorted<'p>, PhoneError> {
        let mut store = self.phone.store().await;
        let mut new = BTreeSet::new();
        for key in page
            .documents
            .iter()
            .filter_map(|arrived| arrived.key.as_ref())
        {
            let id = key.document();
            if store.is_new(id).await? {
                new.insert(id);
            }
        }
        Ok(page.sorted(|id| new.contains(&id)))
    }

    async fn changed(&self, arrived: &Arrived<'_>) {
        if let Some(key) = &arrived.key {
            let document = key.document();
            self.phone.syncing.tell(Event::Changed { document }).await;
        }
    }

    async fn merge(&mut self, arrived: &Arrived<'_>) -> Result<u32, PhoneError> {
        let Some(incoming) = arrived.incoming()? else {
            return Ok(0);
        };
        let key = incoming.key.clone();
        let mut store = self.phone.store().await;
        // Of what does not unfold nothing is taken.
        let merged = match incoming.into_changes() {
            Ok((changes, seals)) => store.merge(&key, &changes, &seals).await?,
            Err(_) => Merged { new: 0, lacking: 1 },
        };
        if merged.lacking > 0 {
            let mut tx = store.connection.begin().await?;
            arrivals::want(&mut tx, key.document(), true).await?;
            tx.commit().await?;
        }
        drop(store);
        if merged.new > 0 {
            self.changed(arrived).await;
        }
        u32::try_from(merged.new).map_err(PhoneError::internal)
    }

    async fn ungrant(&self, document: DocumentId) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        store.unfold(document).await?;
        sqlx::query("update document set ungranted_at_ms = $1 where document_id = $2")
            .bind(self.phone.now_ms())
            .bind(document.to_string())
            .execute(&mut store.connection)
            .await?;
        Ok(())
    }
}
