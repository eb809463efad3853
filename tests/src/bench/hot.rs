//! Where we lose, measured: one document that everybody has open, and one with a long history. Automerge's own protocol talks per
//! document and from memory; ours stores, checks and numbers a change before anybody gets it, and keeps every change by itself.

use super::{
    load::{Cargo, repo_load_json},
    ours::{self, Ours},
    peer::Peer,
    size::Size,
    table::{Measure, ms, progress},
    template::{Author, Made, Template},
};
use crate::driver::Driver;
use kieumau_core::{
    document::{self, Actor, Change, Key},
    hash::Sha256,
    wire::{Pulled, Push},
};
use std::{path::Path, time::Instant};

/// Who has the document open.
const LISTENERS: usize = 20;
/// Changes that are waited for.
const CHANGES: usize = 20;

/// Measures both with data below `folder`.
///
/// # Panics
/// When somebody does not get what is there.
pub async fn measure(folder: &Path, size: Size, small: &[Template]) -> Vec<Measure> {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let ours = Ours::start(&folder.path().join("ours"), None).await;
    let hot = ours.make(small, &ours.phone, 1);
    let times = fan_out(&ours, &hot[0]).await;
    let what = format!("one hot document, a change at {LISTENERS} listeners");
    let mut fan = Measure::alone("lose", &what, "ms", &times);
    let long = history(&ours, size.history);
    let (up, down) = long_history(&ours, &long).await;
    let what = format!("one document of {} changes, up", size.history);
    let mut upload = Measure::alone("lose", &what, "ms", &[up]);
    let mut download = Measure::alone("lose", "  and down to a new colleague", "ms", &[down]);
    ours.server.kill().await;
    let cargo = Cargo::of(&hot, folder.path());
    let long = Cargo::of(&[long], folder.path());
    for peer in [Peer::Repo, Peer::Samod] {
        let server = peer.start(&folder.path().join(peer.name())).await;
        let figures = repo_load_json("hot", &server.url, cargo.file(), CHANGES, LISTENERS).await;
        let times = figures["milliseconds"].as_array().expect("times").iter();
        let times: Vec<f64> = times.filter_map(serde_json::Value::as_f64).collect();
        fan = fan.against(peer.name(), &times);
        upload = upload.against(
            peer.name(),
            &[1_000.0 * long.upload(peer, &server, 1, 1).await.seconds],
        );
        download = download.against(
            peer.name(),
            &[1_000.0 * long.download(peer, &server, 1).await.seconds],
        );
        server.kill().await;
        progress(&format!("lose {}", peer.name()));
    }
    vec![fan, upload, download]
}

/// Milliseconds from the push of one change until the last of the listeners, who ask without a rest, has it.
async fn fan_out(ours: &Ours, hot: &Made) -> Vec<f64> {
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let phone = Driver::enrol(&ours.server, "ha").await;
        listeners.push((phone, String::new()));
    }
    ours::send(
        &ours.phone,
        &ours::pushes(&ours.phone, std::slice::from_ref(hot)),
    )
    .await;
    ours.until_read(1).await;
    let mut document = hot.document();
    let mut times = Vec::new();
    for _ in 0..CHANGES {
        let change = titled(&mut document, &ours.phone, &times.len().to_string());
        let push = Made {
            key: hot.key.clone(),
            changes: vec![change.clone()],
        };
        let ready = ours::pushes(&ours.phone, &[push]);
        let begun = Instant::now();
        ours::send(&ours.phone, &ready).await;
        let waiting = listeners
            .iter_mut()
            .map(|(phone, cursor)| heard(phone, cursor, &change));
        futures_util::future::join_all(waiting).await;
        times.push(ms(begun.elapsed()));
    }
    times
}

/// Reads on until `change` has come.
async fn heard(phone: &Driver, cursor: &mut String, change: &Change) {
    let mut came = false;
    while !came {
        for item in phone.try_pull(cursor).await.expect("a page") {
            match item {
                Pulled::Change(bytes) => came |= bytes == change.bytes,
                Pulled::Cursor(next, _) => *cursor = next,
                _ => {}
            }
        }
    }
}

/// Milliseconds for the whole of it up, until the durable answer, and down to somebody who has nothing.
async fn long_history(ours: &Ours, long: &Made) -> (f64, f64) {
    let parts = long.changes.chunks(2_000).map(|changes| {
        let part = Made {
            key: long.key.clone(),
            changes: changes.to_vec(),
        };
        let push = Push {
            documents: vec![part.pushed(&ours.phone.key, ours.phone.enrolled.phone)],
            ..Push::default()
        };
        minicbor::to_vec(&push).expect("CBOR")
    });
    let parts: Vec<Vec<u8>> = parts.collect();
    let begun = Instant::now();
    for body in parts {
        let (status, _) = ours.phone.send(body).await;
        assert!(status.is_success(), "{status}");
    }
    let up = ms(begun.elapsed());
    // The hot one is there already.
    ours.until_read(2).await;
    let begun = Instant::now();
    ours.until_read(2).await;
    (up, ms(begun.elapsed()))
}

/// A small patrol whose title was changed so often.
fn history(ours: &Ours, changes: usize) -> Made {
    let phone = &ours.phone;
    let key = Key::patrol(phone.enrolled.unit, uuid::Uuid::now_v7());
    let mut document = document::new(&key);
    let author = Author {
        unit: key.unit,
        person: phone.enrolled.person,
        colleague: ours.colleague.enrolled.person,
        phone: phone.enrolled.phone,
    };
    let mut made = Made {
        key,
        changes: Vec::with_capacity(changes),
    };
    made.changes
        .push(super::template::started(&mut document, author));
    while made.changes.len() < changes {
        let title = format!("Ca {}", made.changes.len());
        made.changes.push(titled(&mut document, phone, &title));
    }
    made
}

/// One more change of a document: another title. Written past the record's rules, because reading a record of thousands of changes
/// for each would take longer than what is measured.
fn titled(document: &mut automerge::Automerge, phone: &Driver, title: &str) -> Change {
    use automerge::{ActorId, ROOT, transaction::Transactable as _};
    // The same opening all along: it is one phone that goes on.
    let actor = Actor {
        phone: phone.enrolled.phone,
        opening: [0x17; 8],
    };
    document.set_actor(ActorId::from(actor.to_bytes().as_slice()));
    let mut writing = document.transaction();
    writing
        .put(ROOT, "title", title)
        .expect("the root is a map");
    writing.commit();
    let change = document.get_last_local_change().expect("it was written");
    Change {
        hash: Sha256::from(change.hash()),
        bytes: change.raw_bytes().to_vec(),
    }
}
