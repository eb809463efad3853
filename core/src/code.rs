//! The one-time code that a chief issues and an officer scans or types.
//!
//! Ten of Crockford's digits: no two of them look alike, and whoever reads one out need not say "capital".

use crate::invalid::{Invalid, Rule};
use std::{fmt, ops::Deref, str::FromStr};

/// Crockford's digits: no I, L, O, U. Five bits each.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LENGTH: usize = 10;
/// Bytes that are looked at, with any spaces and hyphens.
const TYPED_LIMIT: usize = 100;

/// A one-time code: ten digits of Crockford's alphabet, 50 bits. It can be read out and typed; it is never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// The code of the lowest 50 of these random bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let digit = |place: usize| DIGITS[usize::try_from(bits >> (5 * place) & 31).unwrap_or(0)];
        Self(
            (0..CODE_LENGTH)
                .map(|place| char::from(digit(place)))
                .collect(),
        )
    }

    /// As it is shown: two groups of five.
    #[must_use]
    pub fn grouped(&self) -> String {
        let (left, right) = self.0.split_at(CODE_LENGTH / 2);
        format!("{left}-{right}")
    }
}

/// The ten digits without a group mark, the form that is hashed, signed and sent.
impl Deref for Code {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

impl FromStr for Code {
    type Err = Invalid;

    /// Takes what people type: small letters, spaces and hyphens, `O` for `0`, `I` and `L` for `1`.
    fn from_str(typed: &str) -> Result<Self, Invalid> {
        if typed.len() > TYPED_LIMIT {
            return Err(malformed());
        }
        let digits = typed.chars().filter(|c| !matches!(c, ' ' | '-'));
        let code: Option<String> = digits
            .map(|c| match c.to_ascii_uppercase() {
                'O' => Some('0'),
                'I' | 'L' => Some('1'),
                c => DIGITS.contains(&u8::try_from(c).ok()?).then_some(c),
            })
            .collect();
        code.filter(|code| code.len() == CODE_LENGTH)
            .map(Self)
            .ok_or_else(malformed)
    }
}

fn malformed() -> Invalid {
    Invalid::new("code", Rule::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code: Code = "0123456789".parse().expect("digits");
        assert_eq!(code.grouped(), "01234-56789");
        for typed in ["01234-56789", " o l234 56789", "OI23456789"] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
        for typed in ["", "012345678", "01234567890", "U123456789", "012345678é"] {
            assert_eq!(typed.parse::<Code>(), Err(malformed()), "{typed}");
        }
        assert!(!format!("{code:?}").contains("0123"));
    }

    proptest! {
        #[test]
        fn every_code_has_one_spelling(bits in any::<u64>()) {
            let code = Code::from_bits(bits);
            prop_assert_eq!(code.grouped().to_lowercase().parse::<Code>(), Ok(code));
        }
    }
}
