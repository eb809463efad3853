//! Passwords of people who sign in to pages: made readable, kept as argon2id.
//!
//! Each hash takes 19 MiB and tens of milliseconds, so that a stolen table is of little use. The same cost would let a
//! flood of sign-ins take all memory: at most [`AT_ONCE`] run at a time, and who waits too long is told to come back.

use crate::problem::{Answer, Problem};
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use kieumau_core::invalid::{self, Invalid, Rule};
use std::time::Duration;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Characters in a password that a person chooses, at least.
pub const SHORTEST: usize = 12;

/// Characters in a password, at most. A longer one matches nothing.
pub const LONGEST: usize = 128;

/// Hashes computed at a time: 4 × 19 MiB.
const AT_ONCE: usize = 4;

/// How long one waits for a turn before the answer is 503.
const PATIENCE: Duration = Duration::from_secs(5);

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// What an unknown account is compared with, so that it costs what a known one costs. Nothing hashes to it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Letters and digits that are not taken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A random password of 80 bits in four groups: `k7mp-q2xd-9f3h-w4ts`. It is shown once and never kept.
pub fn new_password() -> Zeroizing<String> {
    let mut random = Zeroizing::new([0_u8; 16]);
    rand::fill(random.as_mut_slice());
    let mut password = Zeroizing::new(String::with_capacity(19));
    for (place, byte) in random.iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            password.push('-');
        }
        password.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    password
}

/// Checks a password that a person chose.
///
/// # Errors
/// `TooSmall`, `TooLong` or `ForbiddenCharacter` at `password`.
pub fn check(password: &str) -> Result<(), Invalid> {
    invalid::text("password", password, LONGEST)?;
    if password.chars().count() < SHORTEST {
        return Err(Invalid::new("password", Rule::TooSmall));
    }
    Ok(())
}

/// The PHC string of `password`, with argon2id, 19 MiB, 2 passes, 1 lane (OWASP's first choice).
///
/// # Errors
/// 503 if too many wait; 500 if there is no memory.
pub async fn hash(password: &str) -> Answer<String> {
    let password = Zeroizing::new(password.to_owned());
    in_turn(&TURNS, PATIENCE, move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
    })
    .await?
    .map_err(Problem::internal)
}

/// Whether `password` hashes to `kept`. Without a kept hash the answer is no, after the same time.
///
/// # Errors
/// 503 if too many wait.
pub async fn matches(password: &str, kept: Option<String>) -> Answer<bool> {
    // Only so much of an over-long password is looked at, and then it matches nothing.
    let fits = password.chars().count() <= LONGEST;
    let password = Zeroizing::new(if fits { password } else { "" }.to_owned());
    in_turn(&TURNS, PATIENCE, move || {
        let known = kept.is_some();
        let kept = kept.as_deref().unwrap_or(NOBODY);
        let same = Argon2::default().verify_password(password.as_bytes(), kept);
        same.is_ok() && known && fits
    })
    .await
}

/// Does costly `work` on a thread of its own when it is its turn. The turn is the work's: a request that is given up
/// does not make room for another while its hash is still being computed.
async fn in_turn<T: Send + 'static>(
    turns: &'static Semaphore,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Answer<T> {
    let turn = match tokio::time::timeout(patience, turns.acquire()).await {
        Ok(turn) => turn.map_err(Problem::internal)?,
        Err(_) => return Err(Problem::busy(5)),
    };
    tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
    .map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use std::{
        collections::BTreeSet,
        sync::{
            Arc, Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        time::Instant,
    };

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let kept = hash("Tuần tra 04 giờ sáng").await.expect("a hash");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let kept = Some(kept);
        assert!(
            matches("Tuần tra 04 giờ sáng", kept.clone())
                .await
                .expect("an answer")
        );
        assert!(
            !matches("Tuần tra 05 giờ sáng", kept.clone())
                .await
                .expect("an answer")
        );
        assert!(!matches("", None).await.expect("an answer"));
        let empty = Some(hash("").await.expect("a hash"));
        assert!(
            !matches(&"x".repeat(LONGEST + 1), empty)
                .await
                .expect("an answer")
        );
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_costs() {
        let nobody = argon2::PasswordHash::new(NOBODY).expect("a PHC string");
        let real = Argon2::default().hash_password(b"x").expect("a hash");
        assert_eq!(nobody.algorithm, real.algorithm);
        assert_eq!(nobody.version, real.version);
        assert_eq!(nobody.params, real.params);
        let length =
            |hash: &argon2::PasswordHash| hash.hash.as_ref().map(|output| output.as_bytes().len());
        assert_eq!(length(&nobody), length(&real));
    }

    #[tokio::test]
    async fn nobody_takes_the_time_of_somebody() {
        let kept = Some(hash("Tuần tra 04 giờ sáng").await.expect("a hash"));
        let (mut nobody, mut somebody) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..5 {
            let began = Instant::now();
            matches("đoán thử", None).await.expect("an answer");
            nobody += began.elapsed();
            let began = Instant::now();
            matches("đoán thử", kept.clone()).await.expect("an answer");
            somebody += began.elapsed();
        }
        // Without the work it would be a thousandth; a busy machine does not make it a quarter.
        assert!(nobody * 4 > somebody, "{nobody:?} and {somebody:?}");
    }

    #[test]
    fn new_passwords_differ_and_pass_the_rules() {
        let made: BTreeSet<String> = (0..100).map(|_| new_password().to_string()).collect();
        assert_eq!(made.len(), 100);
        for password in made {
            assert_eq!(check(&password), Ok(()));
        }
        assert_eq!(check("ngắn"), Err(Invalid::new("password", Rule::TooSmall)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_computes_few_hashes_at_a_time() {
        static FEW: Semaphore = Semaphore::const_new(AT_ONCE);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let flood = (0..64).map(|_| {
            let (running, most) = (running.clone(), most.clone());
            tokio::spawn(in_turn(&FEW, PATIENCE, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            }))
        });
        for request in flood.collect::<Vec<_>>() {
            request.await.expect("it ran").expect("its turn came");
        }
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_limit_the_same_flood_runs_all_at_once() {
        static MANY: Semaphore = Semaphore::const_new(64);
        // Each waits until all 64 are inside: with the limit above this would never end.
        let all_inside = Arc::new(Barrier::new(64));
        let flood = (0..64).map(|_| {
            let all_inside = all_inside.clone();
            tokio::spawn(in_turn(&MANY, PATIENCE, move || {
                all_inside.wait().is_leader()
            }))
        });
        let mut leaders = 0;
        for request in flood.collect::<Vec<_>>() {
            leaders += usize::from(request.await.expect("it ran").expect("its turn came"));
        }
        assert_eq!(leaders, 1);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_back() {
        static FULL: Semaphore = Semaphore::const_new(0);
        let problem = in_turn(&FULL, Duration::from_millis(1), || ())
            .await
            .expect_err("no turn");
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(problem.retry_after_s().is_some());
    }
}
