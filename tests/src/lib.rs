//! Real phones, a real server, real sockets. [`World`](world::World) is a server on port 0 and phones in temporary folders, each
//! behind a signal that can be off; `bin/phone` is a phone as a process of its own, to be killed; `bin/demo` tells the story;
//! `bin/bench` measures, with what stands in [`bench`].

pub mod bench;
pub mod built;
pub mod desk;
pub mod disk;
pub mod driver;
pub mod fault;
pub mod meddler;
pub mod process;
pub mod server;
pub mod signal;
pub mod traffic;
pub mod trial;
pub mod world;
