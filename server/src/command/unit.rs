//! `kieumau unit`: adds, lists and links units (đơn vị). A second unit of one name and day is a slip until somebody says that it is
//! not.

use super::{
    Data,
    failure::{Failure, Outcome, no_unit},
    remark, say,
};
use crate::{
    app::App,
    pages::language::Language,
    problem::Problem,
    reference,
    unit::{self, Level, Link, Linked, NewUnit},
};
use clap::{Args, Subcommand};
use jiff::civil::Date;
use kieumau_core::{
    id::UnitId,
    invalid::{Invalid, Rule},
};
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub enum Unit {
    /// Adds a ward, or the province. Prints its id.
    Add(Add),
    /// Lists the units: id, level, days, name, and what became of it.
    List(Data),
    /// Says that a unit went into another, was divided, or goes on under another name, and that it is no more from that day.
    Link(NewLink),
}

#[derive(Args)]
pub struct Add {
    #[command(flatten)]
    data: Data,
    /// Its name.
    #[arg(long)]
    name: String,
    /// `ward` or `province`.
    #[arg(long, default_value = "ward")]
    level: Level,
    /// First day it is, `2025-07-01`.
    #[arg(long)]
    from: Date,
    /// Another unit of a name and a day that one has already.
    #[arg(long)]
    again: bool,
}

#[derive(Args)]
pub struct NewLink {
    #[command(flatten)]
    data: Data,
    /// The id of the unit that ends.
    #[arg(long, value_name = "UNIT")]
    from: UnitId,
    /// The id of the unit that goes on in its place. One that is divided is linked to each of its parts.
    #[arg(long, value_name = "UNIT")]
    to: UnitId,
    /// `merge`, `split` or `rename`.
    #[arg(long = "as", value_name = "LINK")]
    link: Link,
    /// The first day of that, `2025-07-01`.
    #[arg(long)]
    on: Date,
}

impl Unit {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::Add(new) => new.run().await,
            Self::List(data) => list(data, language).await,
            Self::Link(link) => link.run(language).await,
        }
    }
}

impl Add {
    async fn run(self) -> Outcome {
        let app = self.data.reopen().await?;
        let same = |unit: &unit::Unit| {
            unit.name.to_lowercase() == self.name.trim().to_lowercase()
                && unit.valid_from == self.from
        };
        let units = unit::list(&app).await?;
        if let Some(there) = units.iter().find(|unit| same(unit))
            && !self.again
        {
            let (name, id) = (&there.name, there.unit);
            return Err(Failure::new(
                (
                    format!("Đã có đơn vị “{name}” từ ngày đó, mã {id}."),
                    format!("There is a unit “{name}” from that day, with the id {id}."),
                ),
                (
                    "Dùng mã đó. Nếu thật sự là một đơn vị khác trùng tên, thêm --again.",
                    "Use that id. If it really is another unit of the same name, add --again.",
                ),
            ));
        }
        let new = NewUnit {
            name: self.name,
            level: self.level,
            valid_from: self.from,
            sample: false,
        };
        let id = unit::add(&app, None, new).await?;
        reference::publish(&app, id, BTreeMap::new()).await?;
        say(&id.to_string())
    }
}

async fn list(data: Data, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let units = unit::list(&app).await?;
    if units.is_empty() {
        remark(language.pick(
            "Chưa có đơn vị nào. Thêm bằng `kieumau unit add`.",
            "No unit yet. `kieumau unit add` adds one.",
        ));
    }
    let links = unit::links(&app).await?;
    for unit in units {
        let (id, level, name) = (unit.unit, unit.level.word(), unit.name);
        let until = unit.valid_to.map(|day| format!("..{day}"));
        let since = unit.valid_from;
        let became = links.iter().filter(|linked| linked.from == id);
        let became: Vec<String> = became.map(|linked| became_of(linked, language)).collect();
        say(&format!(
            "{id}  {level}  {since}{}  {name}{}",
            until.unwrap_or_default(),
            became.concat()
        ))?;
    }
    Ok(())
}

/// By its id, not by its name: whoever looks for a name in the list finds the unit that is called so.
fn became_of(linked: &Linked, language: Language) -> String {
    let w = language.words();
    let how = match linked.link {
        Link::Merge => w.merged,
        Link::Split => w.split,
        Link::Rename => w.renamed,
    };
    format!("  → {how} {}", linked.to)
}

impl NewLink {
    async fn run(self, language: Language) -> Outcome {
        let app = self.data.reopen().await?;
        let (old, new) = (found(&app, self.from).await?, found(&app, self.to).await?);
        let linked = unit::link(&app, None, self.from, self.to, self.link, self.on).await;
        linked.map_err(|problem| not_linked(problem, &old, &new, self.on))?;
        publish_from(&app, self.from).await?;
        let (old, new, on) = (old.name, new.name, self.on);
        say(&match language {
            Language::Vietnamese => format!(
                "Đã nối: từ {on}, {old} được tiếp nối bởi {new}. Chỉ huy của {new} đọc được những gì {old} đã ghi."
            ),
            Language::English => format!(
                "Linked: from {on} on, {new} goes on for {old}. The chief of {new} reads what {old} recorded."
            ),
        })
    }
}

/// Says of a unit that is no more what it became: whoever is added there may belong to that.
pub async fn remark_end(app: &App, id: UnitId, language: Language) -> Outcome {
    let Some(until) = unit::find(app, id).await?.and_then(|unit| unit.valid_to) else {
        return Ok(());
    };
    let mut names = Vec::new();
    for successor in unit::successors(app, id).await? {
        names.extend(unit::find(app, successor).await?.map(|unit| unit.name));
    }
    let names = names.join(", ");
    remark(&match language {
        Language::Vietnamese => format!(
            "Chú ý: đơn vị này kết thúc vào ngày {until}; tiếp nối là {names}. Lệnh vẫn được thực hiện ở đơn vị cũ."
        ),
        Language::English => format!(
            "Note: this unit ends on {until}; {names} goes on for it. The command is carried out at the old unit all the same."
        ),
    });
    Ok(())
}

async fn found(app: &App, id: UnitId) -> Result<unit::Unit, Failure> {
    unit::find(app, id).await?.ok_or_else(|| no_unit(id))
}

/// Tells the phones of a unit that ended, and of all that came of it, how it was and what it is called now.
async fn publish_from(app: &App, ended: UnitId) -> Outcome {
    let mut touched = unit::successors(app, ended).await?;
    touched.push(ended);
    for unit in touched {
        // Checkpoints stay as they are published.
        reference::publish(app, unit, BTreeMap::new()).await?;
    }
    Ok(())
}

/// How long a unit is: `2025-07-01..`, `2000-01-01..2025-07-01`.
fn days(unit: &unit::Unit) -> String {
    let until = unit.valid_to.map(|day| day.to_string());
    format!("{}..{}", unit.valid_from, until.unwrap_or_default())
}

fn went_elsewhere(from: &str) -> Failure {
    Failure::new(
        (
            format!("{from} đã được nối với một đơn vị khác, và không phải là chia tách."),
            format!("{from} is linked with another unit already, and that was no split."),
        ),
        (
            "Chỉ chia tách mới có nhiều đơn vị tiếp nối, mọi lần đều --as split. Xem bằng `kieumau unit list`.",
            "Only what is split goes on as several, each linked --as split. `kieumau unit list` shows what is written.",
        ),
    )
}

fn not_linked(problem: Problem, old: &unit::Unit, new: &unit::Unit, on: Date) -> Failure {
    let Some(Invalid { field, rule }) = problem.broken().cloned() else {
        return problem.into();
    };
    let (from, to) = (&old.name, &new.name);
    let (from_days, to_days) = (days(old), days(new));
    let (happened, todo) = match (field.as_str(), rule) {
        ("to", Rule::Already) => (
            (
                format!("{from} đã được nối với {to} từ trước."),
                format!("{from} is linked with {to} already."),
            ),
            (
                "Không cần làm gì: xem bằng `kieumau unit list`.",
                "Nothing: `kieumau unit list` shows it.",
            ),
        ),
        ("to", Rule::OutOfOrder) if old.unit == new.unit => (
            (
                format!("{from} không thể được nối với chính nó."),
                format!("{from} cannot be linked with itself."),
            ),
            (
                "Đặt --to là mã của đơn vị tiếp nối: `kieumau unit list`.",
                "Give --to the id of the unit that goes on in its place: `kieumau unit list`.",
            ),
        ),
        ("to", Rule::OutOfOrder) => (
            (
                format!("{from} là đơn vị tiếp nối của {to}: không thể nối ngược lại."),
                format!("{from} came of {to}: it cannot go into it again."),
            ),
            (
                "Kiểm tra chiều: --from là đơn vị kết thúc, --to là đơn vị tiếp nối.",
                "Check the direction: --from is the unit that ends, --to the one that goes on.",
            ),
        ),
        ("link", _) => return went_elsewhere(from),
        ("from", Rule::Ended) => (
            (
                format!("{from} đã kết thúc vào một ngày khác ({from_days}), không phải {on}."),
                format!("{from} ended on another day ({from_days}), not on {on}."),
            ),
            (
                "Dùng ngày đã ghi: một đơn vị chia ra nhiều nơi thì mọi lần nối cùng một ngày.",
                "Use the day that is written: whatever a unit is divided into begins on one day.",
            ),
        ),
        ("on_date", _) => (
            (
                format!(
                    "Vào ngày {on} một trong hai đơn vị không tồn tại: {from} ({from_days}), {to} ({to_days})."
                ),
                format!("On {on} one of the two is not: {from} ({from_days}), {to} ({to_days})."),
            ),
            (
                "--from phải bắt đầu trước ngày đó; --to phải bắt đầu muộn nhất vào ngày đó và chưa kết thúc.",
                "--from has to begin before that day; --to on that day at the latest, and not to have ended.",
            ),
        ),
        _ => return problem.into(),
    };
    Failure::new(happened, todo)
}
