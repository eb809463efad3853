//! What the server published to the unit, as an app uses it: the people, the checkpoints. It comes by the same sync as all else, so
//! before the first one there is nothing, which is no error. Whoever left and whatever was removed is offered no more, and keeps its
//! name for the records it stands in.

use super::{Phone, error::PhoneError};
use crate::{
    document::Key,
    id::{CheckpointId, PersonId},
    reference::{Checkpoint, Reference, ReferencePerson},
};
use std::collections::BTreeMap;

impl Phone {
    /// The people of one's unit, to choose among; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn colleagues(&self) -> Result<BTreeMap<PersonId, String>, PhoneError> {
        let mut people = self.published().await?.people;
        people.retain(|_, person| person.left_at_ms.is_none());
        Ok(names(people))
    }

    /// [`Self::colleagues`] and those who left: how whoever stands in a record is called.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn known_people(&self) -> Result<BTreeMap<PersonId, String>, PhoneError> {
        Ok(names(self.published().await?.people))
    }

    /// The checkpoints (điểm chốt) of one's unit, to visit; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn checkpoints(&self) -> Result<BTreeMap<CheckpointId, Checkpoint>, PhoneError> {
        let mut checkpoints = self.known_checkpoints().await?;
        checkpoints.retain(|_, checkpoint| checkpoint.removed_at_ms.is_none());
        Ok(checkpoints)
    }

    /// [`Self::checkpoints`] and removed ones: what was visited is called something.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn known_checkpoints(
        &self,
    ) -> Result<BTreeMap<CheckpointId, Checkpoint>, PhoneError> {
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

fn names(people: BTreeMap<PersonId, ReferencePerson>) -> BTreeMap<PersonId, String> {
    people
        .into_iter()
        .map(|(id, person)| (id, person.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{self, Actor},
        id::PhoneId,
        phone::tests::phone,
    };
    use automerge::Automerge;

    /// What the server publishes to a phone, change by change.
    struct Publishing {
        key: Key,
        document: Automerge,
    }

    impl Publishing {
        async fn to(phone: &Phone) -> Self {
            let store = phone.store().await;
            let key = Key::reference(store.profile().expect("enrolled").unit);
            let document = document::new(&key);
            Self { key, document }
        }

        async fn publish(&mut self, phone: &Phone, change: impl FnOnce(&mut Reference)) {
            let server = Actor {
                phone: PhoneId::from_bytes([9; 16]),
                opening: [9; 8],
            };
            let edit = |reference: &mut Reference| {
                change(reference);
                Ok(())
            };
            let edited = document::edit(&mut self.document, server, 0, edit);
            let (_, change) = edited.expect("edits");
            let change = change.expect("something differs");
            let mut store = phone.store().await;
            let merged = store.merge(&self.key, &[change], &[]).await;
            assert_eq!(merged.expect("merges").new, 1);
        }
    }

    fn gate() -> Checkpoint {
        Checkpoint {
            name: "Cổng chợ Vinh".to_owned(),
            lat_e7: 186_734_000,
            lon_e7: 1_056_813_000,
            removed_at_ms: None,
        }
    }

    #[tokio::test]
    async fn the_units_checkpoints_are_there_once_they_were_published_and_none_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        assert_eq!(phone.checkpoints().await.expect("reads"), BTreeMap::new());
        let id = CheckpointId::from_bytes([4; 16]);
        let mut server = Publishing::to(&phone).await;
        let put = |reference: &mut Reference| {
            reference.checkpoints.insert(id, gate());
        };
        server.publish(&phone, put).await;
        let there = phone.checkpoints().await.expect("reads");
        assert_eq!(there, BTreeMap::from([(id, gate())]));
    }

    #[tokio::test]
    async fn who_left_and_what_was_removed_is_offered_no_more_and_keeps_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let (id, ha) = (
            CheckpointId::from_bytes([4; 16]),
            PersonId::from_bytes([5; 16]),
        );
        let person = |left_at_ms| ReferencePerson {
            name: "Hà".to_owned(),
            role: "officer".to_owned(),
            left_at_ms,
        };
        let mut server = Publishing::to(&phone).await;
        let there = |reference: &mut Reference| {
            reference.checkpoints.insert(id, gate());
            reference.people.insert(ha, person(None));
        };
        server.publish(&phone, there).await;
        let known = BTreeMap::from([(ha, "Hà".to_owned())]);
        assert_eq!(phone.colleagues().await.expect("reads"), known);
        assert_eq!(phone.known_people().await.expect("reads"), known);
        let gone = |reference: &mut Reference| {
            let removed_at_ms = Some(7);
            let removed = Checkpoint {
                removed_at_ms,
                ..gate()
            };
            reference.checkpoints.insert(id, removed);
            reference.people.insert(ha, person(Some(7)));
        };
        server.publish(&phone, gone).await;
        assert_eq!(phone.colleagues().await.expect("reads"), BTreeMap::new());
        assert_eq!(phone.checkpoints().await.expect("reads"), BTreeMap::new());
        assert_eq!(phone.known_people().await.expect("reads"), known);
        let checkpoints = phone.known_checkpoints().await.expect("reads");
        assert_eq!(checkpoints[&id].name, gate().name);
    }
}
