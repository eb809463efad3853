//! Where a page ends.

use super::*;
use crate::{
    fixture::{People, apps, enrolled, let_through, one_change},
    intake,
};

const DOCUMENTS: usize = 10;
const CHANGE_BYTES: usize = 1 << 20;

/// Ten documents with one change of a mebibyte each, and a chief's phone that may read them.
async fn filled(app: &App) -> EnrolledPhone {
    let people = People::new(app).await;
    let (phone, _) = enrolled(app, &people.chi).await;
    for number in 0..DOCUMENTS {
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let push = one_change(phone, key, vec![number as u8; CHANGE_BYTES]);
        let answers = intake::write(app, &[&push]).await.expect("written");
        assert_eq!(answers[0].changes, []);
    }
    let_through(app, people.truong_vinh).await;
    EnrolledPhone {
        phone,
        person: people.chi.person,
        unit: people.chi.unit,
        role: people.chi.role,
    }
}

/// One page: how many changes, how many bytes, the next cursor, and whether there is more.
async fn page(app: &App, phone: &EnrolledPhone, cursor: String) -> (usize, usize, String, bool) {
    let query = Query(After {
        cursor,
        ..After::default()
    });
    let answer = pull(State(app.clone()), phone.clone(), query, HeaderMap::new()).await;
    let body = answer.expect("an answer").into_body();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("whole");
    let mut decoder = minicbor::Decoder::new(&body);
    let mut changes = 0;
    loop {
        match decoder.decode().expect("an item") {
            Pulled::Change(_) => changes += 1,
            Pulled::Cursor(cursor, more) => return (changes, body.len(), cursor, more),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_page_ends_at_its_bytes_and_the_next_goes_on_there() {
    for app in apps().await {
        let phone = filled(&app).await;
        let (epoch, _) = ledger::size(&app.database.read).await.expect("a log");
        let begun = Cursor {
            epoch,
            feeds: vec![position(phone.unit, 0, None)],
        };
        // A phone that has nothing gets documents, one that was there before gets changes.
        for cursor in [String::new(), begun.to_text()] {
            let (mut cursor, mut came, mut pages) = (cursor, 0, 0);
            loop {
                let (changes, bytes, next, more) = page(&app, &phone, cursor).await;
                assert!(bytes as i64 <= LIMITS.bytes + (1 << 10), "{bytes}");
                assert_eq!(more, came + changes < DOCUMENTS, "{changes}");
                (cursor, came, pages) = (next, came + changes, pages + 1);
                if !more {
                    break;
                }
            }
            assert!(came == DOCUMENTS && pages > 1, "{came} in {pages}");
            let (nothing, bytes, _, more) = page(&app, &phone, cursor).await;
            assert_eq!((nothing, more), (0, false));
            assert!(bytes < 300, "nothing new costs {bytes} bytes");
        }
        // The twin: by their number alone they would have been one page.
        const { assert!(DOCUMENTS <= LIMITS.entries) };
    }
}
