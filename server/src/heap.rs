//! How the process keeps its heap: in one arena, and no more of it than it uses.
//!
//! The system's allocator (glibc) gives threads arenas of their own and hands back what was freed only at an arena's end, so a load
//! that wandered over the threads stayed in all of them: 159 MB of heap after 2,200 small documents and 11 MB more with each 1,200;
//! in one arena 28 MB and 1 MB (27 November 2026, a development build; `tests/left_over.rs` finds it). The number of arenas is read
//! before a program begins, so the process starts itself over once with it; another allocator would be one more dependency to trust.
//!
//! It also learns from each large buffer that is freed to keep the next one: after a few pushes read at once 12 MB stayed, or did not,
//! as they had met. So both thresholds are said, and stay.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

/// Read by glibc at the start; others do not know it.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// From so many bytes on a buffer has pages of its own, and so many free ones at the heap's end go back.
const THRESHOLDS: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "262144"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
];

/// Starts the same command over in one arena, unless somebody has said how many. A process that cannot goes on as it is: it needs
/// more memory and is right all the same.
pub fn keep_one_arena(arguments: &[OsString]) {
    let (Some((name, rest)), Ok(program)) = (arguments.split_first(), std::env::current_exe())
    else {
        return;
    };
    // A worker is started by a server, lives for some documents, and has one thread.
    if std::env::var_os(ARENAS).is_some() || rest.first().is_some_and(|word| word == "worker") {
        return;
    }
    let error = Command::new(program)
        .arg0(name)
        .args(rest)
        .env(ARENAS, "1")
        .envs(THRESHOLDS)
        .exec();
    // Nothing logs yet, and the command itself can still be done.
    drop(error);
}
