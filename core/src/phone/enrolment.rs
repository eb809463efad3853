//! Who this phone is: enrolled once with a code from the chief's page, then known by its key.

use super::{Phone, client::Client, error::PhoneError, refusal::signed_out, store::parse_hashes};
use crate::{
    enrolment::{Enrolled, Invitation, NewPhone},
    hash::Sha256,
    id::{PersonId, PhoneId, UnitId},
    invalid::{Invalid, Rule},
    person::Role,
    pin::Announced,
    review::heads_text,
};
use ed25519_dalek::VerifyingKey;
use sqlx::{Row as _, SqliteConnection};

/// Who this phone records for, and which server it believes.
#[derive(Clone, PartialEq, Eq)]
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
    /// Which TLS keys are the server's; none where it speaks without TLS, on loopback.
    pub pins: Vec<Sha256>,
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

crate::unprinted!(Profile);

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
            pins: parse_hashes(row.get("pins")),
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
             pins, log_key, receipt_key, seal_key, rescue_key, enrolled_at_ms) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(self.phone.to_string())
        .bind(self.person.to_string())
        .bind(self.unit.to_string())
        .bind(self.role.word())
        .bind(&self.person_name)
        .bind(&self.unit_name)
        .bind(&self.server_url)
        .bind(heads_text(&self.pins))
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

    /// Enrols with the code at `server_url`: `http://…` on loopback, or `https://…#PIN` with the pin of the server's TLS key. Its
    /// other keys are believed as this answer gives them.
    ///
    /// # Errors
    /// `Invalid` at `phone` when it is enrolled already, at `server_url` or `pin` for a way that could be listened to;
    /// `SignedOut` with `another-key` when another server answers, with `code-unknown`, `code-used`, `code-expired`; `Offline`.
    pub async fn enrol(&self, server_url: &str, code: &str) -> Result<Profile, PhoneError> {
        let (url, pins) = match server_url.split_once('#') {
            Some((url, pin)) => {
                let pin = pin.parse();
                (
                    url,
                    vec![pin.map_err(|_| Invalid::new("pin", Rule::Malformed))?],
                )
            }
            None => (server_url, Vec::new()),
        };
        self.enrol_with(url, pins, code, None).await
    }

    /// Enrols with the text of the QR on the chief's page: the server must then hold the keys that stand in it.
    ///
    /// # Errors
    /// As [`Phone::enrol`]; `Invalid` at `code` for a text that is no invitation; `SignedOut` with `another-server`.
    pub async fn enrol_by_qr(&self, qr: &str) -> Result<Profile, PhoneError> {
        let invitation = Invitation::parse(qr)?;
        self.enrol_with(
            &invitation.url,
            invitation.pin.map(Sha256).into_iter().collect(),
            &invitation.code,
            Some([
                invitation.log_key,
                invitation.receipt_key,
                invitation.rescue_key,
            ]),
        )
        .await
    }

    /// Takes the address and the TLS key of the server from a new QR: it moved, or its key changed while this phone was away.
    /// Nothing of this phone is sent before the server has shown, signed by its log's key, that it is the one enrolled at.
    ///
    /// # Errors
    /// `SignedOut` with `not-enrolled`, `another-key`, or with `another-server` for the QR of another; `Invalid` at `code` for a
    /// text that is no invitation; `Offline`.
    pub async fn find_server(&self, qr: &str) -> Result<Profile, PhoneError> {
        let invitation = Invitation::parse(qr)?;
        let mut profile = self.store().await.profile()?.clone();
        let (url, pin) = (invitation.url.trim_end_matches('/'), invitation.pin);
        let pin = pin.map(Sha256);
        let pins: Vec<Sha256> = pin.into_iter().collect();
        let client = Client::new(url, &pins)?;
        if [
            invitation.log_key,
            invitation.receipt_key,
            invitation.rescue_key,
        ] != [profile.log_key, profile.receipt_key, profile.rescue_key]
        {
            return Err(signed_out("another-server"));
        }
        let mut number = 0;
        if let Some(pin) = pin {
            let log_key =
                VerifyingKey::from_bytes(&profile.log_key).map_err(PhoneError::internal)?;
            let announced = Announced::verify(&client.pins().await?, log_key);
            match announced {
                Ok(announced) if announced.pins.contains(&pin) => number = announced.number,
                _ => return Err(signed_out("another-server")),
            }
        }
        let mut store = self.store().await;
        // A person says which server it is: its number counts, also a lower one, of a server that was put back from its backup.
        sqlx::query("update profile set server_url = $1, pins = $2, pins_number = $3")
            .bind(url)
            .bind(heads_text(&pins))
            .bind(number)
            .execute(&mut store.connection)
            .await?;
        url.clone_into(&mut profile.server_url);
        profile.pins = pins;
        store.profile = Some(profile.clone());
        drop(store);
        self.syncing.forget_client().await;
        Ok(profile)
    }

    async fn enrol_with(
        &self,
        server_url: &str,
        pins: Vec<Sha256>,
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
        let enrolled = Client::new(server_url, &pins)?.enrol(&new).await?;
        self.hear_time(enrolled.server_time_ms);
        let profile = believed(server_url, pins, enrolled, keys)?;
        let now_ms = self.now_ms();
        let mut store = self.store().await;
        profile.save(&mut store.connection, now_ms).await?;
        store.profile = Some(profile.clone());
        Ok(profile)
    }
}

impl Profile {
    /// Trusts the TLS keys that `token` announces, and no others, from now on. True if that changes anything; a token that the
    /// log's key did not sign changes nothing, nor does one that is older than what was announced before.
    pub(super) async fn trust(
        &mut self,
        connection: &mut SqliteConnection,
        token: &str,
    ) -> Result<bool, PhoneError> {
        let log_key = VerifyingKey::from_bytes(&self.log_key).map_err(PhoneError::internal)?;
        let Ok(Announced { mut pins, number }) = Announced::verify(token, log_key) else {
            return Ok(false);
        };
        pins.sort_unstable();
        let taken =
            sqlx::query("update profile set pins = $1, pins_number = $2 where pins_number <= $2")
                .bind(heads_text(&pins))
                .bind(number)
                .execute(connection)
                .await?;
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
        let others = pins != self.pins;
        self.pins = pins;
        Ok(others)
    }
}

fn believed(
    server_url: &str,
    pins: Vec<Sha256>,
    enrolled: Enrolled,
    keys: Option<[[u8; 32]; 3]>,
) -> Result<Profile, PhoneError> {
    let told = [enrolled.log_key, enrolled.receipt_key, enrolled.rescue_key];
    if keys.is_some_and(|keys| keys != told) {
        return Err(signed_out("another-server"));
    }
    Ok(Profile {
        phone: enrolled.phone,
        person: enrolled.person,
        unit: enrolled.unit,
        role: enrolled.role,
        person_name: enrolled.person_name,
        unit_name: enrolled.unit_name,
        server_url: server_url.to_owned(),
        pins,
        log_key: enrolled.log_key,
        receipt_key: enrolled.receipt_key,
        seal_key: enrolled.seal_key,
        rescue_key: enrolled.rescue_key,
        revoked: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::{store::Store, tests};
    use ed25519_dalek::SigningKey;

    #[tokio::test]
    async fn an_announcement_that_somebody_kept_brings_no_old_key_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = tests::phone(folder.path()).await;
        let mut store = phone.store().await;
        let Store {
            connection,
            profile: Some(profile),
            ..
        } = &mut *store
        else {
            panic!("the phone is enrolled");
        };
        let log_key = SigningKey::from_bytes(&[1; 32]);
        profile.log_key = log_key.verifying_key().to_bytes();
        profile.save(connection, 0).await.expect("saved");
        let [before, old, new] = [b"0", b"1", b"2"].map(|key| Sha256::of(key));
        let said = |pin, number| {
            let pins = vec![pin];
            Announced { pins, number }.sign(&log_key)
        };
        // A server that does not count yet, and then one that does.
        for (pin, number) in [(before, 0), (old, 5), (new, 6)] {
            let token = said(pin, number);
            assert!(profile.trust(connection, &token).await.expect("trusted"));
        }
        for kept in [said(old, 5), said(before, 0)] {
            assert!(!profile.trust(connection, &kept).await.expect("read"));
            let loaded = Profile::load(connection).await.expect("loads");
            assert_eq!(loaded.expect("enrolled").pins, [new]);
            assert_eq!(profile.pins, [new]);
        }
        // The twin: with a number that was not heard yet the same key is trusted.
        let token = said(old, 7);
        assert!(profile.trust(connection, &token).await.expect("trusted"));
        assert_eq!(profile.pins, [old]);
    }
}
