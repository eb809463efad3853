//! A file that is not on this phone: a colleague's, or one whose copy went by the rule of retention. The server gives it to who may
//! read a document that names it. What came is believed by its SHA-256 alone and lies sealed like one's own.

use super::{
    Phone,
    attachments::{self, Attached},
    client::Client,
    error::{PhoneError, Unreached},
};
use crate::hash::Sha256;
use sqlx::Connection as _;
use zeroize::Zeroizing;

impl Phone {
    /// Fetches a file whose copy is not here, so that [`Phone::viewable`] can show it. One that is here whole is not fetched again.
    ///
    /// # Errors
    /// `NotFound` for one that the server does not have yet, or that this person may not read; `Offline`, also for other bytes than
    /// those of this hash, which are not our server's; `SignedOut`; `StorageFull`.
    pub async fn download(&self, sha256: Sha256) -> Result<Attached, PhoneError> {
        if self.has_whole(sha256).await? {
            return self.attachment(sha256).await;
        }
        let (phone, key, client) = {
            let store = self.store().await;
            let profile = store.profile()?;
            let client = Client::new(&profile.server_url, &profile.pins)?;
            (profile.phone, store.signing_key.clone(), client)
        };
        let signed_in = self.sign_in(&client, phone, &key).await?;
        let bytes = Zeroizing::new(client.attachment(&signed_in.token, sha256).await?);
        self.take_in(sha256, bytes).await?;
        self.attachment(sha256).await
    }

    /// Puts what came into the encrypted store, if it is what was asked for.
    async fn take_in(&self, sha256: Sha256, bytes: Zeroizing<Vec<u8>>) -> Result<(), PhoneError> {
        if Sha256::of(&bytes) != sha256 {
            return Err(PhoneError::offline(Unreached::NotOurs));
        }
        let files = self.files();
        let sealing = move || attachments::seal_given(&files, sha256, &bytes);
        let file = attachments::blocking(sealing).await?;
        let mut store = self.store().await;
        let mut tx = store.connection.begin().await?;
        file.hold(&mut tx).await?;
        // The server has what it gave.
        sqlx::query(
            "update attachment set received_at_ms = coalesce(received_at_ms, $1) where sha256 = $2",
        )
        .bind(self.now_ms())
        .bind(sha256.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::tests::phone;

    const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 a colleague's photo";

    #[tokio::test]
    async fn what_came_is_shown_and_is_not_sent_again_and_other_bytes_are_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let sha256 = Sha256::of(PHOTO);
        let portal = b"\xff\xd8\xff\xe0 something else".to_vec();
        let refused = phone.take_in(sha256, Zeroizing::new(portal)).await;
        assert!(
            matches!(refused, Err(PhoneError::Offline { .. })),
            "{refused:?}"
        );
        let not_here = phone.viewable(sha256).await;
        assert!(matches!(not_here, Err(PhoneError::NotFound)));
        // The twin: the bytes of that hash.
        let photo = Zeroizing::new(PHOTO.to_vec());
        phone.take_in(sha256, photo).await.expect("is taken");
        let shown = phone.viewable(sha256).await.expect("is here");
        assert_eq!(std::fs::read(shown).expect("reads"), PHOTO);
        assert!(phone.unsent_files().await.expect("reads").is_empty());
        let said = phone.attachment(sha256).await.expect("is known");
        assert!(said.on_phone && said.received);
    }
}
