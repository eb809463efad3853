//! What `bin/bench` measures, and what it measures with. It reports ratios to what the machine can do in the same run, and
//! asserts no time: on a shared machine a figure of milliseconds says more about the neighbours than about the code.
//!
//! In reading order: [`table`] is a measure and how it is printed, [`disk`] the raw disk beside which all is timed, [`crate::driver`]
//! a lean client for the server's side, [`relay`] counts bytes. [`answer`] is P6, [`observation`] P7, [`recording`] P10.

pub mod answer;
pub mod disk;
pub mod observation;
pub mod recording;
pub mod relay;
pub mod table;
