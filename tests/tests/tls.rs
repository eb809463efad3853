//! TLS between a real phone's process and a real server's: the phone holds the server to its key and to nothing else. An expired
//! certificate and a phone in 1970 or 2100 get through, a renewal too, a change of key that was announced too; another server
//! at the same address gets nothing.

use kieumau_core::{
    enrolment::Invitation,
    hash::Sha256,
    phone::{ItemState, PhoneError},
};
use kieumau_tests::{
    process::PhoneProcess,
    server::{Launch, Server},
    signal::Signal,
    world,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

const YEAR_MS: i64 = 365 * 86_400_000;

/// A ward whose server speaks TLS.
async fn ward(data: &Path, listen: &str, more: &[&str]) -> Server {
    Server::launch(Launch {
        data,
        database_url: None,
        nights: 0,
        listen,
        more: more.iter().map(|word| (*word).to_owned()).collect(),
        log: None,
    })
    .await
}

/// A phone of An's, enrolled by the QR of the chief's page.
async fn phone(folder: &Path, server: &Server) -> PhoneProcess {
    let mut phone = PhoneProcess::start(folder, None);
    let qr = server.code("an").await.qr;
    let answer = phone.ask(&json!({ "do": "enrol", "qr": qr })).await;
    assert!(answer["phone"].is_string(), "{answer}");
    phone
}

async fn patrol(phone: &mut PhoneProcess, title: &str) -> Value {
    let answer = phone.ask(&json!({ "do": "start", "title": title })).await;
    assert!(answer["patrol"].is_string(), "{answer}");
    answer["patrol"].clone()
}

async fn sync(phone: &mut PhoneProcess) -> Value {
    phone.ask(&json!({ "do": "sync", "tries": 1 })).await
}

/// Records a patrol and sends it: the receipt has come.
async fn goes_through(phone: &mut PhoneProcess, title: &str) {
    let patrol = patrol(phone, title).await;
    let report = sync(phone).await;
    assert!(report["error"].is_null(), "{title}: {report}");
    let shown = phone
        .ask(&json!({ "do": "patrol", "patrol": patrol }))
        .await;
    assert_eq!(shown["state"], "Đã gửi", "{title}");
}

/// A certificate of `pair` that ended in 2001; its files.
fn ended_long_ago(folder: &Path, pair: &KeyPair) -> [PathBuf; 2] {
    let mut params = CertificateParams::new(vec!["elsewhere.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
    let certificate = params.self_signed(pair).expect("a certificate");
    let files = [folder.join("own.pem"), folder.join("own.key")];
    std::fs::write(&files[0], certificate.pem()).expect("written");
    std::fs::write(&files[1], pair.serialize_pem()).expect("written");
    files
}

#[tokio::test]
async fn neither_dates_nor_names_keep_a_phone_from_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = KeyPair::generate().expect("a key");
    let files = ended_long_ago(folder.path(), &pair);
    let [certificate, key] = files.each_ref().map(|file| file.to_str().expect("text"));
    let data = folder.path().join("server");
    let more = ["--tls-cert", certificate, "--tls-key", key];
    let mut server = ward(&data, "127.0.0.1:0", &more).await;
    assert!(server.ward.url.starts_with("https://"));
    let mut phone = phone(&folder.path().join("phone"), &server).await;
    for (year, skew_ms) in [(1970, -56 * YEAR_MS), (2100, 74 * YEAR_MS), (2026, 0)] {
        phone
            .ask(&json!({ "do": "set_clock", "skew_ms": skew_ms }))
            .await;
        goes_through(&mut phone, &format!("Ca năm {year}")).await;
    }
    // Renewed: another certificate, the same key.
    ended_long_ago(folder.path(), &pair);
    server.kill_and_restart().await;
    goes_through(&mut phone, "Ca sau khi gia hạn").await;
    // The twin: another key in the same files, and the phone stays away.
    ended_long_ago(folder.path(), &KeyPair::generate().expect("a key"));
    server.kill_and_restart().await;
    patrol(&mut phone, "Ca không gửi được").await;
    let refused = sync(&mut phone).await;
    assert_eq!(refused["word"], "another-key", "{refused}");
}

#[tokio::test]
async fn another_server_at_the_same_address_is_told_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ours = ward(&folder.path().join("ours"), "127.0.0.1:0", &["--tls"]).await;
    let signal = Signal::new(&ours.ward.url).await;
    let skew_ms = Arc::new(AtomicI64::new(0));
    let phone = world::open(&folder.path().join("phone"), &skew_ms).await;
    let url = signal.url().replace("http://", "https://");
    let code = ours.code("an").await;
    let pin = Invitation::parse(&code.qr).expect("a code").pin;
    let told = format!("{url}#{}", Sha256(pin.expect("a pin")));
    phone.enrol(&told, &code.code).await.expect("enrols");
    let genuine = ours.code("an").await.qr;
    let listen = ours.ward.url.replace("https://", "");
    ours.stop().await;
    let theirs = ward(&folder.path().join("theirs"), &listen, &["--tls"]).await;
    let patrol = phone
        .start_patrol(kieumau_core::patrol::NewPatrol {
            title: "Ca không ai khác được đọc".to_owned(),
            ..Default::default()
        })
        .await
        .expect("starts");
    signal.suffer([]);
    let refused = phone.sync(Default::default()).await;
    let told_plainly =
        matches!(&refused, Err(PhoneError::SignedOut { word }) if word == "another-key");
    assert!(told_plainly, "{refused:?}");
    // A greeting and an alert: less than any request with a token would take.
    let passed = signal.passed();
    assert!(passed.up_bytes < 2_500, "{passed:?}");
    let item = &phone.items(None).await.expect("reads")[0];
    assert_eq!((item.document, item.state), (patrol, ItemState::Waiting));
    // The twin: a phone that is told the other's key does talk to it, so it was the key that kept this one away.
    let deceived = world::open(&folder.path().join("deceived"), &skew_ms).await;
    let qr = theirs.code("an").await.qr;
    deceived.enrol_by_qr(&qr).await.expect("enrols");
    // A code that names our keys and leads to them is found out before anything is sent.
    let [genuine, other] =
        [&genuine, &theirs.code("an").await.qr].map(|qr| Invitation::parse(qr).expect("a code"));
    let forged = Invitation {
        url: other.url,
        pin: other.pin,
        ..genuine
    };
    let refused = phone.find_server(&forged.to_text()).await;
    let told_plainly =
        matches!(&refused, Err(PhoneError::SignedOut { word }) if word == "another-server");
    assert!(told_plainly, "{refused:?}");
    // Back at home all is well.
    theirs.kill().await;
    ours.start_again().await;
    phone.sync(Default::default()).await.expect("syncs");
}

#[tokio::test]
async fn a_change_of_key_that_was_announced_is_no_event_and_one_that_was_not_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ward(&folder.path().join("server"), "127.0.0.1:0", &["--tls"]).await;
    let phone = phone(&folder.path().join("phone"), &server).await;
    let mut away = self::phone(&folder.path().join("away"), &server).await;
    server.command(&["tls", "next"]).await;
    let switch = ["tls", "switch", "--language", "en"];
    let early = server.refusal(&switch).await;
    let told = early.contains("not announced the next key to any phone yet; 2 would");
    assert!(told && early.contains("--anyway"), "{early}");
    server.kill_and_restart().await;
    // Pins come with each token, and this phone has one for some minutes yet: begun anew, it signs in.
    phone.kill().await;
    let mut phone = PhoneProcess::start(&folder.path().join("phone"), None);
    goes_through(&mut phone, "Ca nghe tin khóa mới").await;
    // Of two phones one has heard, and the other is named before anything is done.
    let refused = server.refusal(&switch).await;
    let told = refused.contains("; 1 have not synced since then: An (");
    assert!(told && refused.contains("--anyway"), "{refused}");
    server.command(&[&switch[..], &["--anyway"]].concat()).await;
    // Until the server is started again a code would carry the key that it is about to lay down, and no key follows.
    for early in [&["phone", "code", "--person", "an"][..], &["tls", "next"]] {
        let refused = server
            .refusal(&[early, &["--language", "en"]].concat())
            .await;
        assert!(
            refused.contains("Start the server again")
                || refused.contains("start the server again"),
            "{refused}"
        );
    }
    server.kill_and_restart().await;
    goes_through(&mut phone, "Ca với khóa mới").await;
    // The twin: who was away when it was announced stays away.
    patrol(&mut away, "Ca chưa nghe tin").await;
    let refused = sync(&mut away).await;
    assert_eq!(refused["word"], "another-key", "{refused}");
    // Another ward's code does not help, a new one of this ward's does: it shows that it is the same server.
    let theirs = ward(&folder.path().join("theirs"), "127.0.0.1:0", &["--tls"]).await;
    let qr = theirs.code("an").await.qr;
    let refused = away.ask(&json!({ "do": "find_server", "qr": qr })).await;
    assert_eq!(refused["word"], "another-server", "{refused}");
    let qr = server.code("an").await.qr;
    let found = away.ask(&json!({ "do": "find_server", "qr": qr })).await;
    assert_eq!(found["url"], server.ward.url, "{found}");
    goes_through(&mut away, "Ca sau khi quét lại").await;
    // What was announced survives the phone's end.
    phone.kill().await;
    let mut again = PhoneProcess::start(&folder.path().join("phone"), None);
    goes_through(&mut again, "Ca sau khi mở lại").await;
}

#[tokio::test]
async fn a_key_that_every_phone_has_heard_of_is_changed_at_the_first_asking() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ward(&folder.path().join("server"), "127.0.0.1:0", &["--tls"]).await;
    let phone = phone(&folder.path().join("phone"), &server).await;
    let next = server.command(&["tls", "next"]).await;
    server.kill_and_restart().await;
    phone.kill().await;
    let mut phone = PhoneProcess::start(&folder.path().join("phone"), None);
    goes_through(&mut phone, "Ca nghe tin khóa mới").await;
    assert_eq!(server.command(&["tls", "switch"]).await, next);
    server.kill_and_restart().await;
    goes_through(&mut phone, "Ca với khóa mới").await;
}

#[tokio::test]
async fn a_phone_speaks_in_the_clear_to_its_own_machine_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let skew_ms = Arc::new(AtomicI64::new(0));
    let phone = world::open(&folder.path().join("phone"), &skew_ms).await;
    for (url, field) in [
        ("http://10.255.255.1:8080", "server_url"),
        ("https://127.0.0.1:1", "pin"),
        ("https://127.0.0.1:1#abc", "pin"),
    ] {
        let refused = phone.enrol(url, "ABCDE-FGH12").await;
        let at = matches!(&refused, Err(PhoneError::Invalid(invalid)) if invalid.field == field);
        assert!(at, "{url}: {refused:?}");
    }
}
