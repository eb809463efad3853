//! What a session guarantees: who gets in, who does not, what they can tell apart, and when it ends.

use super::*;
use crate::{
    fixture::{People, Reply, apps, audited, cookie, rows, send},
    person::{self, FirstPassword},
};
use axum::{Router, body::Body, http::Request, routing::get};

const PASSWORD: &str = "Giữ bình yên phường";

fn whoami() -> Router<App> {
    Router::new().route("/", get(async |signed_in: SignedIn| signed_in.name))
}

async fn ask(app: &App, cookies: &[&str]) -> Reply {
    let mut request = Request::get("/");
    for cookie in cookies {
        request = request.header(header::COOKIE, *cookie);
    }
    send(
        app,
        whoami(),
        request.body(Body::empty()).expect("a request"),
    )
    .await
}

async fn with_password(app: &App, person: PersonId) {
    let password = FirstPassword::Given(Zeroizing::new(PASSWORD.to_owned()));
    person::set_password(app, None, person, password)
        .await
        .expect("a password");
}

fn pair(token: &Token) -> String {
    format!("{COOKIE}={}", *token.0)
}

#[tokio::test]
async fn the_right_password_opens_a_session_and_the_audit_row_says_so() {
    for app in apps().await {
        let people = People::new(&app).await;
        with_password(&app, people.chi.person).await;
        let (signed_in, token) = sign_in(&app, " CHI ", PASSWORD).await.expect("signed in");
        assert_eq!(signed_in.person, people.chi.person);
        let reply = ask(&app, &[&pair(&token)]).await;
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (StatusCode::OK, "Chi".as_bytes())
        );
        let deeds = audited(&app, "sign-in").await;
        assert_eq!(deeds.len(), 1);
        assert_eq!(deeds[0].person, Some(people.chi.person.to_string()));
        assert_eq!(deeds[0].unit, Some(people.truong_vinh.to_string()));
        assert_eq!(rows(&app, "sign_in_attempt").await, 0);
    }
}

#[tokio::test]
async fn the_table_does_not_hold_the_cookie() {
    for app in apps().await {
        let people = People::new(&app).await;
        let cookie = cookie(&app, &people.chi).await;
        let row = sqlx::query("select token_hash from session")
            .fetch_one(&app.database.read)
            .await
            .expect("one session");
        let kept: String = row.try_get("token_hash").expect("a hash");
        let (_, token) = cookie.split_once('=').expect("a pair");
        assert_eq!(kept, Sha256::of(token.as_bytes()).to_string());
        // The hash itself opens nothing.
        let reply = ask(&app, &[&format!("{COOKIE}={}", &kept[..43])]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn who_cannot_sign_in_cannot_tell_why() {
    for app in apps().await {
        let people = People::new(&app).await;
        for person in [people.chi.person, people.ha.person] {
            with_password(&app, person).await;
        }
        person::disable(&app, Some(&people.dung), people.ha.person)
            .await
            .expect("disabled");
        // Wrong password, disabled, without a password, unknown, not even a name.
        for (name, password) in [
            ("chi", "không phải mật khẩu"),
            ("ha", PASSWORD),
            ("an", ""),
            ("nobody", PASSWORD),
            ("\u{202e} ' or 1=1 --", PASSWORD),
            ("chi\0", PASSWORD),
        ] {
            let problem = sign_in(&app, name, password).await.expect_err("refused");
            assert_eq!(
                (problem.status(), problem.word()),
                (StatusCode::UNAUTHORIZED, "sign-in-refused")
            );
        }
        let deeds = audited(&app, "sign-in-failed").await;
        let subjects: Vec<_> = deeds.iter().map(|deed| deed.subject.clone()).collect();
        let known = |person: &SignedIn| Some(person.person.to_string());
        assert_eq!(
            subjects,
            [
                known(&people.chi),
                known(&people.ha),
                known(&people.an),
                None,
                None,
                None
            ]
        );
        assert!(
            deeds
                .iter()
                .all(|deed| deed.person.is_none() && deed.detail.is_none())
        );
    }
}

#[tokio::test]
async fn after_ten_failures_an_account_waits_whether_it_exists_or_not() {
    for app in apps().await {
        let people = People::new(&app).await;
        with_password(&app, people.chi.person).await;
        for name in ["chi", "nobody"] {
            for _ in 0..FAILURES {
                let problem = sign_in(&app, name, "đoán thử").await.expect_err("wrong");
                assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
            }
            // Even the right password waits, or the answer would tell that it is right.
            let problem = sign_in(&app, name, PASSWORD).await.expect_err("too many");
            assert_eq!(problem.status(), StatusCode::TOO_MANY_REQUESTS);
            assert!(
                problem
                    .retry_after_s()
                    .is_some_and(|seconds| seconds <= 901)
            );
        }
        // Who is handed another password is let in with it, whoever guessed at the one before; the other name waits on.
        with_password(&app, people.chi.person).await;
        sign_in(&app, "chi", PASSWORD).await.expect("let in");
        let waits = sign_in(&app, "nobody", PASSWORD).await.expect_err("waits");
        assert_eq!(waits.status(), StatusCode::TOO_MANY_REQUESTS);
        // No lock-out: the window passes and the account is open.
        sqlx::query("update sign_in_attempt set at_ms = at_ms - $1")
            .bind(attempt::WINDOW_MS)
            .execute(&app.database.read)
            .await
            .expect("a quarter of an hour later");
        sign_in(&app, "chi", PASSWORD).await.expect("signed in");
        assert_eq!(audited(&app, "sign-in-failed").await.len(), 20);
    }
}

#[tokio::test]
async fn ten_sign_ins_in_a_row_are_not_failures() {
    for app in apps().await {
        let people = People::new(&app).await;
        with_password(&app, people.chi.person).await;
        for _ in 0..=FAILURES {
            sign_in(&app, "chi", PASSWORD).await.expect("signed in");
        }
    }
}

#[tokio::test]
async fn without_a_session_nobody_is_signed_in() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (chi, an) = (
            cookie(&app, &people.chi).await,
            cookie(&app, &people.an).await,
        );
        assert_eq!(
            ask(&app, &[&format!("theme=dark; {chi}")]).await.body,
            b"Chi"
        );
        let invented = format!("{COOKIE}={}", "A".repeat(43));
        for cookies in [
            &[][..],
            &[invented.as_str()],
            &["__Host-session"],
            &[&chi, &an],
        ] {
            let reply = ask(&app, cookies).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
            assert_eq!(reply.word(), "signed-out");
        }
    }
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_and_at_sign_out() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (chi, an) = (
            cookie(&app, &people.chi).await,
            cookie(&app, &people.an).await,
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, chi.parse().expect("a header"));
        let forget = sign_out(&app, &headers).await.expect("signed out");
        assert!(forget.to_str().expect("text").contains("Max-Age=0"));
        assert_eq!(ask(&app, &[&chi]).await.status, StatusCode::UNAUTHORIZED);
        sign_out(&app, &headers).await.expect("signed out twice");
        let deeds = audited(&app, "sign-out").await;
        assert_eq!(deeds.len(), 1);
        assert_eq!(deeds[0].person, Some(people.chi.person.to_string()));

        assert_eq!(ask(&app, &[&an]).await.status, StatusCode::OK);
        sqlx::query("update session set expires_at_ms = expires_at_ms - $1")
            .bind(LASTS_MS)
            .execute(&app.database.read)
            .await
            .expect("twelve hours later");
        assert_eq!(ask(&app, &[&an]).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_disabled_person_and_a_changed_role_take_effect_at_once() {
    for app in apps().await {
        let people = People::new(&app).await;
        let chi = cookie(&app, &people.chi).await;
        assert_eq!(ask(&app, &[&chi]).await.status, StatusCode::OK);
        // The row of the session stays: the join alone has to keep her out.
        sqlx::query("update person set disabled_at_ms = 1 where person_id = $1")
            .bind(people.chi.person.to_string())
            .execute(&app.database.read)
            .await
            .expect("disabled");
        assert_eq!(ask(&app, &[&chi]).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(rows(&app, "session").await, 1);
    }
}

#[test]
fn the_cookie_is_for_this_host_and_for_no_script() {
    let value = Token::fresh().set_cookie();
    assert!(value.is_sensitive());
    let text = value.to_str().expect("text").to_owned();
    for part in [
        "__Host-session=",
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Domain"));
}
