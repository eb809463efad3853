//! Compare: what is here is told, and what differs is healed both ways. What the server lost is unsent again, whoever wrote it: its seals are here
//! too; and so is what it refused and what still stands in its document, for a restored server may have forgotten why (a revocation, say).
//! What the server has is fetched.

use super::Session;
use crate::{
    id::DocumentId,
    log::compare,
    outbox,
    phone::{PhoneError, arrivals},
    wire::Compare,
};
use sqlx::{Connection as _, Row as _, SqliteConnection};

impl Session<'_> {
    pub(super) async fn compare(&mut self) -> Result<(bool, bool), PhoneError> {
        let (told, anew) = {
            let mut store = self.phone.store().await;
            store.unfold_all().await?;
            let anew = arrivals::place(&mut store.connection).await?.is_anew();
            (here(&mut store.connection, anew).await?, anew)
        };
        let compared = self.client.compare(self.token()?, &told).await?;
        let now_ms = self.phone.now_ms();
        let mut store = self.phone.store().await;
        let app_version = store.app_version.clone();
        let mut tx = store.connection.begin().await?;
        let mut wanted = false;
        for document in &compared.differing {
            if arrivals::is_strange(&mut tx, *document, &app_version).await? {
                continue;
            }
            wanted = true;
            // What was refused stays refused; what this phone only carried has its writer's seals.
            let rows = sqlx::query(
                "select distinct server from change where document_id = $1 and server is not null",
            )
            .bind(document.to_string())
            .fetch_all(&mut *tx)
            .await?;
            let words = rows.iter().map(|row| row.get::<&str, _>(0));
            for word in words.filter(|word| !outbox::is_taken_out(word)) {
                sqlx::query(
                    "update change set server = null where document_id = $1 and server = $2",
                )
                .bind(document.to_string())
                .bind(word)
                .execute(&mut *tx)
                .await?;
            }
            arrivals::want(&mut tx, *document, false).await?;
        }
        if anew {
            arrivals::put_cursor(&mut tx, &compared.cursor, now_ms).await?;
        }
        sqlx::query("update sync set compared_at_ms = $1")
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        // In another epoch every receipt is asked for anew.
        if anew || wanted {
            self.asked.forget();
        }
        Ok((anew || wanted, false))
    }
}

/// What is here. What this person may no longer read only if the server may have lost it: it is not fetched.
async fn here(connection: &mut SqliteConnection, anew: bool) -> Result<Compare, PhoneError> {
    let rows = sqlx::query(
        "select document_id, heads from document where $1 or ungranted_at_ms is null order by document_id",
    )
    .bind(anew)
    .fetch_all(connection)
    .await?;
    let pairs = rows.iter().map(|row| {
        let id: DocumentId = row
            .get::<&str, _>(0)
            .parse()
            .map_err(PhoneError::internal)?;
        Ok((id, compare::digest(row.get(1))))
    });
    let pairs = pairs.collect::<Result<Vec<_>, PhoneError>>()?;
    Ok(Compare {
        documents: compare::pack(pairs),
    })
}
