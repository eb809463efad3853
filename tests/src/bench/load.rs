//! Load on the peers: the same documents, by generators that speak their protocols because the official clients would be what is
//! waited for. automerge-repo and samod get `repo-load` (a process of its own, Automerge's sync protocol in websocket messages);
//! PouchDB gets the requests of its replication (`_revs_diff`, `_bulk_docs` with `new_edits: false`; `_changes`, `_bulk_get`).

use super::{
    peer::{Peer, Running, cargo_peer},
    template::Made,
};
use kieumau_core::hash::Sha256;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
    process::Output,
    time::Instant,
};

/// Documents in one request of PouchDB's replication, its default.
const BATCH: usize = 100;

/// Documents in the peers' own form.
#[derive(Debug)]
pub struct Cargo {
    /// For automerge-repo and samod.
    file: PathBuf,
    /// For PouchDB, with a revision each.
    json: Vec<Value>,
    /// How many.
    pub count: usize,
}

/// What came of a load.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Loaded {
    /// How long it took.
    pub seconds: f64,
    /// Documents that arrived.
    pub done: usize,
    /// The names of those, when it was a check.
    #[serde(default)]
    pub names: Vec<String>,
    /// Bytes of bodies or messages, up.
    pub up_bytes: u64,
    /// And down.
    pub down_bytes: u64,
}

impl Cargo {
    /// Writes `documents` down in `folder` for the peers.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn of(documents: &[Made], folder: &Path) -> Self {
        let mut sequence = minicbor::Encoder::new(Vec::new());
        let mut json = Vec::with_capacity(documents.len());
        for made in documents {
            let saved = made.document().save();
            let id = made.key.document();
            sequence
                .array(2)
                .and_then(|e| e.bytes(id.as_bytes())?.bytes(&saved))
                .expect("writing to memory does not fail");
            let mut record = made.json();
            let hash = hex::encode(&Sha256::of(record.to_string().as_bytes()).as_bytes()[..16]);
            record["_rev"] = format!("1-{hash}").into();
            record["_revisions"] = json!({ "start": 1, "ids": [hash] });
            json.push(record);
        }
        let file = folder.join(format!("documents-{:016x}", rand::random::<u64>()));
        std::fs::write(&file, sequence.into_writer()).expect("written");
        Self {
            file,
            json,
            count: documents.len(),
        }
    }

    /// Some of them, in a file of their own.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn part(&self, places: Range<usize>, folder: &Path) -> Self {
        let bytes = std::fs::read(&self.file).expect("it was written");
        let mut d = minicbor::Decoder::new(&bytes);
        let mut ends = vec![0];
        for _ in 0..places.end {
            d.skip().expect("an item");
            ends.push(d.position());
        }
        let file = folder.join(format!("documents-{:016x}", rand::random::<u64>()));
        std::fs::write(&file, &bytes[ends[places.start]..ends[places.end]]).expect("written");
        Self {
            file,
            count: places.len(),
            json: self.json[places].to_vec(),
        }
    }

    /// Where they lie for `repo-load`.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Brings so many of them over so many connections; what the server has already is told apart and not sent again.
    ///
    /// # Panics
    /// When the server does not take them.
    pub async fn upload(
        &self,
        peer: Peer,
        server: &Running,
        count: usize,
        connections: usize,
    ) -> Loaded {
        let loaded = match peer {
            Peer::Repo | Peer::Samod => {
                repo_load("upload", &server.url, &self.file, count, connections).await
            }
            Peer::Pouch => self.replicate_to(&server.url, count, connections).await,
        };
        assert_eq!(loaded.done, count, "{} took them all", peer.name());
        loaded
    }

    /// Fetches so many of them as a client that has none and knows their names (PouchDB: that reads the feed of changes).
    ///
    /// # Panics
    /// When some do not come.
    pub async fn download(&self, peer: Peer, server: &Running, count: usize) -> Loaded {
        let loaded = match peer {
            Peer::Repo | Peer::Samod => {
                repo_load("download", &server.url, &self.file, count, 1).await
            }
            Peer::Pouch => replicate_from(&server.url).await,
        };
        assert_eq!(loaded.done, count, "{} gave them all", peer.name());
        loaded
    }

    /// Puts one record after the other into PouchDB and notes the name of each that was answered.
    ///
    /// # Panics
    /// When the server refuses one.
    pub async fn put_one_by_one(&self, server: &Running, answered: &mut Vec<String>) {
        let http = reqwest::Client::new();
        let url = format!("{}patrols", server.url);
        http.put(&url).send().await.expect("an answer");
        for record in &self.json {
            let (_, body) = bodies(std::slice::from_ref(record));
            post(
                &http,
                &format!("{url}/_bulk_docs"),
                &body,
                &mut Loaded::default(),
            )
            .await;
            answered.push(record["_id"].as_str().unwrap_or_default().to_owned());
        }
    }

    /// Which of these records PouchDB has.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn there(&self, server: &Running, names: &[String]) -> BTreeSet<String> {
        let http = reqwest::Client::new();
        let body = json!({ "keys": names }).to_string();
        let url = format!("{}patrols/_all_docs", server.url);
        let all = post(&http, &url, &body, &mut Loaded::default()).await;
        let all: Value = serde_json::from_slice(&all).expect("JSON");
        let rows = all["rows"].as_array().into_iter().flatten();
        rows.filter_map(|row| Some(row["id"].as_str()?.to_owned()))
            .collect()
    }

    async fn replicate_to(&self, url: &str, count: usize, connections: usize) -> Loaded {
        let http = reqwest::Client::new();
        let url = format!("{url}patrols");
        // A database that is there already is no error.
        http.put(&url).send().await.expect("an answer");
        let batches: Vec<(String, String)> = self.json[..count]
            .chunks(BATCH.min(count.div_ceil(connections)))
            .map(bodies)
            .collect();
        let begun = Instant::now();
        let shares = batches.chunks(batches.len().div_ceil(connections));
        let sending = shares.map(async |share| {
            let mut loaded = Loaded::default();
            for (diff, docs) in share {
                let missing = post(&http, &format!("{url}/_revs_diff"), diff, &mut loaded).await;
                let missing: Value = serde_json::from_slice(&missing).expect("JSON");
                loaded.done += diff.matches("\":[").count();
                if missing
                    .as_object()
                    .is_some_and(|missing| !missing.is_empty())
                {
                    let refused =
                        post(&http, &format!("{url}/_bulk_docs"), docs, &mut loaded).await;
                    assert_eq!(refused.trim_ascii(), b"[]", "nothing was refused");
                }
            }
            loaded
        });
        let shares = futures_util::future::join_all(sending).await;
        let mut all = Loaded {
            seconds: begun.elapsed().as_secs_f64(),
            ..Loaded::default()
        };
        for share in shares {
            all.done += share.done;
            all.up_bytes += share.up_bytes;
            all.down_bytes += share.down_bytes;
        }
        all
    }
}

/// The two bodies that replicate a batch.
fn bodies(batch: &[Value]) -> (String, String) {
    let revisions = batch.iter().map(|record| {
        (
            record["_id"].as_str().unwrap_or_default().to_owned(),
            json!([record["_rev"]]),
        )
    });
    let diff = Value::Object(revisions.collect()).to_string();
    (
        diff,
        json!({ "docs": batch, "new_edits": false }).to_string(),
    )
}

async fn replicate_from(url: &str) -> Loaded {
    let http = reqwest::Client::new();
    let url = format!("{url}patrols");
    let mut loaded = Loaded::default();
    let begun = Instant::now();
    let mut since = json!(0);
    loop {
        let page = format!("{url}/_changes?style=all_docs&limit={BATCH}&since={since}");
        let page = http.get(page).send().await.expect("an answer");
        let page = page.bytes().await.expect("whole");
        loaded.down_bytes += page.len() as u64;
        let page: Value = serde_json::from_slice(&page).expect("JSON");
        let results = page["results"].as_array().expect("results");
        if results.is_empty() {
            break;
        }
        let wanted: Vec<Value> = results
            .iter()
            .map(|change| json!({ "id": change["id"], "rev": change["changes"][0]["rev"] }))
            .collect();
        let body = json!({ "docs": wanted }).to_string();
        let got = post(
            &http,
            &format!("{url}/_bulk_get?revs=true&latest=true"),
            &body,
            &mut loaded,
        )
        .await;
        let got: Value = serde_json::from_slice(&got).expect("JSON");
        loaded.done += got["results"].as_array().map_or(0, Vec::len);
        since = page["last_seq"].clone();
    }
    loaded.seconds = begun.elapsed().as_secs_f64();
    loaded
}

async fn post(http: &reqwest::Client, url: &str, body: &str, loaded: &mut Loaded) -> Vec<u8> {
    let request = http.post(url).header("content-type", "application/json");
    let answer = request
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    let answer = answer.bytes().await.expect("whole").to_vec();
    loaded.up_bytes += body.len() as u64;
    loaded.down_bytes += answer.len() as u64;
    answer
}

/// Runs the generator to its end.
///
/// # Panics
/// When it fails.
pub async fn repo_load(
    what: &str,
    url: &str,
    file: &Path,
    count: usize,
    connections: usize,
) -> Loaded {
    serde_json::from_value(repo_load_json(what, url, file, count, connections).await)
        .expect("its figures")
}

/// The same, its figures as they are.
///
/// # Panics
/// When it fails.
pub async fn repo_load_json(
    what: &str,
    url: &str,
    file: &Path,
    count: usize,
    connections: usize,
) -> Value {
    let out = tokio::process::Command::new(cargo_peer("repo-load"))
        .args([what, url])
        .arg(file)
        .args([count.to_string(), connections.to_string()])
        .output()
        .await
        .expect("the generator starts");
    figures(&out)
}

/// The one JSON line that a program printed.
///
/// # Panics
/// When it failed.
#[must_use]
pub fn figures(out: &Output) -> Value {
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("one JSON line")
}
