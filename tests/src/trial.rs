//! How long a random trial is, from which seed it starts, and that a test could not run here. `make test` runs each in the size of every day, `make faults LONG=1`
//! in the long one; a variable of its own sets either. What failed is run again by the seed it printed.

/// How often: what `variable` says, else `daily`, or `long` under `KIEUMAU_LONG`.
///
/// # Panics
/// When the variable holds no number.
#[must_use]
pub fn size(variable: &str, daily: u64, long: u64) -> u64 {
    let otherwise = if std::env::var_os("KIEUMAU_LONG").is_some() {
        long
    } else {
        daily
    };
    number(variable).unwrap_or(otherwise)
}

/// The seed: what `KIEUMAU_SEED` says, or a fresh one. Printed, so that the same trial can be had again.
///
/// # Panics
/// When the variable holds no number.
#[expect(clippy::print_stdout, reason = "a random test prints its seed")]
#[must_use]
pub fn seed() -> u64 {
    let seed = number("KIEUMAU_SEED").unwrap_or_else(rand::random);
    println!("KIEUMAU_SEED={seed}");
    seed
}

/// Says that `test` did not look at what it is about, and why. Straight to the error stream, which libtest does not hold back
/// for tests that pass: `tests/run.py` counts these lines as skipped, so that nobody takes them for passed.
///
/// # Panics
/// When nothing can be written there.
pub fn skipped(test: &str, why: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("an error stream");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}
