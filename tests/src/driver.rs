//! A lean client: an enrolled phone without a store. Benchmarks let it push what was made and sealed beforehand, so that what is
//! timed is the server; tests let it say what no phone of ours would.

use crate::{server::Server, signal::Signal};
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key},
    enrolment::{Enrolled, NewPhone, PHONES},
    hash::Sha256,
    jws,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    seal::{Seal, Signer},
    stamp::Stamp,
    token::{ASSERTION_TYP, AccessToken, Assertion, GRANT_TYPE, TOKEN},
    wire::{self, ChangeOutcome, Pulled, Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::CONTENT_TYPE};
use std::time::Instant;

/// Changes of one patrol: the size of the project's *patrol document*.
pub const CHANGES_PER_PATROL: usize = 32;

/// An enrolled phone that only pushes.
#[derive(Debug)]
pub struct Driver {
    http: Client,
    url: String,
    /// Its signing key.
    pub key: SigningKey,
    /// Who it is.
    pub enrolled: Enrolled,
    enrolled_at: Instant,
    token: String,
}

impl Driver {
    /// Enrols a phone of the person who signs in so, and signs it in.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn enrol(server: &Server, sign_in: &str) -> Self {
        let code = server.code(sign_in).await.code;
        Self::enrol_by(server.ward.url.clone(), &code).await
    }

    /// Enrols a phone at `url` by a code that was issued, and signs it in.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn enrol_by(url: String, code: &str) -> Self {
        let http = Client::builder().build().expect("a client");
        let key = SigningKey::from_bytes(&rand::random());
        let new = NewPhone::sign(&key, code, "bench");
        let body = serde_json::to_vec(&new).expect("JSON");
        let body = post(&http, &format!("{url}{PHONES}"), "application/json", body).await;
        let enrolled: Enrolled = serde_json::from_slice(&body).expect("an enrolment");
        let mut driver = Self {
            http,
            url,
            key,
            enrolled,
            enrolled_at: Instant::now(),
            token: String::new(),
        };
        assert!(driver.sign_in().await, "a phone just enrolled is let in");
        driver
    }

    /// Gets a new access token; whether the server gave one.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn sign_in(&mut self) -> bool {
        let phone = self.enrolled.phone;
        let now_s = self.enrolled.server_time_ms.div_euclid(1_000)
            + i64::try_from(self.enrolled_at.elapsed().as_secs()).unwrap_or_default();
        let assertion = Assertion::new(phone, now_s, rand::random());
        let jwt = jws::sign(&self.key, ASSERTION_TYP, &phone.to_string(), &assertion);
        let grant_type = GRANT_TYPE.replace(':', "%3A");
        let request = self
            .http
            .post(format!("{}{TOKEN}", self.url))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("grant_type={grant_type}&assertion={jwt}"));
        let (status, body) = whole(request).await.expect("an answer");
        if status.is_success() {
            let token: AccessToken = serde_json::from_slice(&body).expect("a token");
            self.token = token.access_token;
        }
        status.is_success()
    }

    /// The same phone, on this way to the server.
    #[must_use]
    pub fn through(mut self, signal: &Signal) -> Self {
        self.url = signal.url();
        self
    }

    /// What its requests say in `Authorization`, for ten minutes.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// So many pushes of one change each: patrols of [`CHANGES_PER_PATROL`], one after the other.
    ///
    /// # Panics
    /// When a rule is broken.
    #[must_use]
    pub fn prepare(&self, pushes: usize) -> Vec<Vec<u8>> {
        let mut bodies = Vec::with_capacity(pushes);
        while bodies.len() < pushes {
            let wanted = (pushes - bodies.len()).min(CHANGES_PER_PATROL);
            self.prepare_patrol(wanted, &mut bodies);
        }
        bodies
    }

    fn prepare_patrol(&self, changes: usize, bodies: &mut Vec<Vec<u8>>) {
        let key = Key::patrol(self.enrolled.unit, uuid::Uuid::now_v7());
        let mut patrol = document::new(&key);
        let actor = Actor {
            phone: self.enrolled.phone,
            opening: rand::random(),
        };
        for number in 0..changes {
            let stamp = Stamp {
                by: self.enrolled.person,
                at_ms: self.enrolled.server_time_ms + 1_000 * number as i64,
                random: rand::random(),
            };
            let (_, change) =
                document::edit(&mut patrol, actor, stamp.at_ms, |log: &mut PatrolLog| {
                    if number == 0 {
                        return log.start(stamp, called("Ca đo tốc độ"));
                    }
                    log.observe(stamp, noted("Lấn chiếm vỉa hè, đã nhắc nhở"))
                        .map(|_| ())
                })
                .expect("no rule is broken");
            let change = change.expect("something was written");
            let signer = Signer::Phone(self.enrolled.phone);
            let push = Push {
                after: None,
                backups: None,
                documents: vec![PushedDocument {
                    key: WireKey::from(&key),
                    seals: vec![key.seal(&self.key, signer, change.hash)],
                    changes: vec![change.bytes],
                }],
                receipts: vec![ReceiptRequest {
                    document: key.document(),
                    heads: document::heads(&patrol),
                    attachments: Vec::new(),
                }],
            };
            bodies.push(minicbor::to_vec(&push).expect("CBOR"));
        }
    }

    /// This phone's changes of a new patrol: its start, and so many observations.
    ///
    /// # Panics
    /// When a rule is broken.
    #[must_use]
    pub fn patrol(&self, observations: usize) -> (Key, Vec<Change>) {
        let mut bodies = Vec::new();
        self.prepare_patrol(observations + 1, &mut bodies);
        let documents = bodies.iter().map(|body| {
            let push: Push = minicbor::decode(body).expect("its own CBOR");
            push.documents.into_iter().next().expect("one document")
        });
        let documents: Vec<PushedDocument> = documents.collect();
        let key = documents[0].key.key().expect("a key");
        let changes = documents
            .into_iter()
            .flat_map(|document| document.changes)
            .map(|bytes| {
                let hash = kieumau_core::header::read(&bytes).expect("a change").hash;
                Change { hash, bytes }
            });
        (key, changes.collect())
    }

    /// A seal of this phone.
    #[must_use]
    pub fn seal(&self, key: &Key, change: Sha256) -> Seal {
        key.seal(&self.key, Signer::Phone(self.enrolled.phone), change)
    }

    /// Sends `body` to push; the status, and the bytes of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        self.try_send(body).await.expect("an answer")
    }

    /// Sends `body` to push; none if no answer came whole: the server may have written it or not.
    pub async fn try_send(&self, body: Vec<u8>) -> Option<(StatusCode, Vec<u8>)> {
        let request = self
            .http
            .post(format!("{}{}", self.url, wire::PUSH))
            .bearer_auth(&self.token)
            .header(CONTENT_TYPE, wire::CBOR)
            .body(body);
        whole(request).await
    }

    /// One page of what comes after `cursor`; none if no answer came whole.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn try_pull(&self, cursor: &str) -> Option<Vec<Pulled>> {
        let request = self
            .http
            .get(format!("{}{}?cursor={cursor}", self.url, wire::PULL))
            .bearer_auth(&self.token);
        let (status, answer) = whole(request).await?;
        assert!(status.is_success(), "{status}");
        let mut decoder = minicbor::Decoder::new(&answer);
        let mut items = Vec::new();
        while decoder.position() < answer.len() {
            items.push(decoder.decode().expect("an item"));
        }
        Some(items)
    }

    /// Sends any request as this phone.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    /// Pushes these changes of one document with these seals, and asks for no receipt.
    ///
    /// # Panics
    /// When the push as a whole is refused.
    pub async fn push_changes(
        &self,
        key: &Key,
        changes: &[Change],
        seals: Vec<Seal>,
    ) -> Vec<ChangeOutcome> {
        let changes = changes.iter().map(|change| change.bytes.clone()).collect();
        let document = PushedDocument {
            key: WireKey::from(key),
            changes,
            seals,
        };
        let push = Push {
            after: None,
            backups: None,
            documents: vec![document],
            receipts: Vec::new(),
        };
        let (status, answer) = self.send(minicbor::to_vec(&push).expect("CBOR")).await;
        assert!(status.is_success(), "{status}");
        minicbor::decode::<Pushed>(&answer).expect("CBOR").changes
    }

    /// Pushes what was prepared. Returns when the answer is read; the server wrote it after its transaction.
    ///
    /// # Panics
    /// When the server refuses, or sends no receipt: a fast refusal is no figure.
    pub async fn push(&self, body: Vec<u8>) {
        let (status, answer) = self.send(body).await;
        assert!(status.is_success(), "{status}");
        let pushed: Pushed = minicbor::decode(&answer).expect("CBOR");
        assert_eq!(pushed.changes, [], "the change was taken");
        assert_eq!(pushed.receipts.len(), 1, "with its receipt");
    }
}

fn called(title: &str) -> NewPatrol {
    NewPatrol {
        title: title.to_owned(),
        ..NewPatrol::default()
    }
}

fn noted(note: &str) -> NewObservation {
    NewObservation {
        note: Some(note.to_owned()),
        ..NewObservation::of("urban-order", 3, "case")
    }
}

async fn whole(request: RequestBuilder) -> Option<(StatusCode, Vec<u8>)> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    Some((status, answer.bytes().await.ok()?.to_vec()))
}

async fn post(http: &Client, url: &str, media_type: &str, body: Vec<u8>) -> Vec<u8> {
    let request = http.post(url).header(CONTENT_TYPE, media_type).body(body);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.bytes().await.expect("an answer whole").to_vec()
}
