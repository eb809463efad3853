//! What a server takes from its machine, seen from outside in `/proc`: memory as PSS (what it shares is counted once), processor
//! time, files, threads and children. A server's workers are its children and count with it.

use std::{
    fs,
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Ticks per second of the times in `/proc`: 100 on every Linux this runs on.
const TICKS: f64 = 100.0;

/// A process and its descendants.
#[derive(Clone, Copy, Debug)]
pub struct Tree(pub u32);

/// Memory, in megabytes of PSS.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// The server itself.
    pub server_mb: f64,
    /// Its workers.
    pub workers_mb: f64,
}

impl Memory {
    /// Both.
    #[must_use]
    pub fn whole_mb(self) -> f64 {
        self.server_mb + self.workers_mb
    }
}

/// What may be left over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handles {
    /// Open files of the server.
    pub files: usize,
    /// Threads of the server.
    pub threads: usize,
    /// Worker processes.
    pub workers: usize,
}

impl Tree {
    /// The memory at this moment. Nothing for a process that is gone.
    #[must_use]
    pub fn memory(self) -> Memory {
        Memory {
            server_mb: pss_mb(self.0),
            workers_mb: self.workers().into_iter().map(pss_mb).sum(),
        }
    }

    /// Files, threads and workers at this moment.
    #[must_use]
    pub fn handles(self) -> Handles {
        let entries = |folder: &str| {
            fs::read_dir(format!("/proc/{}/{folder}", self.0)).map_or(0, Iterator::count)
        };
        Handles {
            files: entries("fd"),
            threads: entries("task"),
            workers: self.workers().len(),
        }
    }

    /// Processor time of all of it since it began, workers that ended included.
    #[must_use]
    pub fn busy(self) -> Duration {
        // user, system, and both of children that were waited for.
        let own = stat(self.0).map_or(0.0, |stat| stat.ticks.iter().sum());
        let workers = self.workers().into_iter().filter_map(stat);
        let workers: f64 = workers.map(|stat| stat.ticks[0] + stat.ticks[1]).sum();
        Duration::from_secs_f64((own + workers) / TICKS)
    }

    /// Its descendants.
    fn workers(self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid)?.parent)))
            .collect();
        let mut family = vec![self.0];
        let mut seen = 0;
        while let Some(of) = family.get(seen).copied() {
            family.extend(parents.iter().filter(|(_, p)| *p == of).map(|(pid, _)| pid));
            seen += 1;
        }
        family.split_off(1)
    }
}

struct Stat {
    parent: u32,
    ticks: [f64; 4],
}

/// The fields of `/proc/PID/stat`, whose second one is a name that may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: [ticks(11)?, ticks(12)?, ticks(13)?, ticks(14)?],
    })
}

fn pss_mb(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1_024.0
}

/// Looks at a tree's memory twenty times a second until it is asked for the most it saw.
#[derive(Debug)]
pub struct Watch {
    over: mpsc::Sender<()>,
    looking: JoinHandle<Memory>,
}

impl Watch {
    /// Begins to look.
    #[must_use]
    pub fn on(tree: Tree) -> Self {
        let (over, ends) = mpsc::channel();
        let looking = std::thread::spawn(move || {
            let mut most = Memory::default();
            while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(BETWEEN_LOOKS) {
                let now = tree.memory();
                if now.whole_mb() > most.whole_mb() {
                    most = now;
                }
            }
            most
        });
        Self { over, looking }
    }

    /// The most that was seen at once.
    ///
    /// # Panics
    /// Never: it only reads.
    #[must_use]
    pub fn most(self) -> Memory {
        drop(self.over);
        self.looking.join().expect("it only reads")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_counted_and_one_that_ended_is_not() {
        let own = Tree(std::process::id());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("a child");
        assert!(own.workers().contains(&child.id()));
        assert!(own.memory().server_mb > 0.5);
        assert!(own.handles().threads > 0);
        child.kill().expect("ended");
        child.wait().expect("ended");
        assert!(!own.workers().contains(&child.id()));
    }
}
