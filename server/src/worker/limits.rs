//! What a worker may take: address space once, processor time anew for each job. The kernel enforces both, so they hold also
//! over a loop inside a library, and on a machine that is too busy to watch.
//!
//! Processor time and not the clock decides about a change: what took too long on a busy evening may be honest. The pool's
//! deadline by the clock is longer; it is for a worker that sleeps.

use rlimit::{INFINITY, Resource, setrlimit};
use rustix::process::nice;
use rustix::time::{ClockId, clock_gettime};
use std::io;

/// Memory that a worker may map, its own program included.
pub const ADDRESS_SPACE_BYTES: u64 = 256 << 20;
/// Processor seconds that one job may take at most. The kernel counts whole seconds of the process' life, so a job gets
/// more than one and at most two.
pub const JOB_S: u64 = 2;
/// How far a worker steps back behind the server on a machine that has too few cores for both, as `nice` counts: an answer to a phone
/// comes before a page. By the kernel's weights it keeps a quarter of a core against one thread that never rests, a thirteenth against
/// four; the pool's deadline leaves it its processor time even so.
pub const NICE: i32 = 5;

/// Limits for the worker's whole life: memory, and nothing that it has no business with.
///
/// # Errors
/// What the system says: a worker without limits must not work.
pub fn of_process() -> io::Result<()> {
    nice(NICE)?;
    setrlimit(Resource::AS, ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)?;
    // No core file of what an officer wrote, no files, no children.
    setrlimit(Resource::CORE, 0, 0)?;
    setrlimit(Resource::FSIZE, 0, 0)?;
    setrlimit(Resource::NOFILE, 8, 8)
}

/// A new job's processor time: beyond it the kernel ends the process.
///
/// # Errors
/// What the system says.
pub fn of_job() -> io::Result<()> {
    let used_s = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    setrlimit(Resource::CPU, used_s + JOB_S, INFINITY)
}
