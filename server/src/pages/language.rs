//! Which language a page speaks: Vietnamese, or English by a cookie that the switch in the menu sets. On the command line it
//! is `--language`, or English where the terminal's locale is.

use super::words::{self, Words};
use crate::app::App;
use axum::{
    Form, Router,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Redirect},
    routing::post,
};
use kieumau_core::invalid::{Invalid, Rule};
use std::{convert::Infallible, ffi::OsString, str::FromStr};

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Tiếng Việt.
    Vietnamese,
    /// English.
    English,
}

impl Language {
    /// What the request's cookie says; Vietnamese if it says nothing.
    pub fn of(headers: &HeaderMap) -> Self {
        let english = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .any(|pair| pair.trim() == "language=en");
        if english {
            Self::English
        } else {
            Self::Vietnamese
        }
    }

    /// What a command line says with `--language`, or else its locale (`LANG`: `en_GB.UTF-8`); Vietnamese if neither says English.
    /// Read before the arguments are: what is wrong with them has to be told in a language too.
    pub fn of_terminal(arguments: &[OsString], locale: Option<&str>) -> Self {
        let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
        let asked = arguments.find_map(|argument| argument.strip_prefix("--language"));
        let asked = match asked {
            Some("") => arguments.next(),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        match asked.and_then(|code| code.parse().ok()) {
            Some(language) => language,
            None if locale.is_some_and(|locale| locale.starts_with("en")) => Self::English,
            None => Self::Vietnamese,
        }
    }

    /// Its code, as in `<html lang>`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Vietnamese => "vi",
            Self::English => "en",
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Vietnamese => Self::English,
            Self::English => Self::Vietnamese,
        }
    }

    /// Every sentence in it.
    pub const fn words(self) -> &'static Words {
        match self {
            Self::Vietnamese => &words::VIETNAMESE,
            Self::English => &words::ENGLISH,
        }
    }

    /// The one of two titles that is in it.
    pub const fn pick<'a>(self, vietnamese: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Vietnamese => vietnamese,
            Self::English => english,
        }
    }
}

impl FromStr for Language {
    type Err = Invalid;

    fn from_str(code: &str) -> Result<Self, Invalid> {
        [Self::Vietnamese, Self::English]
            .into_iter()
            .find(|language| language.code() == code)
            .ok_or_else(|| Invalid::new("language", Rule::Unknown))
    }
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// The switch.
pub fn router() -> Router<App> {
    Router::new().route("/language", post(switch))
}

#[derive(serde::Deserialize)]
struct Switch {
    language: String,
    back: String,
}

async fn switch(Form(form): Form<Switch>) -> impl IntoResponse {
    let code = if form.language == "en" { "en" } else { "vi" };
    let cookie = format!("language={code}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly");
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(local(&form.back)),
    )
}

/// `path` if it leads to a page of ours, else the first page: a link must not carry people off to another site.
pub fn local(path: &str) -> &str {
    let ours = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if ours { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_decides_and_vietnamese_is_first() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of(&headers), Language::Vietnamese);
        headers.insert(
            header::COOKIE,
            "a=b; language=en".parse().expect("a header"),
        );
        assert_eq!(Language::of(&headers), Language::English);
    }

    #[test]
    fn a_command_speaks_as_asked_then_as_the_terminal_then_vietnamese() {
        let of = |arguments: &[&str], locale| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            Language::of_terminal(&arguments, locale)
        };
        let (vietnamese, english) = (Language::Vietnamese, Language::English);
        assert_eq!(of(&["kieumau", "unit", "list"], None), vietnamese);
        assert_eq!(of(&["kieumau"], Some("C.UTF-8")), vietnamese);
        assert_eq!(of(&["kieumau"], Some("en_GB.UTF-8")), english);
        assert_eq!(of(&["kieumau", "--language", "vi"], Some("en")), vietnamese);
        assert_eq!(of(&["kieumau", "--language=en"], None), english);
        assert_eq!(of(&["kieumau", "--language", "fr"], None), vietnamese);
    }

    #[test]
    fn nobody_is_carried_off_to_another_site() {
        for away in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/a\nb",
            "",
        ] {
            assert_eq!(local(away), "/", "{away}");
        }
        assert_eq!(local("/patrols?state=returned"), "/patrols?state=returned");
    }
}
