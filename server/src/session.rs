//! People signed in to pages: a random token in a `__Host-` cookie, its hash in a row. Revoked by deleting the row.

use kieumau_core::{
    id::{PersonId, UnitId},
    person::Role,
};

/// Who is signed in, read anew from the database with every request.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub person: PersonId,
    /// Of which unit.
    pub unit: UnitId,
    /// With which role.
    pub role: Role,
    /// How pages greet them.
    pub name: String,
}
