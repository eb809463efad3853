//! The queue (hàng đợi): what of each document waits, and why. Facts of the disk and of the sync that ran last; what only a running
//! app can know (the line is metered, a file was refused just now) is not kept over a restart, for the next sync finds it out anew.

use super::error::PhoneError;
use crate::{hash::Sha256, id::DocumentId};
use sqlx::{Row as _, SqliteConnection};
use std::collections::BTreeMap;

/// What can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What was written.
    Text,
    /// Fixes that are durable and not yet folded into the patrol: the next sync folds them.
    Track,
    /// Photos and files.
    File,
}

/// Why it waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Nothing is in its way: the next sync sends it.
    Turn,
    /// It is being sent.
    Sending,
    /// The server has it and waits for what it was written upon, which is on another phone.
    Ancestor,
    /// The server refused it. It stays on the phone.
    Refused {
        /// The refusal's word.
        word: String,
    },
    /// The line is metered, and files wait for one that is not.
    NoWifi,
    /// The phone's disk takes no more, not even what a sync has to write down.
    NoSpace,
    /// The file on the phone is gone or was changed.
    Unreadable,
}

impl Why {
    /// Why a file stayed behind.
    pub(super) fn of(error: &PhoneError) -> Self {
        match error {
            PhoneError::Offline { .. } => Self::Turn,
            PhoneError::SignedOut { word } => Self::Refused { word: word.clone() },
            PhoneError::Invalid(invalid) => Self::Refused {
                word: invalid.rule.to_string(),
            },
            PhoneError::StorageFull => Self::NoSpace,
            PhoneError::NotFound | PhoneError::Internal { .. } => Self::Unreadable,
        }
    }
}

/// Things of one document that wait for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What.
    pub part: Part,
    /// Why.
    pub why: Why,
    /// How many: changes, fixes or files.
    pub count: u32,
    /// Their bytes; 0 for fixes, which weigh a few when they are folded.
    pub size_bytes: u64,
}

/// What the sync that runs, or ran last, found in its way.
#[derive(Clone, Debug, Default)]
pub(super) struct InTheWay {
    pub(super) sending: bool,
    /// The line is metered and files wait for another.
    pub(super) metered: bool,
    /// It ended because the disk took no more.
    pub(super) no_space: bool,
    /// Files that stayed behind.
    pub(super) files: BTreeMap<Sha256, Why>,
}

impl InTheWay {
    fn of_text(&self, server: Option<&str>) -> Why {
        match server {
            Some("waiting") => Why::Ancestor,
            Some(word) => Why::Refused {
                word: word.to_owned(),
            },
            None if self.sending => Why::Sending,
            None if self.no_space => Why::NoSpace,
            None => Why::Turn,
        }
    }

    fn of_file(&self, sha256: Option<Sha256>, on_phone: bool) -> Why {
        let stayed = sha256.and_then(|sha256| self.files.get(&sha256));
        match stayed {
            _ if !on_phone => Why::Unreadable,
            Some(why) => why.clone(),
            None if self.metered => Why::NoWifi,
            None => self.of_text(None),
        }
    }
}

type Queue = BTreeMap<DocumentId, BTreeMap<(Part, Why), (u32, u64)>>;

/// What waits, by document; a document of which nothing waits is not in it.
pub(super) async fn waiting(
    connection: &mut SqliteConnection,
    way: &InTheWay,
) -> Result<BTreeMap<DocumentId, Vec<Waiting>>, PhoneError> {
    let mut queue = Queue::new();
    let changes = sqlx::query(
        "select document_id, server, count(*), sum(length(bytes)) from change where server is not 'held' \
         group by document_id, server",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &changes {
        let why = way.of_text(row.get(1));
        let size: i64 = row.get(3);
        add(&mut queue, row.get(0), (Part::Text, why), row.get(2), size);
    }
    let left_out = sqlx::query(
        "select document_id, refusal, count(*), sum(length(bytes)) from set_aside \
         where refusal is not null and anew is null and own group by document_id, refusal",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &left_out {
        let why = way.of_text(row.get(1));
        let size: i64 = row.get(3);
        add(&mut queue, row.get(0), (Part::Text, why), row.get(2), size);
    }
    let fixes = sqlx::query("select document_id, count(*) from fix group by document_id")
        .fetch_all(&mut *connection)
        .await?;
    for row in &fixes {
        add(
            &mut queue,
            row.get(0),
            (Part::Track, way.of_text(None)),
            row.get(1),
            0,
        );
    }
    let files = sqlx::query(
        "select u.document_id, a.sha256, a.let_go_at_ms is null, a.size_bytes \
         from attachment a join attachment_use u on u.sha256 = a.sha256 where a.received_at_ms is null",
    )
    .fetch_all(connection)
    .await?;
    for row in &files {
        let why = way.of_file(row.get::<&str, _>(1).parse().ok(), row.get(2));
        add(&mut queue, row.get(0), (Part::File, why), 1, row.get(3));
    }
    Ok(queue
        .into_iter()
        .map(|(document, parts)| (document, parts.into_iter().map(shown).collect()))
        .collect())
}

fn add(queue: &mut Queue, document: &str, what: (Part, Why), count: u32, size_bytes: i64) {
    // Rows hold what this phone wrote; one that names no document belongs to none.
    let Ok(document) = document.parse() else {
        return;
    };
    let entry = queue.entry(document).or_default().entry(what).or_default();
    entry.0 += count;
    entry.1 += size_bytes.unsigned_abs();
}

fn shown(((part, why), (count, size_bytes)): ((Part, Why), (u32, u64))) -> Waiting {
    Waiting {
        part,
        why,
        count,
        size_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_the_nearest_thing_in_its_way() {
        let refused = Why::Refused {
            word: "too-large".to_owned(),
        };
        let [mine, other] = [Sha256([1; 32]), Sha256([2; 32])];
        let way = InTheWay {
            metered: true,
            files: BTreeMap::from([(mine, refused.clone())]),
            ..InTheWay::default()
        };
        assert_eq!(way.of_file(Some(mine), true), refused);
        assert_eq!(way.of_file(Some(other), true), Why::NoWifi);
        assert_eq!(way.of_file(Some(other), false), Why::Unreadable);
        let none = InTheWay::default();
        assert_eq!(none.of_file(Some(mine), true), Why::Turn);
    }

    #[test]
    fn text_goes_on_a_metered_line_and_says_when_it_is_refused_or_waits_for_an_ancestor() {
        let way = InTheWay {
            metered: true,
            sending: true,
            ..InTheWay::default()
        };
        assert_eq!(way.of_text(None), Why::Sending);
        assert_eq!(way.of_text(Some("waiting")), Why::Ancestor);
        let word = "unsealed".to_owned();
        assert_eq!(way.of_text(Some("unsealed")), Why::Refused { word });
        let full = InTheWay {
            no_space: true,
            ..InTheWay::default()
        };
        assert_eq!(full.of_text(None), Why::NoSpace);
    }
}
