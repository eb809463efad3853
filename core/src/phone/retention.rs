//! Retention: a phone's disk is small, so copies of files that the server has may go. They go by one rule and by nothing else.
//!
//! That the server *had* a file is not enough: until its backup has it too, the phone may hold the only copy that outlives the
//! server's disk. So a copy goes when it is old, a receipt names its hash, and that receipt's leaf lies below what the server
//! announced as backed up in the same epoch of the log. A server that announces nothing loses no copy here.

use super::{Phone, error::PhoneError};
use crate::{backed_up, hash::Sha256, log::head::Epoch, receipt::Receipt, wire::KnownBackups};
use ed25519_dalek::VerifyingKey;
use sqlx::{Row as _, SqliteConnection};

/// What the server announced about its backups: they hold the leaves below `through` of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BackedUp {
    epoch: Epoch,
    through: u64,
}

impl BackedUp {
    /// None while the server has announced nothing.
    async fn load(connection: &mut SqliteConnection) -> Result<Option<Self>, PhoneError> {
        let row = sqlx::query("select backed_up_epoch, backed_up_through from sync")
            .fetch_one(connection)
            .await?;
        let epoch: Option<Vec<u8>> = row.get(0);
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        let epoch = epoch
            .try_into()
            .map_err(|_| PhoneError::internal("an epoch is not 16 bytes"))?;
        Ok(Some(Self {
            epoch: Epoch(epoch),
            through: row.get::<i64, _>(1).unsigned_abs(),
        }))
    }

    /// What to ask the server: nothing while no copy here might go.
    pub(super) async fn question(
        connection: &mut SqliteConnection,
    ) -> Result<Option<KnownBackups>, PhoneError> {
        let copies = sqlx::query(
            "select exists (select 1 from attachment where received_at_ms is not null and let_go_at_ms is null)",
        )
        .fetch_one(&mut *connection)
        .await?;
        if !copies.get::<bool, _>(0) {
            return Ok(None);
        }
        let known = Self::load(connection).await?;
        Ok(Some(KnownBackups {
            epoch: known.map(|known| known.epoch),
            through: known.map_or(0, |known| known.through),
        }))
    }

    /// Writes down what the server announced, if it signed it and it is news.
    pub(super) async fn hear(
        connection: &mut SqliteConnection,
        token: &str,
        key: VerifyingKey,
    ) -> Result<(), PhoneError> {
        let Ok(said) = backed_up::BackedUp::verify(token, key) else {
            return Ok(());
        };
        let known = Self::load(connection).await?;
        if said.is_news(
            known.map(|known| known.epoch),
            known.map_or(0, |known| known.through),
        ) {
            sqlx::query("update sync set backed_up_epoch = $1, backed_up_through = $2")
                .bind(said.epoch.0.to_vec())
                .bind(said.through.cast_signed())
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// The receipt's newest leaf is that of the file or a later one: below `through`, the file is too.
    fn holds(self, receipt: &Receipt, sha256: Sha256) -> bool {
        receipt.epoch == self.epoch
            && receipt.leaf_index < self.through
            && receipt.attachments.binary_search(&sha256).is_ok()
    }
}

impl Phone {
    /// Deletes this phone's copies of files that the server received at least `keep_ms` ago, that a receipt names, and that its
    /// backups hold. Their small pictures stay. Returns what went.
    ///
    /// # Errors
    /// `SignedOut` before enrolment; `Internal` when the database or the disk fails.
    pub async fn let_go(&self, keep_ms: i64) -> Result<Vec<Sha256>, PhoneError> {
        let mut store = self.store().await;
        let key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let Some(backed_up) = BackedUp::load(&mut store.connection).await? else {
            return Ok(Vec::new());
        };
        let old = sqlx::query(
            "select sha256, file_name from attachment where let_go_at_ms is null and received_at_ms <= $1 order by sha256",
        )
        .bind(self.now_ms().saturating_sub(keep_ms.max(0)))
        .fetch_all(&mut store.connection)
        .await?;
        let mut gone = Vec::new();
        for row in old {
            let sha256: Sha256 = row
                .get::<&str, _>(0)
                .parse()
                .map_err(PhoneError::internal)?;
            let receipts = receipts_of(&mut store.connection, sha256, &key).await?;
            if !receipts
                .iter()
                .any(|receipt| backed_up.holds(receipt, sha256))
            {
                continue;
            }
            // The row first: a file that no row needs any more is swept at the next opening, a row without its file is a loss.
            sqlx::query("update attachment set let_go_at_ms = $1 where sha256 = $2")
                .bind(self.now_ms())
                .bind(sha256.to_string())
                .execute(&mut store.connection)
                .await?;
            match tokio::fs::remove_file(self.files().join(row.get::<&str, _>(1))).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => gone.push(sha256),
            }
        }
        Ok(gone)
    }
}

/// The receipts of documents that name the file, those that the server signed in the log's epoch of today: one of an epoch that was
/// cut short says nothing about what the restored server holds.
async fn receipts_of(
    connection: &mut SqliteConnection,
    sha256: Sha256,
    key: &VerifyingKey,
) -> Result<Vec<Receipt>, PhoneError> {
    let rows = sqlx::query(
        "select r.jws from receipt r join attachment_use u on u.document_id = r.document_id where u.sha256 = $1 \
         and r.epoch = (select epoch from sync)",
    )
    .bind(sha256.to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows
        .iter()
        .flat_map(|row| row.get::<&str, _>(0).split(' '))
        .filter_map(|token| Receipt::verify(token, |_| Some(*key)).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{DocumentId, PhoneId},
        patrol::NewPatrol,
        phone::tests::{NOW_MS, phone},
    };
    use ed25519_dalek::SigningKey;
    use std::path::Path;

    const EPOCH: Epoch = Epoch([5; 16]);
    const DAY_MS: i64 = 86_400_000;

    /// A phone with one photo that the server has had for a day, under a receipt at leaf 41.
    async fn with_a_photo(folder: &Path, named_by_receipt: bool) -> (Phone, Sha256) {
        let signing_key = SigningKey::from_bytes(&[3; 32]);
        let phone = phone(folder).await;
        let photo = folder.join("photo.jpg");
        std::fs::write(&photo, b"\xff\xd8\xff\xe0 a photo").expect("written");
        let new = NewPatrol {
            title: "Ca".into(),
            ..NewPatrol::default()
        };
        let patrol = phone.start_patrol(new).await.expect("starts");
        let sha256 = phone.attach(patrol, None, &photo).await.expect("attached");
        let attachments = if named_by_receipt {
            vec![sha256]
        } else {
            vec![]
        };
        let receipt = receipt(patrol, attachments);
        let jws = receipt.sign(&signing_key).expect("well formed");
        let mut store = phone.store().await;
        let profile = store.profile.as_mut().expect("enrolled");
        profile.receipt_key = signing_key.verifying_key().to_bytes();
        sqlx::query("update attachment set received_at_ms = $1")
            .bind(NOW_MS - DAY_MS)
            .execute(&mut store.connection)
            .await
            .expect("written");
        sqlx::query(
            "insert into receipt (document_id, heads, attachments, jws, epoch) values ($1, '', '', $2, $3)",
        )
        .bind(patrol.to_string())
        .bind(jws)
        .bind(EPOCH.to_string())
        .execute(&mut store.connection)
        .await
        .expect("written");
        sqlx::query("update sync set epoch = $1")
            .bind(EPOCH.to_string())
            .execute(&mut store.connection)
            .await
            .expect("written");
        drop(store);
        (phone, sha256)
    }

    fn receipt(document: DocumentId, attachments: Vec<Sha256>) -> Receipt {
        Receipt {
            document,
            heads: vec![Sha256([1; 32])],
            attachments,
            epoch: EPOCH,
            leaf_index: 41,
            tree_size: 42,
            root: Sha256([9; 32]),
            received_at_ms: NOW_MS,
            phone: PhoneId::from_bytes([3; 16]),
        }
    }

    async fn announce(phone: &Phone, epoch: Epoch, through: i64) {
        let mut store = phone.store().await;
        sqlx::query("update sync set backed_up_epoch = $1, backed_up_through = $2")
            .bind(epoch.0.to_vec())
            .bind(through)
            .execute(&mut store.connection)
            .await
            .expect("written");
    }

    #[tokio::test]
    async fn an_old_copy_that_the_servers_backup_holds_goes_and_is_said_to_be_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (phone, sha256) = with_a_photo(folder.path(), true).await;
        announce(&phone, EPOCH, 42).await;
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), [sha256]);
        let attached = phone.attachment(sha256).await.expect("is known");
        assert!(attached.received && !attached.on_phone);
        assert!(matches!(
            phone.viewable(sha256).await,
            Err(PhoneError::NotFound)
        ));
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), []);
    }

    #[tokio::test]
    async fn a_copy_whose_receipt_is_of_an_epoch_that_was_cut_short_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (phone, sha256) = with_a_photo(folder.path(), true).await;
        announce(&phone, EPOCH, 42).await;
        let mut store = phone.store().await;
        sqlx::query("update receipt set epoch = ''")
            .execute(&mut store.connection)
            .await
            .expect("written");
        drop(store);
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), []);
        phone.viewable(sha256).await.expect("is still here");
    }

    /// Each guard alone keeps the only copy; the first test is the twin in which all of them let it go.
    #[tokio::test]
    async fn a_copy_that_is_young_unnamed_or_not_backed_up_stays() {
        for (keep_ms, named, epoch, through) in [
            (DAY_MS + 1, true, EPOCH, 42),
            (DAY_MS, false, EPOCH, 42),
            (DAY_MS, true, EPOCH, 41),
            (DAY_MS, true, Epoch([6; 16]), 42),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let (phone, sha256) = with_a_photo(folder.path(), named).await;
            announce(&phone, epoch, through).await;
            assert_eq!(phone.let_go(keep_ms).await.expect("looks"), []);
            phone.viewable(sha256).await.expect("is still here");
        }
    }

    /// The server's word, as a push's answer brings it.
    async fn hear(phone: &Phone, signed_by: u8, epoch: Epoch, through: u64) {
        let said = backed_up::BackedUp {
            epoch,
            through,
            at_ms: NOW_MS,
        };
        let token = said.sign(&SigningKey::from_bytes(&[signed_by; 32]));
        let mut store = phone.store().await;
        let key = store.profile().expect("enrolled").receipt_key;
        let key = VerifyingKey::from_bytes(&key).expect("a key");
        BackedUp::hear(&mut store.connection, &token, key)
            .await
            .expect("heard");
    }

    #[tokio::test]
    async fn only_the_servers_word_lets_copies_go_and_an_older_one_takes_nothing_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (phone, sha256) = with_a_photo(folder.path(), true).await;
        hear(&phone, 4, EPOCH, 42).await;
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), []);
        hear(&phone, 3, EPOCH, 40).await;
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), []);
        hear(&phone, 3, EPOCH, 43).await;
        hear(&phone, 3, EPOCH, 40).await;
        let mut store = phone.store().await;
        let asked = BackedUp::question(&mut store.connection)
            .await
            .expect("reads");
        assert_eq!(asked.map(|asked| asked.through), Some(43));
        drop(store);
        assert_eq!(phone.let_go(DAY_MS).await.expect("looks"), [sha256]);
        let mut store = phone.store().await;
        let asked = BackedUp::question(&mut store.connection)
            .await
            .expect("reads");
        assert_eq!(asked, None, "nothing more might go");
    }

    #[tokio::test]
    async fn nothing_goes_while_the_server_announces_no_backup_or_signed_with_another_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let (phone, _) = with_a_photo(folder.path(), true).await;
        assert_eq!(phone.let_go(0).await.expect("looks"), []);
        announce(&phone, EPOCH, 42).await;
        let mut store = phone.store().await;
        let other = SigningKey::from_bytes(&[4; 32]).verifying_key();
        store.profile.as_mut().expect("enrolled").receipt_key = other.to_bytes();
        drop(store);
        assert_eq!(phone.let_go(0).await.expect("looks"), []);
    }
}
