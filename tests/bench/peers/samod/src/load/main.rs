//! A load generator that speaks automerge-repo's protocol, for servers that would wait for their official client: the JavaScript
//! one and samod's. It prints one JSON line; how busy the server was is seen from outside.
//!
//! `repo-load upload|download|kill|check|hot URL FILE COUNT CONNECTIONS`
//!
//! `upload` brings what the server may have or not: run again, it is the question whether anything is new. `kill` does the same
//! and says each document as it is acknowledged, until the server dies. `check` fetches and says what is missing.

mod documents;
mod line;
mod traffic;

use documents::{Begins, Held};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use traffic::Outcome;

/// A server that is silent for so long has stalled.
const STALLED: Duration = Duration::from_secs(120);
/// One that has lost a document may say so, or nothing at all.
const LOST: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, url, file, count, connections] = &arguments[..] else {
        panic!("what, URL, file, how many documents, over how many connections");
    };
    let count = count.parse().expect("a number");
    let connections: usize = connections.parse().expect("a number");
    let file = Path::new(file);
    let read = |begins| documents::read(file, count, begins);
    match what.as_str() {
        "upload" => {
            spread(
                url,
                read(Begins::Whole),
                Begins::Whole,
                connections,
                STALLED,
            )
            .await
        }
        "download" => {
            spread(
                url,
                read(Begins::Empty),
                Begins::Empty,
                connections,
                STALLED,
            )
            .await
        }
        "check" => spread(url, read(Begins::Empty), Begins::Empty, connections, LOST).await,
        "kill" => {
            let held = read(Begins::Whole);
            println!("begins");
            let said = |id: &str| println!("{id}");
            let name = "load".to_owned();
            traffic::exchange(url.clone(), name, held, Begins::Whole, STALLED, said).await;
        }
        "hot" => {
            let writer = documents::read(file, 1, Begins::Whole).remove(0);
            let listeners = (0..connections)
                .map(|_| documents::read(file, 1, Begins::Empty).remove(0))
                .collect();
            let times = traffic::hot(url, writer, listeners, count).await;
            println!("{}", json!({ "milliseconds": times }));
        }
        other => panic!("{other}: not a thing to do"),
    }
}

/// Spreads the documents over the connections, waits for all, prints what came of it.
async fn spread(
    url: &str,
    held: Vec<Held>,
    begins: Begins,
    connections: usize,
    patience: Duration,
) {
    let mut shares: Vec<Vec<Held>> = (0..connections).map(|_| Vec::new()).collect();
    for (place, one) in held.into_iter().enumerate() {
        shares[place % connections].push(one);
    }
    let begun = Instant::now();
    let lines: Vec<_> = shares
        .into_iter()
        .enumerate()
        .map(|(number, share)| {
            // Never a name from an earlier run: automerge-repo's server would end the new line when it notices that the old one closed.
            let (url, name) = (
                url.to_owned(),
                format!("load-{}-{number}", std::process::id()),
            );
            tokio::spawn(traffic::exchange(
                url,
                name,
                share,
                begins,
                patience,
                |_| {},
            ))
        })
        .collect();
    let mut all = Outcome::default();
    for line in lines {
        let outcome = line.await.expect("no line panics");
        all.done.extend(outcome.done);
        all.bytes[0] += outcome.bytes[0];
        all.bytes[1] += outcome.bytes[1];
    }
    println!(
        "{}",
        json!({
            "seconds": begun.elapsed().as_secs_f64(), "done": all.done.len(), "names": all.done,
            "up_bytes": all.bytes[0], "down_bytes": all.bytes[1],
        })
    );
}
