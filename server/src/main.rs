//! `kieumau`: the central server and its administration.

mod app;
mod audit;
mod clock;
mod database;
mod keys;
mod problem;
mod session;
mod vault;

fn main() {}
