//! Worker processes: the only place where what a change *says* is read. The same binary, started as `kieumau worker`, with a limit
//! on its memory, and a deadline on each job that its parent enforces by killing it.
//!
//! Hostile bytes can make a document that never loads again, take gigabytes, or abort a process; so it is this process that
//! is lost and not the server. Jobs and answers travel over the pipe as CBOR after their length.

mod job;
mod pool;
mod sense;

pub use job::{
    Answer, Bytes, CheckJob, Checked, Edit, EditJob, Edited, Job, Saved, SnapshotJob, run,
};
pub use pool::{WorkerError, Workers};
