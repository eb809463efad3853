//! What a deed was done to, as a reader knows it: a person's, a phone's and a unit's name for every reader of the log; how a patrol,
//! an evidence file or a checkpoint is called, and the way to its page, only for whom its content is. Its id is always there.

use super::super::{evidence_list, language::Language, titles};

/// The columns of [`Named`] for the rows `a`. An evidence file is what each of its items says it is about.
macro_rules! named {
    () => {
        "s_person.name as s_person, s_phone.model as s_phone, s_owner.name as s_owner, s_unit.name as s_unit, \
         s_document.kind as s_kind, s_patrol.title as s_patrol, s_checkpoint.name as s_checkpoint, \
         (select e.criterion from evidence e where e.document_id = a.subject \
             and e.unit_id in (select unit_id from scope) limit 1) as s_criterion, \
         (select e.period from evidence e where e.document_id = a.subject \
             and e.unit_id in (select unit_id from scope) limit 1) as s_period "
    };
}
pub(super) use named;

/// Where they come from, for the rows `a`. What is content is joined within `scope`: who reads no content has no unit with any.
macro_rules! joined {
    () => {
        "left join person s_person on s_person.person_id = a.subject \
         left join phone s_phone on s_phone.phone_id = a.subject \
         left join person s_owner on s_owner.person_id = s_phone.person_id \
         left join unit s_unit on s_unit.unit_id = a.subject \
         left join document s_document on s_document.document_id = a.subject \
         left join patrol s_patrol on s_patrol.document_id = a.subject \
              and s_patrol.unit_id in (select unit_id from scope) \
         left join checkpoint s_checkpoint on s_checkpoint.checkpoint_id = a.subject \
              and s_checkpoint.unit_id = a.unit_id and s_checkpoint.unit_id in (select unit_id from scope) "
    };
}
pub(super) use joined;

/// What the tables know of a subject; most of it is none.
#[derive(Debug, Default, sqlx::FromRow)]
pub struct Named {
    s_person: Option<String>,
    s_phone: Option<String>,
    s_owner: Option<String>,
    s_unit: Option<String>,
    s_kind: Option<String>,
    s_patrol: Option<String>,
    s_checkpoint: Option<String>,
    s_criterion: Option<i64>,
    s_period: Option<String>,
}

/// A subject as the page shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    /// What it is called; empty for what has no name, or none for this reader.
    pub name: String,
    /// Its page, if this reader may open it.
    pub path: Option<String>,
    /// Its whole id.
    pub id: String,
    /// So much of the id as tells it apart on a page.
    pub short: String,
}

impl Named {
    /// The subject of this id.
    pub fn shown(self, id: String, language: Language) -> Subject {
        let w = language.words();
        let mut path = None;
        let name = if let Some(title) = self.s_patrol {
            path = Some(format!("/patrols/{id}"));
            w.patrol_title(title)
        } else if let Some(criterion) = self.s_criterion {
            path = Some(format!("/evidence/{id}"));
            let period = self.s_period.map(|period| evidence_list::in_words(&period));
            format!(
                "{criterion}. {} · {}",
                titles::criterion(criterion, language),
                period.unwrap_or_default()
            )
        } else if let Some(model) = self.s_phone {
            // Some phones do not say what they are.
            let parts = [model, self.s_owner.unwrap_or_default()];
            let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            said.join(" · ")
        } else if let Some(kind) = self.s_kind {
            w.kind(&kind).to_owned()
        } else {
            let names = [self.s_person, self.s_unit, self.s_checkpoint];
            names.into_iter().flatten().next().unwrap_or_default()
        };
        Subject {
            name,
            path,
            short: short(&id),
            id,
        }
    }
}

/// The end of an id, which is random where its beginning is a time; the beginning of a hash, which is how files are called.
fn short(id: &str) -> String {
    match id.len() {
        36 => format!("…{}", &id[24..]),
        64 => format!("{}…", &id[..12]),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab2c4-0000-7000-8000-00000000abcd";

    fn shown(named: Named) -> Subject {
        named.shown(ID.to_owned(), Language::Vietnamese)
    }

    #[test]
    fn a_subject_is_called_what_it_is_and_its_id_stays() {
        let phone = Named {
            s_phone: Some("Redmi 13C".into()),
            s_owner: Some("An".into()),
            ..Named::default()
        };
        let nameless = Named {
            s_phone: Some(String::new()),
            s_owner: Some("An".into()),
            ..Named::default()
        };
        assert_eq!(shown(nameless).name, "An");
        let subject = shown(phone);
        assert_eq!(subject.name, "Redmi 13C · An");
        assert_eq!((subject.path, subject.id.as_str()), (None, ID));
        assert_eq!(subject.short, "…00000000abcd");
        // A document without its content is its kind.
        let kind = || Some("patrol-log".to_owned());
        let hidden = Named {
            s_kind: kind(),
            ..Named::default()
        };
        assert_eq!(shown(hidden).name, "Ca tuần tra");
        let open = Named {
            s_kind: kind(),
            s_patrol: Some("Ca đêm".into()),
            ..Named::default()
        };
        let subject = shown(open);
        assert_eq!(subject.name, "Ca đêm");
        assert_eq!(subject.path, Some(format!("/patrols/{ID}")));
    }

    #[test]
    fn what_nobody_named_is_its_id() {
        let hash = "ab".repeat(32);
        let subject = Named::default().shown(hash.clone(), Language::English);
        assert_eq!((subject.name.as_str(), subject.path), ("", None));
        assert_eq!(
            (subject.short.as_str(), subject.id),
            ("abababababab…", hash)
        );
        assert_eq!(short("17"), "17");
    }
}
