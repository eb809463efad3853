//! Rows that hold several changes: what lies within one is found, served, cut and let in again like what has a row of its own.

use super::*;
use crate::{
    feed,
    fixture::{People, TestApp, apps, changes, enrolled, let_through, rows},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
    sync::delivery::{self, Deliveries, Sequence},
    token::EnrolledPhone,
};
use kieumau_core::{
    document::{Actor, Key, birth},
    id::{PhoneId, UnitId},
    log::admission::Candidate,
    receipt::Receipt,
    seal::{Seal, Signer},
    wire::{Pulled, Pushed, ReceiptRequest},
};

/// A patrol of An's unit, and the phone that writes in it.
pub struct Scene {
    pub app: TestApp,
    unit: UnitId,
    phone: PhoneId,
    reader: EnrolledPhone,
    key: Key,
}

impl Scene {
    /// One for each database.
    pub async fn all() -> Vec<Self> {
        let mut scenes = Vec::new();
        for app in apps().await {
            let people = People::new(&app).await;
            let (phone, _) = enrolled(&app, &people.an).await;
            let (chief, _) = enrolled(&app, &people.chi).await;
            let reader = EnrolledPhone {
                phone: chief,
                person: people.chi.person,
                unit: people.chi.unit,
                role: people.chi.role,
            };
            let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
            scenes.push(Self {
                app,
                unit: people.truong_vinh,
                phone,
                reader,
                key,
            });
        }
        scenes
    }

    pub fn id(&self) -> DocumentId {
        self.key.document()
    }

    /// Changes of the phone's `opening`, with these numbers, each standing on the one before it and the first on these.
    pub fn chain(
        &self,
        opening: u8,
        numbers: std::ops::RangeInclusive<u64>,
        on: &[Sha256],
    ) -> Vec<PreparedChange> {
        let actor = Actor {
            phone: self.phone,
            opening: [opening; 8],
        };
        let mut deps = on.to_vec();
        let changes = numbers.map(|seq| {
            let bytes = format!("{opening} {seq}").into_bytes();
            let hash = Sha256::of(&bytes);
            let candidate = Candidate {
                hash,
                actor: hex::encode(actor.to_bytes()).into_bytes(),
                seq,
                deps: std::mem::replace(&mut deps, vec![hash]),
            };
            PreparedChange {
                candidate,
                written_at_s: i64::try_from(seq).expect("small"),
                bytes,
            }
        });
        changes.collect()
    }

    /// The document's first changes.
    pub fn first(&self, count: u64) -> Vec<PreparedChange> {
        let birth = birth(&self.key).pop().expect("a birth").hash;
        self.chain(1, 1..=count, &[birth])
    }

    fn push(&self, changes: Vec<PreparedChange>, sealed: &[Sha256]) -> PreparedPush {
        let seals = sealed.iter().map(|change| Seal {
            document: self.id(),
            change: *change,
            signer: Signer::Phone(self.phone),
            signature: [7; 64],
        });
        PreparedPush {
            carrier: Some(self.phone),
            unit: self.unit,
            documents: vec![PreparedDocument {
                key: self.key.clone(),
                sealed: changes.iter().map(|it| it.candidate.hash).collect(),
                changes,
                seals: seals.collect(),
            }],
            receipts: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub async fn bring(&self, changes: Vec<PreparedChange>, sealed: &[Sha256]) -> Pushed {
        let push = self.push(changes, sealed);
        let mut answers = intake::write(&self.app, &[&push]).await.expect("written");
        answers.remove(0)
    }

    /// How many of these it is told that they are held.
    async fn held(&self, changes: Vec<PreparedChange>) -> usize {
        let told = self.bring(changes, &[]).await.changes;
        told.iter().filter(|told| told.word == "held").count()
    }

    async fn run(&self, sql: &'static str) {
        let mut tx = self.app.database.begin().await.expect("begins");
        sqlx::query(sql).execute(&mut *tx).await.expect("runs");
        tx.commit().await.expect("committed");
    }

    /// How many rows there are, and how many changes.
    pub async fn counts(&self) -> (i64, i64) {
        (
            rows(&self.app, "change").await,
            changes(&self.app, "true").await,
        )
    }

    /// What a chief's phone that has nothing gets: changes and the seals among them.
    async fn served(&self) -> (Vec<Vec<u8>>, Vec<Sha256>) {
        let_through(&self.app, self.unit).await;
        let mut tx = self.app.database.read.begin().await.expect("begins");
        let ids = [self.id()].into();
        let readable = delivery::readable(&mut tx, &self.reader, &ids).await;
        let mut deliveries = Deliveries::new(false);
        deliveries.whole(self.id());
        let mut answer = Sequence::default();
        let readable = readable.expect("readable");
        let put = deliveries.put(&self.app, &mut tx, "nobody", &readable, &mut answer);
        put.await.expect("put");
        let mut decoder = minicbor::Decoder::new(&answer.0);
        let (mut changes, mut seals) = (Vec::new(), Vec::new());
        while decoder.position() < answer.0.len() {
            match decoder.decode().expect("an item") {
                Pulled::Change(bytes) => changes.push(bytes),
                Pulled::Seal(seal) => seals.push(seal.change),
                _ => {}
            }
        }
        (changes, seals)
    }

    /// Each change with its number in the feed and what is said of it, in order.
    pub async fn numbered(&self) -> Vec<(Vec<u8>, i64, String)> {
        let mut tx = self.app.database.read.begin().await.expect("begins");
        let stored = StoredDocument::read(&mut tx, &self.app.vault, self.id()).await;
        let stored = stored.expect("read").expect("there");
        let rows = sqlx::query(
            "select hash, earlier, number, bytes, coalesce(withheld_for, state) as word from change order by number",
        )
        .fetch_all(&mut *tx)
        .await
        .expect("rows");
        let mut all = Vec::new();
        for row in &rows {
            let opened = Run::of(row).expect("a run").open(&stored.vault_key);
            let opened = opened.expect("opens").into_iter();
            all.extend(opened.map(|it| (it.bytes, it.number, row.get("word"))));
        }
        all
    }
}

fn hash(change: &PreparedChange) -> Sha256 {
    change.candidate.hash
}

fn bytes(changes: &[PreparedChange]) -> Vec<Vec<u8>> {
    changes.iter().map(|change| change.bytes.clone()).collect()
}

#[tokio::test]
async fn what_lies_within_a_row_is_held_and_may_be_stood_on() {
    for scene in Scene::all().await {
        let last = hash(&scene.first(5)[4]);
        assert_eq!(scene.bring(scene.first(5), &[last]).await.changes, []);
        assert_eq!(scene.counts().await, (1, 5));
        // Whole or in part it comes again, and nothing of it is new.
        assert_eq!(scene.held(scene.first(5)).await, 5);
        let part = scene.first(5).drain(1..4).collect();
        assert_eq!(scene.held(part).await, 3);
        assert_eq!(scene.counts().await, (1, 5));
        // Another stands on what nobody's row is named after.
        let inner = hash(&scene.first(5)[2]);
        let beside = |opening| scene.chain(opening, 1..=1, &[inner]);
        assert_eq!(scene.bring(beside(2), &[]).await.changes, []);
        assert_eq!(changes(&scene.app, "number is not null").await, 6);
        // The twin: where rows do not say what lies within, it waits for ever.
        scene.run("update change set earlier = ''").await;
        let told = scene.bring(beside(3), &[]).await.changes;
        assert_eq!(told[0].word, "waiting");
    }
}

#[tokio::test]
async fn a_receipt_is_given_for_a_state_within_a_row() {
    for scene in Scene::all().await {
        let brought = scene.first(5);
        let wanted = |place: usize| PreparedPush {
            receipts: vec![ReceiptRequest {
                document: scene.id(),
                heads: vec![hash(&brought[place])],
                attachments: Vec::new(),
            }],
            ..scene.push(Vec::new(), &[])
        };
        scene.bring(scene.first(5), &[]).await;
        let receipts = async |place| {
            let push = wanted(place);
            let answers = intake::write(&scene.app, &[&push]).await.expect("written");
            let key = scene.app.keys.receipt.verifying_key();
            let told = answers[0].receipts.iter();
            let read = told.map(|text| Receipt::verify(text, |_| Some(key)).expect("a receipt"));
            read.collect::<Vec<Receipt>>()
        };
        let (of_last, within) = (receipts(4).await, receipts(2).await);
        assert_eq!((of_last.len(), within.len()), (1, 1));
        assert_eq!(within[0].leaf_index, of_last[0].leaf_index);
        // The twin.
        scene.run("update change set earlier = ''").await;
        assert!(receipts(2).await.is_empty());
    }
}

#[tokio::test]
async fn a_row_ends_where_a_seal_stands_where_another_comes_between_and_with_its_push() {
    for scene in Scene::all().await {
        let chain = scene.first(6);
        let sealed = [hash(&chain[1]), hash(&chain[5])];
        scene.bring(chain, &sealed).await;
        assert_eq!(scene.counts().await, (2, 6), "two seals");
        let last = hash(&scene.first(6)[5]);
        // Of two that write at once each has its own rows; what stands on both begins one.
        let mut both = scene.chain(2, 1..=2, &[last]);
        both.extend(scene.chain(3, 1..=2, &[last]));
        let heads = [hash(&both[1]), hash(&both[3])];
        let mut joined = scene.chain(2, 3..=4, &heads);
        both.append(&mut joined);
        scene.bring(both, &[]).await;
        let (rows_after, changes_after) = scene.counts().await;
        assert_eq!(changes_after, 12);
        assert!((5..=7).contains(&rows_after), "{rows_after}");
        // Two pushes of one group are two leaves, so two rows.
        let on = hash(&scene.chain(2, 4..=4, &heads)[0]);
        let mut more = scene.chain(2, 5..=8, &[on]);
        let second = more.split_off(2);
        let pushes = [scene.push(more, &[]), scene.push(second, &[])];
        let written = intake::write(&scene.app, &[&pushes[0], &pushes[1]]).await;
        assert!(
            written
                .expect("written")
                .iter()
                .all(|it| it.changes.is_empty())
        );
        assert_eq!(scene.counts().await, (rows_after + 2, 16));
        // What another phone brought lies apart: a row names one carrier.
        let after = hash(&scene.chain(2, 8..=8, &[on])[0]);
        let mut theirs = scene.chain(2, 9..=10, &[after]);
        let relayed = PreparedPush {
            carrier: Some(scene.reader.phone),
            ..scene.push(vec![theirs.remove(1)], &[])
        };
        let own = scene.push(theirs, &[]);
        let written = intake::write(&scene.app, &[&relayed, &own]).await;
        let words = written.expect("written").remove(0).changes;
        assert_eq!(words[0].word, "waiting");
        assert_eq!(scene.counts().await, (rows_after + 4, 18));
        // Long changes: a row is read whole.
        let long = |seq| {
            let mut one = scene.chain(4, seq..=seq, &[]).remove(0);
            one.bytes.resize(40 << 10, 7);
            one
        };
        let mut long: Vec<PreparedChange> = (1..=3).map(long).collect();
        let mut on = birth(&scene.key).pop().expect("a birth").hash;
        for change in &mut long {
            change.candidate.deps = vec![on];
            on = change.candidate.hash;
        }
        scene.bring(long, &[]).await;
        assert_eq!(scene.counts().await, (rows_after + 7, 21));
    }
}

#[tokio::test]
async fn all_of_a_row_is_served_in_order_with_seals_that_came_later() {
    for scene in Scene::all().await {
        let chain = scene.first(5);
        let (inner, last) = (hash(&chain[2]), hash(&chain[4]));
        scene.bring(chain, &[last]).await;
        assert_eq!(scene.served().await, (bytes(&scene.first(5)), vec![last]));
        let part = scene.first(5).drain(..3).collect();
        scene.bring(part, &[inner]).await;
        let (_, seals) = scene.served().await;
        assert_eq!(BTreeSet::from_iter(seals), BTreeSet::from([inner, last]));
        // A seal of what nobody brought is not kept: of those there is no end.
        let stray = Sha256::of(b"nobody brought it");
        scene.bring(scene.chain(2, 1..=1, &[inner]), &[stray]).await;
        let kept = format!("seal where change_hash = '{stray}'");
        assert_eq!(rows(&scene.app, &kept).await, 0);
        // The twin: of what no row holds a seal is not served.
        scene
            .run("update seal set change_hash = 'f' || substr(change_hash, 2)")
            .await;
        assert_eq!(scene.served().await.1, []);
    }
}

#[tokio::test]
async fn a_cut_row_says_what_it_said_before() {
    for scene in Scene::all().await {
        let chain = scene.first(5);
        let last = hash(&chain[4]);
        scene.bring(chain, &[last]).await;
        let before = scene.numbered().await;
        let cut_to = async |parts: &[usize]| {
            let mut tx = scene.app.database.begin().await.expect("begins");
            let stored = StoredDocument::hold(&mut tx, &scene.app.vault, scene.id()).await;
            let stored = stored.expect("read").expect("there");
            cut(&mut tx, &stored, last, parts).await?;
            tx.commit().await
        };
        // The twins: into other than what there is it is not cut, nor where the row was changed.
        assert!(cut_to(&[2, 2]).await.is_err());
        scene
            .run("update change set earlier = replace(earlier, ' ', ' f')")
            .await;
        assert!(cut_to(&[2, 1, 2]).await.is_err());
        assert_eq!(rows(&scene.app, "change").await, 1);
        scene
            .run("update change set earlier = replace(earlier, ' f', ' ')")
            .await;
        cut_to(&[2, 1, 2]).await.expect("cut");
        assert_eq!(scene.counts().await, (3, 5));
        assert_eq!(scene.numbered().await, before);
        // Each part is held, and the next of its actor goes on.
        let next = scene.chain(1, 6..=6, &[last]);
        assert_eq!(scene.bring(next, &[]).await.changes, []);
        assert_eq!(scene.held(scene.first(5)).await, 5);
        assert_eq!(scene.counts().await, (4, 6));
        assert_eq!(scene.served().await.0.len(), 6);
    }
}

/// What a feed of one document says: its last number, up to where it is served, the document's first unchecked number, and the newest that
/// was let in again.
async fn feed_of(app: &TestApp) -> [i64; 4] {
    let row = sqlx::query(
        "select f.last_number, f.checked_through, d.unchecked_from, (select max(c.entered) from change c) \
         from feed f, document d where f.last_number > 0",
    )
    .fetch_one(&app.database.read)
    .await
    .expect("a row");
    std::array::from_fn(|place| row.get::<Option<i64>, _>(place).unwrap_or(0))
}

#[tokio::test]
async fn a_withheld_row_is_let_in_again_with_a_number_for_each_of_its_changes() {
    for scene in Scene::all().await {
        scene.bring(scene.first(5), &[]).await;
        assert_eq!(feed_of(&scene.app).await, [5, 0, 1, 0]);
        scene
            .run("update change set state = 'withheld', withheld_for = 'unread'")
            .await;
        let mut tx = scene.app.database.begin().await.expect("begins");
        assert_eq!(feed::release(&mut tx, None).await.expect("released"), 5);
        feed::advance(&mut tx, scene.unit).await.expect("advanced");
        tx.commit().await.expect("committed");
        // Nothing of it is served before all of it was looked at: a reader goes on before its first.
        assert_eq!(feed_of(&scene.app).await, [10, 5, 6, 10]);
        assert_eq!(scene.counts().await, (1, 5));
    }
}

#[tokio::test]
async fn what_is_withheld_unread_is_shown_change_by_change_where_it_opens() {
    for scene in Scene::all().await {
        scene.bring(scene.first(5), &[]).await;
        let passed = async || {
            let mut tx = scene.app.database.begin().await.expect("begins");
            let passed = feed::pass_over(&mut tx, &scene.app.vault, scene.phone).await;
            tx.commit().await.expect("committed");
            passed.expect("passed").changes
        };
        assert_eq!(passed().await, 5);
        assert_eq!(scene.counts().await, (5, 5));
        assert_eq!(feed_of(&scene.app).await, [5, 5, 0, 0]);
        // The twin: a row that was changed does not open, and is withheld as it is.
        let last = hash(&scene.first(5)[4]);
        scene.bring(scene.chain(1, 6..=8, &[last]), &[]).await;
        scene
            .run("update change set earlier = replace(earlier, ' ', ' f') where change_count > 1")
            .await;
        scene
            .run("update change set hash = 'f' || substr(hash, 2) where change_count > 1")
            .await;
        assert_eq!(passed().await, 3);
        assert_eq!(scene.counts().await, (6, 8));
    }
}
