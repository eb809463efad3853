//! Who reads a page, and what of it they may: a chief everything of the unit and of the units it came from, an officer the
//! patrols of their own team and the unit's evidence, all others no content. What a reader may not know of is 404.

use super::{language::Language, shell::Section};
use crate::{
    app::App,
    audit, clock,
    problem::{Answer, Problem},
    scope::scoped,
    session::SignedIn,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use kieumau_core::{id::DocumentId, person::Role};

/// Who reads.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The person.
    pub who: SignedIn,
    /// In which language.
    pub language: Language,
    /// Whether the unit was invented for a demo.
    pub sample: bool,
    /// Path and query of this page.
    pub here: String,
}

/// A unit whose records the reader reaches.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ReachedUnit {
    /// Its id.
    pub unit_id: String,
    /// Its name.
    pub name: String,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let who = SignedIn::from_request_parts(parts, app).await?;
        let sample: i64 = sqlx::query_scalar("select sample from unit where unit_id = $1")
            .bind(who.unit.to_string())
            .fetch_one(&app.database.read)
            .await?;
        let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
        Ok(Self {
            who,
            language: Language::of(&parts.headers),
            sample: sample == 1,
            here: here.to_owned(),
        })
    }
}

impl Reader {
    /// Goes on only where the reader's role has something to read.
    ///
    /// # Errors
    /// 404: for all others the page is not there.
    pub fn enter(&self, section: Section) -> Answer<()> {
        if section.open_to(self.who.role) {
            Ok(())
        } else {
            Err(Problem::not_found())
        }
    }

    /// Who must be on a patrol's team for it to be readable: nobody (empty) for a chief, else the reader.
    pub fn must_be_on_the_team(&self) -> String {
        if self.who.role.reads_the_unit() {
            String::new()
        } else {
            self.who.person.to_string()
        }
    }

    /// The own unit and those it came from, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn units(&self, app: &App) -> Answer<Vec<ReachedUnit>> {
        let units = sqlx::query_as(scoped!(
            "select unit.unit_id, unit.name from unit join scope on scope.unit_id = unit.unit_id order by unit.name"
        ))
        .bind(self.who.unit.to_string())
        .fetch_all(&app.database.read)
        .await?;
        Ok(units)
    }

    /// Whether the reader may write a decision here.
    pub const fn decides(&self) -> bool {
        self.who.role.reviews()
    }

    /// Whether the reader manages the phones of every unit.
    pub fn manages_every_unit(&self) -> bool {
        self.who.role == Role::Admin
    }

    /// Writes that the reader read `document`: reading a sensitive thing is a deed too.
    ///
    /// # Errors
    /// What the database says; then nothing is shown either.
    pub async fn note_reading(
        &self,
        app: &App,
        action: &'static str,
        document: DocumentId,
    ) -> Answer<()> {
        let mut tx = app.database.begin().await?;
        let deed = audit::Deed {
            subject: Some(document.to_string()),
            ..self.who.deed(action)
        };
        audit::write(&mut tx, clock::now_ms(), deed).await?;
        tx.commit().await?;
        Ok(())
    }
}
