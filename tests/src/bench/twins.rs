//! P14: two server processes on one PostgreSQL against one. On two cores the ratio proves little; that no number of a feed is skipped
//! or given twice is what is asked, and how much of a commit only one process at a time can do: the time it holds the log's frontier,
//! read from PostgreSQL's own log of statements in a run that is for this alone.

use super::{
    ours::{self, Ready},
    size::Size,
    table::{Measure, Target, progress},
    template::{Author, Template},
};
use crate::{driver::Driver, server::Server, world};
use std::{collections::BTreeMap, path::Path, time::Instant};
use tokio::process::Command;

/// Documents that each phone brings.
const DOCUMENTS: usize = 5;

/// Measures P14 with databases on the PostgreSQL at `url`, folders below `folder`.
///
/// # Panics
/// When a server refuses what it should take.
pub async fn measure(folder: &Path, size: Size, url: &str, small: &[Template]) -> Vec<Measure> {
    let (mut rates, mut skipped) = ([Vec::new(), Vec::new()], Vec::new());
    for (servers, rates) in [1, 2].into_iter().zip(&mut rates) {
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        let database = world::fresh_database(url).await;
        let (rate, holes) = once(folder.path(), size, &database, servers, small).await;
        rates.push(rate);
        skipped.push(holes);
        progress(&format!("P14 with {servers}"));
    }
    let share = serial_share(folder, size, url, small).await;
    let what = format!(
        "two servers on one PostgreSQL, {} units × {} phones",
        size.units, size.phones_per_unit
    );
    vec![
        Measure::alone("P14", &what, "/s", &rates[1]).and("one server", &rates[0]),
        Measure::alone("P14", "  numbers of feeds skipped or doubled", "", &skipped)
            .to_reach(Target::AtMost(0.0)),
        Measure::alone(
            "P14",
            "  share of a commit that holds the log's frontier",
            "",
            &[share],
        )
        .to_reach(Target::AtMost(0.25)),
    ]
}

/// How much of the commits' time only one process at a time could do.
async fn serial_share(folder: &Path, size: Size, url: &str, small: &[Template]) -> f64 {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let database = world::fresh_database(url).await;
    let name = database
        .split('?')
        .next()
        .and_then(|url| url.rsplit('/').next())
        .expect("a name");
    psql(
        &database,
        &format!("alter database {name} set log_min_duration_statement = 0"),
    )
    .await;
    let (_, host) = url.split_once("host=").expect("a socket's folder");
    let log = Path::new(host.split('&').next().unwrap_or(host)).join("log");
    let before = std::fs::metadata(&log).map_or(0, |log| log.len());
    once(folder.path(), size, &database, 2, small).await;
    let text = std::fs::read(&log).expect("PostgreSQL's log");
    let from = usize::try_from(before).expect("it fits").min(text.len());
    share_held(&String::from_utf8_lossy(&text[from..]))
}

/// From a log of statements with their durations: how long transactions that took the frontier held it, to how long they took
/// without their wait for it. 0 when none took it.
fn share_held(log: &str) -> f64 {
    #[derive(Default)]
    struct Open {
        begun: f64,
        waited: f64,
        taken: Option<f64>,
    }
    let mut open: BTreeMap<&str, Open> = BTreeMap::new();
    let (mut held, mut whole) = (0.0, 0.0);
    for line in log.lines() {
        let Some((at, process, took, statement)) = statement(line) else {
            continue;
        };
        let one = open.entry(process).or_default();
        let word = statement.trim_start().to_ascii_lowercase();
        if word.starts_with("begin") {
            *one = Open {
                begun: at - took,
                ..Open::default()
            };
        } else if one.taken.is_none()
            && word.contains("from setting s where")
            && word.contains("for no key update")
        {
            one.waited = took;
            one.taken = Some(at);
        } else if word.starts_with("commit")
            && let Some(taken) = one.taken.take()
        {
            held += at - taken;
            whole += at - one.begun - one.waited;
        }
    }
    if whole > 0.0 { held / whole } else { 0.0 }
}

/// When a statement ended (milliseconds of its day), in which process, how long it took, and what it says.
fn statement(line: &str) -> Option<(f64, &str, f64, &str)> {
    let mut clock = line.get(11..23)?.split([':', '.']);
    let mut number = || clock.next()?.parse::<f64>().ok();
    let at = ((number()? * 60.0 + number()?) * 60.0 + number()?) * 1_000.0 + number()?;
    let (_, rest) = line.split_once('[')?;
    let (process, rest) = rest.split_once("] LOG:  duration: ")?;
    let (took, rest) = rest.split_once(" ms  ")?;
    let (kind, said) = rest.split_once(": ")?;
    let runs = kind == "statement" || kind.starts_with("execute");
    runs.then_some((at, process, took.parse().ok()?, said))
}

/// Documents per second with so many servers, and the numbers missing from all feeds.
async fn once(
    folder: &Path,
    size: Size,
    database: &str,
    servers: usize,
    small: &[Template],
) -> (f64, f64) {
    let first = Server::start(folder, Some(database.to_owned()), 0).await;
    let second = match servers {
        1 => None,
        _ => Some(first.beside().await),
    };
    let urls: Vec<String> = std::iter::once(&first)
        .chain(&second)
        .map(|s| s.ward.url.clone())
        .collect();
    let mut ready: Vec<(Driver, Vec<Ready>)> = Vec::new();
    for number in 0..size.units {
        let sign_in = format!("can-bo-{number}");
        enlist(&first, number, &sign_in).await;
        for phone in 0..size.phones_per_unit {
            let code = first.code(&sign_in).await.code;
            let url = urls[phone % urls.len()].clone();
            let driver = Driver::enrol_by(url, &code).await;
            let documents = small.iter().cycle().take(DOCUMENTS).map(|template| {
                let author = Author {
                    unit: driver.enrolled.unit,
                    person: driver.enrolled.person,
                    colleague: driver.enrolled.person,
                    phone: driver.enrolled.phone,
                };
                template.renamed(author, rand::random())
            });
            let documents: Vec<_> = documents.collect();
            let pushes = documents
                .iter()
                .flat_map(|one| ours::pushes(&driver, std::slice::from_ref(one)));
            let pushes: Vec<Ready> = pushes.collect();
            ready.push((driver, pushes));
        }
    }
    let begun = Instant::now();
    let sending = ready
        .iter()
        .map(async |(phone, ready)| ours::send(phone, ready).await);
    futures_util::future::join_all(sending).await;
    let rate = (ready.len() * DOCUMENTS) as f64 / begun.elapsed().as_secs_f64();
    (rate, holes(database).await)
}

/// A unit with one officer.
async fn enlist(server: &Server, number: usize, sign_in: &str) {
    let name = format!("Phường số {number}");
    let unit = server
        .command(&["unit", "add", "--name", &name, "--from", "2025-07-01"])
        .await;
    let name = format!("Cán bộ số {number}");
    let person = [
        "person",
        "add",
        "--name",
        &name,
        "--sign-in",
        sign_in,
        "--role",
        "officer",
        "--unit",
        unit.trim(),
    ];
    server.command(&person).await;
}

/// How many numbers are missing below the last one of each feed, or were given twice.
async fn holes(database: &str) -> f64 {
    let query = "select coalesce(sum(abs(last - many)), 0) from \
                 (select max(number) as last, count(distinct number) as many from \
                 (select unit_id, number from entry union all select unit_id, \
                 generate_series(coalesce(entered, number) - change_count + 1, coalesce(entered, number)) from change where number is not null) \
                 as entered group by unit_id) as feed";
    psql(database, query)
        .await
        .trim()
        .parse()
        .expect("a number")
}

async fn psql(database: &str, query: &str) -> String {
    let out = Command::new("psql")
        .args(["-qAt", "-d", database, "-c", query])
        .output()
        .await
        .expect("psql starts");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_the_frontier_is_counted_and_what_waits_for_it_is_not() {
        let line = |at: &str, process: u32, rest: &str| {
            format!("2026-11-27 17:00:00.{at} UTC [{process}] LOG:  duration: {rest}\n")
        };
        let take = "execute sqlx_s_3: select s.value from setting s where s.name = $1 for no key update of s";
        let log = [
            line("010", 7, "0.000 ms  statement: BEGIN"),
            line("011", 8, "0.000 ms  statement: begin"),
            line(
                "015",
                7,
                "1.000 ms  bind sqlx_s_3: select s.value from setting s where s.name = $1 for no key update of s",
            ),
            line("020", 7, &format!("5.000 ms  {take}")),
            line("024", 7, "2.000 ms  statement: COMMIT"),
            // Another process that never took it.
            line("090", 8, "2.000 ms  statement: COMMIT"),
        ];
        // 14 ms from its beginning to its end, 5 of them waiting, 4 holding.
        assert!((share_held(&log.concat()) - 4.0 / 9.0).abs() < 1e-9);
        assert_eq!(share_held(&log[..3].concat()), 0.0);
    }
}
