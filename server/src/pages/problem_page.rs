//! A problem as a page: what happened, what is safe, what to do, and an id to copy. Programs keep the JSON.
//!
//! It is a layer, so that every refusal becomes a page: a handler's, an extractor's, and that of a forged request.

use super::{html, language::Language, shell::Shell};
use askama::Template;
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use kieumau_core::problem::Problem;

/// No problem is longer.
const BODY_LIMIT: usize = 64 * 1024;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    shell: Shell,
    happened: &'static str,
    safe: &'static str,
    todo: &'static str,
    field: Option<String>,
    instance: String,
}

/// Turns problems into pages for whoever asks for HTML.
pub async fn for_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let asks_for_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let language = Language::of(headers);
    let read = request.method() == Method::GET;
    let here = request
        .uri()
        .path_and_query()
        .map_or("/", |here| here.as_str())
        .to_owned();
    let response = next.run(request).await;
    let status = response.status();
    if !asks_for_html
        || !(status.is_client_error() || status.is_server_error())
        || is_html(&response)
    {
        return response;
    }
    if status == StatusCode::UNAUTHORIZED {
        let back = if read { here.as_str() } else { "/" };
        return Redirect::to(&sign_in_path(back)).into_response();
    }
    page(response, language, &here).await
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Where to sign in so as to come back to `back`.
fn sign_in_path(back: &str) -> String {
    let mut query = String::new();
    for byte in back.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                query.push(char::from(byte))
            }
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("/sign-in?next={query}")
}

async fn page(response: Response, language: Language, here: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    // What axum itself refuses has no JSON and no id: its status says all there is.
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    let w = language.words();
    let (title, happened, safe, todo) = match parts.status {
        StatusCode::NOT_FOUND => (
            w.no_page,
            w.no_page_happened,
            w.nothing_changed,
            w.no_page_todo,
        ),
        StatusCode::FORBIDDEN => (
            w.forbidden,
            w.forbidden_happened,
            w.nothing_changed,
            w.forbidden_todo,
        ),
        StatusCode::CONFLICT => (
            w.changed,
            w.changed_happened,
            w.nothing_changed,
            w.changed_todo,
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            w.too_many,
            w.too_many_happened,
            w.nothing_changed,
            w.too_many_todo,
        ),
        StatusCode::SERVICE_UNAVAILABLE => {
            (w.busy, w.busy_happened, w.nothing_changed, w.busy_todo)
        }
        status if status.is_client_error() => (
            w.invalid,
            w.invalid_happened,
            w.nothing_changed,
            w.invalid_todo,
        ),
        _ => (w.failed, w.failed_happened, w.failed_safe, w.failed_todo),
    };
    let broken = problem
        .as_ref()
        .and_then(|problem| problem.invalid.as_ref());
    let page = ProblemPage {
        shell: Shell::bare(language, title, here),
        happened,
        safe,
        todo,
        field: broken.map(|invalid| w.broken(invalid)),
        instance: problem.map(|problem| problem.instance).unwrap_or_default(),
    };
    match html(&page) {
        Ok(page) => {
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            (parts.status, parts.headers, page).into_response()
        }
        Err(_) => Response::from_parts(parts, Body::from(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, middleware, routing::get};
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    async fn panics() -> StatusCode {
        panic!("a note of An's")
    }

    async fn asked(path: &str, accept: &str) -> Response {
        let router = Router::new()
            .route("/out", get(async || crate::problem::Problem::signed_out()))
            .route(
                "/failed",
                get(async || crate::problem::Problem::internal("the reason")),
            )
            .route("/panicked", get(panics))
            .fallback(async || crate::problem::Problem::not_found())
            .layer(CatchPanicLayer::custom(crate::problem::Problem::of_panic))
            .layer(middleware::from_fn(for_browsers));
        let request = Request::get(path)
            .header(header::ACCEPT, accept)
            .body(Body::empty())
            .expect("a request");
        router.oneshot(request).await.expect("routers answer")
    }

    #[tokio::test]
    async fn a_browser_gets_a_page_and_a_program_the_problem() {
        for (accept, kind) in [
            ("text/html,*/*", "text/html; charset=utf-8"),
            ("*/*", "application/problem+json"),
        ] {
            let answer = asked("/nowhere", accept).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], kind);
        }
    }

    #[tokio::test]
    async fn an_internal_cause_never_leaves_the_server_but_its_id_does() {
        let answer = asked("/failed", "text/html").await;
        let body = to_bytes(answer.into_body(), BODY_LIMIT)
            .await
            .expect("a body");
        let body = String::from_utf8_lossy(&body);
        assert!(!body.contains("the reason") && body.contains("data-copy="));
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_problem_and_says_nothing_of_what_it_was_about() {
        for (accept, says) in [("text/html", "data-copy="), ("*/*", ":internal\"")] {
            let answer = asked("/panicked", accept).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = to_bytes(answer.into_body(), BODY_LIMIT).await;
            let body = String::from_utf8(body.expect("a body").to_vec()).expect("text");
            assert!(body.contains(says) && !body.contains("note"), "{body}");
        }
    }

    #[tokio::test]
    async fn who_is_signed_out_comes_back_after_signing_in() {
        let answer = asked("/out?a=b&c", "text/html").await;
        assert_eq!(
            answer.headers()[header::LOCATION],
            "/sign-in?next=/out%3Fa%3Db%26c"
        );
    }
}
