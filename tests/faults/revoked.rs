//! F8: a revoked phone. Each of its next requests is refused, also what it said before, said again, and also what it sealed when a
//! colleague brings it; what the log held by then stays, is served, and is proven. The twin is the same requests before.

use crate::dossier::proven;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kieumau_core::{
    document::{Change, Key},
    hash::Sha256,
    problem::Problem,
    wire::{self, Pulled, WireKey},
};
use kieumau_tests::{
    driver::Driver,
    world::{World, eventually},
};
use reqwest::{Method, StatusCode};

const UPLOADS: &str = "/v1/attachments";
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

/// Every request that a phone makes with its token: its name, and what it is answered.
async fn all_it_says(
    an: &Driver,
    upload: &str,
    replay: &[u8],
) -> Vec<(&'static str, StatusCode, String)> {
    let metadata = announced(b"x");
    let create = [TUS, ("upload-length", "1"), ("upload-metadata", &metadata)];
    let piece = [
        TUS,
        ("upload-offset", "0"),
        ("content-type", "application/offset+octet-stream"),
    ];
    let pull = format!("{}?cursor=", wire::PULL);
    let cbor = [("content-type", wire::CBOR)];
    let mut answers = Vec::new();
    for (name, method, path, headers, body) in [
        ("replay", Method::POST, wire::PUSH, &cbor[..], replay),
        ("pull", Method::GET, &pull, &[], b""),
        ("create", Method::POST, UPLOADS, &create, b""),
        ("head", Method::HEAD, upload, &[TUS], b""),
        ("piece", Method::PATCH, upload, &piece, b"hel"),
        ("give up", Method::DELETE, upload, &[TUS], b""),
    ] {
        let answer = an.ask(method, path, headers, body).await;
        let status = answer.status();
        let body = answer.bytes().await.expect("whole");
        let problem: Option<Problem> = serde_json::from_slice(&body).ok();
        let word = problem.map_or_else(String::new, |problem| problem.word().to_owned());
        answers.push((name, status, word));
    }
    answers
}

/// An upload of five bytes that has begun: where it is.
async fn begun(an: &Driver) -> String {
    let metadata = announced(b"hello");
    let headers = [TUS, ("upload-length", "5"), ("upload-metadata", &metadata)];
    let answer = an.ask(Method::POST, UPLOADS, &headers, b"").await;
    let location = answer.headers().get("location").expect("created");
    location.to_str().expect("text").to_owned()
}

fn announced(file: &[u8]) -> String {
    let hash = Sha256::of(file).to_string();
    format!("sha256 {}", STANDARD.encode(hash))
}

#[tokio::test]
async fn a_revoked_phone_is_refused_at_its_next_request_and_what_the_log_holds_of_it_stays() {
    let world = World::on(None).await;
    let an = Driver::enrol(&world.server, "an").await;
    let ha = Driver::enrol(&world.server, "ha").await;
    let chi = Driver::enrol(&world.server, "chi").await;
    let (key, changes) = an.patrol(2);
    let [before, sealed_before] = [&changes[..2], &changes[2..]];
    let pushed = an
        .push_changes(&key, before, vec![an.seal(&key, before[1].hash)])
        .await;
    assert_eq!(pushed, []);
    let replay = an.prepare(1).pop().expect("one");
    an.push(replay.clone()).await;
    let twin = all_it_says(&an, &begun(&an).await, &replay).await;
    assert!(
        twin.iter().all(|(_, status, _)| status.is_success()),
        "the twin: {twin:?}"
    );
    let upload = begun(&an).await;
    let seal = an.seal(&key, sealed_before[0].hash);

    let phone = an.enrolled.phone.to_string();
    world
        .server
        .command(&["phone", "revoke", "--phone", &phone])
        .await;
    let answers = all_it_says(&an, &upload, &replay).await;
    let refused = answers.iter().filter(|(name, status, word)| {
        *status == StatusCode::FORBIDDEN && (word == "phone-revoked" || *name == "head")
    });
    let refused = refused.count();
    // Sealed in time, and not in the log in time: whoever brings it.
    let brought = ha.push_changes(&key, sealed_before, vec![seal]).await;
    let words: Vec<&str> = brought
        .iter()
        .map(|outcome| outcome.word.as_str())
        .collect();
    assert_eq!(words, ["phone-revoked"]);
    println!(
        "F8 requests={} refused={} kept={}",
        answers.len() + 1,
        refused + 1,
        before.len()
    );
    assert_eq!(refused, answers.len(), "{answers:?}");
    stays(&world, &chi, &key, before).await;
}

/// The chief's phone gets exactly these changes, her page shows them, and a dossier of them holds.
async fn stays(world: &World, chi: &Driver, key: &Key, changes: &[Change]) {
    let page = format!("/patrols/{}", key.document());
    let desk = world.desk("chi").await;
    eventually("the page shows what was sent before", async || {
        desk.read(&page).await.0 == StatusCode::OK
    })
    .await;
    let items = chi.try_pull("").await.expect("an answer");
    let of_it = items
        .iter()
        .skip_while(|item| **item != Pulled::Document(WireKey::from(key)))
        .skip(1)
        .take_while(|item| !matches!(item, Pulled::Document(_)));
    let mut served: Vec<&[u8]> = of_it
        .filter_map(|item| match item {
            Pulled::Change(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
        .collect();
    // The document's birth needs no phone.
    served.retain(|bytes| changes.iter().any(|change| change.bytes == *bytes));
    assert_eq!(served.len(), changes.len());
    proven(world, key.document()).await;
}
