//! Which receipts were asked for in vain.
//!
//! A receipt that waits for a colleague's file may wait for months, for nobody says when that file comes. Who asks in every sync pays a round
//! trip each time for the same answer; so what was asked twice in vain is asked again after a minute, then two, and so on.

use crate::{id::DocumentId, wire::ReceiptRequest};
use std::collections::BTreeMap;

/// Asked so often, it rests in between.
const AT_ONCE: u32 = 2;
/// The first rest, milliseconds, and the longest.
const FIRST_REST_MS: i64 = 60_000;
const LONGEST_REST_MS: i64 = 60 * 60_000;

/// What a process asked, and when. It is not on the disk: who opens the app asks anew.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<DocumentId, Question>);

#[derive(Debug)]
struct Question {
    asked: ReceiptRequest,
    times: u32,
    at_ms: i64,
}

impl Asked {
    /// Whether it is time to ask about any of these.
    #[must_use]
    pub fn is_due(&self, lacking: &[ReceiptRequest], now_ms: i64) -> bool {
        lacking.iter().any(|asked| {
            let before = self.0.get(&asked.document);
            before
                .filter(|before| before.asked == *asked)
                .is_none_or(|before| before.rested(now_ms))
        })
    }

    /// These were asked for.
    pub fn note(&mut self, asked: &[ReceiptRequest], now_ms: i64) {
        for asked in asked {
            let before = self.0.get(&asked.document);
            let before = before.filter(|before| before.asked == *asked);
            // Asked along with something else while it rests, it rests no longer for that.
            if before.is_some_and(|before| !before.rested(now_ms)) {
                continue;
            }
            let question = Question {
                asked: asked.clone(),
                times: before.map_or(0, |before| before.times) + 1,
                at_ms: now_ms,
            };
            self.0.insert(asked.document, question);
        }
    }

    /// A file of this phone's own went through, or the log has begun anew: any answer may be another now.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl Question {
    /// Whether it rested long enough. A clock that went back does not hold it.
    fn rested(&self, now_ms: i64) -> bool {
        let Some(doublings) = self.times.checked_sub(AT_ONCE) else {
            return true;
        };
        let rest_ms = FIRST_REST_MS
            .saturating_mul(1 << doublings.min(6))
            .min(LONGEST_REST_MS);
        now_ms < self.at_ms || now_ms - self.at_ms >= rest_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Sha256;

    fn question(head: u8) -> ReceiptRequest {
        ReceiptRequest {
            document: DocumentId::from_bytes([1; 16]),
            heads: vec![Sha256([head; 32])],
            attachments: Vec::new(),
        }
    }

    #[test]
    fn what_was_asked_in_vain_rests_longer_each_time() {
        let mut asked = Asked::default();
        let lacking = [question(1)];
        let mut now_ms = 0;
        let mut rests = Vec::new();
        for _ in 0..10 {
            let begun_ms = now_ms;
            while !asked.is_due(&lacking, now_ms) {
                now_ms += 1_000;
            }
            rests.push((now_ms - begun_ms) / 1_000);
            asked.note(&lacking, now_ms);
        }
        assert_eq!(rests, [0, 0, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    }

    #[test]
    fn asked_along_with_something_else_it_rests_no_longer() {
        let mut asked = Asked::default();
        for at_ms in [0, 0, 10, 20, 30] {
            asked.note(&[question(1)], at_ms);
        }
        assert!(!asked.is_due(&[question(1)], FIRST_REST_MS - 1));
        assert!(asked.is_due(&[question(1)], FIRST_REST_MS));
    }

    #[test]
    fn another_state_another_question_a_clock_put_back_and_a_file_sent_are_asked_at_once() {
        let mut asked = Asked::default();
        for _ in 0..5 {
            asked.note(&[question(1)], 1_000);
        }
        assert!(!asked.is_due(&[question(1)], 1_000));
        assert!(asked.is_due(&[question(2)], 1_000));
        assert!(asked.is_due(&[question(1), question(2)], 1_000));
        assert!(asked.is_due(&[question(1)], 999));
        asked.forget();
        assert!(asked.is_due(&[question(1)], 1_000));
        assert!(!asked.is_due(&[], 1_000));
    }
}
