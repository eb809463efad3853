//! Units and what the administration publishes to them: a successor's chief decides about what its predecessor wrote, checkpoints and
//! people reach phones, and neither takes the other away.

use kieumau_core::phone::{ItemState, PhoneError};
use kieumau_tests::{
    desk::Desk,
    server::Person,
    world::{World, eventually},
};
use reqwest::StatusCode;

/// The unit of this name in the demo's ward, as `kieumau unit list` shows it.
async fn unit_called(world: &World, name: &str) -> String {
    let units = world.server.command(&["unit", "list"]).await;
    let line = units
        .lines()
        .find(|line| line.contains(name))
        .expect("the unit");
    line.split_whitespace().next().expect("its id").to_owned()
}

/// A chief whom the administration adds to a unit, at the browser.
async fn new_chief(world: &World, unit: &str) -> Desk {
    let named = ["--name", "Phúc", "--sign-in", "phuc", "--role", "chief"];
    let add = [&["person", "add"], &named[..], &["--unit", unit]].concat();
    let added = world.server.command(&add).await;
    let person = Person {
        name: "Phúc".to_owned(),
        sign_in: "phuc".to_owned(),
        role: "chief".to_owned(),
        password: added.lines().nth(1).expect("a password").to_owned(),
        ..world.server.person("chi").clone()
    };
    Desk::sign_in(&world.server.ward.url, &person).await
}

#[tokio::test]
async fn a_successors_chief_decides_and_the_phone_that_wrote_it_hears() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca của phường cũ").await;
    an.observe(patrol, "Thiếu ảnh").await;
    an.sync_until(patrol, ItemState::Received).await;
    let (old, new) = (
        unit_called(&world, "Trường Vinh").await,
        unit_called(&world, "Vinh Phú").await,
    );
    let phuc = new_chief(&world, &new).await;
    let (page, id) = (format!("/patrols/{patrol}"), patrol.to_string());
    assert_eq!(phuc.read(&page).await.0, StatusCode::NOT_FOUND);
    let link = ["unit", "link", "--from", &old, "--to", &new];
    let merged = [&link[..], &["--as", "merge", "--on", "2026-07-01"]].concat();
    world.server.command(&merged).await;
    eventually("Phúc reads what the old ward wrote", async || {
        phuc.read(&page).await.0 == StatusCode::OK
    })
    .await;
    let answer = phuc.decide(&page, &id, "returned", "Bổ sung ảnh").await;
    assert!(answer.status().is_redirection(), "{}", answer.status());
    an.sync_until(patrol, ItemState::Returned).await;
    // The twin: the other way round nothing is reached.
    let binh = world.phone("binh").await;
    let theirs = binh.patrol_called("Ca của phường mới").await;
    binh.sync_until(theirs, ItemState::Received).await;
    let chi = world.desk("chi").await;
    let refused = chi.read(&format!("/patrols/{theirs}")).await.0;
    assert_eq!(refused, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn checkpoints_are_added_and_removed_and_people_come_and_go_beside_them() {
    let world = World::new().await;
    let unit = unit_called(&world, "Trường Vinh").await;
    let of_unit = async |arguments: &[&str]| {
        let arguments = [arguments, &["--unit", &unit]].concat();
        world.server.command(&arguments).await
    };
    let before = of_unit(&["checkpoint", "list"]).await;
    let named = [
        "--name",
        "Cầu Bến Thủy",
        "--lat",
        "18.6734",
        "--lon",
        "105.6813",
    ];
    let id = of_unit(&[&["checkpoint", "add"], &named[..]].concat()).await;
    let id = id.trim();
    let listed = of_unit(&["checkpoint", "list"]).await;
    assert_eq!(listed.lines().count(), before.lines().count() + 1);
    assert!(
        listed.contains(&format!("{id}  18.67340  105.68130  Cầu Bến Thủy")),
        "{listed}"
    );

    let an = world.phone("an").await;
    an.sync_well().await;
    let known = an.colleagues().await.expect("reads");
    assert!(known.values().any(|name| name == "Hà"), "{known:?}");
    // Somebody comes and Hà goes: the checkpoints are as they were, and Hà is offered no more.
    let person = ["--name", "Lan", "--sign-in", "lan", "--role", "officer"];
    of_unit(&[&["person", "add"], &person[..]].concat()).await;
    world
        .server
        .command(&["person", "disable", "--sign-in", "ha"])
        .await;
    assert_eq!(of_unit(&["checkpoint", "list"]).await, listed);
    eventually("An's phone knows who is there now", async || {
        an.sync_well().await;
        let known = an.colleagues().await.expect("reads");
        let is = |name: &str| known.values().any(|known| known == name);
        is("Lan") && !is("Hà")
    })
    .await;
    let known = an.known_people().await.expect("reads");
    assert!(known.values().any(|name| name == "Hà"), "her name stays");
    of_unit(&["checkpoint", "remove", "--checkpoint", id]).await;
    assert_eq!(of_unit(&["checkpoint", "list"]).await, before);
    let id = id.parse().expect("an id");
    eventually("An's phone offers the checkpoint no more", async || {
        an.sync_well().await;
        let offered = an.checkpoints().await.expect("reads");
        !offered.contains_key(&id)
    })
    .await;
    let known = an.known_checkpoints().await.expect("reads");
    assert_eq!(known[&id].name, "Cầu Bến Thủy");
}

#[tokio::test]
async fn who_was_disabled_by_a_slip_is_enabled_and_their_phone_goes_on() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    ha.sync_well().await;
    let of_ha = async |command: &str| {
        let command = ["person", command, "--sign-in", "ha"];
        world.server.command(&command).await
    };
    let known_to_an = async || {
        an.sync_well().await;
        let known = an.colleagues().await.expect("reads");
        known.values().any(|name| name == "Hà")
    };
    of_ha("disable").await;
    let patrol = ha.patrol_called("Ca trong lúc bị khóa nhầm").await;
    let refused = ha.try_sync().await;
    let told = matches!(&refused, Err(PhoneError::SignedOut { word }) if word == "person-disabled");
    assert!(told, "{refused:?}");
    eventually("An is not offered Hà", async || !known_to_an().await).await;
    of_ha("enable").await;
    ha.sync_until(patrol, ItemState::Received).await;
    eventually("An is offered Hà again", known_to_an).await;
}
