//! `kieumau export` and `kieumau verify`: dossiers (hồ sơ) out of a server, and believed or not without one.

use super::{
    Data,
    failure::{Failure, Outcome, unreadable},
    say,
};
use crate::export::{self, VerifyError, report};
use clap::{Args, Subcommand};
use kieumau_core::{
    dossier::Selection,
    hash::Sha256,
    id::{DocumentId, UnitId},
    period::Period,
};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Export {
    /// One patrol.
    Patrol {
        /// Its document's id, as in the page's address.
        id: DocumentId,
        #[command(flatten)]
        to: ExportTo,
    },
    /// One evidence file.
    Evidence {
        /// Its document's id, as in the page's address.
        id: DocumentId,
        #[command(flatten)]
        to: ExportTo,
    },
    /// All of a unit in a period.
    Unit {
        /// The unit's id.
        id: UnitId,
        /// `2025-11-16..2026-11-15`.
        #[arg(long)]
        period: Period,
        #[command(flatten)]
        to: ExportTo,
    },
}

#[derive(Args)]
pub struct ExportTo {
    #[command(flatten)]
    data: Data,
    /// The file to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Replaces the file if there is one.
    #[arg(long)]
    overwrite: bool,
}

impl Export {
    pub async fn run(self) -> Outcome {
        let (selection, to) = match self {
            Self::Patrol { id, to } => (Selection::Patrol(id), to),
            Self::Evidence { id, to } => (Selection::Evidence(id), to),
            Self::Unit { id, period, to } => (Selection::UnitPeriod(id, period), to),
        };
        let ExportTo {
            data,
            output,
            overwrite,
        } = to;
        has_a_place(&output, overwrite)?;
        let app = data.reopen().await?;
        let exported = export::export(&app, selection, &output).await;
        let exported = exported.map_err(|problem| match problem.word() {
            "not-found" => nothing_selected(&selection),
            _ => problem.into(),
        })?;
        let (documents, bytes) = (exported.documents, exported.bytes);
        let file = output.display();
        say(&format!(
            "{file}: {documents} tài liệu · documents, {bytes} byte"
        ))
    }
}

/// Whether a file can come to lie there: said before the work, not after it.
fn has_a_place(output: &Path, overwrite: bool) -> Outcome {
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if folder.is_dir() && !output.is_dir() {
        // A name that leads nowhere is a name all the same.
        let there = output.symlink_metadata().is_ok();
        return if there && !overwrite {
            Err(is_there(output))
        } else {
            Ok(())
        };
    }
    let (vi, en) = if folder.is_dir() {
        ("là một thư mục, không phải tệp", "is a folder and no file")
    } else {
        (
            "nằm trong một thư mục không có",
            "is in a folder that is not there",
        )
    };
    let output = output.display();
    Err(Failure::new(
        (format!("{output} {vi}."), format!("{output} {en}.")),
        (
            "Chọn một tên tệp trong thư mục có sẵn, ví dụ -o ho-so.kieumau.",
            "Choose a file's name in a folder that is there, such as -o dossier.kieumau.",
        ),
    ))
}

fn is_there(output: &Path) -> Failure {
    let output = output.display();
    Failure::new(
        (
            format!("Đã có tệp {output}."),
            format!("There is a file {output} already."),
        ),
        (
            "Chọn tên khác, hoặc thêm --overwrite để thay tệp đó.",
            "Choose another name, or add --overwrite to replace it.",
        ),
    )
}

fn nothing_selected(selection: &Selection) -> Failure {
    let (happened, todo) = match selection {
        Selection::Patrol(id) => (
            (
                format!("Máy chủ chưa nhận ca tuần tra nào mang mã {id}."),
                format!("The server received no patrol with the id {id}."),
            ),
            (
                "Lấy mã ở cuối địa chỉ trang của ca đó: /patrols/MÃ.",
                "Take the id from the end of the patrol's page: /patrols/ID.",
            ),
        ),
        Selection::Evidence(id) => (
            (
                format!("Máy chủ chưa nhận hồ sơ minh chứng nào mang mã {id}."),
                format!("The server received no evidence file with the id {id}."),
            ),
            (
                "Lấy mã ở cuối địa chỉ trang của hồ sơ đó: /evidence/MÃ.",
                "Take the id from the end of its page: /evidence/ID.",
            ),
        ),
        Selection::UnitPeriod(unit, period) => (
            (
                format!("Máy chủ chưa nhận gì của đơn vị {unit} trong kỳ {period}."),
                format!("The server received nothing of the unit {unit} in the period {period}."),
            ),
            (
                "Kiểm tra mã bằng `kieumau unit list` và kỳ; đơn vị đã sáp nhập giữ mã cũ.",
                "Check the id with `kieumau unit list`, and the period; a unit that was merged keeps its own id.",
            ),
        ),
    };
    Failure::new(happened, todo)
}

fn another_key(has: &Sha256, given: &Sha256) -> Failure {
    Failure::new(
        (
            format!(
                "Hồ sơ nguyên vẹn theo khóa của chính nó, nhưng đó không phải khóa đã cho.\n    Khóa trong tệp: {has}\n    Khóa đã cho:    {given}"
            ),
            format!(
                "The dossier is intact under its own key, and that is not the key that was given.\n    Key in the file: {has}\n    Key given:       {given}"
            ),
        ),
        (
            "Hỏi bằng một kênh khác với kênh đã gửi tệp (gọi điện, gặp mặt) xem `kieumau doctor` trên máy chủ đó in gì ở dòng “log key:”. Đúng khóa trong tệp: chạy lại với khóa đó. Không đúng: hồ sơ do máy chủ khác xuất, đừng dựa vào nó.",
            "Ask by another channel than the one the file came by (a call, in person) what `kieumau doctor` prints on that server after “log key:”. If it is the key in the file, verify again with it. If not, another server wrote this dossier: do not rely on it.",
        ),
    )
}

/// Checks the dossier in `file` and says what it proves.
pub fn verify(file: &Path, server_key: Option<Sha256>) -> Outcome {
    let only_read = (
        "Tệp chỉ được đọc, không bị thay đổi.",
        "The file was only read, not changed.",
    );
    let report = export::verify(file, server_key).map_err(|error| {
        let failure = match &error {
            VerifyError::Unreadable(cause) => unreadable(file, cause),
            VerifyError::NotADossier => Failure::new(
                (
                    format!("{} không phải là hồ sơ Kiểu Mẫu; chưa có gì được kiểm tra.", file.display()),
                    format!("{} is not a dossier of Kiểu Mẫu; nothing was judged.", file.display()),
                ),
                (
                    "Chọn tệp do `kieumau export` ghi ra. Nếu đúng là tệp đó thì phần đầu đã hỏng: xin lại bản khác.",
                    "Choose the file that `kieumau export` wrote. If it is that one, its beginning is damaged: ask for another copy.",
                ),
            ),
            VerifyError::AnotherKey { has, given } => another_key(has, given),
            VerifyError::Broken(broken) => {
                let said = report::broken(broken);
                Failure::new(
                    (said.clone(), said),
                    (
                        "Đừng dựa vào tệp này; xin nơi gửi một bản khác và kiểm tra lại.",
                        "Do not rely on this file; ask where it came from for another copy, and verify that.",
                    ),
                )
            }
        };
        failure.safe(only_read)
    })?;
    say(&report)
}
