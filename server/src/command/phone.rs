//! `kieumau phone`: lists and revokes phones (thiết bị), and issues the codes that enrol them.

use super::{
    Data,
    failure::{Failure, Outcome, no_unit},
    person, remark, say,
};
use crate::{
    app::{App, Config},
    clock, enrolment,
    pages::language::Language,
    phone, qr, serve, tls, unit,
};
use clap::Subcommand;
use kieumau_core::{
    hash::Sha256,
    id::{PhoneId, UnitId},
    invalid::Rule,
};
use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

#[derive(Subcommand)]
pub enum Phone {
    /// Lists the phones of a unit.
    List {
        #[command(flatten)]
        data: Data,
        /// The unit's id.
        #[arg(long)]
        unit: UnitId,
    },
    /// Issues a code that enrols one phone within ten minutes. Prints it, then the text of its QR, and on a terminal the QR itself.
    Code {
        #[command(flatten)]
        data: Data,
        /// The person's sign-in name.
        #[arg(long)]
        person: String,
        /// Print JSON (`code`, `qr`, `url`, `expires_at_ms`).
        #[arg(long)]
        json: bool,
    },
    /// Revokes a phone: it is refused at its next request, what it sent stays.
    Revoke {
        #[command(flatten)]
        data: Data,
        /// The phone's id.
        #[arg(long)]
        phone: PhoneId,
    },
}

impl Phone {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::List { data, unit } => list(data, unit, language).await,
            Self::Code { data, person, json } => code(data, &person, json, language).await,
            Self::Revoke { data, phone } => revoke(data, phone, language).await,
        }
    }
}

async fn list(data: Data, unit: UnitId, language: Language) -> Outcome {
    let app = data.reopen().await?;
    if unit::find(&app, unit).await?.is_none() {
        return Err(no_unit(unit));
    }
    let w = language.words();
    let phones = phone::list(&app, None, unit).await?;
    if phones.is_empty() {
        remark(&format!(
            "{}. {}",
            w.no_phones,
            language.pick(
                "Cấp mã bằng `kieumau phone code`.",
                "`kieumau phone code` issues a code.",
            )
        ));
    }
    for phone in phones {
        let seen = phone.last_seen_at_ms.map(clock::vietnamese);
        let seen = seen.unwrap_or_else(|| w.never_seen.to_owned());
        let state = match phone.revoked_at_ms {
            Some(_) => w.revoked,
            None => w.in_use,
        };
        let (id, name) = (phone.phone, phone.person_name);
        say(&format!(
            "{id}  {name}  {state}  {}  {}  {seen}",
            phone.model, phone.app_version
        ))?;
    }
    Ok(())
}

async fn revoke(data: Data, phone: PhoneId, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let revoked = phone::revoke(&app, None, phone).await;
    revoked.map_err(|problem| match problem.word() {
        "not-found" => Failure::new(
            (
                format!("Không có thiết bị nào mang mã {phone}."),
                format!("There is no phone with the id {phone}."),
            ),
            (
                "Xem mã bằng `kieumau phone list --unit …`.",
                "`kieumau phone list --unit …` shows the ids.",
            ),
        ),
        "changed-meanwhile" => Failure::new(
            (
                "Thiết bị này đã bị thu hồi từ trước.",
                "This phone was revoked before.",
            ),
            (
                "Không cần làm gì: máy chủ đã từ chối thiết bị đó.",
                "Nothing: the server refuses it already.",
            ),
        ),
        _ => problem.into(),
    })?;
    say(language.pick(
        "Đã thu hồi thiết bị: bị từ chối từ lần liên lạc sau; những gì đã gửi vẫn còn.",
        "The phone is revoked: it is refused at its next request; what it sent stays.",
    ))
}

async fn code(data: Data, sign_in: &str, json: bool, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let reach = serve::announced(&app).await?.ok_or_else(not_served)?;
    let present = tls::present_pin(&app.config.data)?;
    let is_next = |pin: &Sha256| reach.pins.iter().skip(1).any(|next| next == pin);
    if present.as_ref().is_some_and(is_next) {
        return Err(switched());
    }
    let app = App {
        config: Arc::new(Config {
            public_url: reach.url.clone(),
            pins: reach.pins,
            ..(*app.config).clone()
        }),
        ..app
    };
    let person = person::find(&app, sign_in).await?;
    let issued = enrolment::issue(&app, None, person.person).await;
    let issued = issued.map_err(|problem| match problem.broken().map(|broken| broken.rule) {
        Some(Rule::Ended) => Failure::new(
            (
                format!("Tài khoản “{sign_in}” đã bị khóa."),
                format!("“{sign_in}” is disabled."),
            ),
            (
                "Cấp mã cho một cán bộ đang hoạt động (`kieumau person list`).",
                "Issue a code to somebody who is not (`kieumau person list`).",
            ),
        ),
        Some(Rule::Unknown) => Failure::new(
            (
                format!("Vai trò của “{sign_in}” không ghi chép bằng thiết bị."),
                format!("The role of “{sign_in}” records nothing on a phone."),
            ),
            (
                "Cấp mã cho cán bộ hoặc chỉ huy của một phường.",
                "Issue a code to an officer or a chief of a ward.",
            ),
        ),
        _ => problem.into(),
    })?;
    if json {
        let line = serde_json::json!({
            "code": issued.code.grouped(), "qr": issued.qr_text, "url": reach.url, "expires_at_ms": issued.expires_at_ms,
        });
        return say(&line.to_string());
    }
    // Scripts read these two lines; the picture and the words are for people.
    say(&format!("{}\n{}", issued.code.grouped(), issued.qr_text))?;
    if io::stdout().is_terminal() {
        say(&qr::lines(&issued.qr_text).map_err(io::Error::other)?)?;
    }
    let (name, address) = (person.name, issued.address);
    let until = clock::vietnamese(issued.expires_at_ms);
    remark(&match language {
        Language::Vietnamese => format!(
            "Mã cho một thiết bị của {name} ({sign_in}), dùng một lần, đến {until} giờ Việt Nam.\nĐiện thoại sẽ tìm máy chủ ở {address}. Nếu không đúng: chạy lại `kieumau serve` với --public-url đúng, rồi cấp mã khác."
        ),
        Language::English => format!(
            "For one phone of {name} ({sign_in}), once, until {until} by Vietnam's clock.\nThe phone will look for the server at {address}. If that is wrong, start `kieumau serve` again with the right --public-url, and issue another code."
        ),
    });
    Ok(())
}

/// A code would name the key that the server lays down at its next start.
fn switched() -> Failure {
    Failure::new(
        (
            "Khóa TLS của máy chủ vừa được đổi, và máy chủ chưa khởi động lại: mã cấp bây giờ sẽ mang khóa cũ.",
            "The server's TLS key was changed and the server not started again: a code issued now would carry the key before.",
        ),
        (
            "Khởi động lại máy chủ, rồi cấp mã.",
            "Start the server again, then issue the code.",
        ),
    )
}

fn not_served() -> Failure {
    Failure::new(
        (
            "Chưa biết điện thoại sẽ liên lạc với máy chủ ở địa chỉ nào: máy chủ này chưa từng phục vụ.",
            "Nobody knows yet where phones reach this server: it has not served.",
        ),
        (
            "Chạy `kieumau serve` trước, rồi cấp mã.",
            "Run `kieumau serve` first, then issue the code.",
        ),
    )
}
