//! Evidence (minh chứng): what a unit shows for one criterion in one period. One file per criterion and period; two phones that
//! begin it apart begin the same document, and both their items stand in it.

use crate::{
    attachment::{self, Attachment},
    catalogue::{Catalogue, List},
    criterion::CriterionNumber,
    document::{Kind, Record},
    id::{AttachmentId, EvidenceId, PersonId},
    invalid::{self, Invalid, Rule},
    observation::{NOTE_LIMIT, REFERENCE_LIMIT},
    stamp::{self, Stamp},
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Characters in the summary (trích yếu).
pub const SUMMARY_LIMIT: usize = 500;

/// The content of an evidence file.
#[derive(Clone, Debug, Default, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct EvidenceFile {
    /// What is shown.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub items: BTreeMap<EvidenceId, Evidence>,
    /// Scans and photos, each of one item.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub attachments: BTreeMap<AttachmentId, Attachment>,
}

impl Record for EvidenceFile {
    const KIND: Kind = Kind::EvidenceFile;
}

/// One piece of evidence.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Evidence {
    /// The catalogue's evidence kind, by code.
    pub evidence_kind: String,
    /// What it is about (trích yếu, for an official document).
    pub summary: String,
    /// Số, ký hiệu.
    #[autosurgeon(missing = "Option::default")]
    pub document_number: Option<String>,
    /// Ngày ban hành, `2026-03-31`.
    #[autosurgeon(missing = "Option::default")]
    pub issued_on: Option<String>,
    /// Cơ quan ban hành.
    #[autosurgeon(missing = "Option::default")]
    pub issued_by: Option<String>,
    /// Người ký: an official, in office.
    #[autosurgeon(missing = "Option::default")]
    pub signed_by: Option<String>,
    /// A short note.
    #[autosurgeon(missing = "Option::default")]
    pub note: Option<String>,
    /// When it was filed, by the phone's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// Who filed it.
    pub recorded_by: PersonId,
    /// Who changed it last.
    #[autosurgeon(missing = "Option::default")]
    pub edited_by: Option<PersonId>,
    /// When it was withdrawn as a slip, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub withdrawn_at_ms: Option<i64>,
}

/// What filing evidence takes.
#[derive(Clone, Default, PartialEq)]
pub struct NewEvidence {
    /// The kind, by code.
    pub evidence_kind: String,
    /// What it is about.
    pub summary: String,
    /// Số, ký hiệu.
    pub document_number: Option<String>,
    /// Ngày ban hành, `2026-03-31`.
    pub issued_on: Option<String>,
    /// Cơ quan ban hành.
    pub issued_by: Option<String>,
    /// Người ký.
    pub signed_by: Option<String>,
    /// A short note.
    pub note: Option<String>,
    /// Taken back as a slip.
    pub withdrawn: bool,
}

crate::unprinted!(Evidence, NewEvidence);

impl Evidence {
    /// What `new` says, filed with this stamp.
    fn filed(stamp: Stamp, new: NewEvidence) -> Result<Self, Invalid> {
        let kind = Catalogue::placeholder()
            .item(List::EvidenceKinds, &new.evidence_kind)
            .ok_or_else(|| Invalid::new("evidence_kind", Rule::Unknown))?;
        let filed = Self {
            evidence_kind: new.evidence_kind,
            summary: new.summary,
            document_number: new.document_number,
            issued_on: new.issued_on,
            issued_by: new.issued_by,
            signed_by: new.signed_by,
            note: new.note,
            recorded_at_ms: stamp.at_ms,
            recorded_by: stamp.by,
            edited_by: None,
            withdrawn_at_ms: new.withdrawn.then_some(stamp.at_ms),
        };
        filed.check()?;
        // An official document has five heads; the summary is the fifth.
        let absent = filed
            .heads()
            .into_iter()
            .find(|(_, head)| head.unwrap_or_default().trim().is_empty());
        match absent {
            Some((field, _)) if kind.official_document => Err(Invalid::new(field, Rule::Required)),
            _ => Ok(filed),
        }
    }

    /// The rules of each field by itself, also for what came from another phone. What two fields owe each other is asked when
    /// filing only: two honest edits that merge can break it, and neither may be refused for the other.
    fn check(&self) -> Result<(), Invalid> {
        invalid::text(
            "evidence_kind",
            &self.evidence_kind,
            crate::observation::CODE_LIMIT,
        )?;
        if self.summary.trim().is_empty() {
            return Err(Invalid::new("summary", Rule::Required));
        }
        invalid::text("summary", &self.summary, SUMMARY_LIMIT)?;
        invalid::text("note", self.note.as_deref().unwrap_or_default(), NOTE_LIMIT)?;
        for (field, head) in self.heads() {
            invalid::text(field, head.unwrap_or_default(), REFERENCE_LIMIT)?;
        }
        stamp::time("recorded_at_ms", self.recorded_at_ms)?;
        stamp::time("withdrawn_at_ms", self.withdrawn_at_ms.unwrap_or(0))?;
        match &self.issued_on {
            Some(date) if date.parse::<jiff::civil::Date>().is_err() => {
                Err(Invalid::new("issued_on", Rule::Malformed))
            }
            _ => Ok(()),
        }
    }

    fn heads(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("document_number", self.document_number.as_deref()),
            ("issued_on", self.issued_on.as_deref()),
            ("issued_by", self.issued_by.as_deref()),
            ("signed_by", self.signed_by.as_deref()),
        ]
    }
}

impl EvidenceFile {
    /// Files one piece of evidence.
    ///
    /// # Errors
    /// The first rule that `new` breaks, with its field.
    pub fn file(&mut self, stamp: Stamp, new: NewEvidence) -> Result<EvidenceId, Invalid> {
        let filed = Evidence::filed(stamp, new)?;
        let id = EvidenceId::fresh(stamp.at_ms, stamp.random);
        self.items.insert(id, filed);
        Ok(id)
    }

    /// Changes a piece of evidence to what `new` says.
    ///
    /// # Errors
    /// `Unknown` at `evidence` if there is none of that id; the rules of `new`.
    pub fn edit(&mut self, stamp: Stamp, id: EvidenceId, new: NewEvidence) -> Result<(), Invalid> {
        let filed = Evidence::filed(stamp, new)?;
        let item = self
            .items
            .get_mut(&id)
            .ok_or_else(|| Invalid::new("evidence", Rule::Unknown))?;
        // Who filed it and when stays, and so does the time at which it was withdrawn first.
        let withdrawn_at_ms = filed
            .withdrawn_at_ms
            .map(|now_ms| item.withdrawn_at_ms.unwrap_or(now_ms));
        *item = Evidence {
            recorded_at_ms: item.recorded_at_ms,
            recorded_by: item.recorded_by,
            edited_by: Some(stamp.by),
            withdrawn_at_ms,
            ..filed
        };
        Ok(())
    }

    /// Hangs a file on one piece of evidence; where it hangs already, nothing is added.
    ///
    /// # Errors
    /// `Required` without an item; `Unknown` for one that is not there.
    pub fn attach(
        &mut self,
        stamp: Stamp,
        attachment: Attachment,
    ) -> Result<AttachmentId, Invalid> {
        let item = attachment
            .item
            .as_deref()
            .ok_or_else(|| Invalid::new("item", Rule::Required))?;
        let item: EvidenceId = item
            .parse()
            .map_err(|_| Invalid::new("item", Rule::Malformed))?;
        if !self.items.contains_key(&item) {
            return Err(Invalid::new("item", Rule::Unknown));
        }
        Ok(attachment::hang(&mut self.attachments, stamp, attachment))
    }

    /// Withdraws a file that was attached by mistake; see [`attachment::withdraw`].
    ///
    /// # Errors
    /// At `attachment`: `Unknown`, `Already`.
    pub fn withdraw_attachment(&mut self, stamp: Stamp, id: AttachmentId) -> Result<(), Invalid> {
        attachment::withdraw(&mut self.attachments, stamp, id)
    }

    /// Whether everything in it could have come from a phone that keeps the rules. Codes are not judged: a newer phone may know
    /// more of them.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        for item in self.items.values() {
            item.check()?;
        }
        self.attachments.values().try_for_each(Attachment::check)
    }

    /// The evidence kinds that `criterion` asks for and the file does not show yet, by code.
    #[must_use]
    pub fn missing(&self, criterion: CriterionNumber) -> Vec<String> {
        let shown = |code: &str| {
            self.items
                .values()
                .any(|item| item.withdrawn_at_ms.is_none() && item.evidence_kind == code)
        };
        let criterion = Catalogue::placeholder().criterion(criterion);
        let required = criterion
            .map(|criterion| criterion.evidence.as_slice())
            .unwrap_or_default();
        required
            .iter()
            .map(|required| &required.kind)
            .filter(|code| !shown(code))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        by: PersonId::from_bytes([1; 16]),
        at_ms: 5,
        random: [0; 10],
    };

    fn decision() -> NewEvidence {
        NewEvidence {
            evidence_kind: "decision".into(),
            summary: "Về việc kiện toàn tổ tuần tra".into(),
            document_number: Some("12/QĐ-CAP".into()),
            issued_on: Some("2026-03-31".into()),
            issued_by: Some("Công an phường Trường Vinh".into()),
            signed_by: Some("Trưởng Công an phường".into()),
            ..NewEvidence::default()
        }
    }

    #[test]
    fn an_official_document_has_five_heads() {
        let mut file = EvidenceFile::default();
        assert!(file.file(STAMP, decision()).is_ok());
        for (new, field) in [
            (
                NewEvidence {
                    document_number: None,
                    ..decision()
                },
                "document_number",
            ),
            (
                NewEvidence {
                    issued_on: None,
                    ..decision()
                },
                "issued_on",
            ),
            (
                NewEvidence {
                    issued_by: None,
                    ..decision()
                },
                "issued_by",
            ),
            (
                NewEvidence {
                    signed_by: None,
                    ..decision()
                },
                "signed_by",
            ),
            (
                NewEvidence {
                    summary: " ".into(),
                    ..decision()
                },
                "summary",
            ),
        ] {
            assert_eq!(
                file.file(STAMP, new),
                Err(Invalid::new(field, Rule::Required))
            );
        }
    }

    #[test]
    fn a_photo_needs_a_summary_only() {
        let photo = NewEvidence {
            evidence_kind: "photo".into(),
            summary: "Vỉa hè Lê Lợi".into(),
            ..NewEvidence::default()
        };
        assert!(EvidenceFile::default().file(STAMP, photo).is_ok());
    }

    #[test]
    fn a_date_that_is_none_is_malformed() {
        let new = NewEvidence {
            issued_on: Some("31/03/2026".into()),
            ..decision()
        };
        assert_eq!(
            EvidenceFile::default().file(STAMP, new),
            Err(Invalid::new("issued_on", Rule::Malformed))
        );
    }

    #[test]
    fn what_comes_from_another_phone_is_held_to_the_rules_of_each_field() {
        let mut file = EvidenceFile::default();
        let id = file.file(STAMP, decision()).expect("filed");
        assert_eq!(file.check(), Ok(()));
        let broken = |breaks: fn(&mut Evidence)| {
            let mut other = file.clone();
            breaks(other.items.get_mut(&id).expect("is there"));
            other.check()
        };
        assert_eq!(
            broken(|item| item.summary.clear()),
            Err(Invalid::new("summary", Rule::Required))
        );
        assert_eq!(
            broken(|item| item.issued_on = Some("tháng ba".into())),
            Err(Invalid::new("issued_on", Rule::Malformed))
        );
        // One phone made it a photo and emptied the heads, another a plan: together they lack what neither left out.
        let merged = file.items.get_mut(&id).expect("is there");
        merged.evidence_kind = "plan".into();
        merged.signed_by = None;
        assert_eq!(file.check(), Ok(()));
    }
}
