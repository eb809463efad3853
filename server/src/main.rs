//! `kieumau`: the central server and its administration.

mod app;
mod attachment;
mod attempt;
mod audit;
mod checker;
mod clock;
mod committer;
mod database;
mod enrolment;
mod feed;
#[cfg(test)]
mod fixture;
mod intake;
mod keys;
mod ledger;
mod own;
mod password;
mod person;
mod phone;
mod problem;
mod projection;
mod reference;
mod review;
mod row;
mod session;
mod stored;
mod sync;
mod token;
mod unit;
mod vault;
mod worker;

fn main() {}
