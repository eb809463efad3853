//! Who learns what of quarantine, and that what lies there can be tried again.

use super::*;
use crate::{
    fixture::{People, TestApp, apps, audited, enrolled, rows},
    intake::{self, PreparedPush, RefusedChange},
};
use kieumau_core::{
    document::Key,
    hash::Sha256,
    id::PhoneId,
    log::admission::Refusal,
    seal::{Seal, Signer},
};

async fn refuse(app: &TestApp, carrier: PhoneId, unit: UnitId, refusal: Refusal, bytes: &[u8]) {
    let key = Key::patrol(unit, uuid::Uuid::from_u128(7));
    let push = PreparedPush {
        carrier: Some(carrier),
        unit,
        documents: Vec::new(),
        receipts: Vec::new(),
        refused: vec![RefusedChange {
            document: Some(key),
            hash: Sha256::of(bytes),
            refusal,
            bytes: bytes.to_vec(),
            seals: Vec::new(),
        }],
    };
    intake::write(app, &[&push]).await.expect("written");
}

async fn only(app: &TestApp) -> Item {
    let wanted = Wanted {
        limit: 2,
        ..Wanted::default()
    };
    let mut items = list(app, wanted).await.expect("read");
    assert_eq!(items.len(), 1);
    items.pop().expect("one")
}

#[tokio::test]
async fn the_chief_of_the_unit_finds_an_item_the_admin_too_and_nobody_of_another_unit() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, _) = enrolled(&app, &people.an).await;
        refuse(&app, phone, people.truong_vinh, Refusal::Malformed, b"x").await;
        let item = only(&app).await;
        assert_eq!((item.reason.as_str(), item.size_bytes), ("malformed", 1));
        assert_eq!(item.carrier, Some(phone.to_string()));
        for who in [&people.chi, &people.dung] {
            find(&app, who, &item.id).await.expect(&who.name);
        }
        let other = find(&app, &people.binh, &item.id).await;
        assert_eq!(other.expect_err("another unit's").word(), "not-found");
        // The admin knows that it is there, and opens nothing.
        let opened = content::bytes(&app, &item).await.expect("opens");
        assert_eq!(opened, b"x");
        let admin = content(&app, &people.dung, &item.id).await;
        assert_eq!(admin.expect_err("never content").word(), "forbidden");
        assert_eq!(audited(&app, "quarantine-read").await, []);
    }
}

#[tokio::test]
async fn what_is_of_no_unit_of_its_carriers_is_opened_by_nobody_until_the_admin_routes_it_once() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, _) = enrolled(&app, &people.binh).await;
        refuse(&app, phone, people.truong_vinh, Refusal::NotAllowed, b"x").await;
        let item = only(&app).await;
        assert_eq!(item.unit, None);
        let chi = find(&app, &people.chi, &item.id).await;
        assert_eq!(chi.expect_err("not routed").word(), "not-found");
        let by_chief = route(&app, &people.chi, &item.id, people.truong_vinh).await;
        assert_eq!(by_chief.expect_err("no admin").word(), "forbidden");
        route(&app, &people.dung, &item.id, people.truong_vinh)
            .await
            .expect("routed");
        find(&app, &people.chi, &item.id).await.expect("hers now");
        let again = route(&app, &people.dung, &item.id, people.vinh_phu).await;
        assert_eq!(again.expect_err("once").word(), "changed-meanwhile");
        let audit = audited(&app, "quarantine-routed").await;
        assert_eq!(audit.len(), 1);
        assert_eq!(audit[0].subject, Some(item.id));
    }
}

#[tokio::test]
async fn who_brings_anothers_bytes_first_does_not_hide_the_writers_seals() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (an, key) = enrolled(&app, &people.an).await;
        let (ha, _) = enrolled(&app, &people.ha).await;
        let document = Key::patrol(people.truong_vinh, uuid::Uuid::from_u128(7));
        let hash = Sha256::of(b"x");
        let seal = document.seal(&key, Signer::Phone(an), hash);
        let bring = async |carrier, seals: &[Seal]| {
            let push = PreparedPush {
                carrier: Some(carrier),
                unit: people.truong_vinh,
                documents: Vec::new(),
                receipts: Vec::new(),
                refused: vec![RefusedChange {
                    document: Some(document.clone()),
                    hash,
                    refusal: Refusal::NotAllowed,
                    bytes: b"x".to_vec(),
                    seals: seals.to_vec(),
                }],
            };
            intake::write(&app, &[&push]).await.expect("written");
        };
        bring(ha, &[]).await;
        // The twin: the same phone's again is nothing new.
        bring(ha, &[]).await;
        assert_eq!(rows(&app, "quarantine").await, 1);
        bring(an, &[seal]).await;
        assert_eq!(rows(&app, "quarantine").await, 2);
        let row = sqlx::query("select seals from quarantine where carrier_phone_id = $1")
            .bind(an.to_string())
            .fetch_one(&app.database.read)
            .await
            .expect("the writer's");
        let kept: Vec<Seal> = minicbor::decode(&row.get::<Vec<u8>, _>(0)).expect("seals");
        assert_eq!(kept, [seal]);
    }
}

#[tokio::test]
async fn one_phone_fills_its_own_quota_and_no_other_phones() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (an, _) = enrolled(&app, &people.an).await;
        let (ha, _) = enrolled(&app, &people.ha).await;
        let unit = people.truong_vinh;
        let many = |carrier: PhoneId, from: u32, count: u32| PreparedPush {
            carrier: Some(carrier),
            unit,
            documents: Vec::new(),
            receipts: Vec::new(),
            refused: (from..from + count)
                .map(|number| RefusedChange {
                    document: None,
                    hash: Sha256::of(&number.to_le_bytes()),
                    refusal: Refusal::Malformed,
                    bytes: number.to_le_bytes().to_vec(),
                    seals: Vec::new(),
                })
                .collect(),
        };
        let full = |pushed: &kieumau_core::wire::Pushed| {
            let words = pushed.changes.iter().map(|outcome| outcome.word.as_str());
            words.filter(|word| *word == "quarantine-full").count()
        };
        let answers = intake::write(&app, &[&many(an, 0, 10_001)])
            .await
            .expect("written");
        assert_eq!(full(&answers[0]), 1);
        let answers = intake::write(&app, &[&many(an, 20_000, 2), &many(ha, 30_000, 2)])
            .await
            .expect("written");
        assert_eq!((full(&answers[0]), full(&answers[1])), (2, 0));
        assert_eq!(rows(&app, "quarantine").await, 10_002);
    }
}
