//! `kieumau rescue`: takes rescue files (tệp cứu hộ), what a phone could not send itself.

use super::{
    Data,
    failure::{Failure, Outcome, unreadable},
    say,
};
use crate::{pages::language::Language, rescue};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Rescue {
    /// Takes a rescue file. Twice is as good as once. Prints JSON of what was taken.
    Take {
        #[command(flatten)]
        data: Data,
        /// The file.
        file: PathBuf,
    },
}

impl Rescue {
    pub async fn run(self) -> Outcome {
        let Self::Take { data, file } = self;
        let opened = std::fs::File::open(&file).map_err(|cause| unreadable(&file, &cause))?;
        let app = data.reopen().await?;
        let taken = rescue::take(&app, rescue::Carrier::default(), opened).await;
        let taken = taken.map_err(|problem| {
            let said = |language: Language| language.words().rescue_refusal(problem.word());
            match said(Language::Vietnamese).zip(said(Language::English)) {
                Some(why) => Failure::new(
                    why,
                    (
                        "Giữ tệp lại: nó có thể là bản duy nhất.",
                        "Keep the file: it may be the only copy.",
                    ),
                ),
                None => problem.into(),
            }
        })?;
        let line = serde_json::to_string(&taken).map_err(std::io::Error::from)?;
        say(&line)
    }
}
