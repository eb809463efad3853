//! Numbers, lengths and spans as people read them: `1.234,5` and `−23,0 %` in Vietnamese, `1,234.5` in English.

use super::language::Language;

impl Language {
    /// A whole number with its thousands apart.
    pub fn integer(self, value: i64) -> String {
        let apart = match self {
            Self::Vietnamese => '.',
            Self::English => ',',
        };
        let digits = value.unsigned_abs().to_string();
        let mut text = String::new();
        if value < 0 {
            text.push('−');
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(apart);
            }
            text.push(digit);
        }
        text
    }

    /// A length in kilometres with one decimal.
    pub fn kilometres(self, metres: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a patrol is shorter than the Earth is round"
        )]
        let tenths = (metres / 100.0).round() as i64;
        let point = match self {
            Self::Vietnamese => ',',
            Self::English => '.',
        };
        format!(
            "{}{point}{} km",
            self.integer(tenths / 10),
            tenths.abs() % 10
        )
    }

    /// A span in minutes, hours or days, whichever a reader would say: `3 giờ 05 phút`, `5.954 ngày`.
    pub fn span(self, milliseconds: i64) -> String {
        let minutes = milliseconds.max(0) / 60_000;
        let (hours, minutes) = (minutes / 60, minutes % 60);
        let days = self.integer(hours / 24);
        match (self, hours) {
            (Self::Vietnamese, 48..) => format!("{days} ngày"),
            (Self::English, 48..) => format!("{days} days"),
            (Self::Vietnamese, 0) => format!("{minutes} phút"),
            (Self::English, 0) => format!("{minutes} min"),
            (Self::Vietnamese, _) => format!("{hours} giờ {minutes:02} phút"),
            (Self::English, _) => format!("{hours} h {minutes:02} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_the_language() {
        assert_eq!(Language::Vietnamese.integer(1_234_567), "1.234.567");
        assert_eq!(Language::English.integer(-1_234), "−1,234");
        assert_eq!(Language::Vietnamese.integer(999), "999");
        assert_eq!(Language::Vietnamese.kilometres(6_349.0), "6,3 km");
        assert_eq!(Language::English.kilometres(0.0), "0.0 km");
        assert_eq!(Language::Vietnamese.span(11_100_000), "3 giờ 05 phút");
        assert_eq!(Language::Vietnamese.span(142_898 * 3_600_000), "5.954 ngày");
        assert_eq!(Language::Vietnamese.span(-5), "0 phút");
    }
}
