//! Copies of photos on a phone go only below what the operator's backup was said to hold, by the server's signed word.

use kieumau_core::phone::ItemState;
use kieumau_tests::world::World;

const PICTURE: &[u8] = include_bytes!("picture.jpg");

#[tokio::test]
async fn a_copy_goes_once_the_operators_backup_holds_its_leaf_and_not_before() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca có ảnh").await;
    // What the log holds before the photo comes: a backup of now would not have it.
    an.sync_well().await;
    let before = leaves(&world).await;
    let photo = world.file("a.jpg", PICTURE);
    let sha256 = an.attach(patrol, None, &photo).await.expect("attached");
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
    assert_eq!(an.let_go(0).await.expect("looks"), []);

    // The twin of the number: too low a one lets nothing go. It comes with the next push, of whatever.
    let other = an.patrol_called("Ca khác").await;
    announce(&world, before).await;
    an.observe(other, "Vụ sau đó").await;
    an.sync_well().await;
    assert_eq!(an.let_go(0).await.expect("looks"), []);

    announce(&world, leaves(&world).await).await;
    an.observe(other, "Vụ sau nữa").await;
    an.sync_well().await;
    assert_eq!(an.let_go(0).await.expect("looks"), [sha256]);
    let attached = an.attachment(sha256).await.expect("is known");
    assert!(attached.received && !attached.on_phone);
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

/// What `kieumau backed-up` prints: `log: epoch …, 12 leaves`.
async fn leaves(world: &World) -> u64 {
    let printed = world.server.command(&["backed-up"]).await;
    let first = printed.lines().next().expect("a line");
    let number = first
        .rsplit(", ")
        .next()
        .and_then(|end| end.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

async fn announce(world: &World, through: u64) {
    let through = through.to_string();
    world
        .server
        .command(&["backed-up", "--through", &through])
        .await;
}
