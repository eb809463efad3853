//! `kieumau quarantine`: what was refused or withheld (bản ghi bị giữ lại), with its reasons and never with its content.

use super::{
    Data,
    failure::{Failure, Outcome},
    remark, say,
};
use crate::{
    clock,
    pages::language::Language,
    quarantine::{self, Item, Wanted},
};
use clap::Subcommand;
use kieumau_core::id::UnitId;
use std::io;

#[derive(Subcommand)]
pub enum Quarantine {
    /// Everything in it, newest first.
    List {
        #[command(flatten)]
        data: Data,
        /// Of this unit only.
        #[arg(long)]
        unit: Option<UnitId>,
        /// One JSON line each.
        #[arg(long)]
        json: bool,
    },
    /// One item: its id as `list` says it.
    Show {
        #[command(flatten)]
        data: Data,
        /// Its id.
        id: String,
        /// As a JSON line.
        #[arg(long)]
        json: bool,
    },
    /// Tries everything again, after an upgrade: what was refused is pushed once more, what was withheld is checked once more.
    Retry(Data),
}

impl Quarantine {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::List { data, unit, json } => list(data, unit, json, language).await,
            Self::Show { data, id, json } => show(data, &id, json, language).await,
            Self::Retry(data) => {
                let app = data.reopen().await?;
                let retried = quarantine::retry(&app).await?;
                say(&serde_json::to_string(&retried).map_err(io::Error::from)?)
            }
        }
    }
}

async fn list(data: Data, unit: Option<UnitId>, json: bool, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let wanted = Wanted {
        unit,
        limit: usize::MAX,
        ..Wanted::default()
    };
    let items = quarantine::list(&app, wanted).await?;
    if items.is_empty() {
        remark(language.words().quarantine_empty);
    }
    for item in &items {
        say(&line(item, json, language)?)?;
    }
    Ok(())
}

async fn show(data: Data, id: &str, json: bool, language: Language) -> Outcome {
    let app = data.reopen().await?;
    let wanted = Wanted {
        id: Some(id),
        limit: 1,
        ..Wanted::default()
    };
    let found = quarantine::list(&app, wanted).await?.pop();
    let item = found.ok_or_else(|| {
        Failure::new(
            (
                format!("Không có bản ghi nào bị giữ lại mang mã {id}."),
                format!("Nothing in quarantine is called {id}."),
            ),
            (
                "Xem mã ở `kieumau quarantine list`.",
                "`kieumau quarantine list` says what there is.",
            ),
        )
    })?;
    say(&line(&item, json, language)?)
}

/// An item on one line.
fn line(item: &Item, json: bool, language: Language) -> io::Result<String> {
    if json {
        return Ok(serde_json::to_string(item)?);
    }
    let none = "-".to_owned();
    Ok(format!(
        "{}  {}  {}  {}  {} B  {}  {}",
        clock::vietnamese(item.received_at_ms),
        item.id,
        item.state,
        language.words().refusal(&item.reason),
        item.size_bytes,
        item.unit.as_ref().unwrap_or(&none),
        item.carrier.as_ref().unwrap_or(&none),
    ))
}
