//! Previews: the small picture that a phone makes itself and sends before a photo, so that on a slow line a supervisor sees something.
//!
//! A preview is no attachment: it lies in a table of its own, under its photo's hash, has no leaf in the log, and no receipt ever
//! counts it. It is a phone's word about a photo that is not here, so a page marks it as such, and it goes when the photo comes.
//! It travels as any upload does, and says in `Upload-Metadata` whose it is: `preview-of`, the photo's hash.

use super::{
    finish::{FinishError, SealedUpload},
    staging::Upload,
};
use crate::{
    app::App,
    database::{Database, Tx},
    problem::Problem,
    vault::{Key, Vault},
};
use kieumau_core::{hash::Sha256, id::UnitId};
use sqlx::Row as _;

/// The row of a preview.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Whose.
    pub unit: UnitId,
    /// The photo that it shows.
    pub of: Sha256,
    /// What its sealed file is called in the store.
    pub object: String,
    wrapped_key: Vec<u8>,
}

impl Preview {
    /// The preview of the unit's photo; none if there is none, or the photo is here.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(
        database: &Database,
        unit: UnitId,
        of: Sha256,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select object, wrapped_key from preview where unit_id = $1 and of_sha256 = $2",
        )
        .bind(unit.to_string())
        .bind(of.to_string())
        .fetch_optional(&database.read)
        .await?;
        Ok(row.map(|row| Self {
            unit,
            of,
            object: row.get(0),
            wrapped_key: row.get(1),
        }))
    }

    /// The key it lies under.
    ///
    /// # Errors
    /// `internal` if the key does not open under this master key.
    pub fn key(&self, vault: &Vault) -> Result<Key, Problem> {
        vault
            .key(&key_name(self.unit, self.of), &self.wrapped_key)
            .map_err(Problem::internal)
    }
}

/// What the vault binds a preview's key to.
pub(super) fn key_name(unit: UnitId, of: Sha256) -> String {
    format!("preview/{unit}/{of}")
}

/// Writes the row of a preview that was sealed into the upload's object, and completes the upload. It is nobody's if the photo
/// or another preview of it came meanwhile.
///
/// # Errors
/// What the database or the store says; the upload is then as it was.
pub(super) async fn commit(
    app: &App,
    upload: &mut Upload,
    of: Sha256,
    sealed: &SealedUpload,
    received_at_ms: i64,
) -> Result<(), FinishError> {
    let mut tx = app.database.begin().await?;
    let written = sqlx::query(
        "insert into preview (unit_id, of_sha256, object, wrapped_key, received_at_ms, received_from) \
         select $1, $2, $3, $4, $5, $6 where not exists \
         (select 1 from attachment where unit_id = $1 and sha256 = $2) on conflict do nothing",
    )
    .bind(upload.unit.to_string())
    .bind(of.to_string())
    .bind(upload.object())
    .bind(sealed.wrapped_key.clone())
    .bind(received_at_ms)
    .bind(upload.phone.to_string())
    .execute(&mut *tx)
    .await?
    .rows_affected();
    upload.complete(&mut tx).await?;
    tx.commit().await?;
    upload.offset_bytes = upload.size_bytes;
    if written == 0 {
        app.objects.remove(&upload.object()).await?;
    }
    Ok(())
}

/// Takes the preview away in the transaction in which its photo comes; what its object was called.
///
/// # Errors
/// What the database says.
pub(super) async fn give_way(
    tx: &mut Tx,
    unit: UnitId,
    of: Sha256,
) -> Result<Option<String>, sqlx::Error> {
    let row =
        sqlx::query("delete from preview where unit_id = $1 and of_sha256 = $2 returning object")
            .bind(unit.to_string())
            .bind(of.to_string())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.map(|row| row.get(0)))
}

#[cfg(test)]
mod tests {
    use crate::{
        attachment::setting::{Phone, Setting, announcement, header, photo, settings},
        fixture::{self, Reply, rows},
    };
    use axum::{
        body::Body,
        http::{Method, StatusCode},
    };
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use kieumau_core::{attachment::PREVIEW_LIMIT_BYTES, hash::Sha256};

    impl Setting {
        async fn create_preview(&self, phone: &Phone, preview: &[u8], of: Sha256) -> Reply {
            let of = BASE64_STANDARD.encode(of.to_string());
            let metadata = format!("{},preview-of {of}", announcement(Sha256::of(preview)));
            let request = self
                .request(phone, Method::POST, "/v1/attachments")
                .header("upload-length", preview.len())
                .header("upload-metadata", metadata);
            self.send(request.body(Body::empty()).expect("a request"))
                .await
        }

        async fn bring_preview(&self, phone: &Phone, preview: &[u8], of: Sha256) {
            let created = self.create_preview(phone, preview, of).await;
            assert_eq!(created.status, StatusCode::CREATED);
            let path = header(&created, "location").to_owned();
            let reply = self.patch(phone, &path, 0, preview).await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT);
        }
    }

    #[tokio::test]
    async fn a_preview_is_no_attachment_is_shown_to_who_may_read_the_photo_and_goes_when_it_comes()
    {
        for setting in settings().await {
            let (original, preview) = (photo(200_000, 1), photo(9_000, 2));
            let of = Sha256::of(&original);
            setting.bring_preview(&setting.an, &preview, of).await;
            assert_eq!(rows(&setting.app, "attachment").await, 0);
            assert_eq!(rows(&setting.app, "preview").await, 1);
            let fetched = setting.fetch(&setting.chi, of).await;
            assert_eq!(fetched.status, StatusCode::NOT_FOUND);
            let page = format!("/attachments/{}/{of}/preview", setting.people.truong_vinh);
            let shown = setting.open(&setting.people.chi, &page, &[]).await;
            assert_eq!(shown.status, StatusCode::OK);
            assert_eq!(shown.body, preview);
            assert_eq!(header(&shown, "content-type"), "image/jpeg");
            let hidden = setting.open(&setting.people.binh, &page, &[]).await;
            assert_eq!(hidden.status, StatusCode::NOT_FOUND);
            let [read] = fixture::audited(&setting.app, "attachment-read")
                .await
                .try_into()
                .expect("one reading");
            assert_eq!(read.detail.as_deref(), Some("preview"));
            // A second one is not needed.
            let again = setting
                .create_preview(&setting.ha, &photo(8_000, 3), of)
                .await;
            assert_eq!(header(&again, "upload-offset"), "8000");

            setting.bring(&setting.an, &original).await;
            assert_eq!(rows(&setting.app, "preview").await, 0);
            let gone = setting.open(&setting.people.chi, &page, &[]).await;
            assert_eq!(gone.status, StatusCode::NOT_FOUND);
            let late = setting.create_preview(&setting.ha, &preview, of).await;
            assert_eq!(header(&late, "upload-offset"), "9000");
        }
    }

    #[tokio::test]
    async fn a_preview_that_is_large_no_jpeg_or_of_nothing_is_refused() {
        for setting in settings().await {
            let of = Sha256::of(b"a photo");
            let large = photo(PREVIEW_LIMIT_BYTES as usize + 1, 1);
            let refused = setting.create_preview(&setting.an, &large, of).await;
            assert_eq!(refused.word(), "too-large");
            let png = b"\x89PNG\r\n\x1a\n and more".to_vec();
            let created = setting.create_preview(&setting.an, &png, of).await;
            let path = header(&created, "location").to_owned();
            let refused = setting.patch(&setting.an, &path, 0, &png).await;
            assert_eq!(refused.word(), "wrong-kind");
            let metadata = format!("{},preview-of eA==", announcement(of));
            let request = setting
                .request(&setting.an, Method::POST, "/v1/attachments")
                .header("upload-length", 10)
                .header("upload-metadata", metadata);
            let refused = setting.send(request.body(Body::empty()).expect("a request"));
            assert_eq!(refused.await.word(), "malformed");
            assert_eq!(rows(&setting.app, "preview").await, 0);
        }
    }
}
