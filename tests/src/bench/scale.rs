//! P2, P3 and P4: ten times as many documents in the same server, and fifty connections instead of one.
//!
//! P2's question to ours is the strict one: what is left over after 10,000 documents of 200 phones, once they have gone.

use super::{
    burden::{Handles, Memory, Tree},
    load::Cargo,
    ours::{self, Ours},
    peer::Peer,
    size::Size,
    table::{Measure, Target, progress},
    template::{Made, Template},
};
use crate::driver::Driver;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Connections of P4.
const CONNECTIONS: usize = 50;
/// How long a server may take to come to rest.
const REST: Duration = Duration::from_secs(60);
/// Memory that moves less than this between two looks is at rest.
const STILL_MB: f64 = 0.25;

/// What a server holds when it is at rest.
#[derive(Clone, Copy, Debug)]
pub struct AtRest {
    /// Its memory.
    pub memory: Memory,
    /// Its files, threads and workers.
    pub handles: Handles,
}

/// Waits until nothing moves any more for three looks.
pub async fn at_rest(tree: Tree) -> AtRest {
    let begun = Instant::now();
    let look = || AtRest {
        memory: tree.memory(),
        handles: tree.handles(),
    };
    let mut last = look();
    let mut still = 0;
    while still < 3 && begun.elapsed() < REST {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = look();
        let moved = (now.memory.whole_mb() - last.memory.whole_mb()).abs();
        still = if moved < STILL_MB && now.handles == last.handles {
            still + 1
        } else {
            0
        };
        last = now;
    }
    last
}

/// What was there before a load, while its phones were connected, and after they had gone.
#[derive(Clone, Copy, Debug)]
pub struct Grown {
    /// After the warm-up.
    pub before: AtRest,
    /// All has been read, the phones are still there.
    pub during: AtRest,
    /// The phones have gone.
    pub after: AtRest,
}

/// Warms up with `warm` small documents beside those that are there, loads `load` more from so many phones, and looks at what is left.
///
/// # Panics
/// When the server refuses a document.
pub async fn grown(
    ours: &Ours,
    small: &[Template],
    there: usize,
    warm: usize,
    load: usize,
    phones: usize,
) -> Grown {
    let first = ours.make(small, &ours.phone, warm);
    ours::send(&ours.phone, &ours::pushes(&ours.phone, &first)).await;
    ours.until_read(there + warm).await;
    let before = at_rest(ours.tree()).await;
    let mut drivers = Vec::with_capacity(phones);
    for _ in 0..phones {
        drivers.push(Driver::enrol(&ours.server, "an").await);
    }
    let sending = drivers.iter().map(async |phone| {
        let documents = ours.make(small, phone, load / phones);
        ours::send(phone, &ours::pushes(phone, &documents)).await;
    });
    futures_util::future::join_all(sending).await;
    ours.until_read(there + warm + load / phones * phones).await;
    let during = at_rest(ours.tree()).await;
    drop(drivers);
    let after = at_rest(ours.tree()).await;
    Grown {
        before,
        during,
        after,
    }
}

/// P2's growth, and P3, with small documents.
///
/// # Panics
/// When a server refuses a document.
pub async fn measure(folder: &Path, size: Size, small: &[Template]) -> Vec<Measure> {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let (one, ten) = (size.small, 10 * size.small);
    let ours = Ours::start(&folder.path().join("grown"), None).await;
    let grown = grown(&ours, small, 0, one, ten, size.phones).await;
    ours.server.kill().await;
    let whole = |at: &AtRest| at.memory.whole_mb();
    let what = format!("left of {ten} small documents and {} phones", size.phones);
    let mut growth = Measure::alone(
        "P2",
        &what,
        "MB",
        &[whole(&grown.after) - whole(&grown.before)],
    )
    .to_reach(Target::AtMost(8.0));
    let files = |at: &AtRest| at.handles.files as f64;
    let left_files = files(&grown.after) - files(&grown.before);
    let threads = |at: &AtRest| at.handles.threads as f64;
    let left_threads = threads(&grown.after) - threads(&grown.before);
    let at_rest_mb = [grown.before, grown.after].map(|at| at.memory);
    let (ours_rates, made) = our_rates(folder.path(), size, small).await;
    let flat = |rates: &[(f64, f64)]| rates.iter().map(|(a, b)| b / a).collect::<Vec<_>>();
    let mut flatness = Measure::alone(
        "P3",
        "documents/s, the next 10× small after 1×",
        "×",
        &flat(&ours_rates),
    )
    .to_reach(Target::AtLeast(0.8));
    let ten_rate: Vec<f64> = ours_rates.iter().map(|(_, ten)| *ten).collect();
    let mut speed = Measure::alone("P3", "  documents/s over those", "/s", &ten_rate);
    let cargo = Cargo::of(&made, folder.path());
    for peer in Peer::ALL {
        let (one, name) = (size.small_of(peer), peer.name());
        let (rates, growth_mb) = peer_grown(peer, &folder.path().join(name), &cargo, one).await;
        let name = format!("{name}, {} documents", 10 * one);
        growth = growth.seeing(&name, &[growth_mb]);
        flatness = flatness.and(&name, &[rates.1 / rates.0]);
        speed = speed.and(&name, &[rates.1]);
        progress(&format!("P2, P3 {}", peer.name()));
    }
    let memory = |what: &str, figure: &dyn Fn(Memory) -> f64| {
        Measure::alone(
            "P2",
            what,
            "MB",
            &[figure(at_rest_mb[0]), figure(at_rest_mb[1])],
        )
    };
    vec![
        growth,
        memory("  server at rest, before and after", &|memory| {
            memory.server_mb
        }),
        memory("  workers at rest, before and after", &|memory| {
            memory.workers_mb
        }),
        Measure::alone(
            "P2",
            "  workers that wait for the next job",
            "",
            &[grown.after.handles.workers as f64],
        ),
        Measure::alone("P2", "  files left open", "", &[left_files]).to_reach(Target::AtMost(0.0)),
        Measure::alone("P2", "  threads left over", "", &[left_threads])
            .to_reach(Target::AtMost(0.0)),
        flatness,
        speed,
    ]
}

/// Documents per second of the first and of the ten times as many after them, in each round; and what the last round sent.
async fn our_rates(folder: &Path, size: Size, small: &[Template]) -> (Vec<(f64, f64)>, Vec<Made>) {
    let (mut ours_rates, mut made) = (Vec::new(), Vec::new());
    for number in 1..=size.rounds {
        let ours = Ours::start(&folder.join(format!("flat-{number}")), None).await;
        made = ours.make(small, &ours.phone, 11 * size.small);
        let rates = [&made[..size.small], &made[size.small..]]
            .map(|share| (share.len(), ours::pushes(&ours.phone, share)));
        let mut seconds = Vec::new();
        for (count, ready) in &rates {
            let begun = Instant::now();
            ours::send(&ours.phone, ready).await;
            seconds.push(*count as f64 / begun.elapsed().as_secs_f64());
        }
        ours_rates.push((seconds[0], seconds[1]));
        ours.server.kill().await;
    }
    (ours_rates, made)
}

/// Documents per second of the first and of the ten times as many after them, and the memory these left.
async fn peer_grown(peer: Peer, folder: &Path, cargo: &Cargo, one: usize) -> ((f64, f64), f64) {
    let ten = 10 * one;
    let server = peer.start(folder).await;
    let first = cargo.upload(peer, &server, one, 1).await;
    let before = at_rest(server.tree()).await.memory.whole_mb();
    let rest = cargo.part(one..one + ten, folder);
    let then = rest.upload(peer, &server, ten, 1).await;
    let after = at_rest(server.tree()).await.memory.whole_mb();
    server.kill().await;
    (
        (one as f64 / first.seconds, ten as f64 / then.seconds),
        after - before,
    )
}

/// P3 with patrol documents at 1×, 3× and 10×, each on a new server; and P4.
///
/// # Panics
/// When a server refuses a document.
pub async fn larger(folder: &Path, size: Size, templates: &[Template]) -> Vec<Measure> {
    let mut rates: [Vec<f64>; 3] = Default::default();
    let times = [1, 3, 10];
    for _ in 0..size.rounds {
        for (times, rates) in times.into_iter().zip(&mut rates) {
            let folder = tempfile::tempdir_in(folder).expect("a folder");
            let ours = Ours::start(folder.path(), None).await;
            let documents = ours.make(templates, &ours.phone, times * size.documents);
            let ready = ours::pushes(&ours.phone, &documents);
            let begun = Instant::now();
            ours::send(&ours.phone, &ready).await;
            rates.push(documents.len() as f64 / begun.elapsed().as_secs_f64());
        }
    }
    progress("P3 patrol documents");
    let ratios =
        |rates: &[f64], to: &[f64]| rates.iter().zip(to).map(|(r, t)| r / t).collect::<Vec<_>>();
    let mut lines: Vec<Measure> = times
        .into_iter()
        .zip(&rates)
        .map(|(times, rates)| {
            let what = format!(
                "  {} patrol documents on a new server",
                times * size.documents
            );
            Measure::alone("P3", &what, "/s", rates)
        })
        .collect();
    let flat = ratios(&rates[2], &rates[0]);
    lines.insert(
        0,
        Measure::alone("P3", "patrol documents/s, 10× against 1×", "×", &flat)
            .to_reach(Target::AtLeast(0.8)),
    );
    lines.push(connections(folder, size, templates).await);
    lines
}

/// P4: as many documents over fifty connections as over one.
async fn connections(folder: &Path, size: Size, templates: &[Template]) -> Measure {
    let each = (size.documents / CONNECTIONS).max(1);
    let mut ours_ratio = Vec::new();
    let mut made = Vec::new();
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        let ours = Ours::start(folder.path(), None).await;
        let mut phones = Vec::new();
        for _ in 0..CONNECTIONS {
            phones.push(Driver::enrol(&ours.server, "an").await);
        }
        made = ours.make(templates, &ours.phone, CONNECTIONS * each);
        let one = ours::pushes(&ours.phone, &made);
        let ready: Vec<_> = phones
            .iter()
            .map(|phone| {
                (
                    phone,
                    ours::pushes(phone, &ours.make(templates, phone, each)),
                )
            })
            .collect();
        let begun = Instant::now();
        ours::send(&ours.phone, &one).await;
        let alone = begun.elapsed();
        ours.until_read(CONNECTIONS * each).await;
        let begun = Instant::now();
        let sending = ready
            .iter()
            .map(async |(phone, ready)| ours::send(phone, ready).await);
        futures_util::future::join_all(sending).await;
        ours_ratio.push(alone.as_secs_f64() / begun.elapsed().as_secs_f64());
        ours.server.kill().await;
    }
    let mut line = Measure::alone(
        "P4",
        "50 connections against one, documents/s",
        "×",
        &ours_ratio,
    )
    .to_reach(Target::AtLeast(1.0));
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let cargo = Cargo::of(&made, folder.path());
    for peer in Peer::ALL {
        let count = size.of(peer).min(cargo.count);
        let mut seconds = Vec::new();
        for connections in [1, CONNECTIONS] {
            let server = peer
                .start(&folder.path().join(format!("{}-{connections}", peer.name())))
                .await;
            seconds.push(
                cargo
                    .upload(peer, &server, count, connections)
                    .await
                    .seconds,
            );
            server.kill().await;
        }
        line = line.and(peer.name(), &[seconds[0] / seconds[1]]);
    }
    progress("P4");
    line
}
