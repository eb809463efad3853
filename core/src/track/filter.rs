//! Which fixes of a receiver are kept: the accuracy gate, the order, the speed, and the thinning of standing still.
//!
//! It looks at one fix after the other and remembers the last it kept; what it drops, it counts per reason, so that a
//! screen can say what became of a file or a shift. It has no clock: only satellites' times are compared.
//!
//! One decision: the last kept fix is not always the true one. A receiver that starts with a wild guess would have
//! everything after it dropped as impossibly fast, one that was an hour in the future for a moment (its week rolled over) as out
//! of order; so three fixes in a row that agree with each other win over it.

use crate::{
    invalid::Rule,
    position::{BELIEVABLE_MS, Fix, Position},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The accuracy gate, decimetres: a fix less exact than 50 m does not say which street an officer was in.
pub const MAX_ACCURACY_DM: u32 = 500;

/// Faster than this is not a patrol but a receiver's error, metres per second (216 km/h).
pub const MAX_SPEED_M_PER_S: f64 = 60.0;

/// Less than this is standing still, metres; more where the fix is less exact, see [`Dropped::StandingStill`].
pub const STILL_M: f64 = 5.0;

/// Even at rest a fix is kept once in this time, milliseconds: it says that the phone was there and recording.
pub const STILL_MS: i64 = 60_000;

/// So many fixes in a row that agree with each other are believed against the last kept one.
const AGREEING: u8 = 3;

/// Where a fix comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// This phone's receiver, now. It has to say how exact it is.
    Live,
    /// A track file. Few say how exact they are, so *accuracy unknown* is kept.
    Imported,
}

/// Why a fix was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dropped {
    /// A point of a track file without a time; no fix can be made of it, so no filter ever sees it.
    WithoutTime,
    /// Before the year 2000 or after 2100.
    OutOfTime,
    /// Off the Earth, or exactly 0,0.
    OffTheMap,
    /// Live, and does not say how exact it is (or says 0 m, which is how platforms say so).
    WithoutAccuracy,
    /// Less exact than [`MAX_ACCURACY_DM`].
    TooInaccurate,
    /// Not later than the last kept fix.
    OutOfOrder,
    /// Too far from the last kept fix for the time between: see [`MAX_SPEED_M_PER_S`].
    ImpossibleSpeed,
    /// Moved less than [`STILL_M`] or half its accuracy, within [`STILL_MS`]. Expected thinning, not an error.
    StandingStill,
    /// Live, while the patrol is paused: positions exist inside a shift only, and a pause is no part of it.
    Paused,
}

impl Dropped {
    /// The rule it broke; none for thinning and pauses.
    #[must_use]
    pub const fn rule(self) -> Option<Rule> {
        match self {
            Self::WithoutTime => Some(Rule::WithoutTimes),
            Self::OutOfTime => Some(Rule::OutOfTime),
            Self::OffTheMap => Some(Rule::OffTheMap),
            Self::WithoutAccuracy => Some(Rule::WithoutAccuracy),
            Self::TooInaccurate => Some(Rule::TooInaccurate),
            Self::OutOfOrder => Some(Rule::OutOfOrder),
            Self::ImpossibleSpeed => Some(Rule::ImpossibleSpeed),
            Self::StandingStill | Self::Paused => None,
        }
    }
}

/// How many fixes were kept, and how many dropped for which reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Kept.
    pub kept: u32,
    /// Dropped, per reason; no entry means none.
    pub dropped: BTreeMap<Dropped, u32>,
}

impl Report {
    /// How many were dropped for this reason.
    #[must_use]
    pub fn dropped_for(&self, reason: Dropped) -> u32 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// How many fixes were looked at.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.dropped
            .values()
            .fold(self.kept, |sum, count| sum.saturating_add(*count))
    }

    /// Counts `count` more dropped for this reason.
    pub fn add_dropped(&mut self, reason: Dropped, count: u32) {
        if count > 0 {
            let entry = self.dropped.entry(reason).or_default();
            *entry = entry.saturating_add(count);
        }
    }
}

/// A live fix so much earlier than the last kept one is no late arrival: one of the two has a wrong time, milliseconds.
pub const AHEAD_MS: u64 = 120_000;

/// The newest of the fixes that the last kept one makes impossible, and how many in a row agree with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    fix: Fix,
    agreeing: u8,
}

/// The rules above, applied to fixes in the order in which they come.
#[derive(Clone, Debug)]
pub struct Filter {
    last: Option<Fix>,
    rival: Option<Rival>,
    report: Report,
}

impl Filter {
    /// A filter that goes on after `last`, the newest fix already kept.
    #[must_use]
    pub fn new(last: Option<Fix>) -> Self {
        Self::going_on(last, None)
    }

    /// A filter that also remembers the [`Filter::rival`] of one that looked at the fixes before.
    #[must_use]
    pub fn going_on(last: Option<Fix>, rival: Option<Rival>) -> Self {
        Self {
            last,
            rival,
            report: Report::default(),
        }
    }

    /// What stands against the last kept fix, to go on with.
    #[must_use]
    pub fn rival(&self) -> Option<Rival> {
        self.rival
    }

    /// Keeps `fix`, or says why not; counts it either way.
    ///
    /// # Errors
    /// The first reason that applies, in the order of [`Dropped`].
    pub fn admit(&mut self, fix: Fix, source: Source) -> Result<(), Dropped> {
        let verdict = check(&fix, source).and_then(|()| self.follows(&fix, source));
        match verdict {
            Ok(()) => {
                self.last = Some(fix);
                self.report.kept = self.report.kept.saturating_add(1);
            }
            Err(reason) => self.report.add_dropped(reason, 1),
        }
        verdict
    }

    /// The newest fix that was kept.
    #[must_use]
    pub fn last(&self) -> Option<Fix> {
        self.last
    }

    /// What was kept and dropped so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was kept and dropped, at the end.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// Whether `fix` can come after the last kept one.
    fn follows(&mut self, fix: &Fix, source: Source) -> Result<(), Dropped> {
        let Some(last) = self.last else {
            return Ok(());
        };
        if fix.at_ms <= last.at_ms {
            // In a file the order may be anything: a segment that goes back says nothing against the one before.
            let contradicts = source == Source::Live && last.at_ms.abs_diff(fix.at_ms) > AHEAD_MS;
            return if contradicts {
                self.against(fix, Dropped::OutOfOrder)
            } else {
                Err(Dropped::OutOfOrder)
            };
        }
        if !reachable(&last, fix) {
            return self.against(fix, Dropped::ImpossibleSpeed);
        }
        self.rival = None;
        if fix.at_ms - last.at_ms < STILL_MS && is_still(&last, fix) {
            return Err(Dropped::StandingStill);
        }
        Ok(())
    }

    /// Takes `fix` as one that contradicts the last kept one: the third in a row that agrees is believed.
    fn against(&mut self, fix: &Fix, reason: Dropped) -> Result<(), Dropped> {
        let agreeing = match self.rival {
            Some(rival) if reachable(&rival.fix, fix) => rival.agreeing + 1,
            _ => 1,
        };
        if agreeing < AGREEING {
            let fix = *fix;
            self.rival = Some(Rival { fix, agreeing });
            return Err(reason);
        }
        self.rival = None;
        Ok(())
    }
}

/// What can be said of a fix by itself.
fn check(fix: &Fix, source: Source) -> Result<(), Dropped> {
    if !BELIEVABLE_MS.contains(&fix.at_ms) {
        return Err(Dropped::OutOfTime);
    }
    if Position::from_degrees(fix.position.lat(), fix.position.lon()).is_err() {
        return Err(Dropped::OffTheMap);
    }
    match (source, fix.accuracy_dm) {
        // Android's `getAccuracy` gives 0.0 for a location that has none.
        (Source::Live, None | Some(0)) => Err(Dropped::WithoutAccuracy),
        (_, Some(dm)) if dm > MAX_ACCURACY_DM => Err(Dropped::TooInaccurate),
        _ => Ok(()),
    }
}

/// Whether one can be at `a` and then, later, at `b`.
fn reachable(a: &Fix, b: &Fix) -> bool {
    let seconds = (b.at_ms - a.at_ms) as f64 / 1_000.0;
    seconds > 0.0 && a.position.distance_m(b.position) <= MAX_SPEED_M_PER_S * seconds
}

/// Whether `fix` may be the same place as `last`, seen through the receiver's noise.
fn is_still(last: &Fix, fix: &Fix) -> bool {
    let accuracy_m = fix.accuracy_dm.map_or(0.0, |dm| f64::from(dm) / 10.0);
    last.position.distance_m(fix.position) < STILL_M.max(accuracy_m / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::tests::fix;

    /// The verdicts on these fixes, live, one after the other.
    fn live(fixes: &[Fix]) -> Vec<Result<(), Dropped>> {
        let mut filter = Filter::new(None);
        fixes
            .iter()
            .map(|fix| filter.admit(*fix, Source::Live))
            .collect()
    }

    fn with_accuracy(accuracy_dm: Option<u32>, fix: Fix) -> Fix {
        Fix { accuracy_dm, ..fix }
    }

    #[test]
    fn a_live_fix_without_accuracy_is_refused_and_an_imported_one_is_kept() {
        let unknown = with_accuracy(None, fix(0, 0.0));
        assert_eq!(live(&[unknown]), [Err(Dropped::WithoutAccuracy)]);
        assert_eq!(Filter::new(None).admit(unknown, Source::Imported), Ok(()));
    }

    #[test]
    fn a_live_fix_that_claims_to_be_exact_to_0_m_does_not_say_how_exact_it_is() {
        let zero = with_accuracy(Some(0), fix(0, 0.0));
        assert_eq!(live(&[zero]), [Err(Dropped::WithoutAccuracy)]);
        assert_eq!(live(&[with_accuracy(Some(1), zero)]), [Ok(())]);
    }

    #[test]
    fn the_accuracy_gate_lets_50_m_through_and_no_more_from_either_source() {
        assert_eq!(live(&[with_accuracy(Some(500), fix(0, 0.0))]), [Ok(())]);
        let coarse = with_accuracy(Some(501), fix(0, 0.0));
        assert_eq!(live(&[coarse]), [Err(Dropped::TooInaccurate)]);
        assert_eq!(
            Filter::new(None).admit(coarse, Source::Imported),
            Err(Dropped::TooInaccurate)
        );
    }

    #[test]
    fn a_fix_of_the_same_moment_or_before_is_out_of_order() {
        assert_eq!(
            live(&[fix(10, 0.0), fix(10, 20.0), fix(9, 20.0), fix(11, 20.0)]),
            [
                Ok(()),
                Err(Dropped::OutOfOrder),
                Err(Dropped::OutOfOrder),
                Ok(())
            ]
        );
    }

    #[test]
    fn the_filter_goes_on_after_the_newest_fix_already_kept() {
        let mut filter = Filter::new(Some(fix(100, 0.0)));
        assert_eq!(
            filter.admit(fix(90, 50.0), Source::Live),
            Err(Dropped::OutOfOrder)
        );
        assert_eq!(filter.admit(fix(110, 50.0), Source::Live), Ok(()));
        assert_eq!(filter.last(), Some(fix(110, 50.0)));
    }

    #[test]
    fn a_time_before_2000_or_after_2100_and_a_place_off_the_map_are_refused() {
        let at = |at_ms| Fix {
            at_ms,
            ..fix(0, 0.0)
        };
        let nowhere = Fix {
            position: Position {
                lat_e7: 0,
                lon_e7: 0,
            },
            ..fix(0, 0.0)
        };
        assert_eq!(
            live(&[
                at(BELIEVABLE_MS.start - 1),
                at(BELIEVABLE_MS.end),
                at(i64::MIN),
                nowhere
            ]),
            [
                Err(Dropped::OutOfTime),
                Err(Dropped::OutOfTime),
                Err(Dropped::OutOfTime),
                Err(Dropped::OffTheMap)
            ]
        );
        assert_eq!(live(&[at(BELIEVABLE_MS.start)]), [Ok(())]);
    }

    #[test]
    fn a_jump_of_610_m_in_ten_seconds_is_impossible_and_590_m_is_a_fast_car() {
        assert_eq!(
            live(&[fix(0, 0.0), fix(10, 610.0)])[1],
            Err(Dropped::ImpossibleSpeed)
        );
        assert_eq!(live(&[fix(0, 0.0), fix(10, 590.0)])[1], Ok(()));
    }

    #[test]
    fn a_single_jump_away_and_back_leaves_the_track_untouched() {
        assert_eq!(
            live(&[
                fix(0, 0.0),
                fix(5, 9_000.0),
                fix(10, 15.0),
                fix(15, 9_000.0),
                fix(20, 30.0)
            ]),
            [
                Ok(()),
                Err(Dropped::ImpossibleSpeed),
                Ok(()),
                Err(Dropped::ImpossibleSpeed),
                Ok(())
            ]
        );
    }

    #[test]
    fn three_fixes_that_agree_win_over_a_wild_first_guess() {
        let fixes = [
            fix(0, 90_000.0),
            fix(5, 0.0),
            fix(10, 10.0),
            fix(15, 20.0),
            fix(20, 30.0),
        ];
        assert_eq!(
            live(&fixes),
            [
                Ok(()),
                Err(Dropped::ImpossibleSpeed),
                Err(Dropped::ImpossibleSpeed),
                Ok(()),
                Ok(())
            ]
        );
    }

    #[test]
    fn three_live_fixes_that_agree_win_over_one_from_the_future_and_in_a_file_they_do_not() {
        let mut fixes = vec![fix(36_000, 0.0)];
        fixes.extend((0..4).map(|i| fix(i * 5, 0.0 + 10.0 * i as f64)));
        let early = Err(Dropped::OutOfOrder);
        assert_eq!(live(&fixes), [Ok(()), early, early, Ok(()), Ok(())]);
        let mut filter = Filter::new(None);
        let imported = fixes.iter().map(|fix| filter.admit(*fix, Source::Imported));
        assert_eq!(imported.skip(1).collect::<Vec<_>>(), [early; 4]);
    }

    #[test]
    fn fixes_that_come_a_little_late_stay_out_however_many_they_are() {
        let mut fixes = vec![fix(100, 0.0)];
        fixes.extend((0..9).map(|i| fix(i * 10, 10.0 * i as f64)));
        assert!(
            live(&fixes)[1..]
                .iter()
                .all(|v| *v == Err(Dropped::OutOfOrder))
        );
    }

    #[test]
    fn fixes_that_jump_about_never_agree() {
        let fixes: Vec<_> = (0..20).map(|i| fix(i, 5_000.0 * i as f64)).collect();
        assert!(
            live(&fixes)[1..]
                .iter()
                .all(|v| *v == Err(Dropped::ImpossibleSpeed))
        );
    }

    #[test]
    fn standing_still_keeps_one_fix_a_minute() {
        let fixes: Vec<_> = (0..=180)
            .step_by(5)
            .map(|s| fix(s, (s % 3) as f64))
            .collect();
        let mut filter = Filter::new(None);
        let kept: Vec<_> = fixes
            .iter()
            .filter(|fix| filter.admit(**fix, Source::Live).is_ok())
            .collect();
        assert_eq!(kept.len(), 4);
        assert_eq!(filter.report().dropped_for(Dropped::StandingStill), 33);
        assert_eq!(filter.report().seen(), 37);
    }

    #[test]
    fn a_fix_exact_to_40_m_has_to_move_20_m() {
        let coarse = |seconds, metres| with_accuracy(Some(400), fix(seconds, metres));
        assert_eq!(
            live(&[fix(0, 0.0), coarse(5, 19.0)])[1],
            Err(Dropped::StandingStill)
        );
        assert_eq!(live(&[fix(0, 0.0), coarse(5, 21.0)])[1], Ok(()));
        assert_eq!(live(&[fix(0, 0.0), fix(5, 19.0)])[1], Ok(()));
    }

    #[test]
    fn what_is_dropped_broke_a_rule_unless_it_was_thinning() {
        assert_eq!(Dropped::StandingStill.rule(), None);
        assert_eq!(Dropped::ImpossibleSpeed.rule(), Some(Rule::ImpossibleSpeed));
    }
}
