//! Worker processes: the only place where what a change *says* is read. The same binary, started as `kieumau worker`, with limits
//! on its memory and processor time that the kernel enforces, and a deadline that its parent enforces by killing it.
//!
//! Hostile bytes can make a document that never loads again, take gigabytes, or abort a process; so it is this process that
//! is lost and not the server. Jobs and answers travel over the pipe as CBOR after their length: jobs together in one message, each
//! answer in one of its own, so that what killed a worker is known and what it did before is not lost.

mod job;
mod limits;
mod past;
mod pointing;
mod pool;
mod reading;
mod sense;

pub use job::{
    Answer, Bytes, CheckJob, Checked, Edit, EditJob, Edited, Job, Saved, SnapshotJob, run,
};
pub use past::PastJob;
pub use pool::{Patience, WorkerError, Workers};
