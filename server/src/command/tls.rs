//! `kieumau tls`: the key that phones hold the server to, and how it is changed without losing one.

use super::{Data, failure::Outcome, say};
use crate::tls;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum TlsKey {
    /// Prints the pin of a certificate or a private key.
    Pin {
        /// A PEM file.
        file: PathBuf,
    },
    /// Makes the key that will follow, and prints its pin. Phones hear of it at each sync after the server was started again.
    Next(Data),
    /// Lets the key that was made by `next` take over at the server's next start. Phones that never heard of it must scan a code.
    Switch(Data),
}

impl TlsKey {
    pub fn run(self) -> Outcome {
        let pin = match self {
            Self::Pin { file } => tls::pin_in(&file)?,
            Self::Next(data) => tls::prepare_next(&data.data)?,
            Self::Switch(data) => tls::switch_to_next(&data.data)?,
        };
        say(&pin.to_string())
    }
}
