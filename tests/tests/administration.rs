//! The command line as an administrator meets it: a mistyped folder does not become a second server, whatever goes wrong says
//! what happened, what is safe and what to do, and the README's commands work in their order on a machine that has nothing.

use kieumau_tests::{built, server::Server};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What a command printed, and whether it did what was asked.
struct Ran {
    done: bool,
    out: String,
    err: String,
}

/// Runs `kieumau` in `folder`, in English if the locale says so.
fn run(folder: &Path, locale: &str, arguments: &[&str]) -> Ran {
    let out = Command::new(built::server())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("LANG", locale)
        .output()
        .expect("kieumau starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        done: out.status.success(),
        out: text(out.stdout),
        err: text(out.stderr),
    }
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let ran = run(folder, "C.UTF-8", arguments);
    assert!(ran.done, "{arguments:?}: {}", ran.err);
    ran.out.trim().to_owned()
}

const NOBODYS: &str = "019ab2c4-0000-7000-8000-000000000000";

/// Every command on a server that is there.
const COMMANDS: [&[&str]; 18] = [
    &["unit", "add", "--name", "Phường A", "--from", "2025-07-01"],
    &["unit", "list"],
    &[
        "unit",
        "link",
        "--from",
        NOBODYS,
        "--to",
        NOBODYS,
        "--as",
        "merge",
        "--on",
        "2025-07-01",
    ],
    &[
        "person",
        "add",
        "--name",
        "An",
        "--sign-in",
        "an",
        "--role",
        "officer",
        "--unit",
        NOBODYS,
    ],
    &["person", "list"],
    &["person", "password", "--sign-in", "an"],
    &["person", "disable", "--sign-in", "an"],
    &["person", "enable", "--sign-in", "an"],
    &["phone", "list", "--unit", NOBODYS],
    &["phone", "code", "--person", "an"],
    &["phone", "revoke", "--phone", NOBODYS],
    &["reproject"],
    &["recheck"],
    &["rescue", "take", "file"],
    &["tls", "next"],
    &["tls", "switch", "--anyway"],
    &["doctor"],
    &["export", "patrol", NOBODYS, "-o", "dossier"],
];

/// A command with `--data ./dta` before it, and behind it.
fn before_and_after(command: &[&'static str]) -> [Vec<&'static str>; 2] {
    let data = ["--data", "./dta"];
    [[&data[..], command].concat(), [command, &data].concat()]
}

#[test]
fn a_mistyped_folder_is_refused_by_every_command_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), b"some file").expect("a file");
    for command in COMMANDS.into_iter().flat_map(before_and_after) {
        let ran = run(folder.path(), "C.UTF-8", &command);
        assert!(!ran.done, "{command:?}");
        assert!(
            ran.err.contains("Chưa có máy chủ nào từng chạy ở ./dta"),
            "{command:?}: {}",
            ran.err
        );
        assert!(
            ran.err.contains("Nên làm: Kiểm tra --data"),
            "{command:?}: {}",
            ran.err
        );
        assert!(
            !folder.path().join("dta").exists(),
            "{command:?} made a folder"
        );
    }
    // The twin: the command that begins a server makes one there, and then they all find it.
    done(folder.path(), &["migrate", "--data", "./dta"]);
    assert!(folder.path().join("dta/master.key").exists());
    for command in before_and_after(&["doctor"]) {
        done(folder.path(), &command);
    }
}

#[test]
fn where_no_data_is_used_none_is_taken_and_no_help_says_that_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.pdf"), b"%PDF-1.7").expect("a file");
    for command in [&["verify", "a.pdf"][..], &["tls", "pin", "a.pdf"]] {
        for command in before_and_after(command) {
            let ran = run(folder.path(), "C.UTF-8", &command);
            let refused = ran.err.contains("Lệnh viết chưa đúng") && ran.err.contains("'--data'");
            assert!(!ran.done && refused, "{command:?}: {}", ran.err);
        }
        assert!(!done(folder.path(), &[command, &["--help"]].concat()).contains("--data"));
    }
}

#[test]
fn a_server_that_was_begun_is_told_from_one_that_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let migrate = |data, language| {
        let command = ["migrate", "--data", data, "--language", language];
        let ran = run(here, "C.UTF-8", &command);
        assert!(ran.done, "{}", ran.err);
        let file = format!("{data}/kieumau.db");
        for named in [file.as_str(), "SQLite 3.", "kieumau 0."] {
            assert!(ran.out.contains(named), "{named}: {}", ran.out);
        }
        assert!(!ran.out.contains("SQLCipher"), "{}", ran.out);
        ran
    };
    for (data, language, begun, there) in [
        ("one", "vi", "Đã lập một máy chủ mới", "Máy chủ đã có sẵn"),
        (
            "two",
            "en",
            "A new server was begun",
            "The server was already there",
        ),
    ] {
        let first = migrate(data, language);
        assert!(first.out.starts_with(begun), "{}", first.out);
        assert!(first.err.contains("master.key"), "{}", first.err);
        let second = migrate(data, language);
        assert!(second.out.starts_with(there), "{}", second.out);
        assert_eq!(second.err, "");
    }
}

/// A database that nobody answers for.
const AWAY: &str = "postgres://kieumau@127.0.0.1:1/kieumau";

/// What is typed, and what the answer must name: in what happened, and in what to do.
type Slip<'a> = (&'a [&'a str], &'a str, &'a str);

const SLIPS: [Slip; 22] = [
    (
        &["checkpoint", "list", "--unit", NOBODYS],
        NOBODYS,
        "kieumau unit list",
    ),
    (
        &[
            "checkpoint",
            "remove",
            "--unit",
            NOBODYS,
            "--checkpoint",
            "x",
        ],
        "“x”",
        "kieumau checkpoint list",
    ),
    (
        &[
            "checkpoint",
            "add",
            "--unit",
            NOBODYS,
            "--name",
            "A",
            "--lat",
            "200",
            "--lon",
            "0",
        ],
        "",
        "",
    ),
    (
        &["person", "disable", "--sign-in", "ai"],
        "“ai”",
        "kieumau person list",
    ),
    (
        &["person", "enable", "--sign-in", "ai"],
        "“ai”",
        "kieumau person list",
    ),
    (&["phone", "code", "--person", "ai"], "", "kieumau serve"),
    (
        &["phone", "list", "--unit", NOBODYS],
        NOBODYS,
        "kieumau unit list",
    ),
    (
        &["phone", "revoke", "--phone", NOBODYS],
        NOBODYS,
        "kieumau phone list",
    ),
    (
        &["export", "patrol", NOBODYS, "-o", "a"],
        NOBODYS,
        "/patrols/",
    ),
    (
        &["export", "patrol", NOBODYS, "-o", "none/a"],
        "none/a",
        "-o ",
    ),
    (
        &["export", "patrol", NOBODYS, "-o", "other.pdf"],
        "other.pdf",
        "--overwrite",
    ),
    (
        &["export", "unit", NOBODYS, "--period", "2025", "-o", "a"],
        "“2025”",
        "2025-11-16..2026-11-15",
    ),
    (
        &["unit", "add", "--name", " ", "--from", "2025-07-01"],
        "",
        "",
    ),
    (
        &["unit", "add", "--name", "A", "--from", "1/7/2025"],
        "“1/7/2025”",
        "2025-07-01",
    ),
    (&["serve", "--listen", "0.0.0.0:0"], "", "--public-url"),
    (
        &["serve", "--listen", "0.0.0.0:0", "--behind-proxy"],
        "proxy",
        "--public-url",
    ),
    (&["verify", "other.pdf"], "other.pdf", "kieumau export"),
    (&["verify", "none.pdf"], "none.pdf", ""),
    (&["tls", "pin", "other.pdf"], "other.pdf", "-----BEGIN"),
    (&["tls", "pin", "none.pdf"], "none.pdf", ""),
    (&["tls", "switch", "--anyway"], "TLS", "kieumau tls next"),
    (&["doctor", "--database-url", AWAY], "", "DATABASE_URL"),
];

#[test]
fn what_goes_wrong_says_what_happened_what_is_safe_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    done(here, &["migrate"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    std::fs::write(here.join("other.pdf"), b"%PDF-1.7 another file").expect("a file");
    let serve = ["serve", "--listen", &taken];
    let taken: Slip = (&serve, &taken, "--listen 127.0.0.1:");
    let languages = [
        (
            "C.UTF-8",
            ["kieumau: ", "\n  Điều chắc chắn: ", "\n  Nên làm: "],
        ),
        (
            "en_GB.UTF-8",
            ["kieumau: ", "\n  What is safe: ", "\n  What to do: "],
        ),
    ];
    for (command, happened, todo) in SLIPS.into_iter().chain([taken]) {
        for (locale, parts) in languages {
            let ran = run(here, locale, command);
            assert!(!ran.done && ran.out.is_empty(), "{command:?}: {}", ran.out);
            for part in parts.into_iter().chain([happened, todo]) {
                assert!(
                    ran.err.contains(part),
                    "{command:?} lacks {part:?}: {}",
                    ran.err
                );
            }
            for bare in [
                "not-found",
                "internal",
                "malformed",
                "os error 98",
                "No such file",
                "no items found",
            ] {
                assert!(
                    !ran.err.contains(bare),
                    "{command:?} says {bare}: {}",
                    ran.err
                );
            }
        }
    }
    // Who asks for a language gets it, whatever the terminal says.
    let asked = run(
        here,
        "en_GB.UTF-8",
        &["person", "disable", "--sign-in", "ai", "--language", "vi"],
    );
    assert!(asked.err.contains("Nên làm"), "{}", asked.err);
}

#[test]
fn a_master_key_that_is_lost_cut_anothers_or_unreadable_is_said_and_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    for data in ["one", "two"] {
        done(folder.path(), &["migrate", "--data", data]);
    }
    let key = folder.path().join("one/master.key");
    let kept = std::fs::read(&key).expect("a key");
    let other = std::fs::read(folder.path().join("two/master.key")).expect("a key");
    let said = |todo: &str| {
        for command in [&["doctor"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let arguments = [command, &["--data", "one"]].concat();
            let ran = run(folder.path(), "en_GB.UTF-8", &arguments);
            assert!(
                !ran.done && ran.err.contains(todo),
                "{command:?}: {}",
                ran.err
            );
            assert!(
                ran.err.contains("nothing was written") || ran.err.contains("Nothing was written")
            );
        }
    };
    std::fs::remove_file(&key).expect("lost");
    said("Put the key back from its backup");
    assert!(!key.exists());
    std::fs::write(&key, b"cut").expect("cut");
    said("Put the key back from its backup");
    std::fs::write(&key, &other).expect("another's");
    said("Put this data's own key back");
    assert_eq!(std::fs::read(&key).expect("a key"), other);
    std::fs::remove_file(&key).expect("away");
    std::fs::create_dir(&key).expect("a folder in its place");
    said("chmod 600");
    std::fs::remove_dir(&key).expect("away");
    // The twin: its own key opens it.
    std::fs::write(&key, kept).expect("put back");
    done(folder.path(), &["doctor", "--data", "one"]);
}

#[test]
fn a_second_unit_of_one_name_and_day_is_a_slip_until_somebody_says_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    done(here, &["migrate"]);
    let add = [
        "unit",
        "add",
        "--name",
        "Phường Trường Vinh",
        "--from",
        "2025-07-01",
    ];
    let id = done(here, &add);
    let again = run(here, "C.UTF-8", &add);
    assert!(
        !again.done && again.err.contains(&id) && again.err.contains("--again"),
        "{}",
        again.err
    );
    assert_eq!(done(here, &["unit", "list"]).lines().count(), 1);
    // The twin: whoever says so gets another one.
    assert_ne!(done(here, &[&add[..], &["--again"]].concat()), id);
    assert_eq!(done(here, &["unit", "list"]).lines().count(), 2);
}

/// The command that merges one unit into another.
fn link<'a>(from: &'a str, to: &'a str, on: &'a str) -> Vec<&'a str> {
    let units = ["unit", "link", "--from", from, "--to", to];
    [&units[..], &["--as", "merge", "--on", on]].concat()
}

fn unit(here: &Path, name: &str, from: &str) -> String {
    done(here, &["unit", "add", "--name", name, "--from", from])
}

/// A ward of old, and one that begins on the day on which it ends.
fn two_wards(here: &Path) -> (String, String) {
    done(here, &["migrate"]);
    let old = unit(here, "Phường Trường Thi", "2000-01-01");
    (old, unit(here, "Phường Trường Vinh", "2025-07-01"))
}

#[test]
fn units_are_linked_by_a_command_that_says_what_is_wrong_with_each_other_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (old, new) = two_wards(here);
    let later = unit(here, "Phường Vinh", "2030-01-01");
    let refused = |command: &[&str], happened: &str, todo: &str| {
        for locale in ["C.UTF-8", "en_GB.UTF-8"] {
            let ran = run(here, locale, command);
            assert!(!ran.done && ran.out.is_empty(), "{command:?}");
            for part in [happened, todo] {
                assert!(ran.err.contains(part), "{part}: {}", ran.err);
            }
        }
    };
    let day = "2025-07-01";
    refused(&link(&old, NOBODYS, day), NOBODYS, "kieumau unit list");
    refused(&link(NOBODYS, &new, day), NOBODYS, "kieumau unit list");
    refused(&link(&old, &old, day), "Phường Trường Thi", "--to");
    refused(
        &link(&old, &later, day),
        "Phường Vinh (2030-01-01..)",
        "--to",
    );
    refused(&link(&new, &later, day), "(2025-07-01..)", "--from");
    refused(&link(&old, &new, "1/7/2025"), "“1/7/2025”", "2025-07-01");
    assert!(
        !done(here, &["unit", "list"]).contains('→'),
        "nothing was written"
    );
    // The twin: what is right is written, shown, and refused when it is said again or otherwise.
    let said = done(here, &link(&old, &new, day));
    assert!(said.contains("Phường Trường Thi") && said.contains("Phường Trường Vinh"));
    let listed = done(here, &["unit", "list"]);
    let became = format!("2000-01-01..2025-07-01  Phường Trường Thi  → sáp nhập {new}");
    assert!(listed.contains(&became), "{listed}");
    refused(
        &link(&old, &new, day),
        "Phường Trường Vinh",
        "kieumau unit list",
    );
    refused(
        &link(&old, &new, "2025-08-01"),
        "2000-01-01..2025-07-01",
        "",
    );
    refused(
        &link(&new, &old, "2026-01-01"),
        "Phường Trường Thi (2000-01-01..2025-07-01)",
        "--to",
    );
}

#[test]
fn a_file_where_the_data_should_lie_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    std::fs::write(here.join("notes"), b"mine").expect("written");
    let refused = run(here, "en_GB.UTF-8", &["migrate", "--data", "notes"]);
    assert!(
        !refused.done && refused.err.contains("no folder"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("--data"), "{}", refused.err);
    assert_eq!(std::fs::read(here.join("notes")).expect("there"), b"mine");
}

#[test]
fn a_fingerprint_is_one_in_capitals_and_groups_too() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a"), b"none").expect("written");
    let asked = |key: &str| {
        run(
            folder.path(),
            "en_GB.UTF-8",
            &["verify", "a", "--server-key", key],
        )
    };
    for key in ["AB ".repeat(32), "ab:".repeat(32), "ab".repeat(32)] {
        let judged = asked(&key);
        assert!(judged.err.contains("is not a dossier"), "{}", judged.err);
    }
    // The twin: what is no fingerprint is said to be none, and the file is not looked at.
    let refused = asked(&"ab".repeat(31));
    assert!(!refused.err.contains("is not a dossier"), "{}", refused.err);
}

#[test]
fn a_checkpoint_twice_is_a_slip_and_a_unit_that_ended_says_what_goes_on_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (old, new) = two_wards(here);
    let place = ["--name", "Chợ Vinh", "--lat", "18.67", "--lon", "105.68"];
    let add = [&["checkpoint", "add", "--unit", &old][..], &place].concat();
    let first = run(here, "C.UTF-8", &add);
    assert!(first.done && first.err.is_empty(), "{}", first.err);
    let twice = run(here, "C.UTF-8", &add);
    assert!(!twice.done && twice.err.contains(first.out.trim()));
    assert!(twice.err.contains("--again"), "{}", twice.err);
    done(here, &link(&old, &new, "2025-07-01"));
    // Carried out, and not without a word.
    let again = run(here, "C.UTF-8", &[&add[..], &["--again"]].concat());
    assert!(again.done && again.err.contains("Phường Trường Vinh"));
    let names = ["--name", "An", "--sign-in", "an", "--role", "officer"];
    let person = [&["person", "add", "--unit", &old][..], &names].concat();
    let person = run(here, "en_GB.UTF-8", &person);
    assert!(person.done && person.err.contains("Phường Trường Vinh goes on for it"));
}

#[test]
fn an_empty_list_and_a_deed_without_an_answer_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    done(here, &["migrate"]);
    let nothing = |arguments: &[&str], said: &str| {
        let ran = run(here, "C.UTF-8", arguments);
        assert!(ran.done && ran.out.is_empty(), "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    };
    nothing(&["unit", "list"], "Chưa có đơn vị nào");
    nothing(&["person", "list"], "Chưa có cán bộ nào");
    let unit = done(
        here,
        &["unit", "add", "--name", "Phường A", "--from", "2025-07-01"],
    );
    nothing(&["phone", "list", "--unit", &unit], "Chưa có thiết bị nào");
    let add = [
        "person",
        "add",
        "--name",
        "An",
        "--sign-in",
        "an",
        "--role",
        "officer",
        "--unit",
        &unit,
    ];
    done(here, &add);
    assert!(done(here, &["person", "disable", "--sign-in", "an"]).contains("Đã khóa An"));
    let again = run(here, "C.UTF-8", &["person", "disable", "--sign-in", "an"]);
    assert!(
        !again.done && again.err.contains("từ trước"),
        "{}",
        again.err
    );
    assert!(done(here, &["person", "list"]).contains("đã khóa"));
}

/// A folder with a server, a unit, An who signs in to pages and Hà who uses a phone only; the unit's id.
fn ward(here: &Path) -> String {
    done(here, &["migrate"]);
    let unit = ["unit", "add", "--name", "Phường A", "--from", "2025-07-01"];
    let unit = done(here, &unit);
    let add = |name, sign_in, more: &[&str]| {
        let named = ["person", "add", "--name", name, "--sign-in", sign_in];
        let as_what = ["--role", "officer", "--unit", &unit];
        done(here, &[&named[..], &as_what, more].concat());
    };
    add("An", "an", &[]);
    add("Hà", "ha", &["--phone-only"]);
    unit
}

#[test]
fn who_is_disabled_gets_no_password_and_is_enabled_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    ward(here);
    let enable = ["person", "enable", "--sign-in", "an"];
    let password = ["person", "password", "--sign-in", "an"];
    let early = run(here, "C.UTF-8", &enable);
    assert!(
        !early.done && early.err.contains("“an” không bị khóa"),
        "{}",
        early.err
    );
    done(here, &["person", "disable", "--sign-in", "an"]);
    for (locale, why) in [("C.UTF-8", "đang bị khóa"), ("en_GB.UTF-8", "is disabled")] {
        let refused = run(here, locale, &password);
        assert!(!refused.done && refused.out.is_empty());
        let todo = "`kieumau person enable --sign-in an`";
        assert!(
            refused.err.contains(why) && refused.err.contains(todo),
            "{}",
            refused.err
        );
    }
    assert!(done(here, &enable).contains("Đã mở khóa An"));
    assert!(!done(here, &["person", "list"]).contains("đã khóa"));
    // The twin: enabled, they get one.
    assert_eq!(done(here, &password).len(), 19);
}

#[test]
fn the_pages_open_to_who_uses_a_phone_only_when_somebody_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    ward(here);
    let marked = || {
        let listed = done(here, &["person", "list"]);
        let marked = |line: &&str| line.contains("(chỉ dùng điện thoại)");
        let marked: Vec<&str> = listed.lines().filter(marked).collect();
        marked.concat()
    };
    let only = marked();
    assert!(only.starts_with("ha  ") && !only.contains("an  "), "{only}");
    let password = ["person", "password", "--sign-in", "ha"];
    let refused = run(here, "C.UTF-8", &password);
    assert!(
        !refused.done && refused.out.is_empty() && refused.err.contains("--open-pages"),
        "{}",
        refused.err
    );
    assert_eq!(marked(), only, "nothing was changed");
    // The twin: whoever says so opens them.
    let opened = done(here, &[&password[..], &["--open-pages"]].concat());
    assert_eq!(opened.len(), 19);
    assert_eq!(marked(), "");
    done(here, &password);
}

#[tokio::test]
async fn a_real_ward_is_not_taken_for_the_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    done(here, &["migrate"]);
    done(
        here,
        &["unit", "add", "--name", "Phường A", "--from", "2025-07-01"],
    );
    let refused = run(here, "C.UTF-8", &["demo", "--listen", "127.0.0.1:0"]);
    assert!(
        !refused.done && refused.err.contains("một phường thật"),
        "{}",
        refused.err
    );
    // The twin: a folder of its own is taken.
    drop(Server::start(&here.join("demo"), None, 0).await);
}

/// A server that runs until it is dropped, which kills it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `kieumau serve` in `folder`, and the line by which it says where it is. On a free port: the usual one may be somebody else's.
fn serving(folder: &Path, arguments: &[&str]) -> (Serving, String) {
    let mut server = Command::new(built::server())
        .arg("serve")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut line = String::new();
    let out = server.stdout.take().expect("piped");
    BufReader::new(out)
        .read_line(&mut line)
        .expect("it says where it is");
    (Serving(server), line)
}

#[test]
fn a_folder_is_served_once_and_free_as_soon_as_its_server_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (first, said) = serving(here, &[]);
    assert!(said.contains("http://"), "{said}");
    for command in ["serve", "demo"] {
        for (locale, why) in [
            ("C.UTF-8", "Đã có một máy chủ khác"),
            ("en_GB.UTF-8", "Another server"),
        ] {
            let second = run(here, locale, &[command, "--listen", "127.0.0.1:0"]);
            assert!(!second.done && second.out.is_empty(), "{}", second.out);
            let told = second.err.contains(why) && second.err.contains("./data");
            assert!(told && second.err.contains("--data"), "{}", second.err);
        }
    }
    // Administration goes on beside it, and another folder is another server.
    ward(here);
    let (_other, said) = serving(here, &["--data", "other"]);
    assert!(said.contains("http://"), "{said}");
    drop(first);
    // The twin: it was the first that kept the second away, and nothing of its lock is left.
    let (_again, said) = serving(here, &[]);
    assert!(said.contains("http://"), "{said}");
}

#[test]
fn a_code_says_whose_it_is_until_when_and_where_and_scripts_read_two_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    ward(here);
    let (_server, said) = serving(here, &[]);
    let (_, url) = said.trim().rsplit_once(' ').expect("it says where it is");
    let code = ["phone", "code", "--person", "an"];
    for (locale, until) in [
        ("C.UTF-8", "giờ Việt Nam"),
        ("en_GB.UTF-8", "Vietnam's clock"),
    ] {
        let ran = run(here, locale, &code);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert!(ran.done && lines.len() == 2, "{}", ran.out);
        assert!(lines[0].len() == 11 && lines[1].starts_with("kieumau:1?"));
        for said in ["An (an)", until, url] {
            assert!(ran.err.contains(said), "{said}: {}", ran.err);
        }
    }
    let json = run(here, "C.UTF-8", &[&code[..], &["--json"]].concat());
    assert!(json.done && json.out.lines().count() == 1 && json.err.is_empty());
    // The twin: who sits at a terminal is shown the QR too, below the same two lines.
    let line = format!("{} {}", built::server().display(), code.join(" "));
    let mut terminal = Command::new("script");
    let terminal = terminal.args(["-qec", &line, "/dev/null"]);
    let shown = terminal.current_dir(here).env_remove("DATABASE_URL");
    let shown = shown.stdin(Stdio::null()).output().expect("script starts");
    let shown = String::from_utf8(shown.stdout).expect("text");
    let mut lines = shown.lines().skip(1);
    assert!(lines.next().is_some_and(|qr| qr.contains("kieumau:1?")));
    assert!(
        lines
            .next()
            .is_some_and(|picture| picture.contains("\x1b[38;5;16;48;5;231m")),
        "{shown}"
    );
    assert!(shown.contains('▀') && shown.contains('▄'), "{shown}");
}

/// A shell that stays, as a newcomer's does, and the server that they started in another.
struct Terminal {
    shell: Child,
    said: BufReader<std::process::ChildStdout>,
    server: Option<Serving>,
}

impl Terminal {
    fn open(folder: &Path) -> Self {
        let programs = built::server();
        let programs = programs.parent().expect("a folder").to_owned();
        let path = std::env::var("PATH").expect("a PATH");
        let mut shell = Command::new("bash")
            .arg("--norc")
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("DATABASE_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let said = BufReader::new(shell.stdout.take().expect("piped"));
        Self {
            shell,
            said,
            server: None,
        }
    }

    /// Pastes one line; what it printed. A line that serves goes into a terminal of its own.
    fn paste(&mut self, folder: &Path, line: &str) -> String {
        if let Some(arguments) = line.strip_prefix("kieumau serve") {
            let arguments = arguments.split('#').next().unwrap_or_default();
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            let (server, line) = serving(folder, &arguments);
            self.server = Some(server);
            return line;
        }
        let input = self.shell.stdin.as_mut().expect("piped");
        writeln!(input, "{line}\necho \"status $?\"").expect("written");
        let mut out = String::new();
        loop {
            let mut line_said = String::new();
            let read = self.said.read_line(&mut line_said).expect("text");
            assert_ne!(read, 0, "the shell ended over: {line}");
            if let Some(status) = line_said.strip_prefix("status ") {
                assert_eq!(status.trim(), "0", "{line}: {out}");
                return out;
            }
            out.push_str(&line_said);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn the_readmes_commands_work_pasted_one_by_one_on_a_fresh_machine() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme
        .split_once("\n## Administration\n")
        .expect("the section");
    let (_, block) = section.split_once("```sh\n").expect("a block to paste");
    let (block, _) = block.split_once("\n```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::open(folder.path());
    let mut pasted = 0;
    for line in block.lines().filter(|line| !line.is_empty()) {
        let said = terminal.paste(folder.path(), line);
        if line.starts_with("kieumau phone code") {
            assert!(said.contains("kieumau:1?"), "a code and a QR text: {said}");
        }
        pasted += 1;
    }
    assert!(pasted >= 8, "{pasted} commands");
    // The twin: the same without the first of them is refused, so the order is what makes it work.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let second = block.lines().nth(1).expect("a second");
    let refused = std::panic::catch_unwind(|| {
        Terminal::open(elsewhere.path()).paste(elsewhere.path(), second)
    });
    assert!(refused.is_err(), "{second} needs a server that was begun");
}
