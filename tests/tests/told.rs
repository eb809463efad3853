//! What a phone is told and what it tells: a version that is not understood, and what a cancelled sync did. Nothing recorded goes.

use kieumau_core::{
    phone::{Event, ItemState, Listener, PhoneError, SyncOptions},
    wire,
};
use kieumau_tests::{
    fault::Fault,
    world::{World, open},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A relay on which the phone speaks another version: the one digit of the header is `spoken`.
async fn relay(server: &str, spoken: Arc<AtomicU8>) -> String {
    let server = server.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((phone, _)) = listener.accept().await {
            let there = TcpStream::connect(&server).await.expect("the server");
            let ((mut from, mut to), spoken) = (phone.into_split(), Arc::clone(&spoken));
            let (mut back, mut forth) = there.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut to).await });
            tokio::spawn(async move {
                let head = format!("{}: ", wire::VERSION_HEADER).into_bytes();
                let mut bytes = vec![0; 64 << 10];
                while let Ok(size @ 1..) = from.read(&mut bytes).await {
                    let said = &mut bytes[..size];
                    if let Some(at) = said.windows(head.len()).position(|here| here == head) {
                        said[at + head.len()] = spoken.load(Ordering::Relaxed);
                    }
                    if forth.write_all(said).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_phone_of_another_version_is_told_who_has_to_be_upgraded_and_keeps_everything() {
    let world = World::new().await;
    let spoken = Arc::new(AtomicU8::new(b'1'));
    let url = relay(&world.server.ward.url, Arc::clone(&spoken)).await;
    let skew_ms = Arc::new(AtomicI64::new(0));
    let an = open(&world.folder().join("an"), &skew_ms).await;
    let code = world.server.code("an").await.code;
    an.enrol(&url, &code).await.expect("enrols");
    let new = kieumau_core::patrol::NewPatrol {
        title: "Ca với bản cũ".to_owned(),
        ..Default::default()
    };
    let patrol = an.start_patrol(new).await.expect("starts");
    for (version, word) in [(b'0', "upgrade-needed"), (b'9', "server-older")] {
        spoken.store(version, Ordering::Relaxed);
        let refused = an.sync(SyncOptions::default()).await;
        let told = matches!(&refused, Err(PhoneError::SignedOut { word: told }) if told == word);
        assert!(told, "{word}: {refused:?}");
        let item = &an.items(None).await.expect("reads")[0];
        assert_eq!((item.document, item.state), (patrol, ItemState::Waiting));
        assert!(!an.profile().await.expect("enrolled").revoked);
    }
    // The twin: with its own version all of it goes.
    spoken.store(b'1', Ordering::Relaxed);
    an.sync(SyncOptions::default()).await.expect("syncs");
    let item = &an.items(None).await.expect("reads")[0];
    assert_eq!(item.state, ItemState::Received);
}

/// Says when the first bytes of a file have arrived.
struct Arrived(Arc<Notify>);

impl Listener for Arrived {
    fn on_event(&self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn a_cancelled_sync_answers_with_what_it_did() {
    let world = World::new().await;
    let an = world.phone("an").await;
    an.sync_well().await;
    let patrol = an.patrol_called("Ca bị ngắt").await;
    let mut photo = include_bytes!("picture.jpg").to_vec();
    photo.resize(3 << 20, 0);
    let photo = world.file("large.jpg", &photo);
    an.attach(patrol, None, &photo).await.expect("attached");
    let arrived = Arc::<Notify>::default();
    an.listen(Arc::new(Arrived(Arc::clone(&arrived)))).await;
    an.signal.suffer([Fault::Slow(400_000)]);
    let cancelling = async {
        arrived.notified().await;
        an.cancel();
    };
    let (report, ()) = tokio::join!(an.sync(SyncOptions::default()), cancelling);
    let report = report.expect("ended, not failed");
    assert!(report.cancelled);
    assert_eq!((report.sent_changes, report.sent_files), (2, 0));
    // The twin: one that nobody cancels says so, and does the rest.
    an.signal.suffer([]);
    let report = an.sync_well().await;
    assert!(!report.cancelled);
    assert_eq!((report.sent_changes, report.sent_files), (0, 1));
}
