//! F7: the access token is over at any request of a sync. The phone gets another and goes on; nobody sees it. The line spoils the
//! token on its way, so that it is the real server that no longer knows it. The twin spoils the renewed one too.

use kieumau_core::{
    id::DocumentId,
    phone::{ItemState, PhoneError, SyncOptions, SyncReport},
};
use kieumau_tests::{
    fault::Fault,
    world::{Handset, World},
};

const PICTURE: &[u8] = include_bytes!("../tests/picture.jpg");

/// One try: any failure is seen.
const ONCE: SyncOptions = SyncOptions {
    tries: 1,
    attachments: true,
    wifi_only: false,
    metered: false,
};

/// Records an observation with a photo of its own, and syncs once with these tokens spoiled.
async fn session(
    world: &World,
    an: &Handset,
    patrol: DocumentId,
    spoiled: &[u32],
) -> Result<SyncReport, PhoneError> {
    let note = format!("Vụ việc {spoiled:?}");
    let photo = [PICTURE, note.as_bytes()].concat();
    let photo = world.file(&format!("{}.jpg", spoiled.len()), &photo);
    an.attach(patrol, None, &photo).await.expect("attached");
    an.observe(patrol, &note).await;
    an.signal
        .suffer(spoiled.iter().map(|request| Fault::BadToken(*request)));
    an.sync(ONCE).await
}

fn renewals(an: &Handset) -> usize {
    let asked = an.signal.passed().requests;
    asked
        .iter()
        .filter(|line| line.contains("/v1/token"))
        .count()
}

#[tokio::test]
async fn a_token_that_ends_at_any_request_of_a_sync_is_renewed_once_and_nobody_sees_it() {
    let world = World::on(None).await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca hết hạn").await;
    an.sync_well().await;
    session(&world, &an, patrol, &[]).await.expect("syncs");
    assert_eq!(renewals(&an), 0, "the token was good");
    let requests = an.signal.passed().requests.len();
    let (mut seen, mut renewed) = (0, 0);
    for request in 0..requests {
        let spoiled = u32::try_from(request).expect("few");
        let went = session(&world, &an, patrol, &[spoiled]).await;
        seen += usize::from(went.is_err());
        assert_eq!(
            renewals(&an),
            1,
            "request {request} of {requests}: {went:?}"
        );
        renewed += 1;
        assert_eq!(an.state(patrol).await, ItemState::Received);
    }
    println!("F7 requests={requests} renewed={renewed} visible={seen}");
    assert_eq!(seen, 0);
    assert!(
        requests >= 5,
        "push, pull, creation, piece, receipt: {requests}"
    );
    let twice = session(&world, &an, patrol, &[0, 1]).await;
    assert!(
        matches!(&twice, Err(PhoneError::SignedOut { word }) if word == "token-refused"),
        "the twin: a server that does not take the renewed one is seen: {twice:?}"
    );
}
