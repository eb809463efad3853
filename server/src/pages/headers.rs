//! What every page says to the browser besides itself: nothing from elsewhere, no inline script or style, no frame, no store.
//!
//! A forged request is told by `Sec-Fetch-Site` and `Origin`, so no form carries a token.

use crate::{app::App, problem::Problem};
use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower_http::csrf::{CsrfLayer, ProtectionError};

/// The map's worker is a file of ours; its sprites are `blob:` and `data:`.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; worker-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "geolocation=(), camera=(), microphone=()",
    ),
];

/// `pages` with these headers on every answer, and forged requests refused.
pub fn protect(pages: Router<App>) -> Router<App> {
    let csrf = CsrfLayer::new().with_rejection_response(|_: ProtectionError| -> Response {
        Problem::forbidden().into_response()
    });
    pages.layer(csrf).layer(middleware::from_fn(say))
}

async fn say(request: Request, next: Next) -> Response {
    let loopback = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .is_none_or(is_loopback);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if !loopback {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    response
}

/// Whether a `Host` is this machine itself: there, plain HTTP is allowed and must stay so.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::StatusCode, routing::post};
    use tower::ServiceExt as _;

    #[test]
    fn loopback_is_told_from_the_rest() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["kieumau.example", "10.0.0.1:8080", "localhost.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    async fn posted_from(site: &str) -> StatusCode {
        let layer = CsrfLayer::new().with_rejection_response(|_: ProtectionError| -> Response {
            Problem::forbidden().into_response()
        });
        let request = Request::post("/")
            .header("host", "kieumau.example")
            .header("sec-fetch-site", site)
            .body(Body::empty())
            .expect("a request");
        let answer = Router::new()
            .route("/", post(async || "done"))
            .layer(layer)
            .oneshot(request)
            .await;
        answer.expect("routers answer").status()
    }

    #[tokio::test]
    async fn a_form_from_another_site_is_refused_and_our_own_is_not() {
        assert_eq!(posted_from("cross-site").await, StatusCode::FORBIDDEN);
        assert_eq!(posted_from("same-origin").await, StatusCode::OK);
    }
}
