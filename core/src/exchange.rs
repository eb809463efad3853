//! What a phone does next in a sync, decided from facts alone: no socket, no clock, no database.
//!
//! Order: changes first (text is what matters), then what is new from others (a decision must not wait for a photo), then files,
//! and receipts asked for whenever something happened that could complete one. A push's answer brings the feed's next page, so
//! that one more observation is one round trip. A failure waits with full jitter and goes on where it was, because what is unsent is a
//! fact on the disk and not a place in a script.

use std::time::Duration;

/// The facts on the phone's disk at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// An access token that the server has not refused.
    pub signed_in: bool,
    /// Changes the server is not known to hold.
    pub unsent_changes: bool,
    /// The server's history is not the one that the phone's cursor is of: a backup was put back. All is compared before more is pulled.
    pub anew: bool,
    /// It is time to compare all documents with the server's; see [`compare_due`].
    pub compare_due: bool,
    /// Documents to be fetched whole.
    pub wanted: bool,
    /// Files the server is not known to hold.
    pub unsent_files: bool,
    /// Documents whose present state no receipt covers.
    pub unconfirmed: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get an access token.
    SignIn,
    /// Send changes, and ask for receipts.
    Push,
    /// Send one file.
    Upload,
    /// Fetch what is new.
    Pull,
    /// Tell what is here, and hear what differs.
    Compare,
    /// Fetch documents by their ids.
    Fetch,
    /// Do nothing for so long, then ask again.
    Rest(Duration),
    /// All is done that can be done now.
    Finished,
    /// Too many failures, or one that time does not heal.
    GiveUp(Failure),
}

/// How a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer, or none of our server's.
    Unreachable,
    /// The server asks to come back.
    Busy {
        /// After so long, if it says.
        retry_after: Option<Duration>,
    },
    /// The access token is no longer good.
    TokenExpired,
    /// The server does not let this phone in, or the phone's own disk fails: trying again does not help.
    Final,
}

/// What a step showed of what others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Nothing: it did not ask, or the answer was too long to come with a push.
    Unread,
    /// A part; there is more.
    More,
    /// All there is.
    Read,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It went through.
    Went {
        /// Something happened that could complete a receipt, or changed what one would have to cover.
        news: bool,
        /// What it showed of the feed.
        feed: Feed,
    },
    /// It did not.
    Failed(Failure),
}

/// The longest rest, and the first bound that jitter draws from.
const LONGEST_REST: Duration = Duration::from_secs(60);
const FIRST_REST: Duration = Duration::from_millis(500);

/// One sync from its start to its end.
#[derive(Clone, Debug)]
pub struct Exchange {
    tries: u32,
    failures: u32,
    renewals: u32,
    rest: Option<Duration>,
    ended: Option<Failure>,
    asked: bool,
    pulled: bool,
    last: Option<Step>,
}

impl Exchange {
    /// A sync that gives up after `tries` failures in a row.
    #[must_use]
    pub const fn new(tries: u32) -> Self {
        Self {
            tries,
            failures: 0,
            renewals: 0,
            rest: None,
            ended: None,
            asked: false,
            pulled: false,
            last: None,
        }
    }

    /// What to do now.
    pub fn step(&mut self, now: Situation) -> Step {
        let step = match (self.ended, self.rest.take()) {
            (Some(failure), _) => Step::GiveUp(failure),
            (None, Some(rest)) => Step::Rest(rest),
            (None, None) if !now.signed_in => Step::SignIn,
            (None, None) if now.unsent_changes => Step::Push,
            (None, None) if now.anew => Step::Compare,
            (None, None) if !self.pulled => Step::Pull,
            (None, None) if now.compare_due => Step::Compare,
            (None, None) if now.wanted => Step::Fetch,
            (None, None) if now.unsent_files => Step::Upload,
            (None, None) if now.unconfirmed && !self.asked => Step::Push,
            (None, None) => Step::Finished,
        };
        self.last = Some(step);
        step
    }

    /// Hears how the step went. `random` in 0..1 is the jitter.
    pub fn answered(&mut self, answer: Answer, random: f64) {
        match answer {
            Answer::Went { news, feed } => {
                self.failures = 0;
                if self.last != Some(Step::SignIn) {
                    self.renewals = 0;
                }
                // A push asks for receipts before its answer's page is merged: news on that page has to be asked for again.
                self.asked = (self.asked || self.last == Some(Step::Push)) && !news;
                match feed {
                    Feed::Unread => {}
                    Feed::More => self.pulled = false,
                    Feed::Read => self.pulled = true,
                }
            }
            // A renewal is invisible, as often as something went through since; a server that refuses a fresh token too is a
            // failure like another.
            Answer::Failed(Failure::TokenExpired) if self.renewals == 0 => self.renewals += 1,
            Answer::Failed(Failure::Final) => self.ended = Some(Failure::Final),
            Answer::Failed(failure) => {
                self.failures += 1;
                if self.failures >= self.tries {
                    self.ended = Some(failure);
                } else {
                    self.rest = Some(rest(self.failures, failure, random));
                }
            }
        }
    }
}

/// How often all documents are compared although nothing seems amiss.
const COMPARE_EVERY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Whether all documents are to be compared with the server's: once a day by the phone's clock, and when that clock was put back.
#[must_use]
pub const fn compare_due(compared_at_ms: Option<i64>, now_ms: i64) -> bool {
    match compared_at_ms {
        None => true,
        Some(at_ms) => now_ms < at_ms || now_ms - at_ms >= COMPARE_EVERY_MS,
    }
}

/// Full jitter: anything from nothing to a bound that doubles, so that 200 phones that lost the server at once do not come
/// back at once. The server's own wish comes on top.
#[must_use]
pub fn rest(failures: u32, failure: Failure, random: f64) -> Duration {
    let bound = FIRST_REST
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_REST);
    let jitter = bound.mul_f64(random.clamp(0.0, 1.0));
    match failure {
        Failure::Busy {
            retry_after: Some(wish),
        } => wish.min(LONGEST_REST) + jitter,
        _ => jitter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WENT: Answer = Answer::Went {
        news: false,
        feed: Feed::Read,
    };
    const UNREAD: Answer = Answer::Went {
        news: false,
        feed: Feed::Unread,
    };
    const IN: Situation = Situation {
        signed_in: true,
        unsent_changes: false,
        anew: false,
        compare_due: false,
        wanted: false,
        unsent_files: false,
        unconfirmed: false,
    };

    #[test]
    fn one_observation_costs_one_round_trip() {
        let mut exchange = Exchange::new(3);
        let unsent = Situation {
            unsent_changes: true,
            unconfirmed: true,
            ..IN
        };
        assert_eq!(exchange.step(unsent), Step::Push);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(IN), Step::Finished);
    }

    #[test]
    fn a_push_whose_answer_has_no_page_or_not_the_last_is_followed_by_a_pull() {
        for feed in [Feed::Unread, Feed::More] {
            let mut exchange = Exchange::new(3);
            let unsent = Situation {
                unsent_changes: true,
                ..IN
            };
            assert_eq!(exchange.step(unsent), Step::Push);
            exchange.answered(Answer::Went { news: false, feed }, 0.5);
            assert_eq!(exchange.step(IN), Step::Pull);
            exchange.answered(WENT, 0.5);
            assert_eq!(exchange.step(IN), Step::Finished);
        }
    }

    #[test]
    fn news_on_a_pushs_page_is_asked_about_once_more() {
        let mut exchange = Exchange::new(3);
        let unconfirmed = Situation {
            unconfirmed: true,
            ..IN
        };
        let unsent = Situation {
            unsent_changes: true,
            ..unconfirmed
        };
        assert_eq!(exchange.step(unsent), Step::Push);
        let merged = Answer::Went {
            news: true,
            feed: Feed::Read,
        };
        exchange.answered(merged, 0.5);
        assert_eq!(exchange.step(unconfirmed), Step::Push);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(unconfirmed), Step::Finished);
    }

    #[test]
    fn text_goes_first_then_decisions_come_then_photos_go_and_a_receipt_is_asked() {
        let mut exchange = Exchange::new(3);
        let all = Situation {
            unsent_changes: true,
            unsent_files: true,
            unconfirmed: true,
            ..IN
        };
        assert_eq!(exchange.step(all), Step::Push);
        exchange.answered(UNREAD, 0.5);
        let file = Situation {
            unsent_changes: false,
            ..all
        };
        assert_eq!(exchange.step(file), Step::Pull);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(file), Step::Upload);
        exchange.answered(
            Answer::Went {
                news: true,
                feed: Feed::Unread,
            },
            0.5,
        );
        let confirm = Situation {
            unsent_files: false,
            ..file
        };
        assert_eq!(exchange.step(confirm), Step::Push);
        exchange.answered(WENT, 0.5);
        // Still unconfirmed, but nothing happened since it was asked: no endless asking.
        assert_eq!(exchange.step(confirm), Step::Finished);
    }

    #[test]
    fn after_a_restored_backup_all_is_compared_before_more_is_pulled() {
        let mut exchange = Exchange::new(3);
        let anew = Situation {
            anew: true,
            compare_due: true,
            ..IN
        };
        assert_eq!(exchange.step(anew), Step::Compare);
        exchange.answered(UNREAD, 0.5);
        let lost = Situation {
            unsent_changes: true,
            wanted: true,
            ..IN
        };
        assert_eq!(exchange.step(lost), Step::Push);
        exchange.answered(UNREAD, 0.5);
        let differs = Situation { wanted: true, ..IN };
        assert_eq!(exchange.step(differs), Step::Pull);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(differs), Step::Fetch);
    }

    #[test]
    fn once_a_day_all_is_compared_after_what_is_new_came() {
        const DAY: i64 = COMPARE_EVERY_MS;
        assert!(compare_due(None, 0) && compare_due(Some(0), DAY));
        assert!(!compare_due(Some(0), DAY - 1) && !compare_due(Some(DAY), DAY));
        assert!(compare_due(Some(1), 0), "the clock was put back");
        let mut exchange = Exchange::new(3);
        let due = Situation {
            compare_due: true,
            ..IN
        };
        assert_eq!(exchange.step(due), Step::Pull);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(due), Step::Compare);
        exchange.answered(UNREAD, 0.5);
        assert_eq!(exchange.step(IN), Step::Finished);
    }

    #[test]
    fn what_is_wanted_whole_is_fetched_after_what_is_new() {
        let mut exchange = Exchange::new(3);
        let wanted = Situation { wanted: true, ..IN };
        assert_eq!(exchange.step(wanted), Step::Pull);
        exchange.answered(WENT, 0.5);
        assert_eq!(exchange.step(wanted), Step::Fetch);
        exchange.answered(UNREAD, 0.5);
        assert_eq!(exchange.step(IN), Step::Finished);
    }

    #[test]
    fn an_expired_token_is_renewed_once_without_a_rest() {
        let mut exchange = Exchange::new(3);
        assert_eq!(exchange.step(IN), Step::Pull);
        exchange.answered(Answer::Failed(Failure::TokenExpired), 0.5);
        assert_eq!(exchange.step(Situation::default()), Step::SignIn);
        exchange.answered(UNREAD, 0.5);
        assert_eq!(exchange.step(IN), Step::Pull);
        exchange.answered(Answer::Failed(Failure::TokenExpired), 0.5);
        assert!(matches!(exchange.step(IN), Step::Rest(_)));
    }

    #[test]
    fn a_sync_that_outlives_several_tokens_renews_each_of_them() {
        let mut exchange = Exchange::new(1);
        for _ in 0..5 {
            assert_eq!(exchange.step(IN), Step::Pull);
            exchange.answered(Answer::Failed(Failure::TokenExpired), 0.5);
            assert_eq!(exchange.step(Situation::default()), Step::SignIn);
            exchange.answered(UNREAD, 0.5);
            assert_eq!(exchange.step(IN), Step::Pull);
            let more = Answer::Went {
                news: true,
                feed: Feed::More,
            };
            exchange.answered(more, 0.5);
        }
    }

    #[test]
    fn rests_grow_are_drawn_and_end() {
        let mut exchange = Exchange::new(4);
        let mut rests = Vec::new();
        for _ in 0..3 {
            exchange.step(IN);
            exchange.answered(Answer::Failed(Failure::Unreachable), 1.0);
            match exchange.step(IN) {
                Step::Rest(rest) => rests.push(rest.as_millis()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rests, [1_000, 2_000, 4_000]);
        exchange.step(IN);
        exchange.answered(Answer::Failed(Failure::Unreachable), 1.0);
        assert_eq!(exchange.step(IN), Step::GiveUp(Failure::Unreachable));
        assert_eq!(rest(1, Failure::Unreachable, 0.0), Duration::ZERO);
        assert!(
            rest(
                60,
                Failure::Busy {
                    retry_after: Some(Duration::from_secs(5))
                },
                1.0
            ) <= 2 * LONGEST_REST
        );
    }

    #[test]
    fn a_revoked_phone_stops_at_once() {
        let mut exchange = Exchange::new(10);
        exchange.step(IN);
        exchange.answered(Answer::Failed(Failure::Final), 0.5);
        assert_eq!(exchange.step(IN), Step::GiveUp(Failure::Final));
    }
}
