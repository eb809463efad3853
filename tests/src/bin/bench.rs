//! `make bench`: prints what the project's table of targets asks for, as ratios to this machine in this run, and writes the same
//! to `target/bench.json`. It reports and never fails because of a time; arguments (`P6 P7 P10`) choose among the measures.

use kieumau_tests::{
    bench::{answer, observation, recording, table::Measure},
    server::Server,
};
use std::path::PathBuf;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |id: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == id);
    // Below `target`, not in the system's temporary folder: that may be memory, which no fdatasync waits for.
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target).expect("the target folder");
    let folder = tempfile::tempdir_in(&target).expect("a folder");
    let server = Server::start(&folder.path().join("server"), None, 0).await;
    let mut measures = Vec::new();
    if wants("P6") {
        report(&mut measures, answer::measure(&server, folder.path()).await);
    }
    if wants("P7") {
        report(
            &mut measures,
            observation::measure(&server, folder.path()).await,
        );
    }
    if wants("P10") {
        report(
            &mut measures,
            recording::measure(&server, folder.path()).await,
        );
    }
    let json: Vec<_> = measures.iter().map(Measure::to_json).collect();
    let json = serde_json::to_vec_pretty(&json).expect("JSON");
    std::fs::write(target.join("bench.json"), json).expect("written");
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn report(all: &mut Vec<Measure>, measures: Vec<Measure>) {
    for measure in &measures {
        println!("{measure}");
    }
    all.extend(measures);
}
