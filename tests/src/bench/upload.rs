//! P1, P1b, P13 and the peak of P2: the first upload of patrol documents, until the durable answer and until a colleague reads the
//! last; beside the peers, and beside what the disk and one signature check would take.

use super::{
    burden::{Tree, Watch},
    load::Cargo,
    ours::{self, Ours},
    peer::{Peer, cargo_peer},
    size::Size,
    table::{Measure, Target, progress},
    template::{Made, Template},
};
use ed25519_dalek::Signer as _;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Bytes under the one signature that P13 checks per document: about what a seal signs.
const SIGNED_BYTES: usize = 160;
/// Memory for a disk: where it is waited for nothing.
const MEMORY_DISK: &str = "/dev/shm";

/// What one upload came to.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    per_second: f64,
    busy: f64,
    /// Documents per second of the server's processor: what a neighbour on the machine changes least.
    per_busy_second: f64,
    peak_mb: f64,
    workers_mb: f64,
}

/// Figures of one side, a round after the other.
#[derive(Clone, Debug, Default)]
struct Rounds(Vec<Figures>);

impl Rounds {
    fn of(&self, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.0.iter().map(figure).collect()
    }
}

/// All rounds of all sides.
#[derive(Default)]
struct Sides {
    ours: Rounds,
    read: Vec<f64>,
    in_memory: Vec<f64>,
    plain: Vec<f64>,
    peers: [Rounds; 3],
}

/// Measures them with data below `folder`.
///
/// # Panics
/// When a server refuses what it should take.
pub async fn measure(folder: &Path, size: Size, templates: &[Template]) -> Vec<Measure> {
    let mut sides = Sides::default();
    for number in 1..=size.rounds {
        let round = tempfile::tempdir_in(folder).expect("a folder");
        let (figures, read, documents) = ours_once(round.path(), size.documents, templates).await;
        sides.ours.0.push(figures);
        sides.read.push(read);
        sides.plain.push(plain(round.path(), &documents).await);
        sides
            .in_memory
            .push(in_memory(size.documents, templates).await);
        let cargo = Cargo::of(&documents, round.path());
        for (peer, rounds) in Peer::ALL.into_iter().zip(&mut sides.peers) {
            rounds
                .0
                .push(peer_once(peer, round.path(), &cargo, size.of(peer)).await);
        }
        progress(&format!(
            "P1 round {number}: ours {:.0}/s",
            figures.per_second
        ));
    }
    lines(&sides, size)
}

async fn ours_once(
    folder: &Path,
    count: usize,
    templates: &[Template],
) -> (Figures, f64, Vec<Made>) {
    let ours = Ours::start(&folder.join("ours"), None).await;
    let documents = ours.make(templates, &ours.phone, count);
    let ready = ours::pushes(&ours.phone, &documents);
    let watch = Watch::on(ours.tree());
    let (begun, busy) = (Instant::now(), ours.tree().busy());
    ours::send(&ours.phone, &ready).await;
    let answered = begun.elapsed().as_secs_f64();
    let busy = (ours.tree().busy() - busy).as_secs_f64();
    ours.until_read(count).await;
    let read = count as f64 / begun.elapsed().as_secs_f64();
    let most = watch.most();
    let figures = Figures {
        per_second: count as f64 / answered,
        busy: busy / answered,
        per_busy_second: count as f64 / busy,
        peak_mb: most.whole_mb(),
        workers_mb: most.workers_mb,
    };
    (figures, read, documents)
}

/// The same on a disk that is memory: what is left when nobody waits for `fdatasync`.
async fn in_memory(count: usize, templates: &[Template]) -> f64 {
    let folder = tempfile::tempdir_in(MEMORY_DISK).expect("memory for a disk");
    ours_once(folder.path(), count, templates)
        .await
        .0
        .per_second
}

async fn peer_once(peer: Peer, folder: &Path, cargo: &Cargo, count: usize) -> Figures {
    let server = peer.start(&folder.join(peer.name())).await;
    let tree: Tree = server.tree();
    let watch = Watch::on(tree);
    let busy = tree.busy();
    let loaded = cargo.upload(peer, &server, count, 1).await;
    let busy = (tree.busy() - busy).as_secs_f64();
    let figures = Figures {
        per_second: count as f64 / loaded.seconds,
        // The generator reads its documents first; the server does nothing then.
        busy: busy / loaded.seconds,
        per_busy_second: count as f64 / busy,
        peak_mb: watch.most().whole_mb(),
        workers_mb: 0.0,
    };
    server.kill().await;
    figures
}

/// Documents per second of the physical limit: one signature check each and a plain insert, in transactions of the same pushes.
async fn plain(folder: &Path, documents: &[Made]) -> f64 {
    let key = ed25519_dalek::SigningKey::from_bytes(&rand::random());
    let mut e = minicbor::Encoder::new(Vec::new());
    let per_push = ours::documents_per_push(documents);
    for push in documents.chunks(per_push) {
        write_push(&mut e, &key, push).expect("writing to memory does not fail");
    }
    let file: PathBuf = folder.join("plain");
    std::fs::write(&file, e.into_writer()).expect("written");
    let out = crate::built::on_the_servers_core(&cargo_peer("plain-insert"))
        .arg(&file)
        .arg(folder)
        .output()
        .await
        .expect("it starts");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let seconds = String::from_utf8_lossy(&out.stdout);
    documents.len() as f64 / seconds.trim().parse::<f64>().expect("seconds")
}

type Written<'a> = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write_push(
    e: &mut minicbor::Encoder<Vec<u8>>,
    key: &ed25519_dalek::SigningKey,
    push: &[Made],
) -> Written<'static> {
    e.array(push.len() as u64)?;
    for made in push {
        let signed = [0x5a; SIGNED_BYTES];
        e.array(5)?.bytes(made.key.document().as_bytes())?;
        e.bytes(key.verifying_key().as_bytes())?.bytes(&signed)?;
        e.bytes(&key.sign(&signed).to_bytes())?;
        e.array(made.changes.len() as u64)?;
        for change in &made.changes {
            e.bytes(&change.bytes)?;
        }
    }
    Ok(())
}

fn lines(sides: &Sides, size: Size) -> Vec<Measure> {
    let rate = |figures: &Figures| figures.per_second;
    let [repo, samod, pouch] = &sides.peers;
    let what = format!(
        "first upload of {} patrol documents, durable",
        size.documents
    );
    let ours = sides.ours.of(rate);
    let upload = Measure::alone("P1", &what, "/s", &ours)
        .and(Peer::Repo.name(), &repo.of(rate))
        .to_reach(Target::RatioAtLeast(80.0))
        .and(Peer::Samod.name(), &samod.of(rate))
        .to_reach(Target::RatioAtLeast(4.0))
        .and(Peer::Pouch.name(), &pouch.of(rate))
        .to_reach(Target::RatioAtLeast(4.0));
    let [busy, effort, peak] = burden(sides);
    vec![
        upload,
        busy,
        effort,
        Measure::alone(
            "P1",
            "  the same without a disk to wait for",
            "/s",
            &sides.in_memory,
        )
        .and("with", &ours),
        Measure::alone(
            "P1b",
            "until a colleague can read the last",
            "/s",
            &sides.read,
        )
        .and("samod, P1", &samod.of(rate))
        .to_reach(Target::RatioAtLeast(1.5)),
        Measure::alone("P13", "P1 beside a check and a plain insert", "/s", &ours)
            .against("plain", &sides.plain)
            .to_reach(Target::RatioAtMost(3.0)),
        peak,
        Measure::alone(
            "P2",
            "  of which workers",
            "MB",
            &sides.ours.of(|f| f.workers_mb),
        ),
    ]
}

/// What the upload costs the servers: how busy each is, what it does with that, and its most memory.
fn burden(sides: &Sides) -> [Measure; 3] {
    let (share, each) = (
        |figures: &Figures| figures.busy,
        |figures: &Figures| figures.per_busy_second,
    );
    let mut busy = Measure::alone(
        "P1",
        "  processor of the server while it runs",
        "of a core",
        &sides.ours.of(share),
    );
    let mut effort = Measure::alone(
        "P1",
        "  per second of the server's processor",
        "/s",
        &sides.ours.of(each),
    );
    let mut peak = Measure::alone(
        "P2",
        "most memory during P1, workers included",
        "MB",
        &sides.ours.of(|f| f.peak_mb),
    )
    .to_reach(Target::AtMost(48.0));
    for (peer, rounds) in Peer::ALL.into_iter().zip(&sides.peers) {
        busy = busy.seeing(peer.name(), &rounds.of(share));
        effort = effort.and(peer.name(), &rounds.of(each));
        peak = peak.against(peer.name(), &rounds.of(|f| f.peak_mb));
    }
    [busy, effort, peak]
}
