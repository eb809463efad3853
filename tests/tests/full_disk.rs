//! F4, the phone's half: a disk that takes no more is a typed error, what was shown as saved is there, and work goes on after.

use kieumau_core::phone::PhoneError;
use kieumau_tests::{
    disk::SmallDisk,
    world::{World, open},
};
use std::sync::{Arc, atomic::AtomicI64};

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing_that_was_saved() {
    let world = World::new().await;
    let folder = world.folder().join("small");
    let Some(disk) = SmallDisk::mount(
        "a_full_disk_is_said_and_loses_nothing_that_was_saved",
        &folder,
        3,
    ) else {
        return;
    };
    let skew = Arc::new(AtomicI64::new(0));
    let phone = open(&folder.join("phone"), &skew).await;
    let code = world.server.code("an").await;
    phone
        .enrol(&world.server.ward.url, &code.code)
        .await
        .expect("enrols");
    let new = kieumau_core::patrol::NewPatrol {
        title: "Ca đầy bộ nhớ".to_owned(),
        ..Default::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    let ballast = disk.fill(400_000);
    let mut saved = Vec::new();
    let refused = loop {
        let note = "x".repeat(1_500);
        let new = kieumau_core::observation::NewObservation {
            note: Some(note),
            ..kieumau_core::observation::NewObservation::of("urban-order", 1, "case")
        };
        match phone.add_observation(patrol, new).await {
            Ok(id) => saved.push(id),
            Err(error) => break error,
        }
        assert!(saved.len() < 2_000, "the disk never filled up");
    };
    assert!(matches!(refused, PhoneError::StorageFull), "{refused:?}");
    let here = |observations: Vec<kieumau_core::phone::ObservationView>| {
        observations
            .into_iter()
            .map(|view| view.observation)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        here(phone.observations(patrol).await.expect("reads")),
        saved
    );
    ballast.remove();
    let new = kieumau_core::observation::NewObservation::of("urban-order", 1, "case");
    saved.push(phone.add_observation(patrol, new).await.expect("goes on"));
    drop(phone);
    let phone = open(&folder.join("phone"), &skew).await;
    assert_eq!(
        here(phone.observations(patrol).await.expect("reads")),
        saved
    );
    drop(phone);
    drop(disk);
}

#[tokio::test]
async fn a_rescue_file_that_does_not_fit_is_said_and_no_part_of_it_stays() {
    let world = World::new().await;
    let folder = world.folder().join("stick");
    let Some(disk) = SmallDisk::mount(
        "a_rescue_file_that_does_not_fit_is_said_and_no_part_of_it_stays",
        &folder,
        3,
    ) else {
        return;
    };
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca có ảnh lớn").await;
    let photo = [&[0xff, 0xd8, 0xff, 0xe0][..], &vec![7; 4 << 20]].concat();
    let photo = world.file("lon.jpg", &photo);
    an.attach(patrol, None, &photo).await.expect("attached");
    let refused = an.export_rescue(&folder.join("an.rescue")).await;
    assert!(
        matches!(refused, Err(PhoneError::StorageFull)),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
    let elsewhere = world.folder().join("an.rescue");
    let report = an.export_rescue(&elsewhere).await.expect("written");
    assert_eq!((report.changes, report.files), (2, 1));
    drop(disk);
}
