//! Signing in and out. What went wrong stands above the form, in words, and says nothing about whether the name exists.

use super::{
    html,
    language::{self, Language},
    shell::Shell,
};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
    session,
};
use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use zeroize::Zeroizing;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    error: Option<String>,
    sign_in: String,
    next: String,
}

#[derive(serde::Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(serde::Deserialize)]
struct SignInForm {
    sign_in: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// `/sign-in`, `/sign-out`.
pub fn router() -> Router<App> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
}

fn page(language: Language, error: Option<String>, sign_in: &str, next: &str) -> Answer<Response> {
    let shell = Shell::bare(language, language.words().sign_in, "/sign-in");
    let next = language::local(next).to_owned();
    Ok(html(&SignInPage {
        shell,
        error,
        sign_in: sign_in.to_owned(),
        next,
    })?
    .into_response())
}

async fn show(language: Language, Query(query): Query<Next>) -> Answer<Response> {
    page(language, None, "", &query.next)
}

async fn sign_in(
    State(app): State<App>,
    language: Language,
    Form(form): Form<SignInForm>,
) -> Answer<Response> {
    let password = Zeroizing::new(form.password);
    match session::sign_in(&app, &form.sign_in, &password).await {
        Ok((_, token)) => {
            let to = Redirect::to(language::local(&form.next));
            Ok(([(header::SET_COOKIE, token.set_cookie())], to).into_response())
        }
        Err(problem) => {
            let Some(error) = sentence(language, &problem) else {
                return Err(problem);
            };
            let page = page(language, Some(error), &form.sign_in, &form.next)?;
            Ok((problem.status(), page).into_response())
        }
    }
}

/// What a person can do something about; none for our own failures.
fn sentence(language: Language, problem: &Problem) -> Option<String> {
    let w = language.words();
    match problem.status() {
        StatusCode::UNAUTHORIZED | StatusCode::UNPROCESSABLE_ENTITY => {
            Some(w.sign_in_refused.to_owned())
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let wait_ms = i64::from(problem.retry_after_s().unwrap_or(60)) * 1000;
            Some(format!(
                "{} {}.",
                w.sign_in_again_at,
                clock::vietnamese(clock::now_ms() + wait_ms + 59_999)
            ))
        }
        _ => None,
    }
}

async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let forget = session::sign_out(&app, &headers).await?;
    Ok(([(header::SET_COOKIE, forget)], Redirect::to("/sign-in")).into_response())
}
