//! The shared core of Kiểu Mẫu: what an officer records, how it becomes changes of documents, and how it is proven and carried.
//!
//! In reading order: [`id`], [`hash`], [`invalid`], [`position`] and [`stamp`] are the small words. The nouns of the work are
//! [`patrol`], [`observation`], [`track`], [`evidence`], [`attachment`], [`review`], [`catalogue`], [`criterion`], [`period`],
//! [`person`] and [`reference`](mod@reference). [`document`] makes them Automerge documents; [`header`], [`seal`], [`log`] and
//! [`receipt`] prove who said what, [`dossier`] to anyone and without a server; [`wire`], [`outbox`], [`inbox`] and [`exchange`] carry it ([`live`] says when there is something) to the server that [`pin`] tells from others, [`rescue`] where there is no line. With the feature `phone`, the module `phone` keeps it
//! in an encrypted file and talks to the server. Nothing outside `phone` reads a disk, a clock or a socket.

pub mod attachment;
pub mod backed_up;
pub mod catalogue;
pub mod code;
pub mod criterion;
pub mod document;
pub mod dossier;
pub mod enrolment;
pub mod evidence;
pub mod exchange;
pub mod hash;
pub mod header;
pub mod id;
pub mod inbox;
pub mod invalid;
pub mod jws;
pub mod live;
pub mod log;
pub mod observation;
pub mod outbox;
pub mod patrol;
pub mod period;
pub mod person;
#[cfg(feature = "phone")]
pub mod phone;
pub mod pin;
pub mod position;
pub mod problem;
pub mod receipt;
pub mod reference;
pub mod rescue;
pub mod review;
pub mod seal;
pub mod stamp;
pub mod token;
pub mod track;
pub mod track_file;
mod unprinted;
pub mod wire;
