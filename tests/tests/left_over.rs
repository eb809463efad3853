//! What phones leave in the server's process once they have gone: no file, no thread, no worker, hardly any memory. In the size of
//! every day; `make bench` asks the same after 10,000 documents and 200 phones.

use kieumau_tests::bench::{
    ours::Ours,
    scale,
    template::{self, Shape},
};
use std::time::{Duration, Instant};

const WARM: usize = 1_000;
const DOCUMENTS: usize = 1_200;
const PHONES: usize = 12;
/// Workers that may wait for the next job.
const POOL: usize = 3;
const SEED: u64 = 20_231_121;
const END_WITHIN: Duration = Duration::from_secs(30);
/// The target of the whole size. Less would ask an allocator for more than it promises.
const LEFT_MB: f64 = 8.0;

#[tokio::test(flavor = "multi_thread")]
async fn phones_that_have_gone_leave_nothing_in_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ours::start(folder.path(), None).await;
    let small = template::several(Shape::Small, 20, SEED);
    // What the ward's own beginning left (passwords cost memory) goes with the first load, and would hide what the second leaves.
    scale::grown(&ours, &small, 0, WARM, DOCUMENTS, PHONES).await;
    let grown = scale::grown(&ours, &small, WARM + DOCUMENTS, 0, DOCUMENTS, PHONES).await;
    println!("{grown:?}");
    // The twin: while they are connected the same look sees each of them.
    let files = grown.during.handles.files - grown.before.handles.files;
    assert!(files >= PHONES, "{files} files for {PHONES} phones");
    // The runtime keeps a thread that read pushes for ten seconds after the last one, and a connection ends when its end is read.
    let (before, gone) = (grown.before.handles, Instant::now());
    let mut left = ours.tree().handles();
    while left.threads > before.threads || left.files > before.files {
        assert!(gone.elapsed() < END_WITHIN, "{left:?} of {before:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        left = ours.tree().handles();
    }
    assert!(grown.after.handles.workers <= POOL);
    // A worker that the warm-up did not need yet may have come since: their number is bounded above, and so is each one's memory.
    let left = grown.after.memory.server_mb - grown.before.memory.server_mb;
    assert!(left <= LEFT_MB, "{left:.1} MB are left");
}
