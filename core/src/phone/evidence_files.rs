//! Evidence by criterion and period, as an app uses it.

use super::{
    Phone,
    attachments::AttachmentView,
    error::PhoneError,
    items::{self, ItemState},
    store::Also,
};
use crate::{
    attachment,
    criterion::CriterionNumber,
    document::{Key, Kind},
    evidence::{Evidence, EvidenceFile, NewEvidence},
    hash::Sha256,
    id::{DocumentId, EvidenceId},
    period::Period,
};
use sqlx::Row as _;

/// The evidence for one criterion in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceFileView {
    /// The document.
    pub document: DocumentId,
    /// Which criterion.
    pub criterion: CriterionNumber,
    /// Which period.
    pub period: Period,
    /// Its pieces, in the order of filing; withdrawn ones among them.
    pub items: Vec<EvidenceView>,
    /// Files that hang on its pieces, in the order of attaching; withdrawn ones among them.
    pub attachments: Vec<AttachmentView>,
    /// Evidence kinds still missing, by code.
    pub missing: Vec<String>,
    /// Where it is on its way to the server and back.
    pub state: ItemState,
    /// When this phone heard that its person may no longer read it, Unix milliseconds. What is here stays readable.
    pub ungranted_at_ms: Option<i64>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceView {
    /// Its id.
    pub evidence: EvidenceId,
    /// What it says.
    pub content: Evidence,
    /// SHA-256 of its files that stand.
    pub attachments: Vec<Sha256>,
}

const LIST: &str = concat!(
    "select ",
    items::state_columns!(),
    ", document_id, ungranted_at_ms from standing where kind = 'evidence-file'"
);

impl Phone {
    /// Files evidence of one's unit for a criterion in a period. Returns the document and the piece.
    ///
    /// # Errors
    /// The rules of [`NewEvidence`]; `SignedOut` before enrolment; `StorageFull`.
    pub async fn file_evidence(
        &self,
        criterion: CriterionNumber,
        period: &Period,
        new: NewEvidence,
    ) -> Result<(DocumentId, EvidenceId), PhoneError> {
        let mut store = self.store().await;
        let profile = store.profile()?;
        let stamp = self.stamp(profile.person);
        let key = Key::evidence(profile.unit, criterion, period);
        let file = |file: &mut EvidenceFile| file.file(stamp, new);
        let evidence = store.edit(&key, stamp.at_ms, Also::Nothing, file).await?;
        Ok((key.document(), evidence))
    }

    /// Changes a piece of evidence to what `new` says.
    ///
    /// # Errors
    /// `NotFound`, and the rules of [`NewEvidence`].
    pub async fn edit_evidence(
        &self,
        document: DocumentId,
        evidence: EvidenceId,
        new: NewEvidence,
    ) -> Result<(), PhoneError> {
        let mut store = self.store().await;
        let stamp = self.stamp(store.profile()?.person);
        let key = store.key(document).await?;
        if key.kind != Kind::EvidenceFile {
            return Err(PhoneError::NotFound);
        }
        store
            .edit(
                &key,
                stamp.at_ms,
                Also::Nothing,
                |file: &mut EvidenceFile| file.edit(stamp, evidence, new),
            )
            .await
    }

    /// The evidence kinds that a criterion still lacks in a period, by code. All of them while nothing is filed.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn missing(
        &self,
        criterion: CriterionNumber,
        period: &Period,
    ) -> Result<Vec<String>, PhoneError> {
        let mut store = self.store().await;
        let key = Key::evidence(store.profile()?.unit, criterion, period);
        match store.read::<EvidenceFile>(key.document()).await {
            Ok((_, file)) => Ok(file.missing(criterion)),
            Err(PhoneError::NotFound) => Ok(EvidenceFile::default().missing(criterion)),
            Err(error) => Err(error),
        }
    }

    /// Every evidence file on this phone, by period and criterion.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn evidence(&self) -> Result<Vec<EvidenceFileView>, PhoneError> {
        let mut store = self.store().await;
        store.unfold_all().await?;
        let sending = self.syncing.sending();
        let rows = sqlx::query(LIST).fetch_all(&mut store.connection).await?;
        let mut files = Vec::with_capacity(rows.len());
        for row in rows {
            let id: DocumentId = row
                .get::<&str, _>(6)
                .parse()
                .map_err(PhoneError::internal)?;
            let (key, file) = store.read::<EvidenceFile>(id).await?;
            let Some((criterion, period)) = key.evidence_of() else {
                continue;
            };
            files.push(EvidenceFileView {
                document: id,
                criterion,
                period,
                missing: file.missing(criterion),
                items: views(&file),
                attachments: AttachmentView::of(file.attachments),
                state: items::state_in(&row, 0, sending)?,
                ungranted_at_ms: row.get(7),
            });
        }
        files.sort_by_key(|file| (file.period.to_string(), file.criterion));
        Ok(files)
    }
}

fn views(file: &EvidenceFile) -> Vec<EvidenceView> {
    file.items
        .iter()
        .map(|(evidence, content)| EvidenceView {
            evidence: *evidence,
            content: content.clone(),
            attachments: attachment::hanging_on(&file.attachments, evidence),
        })
        .collect()
}
