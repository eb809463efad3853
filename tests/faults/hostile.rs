//! F9: hostile bytes. Every case of the corpus, and mutants with repaired checksums, are pushed by an enrolled phone under good seals
//! while a colleague works. No worker takes more than its limits, the server does not end, each case lies in quarantine under its
//! reason, and all that is served loads. The twin reads the same bytes without a worker.

use kieumau_core::{
    document::{self, Key},
    hash::Sha256,
    header,
    wire::{Pulled, Push, Pushed, PushedDocument, WireKey},
};
use kieumau_tests::{
    driver::Driver,
    hostile::{
        corpus::{self, Case, Fate},
        mutant,
    },
    trial,
    watch::{self, Seen, Watch},
    world::World,
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How far a worker steps back behind the server.
const NICE: i64 = 5;
/// What a worker may take.
const MEMORY_KIB: u64 = 256 << 10;
const JOB_S: u64 = 2;
/// How long it may all take to be checked: each bomb takes all the processor time of a job, several times.
const WAIT: Duration = Duration::from_secs(600);
/// Mutants in one push, each in a document of its own.
const TOGETHER: usize = 50;

/// A line of `kieumau quarantine list --json`.
#[derive(Debug, Deserialize)]
struct Held {
    hash: Sha256,
    reason: String,
}

/// What lies in quarantine: reasons by hash.
async fn quarantined(world: &World) -> BTreeMap<Sha256, Vec<String>> {
    let out = world
        .server
        .command(&["quarantine", "list", "--json"])
        .await;
    let mut reasons = BTreeMap::<_, Vec<String>>::new();
    for line in out.lines() {
        let held: Held = serde_json::from_str(line).expect("one JSON line each");
        reasons.entry(held.hash).or_default().push(held.reason);
    }
    reasons
}

fn body(documents: Vec<PushedDocument>) -> Vec<u8> {
    let push = Push {
        documents,
        ..Push::default()
    };
    minicbor::to_vec(&push).expect("CBOR")
}

/// The cases, bombs first, and a phone for each bomb: whose changes killed three workers is read no more, and every bomb shall be.
async fn sent_apart(
    world: &World,
    an: &Driver,
    ha: &Driver,
    binh: &Driver,
) -> (Vec<Driver>, Vec<Case>) {
    let (mut senders, mut cases) = (Vec::new(), Vec::new());
    let bombs = corpus::bombs(an).len();
    for number in 0..bombs {
        let sender = Driver::enrol(&world.server, "an").await;
        cases.extend(corpus::bombs(&sender).into_iter().nth(number));
        senders.push(sender);
    }
    cases.extend(corpus::cases(an, ha, binh).into_iter().skip(bombs));
    (senders, cases)
}

/// Pushes one case; it must be answered as it must.
async fn push_case(an: &Driver, case: &Case) {
    let (status, answer) = an.send(body(vec![case.document.clone()])).await;
    assert!(status.is_success(), "{}: {status}", case.name);
    let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
    let words: Vec<&str> = pushed
        .changes
        .iter()
        .filter(|outcome| outcome.hash == case.hash)
        .map(|outcome| outcome.word.as_str())
        .collect();
    match case.fate {
        Fate::Refused(word) => assert_eq!(words, [word], "{}", case.name),
        Fate::Withheld(_) | Fate::Checked => assert_eq!(words, [""; 0], "{}", case.name),
    }
}

/// Mutants of an observation, sealed: `count` documents in pushes of [`TOGETHER`]. Each push is of a phone of its own: some mutants
/// kill workers too, and then the rest of their phone's is read no more.
async fn push_mutants(world: &World, seed: u64, count: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut made = 0;
    while made < count {
        let an = Driver::enrol(&world.server, "an").await;
        let mut documents = Vec::with_capacity(TOGETHER);
        for _ in 0..TOGETHER.min(count - made) {
            let (key, changes) = an.patrol(1);
            let good = &changes[1].bytes;
            let operations = header::read(good).expect("a change").operations.len();
            let bent = mutant::repaired(&mut rng, good, good.len() - operations);
            let hash = header::read(&bent).map_or_else(|_| Sha256::of(&bent), |it| it.hash);
            documents.push(PushedDocument {
                key: WireKey::from(&key),
                seals: vec![an.seal(&key, changes[0].hash), an.seal(&key, hash)],
                changes: vec![changes[0].bytes.clone(), bent],
            });
            made += 1;
        }
        let (status, _) = an.send(body(documents)).await;
        assert!(status.is_success(), "seed {seed}: {status}");
    }
}

/// An honest colleague pushes one observation after the other; how long each durable answer took, milliseconds, sorted.
async fn honest(
    ha: &Driver,
    bodies: &mut impl Iterator<Item = Vec<u8>>,
    pushes: usize,
) -> Vec<f64> {
    let mut took = Vec::with_capacity(pushes);
    for body in bodies.by_ref().take(pushes) {
        let begun = Instant::now();
        ha.push(body).await;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort_by(f64::total_cmp);
    took
}

fn p99(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() - 1) * 99 / 100]
}

/// Everything that this phone is served, by document.
async fn served(phone: &Driver) -> BTreeMap<String, (Key, Vec<Vec<u8>>)> {
    let mut documents = BTreeMap::<String, (Key, Vec<Vec<u8>>)>::new();
    let (mut cursor, mut key, mut more) = (String::new(), None, true);
    while more {
        for item in phone.try_pull(&cursor).await.expect("an answer") {
            match item {
                Pulled::Document(named) => key = named.key().ok(),
                Pulled::Change(bytes) => {
                    let key: &Key = key.as_ref().expect("a document is named first");
                    let of = documents.entry(key.document().to_string());
                    of.or_insert_with(|| (key.clone(), Vec::new()))
                        .1
                        .push(bytes);
                }
                Pulled::Cursor(next, is_more) => (cursor, more) = (next, is_more),
                _ => {}
            }
        }
    }
    documents
}

/// What of these documents does not load, be saved and load again, with the reason. A birth that is served is left out: loading brings
/// its own.
fn not_loading(documents: &BTreeMap<String, (Key, Vec<Vec<u8>>)>) -> Vec<String> {
    let loads = |key: &Key, changes: &[Vec<u8>]| {
        let births = document::birth(key);
        let changes = changes
            .iter()
            .filter(|bytes| births.iter().all(|birth| birth.bytes != **bytes));
        let loaded = document::load(key, changes.map(Vec::as_slice));
        let loaded = loaded.map_err(|error| format!("loads: {error:?}"))?;
        let again = automerge::Automerge::load(&loaded.save());
        again
            .map(|_| ())
            .map_err(|error| format!("loads again: {error:?}"))
    };
    let failed = |(id, (key, changes)): (&String, &(Key, Vec<Vec<u8>>))| {
        let why = loads(key, changes).err()?;
        Some(format!("{id}, {} changes: {why}", changes.len()))
    };
    documents.iter().filter_map(failed).collect()
}

/// Waits until every case is where it belongs.
async fn settled(world: &World, cases: &[Case]) -> BTreeMap<Sha256, Vec<String>> {
    let begun = Instant::now();
    loop {
        let reasons = quarantined(world).await;
        let open: Vec<&str> = cases
            .iter()
            .filter(|case| case.fate != Fate::Checked && !reasons.contains_key(&case.hash))
            .map(|case| case.name)
            .collect();
        if open.is_empty() {
            return reasons;
        }
        assert!(begun.elapsed() < WAIT, "not in time: {open:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_cost_their_sender_only() {
    let world = World::on(None).await;
    let (an, ha, binh, chi) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "ha").await,
        Driver::enrol(&world.server, "binh").await,
        Driver::enrol(&world.server, "chi").await,
    );
    let seed = trial::seed();
    let mutants = usize::try_from(trial::size("KIEUMAU_MUTANTS", 150, 10_000)).expect("it fits");
    let (senders, cases) = sent_apart(&world, &an, &ha, &binh).await;
    let server = world.server.id().expect("it runs");
    let workers = Watch::children_of(server);
    let mut bodies = ha.prepare(2_000).into_iter();
    let quiet = honest(&ha, &mut bodies, 200).await;
    let attack = async {
        for (number, case) in cases.iter().enumerate() {
            push_case(senders.get(number).unwrap_or(&an), case).await;
        }
        push_mutants(&world, seed, mutants).await;
    };
    let (busy, ()) = tokio::join!(honest(&ha, &mut bodies, 600), attack);
    let reasons = settled(&world, &cases).await;
    each_met_its_fate(&cases, &reasons);
    // A feed is served only up to what was checked: when the last change is, everything before it was settled.
    let (key, changes) = ha.patrol(0);
    let last = changes[0].bytes.clone();
    let seals = vec![ha.seal(&key, changes[0].hash)];
    assert_eq!(ha.push_changes(&key, &changes, seals).await, []);
    let begun = Instant::now();
    let documents = loop {
        let documents = served(&chi).await;
        let is_last = |(_, changes): &(Key, Vec<Vec<u8>>)| changes.contains(&last);
        if documents.values().any(is_last) {
            break documents;
        }
        assert!(begun.elapsed() < WAIT, "not served in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let seen = workers.end();
    let failed = not_loading(&documents);
    let some: Vec<_> = failed.iter().take(5).collect();
    assert!(
        failed.is_empty(),
        "{} of {} do not load, seed {seed}: {some:#?}",
        failed.len(),
        documents.len()
    );
    assert_eq!(world.server.id(), Some(server), "the server never ended");
    let itself = watch::look(server).expect("the server runs");
    let working = seen.values().filter(|worker| worker.may_take_s.is_some());
    for worker in working {
        assert_eq!(worker.nice, itself.nice + NICE, "answers come first");
    }
    let most = |of: fn(&Seen) -> u64| seen.values().map(of).max().unwrap_or(0);
    println!(
        "F9 cases={} mutants={mutants} aborts=0 quarantined={} workers={} worker_peak_mib={} worker_mapped_mib={} \
         others_p50_ms={:.1}/{:.1} others_p99_ms={:.1}/{:.1} ratio={:.2}",
        cases.len(),
        reasons.len(),
        seen.len(),
        most(|seen| seen.resident_kib) >> 10,
        most(|seen| seen.mapped_kib) >> 10,
        busy[busy.len() / 2],
        quiet[quiet.len() / 2],
        p99(&busy),
        p99(&quiet),
        p99(&busy) / p99(&quiet),
    );
    for seen in seen.values() {
        stayed_within_its_limits(seen);
    }
}

/// Whether each case lies under the word that it must, or was let through.
fn each_met_its_fate(cases: &[Case], reasons: &BTreeMap<Sha256, Vec<String>>) {
    for case in cases {
        let under = reasons.get(&case.hash).map_or(&[][..], Vec::as_slice);
        let right = match case.fate {
            Fate::Refused(word) => under.contains(&word.to_owned()),
            Fate::Withheld(words) => under.iter().any(|word| words.contains(&word.as_str())),
            Fate::Checked => under.is_empty(),
        };
        assert!(right, "{}: {under:?}", case.name);
    }
}

fn stayed_within_its_limits(worker: &Seen) {
    assert!(worker.mapped_kib <= MEMORY_KIB, "{worker:?}");
    // Between its start and its first job a worker has no limit yet.
    if let Some(may_take_s) = worker.may_take_s {
        assert_eq!(worker.may_map_kib, Some(MEMORY_KIB), "{worker:?}");
        assert!(
            may_take_s * 1_000 <= worker.took_ms + JOB_S * 1_000 + 20,
            "{worker:?}"
        );
    }
}

/// What reading a case without a worker came to.
#[derive(Debug, Default)]
struct Hurt {
    over_memory: usize,
    over_time: usize,
    lost: usize,
}

/// Reads the changes of a case as a server without workers would; kills it when it has taken four times what a worker may.
fn read_bare(case: &Case, hurt: &mut Hurt) {
    let mut bare = Command::new(env!("CARGO_BIN_EXE_bare"))
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let key = case.document.key.key().expect("a key");
    let births = document::birth(&key);
    let mut input = bare.stdin.take().expect("its input is piped");
    let bytes = births.iter().map(|birth| &birth.bytes);
    for change in bytes.chain(&case.document.changes) {
        let length = u32::try_from(change.len()).expect("short");
        let written = input.write_all(&[&length.to_le_bytes(), change.as_slice()].concat());
        written.expect("it reads all before it does anything");
    }
    drop(input);
    let mut worst = Seen::default();
    let ended = loop {
        if let Some(now) = watch::look(bare.id()) {
            worst.resident_kib = worst.resident_kib.max(now.resident_kib);
            worst.took_ms = worst.took_ms.max(now.took_ms);
        }
        if let Some(ended) = bare.try_wait().expect("a child") {
            break Some(ended);
        }
        if worst.resident_kib > 4 * MEMORY_KIB || worst.took_ms > 4_000 * JOB_S {
            bare.kill().expect("killed");
            bare.wait().expect("a child");
            break None;
        }
        std::thread::yield_now();
    };
    hurt.over_memory += usize::from(worst.resident_kib > MEMORY_KIB);
    hurt.over_time += usize::from(worst.took_ms > 1_000 * JOB_S);
    hurt.lost += usize::from(ended.is_some_and(|ended| !ended.success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twin_without_workers_is_hurt_by_the_same_bytes() {
    let world = World::on(None).await;
    let (an, ha, binh) = (
        Driver::enrol(&world.server, "an").await,
        Driver::enrol(&world.server, "ha").await,
        Driver::enrol(&world.server, "binh").await,
    );
    let (mut bombs, mut others) = (Hurt::default(), Hurt::default());
    for case in corpus::cases(&an, &ha, &binh) {
        match case.fate {
            Fate::Withheld(words) if words[0] == "worker-died" => read_bare(&case, &mut bombs),
            Fate::Withheld(["not-canonical", ..]) => read_bare(&case, &mut others),
            _ => {}
        }
    }
    println!("F9 twin without workers: bombs {bombs:?} not canonical {others:?}");
    assert!(bombs.over_memory > 0 && bombs.over_time > 0, "{bombs:?}");
    assert!(others.lost > 0, "{others:?}");
}
