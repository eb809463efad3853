//! The verdict on a dossier in words, Vietnamese first: for the terminal, and for who reads it there without this program's
//! source. Every word of `core::dossier` has its sentence here; a new one does not compile without.

use kieumau_core::{
    document::Kind,
    dossier::{
        Broken, Proven, Selection, What,
        proof::{NotProven, ProvenDocument, Writer},
    },
};
use std::fmt::Write as _;

/// What a dossier that holds proves and does not prove.
pub fn proven(proven: &Proven) -> String {
    let mut lines = Vec::new();
    let compared = !proven.not_proven.contains(&NotProven::WhoseKey);
    lines.push("HỒ SƠ NGUYÊN VẸN · THE DOSSIER IS INTACT".to_owned());
    lines.push(format!(
        "Khóa nhật ký máy chủ · Server log key: {}{}",
        proven.fingerprint,
        if compared {
            " (đúng khóa đã cho · as given)"
        } else {
            " (của ai: chưa kiểm chứng · whose key: unverified)"
        }
    ));
    lines.push(format!(
        "Nhật ký · Log: epoch {}, {} mục · leaves",
        proven.epoch, proven.tree_size
    ));
    lines.push(format!(
        "Xuất lúc · Exported at: {}",
        moment(proven.exported_at_ms)
    ));
    lines.push(format!("Phạm vi · Scope: {}", scope(&proven.selection)));
    lines.push(String::new());
    lines.push("ĐÃ CHỨNG MINH · PROVEN".to_owned());
    lines.push(
        "  Không bị sửa kể từ khi máy chủ nhận · Not altered since it was received:".to_owned(),
    );
    lines.extend(proven.documents.iter().map(document));
    for attachment in &proven.attachments {
        lines.push(format!(
            "  - tệp · file {}: {} byte, nhận · received {}",
            attachment.sha256,
            attachment.size_bytes,
            moment(attachment.received_at_ms)
        ));
    }
    lines.push(String::new());
    lines.push("KHÔNG CHỨNG MINH · NOT PROVEN".to_owned());
    lines.extend(
        proven
            .not_proven
            .iter()
            .map(|what| format!("  - {}", not_proven(*what))),
    );
    lines.join("\n") + "\n"
}

/// Why a dossier does not hold: the sentence, the stable word, and which one it is.
pub fn broken(broken: &Broken) -> String {
    let name = format!("{} {}", broken.what.word(), broken.which);
    format!(
        "HỒ SƠ KHÔNG ĐÁNG TIN · THE DOSSIER DOES NOT HOLD: {} [{}]",
        broken_what(broken.what),
        name.trim_end()
    )
}

fn document(document: &ProvenDocument) -> String {
    let kind = match document.kind {
        Kind::PatrolLog => "nhật ký tuần tra · patrol",
        Kind::EvidenceFile => "hồ sơ minh chứng · evidence",
        Kind::Review => "ý kiến duyệt · review",
        Kind::Reference => "dữ liệu dùng chung · reference",
    };
    let mut text = format!(
        "  - {kind} {} ({}), đơn vị · unit {}\n      {} thay đổi · changes, nhận · received {} – {}",
        document.document,
        document.name,
        document.unit,
        document.changes,
        moment(document.earliest_received_at_ms),
        moment(document.latest_received_at_ms)
    );
    for writer in &document.writers {
        // Writing to a text does not fail.
        let _ = match writer {
            Writer::Phone { phone, person, .. } => write!(
                text,
                "\n      người viết · writer: {person}, thiết bị · phone {phone}"
            ),
            Writer::Server => write!(text, "\n      người viết · writer: máy chủ · the server"),
        };
    }
    for change in &document.withheld {
        let _ = write!(text, "\n      bị giữ lại · withheld: {change}");
    }
    for sha256 in &document.missing {
        let _ = write!(text, "\n      tệp chưa về · file not received: {sha256}");
    }
    text
}

fn moment(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| at.to_string())
}

fn scope(selection: &Selection) -> String {
    match selection {
        Selection::Patrol(id) => format!("ca tuần tra · patrol {id}"),
        Selection::Evidence(id) => format!("hồ sơ minh chứng · evidence file {id}"),
        Selection::UnitPeriod(unit, period) => {
            format!("đơn vị · unit {unit}, kỳ · period {period}")
        }
    }
}

const fn not_proven(what: NotProven) -> &'static str {
    match what {
        NotProven::TrueWhenWritten => {
            "Nội dung đúng sự thật khi được ghi · That it was true when it was written"
        }
        NotProven::ServerClock => {
            "Đồng hồ của máy chủ chạy đúng · That the server's clock was right"
        }
        NotProven::SameLogForAll => {
            "Máy chủ nhận mọi thứ được gửi và cho mọi người xem cùng một nhật ký · \
             That the server took in all it was sent and shows everybody the same log"
        }
        NotProven::WhoseKey => {
            "Khóa máy chủ là của ai (dùng --server-key) · Whose key it is (use --server-key)"
        }
        NotProven::Withheld => {
            "Các thay đổi bị giữ lại có nghĩa · That the withheld changes make sense"
        }
        NotProven::Missing => "Nội dung các tệp chưa về · What the files not received hold",
    }
}

const fn broken_what(what: What) -> &'static str {
    match what {
        What::Format => "không phải tệp hồ sơ · not a dossier",
        What::Version => "phiên bản không rõ · an unknown version",
        What::LogKey => "nhật ký của máy chủ khác · another server's log",
        What::TreeHead => "chữ ký đầu nhật ký sai · the tree head's signature is wrong",
        What::Epoch => "chuỗi nhật ký đứt · the log's epochs do not follow",
        What::Leaf => "một mục không có trong nhật ký · a leaf is not in the log",
        What::ServerKey => {
            "khóa máy chủ thiếu hoặc mâu thuẫn · a server key is missing or contradicts"
        }
        What::Enrolment => "đăng ký thiết bị mâu thuẫn · a phone's enrolment contradicts",
        What::Statement => "chữ ký của hồ sơ sai · the dossier's signature is wrong",
        What::Contents => {
            "nội dung khác với bản đã ký · the contents are not those that were signed"
        }
        What::Listing => {
            "danh mục khác với bản đã ký · the documents are not those that were signed"
        }
        What::Document => "tên tài liệu sai · a document's name is wrong",
        What::Change => "một thay đổi bị hỏng · a change is damaged",
        What::Seal => "dấu niêm phong sai · a seal is wrong",
        What::Unsealed => "một thay đổi không có niêm phong · a change has no seal",
        What::Writer => "người viết không được phép · a writer was not allowed",
        What::NotReceived => "nhật ký không ghi nhận · the log does not say it was received",
        What::Revoked => {
            "thiết bị chưa đăng ký hoặc đã thu hồi · the phone was not enrolled yet, or revoked"
        }
        What::Incomplete => "thiếu một thay đổi · a change is missing",
        What::Sequence => "thứ tự thay đổi sai · changes are out of sequence",
        What::Attachment => {
            "một tệp không phải tệp đã nhận · a file is not the one that was received"
        }
        What::Receipt => "biên nhận sai · a receipt is wrong",
    }
}
