//! A body as a message, whose items are counted before anything is put into memory: eight mebibytes of empty items would be two
//! hundred once decoded, and the limits of a message are known only then.

use crate::problem::{Answer, Problem};
use kieumau_core::invalid::{Invalid, Rule};
use minicbor::{Decode, Decoder, data::Type, decode::Error};

/// Items in one body at most, of arrays and maps those within them too. A push that keeps every limit of its own has fewer.
const ITEMS: usize = 300_000;

/// The message in `body`; `what` names it to who sent it.
///
/// # Errors
/// `invalid` at `what`: `TooLarge` for too many items, `Unreadable` for what is no such message.
pub fn read<'b, T: Decode<'b, ()>>(body: &'b [u8], what: &'static str) -> Answer<T> {
    let refused = |rule| Problem::invalid(Invalid::new(what, rule));
    match is_within(body, ITEMS) {
        Ok(true) => minicbor::decode(body).map_err(|_| refused(Rule::Unreadable)),
        Ok(false) => Err(refused(Rule::TooLarge)),
        Err(_) => Err(refused(Rule::Unreadable)),
    }
}

/// Whether `body` has no more than so many items.
fn is_within(body: &[u8], most: usize) -> Result<bool, Error> {
    let mut items = Decoder::new(body);
    for _ in 0..=most {
        if items.position() == body.len() {
            return Ok(true);
        }
        // Of what holds others only the head: they come next.
        match items.datatype()? {
            Type::Array | Type::ArrayIndef => _ = items.array()?,
            Type::Map | Type::MapIndef => _ = items.map()?,
            Type::Tag => _ = items.tag()?,
            Type::Break => items.set_position(items.position() + 1),
            _ => items.skip()?,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kieumau_core::wire::{Push, PushedDocument, WireKey};

    fn of_empty_changes(changes: usize) -> Vec<u8> {
        let document = PushedDocument {
            key: WireKey {
                kind: "patrol-log".into(),
                unit: kieumau_core::id::UnitId::from_bytes([1; 16]),
                name: "a".into(),
            },
            changes: vec![Vec::new(); changes],
            seals: Vec::new(),
        };
        let push = Push {
            documents: vec![document],
            ..Push::default()
        };
        minicbor::to_vec(&push).expect("encodes")
    }

    #[test]
    fn a_body_of_empty_items_is_refused_before_it_is_decoded() {
        let body = of_empty_changes(ITEMS);
        let refused = read::<Push>(&body, "push").expect_err("too many");
        assert_eq!(refused.word(), "invalid");
        // The twin decodes it: twenty-four bytes in memory for each that came.
        let push: Push = minicbor::decode(&body).expect("a push");
        assert_eq!(push.documents[0].changes.len(), ITEMS);
        assert!(read::<Push>(&of_empty_changes(ITEMS - 100), "push").is_ok());
    }

    #[test]
    fn every_kind_of_item_is_counted_and_a_cut_one_is_unreadable() {
        // [1, {2: "a"}, tag 0 of 3, (_ h'00'), [_ 4]]
        let body = [
            0x85, 0x01, 0xa1, 0x02, 0x61, b'a', 0xc0, 0x03, 0x5f, 0x41, 0x00, 0xff, 0x9f, 0x04,
            0xff,
        ];
        assert!(matches!(is_within(&body, 11), Ok(true)));
        assert!(matches!(is_within(&body, 10), Ok(false)));
        assert!(is_within(&body[..5], 11).is_err());
    }
}
