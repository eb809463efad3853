//! What a server would be without workers: it reads changes from its input (each after its length, 32 bits little-endian), has
//! Automerge load them without any limit, saves the document and loads it again. Watched from outside; the twin of F9.

use automerge::{Automerge, Change};
use std::io::{Read as _, stdin};

#[expect(
    clippy::disallowed_methods,
    reason = "this is what must not be done in the server's process, done to show it"
)]
fn main() {
    let mut bytes = Vec::new();
    let read = stdin().lock().read_to_end(&mut bytes);
    let mut left = bytes.as_slice();
    let mut changes = Vec::new();
    while let Some((length, rest)) = left.split_at_checked(4) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some((change, rest)) = rest.split_at_checked(length) else {
            break;
        };
        left = rest;
        if let Ok(change) = Change::from_bytes(change.to_vec()) {
            changes.push(change);
        }
    }
    let mut document = Automerge::new();
    let applied = read.is_ok() && document.apply_changes(changes).is_ok();
    // A document that was saved and does not load again is lost.
    let good = applied && Automerge::load(&document.save()).is_ok();
    std::process::exit(i32::from(!good));
}
