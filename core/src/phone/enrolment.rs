//! Who this phone is: enrolled once with a code from the chief's page, then known by its key.

use super::{Phone, client::Client, error::PhoneError};
use crate::{
    enrolment::{Enrolled, Invitation, NewPhone},
    id::{PersonId, PhoneId, UnitId},
    invalid::{Invalid, Rule},
    person::Role,
};
use sqlx::{Row as _, SqliteConnection};

/// Who this phone records for, and which server it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The phone.
    pub phone: PhoneId,
    /// Its person.
    pub person: PersonId,
    /// The person's unit.
    pub unit: UnitId,
    /// The person's role.
    pub role: Role,
    /// How the person is called.
    pub person_name: String,
    /// How the unit is called.
    pub unit_name: String,
    /// Where the server is.
    pub server_url: String,
    /// Signs the log's heads.
    pub log_key: [u8; 32],
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// Seals the server's own changes.
    pub seal_key: [u8; 32],
    /// Opens rescue files (X25519).
    pub rescue_key: [u8; 32],
    /// The server said that this phone was revoked.
    pub revoked: bool,
}

impl Profile {
    /// The profile in the database; none before enrolment.
    pub(super) async fn load(
        connection: &mut SqliteConnection,
    ) -> Result<Option<Self>, PhoneError> {
        let Some(row) = sqlx::query("select * from profile")
            .fetch_optional(connection)
            .await?
        else {
            return Ok(None);
        };
        let text = |column| row.get::<String, &str>(column);
        let key = |column: &str| -> Result<[u8; 32], PhoneError> {
            row.get::<Vec<u8>, _>(column)
                .try_into()
                .map_err(|_| PhoneError::internal("a key is not 32 bytes"))
        };
        Ok(Some(Self {
            phone: text("phone_id").parse().map_err(PhoneError::internal)?,
            person: text("person_id").parse().map_err(PhoneError::internal)?,
            unit: text("unit_id").parse().map_err(PhoneError::internal)?,
            role: text("role").parse()?,
            person_name: text("person_name"),
            unit_name: text("unit_name"),
            server_url: text("server_url"),
            log_key: key("log_key")?,
            receipt_key: key("receipt_key")?,
            seal_key: key("seal_key")?,
            rescue_key: key("rescue_key")?,
            revoked: row.get::<Option<i64>, _>("revoked_at_ms").is_some(),
        }))
    }

    /// Writes it down.
    pub(super) async fn save(
        &self,
        connection: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(), PhoneError> {
        sqlx::query(
            "insert into profile (phone_id, person_id, unit_id, role, person_name, unit_name, server_url, \
             log_key, receipt_key, seal_key, rescue_key, enrolled_at_ms) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(self.phone.to_string())
        .bind(self.person.to_string())
        .bind(self.unit.to_string())
        .bind(self.role.word())
        .bind(&self.person_name)
        .bind(&self.unit_name)
        .bind(&self.server_url)
        .bind(self.log_key.to_vec())
        .bind(self.receipt_key.to_vec())
        .bind(self.seal_key.to_vec())
        .bind(self.rescue_key.to_vec())
        .bind(now_ms)
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Phone {
    /// Who this phone is; none before enrolment.
    pub async fn profile(&self) -> Option<Profile> {
        self.store().await.profile.clone()
    }

    /// Enrols with the code at `server_url`. The server's keys are believed as this answer gives them.
    ///
    /// # Errors
    /// `Invalid` at `phone` when it is enrolled already; `SignedOut` with `code-unknown`, `code-used`, `code-expired`; `Offline`.
    pub async fn enrol(&self, server_url: &str, code: &str) -> Result<Profile, PhoneError> {
        self.enrol_with(server_url, code, None).await
    }

    /// Enrols with the text of the QR on the chief's page: the server must then hold the keys that stand in it.
    ///
    /// # Errors
    /// As [`Phone::enrol`]; `Invalid` at `code` for a text that is no invitation; `SignedOut` with `another-server`.
    pub async fn enrol_by_qr(&self, qr: &str) -> Result<Profile, PhoneError> {
        let invitation = Invitation::parse(qr)?;
        self.enrol_with(
            &invitation.url,
            &invitation.code,
            Some([
                invitation.log_key,
                invitation.receipt_key,
                invitation.rescue_key,
            ]),
        )
        .await
    }

    async fn enrol_with(
        &self,
        server_url: &str,
        code: &str,
        keys: Option<[[u8; 32]; 3]>,
    ) -> Result<Profile, PhoneError> {
        let signing_key = {
            let store = self.store().await;
            if store.profile.is_some() {
                return Err(Invalid::new("phone", Rule::Already).into());
            }
            store.signing_key.clone()
        };
        let server_url = server_url.trim_end_matches('/');
        let new = NewPhone::sign(&signing_key, code, &self.config.app_version);
        let enrolled = Client::new(server_url)?.enrol(&new).await?;
        let profile = believed(server_url, enrolled, keys)?;
        let now_ms = self.now_ms();
        let mut store = self.store().await;
        profile.save(&mut store.connection, now_ms).await?;
        store.profile = Some(profile.clone());
        Ok(profile)
    }
}

fn believed(
    server_url: &str,
    enrolled: Enrolled,
    keys: Option<[[u8; 32]; 3]>,
) -> Result<Profile, PhoneError> {
    let told = [enrolled.log_key, enrolled.receipt_key, enrolled.rescue_key];
    if keys.is_some_and(|keys| keys != told) {
        return Err(PhoneError::SignedOut {
            word: "another-server".to_owned(),
        });
    }
    Ok(Profile {
        phone: enrolled.phone,
        person: enrolled.person,
        unit: enrolled.unit,
        role: enrolled.role,
        person_name: enrolled.person_name,
        unit_name: enrolled.unit_name,
        server_url: server_url.to_owned(),
        log_key: enrolled.log_key,
        receipt_key: enrolled.receipt_key,
        seal_key: enrolled.seal_key,
        rescue_key: enrolled.rescue_key,
        revoked: false,
    })
}
