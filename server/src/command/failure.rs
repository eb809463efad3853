//! Why a command did not do what was asked, for who typed it: what happened, what is safe, what to do; in both languages, so
//! that the language is chosen where it is printed. Each command words what it knows; what the disk, the database and the
//! master key say is worded here, once.

use crate::{
    app::{NoServer, OpenError},
    attachment::store::StoreError,
    pages::language::Language,
    problem::Problem,
    vault::{Sealed, VaultError},
};
use std::{fmt, io, path::Path};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both {
    vietnamese: String,
    english: String,
}

impl<V: Into<String>, E: Into<String>> From<(V, E)> for Both {
    fn from((vietnamese, english): (V, E)) -> Self {
        Self {
            vietnamese: vietnamese.into(),
            english: english.into(),
        }
    }
}

/// What a command answers.
pub type Outcome = Result<(), Failure>;

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Box<Told>);

/// What it says. Apart, so that a command's answer is a pointer long.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    happened: Both,
    safe: Both,
    todo: Both,
}

impl Failure {
    /// What happened and what to do; nothing was written.
    pub fn new(happened: impl Into<Both>, todo: impl Into<Both>) -> Self {
        let safe = (
            "Chưa có gì được ghi hay thay đổi.",
            "Nothing was written or changed.",
        );
        Self(Box::new(Told {
            happened: happened.into(),
            safe: safe.into(),
            todo: todo.into(),
        }))
    }

    /// The same with another word about what is safe.
    pub fn safe(mut self, safe: impl Into<Both>) -> Self {
        self.0.safe = safe.into();
        self
    }

    /// All of it in `language`, for a terminal.
    pub fn told(&self, language: Language) -> String {
        let w = language.words();
        let text = |both: &'_ Both| {
            language
                .pick(&both.vietnamese, &both.english)
                .trim()
                .to_owned()
        };
        format!(
            "kieumau: {}\n  {}: {}\n  {}: {}",
            text(&self.0.happened),
            w.what_is_safe,
            text(&self.0.safe),
            w.what_to_do,
            text(&self.0.todo)
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.happened.english)
    }
}

impl std::error::Error for Failure {}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return *failure,
            Err(error) => error,
        };
        if let Some(NoServer(what)) = error.downcast_ref() {
            return no_server(what);
        }
        if let Some(vault) = error.downcast_ref() {
            return master_key(vault);
        }
        if let Some(database) = error.downcast_ref() {
            return from_database(database);
        }
        if let Some(StoreError::Disk(disk)) = error.downcast_ref() {
            return from_disk(disk);
        }
        match error.downcast_ref() {
            Some(disk) => from_disk(disk),
            None => otherwise(error.as_ref()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        from_disk(&error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        from_database(&error)
    }
}

impl From<Problem> for Failure {
    /// For problems that the command has no better word for. An internal cause goes to the log, once.
    fn from(problem: Problem) -> Self {
        let id = problem.log();
        let (vi, en) = (Language::Vietnamese.words(), Language::English.words());
        if let Some(invalid) = problem.broken() {
            return Self::new(
                (vi.broken(invalid), en.broken(invalid)),
                (
                    "Sửa phần đó rồi chạy lại lệnh.",
                    "Mend that part and run the command again.",
                ),
            );
        }
        match problem.word() {
            "storage-full" => full(),
            "busy" => Self::new(
                (vi.busy_happened, en.busy_happened),
                (vi.busy_todo, en.busy_todo),
            ),
            "internal" => Self::new(
                (
                    format!("Máy chủ gặp lỗi; nguyên nhân ở dòng trên, mã {id}."),
                    format!("The server failed; the cause is in the line above, id {id}."),
                ),
                (
                    "Chạy lại. Nếu vẫn lỗi, giữ dòng đó và báo người bảo trì.",
                    "Run it again. If it fails again, keep that line and tell who maintains this.",
                ),
            )
            .safe((vi.failed_safe, en.failed_safe)),
            word => Self::new(
                (
                    format!("Không làm được: {word}."),
                    format!("Refused: {word}."),
                ),
                see_help(),
            ),
        }
    }
}

/// Where a command is explained.
pub fn see_help() -> Both {
    (
        "Xem `kieumau help` hoặc thêm --help sau lệnh.",
        "See `kieumau help`, or add --help to the command.",
    )
        .into()
}

/// Nobody signs in as `typed`.
pub fn nobody(typed: &str) -> Failure {
    Failure::new(
        (
            format!("Không có ai đăng nhập bằng tên “{typed}”."),
            format!("Nobody signs in as “{typed}”."),
        ),
        (
            "Xem tên đúng bằng `kieumau person list`.",
            "`kieumau person list` shows the names.",
        ),
    )
}

/// There is no unit of this id.
pub fn no_unit(unit: impl fmt::Display) -> Failure {
    Failure::new(
        (
            format!("Không có đơn vị nào mang mã {unit}."),
            format!("There is no unit with the id {unit}."),
        ),
        (
            "Xem mã đúng bằng `kieumau unit list`.",
            "`kieumau unit list` shows the ids.",
        ),
    )
}

/// The file that was named cannot be read.
pub fn unreadable(file: &Path, cause: &io::Error) -> Failure {
    let file = file.display();
    let (vi, en) = match cause.kind() {
        io::ErrorKind::NotFound => (
            "không có tệp đó".to_owned(),
            "there is no such file".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            "tài khoản này không có quyền đọc".to_owned(),
            "this account may not read it".to_owned(),
        ),
        io::ErrorKind::IsADirectory => {
            ("đó là một thư mục".to_owned(), "it is a folder".to_owned())
        }
        _ => (cause.to_string(), cause.to_string()),
    };
    Failure::new(
        (
            format!("Không đọc được {file}: {vi}."),
            format!("{file} cannot be read: {en}."),
        ),
        (
            "Kiểm tra tên tệp và quyền đọc.",
            "Check the file's name and mode.",
        ),
    )
}

fn no_server(what: &str) -> Failure {
    Failure::new(
        (
            format!("Chưa có máy chủ nào từng chạy ở {what}."),
            format!("No server ever ran on {what}."),
        ),
        (
            "Kiểm tra --data và --database-url (DATABASE_URL). Máy chủ mới được lập bằng `kieumau serve` hoặc `kieumau migrate`.",
            "Check --data and --database-url (DATABASE_URL). `kieumau serve` or `kieumau migrate` begins a new server.",
        ),
    )
}

fn master_key(error: &VaultError) -> Failure {
    let happened = match error {
        VaultError::Lost(path) => (
            format!(
                "Không thấy khóa chính {}, mà dữ liệu ở đây được niêm phong bằng khóa đó.",
                path.display()
            ),
            format!(
                "The master key {} is missing, and the data here is sealed under it.",
                path.display()
            ),
        ),
        VaultError::Cut(path) => (
            format!(
                "{} không phải khóa chính: tệp phải có đúng 32 byte.",
                path.display()
            ),
            format!(
                "{} is no master key: it has to hold exactly 32 bytes.",
                path.display()
            ),
        ),
        VaultError::Disk(path, cause) => (
            format!("Không đọc được khóa chính {}: {cause}.", path.display()),
            format!("The master key {} cannot be read: {cause}.", path.display()),
        ),
    };
    let todo = match error {
        VaultError::Lost(_) | VaultError::Cut(_) => (
            "Chép khóa từ bản sao lưu vào đúng chỗ đó, hoặc kiểm tra --data. Đừng tạo khóa mới: nó không mở được gì.",
            "Put the key back from its backup, or check --data. Do not make a new one: it would open nothing.",
        ),
        VaultError::Disk(..) => (
            "Chạy lệnh bằng tài khoản của máy chủ, hoặc sửa quyền đọc của tệp (chỉ chủ tệp: chmod 600).",
            "Run the command as the server's account, or mend the file's mode (its owner only: chmod 600).",
        ),
    };
    Failure::new(happened, todo).safe((
        "Dữ liệu vẫn còn nguyên và vẫn được niêm phong; không có gì được ghi.",
        "The data is intact and still sealed; nothing was written.",
    ))
}

fn from_disk(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Failure::new(
            (
                "Ở đó đã có một tệp, không phải thư mục.",
                "There is a file at that place, and no folder.",
            ),
            (
                "Kiểm tra --data: đó phải là một thư mục, có sẵn hoặc sẽ được tạo.",
                "Check --data: it has to be a folder, one that is there or one to be made.",
            ),
        ),
        io::ErrorKind::PermissionDenied => Failure::new(
            (
                format!("Tài khoản này không có quyền đọc hoặc ghi ở đó: {error}."),
                format!("This account may not read or write there: {error}."),
            ),
            (
                "Chạy lệnh bằng tài khoản của máy chủ, hoặc sửa quyền của thư mục.",
                "Run the command as the server's account, or mend the folder's mode.",
            ),
        ),
        _ => otherwise(error),
    }
}

fn full() -> Failure {
    Failure::new(
        ("Ổ đĩa đã đầy.", "The disk is full."),
        (
            "Giải phóng chỗ trống rồi chạy lại.",
            "Make room and run the command again.",
        ),
    )
    .safe((
        "Những gì đã nhận trước đó vẫn còn nguyên.",
        "What was received before is intact.",
    ))
}

fn from_database(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Decode(cause) if cause.is::<Sealed>() => Failure::new(
            (
                "Khóa chính master.key không mở được dữ liệu ở đây: đó là khóa của một máy chủ khác.",
                "master.key does not open the data here: it is another server's key.",
            ),
            (
                "Chép đúng khóa của dữ liệu này từ bản sao lưu, hoặc kiểm tra --data và DATABASE_URL có cùng một máy chủ không.",
                "Put this data's own key back from its backup, or check that --data and DATABASE_URL are of one server.",
            ),
        ),
        sqlx::Error::Migrate(_) => Failure::new(
            (
                format!("Cơ sở dữ liệu không cùng phiên bản với chương trình này: {error}."),
                format!("The database is not of this program's version: {error}."),
            ),
            (
                "Dùng bản kieumau đã chạy sau cùng trên dữ liệu này, hoặc bản mới hơn.",
                "Use the kieumau that ran last on this data, or a newer one.",
            ),
        ),
        sqlx::Error::Database(cause) => match cause.code().as_deref() {
            Some("28P01" | "28000") => credentials(),
            Some("3D000") => Failure::new(
                (
                    "PostgreSQL không có cơ sở dữ liệu mang tên đó.",
                    "PostgreSQL has no database of that name.",
                ),
                (
                    "Tạo bằng `createdb`, hoặc sửa tên trong DATABASE_URL.",
                    "Make it with `createdb`, or mend the name in DATABASE_URL.",
                ),
            ),
            Some("26") => Failure::new(
                (
                    "kieumau.db trong thư mục đó không phải cơ sở dữ liệu của Kiểu Mẫu.",
                    "kieumau.db in that folder is no database of Kiểu Mẫu.",
                ),
                (
                    "Kiểm tra --data; nếu tệp bị hỏng, khôi phục từ bản sao lưu.",
                    "Check --data; if the file is damaged, restore its backup.",
                ),
            ),
            Some("13") => full(),
            _ => otherwise(error),
        },
        sqlx::Error::Configuration(_) => Failure::new(
            (
                "DATABASE_URL viết chưa đúng.",
                "DATABASE_URL is not written as it must be.",
            ),
            (
                "Viết postgres://TÊN:MẬT_KHẨU@MÁY/CƠ_SỞ_DỮ_LIỆU, hoặc bỏ đi để dùng SQLite trong --data.",
                "Write postgres://NAME:PASSWORD@HOST/DATABASE, or leave it out for SQLite in --data.",
            ),
        ),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => Failure::new(
            (
                format!("Không liên lạc được với cơ sở dữ liệu: {error}."),
                format!("The database cannot be reached: {error}."),
            ),
            (
                "Xem PostgreSQL có đang chạy không, và máy, cổng trong DATABASE_URL có đúng không.",
                "See whether PostgreSQL runs, and whether host and port in DATABASE_URL are right.",
            ),
        ),
        error => otherwise(error),
    }
}

fn credentials() -> Failure {
    Failure::new(
        (
            "PostgreSQL không nhận tên hoặc mật khẩu trong DATABASE_URL.",
            "PostgreSQL does not take the name or the password in DATABASE_URL.",
        ),
        (
            "Sửa DATABASE_URL. Mật khẩu này của PostgreSQL, không phải của cán bộ.",
            "Mend DATABASE_URL. This password is PostgreSQL's, not a person's.",
        ),
    )
}

/// What no sentence was written for: the cause itself, and whom to ask.
fn otherwise(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let text = deeper.to_string();
        // Some errors say their source themselves.
        if !cause.contains(&text) {
            cause = format!("{cause}: {text}");
        }
        source = deeper.source();
    }
    Failure::new(
        (
            format!("Không làm được: {cause}."),
            format!("It failed: {cause}."),
        ),
        (
            "Chạy lại. Nếu vẫn lỗi, giữ dòng này và báo người bảo trì.",
            "Run it again. If it fails again, keep this line and tell who maintains this.",
        ),
    )
    .safe((
        "Những gì đã ghi trước đó vẫn còn nguyên.",
        "What was written before is intact.",
    ))
}
