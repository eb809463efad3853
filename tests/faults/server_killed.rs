//! F2: `kill -9` of the server while twenty phones sync. It is started again at once, and what it had acknowledged is there, once;
//! who reads beside the pushes sees every number of the feed; the phones' queues are empty soon after.
//!
//! Sixteen phones only push, sealed changes from a lean client; four are real ones with photos. A chief reads the feed all along.
//! The twin believes that what was sent has arrived: the same kills find it out.

use crate::dossier::proven;
use kieumau_core::{
    hash::Sha256,
    header,
    id::{DocumentId, ObservationId},
    phone::{ItemState, PhoneError},
    wire::{Pulled, Push, Pushed},
};
use kieumau_tests::{
    driver::{CHANGES_PER_PATROL, Driver},
    trial,
    world::{Handset, World, fresh_database, postgres_url},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const PUSHERS: usize = 16;
const PHONES: usize = 4;
/// How long the queues may take to empty, and the server to check what it holds.
const HEALS_WITHIN: Duration = Duration::from_secs(30);
const PICTURE: &[u8] = include_bytes!("../tests/picture.jpg");

/// When a phone that only pushes counts a change as acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Believes {
    /// When the answer with its receipt came whole.
    TheAnswer,
    /// When it was sent, whatever came back: the twin.
    TheSending,
}

/// What one phone had acknowledged, per patrol.
type Acknowledged = BTreeMap<DocumentId, BTreeSet<Sha256>>;

/// What a real phone recorded.
struct Recorded {
    handset: Handset,
    patrol: DocumentId,
    ids: Vec<ObservationId>,
}

#[derive(Debug, Default)]
struct Figures {
    acknowledged: usize,
    lost: usize,
    doubled: usize,
    skipped: usize,
    emptied: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_what_it_acknowledged_once_on_sqlite() {
    nothing_is_lost(World::on(None).await, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_what_it_acknowledged_once_on_postgresql() {
    let database = fresh_database(&postgres_url()).await;
    nothing_is_lost(World::on(Some(database)).await, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_kills_find_out_who_believes_the_sending() {
    let kills = 5;
    let mut world = World::on(None).await;
    let (figures, _) = run(&mut world, kills, Believes::TheSending, 0).await;
    println!(
        "F2 twin kills={kills} believed={} lost={}",
        figures.acknowledged, figures.lost
    );
    assert!(figures.lost > 0, "{kills} kills found nothing out");
}

async fn nothing_is_lost(mut world: World, database: &str) {
    let kills = trial::size("KIEUMAU_SERVER_KILLS", 15, 100);
    let (figures, patrols) = run(&mut world, kills, Believes::TheAnswer, PHONES).await;
    println!(
        "F2 database={database} kills={kills} acknowledged={} lost={} doubled={} skipped={} emptied_s={:.1}",
        figures.acknowledged,
        figures.lost,
        figures.doubled,
        figures.skipped,
        figures.emptied.as_secs_f64()
    );
    assert_eq!((figures.lost, figures.doubled, figures.skipped), (0, 0, 0));
    assert!(figures.emptied <= HEALS_WITHIN, "{:?}", figures.emptied);
    assert!(
        figures.acknowledged as u64 > kills,
        "the kills came before anything was acknowledged"
    );
    for patrol in patrols {
        proven(&world, patrol).await;
    }
}

/// Kills the server so often while all phones push and sync. What came of it, and the first patrols of some phones.
async fn run(
    world: &mut World,
    kills: u64,
    believes: Believes,
    phones: usize,
) -> (Figures, Vec<DocumentId>) {
    let mut rng = StdRng::seed_from_u64(trial::seed());
    let going = Arc::new(AtomicBool::new(true));
    // The chief's first download is over before the pushes begin: it brings documents whole, and a change that is checked meanwhile
    // comes once in its document and once by its number.
    let mut feed = Feed::new(Arc::new(Driver::enrol(&world.server, "chi").await));
    feed.to_the_end().await;
    let mut pushing = JoinSet::new();
    for number in 0..PUSHERS {
        let driver = Driver::enrol(&world.server, ["an", "ha"][number % 2]).await;
        pushing.spawn(push(driver, Arc::clone(&going), believes));
    }
    let mut recording = JoinSet::new();
    for number in 0..phones {
        let handset = world.phone(["an", "ha"][number % 2]).await;
        let pictures = world.folder().join(format!("pictures-{number}"));
        recording.spawn(record(handset, pictures, Arc::clone(&going)));
    }
    let reading = tokio::spawn(feed.read(Arc::clone(&going)));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..900))).await;
        world.server.kill_and_restart().await;
    }
    going.store(false, Ordering::Relaxed);
    let healed = Instant::now();
    let acknowledged: Vec<Acknowledged> = pushing.join_all().await;
    let recorded = recording.join_all().await;
    let mut figures = Figures {
        emptied: healed.elapsed(),
        ..Figures::default()
    };
    let feed = reading.await.expect("the reader went on");
    weigh(&mut figures, &acknowledged, feed).await;
    if phones > 0 {
        compare(world, &recorded, &mut figures).await;
    }
    let firsts = acknowledged
        .iter()
        .filter_map(|of_one| of_one.keys().next());
    (figures, firsts.take(3).copied().collect())
}

/// Pushes one change after the other, each until it is acknowledged, for as long as the kills go on.
async fn push(driver: Driver, going: Arc<AtomicBool>, believes: Believes) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    while going.load(Ordering::Relaxed) {
        for body in driver.prepare(CHANGES_PER_PATROL) {
            let push: Push = minicbor::decode(&body).expect("its own CBOR");
            let asked = &push.receipts[0];
            while !answered(&driver, &body).await && believes == Believes::TheAnswer {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            acknowledged
                .entry(asked.document)
                .or_default()
                .extend(&asked.heads);
            if !going.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    acknowledged
}

/// Sends one change; whether the server signed that it holds it.
async fn answered(driver: &Driver, body: &[u8]) -> bool {
    let Some((status, answer)) = driver.try_send(body.to_vec()).await else {
        return false;
    };
    assert!(status.is_success(), "{status}");
    let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
    pushed.receipts.len() == 1
}

/// Records, photographs now and then, and syncs, for as long as the kills go on; then until all of it is received.
async fn record(
    handset: Handset,
    pictures: std::path::PathBuf,
    going: Arc<AtomicBool>,
) -> Recorded {
    std::fs::create_dir_all(&pictures).expect("a folder");
    let patrol = handset.patrol_called("Ca khi máy chủ bị ngắt").await;
    let mut ids = Vec::new();
    while going.load(Ordering::Relaxed) {
        ids.push(
            handset
                .observe(patrol, &format!("Vụ việc {}", ids.len()))
                .await,
        );
        if ids.len() % 10 == 1 {
            // Bytes after a picture's end are part of the file and of its hash.
            let picture = [
                PICTURE,
                handset.folder.as_os_str().as_encoded_bytes(),
                &[ids.len() as u8],
            ];
            let path = pictures.join(format!("{}.jpg", ids.len()));
            std::fs::write(&path, picture.concat()).expect("written");
            handset.attach(patrol, None, &path).await.expect("attached");
        }
        sync(&handset).await;
    }
    let healed = Instant::now();
    while handset.state(patrol).await != ItemState::Received {
        assert!(
            healed.elapsed() < 2 * HEALS_WITHIN,
            "the queue does not empty"
        );
        sync(&handset).await;
    }
    Recorded {
        handset,
        patrol,
        ids,
    }
}

/// One try; a server that is being killed is only away.
async fn sync(handset: &Handset) {
    let went = handset.try_sync().await;
    assert!(
        matches!(went, Ok(_) | Err(PhoneError::Offline { .. })),
        "{went:?}"
    );
    if went.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A chief's reading of the unit's feed, from a cursor to the next.
struct Feed {
    chief: Arc<Driver>,
    cursor: String,
    /// Every change, in the order in which it came.
    came: Vec<Sha256>,
}

impl Feed {
    const fn new(chief: Arc<Driver>) -> Self {
        Self {
            chief,
            cursor: String::new(),
            came: Vec::new(),
        }
    }

    /// Reads beside the pushes.
    async fn read(mut self, going: Arc<AtomicBool>) -> Self {
        while going.load(Ordering::Relaxed) {
            if !self.page().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        self
    }

    /// Reads a page; whether there is another right now. A page that did not come whole is asked for again.
    async fn page(&mut self) -> bool {
        let Some(items) = self.chief.try_pull(&self.cursor).await else {
            return false;
        };
        for item in items {
            match item {
                Pulled::Change(bytes) => {
                    self.came.push(header::read(&bytes).expect("a change").hash);
                }
                Pulled::Cursor(cursor, more) => {
                    self.cursor = cursor;
                    return more;
                }
                _ => {}
            }
        }
        panic!("an answer that came whole ends in a cursor");
    }

    async fn to_the_end(&mut self) {
        while self.page().await {}
    }

    fn distinct(&self) -> BTreeSet<Sha256> {
        self.came.iter().copied().collect()
    }
}

/// Reads on until all that was acknowledged came, or time is up; then all once more from the beginning, while nothing new is
/// checked, and counts.
async fn weigh(figures: &mut Figures, acknowledged: &[Acknowledged], mut feed: Feed) {
    let wanted: BTreeSet<Sha256> = acknowledged
        .iter()
        .flat_map(|of_one| of_one.values().flatten().copied())
        .collect();
    let begun = Instant::now();
    loop {
        feed.to_the_end().await;
        if wanted.is_subset(&feed.distinct()) || begun.elapsed() > HEALS_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let anew = loop {
        let came = feed.came.len();
        let mut anew = Feed::new(Arc::clone(&feed.chief));
        anew.to_the_end().await;
        feed.to_the_end().await;
        if feed.came.len() == came || begun.elapsed() > HEALS_WITHIN {
            break anew;
        }
    };
    let (beside, all) = (feed.distinct(), anew.distinct());
    figures.acknowledged = wanted.len();
    figures.lost = wanted.difference(&all).count();
    figures.skipped = all.difference(&beside).count();
    figures.doubled = feed.came.len() - beside.len() + anew.came.len() - all.len();
}

/// Each real phone's patrol as the chief's real phone reads it: every observation, once.
async fn compare(world: &World, recorded: &[Recorded], figures: &mut Figures) {
    let chi = world.phone("chi").await;
    chi.sync_well().await;
    for Recorded {
        handset,
        patrol,
        ids,
    } in recorded
    {
        let read = chi.observations(*patrol).await.expect("reads");
        let distinct: BTreeSet<ObservationId> = read.iter().map(|o| o.observation).collect();
        figures.acknowledged += ids.len();
        figures.lost += ids.iter().filter(|id| !distinct.contains(id)).count();
        figures.doubled += read.len() - distinct.len().min(ids.len());
        let receipt = handset.receipt(*patrol).await.expect("reads");
        assert!(receipt.is_some(), "received without a receipt");
    }
}
