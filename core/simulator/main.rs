//! F19: the real exchange, log, admission, receipts, seals and documents in a seeded virtual world: phones that die and are
//! restored, a line that loses, doubles, delays and cuts, disks that refuse, a server that restarts, a checker that is late. No
//! socket, no clock, no sleep: what happens next is the earliest thing in one queue, and every decision is drawn from one seed.
//!
//! It is a test of this crate and uses nothing of its feature `phone` (`make layers` looks): what it runs of the phone's store and
//! of the server's intake are the functions that these call. `make simulate SEEDS=100000` runs more,
//! `make simulate SEED=n` tells one; a seed that breaks something is shrunk before it is told.

mod bytes;
mod checker;
mod draw;
mod ending;
mod event;
mod feed;
mod guard;
mod incoming;
mod invariant;
mod kept;
mod line;
mod officer;
mod phone;
mod promise;
mod script;
mod server;
mod serving;
mod session;
mod shrink;
mod stored;
mod syncing;
mod trace;
mod trial;
mod world;

use script::Script;
use std::{fmt::Write as _, time::Instant};
use trace::Trace;

/// Worlds of every day.
const SEEDS: u64 = 2_000;
/// Worlds within which a guard that is off must be missed.
const TWIN_SEEDS: u64 = 500;

/// What `variable` says.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(text.parse().expect("a number"))
}

/// The first seed: what `KIEUMAU_SEED` says, or a fresh one.
fn base() -> u64 {
    number("KIEUMAU_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

#[expect(clippy::print_stdout, reason = "a random test prints its seed")]
fn say(what: &str) {
    println!("{what}");
}

#[test]
fn nothing_breaks_in_any_world_and_without_a_guard_something_does() {
    let begun = Instant::now();
    let (base, count) = (base(), number("KIEUMAU_SEEDS").unwrap_or(SEEDS));
    let sum = trial::worlds(base, count, None);
    let took_s = begun.elapsed().as_secs();
    let (found, told) = twins(base);
    let waste = sum.spent as f64 / sum.ideal.max(1) as f64;
    let (worst_seed, worst) = sum.worst;
    say(&format!(
        "F19 seeds={base}..+{count} worlds={} recorded={} violated={} bytes={waste:.2}x worst={worst:.2}x (seed {worst_seed}) \
         days={} took_s={took_s} twins={} found={found}:{told} twins_took_s={}",
        sum.worlds,
        sum.recorded,
        u8::from(sum.broken.is_some()),
        sum.days.len(),
        guard::ALL.len(),
        begun.elapsed().as_secs() - took_s,
    ));
    if !sum.days.is_empty() {
        let some: Vec<u64> = sum.days.iter().take(5).copied().collect();
        say(&format!("F19 quiet only once a day went by: {some:?}"));
    }
    if let Some((seed, violation)) = sum.broken {
        panic!("{}", trial::told(seed, &violation, None));
    }
    assert_eq!(found, guard::ALL.len(), "a guard that is off is not missed");
}

/// How many of the guards are missed when they are off, and how; each within so many worlds.
fn twins(base: u64) -> (usize, String) {
    let mut told = String::new();
    let mut all = 0;
    for (guard, expected) in guard::ALL {
        let sum = trial::worlds(base, TWIN_SEEDS, Some(guard));
        let Some((seed, violation)) = sum.broken else {
            let _ = write!(told, " {guard:?}→nothing");
            continue;
        };
        let found = violation.broken;
        let after = seed.wrapping_sub(base) + 1;
        let _ = write!(told, " {guard:?}→{found:?} after {after}");
        if expected.contains(&found) {
            all += 1;
        } else {
            let _ = write!(told, " (not expected: {})", violation.what);
        }
    }
    (all, told)
}

/// Worlds that broke once, each one of some ten thousand: a phone that died over its last page before the line healed; a first page
/// without its cursor, and then a backup put back; receipts told again in the answer to each push of a phone that had read nothing
/// yet, and asked for in each sync where a colleague's file never comes; a first page read while a refused change waited, then a backup put
/// back; one put back that had lost a revoked phone's first changes with what was said of them; and of backups put back before the seal came that covers what a colleague had read, what builds on it, and a spoilt snapshot's name.
#[test]
fn worlds_that_broke_once_break_no_more() {
    for seed in [
        249_763_171,
        1_496_319_072,
        900_247_582,
        900_018_680,
        900_121_046,
        1_815_123_477,
        2_000_071_319,
        2_000_094_051,
        796_324_693,
        1_461_430_470,
    ] {
        let end = trial::tried(&Script::of(seed), None);
        assert_eq!(end.violation, None, "seed {seed}");
    }
}

#[test]
fn a_world_replays_to_the_byte() {
    let base = base();
    for seed in base..base + 20 {
        let script = Script::of(seed);
        let [first, second] =
            [(); 2].map(|()| world::run(&script, None, Trace::default()).trace.hash());
        assert_eq!(first, second, "seed {seed}");
        let other = world::run(&Script::of(seed + 1), None, Trace::default());
        assert_ne!(first, other.trace.hash(), "seed {seed} and the next");
    }
}

#[test]
fn a_world_that_breaks_shrinks_to_one_that_breaks_the_same() {
    let off = Some(guard::Guard::ServerSync);
    let sum = trial::worlds(base(), SEEDS, off);
    let (seed, violation) = sum.broken.expect("the twin finds it");
    let script = Script::of(seed);
    let small = shrink::shrunk(&script, off, violation.broken);
    assert!(small.events.len() < script.events.len(), "seed {seed}");
    let again = trial::tried(&small, off)
        .violation
        .expect("it still breaks");
    assert_eq!(again.broken, violation.broken, "seed {seed}");
}

/// `make simulate SEED=n`.
#[test]
#[ignore = "tells one world: make simulate SEED=n"]
fn told() {
    let seed = base();
    say(&trial::history(&Script::of(seed), None).join("\n"));
    let end = trial::tried(&Script::of(seed), None);
    if let Some(violation) = end.violation {
        panic!("{}", trial::told(seed, &violation, None));
    }
    say(&format!(
        "seed {seed}: nothing breaks; trace {}",
        end.trace.hash()
    ));
}
