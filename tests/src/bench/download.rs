//! P8 and P5: the first download of patrol documents, until they are committed in a new phone's encrypted store; and what it costs
//! to learn that nothing is new.
//!
//! Ours is the real phone. Automerge's peers are fetched by a generator that keeps what comes in memory and knows the names
//! beforehand (their protocol has no list); PouchDB's client pages through the feed and keeps nothing: all of it in their favour.

use super::{
    burden::Tree,
    load::{self, Cargo},
    ours::{self, Ours},
    peer::{Peer, Running, folder_of_peers},
    relay::{Relay, Turn},
    size::Size,
    table::{Measure, Target, ms, progress},
    template::Template,
};
use crate::world;
use kieumau_core::phone::{Phone, SyncOptions};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Syncs that find nothing.
const QUIET_SYNCS: usize = 9;
/// How often a server is looked at that is to come to rest.
const LOOK: Duration = Duration::from_millis(800);
/// And how often at most.
const LOOKS: usize = 150;

/// Measures P8 with data below `folder`.
///
/// # Panics
/// When somebody does not get what is there.
pub async fn measure(folder: &Path, size: Size, templates: &[Template]) -> Vec<Measure> {
    let (mut ours, mut listed) = (Vec::new(), Vec::new());
    let mut peers: [Vec<f64>; 3] = Default::default();
    for number in 1..=size.rounds {
        let round = tempfile::tempdir_in(folder).expect("a folder");
        let (synced, seen, cargo) = ours_once(round.path(), size.documents, templates).await;
        ours.push(size.documents as f64 / synced.as_secs_f64());
        listed.push(size.documents as f64 / seen.as_secs_f64());
        for (peer, rates) in Peer::ALL.into_iter().zip(&mut peers) {
            let server = peer.start(&round.path().join(peer.name())).await;
            let count = size.of(peer);
            cargo.upload(peer, &server, count, 1).await;
            let loaded = cargo.download(peer, &server, count).await;
            rates.push(count as f64 / loaded.seconds);
            server.kill().await;
        }
        progress(&format!(
            "P8 round {number}: ours {:.0}/s",
            ours[ours.len() - 1]
        ));
    }
    let what = format!("first download of {} patrol documents", size.documents);
    let mut line = Measure::alone("P8", &what, "/s", &ours);
    for ((peer, rates), times) in Peer::ALL.into_iter().zip(&peers).zip([60.0, 15.0, 15.0]) {
        line = line
            .and(peer.name(), rates)
            .to_reach(Target::RatioAtLeast(times));
    }
    vec![
        line,
        Measure::alone("P8", "  until all of them are listed", "/s", &listed),
    ]
}

/// How long a new phone took to have all, and to list all.
async fn ours_once(
    folder: &Path,
    count: usize,
    templates: &[Template],
) -> (Duration, Duration, Cargo) {
    let ours = Ours::start(&folder.join("ours"), None).await;
    let documents = ours.make(templates, &ours.phone, count);
    ours::send(&ours.phone, &ours::pushes(&ours.phone, &documents)).await;
    ours.until_read(count).await;
    // A new phone comes some other day: by then documents lie saved whole.
    until_idle(ours.tree()).await;
    let phone = world::open(&folder.join("phone"), &Arc::default()).await;
    let code = ours.server.code("ha").await.code;
    phone
        .enrol(&ours.server.ward.url, &code)
        .await
        .expect("enrols");
    let begun = Instant::now();
    phone.sync(SyncOptions::default()).await.expect("syncs");
    let synced = begun.elapsed();
    while phone.patrols().await.expect("lists").len() < count {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "all are listed in the end"
        );
    }
    (synced, begun.elapsed(), Cargo::of(&documents, folder))
}

/// Waits until the server's processes have nothing to do for most of a second. At rest by its memory it may still be saving.
async fn until_idle(tree: Tree) {
    let mut busy = tree.busy();
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        let now = tree.busy();
        if now.saturating_sub(busy) < LOOK / 20 {
            return;
        }
        busy = now;
    }
    panic!("the server comes to rest");
}

/// Measures P5 with ten times as many small documents, data below `folder`.
///
/// # Panics
/// As [`measure`].
pub async fn nothing_new(folder: &Path, size: Size, small: &[Template]) -> Vec<Measure> {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let count = 10 * size.small;
    let ours = Ours::start(&folder.path().join("ours"), None).await;
    let documents = ours.make(small, &ours.phone, count);
    ours::send(&ours.phone, &ours::pushes(&ours.phone, &documents)).await;
    ours.until_read(count).await;
    let relay = Relay::new(&ours.server.ward.url).await;
    let phone = world::open(&folder.path().join("phone"), &Arc::default()).await;
    let code = ours.server.code("ha").await.code;
    phone.enrol(&relay.url(), &code).await.expect("enrols");
    let mut lines = quiet_lines(&phone, &relay, count).await;
    drop(phone);
    // The last figures of this server are taken; its peers have the core for themselves.
    ours.server.kill().await;
    let cargo = Cargo::of(&documents, folder.path());
    for peer in Peer::ALL {
        let count = match peer {
            Peer::Repo => size.small,
            Peer::Samod | Peer::Pouch => count,
        };
        lines[0] = peer_line(lines[0].clone(), peer, folder.path(), &cargo, count).await;
        progress(&format!("P5 {}", peer.name()));
    }
    lines
}

/// Our phone's lines; the first is the whole sync's time, the app's own work included.
async fn quiet_lines(phone: &Phone, relay: &Relay, count: usize) -> Vec<Measure> {
    let sync = async || phone.sync(SyncOptions::default()).await.expect("syncs");
    sync().await;
    // What the first one left to be said is said by the second.
    sync().await;
    let _ = relay.take();
    let (mut times, mut requests, mut answers, mut bytes) = (vec![], vec![], vec![], vec![]);
    for _ in 0..QUIET_SYNCS {
        let begun = Instant::now();
        sync().await;
        times.push(ms(begun.elapsed()));
        let (turns, _) = relay.take();
        requests.push(turns.len() as f64);
        answers.push(turns.iter().map(|t| t.parts()[3]).sum::<usize>() as f64);
        bytes.push(turns.iter().map(Turn::bytes).sum::<usize>() as f64);
    }
    let what = format!("nothing new among {count} documents, a phone's sync");
    vec![
        Measure::alone("P5", &what, "ms", &times).to_reach(Target::AtMost(2.0)),
        Measure::alone("P5", "  requests", "", &requests).to_reach(Target::AtMost(1.0)),
        Measure::alone("P5", "  body of the answer", "B", &answers).to_reach(Target::AtMost(300.0)),
        Measure::alone("P5", "  all bytes, both ways, with heads", "B", &bytes),
    ]
}

/// The same question to a peer that has `count` documents: automerge's ask for each, PouchDB's client has its checkpoint.
async fn peer_line(
    line: Measure,
    peer: Peer,
    folder: &Path,
    cargo: &Cargo,
    count: usize,
) -> Measure {
    let server = peer.start(&folder.join(peer.name())).await;
    cargo.upload(peer, &server, count, 1).await;
    let mut times = Vec::new();
    let mut each = 0;
    match peer {
        Peer::Repo | Peer::Samod => {
            for _ in 0..3 {
                let asked = cargo.upload(peer, &server, count, 1).await;
                times.push(1_000.0 * asked.seconds);
                each = (asked.up_bytes + asked.down_bytes) / count as u64;
            }
        }
        Peer::Pouch => times = official_pouch(&server, &folder.join("pouch-client")).await,
    }
    server.kill().await;
    let name = match peer {
        Peer::Pouch => format!("{}, {count} documents, official client", peer.name()),
        Peer::Repo | Peer::Samod => format!("{}, {count} documents, {each} B each", peer.name()),
    };
    let line = line.against(&name, &times);
    match peer {
        Peer::Pouch => line.to_reach(Target::RatioAtLeast(1_000.0)),
        Peer::Repo | Peer::Samod => line,
    }
}

/// PouchDB's own `sync` in Node, after it has everything.
async fn official_pouch(server: &Running, folder: &Path) -> Vec<f64> {
    let out = tokio::process::Command::new("node")
        .arg(folder_of_peers().join("node/pouch-client.mjs"))
        .arg(format!("{}patrols", server.url))
        .arg(folder)
        .output()
        .await
        .expect("node starts");
    load::figures(&out)["milliseconds"]
        .as_array()
        .expect("times")
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect()
}
