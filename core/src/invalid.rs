//! A broken rule, as a value: which field, which rule. Never a sentence; screens word it in the reader's language.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A rule of the domain that an input broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Must be given.
    Required,
    /// Must not be below zero (or, for a count of things seen, below one).
    TooSmall,
    /// Above the field's limit.
    TooLarge,
    /// More characters than the field holds.
    TooLong,
    /// Holds a character that no text field takes (NUL, control and direction-override characters).
    ForbiddenCharacter,
    /// Not one of the values offered (a category, a measure, a counting unit, a criterion).
    Unknown,
    /// Not in the form that is asked for (a code, a QR text, a key, a date).
    Malformed,
    /// A time before the year 2000 or after 2100.
    OutOfTime,
    /// A position off the Earth, or exactly 0,0.
    OffTheMap,
    /// A fix less exact than the accuracy gate lets through.
    TooInaccurate,
    /// A live fix that does not say how exact it is.
    WithoutAccuracy,
    /// Earlier than what it has to follow.
    OutOfOrder,
    /// Too far from the place before for the time between.
    ImpossibleSpeed,
    /// The thing is over and takes no more of this.
    Ended,
    /// The thing is already so (a code used twice, a patrol already paused).
    Already,
    /// Only the team may do this.
    NotOnTheTeam,
    /// A file with nothing in it.
    Empty,
    /// A file that is not of a kind we take.
    WrongKind,
    /// A track file without times.
    WithoutTimes,
    /// A file that cannot be read as what it says it is.
    Unreadable,
}

/// A field and the rule it broke. `field` is a path in the words of the dictionary: `count`, `team.leader`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Invalid {
    /// Which field of the input.
    pub field: String,
    /// Which rule it broke.
    pub rule: Rule,
}

impl Invalid {
    /// `rule` is broken at `field`.
    pub fn new(field: impl Into<String>, rule: Rule) -> Self {
        Self {
            field: field.into(),
            rule,
        }
    }
}

impl Rule {
    /// The stable word that travels in problems and in logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::TooSmall => "too-small",
            Self::TooLarge => "too-large",
            Self::TooLong => "too-long",
            Self::ForbiddenCharacter => "forbidden-character",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::OutOfTime => "out-of-time",
            Self::OffTheMap => "off-the-map",
            Self::TooInaccurate => "too-inaccurate",
            Self::WithoutAccuracy => "without-accuracy",
            Self::OutOfOrder => "out-of-order",
            Self::ImpossibleSpeed => "impossible-speed",
            Self::Ended => "ended",
            Self::Already => "already",
            Self::NotOnTheTeam => "not-on-the-team",
            Self::Empty => "empty",
            Self::WrongKind => "wrong-kind",
            Self::WithoutTimes => "without-times",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Text as people type it: trimmed of nothing, at most `limit` characters, without NUL, control characters (line
/// breaks and tabs are fine) and direction overrides, which could make a note read as its opposite.
///
/// # Errors
/// `TooLong` or `ForbiddenCharacter` at `field`.
pub fn text(field: &str, text: &str, limit: usize) -> Result<(), Invalid> {
    // Bytes first: a text of a megabyte is refused without walking it.
    if text.len() > limit * 4 || text.chars().count() > limit {
        return Err(Invalid::new(field, Rule::TooLong));
    }
    let forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(forbidden) {
        return Err(Invalid::new(field, Rule::ForbiddenCharacter));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_a_nul_and_a_direction_override_are_refused() {
        assert_eq!(
            text("note", &"x".repeat(1 << 20), 2_000),
            Err(Invalid::new("note", Rule::TooLong))
        );
        assert_eq!(
            text("note", "a\0b", 2_000),
            Err(Invalid::new("note", Rule::ForbiddenCharacter))
        );
        assert_eq!(
            text("note", "a\u{202e}b", 2_000),
            Err(Invalid::new("note", Rule::ForbiddenCharacter))
        );
    }

    #[test]
    fn vietnamese_line_breaks_and_emoji_are_kept() {
        assert_eq!(
            text("note", "Nhắc nhở 3 hộ\nlấn chiếm vỉa hè 👍", 2_000),
            Ok(())
        );
    }

    #[test]
    fn a_rule_is_the_same_word_in_json_and_in_logs() {
        let json = serde_json::to_string(&Rule::NotOnTheTeam).expect("a word");
        assert_eq!(json, format!("\"{}\"", Rule::NotOnTheTeam));
    }
}
