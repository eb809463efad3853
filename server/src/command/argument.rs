//! What was typed wrong. clap says which argument and why in English; of a value that is not what it must be, this says in the
//! reader's language what was typed, that nothing was done, and how it is written.

use super::failure::{Both, Failure, see_help};
use crate::pages::language::Language;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What the terminal shows for an error of clap's.
pub fn told(error: &clap::Error, language: Language) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg);
    match (error.kind(), argument, text(ContextKind::InvalidValue)) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(argument), Some(value)) => {
            malformed(argument, value).told(language)
        }
        _ => {
            // clap's own words tell how the command is written; that nothing was done stands before them.
            let failure = Failure::new(
                (
                    "Lệnh viết chưa đúng.",
                    "The command is not written as it must be.",
                ),
                see_help(),
            );
            format!("{}\n\n{error}", failure.told(language))
        }
    }
}

fn malformed(argument: &str, value: &str) -> Failure {
    // `--period <PERIOD>`, `<ID>`.
    let name = argument.split_whitespace().next().unwrap_or(argument);
    let name = name.trim_matches(['<', '>']);
    Failure::new(
        (
            format!("{name} nhận một giá trị không đúng dạng: “{value}”."),
            format!("{name} was given what it does not take: “{value}”."),
        ),
        written_so(argument),
    )
}

/// How the value of this argument (`--period <PERIOD>`, `<ID>`) is written. Where several say what their value is in one word, that
/// word decides: `--from` is a unit here and a day there.
fn written_so(argument: &str) -> Both {
    let name = match argument.split_once(' ') {
        Some((_, "<UNIT>")) => "--unit",
        Some((name, _)) => name,
        None => argument.trim_matches(['<', '>', '[', ']']),
    };
    match name {
        "--period" => (
            "Viết ngày đầu và ngày cuối của kỳ: 2025-11-16..2026-11-15.",
            "Write the first and the last day of the period: 2025-11-16..2026-11-15.",
        ),
        "--from" | "--on" => (
            "Viết ngày theo dạng năm-tháng-ngày: 2025-07-01.",
            "Write the day as year-month-day: 2025-07-01.",
        ),
        "--unit" => (
            "Chép mã đơn vị từ `kieumau unit list`.",
            "Copy the unit's id from `kieumau unit list`.",
        ),
        "--phone" => (
            "Chép mã thiết bị từ `kieumau phone list --unit …`.",
            "Copy the phone's id from `kieumau phone list --unit …`.",
        ),
        "--checkpoint" => (
            "Chép mã điểm chốt từ `kieumau checkpoint list --unit …`.",
            "Copy the checkpoint's id from `kieumau checkpoint list --unit …`.",
        ),
        "--lat" | "--lon" => (
            "Viết độ thập phân: --lat 18.6734 --lon 105.6813.",
            "Write decimal degrees: --lat 18.6734 --lon 105.6813.",
        ),
        "ID" => (
            "Chép mã ở cuối địa chỉ của trang; mã đơn vị xem bằng `kieumau unit list`.",
            "Copy the id from the end of the page's address; a unit's is in `kieumau unit list`.",
        ),
        "--pin" => (
            "Chép dấu khóa (64 chữ số thập lục phân) từ `kieumau tls pin TỆP`.",
            "Copy the pin (64 hexadecimal digits) from `kieumau tls pin FILE`.",
        ),
        "--role" => (
            "Chọn một trong: officer, chief, appraiser, admin, auditor.",
            "Choose one of officer, chief, appraiser, admin, auditor.",
        ),
        "--level" => (
            "Chọn ward (phường, xã) hoặc province (tỉnh).",
            "Choose ward or province.",
        ),
        "--listen" => (
            "Viết địa chỉ và cổng: 127.0.0.1:8080.",
            "Write an address and a port: 127.0.0.1:8080.",
        ),
        "--server-key" => (
            "Chép 64 chữ số hex sau “log key:” mà `kieumau doctor` in trên máy chủ đó.",
            "Copy the 64 hex digits after “log key:” that `kieumau doctor` prints on that server.",
        ),
        "--through" => (
            "Viết số lá mà `kieumau backed-up` in ra: 1234.",
            "Write the number of leaves that `kieumau backed-up` prints: 1234.",
        ),
        "--reason" => (
            "Viết restored-backup: bản sao lưu đã được khôi phục.",
            "Write restored-backup: a backup was put back.",
        ),
        "--as" => (
            "Chọn một trong: merge (sáp nhập), split (chia tách), rename (đổi tên).",
            "Choose one of merge, split, rename.",
        ),
        "--language" => ("Chọn vi hoặc en.", "Choose vi or en."),
        _ => return see_help(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use clap::{CommandFactory as _, Parser as _};

    fn said(arguments: &[&str], language: Language) -> String {
        let error = Command::try_parse_from(arguments).err().expect("refused");
        told(&error, language)
    }

    #[test]
    fn a_value_that_is_none_is_named_with_how_it_is_written() {
        let period = ["kieumau", "export", "unit", "--period", "2025", "-o", "x"];
        let id = "019ab2c4-0000-7000-8000-000000000000";
        let typed = [&period[..], &[id]].concat();
        let vietnamese = said(&typed, Language::Vietnamese);
        assert!(vietnamese.contains("“2025”") && vietnamese.contains("2025-11-16..2026-11-15"));
        assert!(vietnamese.contains("Chưa có gì được ghi"), "{vietnamese}");
        let english = said(&typed, Language::English);
        assert!(english.contains("Nothing was written") && !english.contains("malformed"));
    }

    #[test]
    fn an_argument_of_one_name_is_explained_by_what_it_takes() {
        let add = ["kieumau", "unit", "add", "--name", "A", "--from", "x"];
        assert!(said(&add, Language::English).contains("2025-07-01"));
        let link = ["kieumau", "unit", "link", "--from", "x"];
        let said = said(&link, Language::English);
        assert!(said.contains("--from was given") && said.contains("kieumau unit list"));
    }

    #[test]
    fn every_argument_that_is_more_than_text_says_how_it_is_written() {
        // Every argument of every command is given a word that none of them takes.
        let mut all = Command::command();
        all.build();
        let mut commands = vec![all];
        let mut asked = Vec::new();
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            for argument in command.get_arguments() {
                let parser = argument.get_value_parser();
                let typed = parser.type_id();
                let text = [
                    clap::builder::ValueParser::string().type_id(),
                    clap::builder::ValueParser::path_buf().type_id(),
                    clap::builder::ValueParser::bool().type_id(),
                ];
                if text.contains(&typed) {
                    continue;
                }
                asked.push(argument.to_string());
            }
        }
        asked.retain(|name| written_so(name) == see_help());
        // A number says it by itself.
        asked.retain(|name| !name.starts_with("--nights "));
        assert_eq!(asked, Vec::<String>::new());
    }

    #[test]
    fn what_clap_explains_is_kept_and_nothing_done_stands_before_it() {
        let text = said(&["kieumau", "person", "disable"], Language::English);
        assert!(text.starts_with("kieumau: The command"), "{text}");
        assert!(text.contains("--sign-in"), "{text}");
    }
}
