//! An uncompressed Automerge change in its parts, so that one of them can be wrong while all around it is right.
//!
//! Layout: <https://automerge.org/automerge-binary-format-spec/>.

use kieumau_core::hash::Sha256;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// Columns by their number: which id, which type.
pub mod column {
    /// Keys in maps: run-length-encoded strings.
    pub const KEY: u64 = 0x15;
    /// Whether an operation inserts: lengths of runs, false first.
    pub const INSERT: u64 = 0x34;
    /// What operations do: run-length-encoded numbers.
    pub const ACTION: u64 = 0x42;
    /// Types and lengths of values: run-length-encoded numbers.
    pub const VALUE_META: u64 = 0x56;
    /// Bytes of values.
    pub const VALUE: u64 = 0x57;
    /// How many operations each one replaces.
    pub const PRED_COUNT: u64 = 0x70;
    /// A column that no version knows.
    pub const UNKNOWN: u64 = 0xc82;
    /// This bit says that a column is compressed.
    pub const DEFLATED: u64 = 0x08;
}

/// A change in its parts.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Hashes that it depends on.
    pub deps: Vec<Sha256>,
    /// Who wrote it.
    pub actor: Vec<u8>,
    /// Its number.
    pub seq: u64,
    /// Counter of its first operation.
    pub start_op: u64,
    /// When, as it lies in the bytes.
    pub time: Vec<u8>,
    /// Its message.
    pub message: Vec<u8>,
    /// Other actors that it mentions.
    pub others: Vec<Vec<u8>>,
    /// Its columns: number, and bytes.
    pub columns: Vec<(u64, Vec<u8>)>,
    /// What comes after them.
    pub extra: Vec<u8>,
}

impl Chunk {
    /// The parts of a good change.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut reader = Reader(&bytes[9..]);
        reader.number();
        let deps = reader.number();
        let deps = (0..deps).map(|_| Sha256::from_slice(reader.take(32)).expect("a hash"));
        let deps = deps.collect();
        let actor = reader.string();
        let (seq, start_op) = (reader.number(), reader.number());
        let before = reader.0;
        reader.number();
        let time = before[..before.len() - reader.0.len()].to_vec();
        let message = reader.string();
        let others = reader.number();
        let others = (0..others).map(|_| reader.string()).collect();
        let columns = reader.number();
        let lengths: Vec<(u64, u64)> = (0..columns)
            .map(|_| (reader.number(), reader.number()))
            .collect();
        let columns = lengths
            .into_iter()
            .map(|(column, length)| (column, reader.take(size(length)).to_vec()))
            .collect();
        Self {
            deps,
            actor,
            seq,
            start_op,
            time,
            message,
            others,
            columns,
            extra: reader.0.to_vec(),
        }
    }

    /// The bytes, with their length and checksum right.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = leb128(self.deps.len() as u64);
        for dep in &self.deps {
            body.extend(dep.as_bytes());
        }
        string(&mut body, &self.actor);
        body.extend(leb128(self.seq));
        body.extend(leb128(self.start_op));
        body.extend(&self.time);
        string(&mut body, &self.message);
        body.extend(leb128(self.others.len() as u64));
        for other in &self.others {
            string(&mut body, other);
        }
        body.extend(leb128(self.columns.len() as u64));
        for (column, bytes) in &self.columns {
            body.extend(leb128(*column));
            body.extend(leb128(bytes.len() as u64));
        }
        for (_, bytes) in &self.columns {
            body.extend(bytes);
        }
        body.extend(&self.extra);
        framed(1, &body)
    }

    /// The bytes of a column; empty if it has none such.
    #[must_use]
    pub fn column(&self, column: u64) -> &[u8] {
        let found = self.columns.iter().find(|(number, _)| *number == column);
        found.map_or(&[], |(_, bytes)| bytes)
    }

    /// Sets a column.
    pub fn set(&mut self, column: u64, bytes: Vec<u8>) {
        self.columns.retain(|(number, _)| *number != column);
        self.columns.push((column, bytes));
        self.columns
            .sort_by_key(|(number, _)| number & !column::DEFLATED);
    }
}

/// A chunk of this type with its length and checksum right.
#[must_use]
pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[0; 4], &[kind]].concat();
    bytes.extend(leb128(body.len() as u64));
    bytes.extend(body);
    repair(&mut bytes);
    bytes
}

/// Puts the checksum right.
pub fn repair(bytes: &mut [u8]) {
    if bytes.len() > 8 {
        let hash = Sha256::of(&bytes[8..]);
        bytes[4..8].copy_from_slice(&hash.as_bytes()[..4]);
    }
}

/// Unsigned LEB128.
#[must_use]
pub fn leb128(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Signed LEB128 of a positive number, which is the length of a run.
#[must_use]
pub fn run(length: u64) -> Vec<u8> {
    let mut bytes = leb128(length);
    if let Some(last) = bytes.last_mut().filter(|last| **last & 0x40 != 0) {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(leb128(bytes.len() as u64));
    out.extend(bytes);
}

fn size(length: u64) -> usize {
    usize::try_from(length).expect("it fits")
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn string(&mut self) -> Vec<u8> {
        let length = self.number();
        self.take(size(length)).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kieumau_core::{
        document::{self, Actor, Key},
        id::{PersonId, PhoneId, UnitId},
        patrol::{NewPatrol, PatrolLog},
        stamp::Stamp,
    };

    #[test]
    fn a_change_put_together_again_is_the_same_bytes() {
        let key = Key::patrol(UnitId::from_bytes([1; 16]), uuid::Uuid::from_u128(2));
        let mut patrol = document::new(&key);
        let actor = Actor {
            phone: PhoneId::from_bytes([3; 16]),
            opening: [4; 8],
        };
        let stamp = Stamp {
            by: PersonId::from_bytes([5; 16]),
            at_ms: 1_795_000_000_000,
            random: [6; 10],
        };
        let (_, change) = document::edit(&mut patrol, actor, stamp.at_ms, |log: &mut PatrolLog| {
            log.start(
                stamp,
                NewPatrol {
                    title: "Ca đêm".to_owned(),
                    team: vec![PersonId::from_bytes([7; 16])],
                    ..NewPatrol::default()
                },
            )
        })
        .expect("no rule is broken");
        let bytes = change.expect("a change").bytes;
        assert_eq!(Chunk::of(&bytes).bytes(), bytes);
        for number in [0, 1, 63, 64, 127, 128, 1 << 20, u64::MAX >> 2] {
            assert_eq!(Reader(&leb128(number)).number(), number);
        }
    }
}
