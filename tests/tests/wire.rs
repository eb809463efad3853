//! `core/wire.cddl` against what phones and the server really say: every message of a story, every item of every sequence,
//! nothing left over. Its twin: the same messages with one place changed do not pass.

use kieumau_core::{
    evidence::NewEvidence,
    hash::Sha256,
    id::DocumentId,
    log::compare,
    phone::ItemState,
    wire::{self, Compare, Compared, Fetch, Pulled, Snapshot},
};
use kieumau_tests::{
    traffic::{self, Exchange, Message},
    world::World,
};
use minicbor::Decoder;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// One item of the wire and the rule of the page that it has to keep.
#[derive(Clone, Debug)]
struct Item {
    rule: &'static str,
    bytes: Vec<u8>,
}

impl Item {
    fn new(rule: &'static str, bytes: &[u8]) -> Self {
        Self {
            rule,
            bytes: bytes.to_vec(),
        }
    }

    fn is_json(&self) -> bool {
        self.bytes.first() == Some(&b'{')
    }

    /// Whether there is one item and nothing behind it: the judge would not see what is glued on.
    fn is_one(&self) -> bool {
        let mut decoder = Decoder::new(&self.bytes);
        self.is_json() || decoder.skip().is_ok() && decoder.position() == self.bytes.len()
    }
}

/// What zcbor says of each of `items`: `ok` if they keep their rules `as-said`; how many changes of each it refuses, `changed`.
fn judged<'a>(how: &str, items: impl Iterator<Item = &'a Item>) -> Vec<String> {
    let mut lines = String::new();
    let mut asked = 0;
    for Item { rule, bytes } in items {
        writeln!(lines, "{rule} {}", hex::encode(bytes)).expect("writing to memory does not fail");
        asked += 1;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../target/tests-python/bin/python");
    assert!(
        python.exists(),
        "`make target/tests-python` first: zcbor judges"
    );
    let mut judge = Command::new(python)
        .arg(root.join("tests/wire.py"))
        .arg(root.join("../core/wire.cddl"))
        .arg(how)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = judge.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let out = judge.wait_with_output().expect("python ends");
    writer.join().expect("no panic").expect("all is read");
    assert!(out.status.success(), "the judge fails");
    let said = String::from_utf8(out.stdout).expect("text");
    let verdicts: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(verdicts.len(), asked, "a verdict for each");
    verdicts
}

/// What the exchange says, by the page's rules. Bodies that have no rule here have none on the page: a tus upload is its own
/// bytes, a token's request a form of two words.
fn items(exchange: &Exchange) -> Vec<Item> {
    let Exchange {
        method,
        target,
        asked,
        status,
        answered,
    } = exchange;
    let path = target.split('?').next().unwrap_or_default();
    let (asks, answers) = match (method.as_str(), path) {
        ("POST", "/v1/phones") => (Some("new-phone"), Some("enrolled")),
        ("POST", "/v1/token") => (None, Some("access-token")),
        ("POST", wire::PUSH) => (Some("push"), Some("pushed")),
        ("GET", wire::PULL) => (None, Some("pulled")),
        ("POST", wire::FETCH) => (Some("fetch"), Some("pulled")),
        ("POST", wire::COMPARE) => (Some("compare"), Some("compared")),
        (_, path) if path.starts_with("/v1/attachments") => (None, None),
        _ => panic!("{method} {path} is not on the page"),
    };
    let mut items: Vec<Item> = Vec::new();
    items.extend(asks.map(|rule| Item::new(rule, &body(asked))));
    match (status, answers) {
        (400.., _) if !answered.body.is_empty() => {
            assert_eq!(answered.media_type, "application/problem+json", "{target}");
            items.push(Item::new("problem", &body(answered)));
        }
        (200..300, Some("pulled")) => items.extend(sequence(&body(answered))),
        (200..300, Some(rule)) => {
            let body = body(answered);
            if rule == "pushed" {
                items.extend(page(&body).iter().flat_map(|page| sequence(page)));
            }
            items.push(Item::new(rule, &body));
        }
        _ => {}
    }
    items
}

fn body(message: &Message) -> Vec<u8> {
    match message.encoding.as_str() {
        "" => message.body.clone(),
        wire::ZSTD => zstd::decode_all(message.body.as_slice()).expect("inflates"),
        coding => panic!("{coding} is a coding that this test does not undo"),
    }
}

/// The page that a push's answer brings.
fn page(pushed: &[u8]) -> Option<Vec<u8>> {
    let pushed: wire::Pushed = minicbor::decode(pushed).expect("an answer to a push");
    pushed.page
}

/// The items of a pull's sequence; what is no whole item at its end fails.
fn sequence(bytes: &[u8]) -> Vec<Item> {
    let mut decoder = Decoder::new(bytes);
    let mut items = Vec::new();
    while decoder.position() < bytes.len() {
        let begin = decoder.position();
        decoder.skip().expect("a sequence of whole items");
        items.push(Item::new("pulled", &bytes[begin..decoder.position()]));
    }
    items
}

/// A ward's day: enrolment, a patrol by two phones, a photo, evidence, a decision, a bad code, a revoked phone.
async fn a_day() -> Vec<Exchange> {
    let world = World::new().await;
    let (an, ha) = (world.new_phone("an").await, world.new_phone("ha").await);
    for (phone, sign_in) in [(&an, "an"), (&ha, "ha")] {
        phone.signal.record();
        let url = phone.signal.url();
        phone
            .enrol(&url, "AAAA-AAAA")
            .await
            .expect_err("no such code");
        let code = world.server.code(sign_in).await;
        phone.enrol(&url, &code.code).await.expect("enrols");
    }
    let patrol = an.patrol_called("Ca đêm, tổ An").await;
    an.walk(patrol, 70).await;
    let observation = an.observe(patrol, "Lấn chiếm vỉa hè").await;
    let picture = world.file("anh.jpg", include_bytes!("picture.jpg"));
    an.photograph(patrol, &observation.to_string(), &picture)
        .await;
    let qr = an.patrol(patrol).await.expect("reads").join_qr;
    ha.join_patrol(&qr).await.expect("joins");
    ha.observe(patrol, "Hà thấy").await;
    let evidence = NewEvidence {
        evidence_kind: "photo".into(),
        summary: "Vỉa hè Lê Lợi".into(),
        ..NewEvidence::default()
    };
    let period = "2025-11-16..2026-11-15".parse().expect("a period");
    let criterion = "20".parse().expect("a criterion");
    ha.file_evidence(criterion, &period, evidence)
        .await
        .expect("files");
    ha.sync_well().await;
    an.sync_until(patrol, ItemState::Received).await;
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{patrol}");
    kieumau_tests::world::eventually("Chi reads the patrol", async || {
        chi.read(&page).await.0.is_success()
    })
    .await;
    chi.decide(&page, &patrol.to_string(), "returned", "Thiếu ảnh")
        .await;
    an.sync_until(patrol, ItemState::Returned).await;
    let phone = ha.profile().await.expect("enrolled").phone.to_string();
    world
        .server
        .command(&["phone", "revoke", "--phone", &phone])
        .await;
    ha.try_sync().await.expect_err("revoked");
    let said = [an.signal.said(), ha.signal.said()].concat();
    said.iter()
        .flat_map(|said| traffic::exchanges(said).expect("whole exchanges"))
        .collect()
}

#[tokio::test]
async fn every_message_of_a_day_is_as_the_page_says_and_a_changed_one_is_not() {
    let said: Vec<Item> = a_day().await.iter().flat_map(items).collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (item, verdict) in said.iter().zip(judged("as-said", said.iter())) {
        *seen.entry(item.rule).or_default() += 1;
        assert!(item.is_one(), "{} is not one item", item.rule);
        assert_eq!(verdict, "ok", "{}", item.rule);
    }
    eprintln!("wire: {seen:?}");
    let all = [
        "new-phone",
        "enrolled",
        "access-token",
        "push",
        "pushed",
        "pulled",
        "problem",
    ];
    assert!(all.iter().all(|rule| seen.contains_key(rule)), "{seen:?}");
    let pulled: BTreeSet<u8> = said
        .iter()
        .filter(|item| item.rule == "pulled")
        .map(|item| item.bytes[1])
        .collect();
    assert!(pulled.is_superset(&[0, 1, 2, 4].into()), "{pulled:?}");
    twin(&said);
}

/// What a day without a backup put back and without a new phone does not have.
#[test]
fn rare_messages_are_as_the_page_says_and_changed_ones_are_not() {
    let document = DocumentId::from_bytes([1; 16]);
    let snapshot = Snapshot {
        heads: vec![Sha256([2; 32])],
        changes: 3,
        bytes: vec![4; 40],
    };
    let fetch = Fetch {
        documents: vec![document],
        singly: true,
    };
    let compare = Compare {
        documents: compare::pack([(document, compare::digest(""))]),
    };
    let compared = Compared {
        differing: vec![document],
        cursor: "x".to_owned(),
    };
    let said = [
        Item::new(
            "pulled",
            &minicbor::to_vec(Pulled::Snapshot(snapshot)).expect("encodes"),
        ),
        Item::new("fetch", &minicbor::to_vec(fetch).expect("encodes")),
        Item::new("compare", &minicbor::to_vec(compare).expect("encodes")),
        Item::new("compared", &minicbor::to_vec(compared).expect("encodes")),
    ];
    assert_eq!(judged("as-said", said.iter()), ["ok"; 4]);
    for verdict in judged("changed", said.iter()) {
        assert!(verdict.parse::<usize>().is_ok(), "{verdict}");
    }
}

/// Every message with one scalar made a float, or with one place too many, does not pass: the largest of each rule.
fn twin(said: &[Item]) {
    let mut largest: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in said.iter().filter(|item| item.bytes.len() < 64 << 10) {
        let held = largest.entry(item.rule).or_insert(item);
        if held.bytes.len() < item.bytes.len() {
            *held = item;
        }
    }
    let mut refused = 0;
    for (item, verdict) in largest
        .values()
        .zip(judged("changed", largest.values().copied()))
    {
        refused += verdict
            .parse::<usize>()
            .unwrap_or_else(|_| panic!("{}: {verdict}", item.rule));
    }
    assert!(refused > 50, "{refused} were tried");
    eprintln!("wire: changed and refused={refused}");
}
