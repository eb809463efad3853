//! From real rows to a file and back: what was received is in the dossier, verifies without the server, and nothing else is.

use super::{
    setting::{PHOTO, settings},
    *,
};
use crate::{fixture::audited, ledger, phone};
use axum::http::StatusCode;
use kieumau_core::{
    document::Key,
    dossier::proof::{NotProven, Proven},
    id::DocumentId,
    log::{head::Epoch, leaf::Leaf},
    period::{Period, day_of},
};
use std::collections::BTreeSet;

fn ids(proven: &Proven) -> BTreeSet<DocumentId> {
    proven
        .documents
        .iter()
        .map(|document| document.document)
        .collect()
}

#[tokio::test]
async fn a_patrol_is_exported_with_its_photo_and_the_decisions_about_it() {
    for setting in settings().await {
        let patrol = setting.patrol().await;
        let review = setting.review(&patrol).await;
        let id = patrol.document();
        let proven = setting.exported(Selection::Patrol(id)).await;
        assert_eq!(ids(&proven), BTreeSet::from([id, review.document()]));
        let document = proven
            .documents
            .iter()
            .find(|document| document.document == id);
        let document = document.expect("the patrol");
        assert_eq!(document.changes, 3);
        assert_eq!(document.missing, [setting.away()]);
        assert_eq!(proven.attachments.len(), 1);
        assert_eq!(proven.attachments[0].sha256, Sha256::of(PHOTO));
        assert!(proven.not_proven.contains(&NotProven::Missing));

        let deeds = audited(&setting.app, "exported").await;
        assert_eq!(deeds.len(), 1);
        assert_eq!(deeds[0].subject, Some(id.to_string()));
        assert_eq!(deeds[0].unit, Some(patrol.unit.to_string()));
        assert_eq!(deeds[0].detail.as_deref(), Some("2"));
        let files = std::fs::read_dir(setting.folder.path()).expect("a folder");
        assert_eq!(files.count(), 1, "nothing unfinished is left");
    }
}

#[tokio::test]
async fn a_units_period_holds_its_patrols_and_evidence_and_no_others() {
    for setting in settings().await {
        let (unit, other) = (setting.people.truong_vinh, setting.people.vinh_phu);
        let period = Period::of_programme(day_of(clock::now_ms()));
        let patrol = setting.patrol().await;
        let review = setting.review(&patrol).await;
        let evidence = setting.evidence(unit, &period).await;
        setting.evidence(unit, &period.same_last_year()).await;
        setting.evidence(other, &period).await;
        let proven = setting.exported(Selection::UnitPeriod(unit, period)).await;
        let expected = [&patrol, &review, &evidence].map(Key::document);
        assert_eq!(ids(&proven), BTreeSet::from(expected));
    }
}

#[tokio::test]
async fn what_a_phone_wrote_before_its_revocation_stays_proven() {
    for setting in settings().await {
        let patrol = setting.patrol().await;
        phone::revoke(&setting.app, Some(&setting.people.chi), setting.phone)
            .await
            .expect("revoked");
        let proven = setting.exported(Selection::Patrol(patrol.document())).await;
        assert_eq!(proven.documents[0].changes, 3);
    }
}

#[tokio::test]
async fn a_document_across_a_restored_backup_is_proven_by_both_epochs() {
    for setting in settings().await {
        let period = Period::of_programme(day_of(clock::now_ms()));
        let evidence = setting.evidence(setting.people.truong_vinh, &period).await;
        let before = head(&setting.app).await.expect("a head");

        // As a restored backup begins.
        let mut tx = setting.app.database.begin().await.expect("a transaction");
        let epoch = Epoch(rand::random());
        sqlx::query("update setting set value = $1 where name = 'log'")
            .bind(format!("{epoch} 0"))
            .execute(&mut *tx)
            .await
            .expect("a new epoch");
        let begins = Leaf::Epoch {
            epoch,
            previous: Some(before),
        };
        ledger::append(&mut tx, &begins)
            .await
            .expect("its first leaf");
        tx.commit().await.expect("committed");

        let patrol = setting.patrol().await;
        for key in [&evidence, &patrol] {
            let selection = match key.evidence_of() {
                Some(_) => Selection::Evidence(key.document()),
                None => Selection::Patrol(key.document()),
            };
            let proven = setting.exported(selection).await;
            assert_eq!(ids(&proven), BTreeSet::from([key.document()]));
            assert_eq!(proven.epoch, epoch);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_or_is_something_else_is_not_exported() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        let unknown = DocumentId::from_bytes([9; 16]);
        for selection in [Selection::Patrol(unknown), Selection::Evidence(patrol)] {
            let refused = export(&setting.app, selection, &setting.path()).await;
            assert_eq!(
                refused.err().map(|problem| problem.status()),
                Some(StatusCode::NOT_FOUND)
            );
        }
        assert!(!setting.path().exists());
        assert!(audited(&setting.app, "exported").await.is_empty());
    }
}

#[tokio::test]
async fn rows_that_would_not_verify_make_no_file() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        let mut tx = setting.app.database.begin().await.expect("a transaction");
        sqlx::query("delete from seal")
            .execute(&mut *tx)
            .await
            .expect("no seals");
        tx.commit().await.expect("committed");
        let refused = export(&setting.app, Selection::Patrol(patrol), &setting.path()).await;
        assert_eq!(
            refused.err().map(|problem| problem.word()),
            Some("internal")
        );
        assert!(!setting.path().exists());
        assert!(audited(&setting.app, "exported").await.is_empty());
    }
}

#[tokio::test]
async fn an_attachment_that_cannot_be_read_makes_no_file() {
    for setting in settings().await {
        let patrol = Selection::Patrol(setting.patrol().await.document());
        // The twin: the same while it can be read.
        setting.exported(patrol).await;
        std::fs::remove_file(setting.path()).expect("a file");
        let mut tx = setting.app.database.begin().await.expect("a transaction");
        sqlx::query("update attachment set object = 'gone'")
            .execute(&mut *tx)
            .await
            .expect("no object");
        tx.commit().await.expect("committed");
        let refused = export(&setting.app, patrol, &setting.path()).await;
        assert_eq!(
            refused.err().map(|problem| problem.word()),
            Some("internal")
        );
        let files = std::fs::read_dir(setting.folder.path()).expect("a folder");
        assert_eq!(files.count(), 0, "nothing unfinished is left");
        assert_eq!(audited(&setting.app, "exported").await.len(), 1);
    }
}

#[tokio::test]
async fn a_file_is_verified_in_words_and_a_changed_one_is_named() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        setting.exported(Selection::Patrol(patrol)).await;
        let known = Some(setting.fingerprint());
        let report = verify(&setting.path(), known).expect("it holds");
        assert!(report.contains(&patrol.to_string()) && report.contains("NOT PROVEN"));
        for said in ["Phường Trường Vinh", "writer: An,", "+07:00"] {
            assert!(report.contains(said), "{said}: {report}");
        }
        assert!(!report.contains("unverified"));
        let report = verify(&setting.path(), None).expect("it holds");
        assert!(report.contains("whose key: unverified"));

        let another = Some(Sha256::of(b"another"));
        let other = verify(&setting.path(), another);
        let Err(VerifyError::AnotherKey { has, given }) = other else {
            panic!("another server's");
        };
        assert_eq!((Some(has), Some(given)), (known, another));

        let mut bytes = std::fs::read(setting.path()).expect("a file");
        let place = bytes.len() - 5;
        bytes[place] ^= 1;
        std::fs::write(setting.path(), bytes).expect("changed");
        let changed = verify(&setting.path(), known).expect_err("the photo was changed");
        assert!(changed.to_string().contains("attachment"), "{changed}");
        // Of a file that is changed besides, that is said, and not whose it is.
        let changed = verify(&setting.path(), another).expect_err("the photo was changed");
        assert!(changed.to_string().contains("attachment"), "{changed}");
        std::fs::write(setting.path(), b"%PDF-1.7 something else").expect("another file");
        let other = verify(&setting.path(), known);
        assert!(matches!(other, Err(VerifyError::NotADossier)));
        let absent = verify(&setting.folder.path().join("none"), known);
        assert!(matches!(absent, Err(VerifyError::Unreadable(_))));
    }
}
