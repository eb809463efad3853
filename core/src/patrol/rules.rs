//! What a patrol log is held to that came from another phone: the limits of each field by itself, and nothing that two honest
//! edits could break together. A phone that keeps the rules never writes what is refused here.

use super::{PatrolLog, TITLE_LIMIT, within_limit};
use crate::{
    attachment::Attachment,
    invalid::{self, Invalid},
    observation::{CODE_LIMIT, NOTE_LIMIT},
    stamp,
};

impl PatrolLog {
    /// Whether everything in it could have come from a phone that keeps the rules: texts within their limits and without
    /// control characters, counts that are counts, times that a clock can say, places on the Earth. Codes are not judged: a
    /// newer phone may know more of them.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text(
            "title",
            self.title.as_deref().unwrap_or_default(),
            TITLE_LIMIT,
        )?;
        for (code, count) in self.forces.iter().chain(&self.vehicles) {
            invalid::text("code", code, CODE_LIMIT)?;
            within_limit(*count).map_err(|rule| Invalid::new("count", rule))?;
        }
        for observation in self.observations.values() {
            observation.check()?;
        }
        for visit in self.visits.values() {
            invalid::text("proof", &visit.proof, CODE_LIMIT)?;
        }
        for handover in self.handovers.values() {
            invalid::text("note", &handover.note, NOTE_LIMIT)?;
        }
        self.check_times()?;
        self.attachments.values().try_for_each(Attachment::check)
    }

    fn check_times(&self) -> Result<(), Invalid> {
        let own = [
            ("started_at_ms", self.started_at_ms),
            ("ended_at_ms", self.ended_at_ms),
            ("imported_at_ms", self.imported_at_ms),
        ];
        let team = self.team.values().map(|since| ("team", Some(*since)));
        let pauses = self.pauses.values().flat_map(|pause| {
            [
                ("from_ms", Some(pause.from_ms)),
                ("until_ms", pause.until_ms),
            ]
        });
        let visits = self
            .visits
            .values()
            .map(|visit| ("at_ms", Some(visit.at_ms)));
        let handovers = self.handovers.values().flat_map(|handover| {
            [
                ("at_ms", Some(handover.at_ms)),
                ("confirmed_at_ms", handover.confirmed_at_ms),
            ]
        });
        let times = own.into_iter().chain(team).chain(pauses);
        times
            .chain(visits)
            .chain(handovers)
            .try_for_each(|(field, at_ms)| at_ms.map_or(Ok(()), |at_ms| stamp::time(field, at_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        invalid::Rule,
        observation::NewObservation,
        patrol::tests::{AN, HA, at, started},
    };

    /// A patrol with one of everything that has a time.
    fn full() -> PatrolLog {
        let mut patrol = started();
        let new = NewObservation::of("urban-order", 3, "case");
        patrol.observe(at(AN, 2), new).expect("observes");
        patrol.pause(at(AN, 3)).expect("pauses");
        patrol.resume(at(AN, 4)).expect("resumes");
        patrol.hand_over(at(AN, 5), HA, "").expect("hands over");
        patrol.end(at(AN, 6)).expect("ends");
        patrol
    }

    #[test]
    fn a_time_that_no_clock_says_is_refused_wherever_it_stands() {
        assert_eq!(full().check(), Ok(()));
        let breaks: [fn(&mut PatrolLog, i64); 7] = [
            |log, at_ms| log.started_at_ms = Some(at_ms),
            |log, at_ms| log.ended_at_ms = Some(at_ms),
            |log, at_ms| *log.team.values_mut().next().expect("An") = at_ms,
            |log, at_ms| log.pauses.values_mut().for_each(|one| one.from_ms = at_ms),
            |log, at_ms| {
                let pauses = log.pauses.values_mut();
                pauses.for_each(|one| one.until_ms = Some(at_ms));
            },
            |log, at_ms| log.handovers.values_mut().for_each(|one| one.at_ms = at_ms),
            |log, at_ms| {
                let observations = log.observations.values_mut();
                observations.for_each(|one| one.happened_at_ms = at_ms);
            },
        ];
        for (number, breaks) in breaks.into_iter().enumerate() {
            for never in [i64::MIN, i64::MAX] {
                let mut patrol = full();
                breaks(&mut patrol, never);
                let refused = patrol.check().expect_err("no clock says so");
                assert_eq!(refused.rule, Rule::OutOfTime, "{number}");
            }
            // A clock in 1970 or 2100 is wrong, and what it timed is kept.
            for wrong in [0, 4_102_444_800_000] {
                let mut patrol = full();
                breaks(&mut patrol, wrong);
                assert_eq!(patrol.check(), Ok(()), "{number}");
            }
        }
    }

    #[test]
    fn a_place_off_the_earth_is_refused_and_a_missing_one_is_not() {
        let mut patrol = full();
        let one = patrol.observations.values_mut().next().expect("is there");
        one.lat_e7 = Some(2_000_000_000);
        let off = Invalid::new("position", Rule::OffTheMap);
        assert_eq!(patrol.check(), Err(off));
        let one = patrol.observations.values_mut().next().expect("is there");
        (one.lat_e7, one.lon_e7) = (Some(186_734_000), Some(1_056_813_000));
        assert_eq!(patrol.check(), Ok(()));
    }
}
