//! Where the binaries under test lie. The server's is built apart (`-p kieumau-server`): linked into one build with the phone's
//! core, it would get the phone's SQLCipher.

use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The core that servers run on while benchmarks measure; the clients have the other.
const SERVERS_CORE: &str = "KIEUMAU_SERVERS_CORE";

/// A command that runs `program`, on the servers' core if the variable names one.
#[must_use]
pub fn on_the_servers_core(program: &Path) -> Command {
    match std::env::var_os(SERVERS_CORE) {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The server's binary: `KIEUMAU`, or where `make` builds it.
///
/// # Panics
/// When it is not there: a story without its server is not skipped but fails.
#[must_use]
pub fn server() -> PathBuf {
    binary("KIEUMAU", "kieumau")
}

/// The phone's binary: `KIEUMAU_PHONE`, or where `make` builds it.
///
/// # Panics
/// As [`server`].
#[must_use]
pub fn phone() -> PathBuf {
    binary("KIEUMAU_PHONE", "phone")
}

fn binary(variable: &str, name: &str) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../target/debug")
        .join(name);
    let path = std::env::var_os(variable).map_or(built, PathBuf::from);
    assert!(
        path.exists(),
        "{} is not built: `make build` first, or name it in {variable}",
        path.display()
    );
    path
}
