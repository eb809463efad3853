//! The last word after a fault: what the server exports is verified by a program that does not ask it.

use kieumau_core::id::DocumentId;
use kieumau_tests::{built, world::World};

/// A dossier of the patrol, with its seals, receipts and proofs of the log, holds.
pub async fn proven(world: &World, patrol: DocumentId) {
    let file = world.folder().join(format!("{patrol}.kmd"));
    let (id, path) = (patrol.to_string(), file.to_str().expect("text"));
    world
        .server
        .command(&["export", "patrol", &id, "-o", path])
        .await;
    let verified = tokio::process::Command::new(built::server())
        .arg("verify")
        .arg(&file)
        .output()
        .await
        .expect("it starts");
    let words = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{words}");
}
