//! The end of the story: a patrol leaves the server as a file, anyone can check it, and one changed byte is found.

use crate::stage::{Failed, Stage, must};
use kieumau_tests::built;
use std::{path::Path, process::Output};
use tokio::process::Command;

/// Exports, verifies, changes a byte, verifies again.
pub async fn tell(stage: &Stage, patrol: &str) -> Result<(), Failed> {
    stage.teller.begin(
        "Xuất hồ sơ, ai cũng kiểm tra được",
        "the patrol is exported, and anyone can verify it",
    );
    let folder = stage.data.join("dossiers");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("patrol-{}.kieumau", stage.run));
    let arguments: [&Path; 7] = [
        "export".as_ref(),
        "patrol".as_ref(),
        patrol.as_ref(),
        "-o".as_ref(),
        &file,
        "--data".as_ref(),
        &stage.data,
    ];
    let exported = kieumau(&arguments).await?;
    must(exported.status.success(), || {
        format!("export: {}", said(&exported))
    })?;
    let verified = kieumau(&["verify".as_ref(), &file]).await?;
    must(verified.status.success(), || {
        format!("verify: {}", said(&verified))
    })?;
    stage
        .teller
        .shown(&format!("{}: {}", file.display(), first_line(&verified)))
        .await;

    stage
        .teller
        .begin("Sửa một byte thì bị phát hiện", "one changed byte is found");
    let mut bytes = std::fs::read(&file)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let changed = file.with_extension("changed.kieumau");
    std::fs::write(&changed, &bytes)?;
    let found = kieumau(&["verify".as_ref(), &changed]).await?;
    must(!found.status.success(), || {
        format!("a changed byte at {at} was not found: {}", said(&found))
    })?;
    stage
        .teller
        .shown(&format!(
            "byte {at} of {}: {}",
            bytes.len(),
            first_line(&found)
        ))
        .await;
    Ok(())
}

async fn kieumau(arguments: &[&Path]) -> Result<Output, Failed> {
    let mut command = Command::new(built::server());
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", "warn");
    Ok(command.output().await?)
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

fn first_line(output: &Output) -> String {
    said(output).lines().next().unwrap_or_default().to_owned()
}
