//! The server's clock, the one place that asks the machine for the time. All else takes time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, Unix milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the border where time comes in"
)]
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Today in Greenwich.
pub fn today() -> jiff::civil::Date {
    let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    jiff::tz::Offset::UTC.to_datetime(now).date()
}

/// Seven hours east of Greenwich, without summer time: Vietnam.
pub const VIETNAM: jiff::tz::Offset = jiff::tz::offset(7);

/// `at_ms` as the desk reads it: `22/11/2026 07:40`.
pub fn vietnamese(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| {
            VIETNAM
                .to_datetime(at)
                .strftime("%d/%m/%Y %H:%M")
                .to_string()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_in_vietnam() {
        assert_eq!(vietnamese(0), "01/01/1970 07:00");
    }
}
