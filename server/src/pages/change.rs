//! Who wrote what and when: the changes of one document as the server received them, without their bytes. The phone's clock
//! and the server's are told apart, and what came in since a page was opened is found by walking ancestors, not by time.

use super::language::Language;
use crate::{app::App, clock, problem::Answer};
use kieumau_core::{hash::Sha256, id::DocumentId};
use std::collections::{BTreeMap, BTreeSet};

/// A phone's clock that runs further ahead than this is said so.
const SKEW_MS: i64 = 5 * 60 * 1000;

/// Changes of one writer that came in together, as their row says.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Change {
    /// The last one's hash.
    hash: String,
    /// The others', in order.
    earlier: String,
    change_count: i64,
    actor: String,
    /// The first one's.
    deps: String,
    written_from_s: i64,
    written_at_s: i64,
    received_at_ms: i64,
    state: String,
    leaf: Option<i64>,
    person: Option<String>,
    model: Option<String>,
}

/// What one writer sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who wrote it.
    pub writer: String,
    /// On what.
    pub device: String,
    /// How many changes.
    pub count: String,
    /// First and last time of writing, by the phone's clock.
    pub written: String,
    /// When it came in, by the server's clock.
    pub received: String,
    /// How far the phone's clock was ahead, if it was.
    pub ahead: Option<String>,
    /// How long it lay on the phone, if long.
    pub waited: Option<String>,
    /// Whether something in it was withheld.
    pub withheld: bool,
}

/// What the log says about a document.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Changes that are in the log: the server signed for them.
    pub received: String,
    /// Of these, changes that a worker understood.
    pub checked: String,
    /// Of these, changes that are being checked.
    pub unchecked: Option<String>,
    /// Changes that a worker refused; their bytes stay where they are, and `recheck` looks at them again.
    pub withheld: Option<String>,
    /// Changes that wait for an ancestor and are in no log yet.
    pub waiting: Option<String>,
    /// First and last position in the log.
    pub leaves: Option<String>,
}

/// The changes of a document, in the order they came in.
///
/// # Errors
/// What the database says.
pub async fn read(app: &App, document: DocumentId) -> Answer<Vec<Change>> {
    // The first half of an actor is the phone's id, without its hyphens.
    let changes = sqlx::query_as(
        "select change.hash, change.earlier, change.change_count, change.actor, change.deps, \
                coalesce(change.written_from_s, change.written_at_s) as written_from_s, change.written_at_s, \
                change.received_at_ms, change.state, \
                (select leaf.position from leaf where leaf.document_id = change.document_id \
                 and leaf.through_number >= change.number order by leaf.through_number limit 1) as leaf, \
                person.name as person, phone.model as model \
         from change \
         left join phone on phone.phone_id = substr(change.actor, 1, 8) || '-' || substr(change.actor, 9, 4) || '-' || \
              substr(change.actor, 13, 4) || '-' || substr(change.actor, 17, 4) || '-' || substr(change.actor, 21, 12) \
         left join person on person.person_id = phone.person_id \
         where change.document_id = $1 order by change.received_at_ms, change.actor, change.seq",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(changes)
}

/// The changes on the page that `seen` heads do not reach: what came in since. What is not checked is on no page yet.
pub fn since(changes: &[Change], seen: &[Sha256]) -> Vec<Change> {
    // Each stands on the one before it in its row, the first on what the row says.
    let mut stands_on: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for change in changes {
        let mut deps: Vec<&str> = change.deps.split_whitespace().collect();
        for hash in change.hashes() {
            stands_on.insert(hash, std::mem::replace(&mut deps, vec![hash]));
        }
    }
    let seen: Vec<String> = seen.iter().map(Sha256::to_string).collect();
    let mut open: Vec<&str> = seen.iter().map(String::as_str).collect();
    let mut reached = BTreeSet::new();
    while let Some(hash) = open.pop() {
        if reached.insert(hash)
            && let Some(deps) = stands_on.get(hash)
        {
            open.extend(deps);
        }
    }
    let shown = |change: &&Change| change.is_written() && change.state == "checked";
    let left = changes.iter().filter(shown).map(|change| {
        let unseen = change.hashes().filter(|hash| !reached.contains(hash));
        Change {
            change_count: i64::try_from(unseen.count()).unwrap_or(i64::MAX),
            ..change.clone()
        }
    });
    left.filter(|change| change.change_count > 0).collect()
}

impl Change {
    /// Genesis and layers are written by nobody: they are fixed bytes with time 0.
    fn is_written(&self) -> bool {
        self.written_at_s != 0
    }

    /// Their hashes, in order.
    fn hashes(&self) -> impl Iterator<Item = &str> {
        self.earlier.split_whitespace().chain([self.hash.as_str()])
    }
}

/// How many changes these rows hold.
fn count<'a>(rows: impl Iterator<Item = &'a Change>) -> i64 {
    rows.map(|row| row.change_count).sum()
}

/// What came in together, grouped by writer.
pub fn batches<'a>(
    changes: impl IntoIterator<Item = &'a Change>,
    language: Language,
) -> Vec<Batch> {
    let mut groups: BTreeMap<(i64, &str), Vec<&Change>> = BTreeMap::new();
    for change in changes {
        if change.is_written() {
            groups
                .entry((change.received_at_ms, &change.actor))
                .or_default()
                .push(change);
        }
    }
    groups
        .into_values()
        .map(|group| batch(&group, language))
        .collect()
}

fn batch(group: &[&Change], language: Language) -> Batch {
    let w = language.words();
    let first = group[0];
    let from = group.iter().map(|change| change.written_from_s).min();
    let until = group.iter().map(|change| change.written_at_s).max();
    let ms = |at_s: Option<i64>| at_s.unwrap_or(0).saturating_mul(1000);
    let (from, until) = (ms(from), ms(until));
    let (from_text, until_text) = (clock::vietnamese(from), clock::vietnamese(until));
    let apart = first.received_at_ms.saturating_sub(until);
    Batch {
        writer: first
            .person
            .clone()
            .unwrap_or_else(|| w.the_server.to_owned()),
        device: first.model.clone().unwrap_or_default(),
        count: language.integer(count(group.iter().copied())),
        written: if from_text == until_text {
            from_text
        } else {
            format!("{from_text} – {until_text}")
        },
        received: clock::vietnamese(first.received_at_ms),
        ahead: (apart < -SKEW_MS).then(|| language.span(-apart)),
        waited: (apart > SKEW_MS).then(|| language.span(apart)),
        withheld: group.iter().any(|change| change.state == "withheld"),
    }
}

impl Standing {
    /// What the rows of `changes` say.
    pub fn of(changes: &[Change], language: Language) -> Self {
        let count = |state: &[&str]| {
            count(
                changes
                    .iter()
                    .filter(|change| state.contains(&change.state.as_str())),
            )
        };
        let some = |number: i64| (number > 0).then(|| language.integer(number));
        let leaves = || changes.iter().filter_map(|change| change.leaf);
        Self {
            received: language.integer(count(&["accepted", "checked", "withheld"])),
            checked: language.integer(count(&["checked"])),
            unchecked: some(count(&["accepted"])),
            withheld: some(count(&["withheld"])),
            waiting: some(count(&["waiting"])),
            leaves: leaves()
                .min()
                .zip(leaves().max())
                .map(|(first, last)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}–{last}"),
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(byte: u8, deps: &[u8], received_at_ms: i64, written_at_s: i64) -> Change {
        let hash = |byte: u8| Sha256([byte; 32]).to_string();
        Change {
            hash: hash(byte),
            earlier: String::new(),
            change_count: 1,
            actor: "a".to_owned(),
            deps: deps
                .iter()
                .map(|byte| hash(*byte))
                .collect::<Vec<_>>()
                .join(" "),
            written_from_s: written_at_s,
            written_at_s,
            received_at_ms,
            state: "checked".to_owned(),
            leaf: Some(i64::from(byte)),
            person: Some("An".to_owned()),
            model: None,
        }
    }

    #[test]
    fn what_came_in_since_is_told_by_ancestors_and_not_by_time() {
        // 3 came in first and was not seen: a colleague's phone brought it beside 2.
        let changes = [
            change(3, &[1], 1, 9),
            change(1, &[], 2, 9),
            change(2, &[1], 3, 9),
        ];
        let unseen = since(&changes, &[Sha256([2; 32])]);
        assert_eq!(
            unseen.iter().map(|change| change.leaf).collect::<Vec<_>>(),
            [Some(3)]
        );
        assert!(since(&changes, &[Sha256([2; 32]), Sha256([3; 32])]).is_empty());
    }

    #[test]
    fn of_a_row_that_was_seen_in_part_the_rest_came_in_since() {
        let hash = |byte: u8| Sha256([byte; 32]);
        let row = Change {
            earlier: crate::run::text(&[hash(1), hash(2)]),
            change_count: 3,
            ..change(3, &[9], 1, 9)
        };
        let rows = [row, change(9, &[], 1, 9)];
        let counts = |seen: &[Sha256]| -> Vec<i64> {
            let since = since(&rows, seen);
            since.iter().map(|change| change.change_count).collect()
        };
        assert_eq!(counts(&[hash(2)]), [1]);
        assert_eq!(counts(&[hash(1)]), [2]);
        assert_eq!(counts(&[hash(9)]), [3]);
        assert_eq!(counts(&[hash(3)]), [0_i64; 0]);
        assert_eq!(counts(&[]), [3, 1]);
    }

    #[test]
    fn a_clock_that_is_ahead_is_said_and_a_long_way_home_too() {
        let of = |written_at_s| {
            batches(
                [&change(1, &[], 10_000_000, written_at_s)],
                Language::Vietnamese,
            )
            .remove(0)
        };
        assert_eq!(
            (of(10_600).ahead.as_deref(), of(10_600).waited),
            (Some("10 phút"), None)
        );
        assert_eq!(
            (of(1_000).ahead, of(1_000).waited.as_deref()),
            (None, Some("2 giờ 30 phút"))
        );
        assert_eq!((of(10_000).ahead, of(10_000).waited), (None, None));
    }

    #[test]
    fn a_genesis_is_written_by_nobody() {
        assert!(batches([&change(1, &[], 5, 0)], Language::Vietnamese).is_empty());
    }
}
