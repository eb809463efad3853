//! Live between real processes: what one phone sends, another that is looked at has without asking; over one server process or
//! two; and a server that is told to end does, whoever listens.

use kieumau_core::{
    criterion::CriterionNumber,
    evidence::NewEvidence,
    id::DocumentId,
    live::LIVE,
    phone::{Event, Listener, PhoneError, SyncOptions},
};
use kieumau_tests::{
    driver::Driver,
    server::Server,
    world::{Handset, World, fresh_database},
};
use reqwest::Method;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Long enough for anything; what takes longer fails.
const SOON: Duration = Duration::from_secs(30);

struct Ear(UnboundedSender<DocumentId>);

impl Listener for Ear {
    fn on_event(&self, event: Event) {
        if let Event::Changed { document } = event {
            // Fails only when the test is over.
            let _ = self.0.send(document);
        }
    }
}

/// What this phone hears that changed.
async fn ear(phone: &Handset) -> UnboundedReceiver<DocumentId> {
    let (tell, heard) = unbounded_channel();
    phone.listen(Arc::new(Ear(tell))).await;
    heard
}

/// An files evidence and sends it.
async fn filed(an: &Handset, summary: &str) -> DocumentId {
    let new = NewEvidence {
        evidence_kind: "photo".into(),
        summary: summary.into(),
        ..NewEvidence::default()
    };
    let criterion = CriterionNumber::new(20).expect("a criterion");
    let period = "2025-11-16..2026-11-15".parse().expect("a period");
    let (document, _) = an
        .file_evidence(criterion, &period, new)
        .await
        .expect("filed");
    an.sync_well().await;
    document
}

/// Waits until `document` is heard of.
async fn hears(heard: &mut UnboundedReceiver<DocumentId>, document: DocumentId) {
    let waiting = async { while heard.recv().await.expect("the phone lives") != document {} };
    tokio::time::timeout(SOON, waiting)
        .await
        .expect("it is heard");
}

#[tokio::test]
async fn a_phone_that_is_looked_at_has_what_a_colleague_sent_and_stops_when_told() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let mut heard = ear(&ha).await;
    let story = async {
        let document = filed(&an, "Ảnh trước").await;
        hears(&mut heard, document).await;
        // The line breaks and comes back: it is heard again, without a word to the app.
        ha.signal.set(false);
        ha.signal.set(true);
        filed(&an, "Ảnh sau").await;
        hears(&mut heard, document).await;
        ha.unfollow();
    };
    let (followed, ()) = tokio::join!(ha.follow(SyncOptions::default()), story);
    followed.expect("ended because it was told to");
    let file = &ha.evidence().await.expect("reads")[0];
    assert_eq!(file.items.len(), 2);
}

#[tokio::test]
async fn a_phone_that_is_revoked_follows_no_more() {
    let world = World::new().await;
    let ha = world.phone("ha").await;
    let phone = ha.profile().await.expect("enrolled").phone.to_string();
    let following = ha.follow(SyncOptions::default());
    let revoking = async {
        // It hears of the patrol's end of An only when the stream is open; the revocation may come before or after.
        let an = world.phone("an").await;
        world
            .server
            .command(&["phone", "revoke", "--phone", &phone])
            .await;
        filed(&an, "Ảnh").await;
    };
    let (followed, ()) = tokio::time::timeout(SOON, async { tokio::join!(following, revoking) })
        .await
        .expect("it ends");
    assert!(
        matches!(&followed, Err(PhoneError::SignedOut { word }) if word == "phone-revoked"),
        "{followed:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_told_to_end_does_while_somebody_listens() {
    let mut world = World::new().await;
    let ha = Driver::enrol(&world.server, "ha").await;
    let mut stream = ha.ask(Method::GET, LIVE, &[], &[]).await;
    assert!(stream.status().is_success());
    let first = stream.chunk().await.expect("reads").expect("an event");
    assert!(first.starts_with(b"event: feed\n"), "{first:?}");
    world.server.terminate();
    tokio::time::timeout(SOON, world.server.ended())
        .await
        .expect("it ends");
}

#[tokio::test]
async fn what_comes_to_one_server_process_is_heard_at_another() {
    let Ok(url) = std::env::var("KIEUMAU_TEST_POSTGRES") else {
        eprintln!(
            "SKIPPED: two server processes share a PostgreSQL, and KIEUMAU_TEST_POSTGRES names none"
        );
        return;
    };
    let world = World::on(Some(fresh_database(&url).await)).await;
    let other: Server = world.server.beside().await;
    let an = world.phone("an").await;
    let ha = world.new_phone("ha-elsewhere").await;
    let code = world.server.code("ha").await.code;
    ha.enrol(&other.ward.url, &code).await.expect("enrols");
    let mut heard = ear(&ha).await;
    let story = async {
        let document = filed(&an, "Ảnh ở máy chủ một").await;
        hears(&mut heard, document).await;
        ha.unfollow();
    };
    let (followed, ()) = tokio::join!(ha.follow(SyncOptions::default()), story);
    followed.expect("ended because it was told to");
}
