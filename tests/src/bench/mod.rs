//! What `bin/bench` measures, and what it measures with. It reports ratios to what the machine can do in the same run, and
//! asserts no time: on a shared machine a figure of milliseconds says more about the neighbours than about the code.
//!
//! In reading order: [`size`] is how much is measured, [`table`] a measure and how it is printed. [`template`] makes documents,
//! [`ours`] and [`peer`] are the servers, [`load`] what the peers are driven by, [`burden`] what a server takes from its machine, [`disk`]
//! the raw disk, [`crate::driver`] a lean client for our server; [`relay`] counts bytes. [`upload`] is P1 with P1b, P13 and the peak
//! of P2, [`scale`] the rest of P2, P3 and P4, [`download`] P5 and P8, [`answer`] P6, [`observation`] P7, [`crowd`] P9, [`recording`]
//! P10, [`twins`] P14, [`kills`] F20, and [`hot`] where we lose.

pub mod answer;
pub mod burden;
pub mod crowd;
pub mod disk;
pub mod download;
pub mod hot;
pub mod kills;
pub mod load;
pub mod observation;
pub mod ours;
pub mod peer;
pub mod recording;
pub mod relay;
pub mod scale;
pub mod size;
pub mod table;
pub mod template;
pub mod twins;
pub mod upload;
