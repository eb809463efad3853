//! Where the data lies may be said before the command too, as the language may: `kieumau --data X person list`. It is put behind the
//! command, where the command itself says whether it has data: one without any refuses it, and no help tells of what is not used.

use super::{Command, Data};
use clap::{Args as _, CommandFactory as _};
use std::ffi::OsString;

/// The same arguments with those of [`Data`] right behind the words of the command, if they stand before or between them.
pub fn put_behind(arguments: Vec<OsString>) -> Vec<OsString> {
    let root = Command::command();
    let data = Data::augment_args(clap::Command::new("data"));
    let takes = |command: &clap::Command, name: &str| {
        let mut arguments = command.get_arguments();
        arguments.any(|argument| argument.get_long() == Some(name))
    };
    let mut rest = arguments.into_iter().peekable();
    let mut front: Vec<OsString> = rest.next().into_iter().collect();
    let mut moved = Vec::new();
    let mut command = &root;
    while let Some(word) = rest.peek().and_then(|word| word.to_str()) {
        let option = word.strip_prefix("--").map(|option| {
            let (name, value) = option.split_once('=').unzip();
            (name.unwrap_or(option), value.is_some())
        });
        let to = match option {
            Some((name, _)) if takes(&data, name) => &mut moved,
            Some((name, _)) if takes(&root, name) => &mut front,
            Some(_) => break,
            None => {
                let Some(found) = command.find_subcommand(word) else {
                    break;
                };
                command = found;
                front.extend(rest.next());
                continue;
            }
        };
        // Every one of them takes a value, behind `=` or as the next word.
        let words = if option.is_some_and(|(_, whole)| whole) {
            1
        } else {
            2
        };
        to.extend(rest.by_ref().take(words));
    }
    front.extend(moved);
    front.extend(rest);
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(line: &str) -> String {
        let words = put_behind(line.split_whitespace().map(OsString::from).collect());
        let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
        words.join(" ")
    }

    #[test]
    fn where_the_data_lies_goes_right_behind_the_command() {
        for (typed, read) in [
            (
                "kieumau --data X person list",
                "kieumau person list --data X",
            ),
            (
                "kieumau person --data=X list",
                "kieumau person list --data=X",
            ),
            (
                "kieumau --language en --database-url U person list --unit A",
                "kieumau --language en person list --database-url U --unit A",
            ),
            (
                "kieumau --data X rescue take -- --data",
                "kieumau rescue take --data X -- --data",
            ),
            ("kieumau --data X verify f", "kieumau verify --data X f"),
        ] {
            assert_eq!(put(typed), read);
        }
    }

    #[test]
    fn what_stands_elsewhere_stays_there() {
        for typed in [
            "kieumau person list --data X",
            "kieumau --version",
            "kieumau --nonsense X person list --data Y",
            "kieumau nonsense --data X",
            "kieumau",
        ] {
            assert_eq!(put(typed), typed);
        }
    }

    #[test]
    fn whatever_may_stand_before_the_command_takes_a_value() {
        // It is taken with the word behind it: a flag among them would swallow the command.
        let data = Data::augment_args(clap::Command::new("data"));
        let root = Command::command();
        for argument in data.get_arguments().chain(root.get_arguments()) {
            assert!(argument.get_action().takes_values(), "{argument}");
        }
    }
}
