//! A phone that is killed while it seals a photo leaves a file that no row names. The next opening sweeps it and touches nothing else.
//! The twin (a sweep that asks no row) lies beside the sweep, in the core: no product can be told to do that.

use kieumau_tests::{
    process::PhoneProcess,
    world::{World, open},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

const KILLS: usize = 5;

fn sealed(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("files")) else {
        return BTreeSet::new();
    };
    entries
        .map(|entry| {
            entry
                .expect("reads")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

#[tokio::test]
async fn what_a_kill_leaves_between_file_and_row_is_swept_and_what_was_attached_is_not() {
    let world = World::new().await;
    let folder = world.folder().join("killed-while-sealing");
    let code = world.server.code("an").await;
    let small = world.file("small.pdf", b"%PDF-1.7 one page");
    let large = world.file(
        "large.pdf",
        &[b"%PDF-1.7".as_slice(), &vec![7; 48 << 20]].concat(),
    );
    let mut phone = PhoneProcess::start(&folder, None);
    phone.ask(&json!({ "do": "enrol", "qr": code.qr })).await;
    let started = phone
        .ask(&json!({ "do": "start", "title": "Ca có ảnh" }))
        .await;
    let patrol = started["patrol"].as_str().expect("started").to_owned();
    let attach = |path: &Path| json!({ "do": "attach", "document": patrol, "path": path });
    let kept = phone.ask(&attach(&small)).await;
    let kept = kept["sha256"]
        .as_str()
        .expect("attached")
        .parse()
        .expect("a hash");
    let named = sealed(&folder);
    for _ in 0..KILLS {
        phone.tell(&attach(&large)).await;
        while sealed(&folder) == named {
            tokio::task::yield_now().await;
        }
        assert!(phone.kill().await.is_empty(), "the kill came after the row");
        assert_eq!(sealed(&folder).len(), named.len() + 1, "nothing to sweep");
        phone = PhoneProcess::start(&folder, None);
        // It answers only when it is open.
        phone.ask(&json!({ "do": "items" })).await;
        assert_eq!(sealed(&folder), named);
    }
    phone.kill().await;
    let phone = open(&folder, &Arc::new(AtomicI64::new(0))).await;
    let shown = phone.viewable(kept).await.expect("is here");
    assert_eq!(std::fs::read(shown).expect("reads"), b"%PDF-1.7 one page");
}
