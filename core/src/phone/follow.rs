//! Following: while the app is looked at, the phone hears at once that there is something new, and syncs. A convenience only: what
//! is recorded goes without it, and a phone that hears nothing misses nothing that its next sync would not bring.

use super::{
    Phone, SyncOptions,
    client::Client,
    error::{PhoneError, Unreached},
};
use crate::{
    exchange::{Failure, rest},
    live::{FeedAt, HEARTBEAT_S, Hearing},
};
use std::time::Duration;

/// A stream that is silent for so long is dead: it says something three times as often.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_S);
/// Colleagues' phones hear at the same moment: each asks within this time.
const SPREAD: Duration = Duration::from_millis(100);

impl Phone {
    /// Syncs now and whenever the server says that there is something new, until [`Phone::unfollow`]. A lost line is tried again
    /// with growing rests.
    ///
    /// # Errors
    /// `SignedOut` when the server does not let this phone in; `NotFound` for a server that has no live stream; `StorageFull`,
    /// `Internal`. Never `Offline`.
    pub async fn follow(&self, options: SyncOptions) -> Result<(), PhoneError> {
        let stopped = self.syncing.unfollowed();
        tokio::select! {
            error = self.follow_on(options) => Err(error),
            () = stopped => Ok(()),
        }
    }

    /// Ends [`Phone::follow`].
    pub fn unfollow(&self) {
        self.syncing.unfollow();
    }

    /// Follows until something happens that time does not heal.
    async fn follow_on(&self, options: SyncOptions) -> PhoneError {
        let mut failures = 0;
        loop {
            let wish = match self.hear_once(options, &mut failures).await {
                Ok(()) => Failure::Unreachable,
                Err(PhoneError::Offline { retry_after_s, .. }) => {
                    failures += 1;
                    let retry_after = retry_after_s.map(|s| Duration::from_secs(s.into()));
                    Failure::Busy { retry_after }
                }
                Err(error) => return error,
            };
            tokio::time::sleep(rest(failures, wish, rand::random())).await;
        }
    }

    /// Hears one stream to its end.
    async fn hear_once(&self, options: SyncOptions, failures: &mut u32) -> Result<(), PhoneError> {
        let (client, phone, key) = {
            let store = self.store().await;
            let profile = store.profile()?;
            let client = Client::that_waits(&profile.server_url, &profile.pins, SILENCE)?;
            (client, profile.phone, store.signing_key.clone())
        };
        let signed_in = self.sign_in(&client, phone, &key).await?;
        let mut stream = client.live(&signed_in.token).await?;
        *failures = 0;
        let mut hearing = Hearing::default();
        let mut known: Option<FeedAt> = None;
        while let Some(bytes) = stream.next().await? {
            let heard = hearing
                .hear(&bytes)
                .map_err(|_| PhoneError::offline(Unreached::NotOurs))?;
            // The newest says all that the others did.
            if let Some(at) = heard.last()
                && known != Some(*at)
            {
                tokio::time::sleep(SPREAD.mul_f64(rand::random())).await;
                self.sync(options).await?;
                known = Some(*at);
            }
        }
        Ok(())
    }
}
