//! The server's commands on real data: every projected row can be rebuilt to the byte, and a dossier holds or names what is broken.

use kieumau_core::phone::ItemState;
use kieumau_tests::{
    built,
    server::Server,
    world::{World, story_database},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{path::Path, process::Command};

/// The schema, whose first lines say which tables are truth and which are computed from the documents.
const SCHEMA: &str = include_str!("../../server/migrations/0001_first.sql");

/// The tables that the schema names under this word.
fn tables(word: &str) -> Vec<&'static str> {
    let named = SCHEMA
        .lines()
        .skip_while(|line| !line.starts_with(&format!("-- {word}:")));
    let named = named.skip(1).map_while(|line| line.strip_prefix("--   "));
    named.flat_map(str::split_whitespace).collect()
}

#[test]
fn every_table_is_truth_or_computed_and_the_schema_says_which() {
    let made = SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix("create table "));
    let mut made: Vec<&str> = made
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // A snapshot is the one other thing that can be made anew.
    let mut named = [tables("TRUTH"), tables("PROJECTION"), vec!["snapshot"]].concat();
    made.sort_unstable();
    named.sort_unstable();
    assert_eq!(made, named);
}

/// Every projected row as text, in a fixed order.
fn rows(server: &Server) -> String {
    match server.database_url() {
        Some(url) => rows_of_postgres(url),
        None => rows_of_sqlite(&server.data().join("kieumau.db")),
    }
}

fn rows_of_sqlite(database: &Path) -> String {
    let program = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=20)\n\
                   for t in sys.argv[2].split():\n for r in sorted(map(repr,c.execute('select * from '+t))): print(t,r)";
    let mut python = Command::new("python3");
    printed(
        python
            .args(["-c", program])
            .arg(database)
            .arg(tables("PROJECTION").join(" ")),
    )
}

fn rows_of_postgres(url: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-q", url]);
    for table in tables("PROJECTION") {
        psql.args([
            "-c",
            &format!("select '{table} ' || row::text from {table} row order by 1"),
        ]);
    }
    printed(&mut psql)
}

fn printed(command: &mut Command) -> String {
    let out = command.output().expect("it starts");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}

#[tokio::test]
async fn reproject_rebuilds_every_row_to_the_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), story_database().await, 30).await;
    let before = rows(&server);
    for table in [
        "patrol ",
        "observation ",
        "track_segment ",
        "evidence ",
        "decision ",
        "checkpoint ",
    ] {
        assert!(before.contains(table), "the sample has rows in {table}");
    }
    // Rows are lost in every table, and where one stands it says something else.
    let lost = tables("PROJECTION")
        .into_iter()
        .filter(|table| *table != "patrol");
    let lost: Vec<String> = lost.map(|table| format!("delete from {table};")).collect();
    server.sql(&lost.join(" ")).await;
    server
        .sql("update patrol set title = 'spoiled', length_m = -1;")
        .await;
    let spoiled = rows(&server);
    assert!(spoiled.contains("spoiled") && !spoiled.contains("observation "));
    server.command(&["reproject"]).await;
    assert_eq!(rows(&server), before);
}

async fn verify(file: &Path, more: &[&str]) -> (bool, String) {
    let out = tokio::process::Command::new(built::server())
        .arg("verify")
        .arg(file)
        .args(more)
        .env_clear()
        .output()
        .await
        .expect("verify starts");
    (
        out.status.success(),
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
    )
}

fn fingerprint(doctor: &str) -> &str {
    doctor
        .lines()
        .find_map(|line| line.strip_prefix("log key: "))
        .expect("doctor names the log key")
}

/// An export leaves the file of that name alone until somebody says `--overwrite`, and leaves nothing beside it.
async fn is_not_written_over(server: &Server, patrol: &str, file: &Path) {
    let path = file.to_str().expect("text");
    let export = ["export", "patrol", patrol, "-o", path];
    let before = std::fs::read(file).expect("reads");
    let refused = server.refusal(&export).await;
    assert!(
        refused.contains(path) && refused.contains("--overwrite"),
        "{refused}"
    );
    assert_eq!(std::fs::read(file).expect("reads"), before);
    // The twin: whoever says so gets a newer one. What is asked for in vain leaves the old one, and no half of a new one.
    server
        .command(&[&export[..], &["--overwrite"]].concat())
        .await;
    let newer = std::fs::read(file).expect("reads");
    assert_ne!(newer, before);
    let nobodys = "019ab2c4-0000-7000-8000-000000000000";
    let vain = ["export", "patrol", nobodys, "-o", path, "--overwrite"];
    server.refusal(&vain).await;
    assert_eq!(std::fs::read(file).expect("reads"), newer);
    assert!(!file.with_extension("kieumau.part").exists());
    std::fs::write(file, before).expect("as it was");
}

#[tokio::test]
async fn a_dossier_holds_and_two_hundred_changed_bytes_are_all_found() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca vào hồ sơ").await;
    an.walk(patrol, 20).await;
    let observation = an.observe(patrol, "Vào hồ sơ").await;
    let picture = world.file("anh.jpg", include_bytes!("picture.jpg"));
    an.photograph(patrol, &observation.to_string(), &picture)
        .await;
    an.sync_until(patrol, ItemState::Received).await;
    let file = world.folder().join("patrol.kieumau");
    let path = file.to_str().expect("text");
    world
        .server
        .command(&["export", "patrol", &patrol.to_string(), "-o", path])
        .await;
    let doctor = world.server.command(&["doctor"]).await;
    let own = fingerprint(&doctor);
    let (holds, said) = verify(&file, &["--server-key", own]).await;
    assert!(holds, "{said}");
    assert!(verify(&file, &[]).await.1.contains("whose key: unverified"));

    let other = World::new().await;
    let doctor = other.server.command(&["doctor"]).await;
    let theirs = fingerprint(&doctor);
    // It is not the file that is wrong: it says which key it has, which one was given, and how to find out whose it is.
    let (holds, said) = verify(&file, &["--server-key", theirs]).await;
    assert!(!holds && said.contains("nguyên vẹn"), "{said}");
    for named in [own, theirs, "kieumau doctor"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert!(!said.contains("bản khác"), "{said}");

    let bytes = std::fs::read(&file).expect("reads");
    // Damaged and under another key: the damage is said.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    let changed = world.folder().join("changed.kieumau");
    std::fs::write(&changed, damaged).expect("writes");
    let (holds, said) = verify(&changed, &["--server-key", theirs]).await;
    assert!(!holds && said.contains("bản khác"), "{said}");

    is_not_written_over(&world.server, &patrol.to_string(), &file).await;

    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..200 {
        let mut bytes = bytes.clone();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= random.random_range(1..=255_u8);
        std::fs::write(&changed, &bytes).expect("writes");
        let (holds, said) = verify(&changed, &[]).await;
        assert!(!holds, "round {round}, byte {at}: {said}");
    }
}
