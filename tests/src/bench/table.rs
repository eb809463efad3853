//! A measure as a line: what it is, ours and the raw figure as minimum, median and maximum of the rounds, their ratio, and
//! whether the target of the project's table is met. Nothing here measures.

use serde::Serialize;
use std::{fmt, time::Duration};

/// Minimum, median and maximum of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The best round.
    pub min: f64,
    /// The round in the middle.
    pub median: f64,
    /// The worst round.
    pub max: f64,
}

impl Spread {
    /// Of these figures.
    ///
    /// # Panics
    /// When there are none: a measure without a round is a mistake in the benchmark.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            min: *sorted.first().expect("at least one round"),
            median: sorted[sorted.len() / 2],
            max: *sorted.last().expect("at least one round"),
        }
    }

    /// Round by round, `ours` over `raw`: both halves of a pair were measured in the same minute.
    #[must_use]
    pub fn of_ratios(ours: &[f64], raw: &[f64]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(raw).map(|(o, r)| o / r).collect();
        Self::of(&ratios)
    }
}

/// What a target bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Our own figure, from above.
    AtMost(f64),
    /// The ratio to the raw figure, from above.
    RatioAtMost(f64),
    /// The ratio to the raw figure, from below.
    RatioAtLeast(f64),
    /// Nothing: the line explains another.
    Part,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// `P6`.
    pub id: &'static str,
    /// What was measured.
    pub what: String,
    /// The unit of both figures.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// The machine's own, if there is such a thing.
    pub raw: Option<Spread>,
    /// Ours over the machine's, paired round by round.
    pub ratio: Option<Spread>,
    /// What is to be reached.
    pub target: Target,
}

impl Measure {
    /// Our figures alone.
    #[must_use]
    pub fn alone(id: &'static str, what: &str, unit: &'static str, ours: &[f64]) -> Self {
        Self {
            id,
            what: what.to_owned(),
            unit,
            ours: Spread::of(ours),
            raw: None,
            ratio: None,
            target: Target::Part,
        }
    }

    /// Our figures beside the machine's, round by round.
    #[must_use]
    pub fn beside(
        id: &'static str,
        what: &str,
        unit: &'static str,
        ours: &[f64],
        raw: &[f64],
    ) -> Self {
        Self {
            raw: Some(Spread::of(raw)),
            ratio: Some(Spread::of_ratios(ours, raw)),
            ..Self::alone(id, what, unit, ours)
        }
    }

    /// The same, to reach `target`.
    #[must_use]
    pub const fn to_reach(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Whether the target is met by the median; none for a part.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        let ratio = self.ratio.map(|ratio| ratio.median);
        match self.target {
            Target::AtMost(limit) => Some(self.ours.median <= limit),
            Target::RatioAtMost(limit) => Some(ratio? <= limit),
            Target::RatioAtLeast(limit) => Some(ratio? >= limit),
            Target::Part => None,
        }
    }

    fn target_text(&self) -> Option<String> {
        match self.target {
            Target::AtMost(limit) => Some(format!("≤ {limit} {}", self.unit)),
            Target::RatioAtMost(limit) => Some(format!("≤ {limit}×")),
            Target::RatioAtLeast(limit) => Some(format!("≥ {limit}×")),
            Target::Part => None,
        }
    }

    /// As `target/bench.json` holds it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id, "what": self.what, "unit": self.unit, "ours": self.ours, "raw": self.raw,
            "ratio": self.ratio, "target": self.target_text(), "met": self.met(),
        })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            what,
            unit,
            ours,
            ..
        } = self;
        let range = format!("[{}–{}]", figure(ours.min), figure(ours.max));
        let median = figure(ours.median);
        write!(f, "{id:<4} {what:<46} ours {median:>7} {unit} {range:<16}")?;
        if let (Some(raw), Some(ratio)) = (self.raw, self.ratio) {
            let (median, least, most) =
                (figure(ratio.median), figure(ratio.min), figure(ratio.max));
            write!(f, " raw {:>7} {unit}", figure(raw.median))?;
            write!(f, "  ratio {median} [{least}–{most}]")?;
        }
        if let (Some(target), Some(met)) = (self.target_text(), self.met()) {
            let word = if met { "met" } else { "missed" };
            write!(f, "  target {target}  {word}")?;
        }
        Ok(())
    }
}

/// Three digits that count, never more.
fn figure(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Milliseconds, with their fraction.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The figure below which `share` (0 to 1) of them lie.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of some hundreds"
    )]
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let figures: Vec<f64> = (1..=600).rev().map(f64::from).collect();
        assert_eq!(percentile(&figures, 0.5), 300.0);
        assert_eq!(percentile(&figures, 0.99), 594.0);
        assert_eq!(percentile(&figures, 1.0), 600.0);
    }

    #[test]
    fn a_ratio_is_paired_round_by_round_and_the_target_is_about_the_median() {
        let measure = Measure::beside("P6", "x", "ms", &[4.0, 20.0, 6.0], &[1.0, 10.0, 1.5]);
        let ratio = measure.ratio.expect("there is a raw figure");
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 4.0, 4.0));
        let reach = |target| measure.clone().to_reach(target).met();
        assert_eq!(reach(Target::RatioAtMost(4.0)), Some(true));
        assert_eq!(reach(Target::RatioAtMost(3.9)), Some(false));
        assert_eq!(reach(Target::RatioAtLeast(4.1)), Some(false));
        assert_eq!(reach(Target::AtMost(5.9)), Some(false));
        assert_eq!(reach(Target::Part), None);
    }
}
