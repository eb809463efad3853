//! A year of an invented ward, written as phones and a chief would write it: real documents, real seals, the same intake, the
//! same worker, the same decisions. Without randomness of its own: the same year each time.

mod author;
mod evidence;
mod patrols;

pub use author::APP_VERSION;
pub use patrols::checkpoints;

use crate::{
    app::{App, OpenError},
    checker, clock, intake, review,
    session::SignedIn,
    stored::parse_hashes,
};
use author::SamplePhone;
use kieumau_core::{
    id::{DocumentId, PersonId, UnitId},
    review::{NewDecision, Verdict},
};
use sqlx::Row as _;

const DAY_MS: i64 = 24 * 3_600_000;
/// Documents in one transaction.
const GROUP: usize = 64;
/// Nights that the chief has not looked at yet.
const UNREAD_NIGHTS: i64 = 12;
/// Of the patrols that were read, each of this many was sent back.
const RETURNED_ONE_IN: usize = 24;

/// Fills the chief's unit with `nights` nights of patrols by these two officers, up to last night, and some evidence.
///
/// # Errors
/// What the database or a worker says.
pub async fn fill(
    app: &App,
    chief: &SignedIn,
    officers: [PersonId; 2],
    nights: i64,
) -> Result<(), OpenError> {
    if nights == 0 {
        return Ok(());
    }
    let mut phones = Vec::new();
    for person in officers {
        phones.push(SamplePhone::enrol(app, chief.unit, person).await?);
    }
    let last_night_ms = clock::now_ms().div_euclid(DAY_MS) * DAY_MS - DAY_MS;
    let mut pushes = Vec::with_capacity(GROUP);
    let mut read = Vec::new();
    for night in 0..nights {
        // Every seventh night belongs to the other shift: a year has holes.
        if night % 7 == 6 {
            continue;
        }
        let phone = &phones[usize::try_from(night % 2)?];
        let colleague = phones[usize::try_from((night + 1) % 2)?].person;
        let midnight_ms = last_night_ms - (nights - 1 - night) * DAY_MS;
        let push = patrols::write(chief.unit, phone, colleague, night, midnight_ms)?;
        if nights - night > UNREAD_NIGHTS {
            read.extend(
                push.documents
                    .iter()
                    .map(|document| document.key.document()),
            );
        }
        pushes.push(push);
        if pushes.len() == GROUP {
            intake::write(app, &pushes.iter().collect::<Vec<_>>()).await?;
            pushes.clear();
        }
    }
    pushes.extend(evidence::write(chief.unit, &phones, clock::now_ms())?);
    intake::write(app, &pushes.iter().collect::<Vec<_>>()).await?;
    while checker::round(app).await? > 0 {}
    for (at, patrol) in read.into_iter().enumerate() {
        decide(
            app,
            chief,
            patrol,
            at % RETURNED_ONE_IN == RETURNED_ONE_IN - 1,
        )
        .await?;
    }
    Ok(())
}

/// Decides about a patrol as the chief would from its page.
async fn decide(
    app: &App,
    chief: &SignedIn,
    patrol: DocumentId,
    returned: bool,
) -> Result<(), OpenError> {
    let heads: String = sqlx::query("select checked_heads from document where document_id = $1")
        .bind(patrol.to_string())
        .fetch_one(&app.database.read)
        .await?
        .get(0);
    let verdict = if returned {
        Verdict::Returned
    } else {
        Verdict::Approved
    };
    let remark = returned.then(|| "Bổ sung ảnh hiện trường và số biên bản".to_owned());
    let new = NewDecision {
        verdict,
        heads: parse_hashes(&heads),
        field: None,
        remark,
        withdraws: None,
    };
    review::decide(app, chief, patrol, new)
        .await
        .map_err(|problem| {
            problem.log();
            OpenError::from(problem.word())
        })
}

/// The unit of a sample is reached through this: who writes, as the page's session would say it.
pub fn chief(person: PersonId, unit: UnitId, name: &str, unit_name: &str) -> SignedIn {
    SignedIn {
        person,
        unit,
        role: kieumau_core::person::Role::Chief,
        name: name.to_owned(),
        unit_name: unit_name.to_owned(),
    }
}
