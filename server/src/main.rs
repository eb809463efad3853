//! `kieumau`: the central server and its administration.

mod app;
mod attempt;
mod audit;
mod clock;
mod database;
mod enrolment;
#[cfg(test)]
mod fixture;
mod keys;
mod pages;
mod password;
mod person;
mod phone;
mod problem;
mod review;
mod row;
mod session;
mod token;
mod unit;
mod vault;

fn main() {}
