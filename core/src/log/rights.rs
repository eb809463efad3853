//! Rights: who may read which document, and what a feed says when that changes.
//!
//! Who is on a patrol's team stands in the patrol itself, so it is known only once a change was checked; from then on a feed says so
//! by entries with numbers of their own, and a reader who came onto the team is given the document whole. Data in, data out.

use super::numbering::Entry;
use crate::{
    document::Kind,
    id::{DocumentId, PersonId},
    person::Role,
};
use std::collections::BTreeSet;

/// A chief reads the unit; an officer the patrols of teams they are on, the unit's evidence and reference, and reviews of what
/// they may read. `member`: of the patrol, or of the patrol that the review is about.
#[must_use]
pub const fn may_read(role: Role, kind: Kind, member: bool, about_evidence: bool) -> bool {
    role.reads_the_unit()
        || match kind {
            Kind::EvidenceFile | Kind::Reference => true,
            Kind::PatrolLog => member,
            Kind::Review => member || about_evidence,
        }
}

/// What a feed says when who may read `document` was `before` and is `now`: who came is given it, then who went loses it.
pub fn changed<'a>(
    document: DocumentId,
    before: &'a BTreeSet<PersonId>,
    now: &'a BTreeSet<PersonId>,
) -> impl Iterator<Item = Entry> + 'a {
    let came = now.difference(before);
    let went = before.difference(now);
    let came = came.map(move |person| Entry::Grant(document, *person));
    came.chain(went.map(move |person| Entry::Ungrant(document, *person)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_officer_reads_patrols_of_teams_they_are_on_and_a_chief_the_unit() {
        let officer = |kind, member, about| may_read(Role::Officer, kind, member, about);
        assert!(officer(Kind::EvidenceFile, false, false));
        assert!(officer(Kind::PatrolLog, true, false) && !officer(Kind::PatrolLog, false, true));
        assert!(officer(Kind::Review, false, true) && !officer(Kind::Review, false, false));
        assert!(may_read(Role::Chief, Kind::PatrolLog, false, false));
        assert!(!may_read(Role::Admin, Kind::PatrolLog, false, false));
    }

    #[test]
    fn who_came_is_given_the_document_and_who_went_loses_it() {
        let [an, binh, ha] = [1, 2, 3].map(|number| PersonId::from_bytes([number; 16]));
        let document = DocumentId::from_bytes([9; 16]);
        let (before, now) = ([an, binh].into(), [binh, ha].into());
        let said: Vec<Entry> = changed(document, &before, &now).collect();
        assert_eq!(
            said,
            [Entry::Grant(document, ha), Entry::Ungrant(document, an)]
        );
        assert_eq!(changed(document, &now, &now).count(), 0);
    }
}
