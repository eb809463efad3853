//! The page of a document that supervisors decide about: a patrol's or an evidence file's. Where it is, what reading it costs in
//! the audit, and what both show beside their own content: files of the whole, clashes, who wrote what, the log, the decisions.

use super::{
    change::{self, Batch},
    clash::{self, Clash},
    decision::{self, Refused, ReviewPart},
    dossier::DossierPart,
    evidence, patrol,
    photo::Photo,
    reader::Reader,
    shell::Section,
};
use crate::{
    app::App,
    problem::{Answer, Problem},
};
use axum::response::Html;
use kieumau_core::id::DocumentId;

/// Whose page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A patrol's.
    Patrol,
    /// An evidence file's.
    Evidence,
}

impl Page {
    /// The page that shows `document`, if the reader may know of it.
    ///
    /// # Errors
    /// 404 for what is no such document, or not the reader's to see.
    pub async fn of(app: &App, reader: &Reader, document: DocumentId) -> Answer<Self> {
        let kind: Option<String> =
            sqlx::query_scalar("select kind from document where document_id = $1")
                .bind(document.to_string())
                .fetch_optional(&app.database.read)
                .await?;
        match kind.as_deref() {
            Some("patrol-log") => {
                patrol::find(app, reader, document).await?;
                Ok(Self::Patrol)
            }
            Some("evidence-file") => {
                evidence::find(app, reader, document).await?;
                Ok(Self::Evidence)
            }
            _ => Err(Problem::not_found()),
        }
    }

    /// Its address.
    pub fn path(self, document: DocumentId) -> String {
        match self {
            Self::Patrol => format!("/patrols/{document}"),
            Self::Evidence => format!("/evidence/{document}"),
        }
    }

    /// The page, read by a person: it is in the audit.
    ///
    /// # Errors
    /// 404 if the reader may not know of it.
    pub async fn read(self, app: &App, reader: &Reader, id: &str) -> Answer<Html<String>> {
        let (section, deed) = match self {
            Self::Patrol => (Section::Patrols, "patrol-read"),
            Self::Evidence => (Section::Evidence, "evidence-read"),
        };
        reader.enter(section)?;
        let document = document_id(id)?;
        let page = self.show(app, reader, document, None).await?;
        reader.note_reading(app, deed, document).await?;
        Ok(page)
    }

    /// The page, with the form that was refused if one was.
    ///
    /// # Errors
    /// 404 if the reader may not know of it.
    pub async fn show(
        self,
        app: &App,
        reader: &Reader,
        document: DocumentId,
        refused: Option<Refused>,
    ) -> Answer<Html<String>> {
        // Before anything that the page shows. What is written between two of its reads is then newer than the form's heads, and
        // deciding is 409; read last, the heads would vouch for what nobody saw.
        let heads = decision::heads_now(app, document).await?;
        let asked = Asked {
            page: self,
            heads,
            refused,
        };
        match self {
            Self::Patrol => patrol::page(app, reader, document, asked).await,
            Self::Evidence => evidence::page(app, reader, document, asked).await,
        }
    }
}

/// What the form of a page is about.
pub struct Asked {
    /// Which page.
    pub page: Page,
    /// The document's heads, read before all else.
    pub heads: String,
    /// The form that was refused, if one was.
    pub refused: Option<Refused>,
}

/// What both pages show beside their own content.
pub struct DocumentPart {
    /// Files that hang on the whole, not on one item.
    pub photos: Vec<Photo>,
    /// Fields with two values.
    pub clashes: Vec<Clash>,
    /// Who wrote what and when.
    pub batches: Vec<Batch>,
    /// What the log says.
    pub log: change::Standing,
    /// What was decided, and the form for what comes next.
    pub review: ReviewPart,
    /// The file for whoever is to believe it elsewhere.
    pub dossier: DossierPart,
}

impl DocumentPart {
    /// Reads it. `photos` are all of the document's; `places` are where a remark can belong.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(
        app: &App,
        reader: &Reader,
        document: DocumentId,
        photos: Vec<Photo>,
        places: Vec<(String, String)>,
        asked: Asked,
    ) -> Answer<Self> {
        let language = reader.language;
        let changes = change::read(app, document).await?;
        let path = asked.page.path(document);
        Ok(Self {
            photos: photos
                .into_iter()
                .filter(|photo| photo.item.is_none())
                .collect(),
            clashes: clash::read(app, document, language).await?,
            batches: change::batches(&changes, language),
            log: change::Standing::of(&changes, language),
            review: ReviewPart::read(app, reader, document, places, &changes, asked).await?,
            dossier: DossierPart::of(app, reader, document, path).await?,
        })
    }
}

/// The id in a path; what is none is not there.
pub fn document_id(text: &str) -> Answer<DocumentId> {
    text.parse().map_err(|_| Problem::not_found())
}
