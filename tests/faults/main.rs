//! Faults over real processes and sockets, a file per fault. Each prints one line of figures (`F2 kills=30 … lost=0 doubled=0`)
//! and fails on a wrong one; each has a twin that believes too early, and is found out by the same fault.
//! The server with its guard off stands in `server/src/intake/tests.rs`, inside its own process: a switch in the binary that makes it
//! answer too early would be a back door.
//!
//! `make faults` runs these alone, `LONG=1` in the long size; the phone's own kill test (F1) is `tests/killed.rs`.

mod clock;
mod damaged;
mod disk_full;
mod dossier;
mod network;
mod revoked;
mod server_killed;
mod token;
