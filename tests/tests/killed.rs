//! F1: `kill -9` of a phone while it records loses nothing that it had shown as saved, and doubles nothing. Its twin is a phone
//! that says "saved" before it is: the same kills, the same look at the disk, and it is found out.
//!
//! `KIEUMAU_KILLS` and `KIEUMAU_SEED` set how often and where it starts.

use kieumau_core::{
    id::{DocumentId, ObservationId},
    phone::{ItemState, ObservationView},
};
use kieumau_tests::{
    process::PhoneProcess,
    trial,
    world::{World, eventually, open},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

/// Kills on one patrol: a shift's document does not grow for ever, so a thousand kills are twenty patrols.
const KILLS_PER_PATROL: u64 = 50;

/// What a phone said about itself before it was killed.
#[derive(Default)]
struct Said {
    ids: Vec<ObservationId>,
    notes: Vec<String>,
}

impl Said {
    fn hear(&mut self, answer: &Value) {
        assert!(answer["error"].is_null(), "{answer}");
        let note = answer["note"].as_str().expect("a note");
        self.notes.push(note.to_owned());
        if let Some(id) = answer["saved"].as_str() {
            self.ids.push(id.parse().expect("an id"));
        }
    }

    /// What was shown as saved and is not there.
    fn lost(&self, kept: &[ObservationView]) -> usize {
        let notes: BTreeSet<_> = kept
            .iter()
            .filter_map(|o| o.content.note.as_ref())
            .collect();
        let ids: BTreeSet<_> = kept.iter().map(|o| o.observation).collect();
        let notes = self
            .notes
            .iter()
            .filter(|note| !notes.contains(note))
            .count();
        notes.max(self.ids.iter().filter(|id| !ids.contains(id)).count())
    }
}

/// What is there more than once: no two observations were ever told the same words.
fn doubled(kept: &[ObservationView]) -> usize {
    let notes: BTreeSet<_> = kept
        .iter()
        .map(|o| o.content.note.as_deref().unwrap_or_default())
        .collect();
    kept.len() - notes.len()
}

/// A phone of An's, enrolled, that no process has open.
async fn enrolled(world: &World) -> PathBuf {
    let folder = world.folder().join("killed");
    let code = world.server.code("an").await;
    let mut phone = PhoneProcess::start(&folder, None);
    let answer = phone.ask(&json!({ "do": "enrol", "qr": code.qr })).await;
    assert!(answer["phone"].is_string(), "{answer}");
    folder
}

async fn start_patrol(folder: &Path, title: &str) -> DocumentId {
    let mut phone = PhoneProcess::start(folder, None);
    let answer = phone.ask(&json!({ "do": "start", "title": title })).await;
    answer["patrol"]
        .as_str()
        .expect("started")
        .parse()
        .expect("an id")
}

/// Lets a phone record, and kills it: after a while of recording or, every fifth time, at a moment when it may still be opening.
async fn record_and_kill(
    folder: &Path,
    command: &Value,
    kill: u64,
    rng: &mut StdRng,
    said: &mut Said,
) {
    let mut phone = PhoneProcess::start(folder, None);
    phone.tell(command).await;
    if kill % 5 != 4 {
        said.hear(&phone.next().await.expect("it records"));
    }
    let end = tokio::time::Instant::now() + Duration::from_millis(rng.random_range(5..=120));
    while let Ok(answer) = tokio::time::timeout_at(end, phone.next()).await {
        said.hear(&answer.expect("it records without end"));
    }
    for answer in phone.kill().await {
        said.hear(&answer);
    }
}

async fn observations(folder: &Path, patrol: DocumentId) -> Vec<ObservationView> {
    let phone = open(folder, &Arc::new(AtomicI64::new(0))).await;
    phone.observations(patrol).await.expect("reads")
}

#[tokio::test]
async fn a_phone_killed_while_it_records_loses_nothing_it_had_shown_as_saved() {
    let mut rng = StdRng::seed_from_u64(trial::seed());
    let kills = trial::size("KIEUMAU_KILLS", 50, 1_000);
    let world = World::new().await;
    let folder = enrolled(&world).await;
    let mut patrols: Vec<(DocumentId, Said)> = Vec::new();
    for kill in 0..kills {
        if kill % KILLS_PER_PATROL == 0 {
            let title = format!("Ca bị ngắt {}", patrols.len() + 1);
            patrols.push((start_patrol(&folder, &title).await, Said::default()));
        }
        let (patrol, said) = patrols.last_mut().expect("one was started");
        let command = json!({ "do": "record", "patrol": patrol });
        record_and_kill(&folder, &command, kill, &mut rng, said).await;
        let kept = observations(&folder, *patrol).await;
        assert_eq!(
            (said.lost(&kept), doubled(&kept)),
            (0, 0),
            "after kill {}",
            kill + 1
        );
    }
    let (mut acknowledged, mut lost, mut twice) = (0, 0, 0);
    for (patrol, said) in &patrols {
        let kept = observations(&folder, *patrol).await;
        acknowledged += said.ids.len();
        lost += said.lost(&kept);
        twice += doubled(&kept);
        // A kill can fall between the commit and the words: one more than was said, each time.
        assert!(kept.len() <= said.ids.len() + usize::try_from(KILLS_PER_PATROL).expect("small"));
    }
    println!("F1 kills={kills} acknowledged={acknowledged} lost={lost} doubled={twice}");
    assert_eq!((lost, twice), (0, 0));
    assert!(
        acknowledged > usize::try_from(kills / 2).expect("small"),
        "the kills came before anything was recorded"
    );
    all_arrives(&world, &folder, &patrols).await;
}

/// What survived is sent: a receipt covers each patrol, and the chief's page has each observation once.
async fn all_arrives(world: &World, folder: &Path, patrols: &[(DocumentId, Said)]) {
    let phone = open(folder, &Arc::new(AtomicI64::new(0))).await;
    phone
        .sync(kieumau_core::phone::SyncOptions::default())
        .await
        .expect("syncs");
    let chi = world.desk("chi").await;
    for (patrol, _) in patrols {
        let items = phone.items(None).await.expect("reads");
        let item = items
            .iter()
            .find(|item| item.document == *patrol)
            .expect("it is here");
        assert_eq!((item.state, item.unsent_changes), (ItemState::Received, 0));
        let receipt = phone
            .receipt(*patrol)
            .await
            .expect("reads")
            .expect("the server gave one");
        assert!(receipt.leaf_index < receipt.tree_size);
        let kept = phone.observations(*patrol).await.expect("reads");
        let path = format!("/patrols/{patrol}");
        eventually("each observation is on the page once", async || {
            let (_, page) = chi.read(&path).await;
            kept.iter().all(|o| {
                page.matches(o.content.note.as_deref().expect("a note"))
                    .count()
                    == 1
            })
        })
        .await;
    }
}

#[tokio::test]
async fn the_same_kills_find_out_a_phone_that_says_saved_before_it_is() {
    let mut rng = StdRng::seed_from_u64(trial::seed());
    let world = World::new().await;
    let folder = enrolled(&world).await;
    let patrol = start_patrol(&folder, "Ca nói trước").await;
    let command = json!({ "do": "record_rashly", "patrol": patrol });
    let (mut said, kills) = (Said::default(), 10);
    for kill in 0..kills {
        record_and_kill(&folder, &command, kill, &mut rng, &mut said).await;
    }
    let lost = said.lost(&observations(&folder, patrol).await);
    println!(
        "F1 twin kills={kills} announced={} lost={lost}",
        said.notes.len()
    );
    assert!(lost > 0, "{kills} kills found nothing out");
}
