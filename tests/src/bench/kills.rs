//! F20: `SIGKILL` after the answer, for the peers as for ours. A client brings documents one after the other and notes what was
//! answered; the server dies at a random moment, starts again on what lies in its folder, and is asked for everything it answered.
//!
//! A killed process leaves the system's memory of its files as it was: this finds what a server had only in its own memory, not what
//! a power cut would take. Ours under the same kills on both databases, with real phones, is F2.

use super::{
    load::{Cargo, repo_load},
    ours::{self, Ours},
    peer::{Peer, Running, cargo_peer},
    size::Size,
    table::{Measure, Target, progress},
    template::{Made, Template},
};
use kieumau_core::wire::Pushed;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Documents a client has ready: more than any server takes before it dies.
const READY: usize = 4_000;
/// Documents the generator has under way at once: so many more than were answered may have to be asked for.
const IN_FLIGHT: usize = 64;
/// A server dies within this, milliseconds after its client began.
const DIES_WITHIN_MS: std::ops::Range<u64> = 300..2_500;

#[derive(Clone, Copy, Debug, Default)]
struct Toll {
    answered: usize,
    lost: usize,
}

/// Kills each server so often, data below `folder`.
///
/// # Panics
/// When a server does not start again.
pub async fn measure(folder: &Path, size: Size, small: &[Template], seed: u64) -> Vec<Measure> {
    progress(&format!("F20 seed {seed}"));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut tolls: [Toll; 4] = Default::default();
    let mut cargo: Option<Cargo> = None;
    for number in 1..=size.kills {
        let round = tempfile::tempdir_in(folder).expect("a folder");
        let after = Duration::from_millis(rng.random_range(DIES_WITHIN_MS));
        let (toll, made) = ours_killed(&round.path().join("ours"), small, after).await;
        let mut all = vec![toll];
        let cargo = cargo.get_or_insert_with(|| Cargo::of(&made, folder));
        for peer in Peer::ALL {
            all.push(peer_killed(peer, &round.path().join(peer.name()), cargo, after).await);
        }
        for (sum, toll) in tolls.iter_mut().zip(all) {
            sum.answered += toll.answered;
            sum.lost += toll.lost;
        }
        progress(&format!("F20 kill {number}"));
    }
    let line = |what: &str, figure: fn(&Toll) -> usize| {
        let [ours, peers @ ..] = &tolls;
        let measure = Measure::alone("F20", what, "", &[figure(ours) as f64]);
        Peer::ALL
            .into_iter()
            .zip(peers)
            .fold(measure, |measure, (peer, toll)| {
                measure.seeing(peer.name(), &[figure(toll) as f64])
            })
    };
    let what = format!("answered and lost in {} kills", size.kills);
    vec![
        line(&what, |toll| toll.lost).to_reach(Target::AtMost(0.0)),
        line("  answered", |toll| toll.answered),
    ]
}

/// Ours: each document a push with its receipt. Afterwards every change that had one must be there already.
async fn ours_killed(folder: &Path, small: &[Template], after: Duration) -> (Toll, Vec<Made>) {
    let mut ours = Ours::start(folder, None).await;
    let made = ours.make(small, &ours.phone, READY);
    let mut toll = Toll::default();
    let pushing = async {
        for one in &made {
            let ready = ours::pushes(&ours.phone, std::slice::from_ref(one));
            let Some((status, answer)) = ours.phone.try_send(ready[0].body.clone()).await else {
                return;
            };
            let pushed: Option<Pushed> = minicbor::decode(&answer).ok();
            if !status.is_success() || pushed.is_none_or(|pushed| pushed.receipts.len() != 1) {
                return;
            }
            toll.answered += 1;
        }
    };
    drop(tokio::time::timeout(after, pushing).await);
    ours.server.kill_and_restart().await;
    let again = ours::pushes(&ours.phone, &made[..toll.answered]);
    for push in &again {
        let (status, answer) = ours.phone.send(push.body.clone()).await;
        assert!(status.is_success(), "{status}");
        let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
        let held = pushed.changes.iter().filter(|change| change.word == "held");
        toll.lost += push.documents - held.count();
    }
    (toll, made)
}

async fn peer_killed(peer: Peer, folder: &Path, cargo: &Cargo, after: Duration) -> Toll {
    let server = peer.start(folder).await;
    let answered = match peer {
        Peer::Repo | Peer::Samod => killed_under_load(server, cargo, after).await,
        Peer::Pouch => {
            let mut answered = Vec::new();
            let putting = cargo.put_one_by_one(&server, &mut answered);
            drop(tokio::time::timeout(after, putting).await);
            server.kill().await;
            answered
        }
    };
    let server = peer.start(folder).await;
    let there: BTreeSet<String> = match peer {
        Peer::Repo | Peer::Samod => {
            let checked = repo_load(
                "check",
                &server.url,
                cargo.file(),
                answered.len() + IN_FLIGHT,
                1,
            )
            .await;
            checked.names.into_iter().collect()
        }
        Peer::Pouch => cargo.there(&server, &answered).await,
    };
    server.kill().await;
    Toll {
        answered: answered.len(),
        lost: answered
            .iter()
            .filter(|name| !there.contains(*name))
            .count(),
    }
}

/// The names that were acknowledged before the server died.
async fn killed_under_load(server: Running, cargo: &Cargo, after: Duration) -> Vec<String> {
    let mut load = tokio::process::Command::new(cargo_peer("repo-load"))
        .args(["kill", &server.url])
        .arg(cargo.file())
        .args([&cargo.count.to_string(), "1"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the generator starts");
    let out = load.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(out).lines();
    // It says one line when its documents are read and the traffic begins.
    lines.next_line().await.expect("reads").expect("it begins");
    tokio::time::sleep(after).await;
    server.kill().await;
    let mut names = Vec::new();
    while let Some(name) = lines.next_line().await.expect("reads") {
        names.push(name);
    }
    names
}
