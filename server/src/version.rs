//! Which server this is, and whether it understands who speaks to it. A phone that is too old, or newer than this server, is told
//! so before anything it says is read: it keeps what it recorded, and an upgrade brings it.

use crate::{
    app::App,
    problem::{Answer, Problem},
};
use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
    routing,
};
use kieumau_core::wire::{self, Upgrade};

/// `/version`.
pub fn router() -> Router<App> {
    Router::new().route("/version", routing::get(version))
}

async fn version() -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "name": "kieumau", "version": env!("CARGO_PKG_VERSION"), "wire": { "oldest": wire::OLDEST, "newest": wire::VERSION },
    }))
}

/// Refuses who speaks a version that this server does not.
///
/// # Errors
/// 426 `upgrade-needed` or `server-older`; 400 `malformed` for what is no version.
pub async fn understand(request: Request, next: Next) -> Answer<Response> {
    check(request.headers(), wire::OLDEST, wire::VERSION)?;
    Ok(next.run(request).await)
}

fn check(headers: &HeaderMap, oldest: u32, newest: u32) -> Answer<()> {
    let Some(spoken) = headers.get(wire::VERSION_HEADER) else {
        return Ok(());
    };
    let spoken = spoken.to_str().ok().and_then(|text| text.parse().ok());
    let Some(spoken) = spoken else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "The version is not a number.",
        ));
    };
    let Some(upgrade) = Upgrade::needed(spoken, oldest, newest) else {
        return Ok(());
    };
    let title = match upgrade {
        Upgrade::Phone => "Get the new app. What was recorded stays on the phone and goes with it.",
        Upgrade::Server => {
            "This server must be upgraded first. What was recorded stays on the phone."
        }
    };
    let word = upgrade.word();
    Err(Problem::new(StatusCode::UPGRADE_REQUIRED, word, title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn word(spoken: &'static str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(wire::VERSION_HEADER, HeaderValue::from_static(spoken));
        check(&headers, 2, 4).err().map(|problem| problem.word())
    }

    #[test]
    fn who_speaks_another_version_is_told_who_has_to_be_upgraded() {
        assert_eq!(word("1"), Some("upgrade-needed"));
        assert_eq!(word("2"), None);
        assert_eq!(word("4"), None);
        assert_eq!(word("5"), Some("server-older"));
        assert_eq!(word("-1"), Some("malformed"));
        assert_eq!(word("99999999999"), Some("malformed"));
    }

    #[test]
    fn who_says_no_version_is_served() {
        assert!(check(&HeaderMap::new(), 2, 4).is_ok());
    }
}
