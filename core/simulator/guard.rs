//! Guards that can be switched off, one at a time: the simulator must then find what each of them guards against.
//!
//! They exist here and nowhere else. Where the guard is a rule of the product, its switch is what the world hands to that rule.

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A phone says *saved* after its disk has it.
    PhoneSync,
    /// The server answers after its disk has it.
    ServerSync,
    /// Admission is told what the document holds.
    Held,
    /// Who comes onto a team is given the document whole.
    Grants,
    /// The server signs for what it holds whole, and for nothing less.
    Whole,
    /// A feed is served up to its first unchecked entry.
    CheckedThrough,
    /// A page's cursor is written after all that the page brought.
    CursorLast,
    /// A page's cursor is written at all.
    Cursor,
    /// A receipt counts for the heads that it names.
    Heads,
    /// A receipt counts in the epoch that it names.
    Epoch,
    /// Every opening of a phone's database draws new bytes.
    Opening,
    /// Revocation is looked at inside the transaction that stores.
    Revocation,
    /// A reader is shown what they may read.
    Rights,
    /// A backup that was put back begins a new epoch of the log.
    Anew,
    /// What a comparison found to differ is sent again and fetched.
    Compare,
    /// What came after a snapshot follows it singly.
    Beyond,
    /// What was refused is taken out, and what was written upon it is written anew.
    Reissue,
}

/// All of them, and what must be found without each.
pub const ALL: [(Guard, &[Broken]); 17] = [
    (Guard::PhoneSync, &[Broken::Missing]),
    (
        Guard::ServerSync,
        &[
            // What it loses may be who may no longer read.
            Broken::Forbidden,
            Broken::Missing,
            Broken::Receipt,
            Broken::Skipped,
            Broken::Sent,
        ],
    ),
    // What has two numbers may be read under one and passed over under the other.
    (Guard::Held, &[Broken::Doubled, Broken::Skipped]),
    (Guard::Grants, &[Broken::Unequal]),
    (Guard::Whole, &[Broken::Receipt, Broken::Sent]),
    (Guard::CheckedThrough, &[Broken::Skipped]),
    (Guard::CursorLast, &[Broken::Skipped]),
    (
        Guard::Cursor,
        &[
            Broken::Bytes,
            Broken::Missing,
            Broken::Restless,
            Broken::Unequal,
        ],
    ),
    (Guard::Heads, &[Broken::Sent]),
    (Guard::Epoch, &[Broken::Sent]),
    (
        Guard::Opening,
        &[
            Broken::Missing,
            Broken::Restless,
            Broken::Panicked,
            Broken::Unequal,
            Broken::Skipped,
        ],
    ),
    (Guard::Revocation, &[Broken::Revoked]),
    (Guard::Rights, &[Broken::Forbidden]),
    (
        Guard::Anew,
        &[
            Broken::Missing,
            Broken::Receipt,
            Broken::Restless,
            Broken::Sent,
            Broken::Skipped,
            Broken::Unequal,
        ],
    ),
    (
        Guard::Compare,
        &[
            Broken::Missing,
            Broken::Restless,
            Broken::Skipped,
            Broken::Unequal,
        ],
    ),
    (Guard::Beyond, &[Broken::Skipped, Broken::Unequal]),
    (Guard::Reissue, &[Broken::Missing, Broken::Restless]),
];

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Something that was acknowledged is nowhere.
    Missing,
    /// Something is there twice.
    Doubled,
    /// After quiet, two readers of a document have not the same.
    Unequal,
    /// A receipt covers what the log lacks.
    Receipt,
    /// A phone shows *Đã gửi* for what the server does not hold.
    Sent,
    /// A cursor went past something that its reader did not get.
    Skipped,
    /// After the line healed, more than half again was sent as had to be.
    Bytes,
    /// Something of a revoked phone came into the log after its revocation.
    Revoked,
    /// Someone was given what they may not read.
    Forbidden,
    /// Something panicked.
    Panicked,
    /// It never gets quiet: something waits for ever, or is sent for ever.
    Restless,
}

/// Something that must never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub broken: Broken,
    /// Who, which, where.
    pub what: String,
}

/// Short for a check.
pub fn check(holds: bool, broken: Broken, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            broken,
            what: what(),
        })
    }
}
