//! `make bench`: prints what the project's table of targets asks for, as ratios in this run, and writes the same to
//! `target/bench.json`. It reports and never fails because of a time; arguments (`P1 P6 F20 lose`) choose among the measures.

use kieumau_tests::{
    bench::{
        answer, crowd, download, hot, kills, observation,
        peer::Peer,
        recording, scale,
        size::Size,
        table::Measure,
        template::{self, Shape},
        twins, upload,
    },
    server::Server,
    trial,
};
use std::path::{Path, PathBuf};

/// Different contents among a run's documents.
const TEMPLATES: usize = 200;
/// The same contents in every run.
const SEED: u64 = 20_231_121;

/// What needs the peers, or the documents that they share with ours.
const AGAINST_PEERS: [&str; 12] = [
    "P1", "P1b", "P2", "P3", "P4", "P5", "P8", "P9", "P13", "P14", "F20", "lose",
];

struct Run {
    wanted: Vec<String>,
    target: PathBuf,
    measures: Vec<Measure>,
}

#[tokio::main]
async fn main() {
    // Below `target`, not in the system's temporary folder: that may be memory, which no fdatasync waits for.
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target).expect("the target folder");
    let folder = tempfile::tempdir_in(&target).expect("a folder");
    let mut run = Run {
        wanted: std::env::args().skip(1).collect(),
        target,
        measures: Vec::new(),
    };
    run.beside_the_machine(folder.path()).await;
    if run.wants(&AGAINST_PEERS) {
        run.against_peers(folder.path(), Size::asked()).await;
    }
}

impl Run {
    /// Whether one of these is asked for.
    fn wants(&self, ids: &[&str]) -> bool {
        self.wanted.is_empty()
            || self
                .wanted
                .iter()
                .any(|wanted| ids.contains(&wanted.as_str()))
    }

    async fn against_peers(&mut self, folder: &Path, size: Size) {
        say(
            "an answer promises: ours, that it is on the disk, in the signed log, with a signed receipt",
        );
        for peer in Peer::ALL {
            say(&format!("  {}: {}", peer.name(), peer.promises()));
        }
        let made = |shape, ids: &[&str]| {
            let count = if self.wants(ids) {
                TEMPLATES.min(size.documents / 4)
            } else {
                0
            };
            template::several(shape, count, SEED)
        };
        let templates = made(Shape::Patrol, &["P1", "P1b", "P2", "P3", "P4", "P8", "P13"]);
        let small = made(
            Shape::Small,
            &["P2", "P3", "P5", "P9", "P14", "F20", "lose"],
        );
        if self.wants(&["P1", "P1b", "P2", "P13"]) {
            self.report(upload::measure(folder, size, &templates).await);
        }
        if self.wants(&["P2", "P3"]) {
            self.report(scale::measure(folder, size, &small).await);
        }
        if self.wants(&["P3", "P4"]) {
            self.report(scale::larger(folder, size, &templates).await);
        }
        if self.wants(&["P5"]) {
            self.report(download::nothing_new(folder, size, &small).await);
        }
        if self.wants(&["P8"]) {
            self.report(download::measure(folder, size, &templates).await);
        }
        if self.wants(&["P9"]) {
            self.report(crowd::measure(folder, size, &small).await);
        }
        if self.wants(&["P14"]) {
            match std::env::var("KIEUMAU_TEST_POSTGRES") {
                Ok(url) => self.report(twins::measure(folder, size, &url, &small).await),
                Err(_) => say("P14  NOT RUN: KIEUMAU_TEST_POSTGRES names no PostgreSQL"),
            }
        }
        if self.wants(&["F20"]) {
            self.report(kills::measure(folder, size, &small, trial::seed()).await);
        }
        if self.wants(&["lose"]) {
            self.report(hot::measure(folder, size, &small).await);
        }
    }

    async fn beside_the_machine(&mut self, folder: &Path) {
        if !self.wants(&["P6", "P7", "P10"]) {
            return;
        }
        let server = Server::start(&folder.join("server"), None, 0).await;
        if self.wants(&["P6"]) {
            self.report(answer::measure(&server, folder).await);
        }
        if self.wants(&["P7"]) {
            self.report(observation::measure(&server, folder).await);
        }
        if self.wants(&["P10"]) {
            self.report(recording::measure(&server, folder).await);
        }
    }

    /// Prints them and writes all so far: a run that is broken off leaves what it had.
    fn report(&mut self, measures: Vec<Measure>) {
        for measure in &measures {
            say(&measure.to_string());
        }
        self.measures.extend(measures);
        let json: Vec<_> = self.measures.iter().map(Measure::to_json).collect();
        let json = serde_json::to_vec_pretty(&json).expect("JSON");
        std::fs::write(self.target.join("bench.json"), json).expect("written");
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn say(line: &str) {
    println!("{line}");
}
