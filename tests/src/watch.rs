//! Looks at processes from outside while they work: what memory they took at most, and what they may take.
//!
//! `/proc` is asked again and again, because who is killed takes its figures along; a peak between two looks is missed, the
//! kernel's own high-water marks are not.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(3);

/// What was seen of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Most memory that it ever mapped, KiB.
    pub mapped_kib: u64,
    /// Most memory that was ever resident, KiB.
    pub resident_kib: u64,
    /// Memory that it may map, KiB; none without a limit.
    pub may_map_kib: Option<u64>,
    /// Processor seconds that it may take in its life; none without a limit.
    pub may_take_s: Option<u64>,
    /// Processor time that it took, milliseconds.
    pub took_ms: u64,
    /// How far it steps back behind others, as `nice` counts.
    pub nice: i64,
}

/// Watches the children of a process until it is ended.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<BTreeMap<u32, Seen>>>,
    ended: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the children of `parent`.
    #[must_use]
    pub fn children_of(parent: u32) -> Self {
        let seen = Arc::<Mutex<BTreeMap<u32, Seen>>>::default();
        let ended = Arc::<AtomicBool>::default();
        let (into, end) = (Arc::clone(&seen), Arc::clone(&ended));
        #[expect(
            clippy::disallowed_methods,
            reason = "nobody tells when another process' memory grew"
        )]
        let looking = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for child in children(parent) {
                    if let (Some(now), Ok(mut seen)) = (look(child), into.lock()) {
                        // What a dead one leaves says less than what was seen of it.
                        if now.mapped_kib > 0 {
                            seen.insert(child, now);
                        }
                    }
                }
                std::thread::sleep(LOOK);
            }
        });
        Self {
            seen,
            ended,
            looking: Some(looking),
        }
    }

    /// What was seen, by process.
    ///
    /// # Panics
    /// When looking failed.
    #[must_use]
    pub fn end(mut self) -> BTreeMap<u32, Seen> {
        self.ended.store(true, Ordering::Relaxed);
        self.looking
            .take()
            .expect("ended once")
            .join()
            .expect("looking does not panic");
        self.seen.lock().expect("nobody looks any more").clone()
    }
}

/// The children of a process, of all its threads.
fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            let ids = list.split_whitespace().filter_map(|id| id.parse().ok());
            ids.collect::<Vec<u32>>()
        })
        .collect()
}

/// What is to be seen of a process now; none if it is gone.
#[must_use]
pub fn look(process: u32) -> Option<Seen> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything: user and system time are the 12th and 13th, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Some(Seen {
        mapped_kib: of("VmPeak:").unwrap_or(0),
        resident_kib: of("VmHWM:").unwrap_or(0),
        may_map_kib: limit("Max address space").map(|bytes| bytes / 1024),
        may_take_s: limit("Max cpu time"),
        took_ms: ticks * 10,
        nice: fields.split_whitespace().nth(16)?.parse().ok()?,
    })
}

/// Memory that is the process' own, and its share of what it shares, KiB.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn pss_kib(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("the kernel says it")
}
