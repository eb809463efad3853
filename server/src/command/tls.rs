//! `kieumau tls`: the key that phones hold the server to, and how it is changed without losing one.

use super::{
    Data,
    failure::{Failure, Outcome},
    remark, say,
};
use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    database::Tx,
    pages::language::Language,
    phone::{self, Phone},
    serve, tls,
};
use clap::Subcommand;
use kieumau_core::hash::Sha256;
use std::path::PathBuf;

/// So many phones are named; how many there are is said of all.
const NAMED: usize = 20;

#[derive(Subcommand)]
pub enum TlsKey {
    /// Prints the pin of a certificate or a private key.
    Pin {
        /// A PEM file.
        file: PathBuf,
    },
    /// Makes the key that will follow, and prints its pin. Phones hear of it at each sync after the server was started again.
    Next(Data),
    /// Lets the key that was made by `next` take over at the server's next start. Refused while a phone has not heard of it: that one
    /// would have to scan a code.
    Switch {
        #[command(flatten)]
        data: Data,
        /// Whether every phone has heard of it or not.
        #[arg(long)]
        anyway: bool,
    },
}

impl TlsKey {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::Pin { file } => say(&tls::pin_in(&file)?.to_string()),
            Self::Next(data) => next(data, language).await,
            Self::Switch { data, anyway } => switch(data, anyway, language).await,
        }
    }
}

async fn next(data: Data, language: Language) -> Outcome {
    let app = data.reopen().await?;
    speaks_with_our_key(&app).await?;
    let mut tx = app.database.begin().await?;
    let pin = tls::prepare_next(&app.config.data)?;
    note(&mut tx, "tls-key-prepared", &pin).await?;
    tx.commit().await?;
    say(&pin.to_string())?;
    remark(language.pick(
        "Khởi động lại máy chủ để các thiết bị nghe tin khóa này khi đồng bộ. Khi mọi thiết bị đã đồng bộ, chạy `kieumau tls switch`: lệnh đó cho biết còn thiết bị nào chưa.",
        "Start the server again: phones hear of this key as they sync. When all of them have, run `kieumau tls switch`; it says which have not.",
    ));
    Ok(())
}

async fn switch(data: Data, anyway: bool, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let next = tls::next_pin(&app.config.data)?.ok_or_else(tls::none_prepared)?;
    speaks_with_our_key(&app).await?;
    let reach = serve::announced(&app).await?;
    let since_ms = reach.and_then(|reach| reach.announces_since(&next));
    let away = phone::not_seen_since(&app, since_ms).await?;
    let unheard = unheard(since_ms, &away);
    if !away.is_empty() && !anyway {
        return Err(unheard);
    }
    // A key that does not change leaves no row.
    let mut tx = app.database.begin().await?;
    note(&mut tx, "tls-key-changed", &next).await?;
    let (pin, kept) = tls::switch_to_next(&app.config.data)?;
    tx.commit().await?;
    say(&pin.to_string())?;
    let phones = away.len();
    remark(&match language {
        Language::Vietnamese => {
            format!("Khởi động lại máy chủ để dùng khóa này. Thiết bị phải quét mã mới: {phones}.")
        }
        Language::English => format!(
            "Start the server again to speak with this key. Phones that have to scan a new code: {phones}."
        ),
    });
    if let Some(name) = kept {
        remark(&match language {
            Language::Vietnamese => format!("Khóa cũ được giữ ở {name}."),
            Language::English => format!("The key before is kept as {name}."),
        });
    }
    Ok(())
}

/// Writes down what was done to the key: by it phones know their server.
async fn note(tx: &mut Tx, action: &str, pin: &Sha256) -> Result<(), sqlx::Error> {
    let deed = Deed {
        action,
        subject: Some(pin.to_string()),
        ..Deed::default()
    };
    audit::write(tx, clock::now_ms(), deed).await
}

/// Whether the server speaks with the key in its folder: another's is changed where it was made.
async fn speaks_with_our_key(app: &App) -> Outcome {
    let present = tls::present_pin(&app.config.data)?;
    let reach = serve::announced(app).await?;
    let spoken = reach.and_then(|reach| reach.pins.first().copied());
    if spoken.is_none() || spoken == present {
        return Ok(());
    }
    Err(Failure::new(
        (
            "Máy chủ đang dùng một khóa TLS khác với khóa trong thư mục này: chứng chỉ riêng (--tls-cert, --behind-proxy), hoặc khóa vừa được đổi.",
            "The server speaks with another TLS key than the one in this folder: of a certificate of its own (--tls-cert, --behind-proxy), or the one before a change.",
        ),
        (
            "Với chứng chỉ riêng, thông báo khóa sau bằng `kieumau serve --pin …`. Nếu vừa chạy `tls switch`, khởi động lại máy chủ trước.",
            "With a certificate of your own, announce the key that follows by `kieumau serve --pin …`. If `tls switch` ran just now, start the server again first.",
        ),
    ))
}

/// Why the key is not changed: which phones do not know it. `since_ms` none: nobody was told of it yet.
fn unheard(since_ms: Option<i64>, away: &[Phone]) -> Failure {
    let phones = away.len();
    let named = |language| named(away, language);
    let (vi, en) = (named(Language::Vietnamese), named(Language::English));
    let Some(since_ms) = since_ms else {
        return Failure::new(
            (
                format!(
                    "Máy chủ chưa thông báo khóa mới cho thiết bị nào; {phones} thiết bị sẽ không nhận ra máy chủ nữa: {vi}."
                ),
                format!(
                    "The server has not announced the next key to any phone yet; {phones} would refuse the server: {en}."
                ),
            ),
            (
                "Khởi động lại máy chủ, chờ các thiết bị đồng bộ, rồi chạy lại lệnh này. Thêm --anyway thì đổi ngay, và từng thiết bị phải quét mã mới (`kieumau phone code`).",
                "Start the server again, wait for the phones to sync, and run this again. With --anyway the key changes now, and each phone has to scan a new code (`kieumau phone code`).",
            ),
        );
    };
    let since = clock::vietnamese(since_ms);
    Failure::new(
        (
            format!(
                "Khóa mới được thông báo từ {since}; {phones} thiết bị chưa đồng bộ từ lúc đó: {vi}."
            ),
            format!(
                "The next key is announced since {since}; {phones} have not synced since then: {en}."
            ),
        ),
        (
            "Nhờ họ mở ứng dụng khi có mạng, rồi chạy lại lệnh này. Thêm --anyway thì đổi ngay, và các thiết bị này phải quét mã mới (`kieumau phone code`).",
            "Let them open the app where there is a line, and run this again. With --anyway the key changes now, and these phones have to scan a new code (`kieumau phone code`).",
        ),
    )
}

/// `An (Nokia, 22/11/2026 07:40), Hà (Pixel, never)`.
fn named(phones: &[Phone], language: Language) -> String {
    let w = language.words();
    let one = |phone: &Phone| {
        let seen = phone.last_seen_at_ms.map(clock::vietnamese);
        let seen = seen.unwrap_or_else(|| w.never_seen.to_lowercase());
        format!("{} ({}, {seen})", phone.person_name, phone.model)
    };
    let mut named: Vec<String> = phones.iter().take(NAMED).map(one).collect();
    if phones.len() > NAMED {
        named.push("…".to_owned());
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{apps, audited};

    #[tokio::test]
    async fn what_is_done_to_the_key_stands_in_the_access_log_in_words() {
        for app in apps().await {
            let pin = Sha256::of(b"a key");
            for action in ["tls-key-prepared", "tls-key-changed"] {
                let mut tx = app.database.begin().await.expect("begins");
                note(&mut tx, action, &pin).await.expect("written");
                drop(tx);
                // The twin: a key that did not change leaves none.
                assert_eq!(audited(&app, action).await.len(), 0);
                let mut tx = app.database.begin().await.expect("begins");
                note(&mut tx, action, &pin).await.expect("written");
                tx.commit().await.expect("committed");
                let rows = audited(&app, action).await;
                assert_eq!(rows.len(), 1);
                assert_eq!(rows[0].subject, Some(pin.to_string()));
                for language in [Language::Vietnamese, Language::English] {
                    assert!(language.words().deed(action).is_some());
                }
            }
        }
    }
}
