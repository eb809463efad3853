//! Who pushes one change does not wait for another phone's hundreds. The twin pushes them in one slice.

use super::*;
use crate::fixture::{People, TestApp, apps, enrolled};
use kieumau_core::{
    document::{Key, birth},
    hash::Sha256,
    log::admission::Candidate,
    wire::ReceiptRequest,
};
use std::collections::BTreeSet;

/// A push of so many documents of one change each.
async fn push(app: &TestApp, people: &People, documents: usize) -> PreparedPush {
    let (phone, _) = enrolled(app, &people.an).await;
    let document = || {
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let bytes = uuid::Uuid::now_v7().as_bytes().to_vec();
        let hash = Sha256::of(&bytes);
        let candidate = Candidate {
            hash,
            actor: hex::encode([7; 24]).into_bytes(),
            seq: 1,
            deps: vec![birth(&key).pop().expect("a birth").hash],
        };
        intake::PreparedDocument {
            key,
            changes: vec![intake::PreparedChange {
                candidate,
                written_at_s: 1,
                bytes,
            }],
            seals: Vec::new(),
            sealed: BTreeSet::from([hash]),
        }
    };
    let documents: Vec<_> = (0..documents).map(|_| document()).collect();
    let asked = documents.iter().map(|of| ReceiptRequest {
        document: of.key.document(),
        heads: of.sealed.iter().copied().collect(),
        attachments: Vec::new(),
    });
    PreparedPush {
        carrier: Some(phone),
        unit: people.truong_vinh,
        receipts: asked.collect(),
        documents,
        refused: Vec::new(),
    }
}

/// Who is answered first when one change comes just after a push of sixty documents in slices of this weight.
async fn first_answered(app: &TestApp, size: usize) -> Vec<&'static str> {
    let people = People::new(app).await;
    let (large, small) = (push(app, &people, 60).await, push(app, &people, 1).await);
    let answered = Mutex::new(Vec::new());
    let tell = |who| answered.lock().expect("nobody panics").push(who);
    let committer = &app.committer;
    let both = async {
        tokio::join!(
            biased;
            async {
                let written = committer.commit_by(large, size).await.expect("stored");
                let pushed = written.signed(app);
                assert!(pushed.changes.is_empty(), "all accepted");
                assert_eq!(pushed.receipts.len(), 60, "each slice's are in the answer");
                tell("large");
            },
            async {
                committer.commit(small).await.expect("stored");
                tell("small");
            }
        )
    };
    // The committer begins when both wait.
    let run = committer.clone().run((**app).clone());
    tokio::select! {
        biased;
        _ = both => {}
        () = run => unreachable!("it runs until the server ends"),
    }
    answered.into_inner().expect("nobody panics")
}

#[tokio::test]
async fn one_change_is_answered_before_another_phones_large_push() {
    for app in apps().await {
        assert_eq!(first_answered(&app, 20).await, ["small", "large"]);
    }
}

#[tokio::test]
async fn the_twin_in_one_slice_is_answered_first_and_one_change_waits_for_all_of_it() {
    for app in apps().await {
        assert_eq!(first_answered(&app, usize::MAX).await, ["large", "small"]);
    }
}

#[tokio::test]
async fn a_transaction_takes_what_fits_and_at_least_one() {
    let app = apps().await.remove(0);
    let people = People::new(&app).await;
    let mut queue = Vec::new();
    assert_eq!(fitting(&queue), 0);
    for documents in [GROUP_WEIGHT, 1, 1] {
        queue.push(Waiting {
            push: push(&app, &people, documents).await,
            answer: oneshot::channel().0,
        });
    }
    assert_eq!(fitting(&queue), 1, "the first is as much as two");
    queue.rotate_left(1);
    assert_eq!(fitting(&queue), 3, "what begins in it ends in it");
}
