//! F4, the server's half: its disk takes no more while phones push and upload. Each is told so by a word and a time to come back,
//! `readyz` says it too, what was acknowledged is there, and when there is room again work goes on where it was. The twin
//! believes what was sent. The phone's half is `tests/full_disk.rs`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kieumau_core::{
    hash::Sha256,
    header,
    problem::Problem,
    wire::{Pulled, Push},
};
use kieumau_tests::{disk::SmallDisk, driver::Driver, server::Server, world::eventually};
use reqwest::{Method, Response, StatusCode};
use std::collections::BTreeSet;

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
/// Larger than what is left on the disk.
const PHOTO_BYTES: usize = 3 << 20;

async fn ready(server: &Server) -> StatusCode {
    let url = format!("{}/readyz", server.ward.url);
    reqwest::get(url).await.expect("an answer").status()
}

/// The word of a refusal, which must say when to come back.
async fn word(answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(answer.headers().contains_key("retry-after"));
    let body = answer.bytes().await.expect("whole");
    let problem: Problem = serde_json::from_slice(&body).expect("a problem");
    problem.word().to_owned()
}

fn head(body: &[u8]) -> Sha256 {
    let push: Push = minicbor::decode(body).expect("its own CBOR");
    push.receipts[0].heads[0]
}

/// Every change that the server serves.
async fn held(chi: &Driver) -> BTreeSet<Sha256> {
    let (mut held, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        for item in chi.try_pull(&cursor).await.expect("an answer") {
            match item {
                Pulled::Change(bytes) => {
                    held.insert(header::read(&bytes).expect("a change").hash);
                }
                Pulled::Cursor(_, false) => return held,
                Pulled::Cursor(next, true) => cursor = next,
                _ => {}
            }
        }
    }
}

/// An upload that has begun: where it is.
async fn begun(an: &Driver, file: &[u8]) -> String {
    let metadata = format!("sha256 {}", STANDARD.encode(Sha256::of(file).to_string()));
    let size = file.len().to_string();
    let headers = [
        TUS,
        ("upload-length", &size),
        ("upload-metadata", &metadata),
    ];
    let answer = an.ask(Method::POST, "/v1/attachments", &headers, b"").await;
    let location = answer.headers().get("location").expect("created");
    location.to_str().expect("text").to_owned()
}

async fn piece(an: &Driver, upload: &str, bytes: &[u8]) -> Response {
    let headers = [
        TUS,
        ("upload-offset", "0"),
        ("content-type", "application/offset+octet-stream"),
    ];
    an.ask(Method::PATCH, upload, &headers, bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_is_full_says_so_loses_nothing_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(
        "a_server_whose_disk_is_full_says_so_loses_nothing_and_goes_on",
        folder.path(),
        96,
    ) else {
        return;
    };
    let server = Server::start(&folder.path().join("server"), None, 0).await;
    let an = Driver::enrol(&server, "an").await;
    let chi = Driver::enrol(&server, "chi").await;
    let mut bodies = an.prepare(400).into_iter();
    let photo = [&[0xff, 0xd8, 0xff, 0xe0][..], &vec![7; PHOTO_BYTES]].concat();
    let upload = begun(&an, &photo).await;
    assert_eq!(ready(&server).await, StatusCode::OK);

    let ballast = disk.fill(2 << 20);
    assert_eq!(ready(&server).await, StatusCode::INSUFFICIENT_STORAGE);
    let (mut acknowledged, mut believed) = (BTreeSet::new(), BTreeSet::new());
    let refused = loop {
        let body = bodies.next().expect("the disk fills up sooner");
        believed.insert(head(&body));
        let cbor = [("content-type", kieumau_core::wire::CBOR)];
        let answer = an
            .ask(Method::POST, kieumau_core::wire::PUSH, &cbor, &body)
            .await;
        if !answer.status().is_success() {
            assert_eq!(word(answer).await, "storage-full");
            break body;
        }
        acknowledged.insert(head(&body));
    };
    assert_eq!(
        word(piece(&an, &upload, &photo).await).await,
        "storage-full"
    );
    // What can be read is still read.
    assert_eq!(
        an.ask(Method::GET, "/healthz", &[], b"").await.status(),
        StatusCode::OK
    );
    let lost_by_belief = believed.difference(&acknowledged).count();

    ballast.remove();
    assert_eq!(ready(&server).await, StatusCode::OK);
    an.push(refused.clone()).await;
    acknowledged.insert(head(&refused));
    assert_eq!(
        piece(&an, &upload, &photo).await.status(),
        StatusCode::NO_CONTENT
    );
    eventually("all that was acknowledged is served", async || {
        held(&chi).await.is_superset(&acknowledged)
    })
    .await;
    println!(
        "F4 acknowledged={} lost=0 twin_believed={} twin_lost={lost_by_belief}",
        acknowledged.len(),
        believed.len()
    );
    assert!(lost_by_belief > 0 && acknowledged.len() > 5);
    server.kill().await;
    drop(disk);
}
