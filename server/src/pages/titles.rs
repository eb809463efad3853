//! Titles of the catalogue by code, in the language of the page. A code that this catalogue does not know (an older record, a
//! newer phone) stands for itself: nothing that was recorded disappears from a page.

use super::language::Language;
use kieumau_core::{
    catalogue::{Catalogue, Item, List},
    criterion::{Criterion, CriterionNumber},
};

fn title(list: List, code: &str, language: Language) -> String {
    let item: Option<&Item> = Catalogue::placeholder().item(list, code);
    item.map_or(code, |item| language.pick(&item.title_vi, &item.title_en))
        .to_owned()
}

/// A category of observations.
pub fn category(code: &str, language: Language) -> String {
    title(List::Categories, code, language)
}

/// A counting unit, as it stands after a number.
pub fn count_unit(code: &str, language: Language) -> String {
    title(List::CountUnits, code, language).to_lowercase()
}

/// A measure taken.
pub fn measure_taken(code: &str, language: Language) -> String {
    title(List::MeasuresTaken, code, language)
}

/// A kind of evidence.
pub fn evidence_kind(code: &str, language: Language) -> String {
    title(List::EvidenceKinds, code, language)
}

/// A force, or a kind of vehicle.
pub fn counted(what: &str, code: &str, language: Language) -> String {
    let list = if what == "force" {
        List::Forces
    } else {
        List::Vehicles
    };
    title(list, code, language)
}

/// A criterion's title; its number alone if this catalogue has none of it.
pub fn criterion(number: i64, language: Language) -> String {
    let known = u8::try_from(number)
        .ok()
        .and_then(|number| CriterionNumber::new(number).ok());
    let known: Option<&Criterion> =
        known.and_then(|number| Catalogue::placeholder().criterion(number));
    known.map_or_else(
        || number.to_string(),
        |criterion| {
            language
                .pick(&criterion.title_vi, &criterion.title_en)
                .to_owned()
        },
    )
}

/// The kinds of evidence that `criterion` asks for and `shown` lacks, in words.
pub fn missing(criterion: &Criterion, shown: &[&str], language: Language) -> Vec<String> {
    let required = criterion
        .evidence
        .iter()
        .map(|required| required.kind.as_str());
    required
        .filter(|kind| !shown.contains(kind))
        .map(|kind| evidence_kind(kind, language))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_no_catalogue_knows_stands_for_itself() {
        assert_eq!(
            category("from-the-future", Language::Vietnamese),
            "from-the-future"
        );
        assert_eq!(criterion(99, Language::Vietnamese), "99");
    }

    #[test]
    fn what_is_missing_is_what_is_asked_for_and_not_shown() {
        let first = &Catalogue::placeholder().criteria[0];
        assert_eq!(
            missing(first, &["resolution"], Language::English),
            [evidence_kind("plan", Language::English)]
        );
        assert!(missing(first, &["resolution", "plan", "photo"], Language::English).is_empty());
    }
}
