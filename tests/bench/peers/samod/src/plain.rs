//! The physical limit of an upload: one signature check per document and a plain insert of the same bytes, in the same transactions,
//! with the same durability. `plain-insert FILE FOLDER` prints the seconds it took; FILE is a CBOR sequence of pushes, each a list of
//! `[document, public key, signed bytes, signature, [changes]]`.

use ed25519_dalek::{Signature, VerifyingKey};
use minicbor::{Decoder, decode::Error};
use rusqlite::{Connection, params};
use std::{path::PathBuf, time::Instant};

struct Document {
    id: Vec<u8>,
    key: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    changes: Vec<Vec<u8>>,
}

fn read(d: &mut Decoder<'_>) -> Result<Vec<Document>, Error> {
    let documents = d.array()?.unwrap_or_default();
    let one = |_| {
        d.array()?;
        let mut bytes = || d.bytes().map(<[u8]>::to_vec);
        let (id, key, signed, signature) = (bytes()?, bytes()?, bytes()?, bytes()?);
        let changes = d.array()?.unwrap_or_default();
        let changes = (0..changes).map(|_| d.bytes().map(<[u8]>::to_vec));
        Ok(Document {
            id,
            key,
            signed,
            signature,
            changes: changes.collect::<Result<_, Error>>()?,
        })
    };
    (0..documents).map(one).collect()
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next().expect("a file of pushes");
    let folder = arguments.next().expect("a folder");
    let bytes = std::fs::read(file).expect("it can be read");
    let mut d = Decoder::new(&bytes);
    let mut pushes = Vec::new();
    while d.position() < bytes.len() {
        pushes.push(read(&mut d).expect("pushes"));
    }
    let database = Connection::open(folder.join("plain.db")).expect("opens");
    database
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; \
             create table change (change_id integer primary key, document blob not null, bytes blob not null);",
        )
        .expect("a table");
    let begun = Instant::now();
    for push in &pushes {
        insert(&database, push).expect("the disk is well");
    }
    println!("{}", begun.elapsed().as_secs_f64());
}

fn insert(database: &Connection, push: &[Document]) -> rusqlite::Result<()> {
    database.execute_batch("begin immediate")?;
    let mut insert =
        database.prepare_cached("insert into change (document, bytes) values (?1, ?2)")?;
    for document in push {
        let key = document.key.as_slice().try_into().expect("32 bytes");
        let key = VerifyingKey::from_bytes(key).expect("a key");
        let signature = Signature::from_slice(&document.signature).expect("64 bytes");
        key.verify_strict(&document.signed, &signature)
            .expect("it holds");
        for change in &document.changes {
            insert.execute(params![document.id, change])?;
        }
    }
    database.execute_batch("commit")
}
