//! `kieumau person`: adds, lists, disables and enables people (cán bộ), and gives them new passwords. Passwords are made here and
//! printed once.

use super::{
    Data,
    failure::{Failure, Outcome, no_unit, nobody},
    remark, say, unit,
};
use crate::{
    app::App,
    clock,
    pages::language::Language,
    person::{self, FirstPassword, NewPerson, Person as Found},
    reference,
};
use clap::{Args, Subcommand};
use kieumau_core::{
    id::UnitId,
    invalid::{Invalid, Rule},
    person::Role,
};
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub enum Person {
    /// Adds a person. Prints their id, and the password that is made here, once.
    Add(Add),
    /// Lists people: sign-in name, role, unit, name, and who is disabled or uses a phone only.
    List {
        #[command(flatten)]
        data: Data,
        /// Of this unit only.
        #[arg(long)]
        unit: Option<UnitId>,
    },
    /// Gives a person a new password, made here and printed once, and signs them out everywhere.
    Password {
        #[command(flatten)]
        who: Named,
        /// For a person who uses a phone only: opens the pages to them.
        #[arg(long)]
        open_pages: bool,
    },
    /// Ends a person's access to pages and phones; what they wrote stays. `enable` undoes it.
    Disable(Named),
    /// Lets a disabled person in again: with their password, and with every phone that was not revoked.
    Enable(Named),
}

#[derive(Args)]
pub struct Add {
    #[command(flatten)]
    data: Data,
    /// How they are called.
    #[arg(long)]
    name: String,
    /// What they sign in with.
    #[arg(long)]
    sign_in: String,
    /// `officer`, `chief`, `appraiser`, `admin`, `auditor`.
    #[arg(long)]
    role: Role,
    /// The unit's id.
    #[arg(long)]
    unit: UnitId,
    /// Records on a phone and never signs in to pages.
    #[arg(long)]
    phone_only: bool,
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    data: Data,
    /// What they sign in with.
    #[arg(long)]
    sign_in: String,
}

impl Person {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::Add(new) => new.run(language).await,
            Self::List { data, unit } => list(data, unit, language).await,
            Self::Password { who, open_pages } => password(who, open_pages).await,
            Self::Disable(who) => disable(who, language).await,
            Self::Enable(who) => enable(who, language).await,
        }
    }
}

impl Named {
    async fn find(self) -> Result<(App, Found), Failure> {
        let app = self.data.reopen().await?;
        let found = find(&app, &self.sign_in).await?;
        Ok((app, found))
    }
}

/// Who signs in so.
///
/// # Errors
/// A sentence for nobody.
pub async fn find(app: &App, sign_in: &str) -> Result<Found, Failure> {
    // A name that nobody can have is nobody's.
    match person::find_by_sign_in(app, sign_in).await {
        Ok(found) => found.ok_or_else(|| nobody(sign_in)),
        Err(problem) if problem.broken().is_some() => Err(nobody(sign_in)),
        Err(problem) => Err(problem.into()),
    }
}

impl Add {
    async fn run(self, language: Language) -> Outcome {
        let app = self.data.reopen().await?;
        let password = if self.phone_only {
            FirstPassword::None
        } else {
            FirstPassword::Generated
        };
        let new = NewPerson {
            name: self.name,
            sign_in: self.sign_in,
            role: self.role,
            unit: self.unit,
            password,
        };
        let added = person::add(&app, None, new).await;
        let added = added.map_err(|problem| {
            if problem.word() == "not-found" {
                no_unit(self.unit)
            } else if problem.broken() == Some(&Invalid::new("sign_in", Rule::Already)) {
                taken()
            } else {
                problem.into()
            }
        })?;
        unit::remark_end(&app, self.unit, language).await?;
        // Colleagues' phones learn the new name at their next sync; checkpoints stay as they are published.
        reference::publish(&app, self.unit, BTreeMap::new()).await?;
        say(&added.person.to_string())?;
        added.password.map_or(Ok(()), |password| say(&password))
    }
}

fn taken() -> Failure {
    Failure::new(
        (
            "Đã có người đăng nhập bằng tên này.",
            "Somebody signs in with this name already.",
        ),
        (
            "Chọn tên khác; `kieumau person list` cho biết ai đang dùng tên nào.",
            "Choose another; `kieumau person list` shows who has which.",
        ),
    )
}

async fn list(data: Data, unit: Option<UnitId>, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let people = person::list(&app, unit).await?;
    if people.is_empty() {
        remark(language.pick(
            "Chưa có cán bộ nào ở đó. Thêm bằng `kieumau person add`.",
            "Nobody is there yet. `kieumau person add` adds a person.",
        ));
    }
    for one in people {
        let over = one.disabled_at_ms.map(|at_ms| {
            let word = language.pick("đã khóa", "disabled");
            format!("  ({word} {})", clock::vietnamese(at_ms))
        });
        let phone_only = if one.phone_only {
            language.pick("  (chỉ dùng điện thoại)", "  (phone only)")
        } else {
            ""
        };
        let (sign_in, role, unit, name) = (one.sign_in, one.role, one.unit, one.name);
        say(&format!(
            "{sign_in}  {role}  {unit}  {name}{phone_only}{}",
            over.unwrap_or_default()
        ))?;
    }
    Ok(())
}

async fn password(who: Named, open_pages: bool) -> Outcome {
    let (app, found) = who.find().await?;
    if found.disabled_at_ms.is_some() {
        return Err(is_disabled(&found.sign_in));
    }
    if found.phone_only && !open_pages {
        return Err(is_phone_only(&found.sign_in));
    }
    let made = FirstPassword::Generated;
    let password = person::set_password(&app, None, found.person, made).await?;
    password.map_or(Ok(()), |password| say(&password))
}

fn is_disabled(sign_in: &str) -> Failure {
    Failure::new(
        (
            format!("Tài khoản “{sign_in}” đang bị khóa: mật khẩu nào cũng không vào được."),
            format!("“{sign_in}” is disabled: no password lets them in."),
        ),
        (
            format!(
                "Mở khóa trước: `kieumau person enable --sign-in {sign_in}`. Mật khẩu cũ khi đó dùng lại được."
            ),
            format!(
                "Enable them first: `kieumau person enable --sign-in {sign_in}`. The password they had is good again then."
            ),
        ),
    )
}

fn is_phone_only(sign_in: &str) -> Failure {
    Failure::new(
        (
            format!(
                "“{sign_in}” chỉ dùng điện thoại, không đăng nhập trang web: có mật khẩu là vào được các trang."
            ),
            format!(
                "“{sign_in}” uses a phone only and signs in to no pages: a password opens the pages to them."
            ),
        ),
        (
            "Nếu đúng là muốn mở các trang cho người này, thêm --open-pages. Để dùng điện thoại thì cấp mã: `kieumau phone code`.",
            "If the pages shall be open to them, add --open-pages. For a phone they need a code: `kieumau phone code`.",
        ),
    )
}

async fn enable(who: Named, language: Language) -> Outcome {
    let (app, found) = who.find().await?;
    let enabled = person::enable(&app, None, found.person).await;
    enabled.map_err(|problem| match problem.word() {
        "changed-meanwhile" => Failure::new(
            (
                format!("Tài khoản “{}” không bị khóa.", found.sign_in),
                format!("“{}” is not disabled.", found.sign_in),
            ),
            (
                "Không cần mở khóa. Quên mật khẩu thì đặt lại bằng `kieumau person password`; điện thoại đã thu hồi thì cấp mã mới bằng `kieumau phone code`.",
                "Nothing to enable. `kieumau person password` gives a new password; a phone that was revoked needs a new code, `kieumau phone code`.",
            ),
        ),
        _ => problem.into(),
    })?;
    // Colleagues' phones offer them for handovers again.
    reference::publish(&app, found.unit, BTreeMap::new()).await?;
    let name = found.name;
    say(&match language {
        Language::Vietnamese => format!(
            "Đã mở khóa {name}: mật khẩu cũ và các thiết bị chưa bị thu hồi lại dùng được từ bây giờ."
        ),
        Language::English => format!(
            "{name} is enabled: the password and the phones that were not revoked are good again from now on."
        ),
    })
}

async fn disable(who: Named, language: Language) -> Outcome {
    let (app, found) = who.find().await?;
    let disabled = person::disable(&app, None, found.person).await;
    disabled.map_err(|problem| match problem.word() {
        "changed-meanwhile" => Failure::new(
            (
                format!("Tài khoản “{}” đã bị khóa từ trước.", found.sign_in),
                format!("“{}” was disabled before.", found.sign_in),
            ),
            (
                "Không cần làm gì: họ không còn vào được trang hay thiết bị nào.",
                "Nothing: no page and no phone is open to them.",
            ),
        ),
        _ => problem.into(),
    })?;
    // Colleagues' phones offer them for no handover any more.
    reference::publish(&app, found.unit, BTreeMap::new()).await?;
    let name = found.name;
    say(&match language {
        Language::Vietnamese => format!(
            "Đã khóa {name}: các trang và thiết bị của họ bị từ chối từ bây giờ; những gì họ đã ghi vẫn còn. Mở lại bằng `kieumau person enable`."
        ),
        Language::English => format!(
            "{name} is disabled: pages and phones refuse them from now on; what they wrote stays. `kieumau person enable` undoes it."
        ),
    })
}
