//! What happened in a [`super::world::World`]: what An and Hà wrote, what the server wrote, and in which order the log took it.

use super::{hand::PHONES, world::Event};
use crate::{
    attachment::Attachment,
    document::{self, Actor, Key, Record},
    evidence::EvidenceFile,
    hash::Sha256,
    id::{AttachmentId, DecisionId, PersonId, PhoneId},
    log::leaf::KeyPurpose,
    patrol::PatrolLog,
    review::{Decision, Review},
};
use automerge::Automerge;

fn write<R: Record>(
    document: &mut Automerge,
    phone: PhoneId,
    change: impl FnOnce(&mut R),
) -> Vec<u8> {
    let opening = *b"opening1";
    let edited = document::edit(
        document,
        Actor { phone, opening },
        1_000,
        |record: &mut R| {
            change(record);
            Ok(())
        },
    );
    let (_, change) = edited.expect("an edit");
    change.expect("something differs").bytes
}

fn hung(sha256: Sha256) -> Attachment {
    Attachment {
        item: None,
        sha256,
        size_bytes: 1,
        media_type: "image/jpeg".into(),
        attached_at_ms: 1,
        attached_by: PersonId::from_bytes([1; 16]),
        withdrawn_at_ms: None,
    }
}

fn merge(document: &mut Automerge, change: &[u8]) {
    document.load_incremental(change).expect("it applies");
}

pub(super) fn patrol(key: &Key, photo: Sha256) -> Vec<Vec<u8>> {
    let [an, ha] = PHONES;
    let mut of_an = document::new(key);
    let started = write(&mut of_an, an, |log: &mut PatrolLog| {
        log.title = Some("Tuần tra đêm, quốc lộ 46".into());
    });
    let mut of_ha = of_an.clone();
    let hung_up = write(&mut of_an, an, |log: &mut PatrolLog| {
        log.attachments
            .insert(AttachmentId::from_bytes([9; 16]), hung(photo));
    });
    let beside = write(&mut of_ha, ha, |log: &mut PatrolLog| {
        log.leader = Some(PersonId::from_bytes([2; 16]));
    });
    merge(&mut of_an, &beside);
    let ended = write(&mut of_an, an, |log: &mut PatrolLog| {
        log.ended_at_ms = Some(9_000);
    });
    vec![started, hung_up, beside, ended]
}

pub(super) fn evidence(key: &Key, missing: Sha256) -> Vec<Vec<u8>> {
    let [an, ha] = PHONES;
    let mut document = document::new(key);
    let mut hang = |phone, place, sha256| {
        write(&mut document, phone, |file: &mut EvidenceFile| {
            file.attachments
                .insert(AttachmentId::from_bytes([place; 16]), hung(sha256));
        })
    };
    vec![
        hang(ha, 1, missing),
        hang(ha, 2, missing),
        hang(an, 3, missing),
    ]
}

pub(super) fn review(key: &Key, server: PhoneId) -> Vec<Vec<u8>> {
    let mut document = document::new(key);
    vec![write(&mut document, server, |review: &mut Review| {
        let decision = Decision {
            verdict: "returned".into(),
            heads: String::new(),
            field: None,
            remark: Some("Thiếu ảnh".into()),
            by: PersonId::from_bytes([4; 16]),
            at_ms: 5,
            withdraws: None,
        };
        review
            .decisions
            .insert(DecisionId::from_bytes([5; 16]), decision);
    })]
}

pub(super) fn history() -> Vec<Vec<Event>> {
    let batch = |document, changes: &[usize], at_ms| Event::Batch {
        document,
        changes: changes.to_vec(),
        at_ms,
        admitted: false,
    };
    let person = |number| PersonId::from_bytes([number; 16]);
    let other = |number| Event::Other(PhoneId::from_bytes([number; 16]));
    vec![
        vec![
            Event::Key(KeyPurpose::Log),
            Event::Key(KeyPurpose::Receipt),
            Event::Key(KeyPurpose::Seal),
            Event::Enrolled {
                phone: 0,
                person: person(1),
            },
            other(7),
            batch(0, &[0], 100),
            Event::Enrolled {
                phone: 1,
                person: person(2),
            },
            batch(0, &[1], 200),
            batch(1, &[0], 250),
        ],
        vec![
            other(8),
            batch(0, &[2, 3], 300),
            Event::File { at_ms: 350 },
            batch(1, &[1, 2], 400),
            other(9),
            Event::Revoked {
                phone: 1,
                shown: true,
            },
            batch(2, &[0], 500),
        ],
    ]
}
