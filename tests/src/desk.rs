//! A supervisor at the browser, as far as HTTP goes: signs in, reads pages, sends forms. Real browsers are in `pages/`.

use crate::server::Person;
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, COOKIE, ORIGIN, SET_COOKIE},
    redirect::Policy,
};

/// Somebody signed in to pages.
pub struct Desk {
    http: Client,
    url: String,
    cookie: String,
}

impl Desk {
    /// Signs `person` in.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn sign_in(url: &str, person: &Person) -> Self {
        let http = Client::builder()
            .redirect(Policy::none())
            .build()
            .expect("a client");
        let mut desk = Self {
            http,
            url: url.to_owned(),
            cookie: String::new(),
        };
        let answer = desk
            .send(
                "/sign-in",
                &[("sign_in", &person.sign_in), ("password", &person.password)],
            )
            .await;
        assert!(
            answer.status().is_redirection(),
            "{} could not sign in: {}",
            person.name,
            answer.status()
        );
        let cookies = answer.headers().get_all(SET_COOKIE).iter();
        let cookie = cookies
            .filter_map(|cookie| cookie.to_str().ok())
            .find(|cookie| cookie.starts_with("__Host-"));
        desk.cookie = cookie
            .and_then(|cookie| cookie.split(';').next())
            .expect("a session")
            .to_owned();
        desk
    }

    /// Reads a page; its status and text.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn read(&self, path: &str) -> (StatusCode, String) {
        let request = self
            .http
            .get(format!("{}{path}", self.url))
            .header(COOKIE, &self.cookie);
        let answer = request
            .header(ACCEPT, "text/html")
            .send()
            .await
            .expect("an answer");
        (answer.status(), answer.text().await.expect("text"))
    }

    /// Sends a form.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header(COOKIE, &self.cookie);
        request
            .header(ORIGIN, &self.url)
            .header(ACCEPT, "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"))
            .send()
            .await
            .expect("an answer")
    }

    /// Decides about what the page of `path` shows now.
    ///
    /// # Panics
    /// When the page has no decision form.
    pub async fn decide(
        &self,
        path: &str,
        document: &str,
        decision: &str,
        remark: &str,
    ) -> Response {
        let (_, page) = self.read(path).await;
        self.decide_about(&seen_heads(&page), document, decision, remark)
            .await
    }

    /// Decides about what was seen earlier.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn decide_about(
        &self,
        seen: &str,
        document: &str,
        decision: &str,
        remark: &str,
    ) -> Response {
        let fields = [
            ("decision", decision),
            ("seen_heads", seen),
            ("field", ""),
            ("remark", remark),
        ];
        self.send(&format!("/decisions/{document}"), &fields).await
    }
}

/// The heads that a page's decision form carries.
///
/// # Panics
/// When it has no such form.
#[must_use]
pub fn seen_heads(page: &str) -> String {
    let (_, after) = page
        .split_once("name=\"seen_heads\"")
        .expect("a decision form");
    let (_, value) = after.split_once("value=\"").expect("its value");
    value.split('"').next().unwrap_or_default().to_owned()
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
