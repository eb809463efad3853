//! Traces: what happened in a world, line by line, and the hash by which two runs are told to be the same to the byte.

use kieumau_core::hash::Sha256;
use std::fmt::Arguments;

/// See the module.
#[derive(Default)]
pub struct Trace {
    hash: Option<Sha256>,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// One that keeps its lines, to be read.
    pub fn kept() -> Self {
        Self {
            hash: None,
            lines: Some(Vec::new()),
        }
    }

    /// Something happened.
    pub fn line(&mut self, at_ms: u64, what: Arguments<'_>) {
        let line = format!("{at_ms:>8} {what}");
        self.bytes(line.as_bytes());
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// These bytes travelled or were stored.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let before = self.hash.unwrap_or(Sha256([0; 32]));
        self.hash = Some(Sha256::of_parts(&[before.as_bytes(), bytes]));
    }

    /// All of it in one hash.
    pub fn hash(&self) -> Sha256 {
        self.hash.unwrap_or(Sha256([0; 32]))
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
