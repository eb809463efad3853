//! An assessment period (kỳ đánh giá): from one day to another, both included, and the two periods it is compared with.
//!
//! A period is data, not the calendar year: the programme runs from 16 November to 15 November. Days are those of
//! Vietnam, a fixed +07:00 since 1975, so no time-zone database is needed and none can disagree.

use crate::invalid::{Invalid, Rule};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::Offset};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const VIETNAM: Offset = Offset::constant(7);

/// The years that a period may touch; the same as for times ([`crate::position::BELIEVABLE_MS`]).
const YEARS: std::ops::Range<i16> = 2000..2100;

/// The day in Vietnam at this moment (Unix milliseconds). Moments beyond the years -9999 and 9999 give the last day there.
#[must_use]
pub fn day_of(at_ms: i64) -> Date {
    let limit = if at_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(limit);
    VIETNAM.to_datetime(at).date()
}

/// A period: its first and its last day. In text, and as a key, `2025-11-16..2026-11-15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    starts_on: Date,
    ends_on: Date,
}

impl Period {
    /// From one day to another, both included.
    ///
    /// # Errors
    /// At `period`: `OutOfOrder` if it ends before it starts, `OutOfTime` outside 2000 to 2099.
    pub fn new(starts_on: Date, ends_on: Date) -> Result<Self, Invalid> {
        if ends_on < starts_on {
            return Err(Invalid::new("period", Rule::OutOfOrder));
        }
        if !YEARS.contains(&starts_on.year()) || !YEARS.contains(&ends_on.year()) {
            return Err(Invalid::new("period", Rule::OutOfTime));
        }
        Ok(Self { starts_on, ends_on })
    }

    /// The programme's period that `day` lies in: 16 November to 15 November.
    #[must_use]
    pub fn of_programme(day: Date) -> Self {
        let begins = (11, 16);
        let started = (day.month(), day.day()) >= begins;
        // Kept inside the calendar that jiff knows, for days at its very ends.
        let year = (day.year() - i16::from(!started)).clamp(-9998, 9998);
        Self {
            starts_on: Date::constant(year, 11, 16),
            ends_on: Date::constant(year + 1, 11, 15),
        }
    }

    /// Its first day.
    #[must_use]
    pub const fn starts_on(self) -> Date {
        self.starts_on
    }

    /// Its last day.
    #[must_use]
    pub const fn ends_on(self) -> Date {
        self.ends_on
    }

    /// Whether `day` lies in it.
    #[must_use]
    pub fn contains(self, day: Date) -> bool {
        (self.starts_on..=self.ends_on).contains(&day)
    }

    /// Cùng kỳ: the same days a year before. A period that ends with February ends with February.
    #[must_use]
    pub fn same_last_year(self) -> Self {
        self.months_before(12)
    }

    /// Liền kề: the period of the same length directly before. Whole months stay whole months (before March comes
    /// February, not 29 January to 28 February); anything else is counted in days.
    #[must_use]
    pub fn previous(self) -> Self {
        let next_start = self.ends_on.saturating_add(1.day());
        let ends_on = self.starts_on.saturating_sub(1.day());
        let whole = (1..=24).find(|n| self.starts_on.saturating_add(n.months()) == next_start);
        let starts_on = match whole {
            Some(n) => self.starts_on.saturating_sub(n.months()),
            None => ends_on.saturating_sub(self.ends_on.duration_since(self.starts_on)),
        };
        Self { starts_on, ends_on }
    }

    fn months_before(self, months: i64) -> Self {
        // By the day after the last: the day before it is then the last of its month, whatever that month's length.
        let next_start = self.ends_on.saturating_add(1.day());
        Self {
            starts_on: self.starts_on.saturating_sub(months.months()),
            ends_on: next_start
                .saturating_sub(months.months())
                .saturating_sub(1.day()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.starts_on, self.ends_on)
    }
}

impl FromStr for Period {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("period", Rule::Malformed);
        let (start, end) = text.split_once("..").ok_or_else(malformed)?;
        let date = |text: &str| text.parse::<Date>().map_err(|_| malformed());
        let period = Self::new(date(start)?, date(end)?)?;
        // A key has one spelling, and dates can be written in several ways.
        if period.to_string() == text {
            Ok(period)
        } else {
            Err(malformed())
        }
    }
}

impl TryFrom<String> for Period {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn period(text: &str) -> Period {
        text.parse().expect("a period")
    }

    fn rule(text: &str) -> Option<Rule> {
        text.parse::<Period>().err().map(|invalid| invalid.rule)
    }

    #[test]
    fn a_period_has_one_spelling() {
        let text = "2025-11-16..2026-11-15";
        assert_eq!(period(text).to_string(), text);
        assert_eq!(
            serde_json::to_string(&period(text)).expect("text"),
            format!("\"{text}\"")
        );
        for other in [
            "20251116..20261115",
            "2025-11-16",
            "2025-11-16...2026-11-15",
            " 2025-11-16..2026-11-15",
            "2025-11-31..2026-11-15",
            "",
        ] {
            assert_eq!(rule(other), Some(Rule::Malformed), "{other}");
            assert!(serde_json::from_str::<Period>(&format!("\"{other}\"")).is_err());
        }
    }

    #[test]
    fn a_period_that_ends_before_it_starts_or_lies_before_2000_is_refused() {
        assert_eq!(rule("2026-01-02..2026-01-01"), Some(Rule::OutOfOrder));
        assert_eq!(rule("2026-01-01..2026-01-01"), None);
        assert_eq!(rule("1999-11-16..2000-11-15"), Some(Rule::OutOfTime));
        assert_eq!(rule("2099-11-16..2100-11-15"), Some(Rule::OutOfTime));
    }

    #[test]
    fn the_first_and_the_last_day_lie_in_it() {
        let year = period("2025-11-16..2026-11-15");
        assert!(year.contains(date(2025, 11, 16)) && year.contains(date(2026, 11, 15)));
        assert!(!year.contains(date(2025, 11, 15)) && !year.contains(date(2026, 11, 16)));
    }

    #[test]
    fn the_programmes_year_turns_on_16_november() {
        assert_eq!(
            Period::of_programme(date(2026, 11, 15)),
            period("2025-11-16..2026-11-15")
        );
        assert_eq!(
            Period::of_programme(date(2026, 11, 16)),
            period("2026-11-16..2027-11-15")
        );
        assert_eq!(
            Period::of_programme(date(2026, 1, 1)),
            period("2025-11-16..2026-11-15")
        );
        assert_eq!(Period::of_programme(Date::MIN).starts_on().year(), -9998);
        assert_eq!(Period::of_programme(Date::MAX).ends_on().year(), 9999);
    }

    #[test]
    fn the_same_period_last_year_keeps_the_ends_of_months() {
        let last_year = |text| period(text).same_last_year().to_string();
        assert_eq!(
            last_year("2025-11-16..2026-11-15"),
            "2024-11-16..2025-11-15"
        );
        assert_eq!(
            last_year("2025-02-01..2025-02-28"),
            "2024-02-01..2024-02-29"
        );
        assert_eq!(
            last_year("2024-02-01..2024-02-29"),
            "2023-02-01..2023-02-28"
        );
    }

    #[test]
    fn the_previous_period_is_as_long_and_touches() {
        let previous = |text| period(text).previous().to_string();
        assert_eq!(previous("2024-11-16..2025-11-15"), "2023-11-16..2024-11-15");
        assert_eq!(previous("2026-03-01..2026-03-31"), "2026-02-01..2026-02-28");
        assert_eq!(previous("2026-03-05..2026-03-11"), "2026-02-26..2026-03-04");
        assert_eq!(previous("2026-01-01..2026-01-01"), "2025-12-31..2025-12-31");
    }

    #[test]
    fn a_day_begins_at_midnight_in_vietnam() {
        let seventeen_utc = 1_795_410_000_000 + 12 * 3_600_000;
        assert_eq!(day_of(seventeen_utc - 1), date(2026, 11, 23));
        assert_eq!(day_of(seventeen_utc), date(2026, 11, 24));
        assert_eq!(day_of(i64::MAX).year(), 9999);
        assert_eq!(day_of(i64::MIN).year(), -9999);
    }
}
