//! What a token guarantees: the attacks on JSON Web Tokens that are known by name all end in 401, and what revokes a
//! phone or a person takes effect with the next request. Each attack differs from an honest token in one thing.

use super::*;
use crate::{
    app::Config,
    fixture::{People, Reply, TestApp, apps, bearer, enrolled, send},
    person, phone,
};
use axum::{body::Body, http::Request, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use std::sync::Arc;

const FORM: &str = "application/x-www-form-urlencoded";

/// What the trick is, and what it changes in honest claims.
type Change<'a, T> = (&'a str, &'a dyn Fn(&mut T));

/// A server with An's phone on it.
struct Server {
    app: TestApp,
    people: People,
    phone: PhoneId,
    key: SigningKey,
}

async fn servers() -> Vec<Server> {
    let mut servers = Vec::new();
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, key) = enrolled(&app, &people.an).await;
        servers.push(Server {
            app,
            people,
            phone,
            key,
        });
    }
    servers
}

impl Server {
    fn assertion(&self) -> Assertion {
        Assertion::new(self.phone, clock::now_ms() / 1000, rand::random())
    }

    async fn post(&self, body: String) -> Reply {
        let request = Request::post(TOKEN)
            .header(header::CONTENT_TYPE, FORM)
            .body(Body::from(body))
            .expect("a request");
        send(&self.app, router(), request).await
    }

    async fn exchange(&self, assertion: &str) -> Reply {
        self.post(format!("grant_type={GRANT_TYPE}&assertion={assertion}"))
            .await
    }

    async fn token(&self) -> String {
        let bearer = bearer(&self.app, self.phone, &self.key).await;
        bearer.trim_start_matches("Bearer ").to_owned()
    }

    async fn whose(&self, token: &str) -> Reply {
        let whose = async |phone: EnrolledPhone| phone.person.to_string();
        let request = Request::get("/")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .expect("a request");
        send(&self.app, Router::new().route("/", get(whose)), request).await
    }

    fn access(&self) -> Access {
        let now_s = clock::now_ms() / 1000;
        Access {
            iss: AUDIENCE.to_owned(),
            sub: self.phone.to_string(),
            aud: AUDIENCE.to_owned(),
            exp: now_s + LASTS_S,
        }
    }
}

/// A token with any header, signed by `key` whatever the header says.
fn with_header(key: &SigningKey, header: &Value, claims: &impl Serialize) -> String {
    let part = |value: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(value);
    let claims = serde_json::to_vec(claims).expect("JSON");
    let message = format!("{}.{}", part(header.to_string().into_bytes()), part(claims));
    let signature = key.sign(message.as_bytes());
    format!("{message}.{}", part(signature.to_bytes().to_vec()))
}

/// An assertion as a phone makes it.
fn honest(key: &SigningKey, claims: &Assertion) -> String {
    with_header(
        key,
        &json!({"alg": "EdDSA", "kid": "phone", "typ": ASSERTION_TYP}),
        claims,
    )
}

/// Tokens of `typ` with a header or signature that nobody may believe: what the trick is, and the token.
fn forged(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Vec<(&'static str, String)> {
    let public = key.verifying_key();
    let x = BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes());
    let mut forged: Vec<_> = [
        ("alg none", json!({"alg": "none", "typ": typ})),
        ("alg HS256", json!({"alg": "HS256", "typ": typ})),
        ("no alg", json!({"typ": typ})),
        ("no typ", json!({"alg": "EdDSA"})),
        ("typ JWT", json!({"alg": "EdDSA", "typ": "JWT"})),
        (
            "typ in capitals",
            json!({"alg": "EdDSA", "typ": typ.to_uppercase()}),
        ),
        ("crit", json!({"alg": "EdDSA", "typ": typ, "crit": ["exp"]})),
        ("b64", json!({"alg": "EdDSA", "typ": typ, "b64": false})),
        (
            "jku",
            json!({"alg": "EdDSA", "typ": typ, "jku": "https://evil.example/keys"}),
        ),
        (
            "x5u",
            json!({"alg": "EdDSA", "typ": typ, "x5u": "https://evil.example/chain"}),
        ),
        (
            "jwk",
            json!({"alg": "EdDSA", "typ": typ, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}),
        ),
    ]
    .into_iter()
    .map(|(trick, header)| (trick, with_header(key, &header, claims)))
    .collect();
    let header = Header {
        typ: Some(typ.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let secret = EncodingKey::from_secret(public.as_bytes());
    let token = jsonwebtoken::encode(&header, claims, &secret).expect("a token");
    forged.push(("HS256 with the public key", token));
    let unsigned = json!({"alg": "none", "typ": typ});
    let unsigned = with_header(key, &unsigned, claims);
    let (message, _) = unsigned.rsplit_once('.').expect("three parts");
    forged.push(("alg none without signature", format!("{message}.")));
    let other = SigningKey::from_bytes(&[9; 32]);
    let header = json!({"alg": "EdDSA", "typ": typ});
    forged.push(("another key", with_header(&other, &header, claims)));
    let good = with_header(key, &header, claims);
    let (message, _) = good.rsplit_once('.').expect("three parts");
    forged.push(("no signature", format!("{message}.")));
    forged.push(("two parts", message.to_owned()));
    forged.push(("not a token", "....".to_owned()));
    forged.push(("nothing", String::new()));
    let long = json!({"alg": "EdDSA", "typ": typ, "kid": "x".repeat(TOKEN_LIMIT_BYTES)});
    forged.push(("8 KiB", with_header(key, &long, claims)));
    forged
}

#[tokio::test]
async fn an_honest_assertion_is_exchanged_and_the_token_speaks_for_the_phone() {
    for server in servers().await {
        let reply = server
            .exchange(&honest(&server.key, &server.assertion()))
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
        let answer: AccessToken = reply.json();
        assert_eq!(
            (answer.expires_in, answer.token_type.as_str()),
            (LASTS_S, "Bearer")
        );
        for _ in 0..2 {
            let reply = server.whose(&answer.access_token).await;
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.body, server.people.an.person.to_string().into_bytes());
        }
        let phones = phone::list(&server.app, None, server.people.truong_vinh).await;
        assert!(phones.expect("phones")[0].last_seen_at_ms.is_some());
    }
}

#[tokio::test]
async fn no_forged_assertion_is_exchanged() {
    for server in servers().await {
        for (trick, token) in forged(&server.key, ASSERTION_TYP, &server.assertion()) {
            let reply = server.exchange(&token).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{trick}");
            assert_eq!(reply.word(), "token-refused", "{trick}");
        }
        let (binhs, binhs_key) = enrolled(&server.app, &server.people.binh).await;
        let claims: [Change<Assertion>; 6] = [
            ("another audience", &|it| it.aud = "other".to_owned()),
            ("another subject", &|it| it.sub = binhs.to_string()),
            ("another phone's name", &|it| {
                (it.iss, it.sub) = (binhs.to_string(), binhs.to_string());
            }),
            ("no phone", &|it| it.iss = "' or 1=1 --".to_owned()),
            ("an hour", &|it| it.exp = it.iat + 3600),
            ("no time at all", &|it| it.exp = it.iat),
        ];
        for (trick, change) in claims {
            let mut assertion = server.assertion();
            change(&mut assertion);
            let reply = server.exchange(&honest(&server.key, &assertion)).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{trick}");
            assert_eq!(reply.word(), "token-refused", "{trick}");
        }
        // The header names a key that would fit; the claims name An's phone, and so An's key counts.
        let header = json!({"alg": "EdDSA", "kid": binhs.to_string(), "typ": ASSERTION_TYP});
        let reply = server
            .exchange(&with_header(&binhs_key, &header, &server.assertion()))
            .await;
        assert_eq!(reply.word(), "token-refused");
    }
}

#[tokio::test]
async fn an_assertion_is_used_once_and_by_its_own_phone_only() {
    for server in servers().await {
        let assertion = server.assertion();
        let token = honest(&server.key, &assertion);
        assert_eq!(server.exchange(&token).await.status, StatusCode::OK);
        let again = server.exchange(&token).await;
        assert_eq!(
            (again.status, again.word().as_str()),
            (StatusCode::UNAUTHORIZED, "token-refused")
        );
        // Bình's phone drew the same number: it is another assertion.
        let (binhs, key) = enrolled(&server.app, &server.people.binh).await;
        let same_number = Assertion {
            iss: binhs.to_string(),
            sub: binhs.to_string(),
            ..assertion
        };
        assert_eq!(
            server.exchange(&honest(&key, &same_number)).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_phone_with_a_wrong_clock_is_told_the_time() {
    for server in servers().await {
        let now_s = clock::now_ms() / 1000;
        for clock_s in [0, now_s - 3600, now_s + 3600, i64::MAX - 300] {
            let assertion = Assertion::new(server.phone, clock_s, rand::random());
            let reply = server.exchange(&honest(&server.key, &assertion)).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
            let problem: kieumau_core::problem::Problem = reply.json();
            assert_eq!(problem.word(), "clock-skew");
            let server_s = problem.server_time_ms.expect("the time") / 1000;
            let nonce = problem.nonce.expect("a nonce");
            let retry = |nonce: &str| Assertion {
                nonce: Some(nonce.to_owned()),
                ..Assertion::new(server.phone, server_s, rand::random())
            };
            // Another's nonce, though the time is right.
            let theirs = nonce::make(&server.key, server_s);
            let reply = server.exchange(&honest(&server.key, &retry(&theirs))).await;
            assert_eq!(reply.word(), "token-refused");
            let reply = server.exchange(&honest(&server.key, &retry(&nonce))).await;
            assert_eq!(reply.status, StatusCode::OK);
        }
    }
}

#[test]
fn an_assertion_for_a_time_to_come_is_worthless_when_it_comes() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let (now_s, then_s) = (1_800_000_000, 2_500_000_000);
    // Somebody between the two told the phone a time to come, with a nonce the server had made for now.
    let kept = Assertion {
        nonce: Some(nonce::make(&key, now_s)),
        ..Assertion::new(PhoneId::from_bytes([1; 16]), then_s, [0; 16])
    };
    let word = |assertion| in_time(assertion, &key, then_s).err().map(|p| p.word());
    assert_eq!(word(&kept), Some("token-refused"));
    // The twin: without a nonce to repeat, it would be taken then.
    assert_eq!(
        word(&Assertion {
            nonce: None,
            ..kept.clone()
        }),
        None
    );
}

#[test]
fn a_minute_of_difference_between_clocks_is_borne() {
    let assertion = Assertion::new(PhoneId::from_bytes([1; 16]), 10_000, [0; 16]);
    for (now_s, word) in [
        (9_939, Some("clock-skew")),
        (9_940, None),
        (10_359, None),
        (10_360, Some("clock-skew")),
    ] {
        let answer = in_time(&assertion, &SigningKey::from_bytes(&[1; 32]), now_s);
        assert_eq!(
            answer.err().map(|problem| problem.word()),
            word,
            "at {now_s}"
        );
    }
}

#[tokio::test]
async fn no_forged_access_token_speaks() {
    for server in servers().await {
        let key = &server.app.keys.token;
        let access = server.access();
        let own = signed(key, ACCESS_TYP, &access).expect("a token");
        assert_eq!(server.whose(&own).await.status, StatusCode::OK);
        let mut tricks = forged(key, ACCESS_TYP, &access);
        tricks.push((
            "the phone's key",
            signed(&server.key, ACCESS_TYP, &access).expect("a token"),
        ));
        tricks.push((
            "another of the server's keys",
            signed(&server.app.keys.receipt, ACCESS_TYP, &access).expect("a token"),
        ));
        tricks.push(("an assertion", honest(&server.key, &server.assertion())));
        tricks.push((
            "an assertion by the server",
            honest(key, &server.assertion()),
        ));
        let others: [Change<Access>; 4] = [
            ("another audience", &|it| it.aud = "other".to_owned()),
            ("another issuer", &|it| it.iss = "other".to_owned()),
            ("no phone", &|it| it.sub = "an".to_owned()),
            ("an unknown phone", &|it| {
                it.sub = PhoneId::from_bytes([1; 16]).to_string()
            }),
        ];
        for (trick, change) in others {
            let mut claims = access.clone();
            change(&mut claims);
            tricks.push((trick, signed(key, ACCESS_TYP, &claims).expect("a token")));
        }
        for (trick, token) in tricks {
            let reply = server.whose(&token).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{trick}");
            assert_eq!(reply.word(), "token-refused", "{trick}");
        }
    }
}

#[test]
fn without_the_comparison_of_headers_the_library_would_believe_some_of_them() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let assertion = Assertion::new(PhoneId::from_bytes([1; 16]), 10_000, [0; 16]);
    let public = DecodingKey::from_ed_der(key.verifying_key().as_bytes());
    let believed: Vec<_> = forged(&key, ASSERTION_TYP, &assertion)
        .into_iter()
        .filter(|(_, token)| {
            jsonwebtoken::decode::<Assertion>(token, &public, &validation()).is_ok()
        })
        .map(|(trick, _)| trick)
        .collect();
    let header_only = [
        "no typ",
        "typ JWT",
        "typ in capitals",
        "crit",
        "b64",
        "jku",
        "x5u",
        "jwk",
        "8 KiB",
    ];
    assert_eq!(believed, header_only);
}

#[tokio::test]
async fn a_token_is_over_after_ten_minutes_even_if_it_was_remembered() {
    for server in servers().await {
        let token = server.token().await;
        assert_eq!(server.whose(&token).await.status, StatusCode::OK);
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {token}").parse().expect("a header");
        headers.insert(header::AUTHORIZATION, value);
        let now_s = clock::now_ms() / 1000;
        speaking(&server.app, &headers, now_s + LASTS_S - 60)
            .await
            .expect("still good");
        let over = speaking(&server.app, &headers, now_s + LASTS_S + 1).await;
        let over = over.expect_err("over");
        assert_eq!(
            (over.status(), over.word()),
            (StatusCode::UNAUTHORIZED, "token-expired")
        );
    }
}

#[tokio::test]
async fn what_was_verified_with_one_key_is_not_remembered_for_another() {
    for server in servers().await {
        let token = server.token().await;
        let now_s = clock::now_ms() / 1000;
        let ours = server.app.keys.token.verifying_key();
        assert!(access(&token, &ours, now_s).is_some());
        let another = SigningKey::from_bytes(&[9; 32]).verifying_key();
        assert!(access(&token, &another, now_s).is_none());
    }
}

#[tokio::test]
async fn a_revoked_phone_is_out_at_once_with_a_word_of_its_own() {
    for server in servers().await {
        let token = server.token().await;
        assert_eq!(server.whose(&token).await.status, StatusCode::OK);
        phone::revoke(&server.app, Some(&server.people.chi), server.phone)
            .await
            .expect("revoked");
        let spoke = server.whose(&token).await;
        let asked = server
            .exchange(&honest(&server.key, &server.assertion()))
            .await;
        for reply in [spoke, asked] {
            assert_eq!(
                (reply.status, reply.word().as_str()),
                (StatusCode::FORBIDDEN, "phone-revoked")
            );
        }
    }
}

#[tokio::test]
async fn a_disabled_persons_phone_is_out_at_once() {
    for server in servers().await {
        let token = server.token().await;
        person::disable(&server.app, None, server.people.an.person)
            .await
            .expect("disabled");
        let spoke = server.whose(&token).await;
        let asked = server
            .exchange(&honest(&server.key, &server.assertion()))
            .await;
        for reply in [spoke, asked] {
            assert_eq!(
                (reply.status, reply.word().as_str()),
                (StatusCode::FORBIDDEN, "person-disabled")
            );
        }
    }
}

#[tokio::test]
async fn an_enabled_persons_phone_is_let_in_again_unless_it_was_revoked_meanwhile() {
    for server in servers().await {
        let an = server.people.an.person;
        person::disable(&server.app, None, an)
            .await
            .expect("disabled");
        person::enable(&server.app, None, an)
            .await
            .expect("enabled");
        let spoke = server.whose(&server.token().await).await;
        assert_eq!(spoke.status, StatusCode::OK);
        person::disable(&server.app, None, an)
            .await
            .expect("disabled");
        phone::revoke(&server.app, None, server.phone)
            .await
            .expect("revoked");
        person::enable(&server.app, None, an)
            .await
            .expect("enabled");
        let asked = server
            .exchange(&honest(&server.key, &server.assertion()))
            .await;
        assert_eq!(
            (asked.status, asked.word().as_str()),
            (StatusCode::FORBIDDEN, "phone-revoked")
        );
    }
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_form_nobody_speaks() {
    for server in servers().await {
        let whose = async |phone: EnrolledPhone| phone.person.to_string();
        for value in ["", "Basic YTpi", "Bearer", "Bearer  "] {
            let request = Request::get("/")
                .header(header::AUTHORIZATION, value)
                .body(Body::empty())
                .expect("a request");
            let reply = send(&server.app, Router::new().route("/", get(whose)), request).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{value:?}");
        }
        let assertion = honest(&server.key, &server.assertion());
        for form in [
            String::new(),
            format!("assertion={assertion}"),
            format!("grant_type=password&assertion={assertion}"),
            format!("grant_type={GRANT_TYPE}"),
        ] {
            let reply = server.post(form).await;
            assert_eq!(
                (reply.status, reply.word().as_str()),
                (StatusCode::BAD_REQUEST, "bad-request")
            );
        }
    }
}

#[tokio::test]
async fn pins_are_told_as_they_were_announced_last_whichever_server_is_asked() {
    for server in servers().await {
        let (key, next) = (Sha256::of(b"a key"), Sha256::of(b"the next"));
        let started_with = |pins: Vec<Sha256>| {
            let config = Config {
                pins,
                ..(*server.app.config).clone()
            };
            App {
                config: Arc::new(config),
                ..server.app.clone()
            }
        };
        let (first, second) = (started_with(vec![key]), started_with(vec![key, next]));
        let told = async |app: &App| {
            let request = Request::get(PINS_PATH)
                .body(Body::empty())
                .expect("a request");
            let reply = send(app, router(), request).await;
            let token = String::from_utf8(reply.body).expect("text");
            Announced::verify(&token, app.keys.log.verifying_key()).expect("the log's key")
        };
        serve::announce(&first).await.expect("announced");
        let before = told(&first).await;
        assert_eq!(before.pins, [key]);
        serve::announce(&second).await.expect("announced");
        // The first was not started again: with its own pins under the new number a phone would have heard of no next key.
        for app in [&first, &second] {
            let told = told(app).await;
            assert_eq!(told.pins, [key, next]);
            assert!(told.number > before.number);
        }
    }
}
