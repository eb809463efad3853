//! What enrolling guarantees: who may issue a code, that one phone spends it, and what a guesser learns.

use super::*;
use crate::fixture::{People, Reply, apps, audited, rows, send};
use axum::{body::Body, http::Request};
use ed25519_dalek::SigningKey;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

async fn post(app: &App, body: Vec<u8>) -> Reply {
    let request = Request::post(PHONES)
        .body(Body::from(body))
        .expect("a request");
    send(app, router(), request).await
}

async fn enrol_with(app: &App, code: &str, key: &SigningKey) -> Reply {
    let new = NewPhone::sign(key, code, "1.0").of_model("Samsung SM-A155F");
    post(app, serde_json::to_vec(&new).expect("JSON")).await
}

#[tokio::test]
async fn a_code_from_the_chief_makes_a_phone_and_the_audit_rows_say_so() {
    for app in apps().await {
        let people = People::new(&app).await;
        let issued = issue(&app, Some(&people.chi), people.an.person)
            .await
            .expect("a code");
        let invitation = Invitation::parse(&issued.qr_text).expect("an invitation");
        assert_eq!(invitation.url, app.config.public_url);
        assert_eq!(invitation.code, issued.code);
        let reply = enrol_with(&app, &issued.code.grouped().to_lowercase(), &key(1)).await;
        assert_eq!(reply.status, StatusCode::CREATED);
        let enrolled: Enrolled = reply.json();
        assert_eq!(enrolled.person, people.an.person);
        assert_eq!(enrolled.unit, people.truong_vinh);
        assert_eq!(
            (enrolled.person_name.as_str(), enrolled.unit_name.as_str()),
            ("An", "Phường Trường Vinh")
        );
        assert_eq!(enrolled.log_key, invitation.log_key);
        assert_eq!(enrolled.receipt_key, invitation.receipt_key);

        let issued = audited(&app, "enrolment-code-issued").await;
        assert_eq!(issued[0].person, Some(people.chi.person.to_string()));
        assert_eq!(issued[0].subject, Some(people.an.person.to_string()));
        let made = audited(&app, "phone-enrolled").await;
        assert_eq!(made[0].phone, Some(enrolled.phone.to_string()));
        assert_eq!(made[0].unit, Some(people.truong_vinh.to_string()));
        assert_eq!(rows(&app, "sign_in_attempt").await, 0);
    }
}

#[tokio::test]
async fn codes_are_issued_by_who_may_for_whom_they_may() {
    for app in apps().await {
        let people = People::new(&app).await;
        person::disable(&app, None, people.ha.person)
            .await
            .expect("disabled");
        let an = people.an.person;
        let refused = [
            (&people.an, an, StatusCode::FORBIDDEN),
            (&people.binh, an, StatusCode::FORBIDDEN),
            (&people.giang, an, StatusCode::FORBIDDEN),
            (&people.khoa, an, StatusCode::FORBIDDEN),
            (&people.chi, people.binh.person, StatusCode::NOT_FOUND),
            (
                &people.chi,
                people.ha.person,
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            (
                &people.dung,
                people.khoa.person,
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
        ];
        for (by, person, status) in refused {
            let problem = issue(&app, Some(by), person).await.expect_err("refused");
            assert_eq!(problem.status(), status, "{} for {person}", by.name);
        }
        assert_eq!(rows(&app, "enrolment_code").await, 0);
        for (by, person) in [
            (&people.chi, people.chi.person),
            (&people.dung, people.binh.person),
        ] {
            issue(&app, Some(by), person).await.expect("a code");
        }
        issue(&app, None, an).await.expect("from the command line");
    }
}

#[tokio::test]
async fn a_code_is_spent_by_one_phone_which_may_ask_again() {
    for app in apps().await {
        let people = People::new(&app).await;
        let issued = issue(&app, None, people.an.person).await.expect("a code");
        let first = enrol_with(&app, &issued.code, &key(1)).await;
        let again = enrol_with(&app, &issued.code, &key(1)).await;
        let (first, again) = (
            (first.status, first.json::<Enrolled>()),
            (again.status, again.json::<Enrolled>()),
        );
        assert_eq!((first.0, again.0), (StatusCode::CREATED, StatusCode::OK));
        assert_eq!(first.1.phone, again.1.phone);
        let other = enrol_with(&app, &issued.code, &key(2)).await;
        assert_eq!(
            (other.status, other.word().as_str()),
            (StatusCode::CONFLICT, "code-used")
        );
        assert_eq!(rows(&app, "phone").await, 1);
        let refused = audited(&app, "enrolment-refused").await;
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].detail.as_deref(), Some("code-used"));
        assert_eq!(refused[0].subject, Some(people.an.person.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_phones_that_race_for_a_code_one_wins() {
    for app in apps().await {
        let people = People::new(&app).await;
        let issued = issue(&app, None, people.an.person).await.expect("a code");
        let race = (1..=8).map(|seed| {
            let (app, code) = ((*app).clone(), issued.code.clone());
            tokio::spawn(async move { enrol_with(&app, &code, &key(seed)).await.status })
        });
        let mut made = 0;
        for phone in race.collect::<Vec<_>>() {
            let status = phone.await.expect("it ran");
            assert!(
                matches!(status, StatusCode::CREATED | StatusCode::CONFLICT),
                "{status}"
            );
            made += usize::from(status == StatusCode::CREATED);
        }
        assert_eq!(made, 1);
        assert_eq!(rows(&app, "phone").await, 1);
    }
}

#[tokio::test]
async fn who_saw_the_code_unused_a_moment_ago_still_comes_second() {
    for app in apps().await {
        let people = People::new(&app).await;
        let code = issue(&app, None, people.an.person)
            .await
            .expect("a code")
            .code;
        let mut tx = app.database.begin().await.expect("a transaction");
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(
                Issued::find(&mut tx, &code)
                    .await
                    .expect("rows")
                    .expect("the code"),
            );
        }
        let mut spent = Vec::new();
        for (seed, issued) in (1..).zip(&seen) {
            assert!(issued.phone.is_none());
            let new = NewPhone::sign(&key(seed), &code, "1.0");
            let answer = issued.spend(&app, &mut tx, &new, clock::now_ms()).await;
            spent.push(answer.expect("an answer").err());
        }
        assert_eq!(spent, [None, Some(Refusal::Used)]);
    }
}

#[tokio::test]
async fn an_expired_an_unknown_and_a_disabled_persons_code_are_told_apart() {
    for app in apps().await {
        let people = People::new(&app).await;
        let unknown = enrol_with(&app, "0000000000", &key(1)).await;
        assert_eq!(
            (unknown.status, unknown.word().as_str()),
            (StatusCode::NOT_FOUND, "code-unknown")
        );

        let issued = issue(&app, None, people.an.person).await.expect("a code");
        sqlx::query("update enrolment_code set expires_at_ms = expires_at_ms - $1")
            .bind(LASTS_MS)
            .execute(&app.database.read)
            .await
            .expect("ten minutes later");
        let expired = enrol_with(&app, &issued.code, &key(1)).await;
        assert_eq!(
            (expired.status, expired.word().as_str()),
            (StatusCode::GONE, "code-expired")
        );

        let issued = issue(&app, None, people.ha.person).await.expect("a code");
        person::disable(&app, None, people.ha.person)
            .await
            .expect("disabled");
        let disabled = enrol_with(&app, &issued.code, &key(1)).await;
        assert_eq!(
            (disabled.status, disabled.word().as_str()),
            (StatusCode::FORBIDDEN, "person-disabled")
        );

        assert_eq!(rows(&app, "phone").await, 0);
        let words: Vec<_> = audited(&app, "enrolment-refused")
            .await
            .into_iter()
            .map(|row| (row.subject.is_some(), row.detail.expect("a word")))
            .collect();
        let row = |known, word: &str| (known, word.to_owned());
        assert_eq!(
            words,
            [
                row(false, "code-unknown"),
                row(true, "code-expired"),
                row(true, "person-disabled")
            ]
        );
    }
}

#[tokio::test]
async fn who_guesses_codes_waits_and_others_do_not() {
    for app in apps().await {
        let people = People::new(&app).await;
        for guess in 0..10 {
            let reply = enrol_with(&app, &format!("ABC000000{guess}"), &key(1)).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND);
        }
        let reply = enrol_with(&app, "ABC0000010", &key(1)).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(reply.headers.contains_key("retry-after"));
        let issued = issue(&app, None, people.an.person).await.expect("a code");
        if !issued.code.starts_with("ABC") {
            let reply = enrol_with(&app, &issued.code, &key(1)).await;
            assert_eq!(reply.status, StatusCode::CREATED);
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_a_rule_does_not_cost_the_code() {
    for app in apps().await {
        let people = People::new(&app).await;
        let issued = issue(&app, None, people.an.person).await.expect("a code");
        let new = NewPhone::sign(&key(1), &issued.code, "1.0");
        let mut stolen = new.clone();
        stolen.public_key = key(2).verifying_key().to_bytes();
        let long = new.clone().of_model(&"x".repeat(MODEL_LIMIT + 1));
        let mistyped = NewPhone::sign(&key(1), "not a code", "1.0");
        for (body, field) in [
            (serde_json::to_vec(&stolen).expect("JSON"), "proof"),
            (serde_json::to_vec(&long).expect("JSON"), "model"),
            (serde_json::to_vec(&mistyped).expect("JSON"), "code"),
            (b"{".to_vec(), "body"),
        ] {
            let reply = post(&app, body).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
            let problem: kieumau_core::problem::Problem = reply.json();
            assert_eq!(problem.invalid.expect("a rule").field, field);
        }
        let huge = post(&app, vec![b' '; BODY_LIMIT_BYTES + 1]).await;
        assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
        let reply = enrol_with(&app, &issued.code, &key(1)).await;
        assert_eq!(reply.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_flood_of_wrong_codes_stops_itself_and_not_an_officer_with_a_right_one() {
    for app in apps().await {
        let people = People::new(&app).await;
        let issued = issue(&app, None, people.an.person).await.expect("a code");
        // A thousand failures of codes that begin like no code there is.
        let now_ms = clock::now_ms();
        let flood = Subject::new("codes", "", FAILURES.1).with_limit(i64::MAX);
        for _ in 0..FAILURES.1 {
            attempt::begin(&app.database, now_ms, std::slice::from_ref(&flood))
                .await
                .expect("counted");
        }
        let written = rows(&app, "sign_in_attempt").await;
        let wrong: Code = "ZZZZZZZZZZ".parse().expect("a code");
        let refused = enrol_with(&app, &wrong, &key(1)).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            rows(&app, "sign_in_attempt").await,
            written,
            "a flood writes nothing more"
        );
        // The twin of the wrong one: it is the code that makes the difference.
        let enrolled = enrol_with(&app, &issued.code, &key(1)).await;
        assert_eq!(enrolled.status, StatusCode::CREATED);
        // Guessing near a code that there is stays bounded: ten failures, and not even the right one is let through.
        let next = issue(&app, None, people.ha.person).await.expect("a code");
        let near = Subject::new("code", &next.code[..ALIKE], i64::MAX);
        for _ in 0..FAILURES.0 {
            attempt::begin(&app.database, now_ms, std::slice::from_ref(&near))
                .await
                .expect("counted");
        }
        let guessed = enrol_with(&app, &next.code, &key(2)).await;
        assert_eq!(guessed.status, StatusCode::TOO_MANY_REQUESTS);
    }
}
