//! The verdict on a dossier in words, Vietnamese first: for the terminal, and for who reads it there without this program's
//! source. Every word of `core::dossier` has its sentence here; a new one does not compile without.

use crate::clock;
use kieumau_core::{
    catalogue::Catalogue,
    document::{Key, Kind},
    dossier::{
        Broken, Proven, Selection, What,
        proof::{NotProven, ProvenDocument, Writer},
    },
    id::{DocumentId, UnitId},
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
    lines.push(format!("Phạm vi · Scope: {}", scope(proven)));
    lines.push(String::new());
    lines.push("ĐÃ CHỨNG MINH · PROVEN".to_owned());
    lines.push(
        "  Không bị sửa kể từ khi máy chủ nhận · Not altered since it was received:".to_owned(),
    );
    lines.extend(proven.documents.iter().map(|one| document(proven, one)));
    for attachment in &proven.attachments {
        let of = attachment.named_in.first().map(|id| called(proven, *id));
        lines.push(format!(
            "  - tệp của · file of {}: {} byte, nhận · received {}\n      SHA-256 {}",
            of.unwrap_or_default(),
            attachment.size_bytes,
            moment(attachment.received_at_ms),
            attachment.sha256
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

fn document(proven: &Proven, document: &ProvenDocument) -> String {
    let mut text = format!(
        "  - {}, {}\n      {} thay đổi · changes, nhận · received {} – {}",
        title(proven, document),
        unit(proven, document.unit),
        document.changes,
        moment(document.earliest_received_at_ms),
        moment(document.latest_received_at_ms)
    );
    for writer in &document.writers {
        // Writing to a text does not fail.
        let _ = match writer {
            Writer::Phone { phone, person, .. } => {
                let person = person.to_string();
                let person = name(proven, &person).unwrap_or(person);
                write!(
                    text,
                    "\n      người viết · writer: {person}, thiết bị · phone {phone}"
                )
            }
            Writer::Server => write!(text, "\n      người viết · writer: máy chủ · the server"),
        };
    }
    for change in &document.withheld {
        let _ = write!(text, "\n      bị giữ lại · withheld: {change}");
    }
    for sha256 in &document.missing {
        let _ = write!(text, "\n      tệp chưa về · file not received: {sha256}");
    }
    let _ = write!(text, "\n      mã · id {}", document.document);
    text
}

/// What a document is, in words: its kind with how it is called, or with what its key says.
fn title(proven: &Proven, document: &ProvenDocument) -> String {
    let key = Key {
        kind: document.kind,
        unit: document.unit,
        name: document.name.clone(),
    };
    match document.kind {
        Kind::PatrolLog => match name(proven, &document.document.to_string()) {
            Some(name) => format!("Ca tuần tra · patrol “{name}”"),
            None => "Ca tuần tra không tên · patrol without a title".to_owned(),
        },
        Kind::EvidenceFile => match key.evidence_of() {
            Some((number, period)) => {
                let criterion = Catalogue::placeholder().criterion(number);
                let title = criterion.map(|one| format!(" ({} · {})", one.title_vi, one.title_en));
                let (from, to) = (period.starts_on(), period.ends_on());
                format!(
                    "Minh chứng tiêu chí · evidence of criterion {number}{}, kỳ · period {}–{}",
                    title.unwrap_or_default(),
                    from.strftime("%d/%m/%Y"),
                    to.strftime("%d/%m/%Y")
                )
            }
            None => "Minh chứng · evidence".to_owned(),
        },
        Kind::Review => {
            let of = key.reviewed().map(|id| called(proven, id));
            let of = of.unwrap_or_default();
            format!("Duyệt, trả lại · decisions: {of}")
        }
        Kind::Reference => "Dữ liệu dùng chung · reference".to_owned(),
    }
}

/// What the document of this id is, in words.
fn called(proven: &Proven, id: DocumentId) -> String {
    let mut documents = proven.documents.iter();
    let found = documents.find(|document| document.document == id);
    found
        // A review of a review there is not; should a file claim one, it is named by its id.
        .filter(|document| document.kind != Kind::Review)
        .map_or_else(|| id.to_string(), |document| title(proven, document))
}

fn unit(proven: &Proven, unit: UnitId) -> String {
    let id = unit.to_string();
    name(proven, &id).unwrap_or(format!("đơn vị · unit {id}"))
}

/// How the thing of this id is called. A terminal obeys control characters, and this text is a stranger's.
fn name(proven: &Proven, id: &str) -> Option<String> {
    let name = proven.names.get(id)?;
    Some(name.chars().filter(|one| !one.is_control()).collect())
}

/// `22/11/2026 07:40:31 +07:00`: as in Vietnam, and where that is.
fn moment(at_ms: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at_ms) else {
        return at_ms.to_string();
    };
    let local = clock::VIETNAM.to_datetime(at);
    format!("{} +07:00", local.strftime("%d/%m/%Y %H:%M:%S"))
}

fn scope(proven: &Proven) -> String {
    match &proven.selection {
        Selection::Patrol(id) | Selection::Evidence(id) => called(proven, *id),
        Selection::UnitPeriod(of, period) => {
            let (from, to) = (period.starts_on(), period.ends_on());
            format!(
                "{}, kỳ · period {}–{}",
                unit(proven, *of),
                from.strftime("%d/%m/%Y"),
                to.strftime("%d/%m/%Y")
            )
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
        NotProven::Names => {
            "Tên gọi ở trên: do máy chủ đặt cạnh mã; lời của tài liệu nằm trong các thay đổi · \
             The names above: the server's, beside the ids; a document's own words are in its changes"
        }
        NotProven::Missing => "Nội dung các tệp chưa về · What the files not received hold",
    }
}

const fn broken_what(what: What) -> &'static str {
    match what {
        What::Format => "tệp bị cắt hoặc bị sửa · the file is cut or changed",
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
        What::Receipt => "xác nhận “máy chủ đã nhận” sai · a receipt is wrong",
    }
}
