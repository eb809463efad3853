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
    /// The phone syncs, and its process dies inside one of its next transactions, before or after the disk has it.
    KillInside,
    /// The phone syncs, and its disk refuses one of its next transactions.
    FullDisk,
    /// A copy of the phone's database is put aside, to be put back later.
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
    /// The server is backed up, and the backup put back later.
    BackUp,
    /// The backup is put back, and the log begins a new epoch.
    PutBack,
    /// The phone's next push is refused for something that is not its own.
    Refuse,
    /// The next document that is saved whole names other heads than it has.
    Spoil,
}

/// How often each thing happens, in parts of their sum, before a world leaves some of it out and has much of other things: what
/// is rare everywhere would seldom meet what it could break.
const OFTEN: [(What, u64); 17] = [
    (What::Record, 40),
    (What::Sync, 30),
    (What::Attach, 5),
    (What::Join, 8),
    (What::Kill, 4),
    (What::KillInside, 7),
    (What::FullDisk, 5),
    (What::Copy, 5),
    (What::Relay, 4),
    (What::Revoke, 6),
    (What::Poison, 1),
    (What::KillServer, 4),
    (What::KillServerInside, 3),
    (What::FullServer, 2),
    (What::BackUp, 4),
    (What::Refuse, 3),
    (What::Spoil, 2),
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
        let often = often(&mut draw);
        let mut events: Vec<Event> = (0..count)
            .map(|id| Event {
                id,
                at: draw.below(heals_at),
                phone: usize::try_from(draw.below(phones as u64)).unwrap_or(0),
                what: what(&often, &mut draw),
            })
            .collect();
        // What was put aside comes back, and something happened meanwhile.
        for number in 0..events.len() {
            let Event {
                at, phone, what, ..
            } = events[number];
            let follow: &[What] = match what {
                What::Copy => &[What::Record, What::Sync, What::Restore],
                What::BackUp => &[What::Sync, What::PutBack],
                _ => continue,
            };
            let mut at = at;
            for what in follow {
                at += draw.below(heals_at - at);
                events.push(Event {
                    id: events.len() as u64,
                    at,
                    phone,
                    what: *what,
                });
            }
        }
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

/// What is left out in a world, or happens much, together.
const TOGETHER: [&[What]; 8] = [
    &[What::Attach],
    &[What::Kill, What::KillInside, What::FullDisk],
    &[What::Copy],
    &[What::Relay],
    &[What::Revoke, What::Poison],
    &[What::KillServer, What::KillServerInside, What::FullServer],
    &[What::BackUp],
    &[What::Refuse, What::Spoil],
];

/// How often each thing happens in one world.
fn often(draw: &mut Draw) -> Vec<(What, u64)> {
    let mut often = OFTEN.to_vec();
    for together in TOGETHER {
        let times = draw.one_of(&[0, 1, 1, 4]).copied().unwrap_or(1);
        for (what, often) in &mut often {
            if together.contains(what) {
                *often *= times;
            }
        }
    }
    often
}

fn what(often: &[(What, u64)], draw: &mut Draw) -> What {
    let mut at = draw.below(often.iter().map(|(_, often)| often).sum());
    for (what, often) in often {
        if at < *often {
            return *what;
        }
        at -= often;
    }
    What::Record
}
