//! `kieumau unit`: adds and lists units (đơn vị). A second unit of one name and day is a slip until somebody says that it is not.

use super::{
    Data,
    failure::{Failure, Outcome},
    remark, say,
};
use crate::{
    pages::language::Language,
    reference,
    unit::{self, Level, NewUnit},
};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub enum Unit {
    /// Adds a ward, or the province. Prints its id.
    Add(Add),
    /// Lists the units.
    List(Data),
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
    from: jiff::civil::Date,
    /// Another unit of a name and a day that one has already.
    #[arg(long)]
    again: bool,
}

impl Unit {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::Add(new) => new.run().await,
            Self::List(data) => list(data, language).await,
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
    for unit in units {
        let (id, level, name) = (unit.unit, unit.level.word(), unit.name);
        let until = unit.valid_to.map(|day| format!("..{day}"));
        let since = unit.valid_from;
        say(&format!(
            "{id}  {level}  {since}{}  {name}",
            until.unwrap_or_default()
        ))?;
    }
    Ok(())
}
