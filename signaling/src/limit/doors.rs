//! How often one may sign in, make things and join: by identity and by network.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::Limits;
use crate::error::{ApiError, Code};

use super::{Rate, TokenBuckets};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Shows a name and a password.
    SignIn,
    /// Shows a refresh token that does not hold.
    Refresh,
    /// Shows a password that is not that of the name.
    WrongPassword,
    /// Makes an account.
    Register,
    /// Makes a room.
    CreateRoom,
    /// Asks for a join token.
    Join,
    /// Shows a stream key that is none.
    WrongKey,
    /// Offers a session and shows nothing that holds, or a guest's token (RFC 9725, section 5, asks for a limit).
    Offer,
}

/// By whom it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Everybody in a network, as [`crate::http::remote`] has it.
    Network(IpAddr),
    /// An identity, or a name that somebody wants to be.
    Identity(String),
    /// Everybody in a network who wants to be of this name.
    NameFrom(IpAddr, String),
}

/// The doors, each with a bucket for everybody who came lately.
#[derive(Debug)]
pub(crate) struct Doors([Mutex<Option<TokenBuckets<Who>>>; DOORS]);

impl Doors {
    pub(crate) fn new(limits: &Limits) -> Self {
        let doors = Self(Default::default());
        doors.set(limits);
        doors
    }

    /// Changes how often each may be passed.
    pub(crate) fn set(&self, limits: &Limits) {
        let minute = Rate::per_minute as fn(u32) -> Rate;
        for (door, count, rate) in [
            (Door::SignIn, limits.sign_ins_per_minute, minute),
            (Door::Refresh, limits.sign_ins_per_minute, minute),
            (
                Door::WrongPassword,
                limits.wrong_passwords_per_minute,
                minute,
            ),
            (Door::Register, limits.accounts_per_hour, Rate::per_hour),
            (Door::CreateRoom, limits.rooms_per_minute, minute),
            (Door::Join, limits.joins_per_minute, minute),
            (Door::WrongKey, limits.wrong_keys_per_minute, minute),
            (
                Door::Offer,
                limits.guest_offers_per_second,
                Rate::per_second,
            ),
        ] {
            let mut slot = self.lock(door);
            let rate = (count > 0).then(|| rate(count));
            match (slot.as_mut(), rate) {
                (Some(buckets), Some(rate)) => buckets.set_rate(rate),
                (_, rate) => *slot = rate.map(TokenBuckets::new),
            }
        }
    }

    /// Lets somebody pass, and counts it.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn pass(&self, door: Door, who: &Who) -> Result<(), ApiError> {
        match self.lock(door).as_mut() {
            Some(buckets) => buckets.take(who, Instant::now()).map_err(too_often),
            None => Ok(()),
        }
    }

    /// Looks whether somebody could pass, without counting it.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn look(&self, door: Door, who: &Who) -> Result<(), ApiError> {
        match self.lock(door).as_mut() {
            Some(buckets) => buckets.check(who, Instant::now()).map_err(too_often),
            None => Ok(()),
        }
    }

    fn lock(&self, door: Door) -> std::sync::MutexGuard<'_, Option<TokenBuckets<Who>>> {
        self.0[door as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_often(wait: std::time::Duration) -> ApiError {
    let text = "That was too often; wait a while.";
    ApiError::new(Code::RateLimited, text).retry_after(wait)
}

const DOORS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_counts_each_one_by_themselves() {
        let limits = Limits {
            joins_per_minute: 2,
            ..Limits::none()
        };
        let doors = Doors::new(&limits);
        let (ann, bob) = (Who::Identity("ann".into()), Who::Identity("bob".into()));
        for _ in 0..2 {
            doors.look(Door::Join, &ann).unwrap();
            doors.pass(Door::Join, &ann).unwrap();
        }
        let refused = doors.pass(Door::Join, &ann).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some());
        assert!(doors.look(Door::Join, &ann).is_err());
        doors.pass(Door::Join, &bob).unwrap();
        // Other doors are open, and this one is once the limit is lifted.
        doors.pass(Door::SignIn, &ann).unwrap();
        doors.set(&Limits::none());
        doors.pass(Door::Join, &ann).unwrap();
    }

    #[test]
    fn the_same_limits_again_forgive_nothing() {
        let limits = Limits {
            sign_ins_per_minute: 1,
            ..Limits::none()
        };
        let doors = Doors::new(&limits);
        let who = Who::Network([203, 0, 113, 7].into());
        doors.pass(Door::SignIn, &who).unwrap();
        doors.set(&limits);
        assert!(doors.pass(Door::SignIn, &who).is_err());
    }
}
