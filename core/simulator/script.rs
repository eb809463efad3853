//! Scripts: what people and fate do in one world, drawn from its seed before it begins, so that a failing one can be shrunk by
//! leaving things out.

use crate::draw::Draw;

/// One world's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The seed that it and everything in it is drawn from.
    pub seed: u64,
    /// How many phones there are.
    pub phones: usize,
    /// How bad the line is until it heals.
    pub weather: Weather,
    /// When the line heals, the disks are good and nobody is killed any more, milliseconds.
    pub heals_at: u64,
    /// What happens, in the order of time.
    pub events: Vec<Event>,
}

/// Faults of the line, per thousand messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Lost on the way there, or on the way back.
    pub lost: u64,
    /// Arrives twice, the second time later.
    pub twice: u64,
    /// Late by seconds.
    pub late: u64,
    /// An answer that ends at any byte.
    pub cut: u64,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Names its draws.
    pub id: u64,
    /// When, milliseconds.
    pub at: u64,
    /// To which phone; of no meaning for what happens to the server.
    pub phone: usize,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody records something.
    Record,
    /// Somebody attaches a photo.
    Attach,
    /// Somebody comes onto a team.
    Join,
    /// A sync begins.
    Sync,
    /// The phone's process dies.
    Kill,
    /// The phone's process dies inside its next transaction, before or after the disk has it.
    KillInside,
    /// The phone's disk refuses its next transaction.
    FullDisk,
    /// A copy of the phone's database is put aside.
    Copy,
    /// The copy is put back.
    Restore,
    /// Another phone hands in a part of what this one recorded.
    Relay,
    /// A chief revokes the phone.
    Revoke,
    /// Somebody records what no checker lets pass.
    Poison,
    /// The server's process dies.
    KillServer,
    /// The server's process dies inside its next transaction, before or after the disk has it.
    KillServerInside,
    /// The server's disk refuses its next transaction.
    FullServer,
}

/// How often each thing happens, in parts of their sum.
const OFTEN: [(What, u64); 15] = [
    (What::Record, 40),
    (What::Sync, 30),
    (What::Attach, 5),
    (What::Join, 5),
    (What::Kill, 4),
    (What::KillInside, 4),
    (What::FullDisk, 3),
    (What::Copy, 2),
    (What::Restore, 2),
    (What::Relay, 4),
    (What::Revoke, 1),
    (What::Poison, 1),
    (What::KillServer, 3),
    (What::KillServerInside, 3),
    (What::FullServer, 2),
];

impl Script {
    /// The story of this seed.
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw::at(seed, "script", [0, 0]);
        let phones = usize::try_from(draw.within(2, 4)).unwrap_or(2);
        let count = draw.within(8, 24);
        let heals_at = 1_000 * draw.within(30, 240);
        let bad = |draw: &mut Draw, most| {
            if draw.chance(700) {
                draw.below(most)
            } else {
                0
            }
        };
        let weather = Weather {
            lost: bad(&mut draw, 200),
            twice: bad(&mut draw, 200),
            late: bad(&mut draw, 150),
            cut: bad(&mut draw, 150),
        };
        let mut events: Vec<Event> = (0..count)
            .map(|id| Event {
                id,
                at: draw.below(heals_at),
                phone: usize::try_from(draw.below(phones as u64)).unwrap_or(0),
                what: what(&mut draw),
            })
            .collect();
        events.sort_by_key(|event| (event.at, event.id));
        Self {
            seed,
            phones,
            weather,
            heals_at,
            events,
        }
    }
}

fn what(draw: &mut Draw) -> What {
    let mut at = draw.below(OFTEN.iter().map(|(_, often)| often).sum());
    for (what, often) in OFTEN {
        if at < often {
            return what;
        }
        at -= often;
    }
    What::Record
}
