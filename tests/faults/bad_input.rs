//! Bad input: each message cut at every byte and bent at random, fields out of range, cursors of another server, pushes that hold too
//! much, connections that open and say nothing. Always an answer with a stable word, never a 500, never a server that grows; and who
//! asks meanwhile is answered.

use kieumau_core::{
    document::Key,
    enrolment::{NewPhone, PHONES},
    hash::Sha256,
    id::DocumentId,
    jws,
    problem::Problem,
    token::{ASSERTION_TYP, Assertion, GRANT_TYPE, TOKEN},
    wire::{self, After, Pulled, Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use kieumau_tests::{
    driver::Driver,
    hostile::{chunk::Chunk, mutant},
    trial, watch,
    world::World,
};
use rand::{SeedableRng as _, rngs::StdRng};
use reqwest::{Client, StatusCode};
use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// A message that is sent to the server.
struct Message {
    name: &'static str,
    path: &'static str,
    media_type: &'static str,
    /// Whether it says who sends it.
    signed_in: bool,
    body: Vec<u8>,
}

/// One good message of each kind that a phone sends.
fn messages(an: &Driver, code: &str) -> Vec<Message> {
    let (key, changes) = an.patrol(1);
    let push = Push {
        documents: vec![PushedDocument {
            key: WireKey::from(&key),
            seals: vec![an.seal(&key, changes[1].hash)],
            changes: changes.iter().map(|change| change.bytes.clone()).collect(),
        }],
        receipts: vec![ReceiptRequest {
            document: key.document(),
            heads: vec![changes[1].hash],
            attachments: vec![Sha256::of(b"a photo")],
        }],
        after: Some(After {
            cursor: String::new(),
            opening: Some([7; 8]),
            snapshots: false,
        }),
        backups: None,
    };
    let new = NewPhone::sign(&an.key, code, "bad input");
    let phone = an.enrolled.phone;
    let now_s = an.enrolled.server_time_ms.div_euclid(1_000);
    let assertion = Assertion::new(phone, now_s, rand::random());
    let jwt = jws::sign(&an.key, ASSERTION_TYP, &phone.to_string(), &assertion);
    let form = format!(
        "grant_type={}&assertion={jwt}",
        GRANT_TYPE.replace(':', "%3A")
    );
    let message = |name, path, media_type, signed_in, body| Message {
        name,
        path,
        media_type,
        signed_in,
        body,
    };
    vec![
        message(
            "push",
            wire::PUSH,
            wire::CBOR,
            true,
            minicbor::to_vec(&push).expect("CBOR"),
        ),
        message(
            "enrolment",
            PHONES,
            "application/json",
            false,
            serde_json::to_vec(&new).expect("JSON"),
        ),
        message(
            "token",
            TOKEN,
            "application/x-www-form-urlencoded",
            false,
            form.into_bytes(),
        ),
    ]
}

/// Sends messages and holds every answer to the rule.
struct Sender<'a> {
    http: Client,
    url: String,
    an: &'a Driver,
    answers: BTreeMap<(&'static str, u16, String), usize>,
}

impl Sender<'_> {
    async fn send(&mut self, message: &Message, body: Vec<u8>, how: &str) -> StatusCode {
        let mut request = self
            .http
            .post(format!("{}{}", self.url, message.path))
            .header("content-type", message.media_type)
            .body(body);
        if message.signed_in {
            request = request.header("authorization", self.an.authorization());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let body = answer.bytes().await.expect("whole");
        let mut word = String::new();
        if !status.is_success() {
            let problem: Problem = serde_json::from_slice(&body).unwrap_or_else(|_| {
                let text = String::from_utf8_lossy(&body);
                panic!("{} {how}: {status} is no problem: {text}", message.name)
            });
            problem.word().clone_into(&mut word);
            let stable = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(!word.is_empty() && word.chars().all(stable), "{word}");
        }
        assert!(
            status.is_success() || status.is_client_error(),
            "{} {how}: {status} {word}",
            message.name
        );
        *self
            .answers
            .entry((message.name, status.as_u16(), word))
            .or_default() += 1;
        status
    }
}

/// A push with these parts.
fn push_of(documents: Vec<PushedDocument>, receipts: Vec<ReceiptRequest>) -> Vec<u8> {
    let push = Push {
        documents,
        receipts,
        after: None,
        backups: None,
    };
    minicbor::to_vec(&push).expect("CBOR")
}

/// Pushes that hold too much of something, each below the size of a body.
fn too_much(an: &Driver) -> Vec<(&'static str, Vec<u8>)> {
    let (key, changes) = an.patrol(0);
    let document = |changes: Vec<Vec<u8>>, seals| PushedDocument {
        key: WireKey::from(&key),
        changes,
        seals,
    };
    let seal = an.seal(&key, changes[0].hash);
    let asked = |count: usize, heads: usize| ReceiptRequest {
        document: DocumentId::from_bytes([u8::try_from(count % 256).unwrap_or(0); 16]),
        heads: vec![Sha256::of(b"x"); heads],
        attachments: Vec::new(),
    };
    vec![
        (
            "100,000 tiny changes",
            push_of(vec![document(vec![vec![1]; 100_000], vec![])], vec![]),
        ),
        (
            "100,000 empty changes",
            push_of(vec![document(vec![vec![]; 100_000], vec![])], vec![]),
        ),
        (
            "50,000 seals",
            push_of(vec![document(vec![], vec![seal; 50_000])], vec![]),
        ),
        (
            "50,000 documents",
            push_of(vec![document(vec![], vec![]); 50_000], vec![]),
        ),
        (
            "50,000 receipts",
            push_of(vec![], (0..50_000).map(|n| asked(n, 0)).collect()),
        ),
        (
            "100,000 heads of one document",
            push_of(vec![], vec![asked(0, 100_000)]),
        ),
    ]
}

/// Pushes whose fields say what they cannot.
fn out_of_range(an: &Driver) -> Vec<(&'static str, Vec<u8>)> {
    let (key, changes) = an.patrol(0);
    let named = |kind: &str, name: &str| {
        let key = WireKey {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..WireKey::from(&key)
        };
        let document = PushedDocument {
            key,
            changes: vec![changes[0].bytes.clone()],
            seals: vec![],
        };
        push_of(vec![document], vec![])
    };
    let huge = "x".repeat(1 << 20);
    vec![
        ("a kind that nobody knows", named("diary", "x")),
        ("a name of a megabyte", named("patrol-log", &huge)),
        (
            "a name that is no id",
            named("patrol-log", "../../etc/passwd\0"),
        ),
        (
            "a criterion out of range",
            named("evidence-file", "999/2025-11-16..2026-11-15"),
        ),
        (
            "a period that ends before it begins",
            named("evidence-file", "1/2026-11-16..2025-11-15"),
        ),
        // An array that says it has 2^60 items, and ends.
        (
            "2^60 documents",
            vec![0x83, 0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "bytes of 2^62",
            vec![0x83, 0x81, 0x83, 0x5b, 0x40, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("ten thousand arrays in arrays", vec![0x81; 10_000]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_that_is_cut_or_bent_is_answered_with_a_word() {
    let world = World::on(None).await;
    let an = Driver::enrol(&world.server, "an").await;
    let server = world.server.id().expect("it runs");
    let code = world.server.code("an").await.code;
    let seed = trial::seed();
    let mutants = trial::size("KIEUMAU_BENT", 400, 10_000);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sender = Sender {
        http: Client::new(),
        url: world.server.ward.url.clone(),
        an: &an,
        answers: BTreeMap::new(),
    };
    let messages = messages(&an, &code);
    let (mut cut, mut bent) = (0, 0);
    // Once through everything before the memory is looked at: pools fill and pages are touched once.
    for warm in [true, false] {
        let before_kib = watch::pss_kib(server);
        for message in &messages {
            for at in 0..message.body.len() {
                if warm && at % 7 != 0 {
                    continue;
                }
                let how = format!("cut at {at}");
                let status = sender
                    .send(message, message.body[..at].to_vec(), &how)
                    .await;
                assert!(!status.is_success(), "{} {how}", message.name);
                cut += 1;
            }
            let rounds = if warm { mutants / 4 } else { mutants };
            for round in 0..rounds {
                let how = format!("seed {seed}, mutant {round}");
                let body = mutant::bent(&mut rng, &message.body);
                sender.send(message, body, &how).await;
                bent += 1;
            }
        }
        if !warm {
            let grown = watch::pss_kib(server).saturating_sub(before_kib);
            println!(
                "BAD cut={cut} bent={bent} status_500=0 grown_mib={:.1} seed={seed}",
                grown as f64 / 1024.0
            );
            assert!(grown < 32 << 10, "{grown} KiB more");
        }
    }
    for ((name, status, word), count) in &sender.answers {
        println!("    {name} {status} {word} {count}");
    }
    for (what, body) in too_much(&an).into_iter().chain(out_of_range(&an)) {
        let status = sender.send(&messages[0], body, what).await;
        assert!(!status.is_success(), "{what}");
    }
    // The twin: good messages are taken. The code is another one: near the bent ones guessing has been stopped by now.
    let messages = self::messages(&an, &world.server.code("ha").await.code);
    for message in &messages {
        let status = sender
            .send(message, message.body.clone(), "as it was")
            .await;
        assert!(status.is_success(), "{}", message.name);
    }
}

/// What a phone hears, cut and bent: it is never taken for the whole, and never brings the phone down.
#[test]
fn what_a_phone_hears_cut_or_bent_is_an_error_and_no_more() {
    let seed = trial::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let pushed = Pushed {
        receipts: vec!["a.b.c".to_owned()],
        missing_attachments: vec![Sha256::of(b"x")],
        server_time_ms: 1_795_000_000_000,
        page: Some(vec![1, 2, 3]),
        ..Pushed::default()
    };
    let pushed = minicbor::to_vec(&pushed).expect("CBOR");
    let key = Key::patrol(
        kieumau_core::id::UnitId::from_bytes([1; 16]),
        uuid::Uuid::from_u128(2),
    );
    let items = [
        Pulled::Document(WireKey::from(&key)),
        Pulled::Change(vec![7; 300]),
        Pulled::Cursor("abc".to_owned(), false),
    ];
    for bytes in std::iter::once(pushed.clone()).chain(
        items
            .iter()
            .map(|item| minicbor::to_vec(item).expect("CBOR")),
    ) {
        for at in 0..bytes.len() {
            assert!(
                minicbor::decode::<Pushed>(&bytes[..at]).is_err(),
                "cut at {at}"
            );
            assert!(
                minicbor::decode::<Pulled>(&bytes[..at]).is_err(),
                "cut at {at}"
            );
        }
        for _ in 0..trial::size("KIEUMAU_BENT", 10_000, 100_000) {
            let bent = mutant::bent(&mut rng, &bytes);
            let _ = minicbor::decode::<Pushed>(&bent);
            let _ = minicbor::decode::<Pulled>(&bent);
        }
    }
    // The twin: whole, each is read.
    minicbor::decode::<Pushed>(&pushed).expect("whole");
}

#[tokio::test]
async fn a_cursor_of_another_server_or_another_epoch_begins_anew_and_nonsense_is_a_problem() {
    let (here, there) = (World::on(None).await, World::on(None).await);
    let (an, binh) = (
        Driver::enrol(&here.server, "an").await,
        Driver::enrol(&there.server, "an").await,
    );
    let cursor_of = |items: Vec<Pulled>| match items.last() {
        Some(Pulled::Cursor(cursor, _)) => cursor.clone(),
        other => panic!("{other:?}"),
    };
    let whole = an.try_pull("").await.expect("an answer");
    let theirs = cursor_of(binh.try_pull("").await.expect("an answer"));
    let again = an.try_pull(&theirs).await.expect("an answer");
    let without_cursor = |items: &[Pulled]| items[..items.len() - 1].to_vec();
    assert_eq!(
        without_cursor(&again),
        without_cursor(&whole),
        "from the start"
    );
    // The twin: its own cursor brings nothing twice.
    let own = cursor_of(whole.clone());
    let nothing = an.try_pull(&own).await.expect("an answer");
    assert!(
        nothing.len() < whole.len() || whole.len() == 1,
        "{nothing:?}"
    );
    for nonsense in ["x", "%00", "AAAA", &"A".repeat(10_000), "-1", "..%2F..%2F"] {
        let path = format!("{}?cursor={nonsense}", wire::PULL);
        let answer = an.ask(reqwest::Method::GET, &path, &[], b"").await;
        assert!(
            !answer.status().is_server_error(),
            "{nonsense}: {}",
            answer.status()
        );
    }
}

#[tokio::test]
async fn a_patrols_bytes_under_another_documents_name_wait_or_are_withheld_and_are_never_shown() {
    let world = World::on(None).await;
    let an = Driver::enrol(&world.server, "an").await;
    let (_, changes) = an.patrol(0);
    let other = Key::patrol(an.enrolled.unit, uuid::Uuid::now_v7());
    let seal = an.seal(&other, changes[0].hash);
    let outcomes = an.push_changes(&other, &changes, vec![seal]).await;
    // Its birth is another's: here it lacks an ancestor for ever, and gets no receipt.
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].word, "waiting");
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{}", other.document());
    assert_eq!(chi.read(&page).await.0, StatusCode::NOT_FOUND);
    // The twin: under its own name the same bytes say what they say.
    assert!(!Chunk::of(&changes[0].bytes).deps.is_empty());
}

/// A process that holds so many silent connections; and how many it opened.
async fn silent(url: &str, count: usize) -> (Child, usize) {
    let address = url.trim_start_matches("http://");
    let held = format!("ulimit -n 20000 && exec \"$0\" {address} {count}");
    let mut child = Command::new("sh")
        .args(["-c", &held, env!("CARGO_BIN_EXE_silent")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let out = child.stdout.take().expect("its output is piped");
    let line = BufReader::new(out).lines().next_line().await;
    let opened = line.expect("reads").expect("it says how many");
    (child, opened.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_that_say_nothing_keep_nobody_waiting_and_leave_nothing() {
    let world = World::on(None).await;
    let an = Driver::enrol(&world.server, "an").await;
    let server = world.server.id().expect("it runs");
    let mut bodies = an.prepare(200).into_iter();
    // Each from a new connection, as a phone that comes back does.
    let mut asked = async |times: usize| {
        let mut took: Vec<f64> = Vec::with_capacity(times);
        for body in bodies.by_ref().take(times) {
            let begun = Instant::now();
            let http = Client::new();
            let answer = http
                .post(format!("{}{}", world.server.ward.url, wire::PUSH))
                .header("authorization", an.authorization())
                .header("content-type", wire::CBOR)
                .body(body)
                .send()
                .await
                .expect("an answer");
            assert!(answer.status().is_success());
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        took
    };
    let quiet = asked(100).await;
    let before_kib = watch::pss_kib(server);
    let (holder, opened) = silent(&world.server.ward.url, 10_000).await;
    let busy = asked(100).await;
    let during_kib = watch::pss_kib(server);
    drop(holder);
    let begun = Instant::now();
    let files = || {
        std::fs::read_dir(format!("/proc/{server}/fd"))
            .expect("it runs")
            .count()
    };
    while files() > 200 && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let grown = |kib: u64| kib.saturating_sub(before_kib) as f64 / 1024.0;
    println!(
        "SILENT connections={opened} asked_ms={:.1}/{:.1} worst_ms={:.1}/{:.1} grown_mib={:.1} left_mib={:.1} files_left={}",
        busy[busy.len() / 2],
        quiet[quiet.len() / 2],
        busy[busy.len() - 1],
        quiet[quiet.len() - 1],
        grown(during_kib),
        grown(watch::pss_kib(server)),
        files(),
    );
    assert_eq!(opened, 10_000);
    assert!(files() <= 200, "{} files are still open", files());
    assert!(grown(during_kib) < 32.0, "{during_kib} KiB");
}
