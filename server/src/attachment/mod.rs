//! Attachments (tệp, ảnh): the bytes behind the hashes that documents hold.
//!
//! In reading order: [`upload`] speaks tus with phones, [`body`] takes what they send, [`staging`] keeps what has arrived so
//! far, [`finish`] turns it into an attachment, [`objects`] is where one lies and [`store`] how, [`serve`] gives it back,
//! [`thumbnail`] is its small picture, [`preview`] the one that a phone sends before it.
//!
//! An attachment is keyed (unit, hash): each unit brings the bytes itself, and no answer tells of another unit's copy. That
//! costs a second copy of what two units share, and buys that a hash alone is worth nothing.

pub mod body;
pub mod checksum;
pub mod finish;
pub mod objects;
pub mod preview;
pub mod serve;
pub mod staging;
pub mod store;
pub mod thumbnail;
pub mod upload;

use crate::{
    app::App,
    database::Database,
    problem::{Answer, Problem},
    vault::{Key, Vault},
};
use axum::{Router, middleware, routing};
use kieumau_core::{hash::Sha256, id::UnitId};
use sqlx::Row as _;
use store::{Part, Reading};

/// Everything under `/v1/attachments` (phones) and `/attachments` (pages).
pub fn router() -> Router<App> {
    let one = routing::get(serve::to_phone)
        .head(upload::head)
        .patch(upload::patch)
        .post(upload::overridden)
        .delete(upload::delete)
        .options(upload::options);
    let uploads = Router::new()
        .route(
            "/v1/attachments",
            routing::post(upload::create).options(upload::options),
        )
        .route("/v1/attachments/{name}", one)
        .layer(middleware::from_fn(upload::speak_tus));
    Router::new()
        .merge(uploads)
        .route("/attachments/{unit}/{sha256}", routing::get(serve::to_page))
        .route(
            "/attachments/{unit}/{sha256}/thumbnail",
            routing::get(serve::thumbnail_to_page),
        )
        .route(
            "/attachments/{unit}/{sha256}/preview",
            routing::get(serve::preview_to_page),
        )
}

/// The row of an attachment whose bytes are here.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whose.
    pub unit: UnitId,
    /// Of the file.
    pub sha256: Sha256,
    /// Of the file, not of its sealed form.
    pub size_bytes: u64,
    /// As its first bytes said: one of [`kieumau_core::attachment::MediaType`]'s words.
    pub media_type: String,
    /// `waiting`, `made` or `none`.
    pub thumbnail: String,
    /// What its sealed file is called in the store.
    object: String,
    wrapped_key: Vec<u8>,
}

impl Held {
    /// The unit's attachment with this hash; none if its bytes are not here.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(
        database: &Database,
        unit: UnitId,
        sha256: Sha256,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select size_bytes, media_type, thumbnail, object, wrapped_key from attachment \
             where unit_id = $1 and sha256 = $2",
        )
        .bind(unit.to_string())
        .bind(sha256.to_string())
        .fetch_optional(&database.read)
        .await?;
        row.map(|row| {
            Ok(Self {
                unit,
                sha256,
                size_bytes: row.try_get::<i64, _>("size_bytes")?.cast_unsigned(),
                media_type: row.try_get("media_type")?,
                thumbnail: row.try_get("thumbnail")?,
                object: row.try_get("object")?,
                wrapped_key: row.try_get("wrapped_key")?,
            })
        })
        .transpose()
    }

    /// The key its bytes and its thumbnail lie under.
    ///
    /// # Errors
    /// `internal` if the key does not open under this master key.
    pub fn key(&self, vault: &Vault) -> Result<Key, Problem> {
        vault
            .key(&key_name(self.unit, self.sha256), &self.wrapped_key)
            .map_err(Problem::internal)
    }

    /// Opens this part of it for reading.
    ///
    /// # Errors
    /// `internal` for what the store says.
    pub async fn open(&self, app: &App, part: Part) -> Answer<Reading> {
        let key = self.key(&app.vault)?;
        Reading::open(&app.objects, &self.object, &key, part)
            .await
            .map_err(Problem::internal)
    }
}

/// What the vault binds an attachment's key to.
fn key_name(unit: UnitId, sha256: Sha256) -> String {
    format!("attachment/{unit}/{sha256}")
}

#[cfg(test)]
mod setting;
