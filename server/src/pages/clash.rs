//! Clashes of meaning: two phones gave one field two values. Both are shown with who gave them; a person picks.

use super::language::Language;
use crate::{app::App, problem::Answer};
use kieumau_core::id::DocumentId;

/// A field with more than one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The field in words.
    pub field: String,
    /// Each value, with who gave it.
    pub values: Vec<(String, String)>,
}

/// The clashes of a document.
///
/// # Errors
/// What the database says.
pub async fn read(app: &App, document: DocumentId, language: Language) -> Answer<Vec<Clash>> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "select clash.path, clash.value, person.name from clash \
         left join phone on phone.phone_id = clash.phone_id left join person on person.person_id = phone.person_id \
         where clash.document_id = $1 order by clash.path, clash.value_number",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(gather(rows, language))
}

fn gather(rows: Vec<(String, String, Option<String>)>, language: Language) -> Vec<Clash> {
    let w = language.words();
    let mut clashes: Vec<Clash> = Vec::new();
    let mut last = None;
    for (path, value, person) in rows {
        let value = (value, person.unwrap_or_else(|| w.the_server.to_owned()));
        match clashes.last_mut() {
            Some(clash) if last.as_ref() == Some(&path) => clash.values.push(value),
            _ => clashes.push(Clash {
                field: w.field(&path),
                values: vec![value],
            }),
        }
        last = Some(path);
    }
    clashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_values_of_a_field_stand_together_with_who_gave_them() {
        let row = |path: &str, value: &str, who: &str| {
            (path.to_owned(), value.to_owned(), Some(who.to_owned()))
        };
        let rows = vec![
            row("title", "Ca đêm", "An"),
            row("title", "Ca tối", "Hà"),
            row("leader", "1", "An"),
        ];
        let clashes = gather(rows, Language::Vietnamese);
        assert_eq!(clashes.len(), 2);
        assert_eq!(
            clashes[0].values,
            [
                ("Ca đêm".into(), "An".into()),
                ("Ca tối".into(), "Hà".into())
            ]
        );
    }
}
