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
    /// Our own figure, from below.
    AtLeast(f64),
    /// The ratio to the other's figure, from above.
    RatioAtMost(f64),
    /// The ratio to the other's figure, from below.
    RatioAtLeast(f64),
    /// Nothing: the line explains another.
    Part,
}

impl Target {
    fn is_met(self, ours: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(ours <= limit),
            Self::AtLeast(limit) => Some(ours >= limit),
            Self::RatioAtMost(limit) => Some(ratio? <= limit),
            Self::RatioAtLeast(limit) => Some(ratio? >= limit),
            Self::Part => None,
        }
    }

    fn text(self, unit: &str) -> Option<String> {
        match self {
            Self::AtMost(limit) => Some(format!("≤ {limit} {unit}")),
            Self::AtLeast(limit) => Some(format!("≥ {limit} {unit}")),
            Self::RatioAtMost(limit) => Some(format!("≤ {limit}×")),
            Self::RatioAtLeast(limit) => Some(format!("≥ {limit}×")),
            Self::Part => None,
        }
    }
}

/// Another's figure for the same thing in the same run: the machine's own, or a peer's.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    /// `raw`, `samod`.
    pub name: String,
    /// Its figure.
    pub figures: Spread,
    /// Ours to its, paired round by round; none for counts, which are only to be seen side by side.
    pub ratio: Option<Spread>,
    /// What the ratio is to reach.
    pub target: Target,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// `P6`.
    pub id: &'static str,
    /// What was measured.
    pub what: String,
    /// The unit of all figures.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// Whoever else did it in the same run.
    pub others: Vec<Other>,
    /// What our own figure is to reach.
    pub target: Target,
    rounds: Vec<f64>,
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
            others: Vec::new(),
            target: Target::Part,
            rounds: ours.to_vec(),
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
        Self::alone(id, what, unit, ours).and("raw", raw)
    }

    /// The same beside another's figures: the ratio is ours over its.
    #[must_use]
    pub fn and(mut self, name: &str, figures: &[f64]) -> Self {
        let ratio = Spread::of_ratios(&self.rounds, figures);
        self.put(name, figures, Some(ratio));
        self
    }

    /// The same with another's figures to be seen beside ours, without a ratio.
    #[must_use]
    pub fn seeing(mut self, name: &str, figures: &[f64]) -> Self {
        self.put(name, figures, None);
        self
    }

    /// The same beside another's times or bytes: the ratio is its over ours, so that more is better for us.
    #[must_use]
    pub fn against(mut self, name: &str, figures: &[f64]) -> Self {
        let ratio = Spread::of_ratios(figures, &self.rounds);
        self.put(name, figures, Some(ratio));
        self
    }

    fn put(&mut self, name: &str, figures: &[f64], ratio: Option<Spread>) {
        self.others.push(Other {
            name: name.to_owned(),
            figures: Spread::of(figures),
            ratio,
            target: Target::Part,
        });
    }

    /// The same, to reach `target`; one about a ratio is of the other that came last.
    ///
    /// # Panics
    /// For a ratio to nobody.
    #[must_use]
    pub fn to_reach(mut self, target: Target) -> Self {
        match target {
            Target::RatioAtMost(_) | Target::RatioAtLeast(_) => {
                let other = self.others.last_mut();
                other.expect("a ratio is to somebody").target = target;
            }
            Target::AtMost(_) | Target::AtLeast(_) | Target::Part => self.target = target,
        }
        self
    }

    /// Whether every target is met by the median; none for a part.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        let own = self.target.is_met(self.ours.median, None);
        let others = self.others.iter().map(|other| {
            let ratio = other.ratio.map(|ratio| ratio.median);
            other.target.is_met(self.ours.median, ratio)
        });
        others
            .chain([own])
            .flatten()
            .reduce(|all, this| all && this)
    }

    /// As `target/bench.json` holds it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let of = |value: &dyn Fn(&Other) -> serde_json::Value| -> serde_json::Value {
            let entries = self.others.iter().map(|o| (o.name.clone(), value(o)));
            entries.collect::<serde_json::Map<_, _>>().into()
        };
        let others = self.others.iter().filter_map(|other| {
            let text = other.target.text(self.unit)?;
            Some(format!("{text} {}", other.name))
        });
        let targets: Vec<String> = self
            .target
            .text(self.unit)
            .into_iter()
            .chain(others)
            .collect();
        serde_json::json!({
            "id": self.id, "what": self.what.trim(), "unit": self.unit, "ours": self.ours,
            "peers": of(&|o| serde_json::json!(o.figures)), "ratio": of(&|o| serde_json::json!(o.ratio)),
            "target": targets.join(", "), "met": self.met(),
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
        write!(
            f,
            "{id:<4} {what:<62} {:>9} {unit} {}",
            figure(ours.median),
            ours
        )?;
        write_target(f, self.target, unit, ours.median, None)?;
        for other in &self.others {
            let Other {
                name,
                figures,
                ratio,
                target,
            } = other;
            write!(
                f,
                "\n{:<6}{:>61} {:>9} {unit} {figures}",
                "",
                name,
                figure(figures.median)
            )?;
            if let Some(ratio) = ratio {
                write!(f, "  ratio {} {ratio}", figure(ratio.median))?;
            }
            write_target(
                f,
                *target,
                unit,
                ours.median,
                ratio.map(|ratio| ratio.median),
            )?;
        }
        Ok(())
    }
}

fn write_target(
    f: &mut fmt::Formatter<'_>,
    target: Target,
    unit: &str,
    ours: f64,
    ratio: Option<f64>,
) -> fmt::Result {
    if let (Some(text), Some(met)) = (target.text(unit), target.is_met(ours, ratio)) {
        let word = if met { "met" } else { "MISSED" };
        write!(f, "  target {text}  {word}")?;
    }
    Ok(())
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}–{}]", figure(self.min), figure(self.max))
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

/// Tells who waits how far a long run is. Not on the table's output.
pub fn progress(line: &str) {
    eprintln!("bench: {line}");
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
        let ratio = measure.others[0].ratio.expect("there is a raw figure");
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 4.0, 4.0));
        let reach = |target| measure.clone().to_reach(target).met();
        assert_eq!(reach(Target::RatioAtMost(4.0)), Some(true));
        assert_eq!(reach(Target::RatioAtMost(3.9)), Some(false));
        assert_eq!(reach(Target::RatioAtLeast(4.1)), Some(false));
        assert_eq!(reach(Target::AtMost(5.9)), Some(false));
        assert_eq!(reach(Target::AtLeast(5.9)), Some(true));
        assert_eq!(reach(Target::Part), None);
    }

    #[test]
    fn one_missed_target_of_several_is_a_miss() {
        let both = |first, second| {
            let measure = Measure::alone("P1", "x", "/s", &[80.0]).and("a", &[1.0]);
            let measure = measure
                .to_reach(Target::RatioAtLeast(first))
                .and("b", &[20.0]);
            measure.to_reach(Target::RatioAtLeast(second)).met()
        };
        assert_eq!(both(80.0, 4.0), Some(true));
        assert_eq!(both(81.0, 4.0), Some(false));
        assert_eq!(both(80.0, 4.1), Some(false));
        // More time for another is a larger ratio.
        let slower = Measure::alone("P5", "x", "ms", &[2.0]).against("a", &[400.0]);
        assert_eq!(
            slower.others[0].ratio.map(|ratio| ratio.median),
            Some(200.0)
        );
    }
}
