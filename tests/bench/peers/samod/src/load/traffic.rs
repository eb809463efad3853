//! What clients do: bring the documents they hold, fetch those whose names they know, wait for a hot one.

use crate::{
    documents::{Begins, Held, sorted},
    line::{Heard, Line},
};
use automerge::{ROOT, transaction::Transactable as _};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Documents under way at once on one line: enough that the server never waits for the client.
const WINDOW: usize = 64;

/// What came of one line.
#[derive(Default)]
pub struct Outcome {
    /// Documents that got to where they should.
    pub done: Vec<String>,
    /// Bytes of messages up and down.
    pub bytes: [u64; 2],
}

/// Exchanges `held` over one line until both sides have all, the line dies, or nothing is heard for longer than `patience`. Says each name as it is done.
pub async fn exchange(
    url: String,
    name: String,
    mut held: Vec<Held>,
    begins: Begins,
    patience: Duration,
    done: impl Fn(&str) + Send,
) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(mut line) = Line::join(&url, &name).await else {
        return outcome;
    };
    let places: HashMap<String, usize> = held
        .iter()
        .enumerate()
        .map(|(place, held)| (held.id.clone(), place))
        .collect();
    let kind = if begins == Begins::Whole {
        "sync"
    } else {
        "request"
    };
    let (mut begun, mut ended) = (0, 0);
    while ended < held.len() {
        while begun < held.len() && begun - ended < WINDOW {
            let first = held[begun].first.take().expect("it was not begun before");
            if line.send(kind, &held[begun].id, &first).await.is_none() {
                return outcome;
            }
            begun += 1;
        }
        if line.flush().await.is_none() {
            return outcome;
        }
        let Ok(Some(heard)) = tokio::time::timeout(patience, line.next()).await else {
            return outcome;
        };
        let (document, data) = match heard {
            Heard::Sync { document, data } => (document, data),
            Heard::Unavailable => {
                ended += 1;
                continue;
            }
        };
        let one = &mut held[places[&document]];
        let was = is_done(one, begins);
        one.hear(&data);
        if let Some(reply) = one.reply()
            && line.send("sync", &document, &reply).await.is_none()
        {
            return outcome;
        }
        if !was && is_done(one, begins) {
            done(&document);
            outcome.done.push(document);
            ended += 1;
        }
        outcome.bytes = [line.up_bytes, line.down_bytes];
    }
    // The last replies: a client that goes without them would be asked again.
    let _ = line.flush().await;
    outcome
}

fn is_done(held: &Held, begins: Begins) -> bool {
    match begins {
        Begins::Whole => held.is_acknowledged(),
        Begins::Empty => held.is_whole(),
    }
}

/// One document that everybody has open: milliseconds from a change at the writer until the last of the listeners has it.
pub async fn hot(url: &str, mut writer: Held, listeners: Vec<Held>, rounds: usize) -> Vec<f64> {
    let count = listeners.len();
    let id = writer.id.clone();
    let (heard, mut hears) = mpsc::unbounded_channel();
    for (number, mut held) in listeners.into_iter().enumerate() {
        let (url, heard) = (url.to_owned(), heard.clone());
        tokio::spawn(async move {
            let mut line = Line::join(&url, &format!("listener-{number}"))
                .await
                .expect("joins");
            let first = held.first.take().expect("new");
            line.send("request", &held.id, &first).await.expect("sent");
            loop {
                line.flush().await.expect("sent");
                let Some(Heard::Sync { data, .. }) = line.next().await else {
                    return;
                };
                held.hear(&data);
                if heard.send(sorted(held.document.get_heads())).is_err() {
                    return;
                }
                if let Some(reply) = held.reply() {
                    line.send("sync", &held.id, &reply).await.expect("sent");
                }
            }
        });
    }
    let mut line = Line::join(url, "writer").await.expect("joins");
    let first = writer.first.take().expect("new");
    line.send("sync", &id, &first).await.expect("sent");
    line.flush().await.expect("sent");
    let mut times = Vec::new();
    let mut wanted = writer.heads.clone();
    let mut begun = Instant::now();
    let mut arrived = 0;
    // The first round is everybody's first sync, and no figure.
    while times.len() <= rounds {
        tokio::select! {
            said = line.next() => {
                let Some(Heard::Sync { data, .. }) = said else { panic!("the server left") };
                writer.hear(&data);
            }
            Some(heads) = hears.recv() => arrived += usize::from(heads == wanted),
        }
        if arrived >= count {
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
            let mut change = writer.document.transaction();
            change
                .put(ROOT, "title", format!("Ca đêm {}", times.len()))
                .expect("written");
            change.commit();
            wanted = sorted(writer.document.get_heads());
            arrived = 0;
            begun = Instant::now();
        }
        if let Some(reply) = writer.reply() {
            line.send("sync", &id, &reply).await.expect("sent");
        }
        line.flush().await.expect("sent");
    }
    times.remove(0);
    times
}
