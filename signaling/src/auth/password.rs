//! Passwords: hashed with Argon2id (RFC 9106), a few at a time and away from the threads that serve.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Secret;
use crate::error::{ApiError, Code};

/// Hashes and checks passwords, each with 19 MiB for some tens of milliseconds.
#[derive(Debug)]
pub(crate) struct Passwords {
    /// A permit for each that may be worked on at once.
    working: Arc<Semaphore>,
    /// A permit for each that may be worked on or wait; who comes when there is none is told to come again.
    places: Arc<Semaphore>,
}

impl Passwords {
    /// Uses at most half of the cores, so that media goes on.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with((cores / 2).max(1), WAITING)
    }

    fn with(at_once: usize, waiting: usize) -> Self {
        Self {
            working: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + waiting)),
        }
    }

    /// Hashes a password with a new salt, as PHC string.
    ///
    /// # Errors
    /// `busy` when too many wait.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, ApiError> {
        self.work(move || hash(&password)).await?
    }

    /// Says whether it is the password. Where there is none to compare with the work is the same, so that nobody
    /// learns from the time which accounts there are.
    ///
    /// # Errors
    /// `busy` when too many wait.
    pub(crate) async fn verify(
        &self,
        password: Secret,
        hash: Option<String>,
    ) -> Result<Verdict, ApiError> {
        self.work(move || {
            let known = hash.is_some();
            let text = hash.as_deref().unwrap_or(DECOY);
            if !is_right(&password, text) || !known {
                return Verdict::Wrong;
            }
            let anew = is_outdated(text).then(|| self::hash(&password).ok());
            Verdict::Right(anew.flatten())
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| crowded())?;
        let turn = Arc::clone(&self.working)
            .acquire_owned()
            .await
            .map_err(ApiError::internal)?;
        // The permits go with the work, which goes on when the client does not.
        let held: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (place, turn);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(held);
            done
        });
        done.await.map_err(ApiError::internal)
    }
}

/// Whether a password is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not, or there is none.
    Wrong,
    /// It is; with a hash to keep instead of one that was made otherwise than they are made now.
    Right(Option<String>),
}

/// Checks a password that somebody wants to have.
///
/// # Errors
/// `password_refused`, and why.
pub(crate) fn check_new(password: &Secret, name: &str) -> Result<(), ApiError> {
    let text = password.expose();
    let length = text.chars().count();
    let refuse = |text| Err(ApiError::new(Code::PasswordRefused, text));
    if length < MIN_LENGTH {
        return refuse("A password has at least 8 characters.");
    }
    if text.len() > MAX_BYTES {
        return refuse("A password has at most 256 bytes.");
    }
    if text.to_lowercase() == name.to_lowercase() {
        return refuse("The password must not be the name.");
    }
    let mut characters: Vec<char> = text.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() < MIN_DIFFERENT {
        return refuse("A password has at least 4 different characters.");
    }
    Ok(())
}

/// Hashes a password where no server is at work: on the command line.
///
/// # Errors
/// The hash cannot be computed.
pub(crate) fn hash(password: &Secret) -> Result<String, ApiError> {
    let salt: [u8; 16] = rand::random();
    let hash = Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt);
    hash.map(|hash| hash.to_string())
        .map_err(|error| ApiError::internal(error.to_string()))
}

fn is_right(password: &Secret, hash: &str) -> bool {
    // No account has a longer one, and hashing it would take the longer.
    let password = password.expose().as_bytes();
    let password = password.get(..MAX_BYTES + 1).unwrap_or(password);
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Returns whether a hash was made otherwise than they are made now.
fn is_outdated(hash: &str) -> bool {
    let kind = |text| {
        let hash = PasswordHash::new(text).ok()?;
        Some((hash.algorithm, hash.version, hash.params))
    };
    kind(hash) != kind(DECOY)
}

fn crowded() -> ApiError {
    let text = "Too many are signing in just now; nothing was done.";
    ApiError::new(Code::Busy, text).retry_after(Duration::from_secs(2))
}

/// Half a second of work for one core, or a little more.
const WAITING: usize = 32;

const MIN_LENGTH: usize = 8;
const MIN_DIFFERENT: usize = 4;
const MAX_BYTES: usize = 256;

/// The hash of no password, made with the same parameters as those of accounts.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_is_right_and_every_other_is_wrong() {
        let passwords = Passwords::new();
        let secret = |text: &str| Secret::new(text);
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        for (text, right) in [
            ("correct horse", true),
            ("correct horsf", false),
            ("", false),
        ] {
            let said = passwords.verify(secret(text), Some(hash.clone())).await;
            let expected = if right {
                Verdict::Right(None)
            } else {
                Verdict::Wrong
            };
            assert_eq!(said.unwrap(), expected, "{text}");
        }
        for hash in [None, Some("rubbish".to_owned())] {
            let said = passwords.verify(secret("x"), hash).await;
            assert_eq!(said.unwrap(), Verdict::Wrong);
        }
        let again = passwords.hash(secret("correct horse")).await.unwrap();
        assert_ne!(hash, again, "every hash has a salt of its own");
    }

    #[test]
    fn the_decoy_costs_what_a_real_hash_costs() {
        let decoy = PasswordHash::new(DECOY).unwrap();
        let text = hash(&Secret::new("x")).unwrap();
        let real = PasswordHash::new(&text).unwrap();
        assert_eq!(decoy.params, real.params);
        assert_eq!(
            (decoy.algorithm, decoy.version),
            (real.algorithm, real.version)
        );
        let length = |hash: &PasswordHash| hash.hash.map(|hash| hash.as_bytes().len());
        assert_eq!(length(&decoy), length(&real));
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_made_anew_for_who_knows_the_password() {
        let weak = argon2::Params::new(8, 1, 1, None).unwrap();
        let weak = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, weak);
        let old = weak.hash_password_with_salt(b"correct horse", &[7; 16]);
        let old = old.unwrap().to_string();
        let passwords = Passwords::new();
        let verify = async |text: &str, hash: &str| {
            let said = passwords.verify(Secret::new(text), Some(hash.to_owned()));
            said.await.unwrap()
        };
        assert_eq!(verify("correct horsf", &old).await, Verdict::Wrong);
        let Verdict::Right(Some(new)) = verify("correct horse", &old).await else {
            panic!("it stays as it was");
        };
        assert!(new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{new}");
        assert_eq!(verify("correct horse", &new).await, Verdict::Right(None));
    }

    #[tokio::test]
    async fn beyond_a_bounded_queue_one_is_told_to_come_again() {
        let passwords = Arc::new(Passwords::with(1, 1));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let working = Arc::clone(&passwords);
        let first = tokio::spawn(async move { working.work(move || held.recv().is_ok()).await });
        while passwords.working.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = Arc::clone(&passwords);
        let second = tokio::spawn(async move { waiting.work(|| true).await });
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.work(|| true).await.unwrap_err();
        assert_eq!(refused.code, Code::Busy);
        assert!(refused.retry_after.is_some());
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        assert!(second.await.unwrap().unwrap());
        assert!(passwords.work(|| true).await.unwrap());
    }

    #[test]
    fn a_password_that_is_too_easy_is_refused() {
        for (text, fits) in [
            ("correct horse", true),
            ("pässwörd", true),
            ("short", false),
            ("aaaaaaaaaaaa", false),
            ("Annabelle", false),
            (&"x1y2".repeat(65), false),
        ] {
            let checked = check_new(&Secret::new(text), "annabelle");
            assert_eq!(checked.is_ok(), fits, "{text}");
        }
    }
}
