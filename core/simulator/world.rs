//! The world: one queue of what happens, one clock that jumps to it, one seed. No socket is opened and nothing sleeps.

use crate::{
    bytes::Account,
    checker::{Checker, Looked},
    draw::Draw,
    ending::PATIENT_ROUNDS,
    guard::{Guard, Violation},
    phone::Phone,
    promise::Watch,
    script::Script,
    server::{Prepared, Server, Trouble},
    session::{Kept, Reply, Request, Session},
    stored::Reader,
    trace::Trace,
};
use kieumau_core::{
    exchange::Failure,
    log::paging::Limits,
    outbox::Asked,
    wire::{After, Push},
};
use std::collections::BTreeMap;

/// When it all begins, Unix milliseconds.
const BEGIN_MS: i64 = 1_700_000_000_000;
/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub place: usize,
    /// The sync that made it.
    pub session: u64,
    /// Its number among the phone's requests.
    pub request: u64,
}

/// What happens.
pub enum Happening {
    Script(usize),
    Arrives {
        ticket: Ticket,
        token: Option<u64>,
        request: Request,
        answered: bool,
        trouble: Option<Trouble>,
    },
    Relayed {
        carrier: Reader,
        push: Push,
    },
    Answered(Ticket, Reply),
    Impatient(Ticket),
    Wakes(usize, u64),
    Reopens(usize),
    Restarts,
    Commits(u64),
    Looks(u64),
    Settles(u64, Looked),
    Saves(u64),
    Heals,
    Round,
}

/// A phone with its running process.
pub struct Handset {
    pub phone: Phone,
    pub running: bool,
    pub kept: Kept,
    pub session: Option<Session>,
    /// The session's number; sessions of a killed process are never heard of again.
    pub number: u64,
    pub requests: u64,
    /// Whether the last request waits for its answer.
    pub waits: bool,
    /// What goes wrong with its next push.
    pub trouble: Option<Trouble>,
}

/// A push that waits for the committer.
pub struct Waiting {
    pub push: Prepared,
    pub answer: Option<(Ticket, Option<After>)>,
}

/// See the module.
pub struct World {
    pub script: Script,
    pub off: Option<Guard>,
    pub now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    pub handsets: Vec<Handset>,
    pub server: Server,
    pub checker: Checker,
    pub group: Vec<Waiting>,
    /// Counts the server's processes: what one had planned, the next does not do.
    pub process: u64,
    pub commit_due: bool,
    pub look_due: bool,
    /// Whose revocation comes between the arrival and the commit of its next push.
    pub revokes: Option<usize>,
    pub limits: Limits,
    /// A document is saved whole when it has grown by so many bytes and a quarter.
    pub saves_from: i64,
    /// The next document that is saved whole is spoilt.
    pub spoils: bool,
    /// The backup is to be put back at the next start.
    pub puts_back: bool,
    /// How often a backup was put back. What was promised before that has to be made true again first.
    pub lives: u32,
    pub healed: bool,
    /// Nothing stirs any more.
    pub quiet: bool,
    pub rounds: u64,
    pub trace: Trace,
    pub watch: Watch,
    pub account: Account,
}

/// How a world ended.
pub struct End {
    pub violation: Option<Violation>,
    /// It got quiet only after a day.
    pub took_a_day: bool,
    pub trace: Trace,
    pub spent: usize,
    pub ideal: usize,
    pub recorded: usize,
}

/// Runs the world of this script, with a guard off or with all of them on.
pub fn run(script: &Script, off: Option<Guard>, trace: Trace) -> End {
    let mut world = World::new(script, off, trace);
    let violation = world.live().err();
    End {
        violation,
        took_a_day: world.rounds > PATIENT_ROUNDS,
        spent: world.account.spent,
        ideal: world.account.ideal,
        recorded: world.watch.recorded(),
        trace: world.trace,
    }
}

impl World {
    fn new(script: &Script, off: Option<Guard>, trace: Trace) -> Self {
        let seed = script.seed;
        let phones: Vec<Phone> = (0..script.phones)
            .map(|place| Phone::new(seed, place, off))
            .collect();
        let server = Server::new(seed, &phones, off);
        let receipt_key = server.receipt_key.verifying_key();
        let handset = |phone| Handset {
            phone,
            running: true,
            kept: Kept {
                token: None,
                offsets: BTreeMap::new(),
                asked: Asked::default(),
                receipt_key,
            },
            session: None,
            number: 0,
            requests: 0,
            waits: false,
            trouble: None,
        };
        let mut draw = Draw::at(seed, "limits", [0, 0]);
        let mut world = Self {
            script: script.clone(),
            off,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            handsets: phones.into_iter().map(handset).collect(),
            server,
            checker: Checker::default(),
            group: Vec::new(),
            process: 0,
            commit_due: false,
            look_due: false,
            revokes: None,
            limits: Limits {
                entries: usize::try_from(draw.within(2, 40)).unwrap_or(2),
                bytes: i64::try_from(draw.within(500, 20_000)).unwrap_or(500),
            },
            saves_from: i64::try_from(draw.below(400)).unwrap_or(0),
            spoils: false,
            puts_back: false,
            lives: 0,
            healed: false,
            quiet: false,
            rounds: 0,
            trace,
            watch: Watch::default(),
            account: Account::default(),
        };
        for number in 0..script.events.len() {
            world.at(script.events[number].at, Happening::Script(number));
        }
        world.at(script.heals_at, Happening::Heals);
        world
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), happening);
    }

    /// Lets it happen after so many milliseconds.
    pub fn after(&mut self, delay: u64, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// The server's clock, which is right.
    pub fn now_ms(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.now).unwrap_or(0)
    }

    fn live(&mut self) -> Result<(), Violation> {
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            match happening {
                Happening::Round => {
                    if self.round()? {
                        return self.last_look();
                    }
                }
                other => self.happens(other)?,
            }
        }
        Ok(())
    }

    fn happens(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Script(number) => {
                let event = self.script.events[number].clone();
                self.event(&event)
            }
            Happening::Arrives {
                ticket,
                token,
                request,
                answered,
                trouble,
            } => {
                self.arrives(ticket, token, (request, trouble), answered);
                Ok(())
            }
            Happening::Relayed { carrier, push } => {
                if self.server.up {
                    let push = self.server.prepare(carrier, push, None);
                    self.queue_push(Waiting { push, answer: None });
                }
                Ok(())
            }
            Happening::Answered(ticket, reply) => self.answered(ticket, reply),
            Happening::Impatient(ticket) => {
                self.answered(ticket, Reply::Failed(Failure::Unreachable))
            }
            Happening::Wakes(place, number) => {
                if self.handsets[place].number == number {
                    self.advance(place);
                }
                Ok(())
            }
            Happening::Reopens(place) => {
                self.reopen(place);
                Ok(())
            }
            Happening::Restarts => self.restart(),
            Happening::Commits(process) => self.commits(process),
            Happening::Looks(process) => {
                self.looks(process);
                Ok(())
            }
            Happening::Settles(process, looked) => self.settles(process, &looked),
            Happening::Saves(process) => {
                self.saves(process);
                Ok(())
            }
            Happening::Heals => self.heals(),
            Happening::Round => Ok(()),
        }
    }
}
