//! Why something was refused or withheld, in words: one sentence per stable word.

use super::words::Words;

/// The reason behind a stable word.
pub(super) fn reason(w: &Words, word: &str) -> &'static str {
    match word {
        "malformed" => w.refused_malformed,
        "unsealed" => w.refused_unsealed,
        "sequence" => w.refused_sequence,
        "forged-birth" => w.refused_forged_birth,
        "not-allowed" => w.refused_not_allowed,
        "phone-revoked" => w.refused_phone_revoked,
        "document-full" => w.refused_document_full,
        "too-many-waiting" => w.refused_too_many_waiting,
        "quarantine-full" => w.refused_quarantine_full,
        "wrong-kind" => w.refused_wrong_kind,
        "hash-mismatch" => w.refused_hash_mismatch,
        "file-incomplete" => w.refused_incomplete,
        "not-a-change" => w.withheld_not_a_change,
        "not-canonical" => w.withheld_not_canonical,
        "does-not-apply" => w.withheld_does_not_apply,
        "lacks-an-ancestor" => w.withheld_lacks_an_ancestor,
        "not-its-kind" => w.withheld_not_its_kind,
        "breaks-a-rule" => w.withheld_breaks_a_rule,
        "another-name" => w.withheld_another_name,
        "track-malformed" => w.withheld_track_malformed,
        "worker-died" | "worker-too-slow" => w.withheld_worker,
        _ => w.refused_otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::language::Language;
    use kieumau_core::log::admission::Refusal;

    #[test]
    fn every_refusal_has_words_of_its_own() {
        let w = Language::Vietnamese.words();
        for refusal in Refusal::ALL {
            assert_ne!(reason(w, refusal.word()), w.refused_otherwise);
        }
    }
}
