//! `kieumau`: the central server and its administration.
//!
//! In reading order: [`app`] is what all share. Towards phones: [`serve`] with [`alone`] and [`tls`], [`enrolment`], [`token`], [`sync`] with [`intake`] and
//! [`committer`], [`attachment`], and [`rescue`] where there was no line; [`live`] says that there is something new. What was stored is understood by [`checker`] with [`worker`] and shown through
//! [`projection`]. The server writes by itself in [`own`], for [`review`] and [`reference`](mod@reference). Towards people:
//! [`session`] and [`pages`]. Proof lies in [`ledger`] and [`audit`],
//! and leaves the house by [`export`]. [`heap`] is how the process keeps its memory.

mod alone;
mod app;
mod attachment;
mod attempt;
mod audit;
mod backed_up;
mod checker;
mod checkpoint;
mod clock;
mod command;
mod committer;
mod database;
mod demo;
mod enrolment;
mod epoch;
mod export;
mod feed;
#[cfg(test)]
mod fixture;
mod gate;
mod heap;
mod insert;
mod intake;
mod keys;
mod ledger;
mod live;
mod own;
mod pages;
mod password;
mod past;
mod person;
mod phone;
mod problem;
mod projection;
mod qr;
mod quarantine;
mod reference;
mod rescue;
mod review;
mod round;
mod row;
mod run;
mod sample;
mod scope;
mod serve;
mod session;
mod snapshot;
mod stored;
mod sync;
mod tls;
mod token;
mod unit;
mod vault;
mod version;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    heap::keep_one_arena(&arguments);
    command::run(arguments)
}
