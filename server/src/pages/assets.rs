//! Styles, modules, fonts and icons, embedded when the server is built. One version names them all (a hash of everything), so
//! their addresses change together, files may name each other by relative paths, and browsers may keep them for ever.

use crate::{
    app::App,
    problem::{Answer, Problem},
};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use kieumau_core::hash::Sha256;
use rust_embed::RustEmbed;
use std::sync::LazyLock;

#[derive(RustEmbed)]
#[folder = "assets/dist"]
struct Dist;

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// `/assets/` and the version: what templates put before a file's name.
pub static BASE: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Dist::iter().collect();
    names.sort();
    let hashes: Vec<[u8; 32]> = names
        .iter()
        .filter_map(|name| Dist::get(name))
        .map(|file| file.metadata.sha256_hash())
        .collect();
    let parts: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    format!("/assets/{}", &Sha256::of_parts(&parts).to_string()[..12])
});

/// The files, and the icon that browsers ask for by themselves.
pub fn router() -> Router<App> {
    Router::new()
        .route("/assets/{version}/{*file}", get(file))
        .route(
            "/favicon.ico",
            get(async |headers| serve("favicon.svg", &headers, "public, max-age=86400")),
        )
}

async fn file(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    // An old page may ask for an old version: it gets today's file, but must not keep it under that name.
    let current = BASE.ends_with(&version) && !version.is_empty();
    serve(&name, &headers, if current { FOR_EVER } else { "no-cache" })
}

fn serve(name: &str, headers: &HeaderMap, keep: &'static str) -> Answer<Response> {
    let file = Dist::get(name).ok_or_else(Problem::not_found)?;
    let tag = format!("\"{}\"", Sha256(file.metadata.sha256_hash()));
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let common = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let kind = media_type(name);
    Ok((common, [(header::CONTENT_TYPE, kind)], file.data).into_response())
}

/// Only what `build.mjs` gathers.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_has_a_media_type_that_browsers_run() {
        for (name, kind) in [
            ("page.mjs", "text/javascript; charset=utf-8"),
            ("fonts/x.woff2", "font/woff2"),
        ] {
            assert_eq!(media_type(name), kind);
        }
        assert!(Dist::get("shell.css").is_some() && BASE.len() == "/assets/".len() + 12);
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let first = serve("shell.css", &HeaderMap::new(), FOR_EVER).expect("it is there");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let second = serve("shell.css", &headers, FOR_EVER).expect("it is there");
        assert_eq!(
            (first.status(), second.status()),
            (StatusCode::OK, StatusCode::NOT_MODIFIED)
        );
    }
}
