//! What the server published to the unit, as an app uses it: the people, the checkpoints. It comes by the same sync as all else, so
//! before the first one there is nothing, which is no error.

use super::{Phone, error::PhoneError};
use crate::{
    document::Key,
    id::{CheckpointId, PersonId},
    reference::{Checkpoint, Reference},
};
use std::collections::BTreeMap;

impl Phone {
    /// The people of one's unit; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn colleagues(&self) -> Result<BTreeMap<PersonId, String>, PhoneError> {
        let people = self.published().await?.people;
        Ok(people
            .into_iter()
            .map(|(id, person)| (id, person.name))
            .collect())
    }

    /// The checkpoints (điểm chốt) of one's unit; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn checkpoints(&self) -> Result<BTreeMap<CheckpointId, Checkpoint>, PhoneError> {
        Ok(self.published().await?.checkpoints)
    }

    async fn published(&self) -> Result<Reference, PhoneError> {
        let mut store = self.store().await;
        let key = Key::reference(store.profile()?.unit);
        match store.read::<Reference>(key.document()).await {
            Ok((_, reference)) => Ok(reference),
            Err(PhoneError::NotFound) => Ok(Reference::default()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{self, Actor},
        id::PhoneId,
        phone::tests::phone,
    };

    #[tokio::test]
    async fn the_units_checkpoints_are_there_once_they_were_published_and_none_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        assert_eq!(phone.checkpoints().await.expect("reads"), BTreeMap::new());
        let mut store = phone.store().await;
        let key = Key::reference(store.profile().expect("enrolled").unit);
        let mut published = document::new(&key);
        let server = Actor {
            phone: PhoneId::from_bytes([9; 16]),
            opening: [9; 8],
        };
        let checkpoint = CheckpointId::from_bytes([4; 16]);
        let gate = Checkpoint {
            name: "Cổng chợ Vinh".to_owned(),
            lat_e7: 186_734_000,
            lon_e7: 1_056_813_000,
        };
        let put = gate.clone();
        let (_, change) = document::edit(&mut published, server, 0, |reference: &mut Reference| {
            reference.checkpoints.insert(checkpoint, put);
            Ok(())
        })
        .expect("edits");
        let change = change.expect("something differs");
        store.merge(&key, &[change], &[]).await.expect("merges");
        drop(store);
        let there = phone.checkpoints().await.expect("reads");
        assert_eq!(there, BTreeMap::from([(checkpoint, gate)]));
    }
}
