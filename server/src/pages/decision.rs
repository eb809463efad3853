//! Deciding: the history of decisions about one document, the form that writes the next one, and taking back one's own.
//!
//! The form carries the heads that were seen. If the document moved on meanwhile the answer is the same page with 409, which
//! shows what came in since and asks again; what was typed is still there.

use super::{
    change::{self, Batch, Change},
    difference,
    document::{Asked, Page, document_id},
    reader::Reader,
    standing::Standing,
};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
    review,
};
use axum::{
    Form, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::post,
};
use kieumau_core::{
    hash::Sha256,
    id::{DecisionId, DocumentId},
    invalid::{Invalid, Rule},
    review::{NewDecision, Verdict},
};

/// A decision of the past.
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Approved or returned.
    pub standing: Standing,
    /// Who decided.
    pub who: String,
    /// When.
    pub at: String,
    /// Where the remark belongs, in words.
    pub field: Option<String>,
    /// What is to be mended.
    pub remark: Option<String>,
    /// Whether it was taken back.
    pub undone: bool,
    /// Whether the reader wrote it.
    pub mine: bool,
}

/// What the page's decision part shows.
pub struct ReviewPart {
    /// The document decided about.
    pub document: DocumentId,
    /// Its heads on this page: what a decision from here is about.
    pub seen_heads: String,
    /// How it stands.
    pub standing: Standing,
    /// Whether the reader may decide.
    pub decides: bool,
    /// The decisions of the past, newest first.
    pub entries: Vec<Entry>,
    /// Where a remark can belong: path and words.
    pub places: Vec<(String, String)>,
    /// The place chosen in a form that was refused.
    pub chosen: String,
    /// The remark typed in it.
    pub remark: String,
    /// Why it was refused.
    pub error: Option<String>,
    /// What came in since that form was shown.
    pub since: Vec<Batch>,
    /// What the document says otherwise since, field by field.
    pub differences: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    decision_id: String,
    decision: String,
    heads: String,
    field: Option<String>,
    remark: Option<String>,
    person_id: String,
    person: Option<String>,
    at_ms: i64,
    withdraws: Option<String>,
}

/// The form as it was sent.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct DecisionForm {
    decision: String,
    seen_heads: String,
    #[serde(default)]
    field: String,
    #[serde(default)]
    remark: String,
}

/// A form that could not be written, and why.
pub struct Refused {
    form: DecisionForm,
    problem: Problem,
}

/// Writing a decision and taking one back.
pub fn router() -> Router<App> {
    Router::new()
        .route("/decisions/{document}", post(decide).get(back))
        .route("/decisions/{document}/{decision}/withdraw", post(withdraw))
}

impl ReviewPart {
    /// Everything that was decided about `document`, and the form for what comes next. `places` are where a remark can belong.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(
        app: &App,
        reader: &Reader,
        document: DocumentId,
        places: Vec<(String, String)>,
        changes: &[Change],
        Asked { heads, refused, .. }: Asked,
    ) -> Answer<Self> {
        let rows: Vec<Row> = sqlx::query_as(
            "select d.decision_id, d.decision, d.heads, d.field, d.remark, d.person_id, person.name as person, d.at_ms, \
                    d.withdraws \
             from decision d left join person on person.person_id = d.person_id \
             where d.reviewed_id = $1 order by d.at_ms desc, d.decision_id desc",
        )
        .bind(document.to_string())
        .fetch_all(&app.database.read)
        .await?;
        let taken_back = |id: &str| rows.iter().any(|row| row.withdraws.as_deref() == Some(id));
        let stands = rows
            .iter()
            .find(|row| row.decision != "withdrawn" && !taken_back(&row.decision_id));
        let me = reader.who.person.to_string();
        let entries = rows
            .iter()
            .filter(|row| row.decision != "withdrawn")
            .map(|row| Entry {
                undone: taken_back(&row.decision_id),
                mine: reader.decides() && row.person_id == me,
                id: row.decision_id.clone(),
                standing: Standing::of(Some(&row.decision), true),
                who: row.person.clone().unwrap_or_default(),
                at: clock::vietnamese(row.at_ms),
                field: row
                    .field
                    .as_deref()
                    .map(|path| place_in_words(&places, path, reader)),
                remark: row.remark.clone(),
            });
        let mut part = Self {
            document,
            standing: Standing::of(
                stands.map(|row| row.decision.as_str()),
                stands.is_some_and(|row| row.heads == heads),
            ),
            decides: reader.decides(),
            entries: entries.collect(),
            seen_heads: heads,
            places,
            chosen: String::new(),
            remark: String::new(),
            error: None,
            since: Vec::new(),
            differences: Vec::new(),
        };
        if let Some(refused) = refused {
            part.explain(app, refused, changes, reader).await?;
        }
        Ok(part)
    }

    async fn explain(
        &mut self,
        app: &App,
        refused: Refused,
        changes: &[Change],
        reader: &Reader,
    ) -> Answer<()> {
        let w = reader.language.words();
        self.error = Some(match refused.problem.broken() {
            Some(invalid) => w.broken(invalid),
            None => w.changed_meanwhile.to_owned(),
        });
        if refused.problem.status() == StatusCode::CONFLICT {
            let seen = heads(&refused.form.seen_heads).unwrap_or_default();
            self.since = change::batches(&change::since(changes, &seen), reader.language);
            let now = heads(&self.seen_heads).unwrap_or_default();
            self.differences = difference::since(app, reader, self.document, seen, now).await?;
        }
        self.chosen = refused.form.field;
        self.remark = refused.form.remark;
        Ok(())
    }
}

fn place_in_words(places: &[(String, String)], path: &str, reader: &Reader) -> String {
    let known = places.iter().find(|(place, _)| place == path);
    known.map_or_else(
        || reader.language.words().field(path),
        |(_, words)| words.clone(),
    )
}

/// Hashes as the form carries them: space-separated.
fn heads(text: &str) -> Result<Vec<Sha256>, Invalid> {
    let malformed = |_| Invalid::new("seen_heads", Rule::Malformed);
    text.split_whitespace()
        .map(|head| head.parse().map_err(malformed))
        .collect()
}

fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl DecisionForm {
    fn decision(&self) -> Result<NewDecision, Invalid> {
        let verdict = self.decision.parse()?;
        // An approval has nothing to mend: what was typed before changing one's mind is not sent along.
        let (field, remark) = match verdict {
            Verdict::Approved => (None, None),
            Verdict::Returned => (given(&self.field), given(&self.remark)),
            Verdict::Withdrawn => return Err(Invalid::new("decision", Rule::Unknown)),
        };
        Ok(NewDecision {
            verdict,
            heads: heads(&self.seen_heads)?,
            field,
            remark,
            withdraws: None,
        })
    }
}

/// What a document's page shows, by its heads.
///
/// # Errors
/// 404 for one that is not there.
pub(super) async fn heads_now(app: &App, document: DocumentId) -> Answer<String> {
    let heads = sqlx::query_scalar("select checked_heads from document where document_id = $1")
        .bind(document.to_string())
        .fetch_optional(&app.database.read)
        .await?;
    heads.ok_or_else(Problem::not_found)
}

async fn decide(
    State(app): State<App>,
    reader: Reader,
    Path(document): Path<String>,
    Form(form): Form<DecisionForm>,
) -> Answer<Response> {
    let document = document_id(&document)?;
    let page = Page::of(&app, &reader, document).await?;
    let path = page.path(document);
    if !reader.decides() {
        return Err(Problem::forbidden());
    }
    let written = match form.decision() {
        Ok(new) => review::decide(&app, &reader.who, document, new).await,
        Err(invalid) => Err(invalid.into()),
    };
    let problem = match written {
        Ok(()) => return Ok(Redirect::to(&path).into_response()),
        // The same form twice: it is written, and the page says so.
        Err(problem) if problem.broken() == Some(&Invalid::new("decision", Rule::Already)) => {
            return Ok(Redirect::to(&path).into_response());
        }
        Err(problem) => problem,
    };
    let status = problem.status();
    if !matches!(
        status,
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
    ) {
        return Err(problem);
    }
    let reader = Reader {
        here: path,
        ..reader
    };
    let refused = Some(Refused { form, problem });
    let page = page.show(&app, &reader, document, refused).await?;
    Ok((status, page).into_response())
}

/// After a refusal the address is that of the form; loading it again leads back to the document.
async fn back(
    State(app): State<App>,
    reader: Reader,
    Path(document): Path<String>,
) -> Answer<Redirect> {
    let document = document_id(&document)?;
    let page = Page::of(&app, &reader, document).await?;
    Ok(Redirect::to(&page.path(document)))
}

async fn withdraw(
    State(app): State<App>,
    reader: Reader,
    Path((document, decision)): Path<(String, String)>,
) -> Answer<Redirect> {
    let document = document_id(&document)?;
    let decision: DecisionId = decision.parse().map_err(|_| Problem::not_found())?;
    let page = Page::of(&app, &reader, document).await?;
    review::withdraw(&app, &reader.who, document, decision).await?;
    Ok(Redirect::to(&page.path(document)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_sends_no_remark_along() {
        let form = |decision: &str| DecisionForm {
            decision: decision.to_owned(),
            seen_heads: Sha256([1; 32]).to_string(),
            field: "title".to_owned(),
            remark: " thiếu ảnh ".to_owned(),
        };
        let approved = form("approved").decision().expect("a decision");
        assert_eq!((approved.field, approved.remark), (None, None));
        let returned = form("returned").decision().expect("a decision");
        assert_eq!(returned.remark.as_deref(), Some("thiếu ảnh"));
        for none in ["burnt", "withdrawn"] {
            let unknown = Invalid::new("decision", Rule::Unknown);
            assert_eq!(form(none).decision(), Err(unknown));
        }
    }
}
