//! P14: two server processes on one PostgreSQL against one. On two cores the ratio proves little; that no number of a feed is skipped
//! or given twice is what is asked.

use super::{
    ours::{self, Ready},
    size::Size,
    table::{Measure, Target, progress},
    template::{Author, Template},
};
use crate::{driver::Driver, server::Server, world};
use std::{path::Path, time::Instant};
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
    let what = format!(
        "two servers on one PostgreSQL, {} units × {} phones",
        size.units, size.phones_per_unit
    );
    vec![
        Measure::alone("P14", &what, "/s", &rates[1]).and("one server", &rates[0]),
        Measure::alone("P14", "  numbers of feeds skipped or doubled", "", &skipped)
            .to_reach(Target::AtMost(0.0)),
    ]
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
                 (select max(number) as last, count(distinct number) as many from entry group by unit_id) as feed";
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
    String::from_utf8_lossy(&out.stdout)
        .trim()
        .parse()
        .expect("a number")
}
