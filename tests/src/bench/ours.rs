//! Our own server as it is measured: a fresh ward, two phones on one team, and pushes made and sealed before the clock runs, cut as
//! a phone cuts them.

use super::{
    burden::Tree,
    template::{Author, Made, Template},
};
use crate::{driver::Driver, server::Server};
use kieumau_core::{
    document::Kind,
    id::DocumentId,
    wire::{Pulled, Push, Pushed},
};
use std::{collections::BTreeSet, path::Path, time::Duration};

/// A phone's own limit of one push; that of its bytes is never reached by documents like these.
const PUSH_CHANGES: usize = 2_000;
/// How long a reader rests who found nothing new.
const REST: Duration = Duration::from_millis(20);

/// A server with two people who know each other.
pub struct Ours {
    /// The server.
    pub server: Server,
    /// An's phone.
    pub phone: Driver,
    /// Hà's, who is on An's team.
    pub colleague: Driver,
}

/// A push, ready to go.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its bytes.
    pub body: Vec<u8>,
    /// How many documents it brings, and receipts it asks for.
    pub documents: usize,
}

impl Ours {
    /// Starts one in `folder`, on this PostgreSQL database or on SQLite.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(folder: &Path, database_url: Option<String>) -> Self {
        let mut server = Server::start(folder, database_url, 0).await;
        let phone = Driver::enrol(&server, "an").await;
        let colleague = Driver::enrol(&server, "ha").await;
        // Making the ward hashed passwords, whose memory goes back at some later time and would be counted with the load's.
        server.kill_and_restart().await;
        Self {
            server,
            phone,
            colleague,
        }
    }

    /// Its processes.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree(self.server.process())
    }

    /// So many documents that `phone` wrote with Hà on the team.
    #[must_use]
    pub fn make(&self, templates: &[Template], phone: &Driver, count: usize) -> Vec<Made> {
        let author = Author {
            unit: phone.enrolled.unit,
            person: phone.enrolled.person,
            colleague: self.colleague.enrolled.person,
            phone: phone.enrolled.phone,
        };
        let opening = rand::random();
        templates
            .iter()
            .cycle()
            .take(count)
            .map(|template| template.renamed(author, opening))
            .collect()
    }

    /// Reads as Hà until she has seen so many patrols: then each is checked, a row, and hers to read.
    ///
    /// # Panics
    /// When the server stops answering.
    pub async fn until_read(&self, patrols: usize) {
        let mut seen: BTreeSet<DocumentId> = BTreeSet::new();
        let mut cursor = String::new();
        while seen.len() < patrols {
            let items = self.colleague.try_pull(&cursor).await.expect("a page");
            for item in &items {
                if let Pulled::Document(key) = item {
                    let key = key.key().expect("a key");
                    if key.kind == Kind::PatrolLog {
                        seen.insert(key.document());
                    }
                }
            }
            let Some(Pulled::Cursor(next, more)) = items.last() else {
                panic!("a page ends in a cursor");
            };
            cursor.clone_from(next);
            if !more && seen.len() < patrols {
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// How many of `documents`, all alike, a phone puts into one push.
#[must_use]
pub fn documents_per_push(documents: &[Made]) -> usize {
    let changes = documents.first().map_or(1, |made| made.changes.len());
    (PUSH_CHANGES / changes).max(1)
}

/// The pushes by which `phone` brings `documents`, each document whole, with a seal and the question for a receipt each.
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn pushes(phone: &Driver, documents: &[Made]) -> Vec<Ready> {
    let pushes = documents.chunks(documents_per_push(documents));
    pushes
        .map(|documents| {
            let one = |made: &Made| made.pushed(&phone.key, phone.enrolled.phone);
            let push = Push {
                documents: documents.iter().map(one).collect(),
                receipts: documents.iter().map(Made::receipt).collect(),
                ..Push::default()
            };
            Ready {
                body: minicbor::to_vec(&push).expect("CBOR"),
                documents: documents.len(),
            }
        })
        .collect()
}

/// Sends what is ready, one after the other, as one phone does.
///
/// # Panics
/// When a change is not taken or a receipt is missing: a fast refusal is no figure.
pub async fn send(phone: &Driver, ready: &[Ready]) {
    for push in ready {
        let (status, answer) = phone.send(push.body.clone()).await;
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&answer)
        );
        let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
        assert_eq!(pushed.changes, [], "every change was taken");
        assert_eq!(pushed.receipts.len(), push.documents, "with its receipt");
    }
}
