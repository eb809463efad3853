//! Trials: many worlds one after the other on each core, and what is said about them.

use crate::{
    guard::{Broken, Guard, Violation},
    script::Script,
    shrink::shrunk,
    trace::Trace,
    world::{self, End},
};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a row of worlds came to.
#[derive(Default)]
pub struct Sum {
    /// The first world that broke something.
    pub broken: Option<(u64, Violation)>,
    pub worlds: u64,
    pub recorded: usize,
    pub spent: usize,
    pub ideal: usize,
    /// Seeds of worlds that got quiet only after a day, the first few.
    pub days: Vec<u64>,
    /// The seed of the world that wasted most, and how many bytes for each that had to travel.
    pub worst: (u64, f64),
}

impl Sum {
    fn add(&mut self, seed: u64, end: End) {
        self.worlds += 1;
        self.recorded += end.recorded;
        self.spent += end.spent;
        self.ideal += end.ideal;
        if end.took_a_day {
            self.days.push(seed);
        }
        let ratio = end.spent as f64 / end.ideal.max(1) as f64;
        if ratio > self.worst.1 {
            self.worst = (seed, ratio);
        }
        let first = self.broken.as_ref().is_none_or(|(known, _)| seed < *known);
        if let (Some(violation), true) = (end.violation, first) {
            self.broken = Some((seed, violation));
        }
    }
}

/// Runs the worlds of these seeds, one after the other on each core, until one breaks something.
pub fn worlds(base: u64, count: u64, off: Option<Guard>) -> Sum {
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    // How many cores this process may use, not how many there are.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let found = sum.lock().expect("nobody panics with it").broken.is_some();
                    if number >= count || found {
                        return;
                    }
                    let seed = base.wrapping_add(number);
                    let end = tried(&Script::of(seed), off);
                    sum.lock().expect("nobody panics with it").add(seed, end);
                }
            });
        }
    });
    sum.into_inner().expect("nobody panics with it")
}

/// Runs one world. One in which something panics breaks something, like another.
pub fn tried(script: &Script, off: Option<Guard>) -> End {
    let quiet = Quiet::new();
    let end = catch_unwind(AssertUnwindSafe(|| {
        world::run(script, off, Trace::default())
    }));
    drop(quiet);
    end.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        End {
            violation: Some(Violation {
                broken: Broken::Panicked,
                what: text.unwrap_or_default().to_owned(),
            }),
            took_a_day: false,
            trace: Trace::default(),
            spent: 0,
            ideal: 0,
            recorded: 0,
        }
    })
}

/// A world that broke something, made smaller and told: its script, then what happened.
pub fn told(seed: u64, violation: &Violation, off: Option<Guard>) -> String {
    let script = shrunk(&Script::of(seed), off, violation.broken);
    let mut lines = vec![
        format!("seed {seed}: {:?}: {}", violation.broken, violation.what),
        format!("again: make simulate SEED={seed}"),
        format!(
            "shrunk to {} events, {} phones, {:?}, heals at {}:",
            script.events.len(),
            script.phones,
            script.weather,
            script.heals_at
        ),
    ];
    let events = script.events.iter();
    lines.extend(
        events.map(|event| format!("{:>8} {:?} phone {}", event.at, event.what, event.phone)),
    );
    lines.push("what happens:".to_owned());
    lines.extend(history(&script, off));
    lines.join("\n")
}

/// What happens in a world, and how it ends.
pub fn history(script: &Script, off: Option<Guard>) -> Vec<String> {
    let quiet = Quiet::new();
    let end = catch_unwind(AssertUnwindSafe(|| world::run(script, off, Trace::kept())));
    drop(quiet);
    let Ok(end) = end else {
        return vec!["it panics".to_owned()];
    };
    let mut lines = end.trace.lines().to_vec();
    lines.push(match end.violation {
        Some(violation) => format!("{:?}: {}", violation.broken, violation.what),
        None => "all holds".to_owned(),
    });
    lines
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, a panic of this thread is not printed: it is reported as what it is.
struct Quiet;

impl Quiet {
    fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !QUIET.get() {
                    before(info);
                }
            }));
        });
        QUIET.set(true);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(false);
    }
}
