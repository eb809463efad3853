//! Handovers (bàn giao ca): who gives the shift to whom, and that the taker confirmed.

use super::PatrolLog;
use crate::{
    id::{HandoverId, PersonId},
    invalid::{self, Invalid, Rule},
    stamp::Stamp,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};

/// A handover of the shift to the next team.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Handover {
    /// Who hands over.
    pub from: PersonId,
    /// Who takes over.
    pub to: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What the next team must know.
    pub note: String,
    /// When the taker confirmed, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub confirmed_at_ms: Option<i64>,
}

crate::unprinted!(Handover);

impl PatrolLog {
    /// Hands the shift over to `to`, who may read the patrol from then on and is asked to confirm.
    ///
    /// # Errors
    /// `NotOnTheTeam`; `Already` at `to` for oneself; the rules of the note.
    pub fn hand_over(
        &mut self,
        stamp: Stamp,
        to: PersonId,
        note: &str,
    ) -> Result<HandoverId, Invalid> {
        self.on_the_team(stamp.by)?;
        if to == stamp.by {
            return Err(Invalid::new("to", Rule::Already));
        }
        invalid::text("note", note, crate::observation::NOTE_LIMIT)?;
        let id = HandoverId::fresh(stamp.at_ms, stamp.random);
        let handover = Handover {
            from: stamp.by,
            to,
            at_ms: stamp.at_ms,
            note: note.to_owned(),
            confirmed_at_ms: None,
        };
        self.handovers.insert(id, handover);
        Ok(id)
    }

    /// Confirms a handover: only who takes over can.
    ///
    /// # Errors
    /// `Unknown` at `handover` if there is none of that id to this person; `Already` when it is confirmed.
    pub fn confirm_handover(&mut self, stamp: Stamp, id: HandoverId) -> Result<(), Invalid> {
        let at = |rule| Invalid::new("handover", rule);
        let handover = self
            .handovers
            .get_mut(&id)
            .filter(|handover| handover.to == stamp.by)
            .ok_or_else(|| at(Rule::Unknown))?;
        if handover.confirmed_at_ms.is_some() {
            return Err(at(Rule::Already));
        }
        handover.confirmed_at_ms = Some(stamp.at_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patrol::tests::{AN, BINH, HA, at, started};

    #[test]
    fn a_handover_is_confirmed_once_and_by_who_takes_over() {
        let mut patrol = started();
        let oneself = patrol.hand_over(at(AN, 2), AN, "");
        assert_eq!(oneself, Err(Invalid::new("to", Rule::Already)));
        let id = patrol
            .hand_over(at(AN, 3), BINH, "Còn một xe tạm giữ")
            .expect("hands over");
        assert!(patrol.readers().contains(&BINH) && !patrol.has(BINH));
        let unknown = Err(Invalid::new("handover", Rule::Unknown));
        assert_eq!(patrol.confirm_handover(at(HA, 4), id), unknown);
        patrol.confirm_handover(at(BINH, 5), id).expect("confirms");
        assert_eq!(patrol.handovers[&id].confirmed_at_ms, Some(5));
        let again = patrol.confirm_handover(at(BINH, 6), id);
        assert_eq!(again, Err(Invalid::new("handover", Rule::Already)));
    }
}
