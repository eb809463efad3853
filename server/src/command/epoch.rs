//! `kieumau epoch`: begins the log anew after a backup was put back.

use super::{Data, failure::Outcome, say};
use crate::{epoch, pages::language::Language};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum Epoch {
    /// Begins a new one: run it once after a backup was put back, before phones sync again. They compare what they have with what is here
    /// and push again what is missing.
    New {
        #[command(flatten)]
        data: Data,
        /// Why, for the audit.
        #[arg(long, value_enum)]
        reason: Reason,
    },
}

/// Why a new epoch begins.
#[derive(Clone, Copy, ValueEnum)]
pub enum Reason {
    /// A backup was put back.
    RestoredBackup,
}

impl Epoch {
    pub async fn run(self, language: Language) -> Outcome {
        let Self::New { data, reason } = self;
        let app = data.reopen().await?;
        let reason = match reason {
            Reason::RestoredBackup => "restored-backup",
        };
        let begun = epoch::begin(&app, reason).await?;
        let (epoch, lost) = (begun.epoch, begun.lost_files);
        let (before, leaves) = (begun.previous.epoch, begun.previous.size);
        say(&match language {
            Language::Vietnamese => format!(
                "Kỷ nguyên {epoch} của nhật ký bắt đầu; kỷ nguyên trước, {before}, kết thúc với {leaves} mục; kho thiếu {lost} tệp, máy chủ sẽ hỏi lại các điện thoại."
            ),
            Language::English => format!(
                "Epoch {epoch} of the log begins; the one before, {before}, ended with {leaves} leaves; {lost} files are not in the store, phones are asked for them."
            ),
        })
    }
}
