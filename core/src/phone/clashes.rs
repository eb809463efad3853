//! Clashes of meaning: a field with two values, both kept, until a person picks one. Of any document.

use super::{Phone, error::PhoneError};
use crate::{
    document::{self, Whole},
    id::DocumentId,
};

/// A field with two values, for a person to pick.
#[derive(Clone, Debug, PartialEq)]
pub struct ClashView {
    /// The document.
    pub document: DocumentId,
    /// [`document::Clash::pointer`]: map keys from the root to the field.
    pub path: String,
    /// The values, the visible one last; index into this to choose.
    pub values: Vec<document::ClashValue>,
}

impl Phone {
    /// The clashes of a document.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn clash(&self, document: DocumentId) -> Result<Vec<ClashView>, PhoneError> {
        let (_, clashes) = self
            .store()
            .await
            .inspect(document, |doc| Ok(document::clashes(&Whole::of(doc))))
            .await?;
        Ok(clashes
            .into_iter()
            .map(|clash| ClashView {
                document,
                path: clash.pointer(),
                values: clash.values,
            })
            .collect())
    }

    /// Picks the value at `index` of the clash at `path`. False if there is no clash there any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn choose(
        &self,
        document: DocumentId,
        path: &str,
        index: u32,
    ) -> Result<bool, PhoneError> {
        let mut store = self.store().await;
        let key = store.key(document).await?;
        let path = document::path_of(path);
        store
            .choose(&key, self.now_ms(), &path, index as usize)
            .await
    }
}
