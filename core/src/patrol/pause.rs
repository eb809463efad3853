//! Pauses: when the team rests, and what that means. Positions exist inside a shift only, and a pause is no part of it: from the
//! press of the one button to that of the other nothing says where an officer is.

use super::PatrolLog;
use crate::{
    id::{PauseId, PersonId},
    invalid::{Invalid, Rule},
    stamp::Stamp,
    track::Dropped,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};

/// A pause of the patrol.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Pause {
    /// From, Unix milliseconds.
    pub from_ms: i64,
    /// Until, Unix milliseconds; none while it lasts.
    #[autosurgeon(missing = "Option::default")]
    pub until_ms: Option<i64>,
    /// Who paused.
    pub by: PersonId,
}

impl PatrolLog {
    /// Begins a pause.
    ///
    /// # Errors
    /// `Already` while one lasts; `Ended`, `NotOnTheTeam`.
    pub fn pause(&mut self, stamp: Stamp) -> Result<PauseId, Invalid> {
        self.going_on(stamp.by)?;
        if self.open_pause().is_some() {
            return Err(Invalid::new("pause", Rule::Already));
        }
        let id = PauseId::fresh(stamp.at_ms, stamp.random);
        self.pauses.insert(
            id,
            Pause {
                from_ms: stamp.at_ms,
                until_ms: None,
                by: stamp.by,
            },
        );
        Ok(id)
    }

    /// Ends every open pause.
    ///
    /// # Errors
    /// `Already` when none is open; `Ended`, `NotOnTheTeam`.
    pub fn resume(&mut self, stamp: Stamp) -> Result<(), Invalid> {
        self.going_on(stamp.by)?;
        if self.open_pause().is_none() {
            return Err(Invalid::new("pause", Rule::Already));
        }
        self.close_pauses(stamp.at_ms);
        Ok(())
    }

    /// Why a live fix is let go although it may be a good one; none while the team is under way. By the button and not by the
    /// fix's own time: satellites' time and a phone's clock differ, and a shift must not lose its way for that.
    #[must_use]
    pub fn lets_go(&self) -> Option<Dropped> {
        self.open_pause().map(|_| Dropped::Paused)
    }

    /// The pause that lasts.
    #[must_use]
    pub fn open_pause(&self) -> Option<PauseId> {
        self.pauses
            .iter()
            .find(|(_, pause)| pause.until_ms.is_none())
            .map(|(id, _)| *id)
    }

    pub(super) fn close_pauses(&mut self, at_ms: i64) {
        for pause in self
            .pauses
            .values_mut()
            .filter(|pause| pause.until_ms.is_none())
        {
            pause.until_ms = Some(at_ms.max(pause.from_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patrol::tests::{AN, HA, at, started};

    #[test]
    fn a_patrol_pauses_resumes_and_ends_once() {
        let mut patrol = started();
        patrol.pause(at(AN, 2)).expect("pauses");
        assert_eq!(
            patrol.pause(at(HA, 3)),
            Err(Invalid::new("pause", Rule::Already))
        );
        patrol.resume(at(HA, 4)).expect("resumes");
        patrol.pause(at(AN, 5)).expect("pauses again");
        patrol.end(at(AN, 6)).expect("ends");
        assert!(patrol.open_pause().is_none());
        assert_eq!(
            patrol.end(at(AN, 7)),
            Err(Invalid::new("patrol", Rule::Ended))
        );
    }

    #[test]
    fn while_a_pause_lasts_no_position_is_kept() {
        let mut patrol = started();
        assert_eq!(patrol.lets_go(), None);
        patrol.pause(at(AN, 2)).expect("pauses");
        assert_eq!(patrol.lets_go(), Some(Dropped::Paused));
        patrol.resume(at(HA, 4)).expect("resumes");
        assert_eq!(patrol.lets_go(), None);
    }
}
