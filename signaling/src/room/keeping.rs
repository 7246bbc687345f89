//! The order of one room's chat: who may write what, and how often. No IO and no clock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::auth::{AddressMark, Role};
use crate::chat::{Audience, ChatLimiter, ChatSettings, Verdict, WordList};
use crate::error::{ApiError, Code};
use crate::limit::{Rate, TokenBuckets};
use crate::store::{Author, ChatMessage, Deed, Held, Limit, LimitKind, Order};
use crate::time::Timestamp;

use super::departed::Departed;
use super::standings::{Standings, holds};

/// The order of one room's chat.
#[derive(Debug)]
pub(super) struct Keeping {
    /// What everybody sees first; `None` while no message is pinned.
    pub(super) pinned: Option<ChatMessage>,
    pub(super) settings: ChatSettings,
    /// Those of the settings.
    words: WordList,
    /// Who may not write; what is over may be among it.
    mutes: HashMap<String, Option<Timestamp>>,
    standings: Standings,
    /// Whence those came who have left, where bans go with that.
    pub(super) departed: Departed,
    /// What waits for a moderator, by its id: 200 at most.
    held: BTreeMap<String, Held>,
    limiter: ChatLimiter,
    /// When somebody wrote last in slow mode, and under which id of theirs.
    wrote: HashMap<String, (Instant, Option<String>)>,
    /// How often somebody may report.
    reporters: TokenBuckets<String>,
    /// How often somebody may do something to people.
    deeds: TokenBuckets<String>,
}

impl Keeping {
    /// Takes up what is stored.
    pub(super) fn restore(order: Order) -> Self {
        let mut keeping = Self {
            pinned: order.pinned,
            settings: ChatSettings::default(),
            words: WordList::default(),
            mutes: HashMap::new(),
            standings: Standings::default(),
            departed: Departed::default(),
            held: BTreeMap::new(),
            limiter: ChatLimiter::default(),
            wrote: HashMap::new(),
            reporters: TokenBuckets::new(Rate::per_minute(REPORTS_PER_MINUTE)),
            deeds: TokenBuckets::new(Rate::per_minute(DEEDS_PER_MINUTE)),
        };
        keeping.set(order.settings);
        for (who, role) in order.roles {
            keeping.give(&who.id, Some(role));
        }
        for limit in order.limits {
            keeping.limit(&limit);
        }
        for held in order.held {
            keeping.hold(held);
        }
        keeping
    }

    pub(super) fn standings(&self) -> Standings {
        self.standings.clone()
    }

    /// Returns the role that somebody was given here.
    pub(super) fn role(&self, identity: &str) -> Option<Role> {
        self.standings.role(identity)
    }

    /// Returns the addresses that somebody came from who has left, the last first, and then those that their ban goes with.
    pub(super) fn addresses_of<'a>(
        &'a self,
        identity: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a AddressMark> {
        let banned = self.standings.addresses_of(identity, now);
        self.departed.of(identity).iter().chain(banned)
    }

    pub(super) fn set(&mut self, settings: ChatSettings) {
        self.words = WordList::new(settings.words.iter().map(String::as_str));
        self.settings = settings;
        self.wrote.clear();
    }

    pub(super) fn limit(&mut self, limit: &Limit) {
        match limit.kind {
            LimitKind::Mute => {
                self.mutes.insert(limit.who.id.clone(), limit.until);
            }
            LimitKind::Ban => self.standings.ban(limit),
        }
    }

    pub(super) fn lift(&mut self, kind: LimitKind, identity: &str) {
        match kind {
            LimitKind::Mute => {
                self.mutes.remove(identity);
            }
            LimitKind::Ban => self.standings.lift(identity),
        }
    }

    pub(super) fn give(&mut self, identity: &str, role: Option<Role>) {
        self.standings.give(identity, role);
    }

    /// Says no when so many are limited, or have roles, that one more would be too many.
    ///
    /// # Errors
    /// `invalid_value`.
    pub(super) fn check_room(&self, deed: &Deed) -> Result<(), ApiError> {
        let full = match deed {
            Deed::Limit(_) => self.mutes.len() + self.standings.bans() >= MAX_LIMITED,
            Deed::Role { who, role } => {
                let more = role.is_some() && self.role(&who.id).is_none();
                more && self.standings.roles() >= MAX_ROLES
            }
            Deed::Delete { .. }
            | Deed::Pin { .. }
            | Deed::Lift { .. }
            | Deed::Kick { .. }
            | Deed::Member { .. }
            | Deed::Settings(_)
            | Deed::Review { .. }
            | Deed::Resolve { .. } => false,
        };
        if full {
            return Err(ApiError::too_many());
        }
        Ok(())
    }

    /// Lets somebody do something to people.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn take_deed(&mut self, identity: &str, now: Instant) -> Result<(), ApiError> {
        let taken = self.deeds.take(identity, now);
        taken.map_err(|wait| {
            let text = format!("Slow down: {DEEDS_PER_MINUTE} a minute.");
            ApiError::new(Code::RateLimited, text).retry_after(wait)
        })
    }

    pub(super) fn hold(&mut self, held: Held) {
        self.held.insert(held.held_id.clone(), held);
    }

    pub(super) fn release(&mut self, held: &str) {
        self.held.remove(held);
    }

    /// Returns whether somebody may not write, and until when.
    pub(super) fn muted(&self, identity: &str, now: Timestamp) -> Option<Option<Timestamp>> {
        let until = self.mutes.get(identity).copied();
        until.filter(|until| holds(*until, now))
    }

    /// Returns what becomes of what somebody wants to say; those who keep order are not asked.
    ///
    /// # Errors
    /// Why it is not said, and where waiting helps, for how long to wait.
    pub(super) fn judge(
        &mut self,
        from: &Author,
        (text, client_id): (&str, Option<&str>),
        (now, today): (Instant, Timestamp),
    ) -> Result<Verdict, ApiError> {
        if from.role.keeps_order() {
            return Ok(Verdict::Show);
        }
        if let Some(until) = self.muted(&from.id, today) {
            let error = ApiError::new(Code::Muted, "A moderator muted you.");
            return Err(match until {
                Some(until) => error.retry_after(until.since(today)),
                None => error,
            });
        }
        let verdict = self.settings.judge(text, &self.words)?;
        if verdict != Verdict::Show && self.held.len() >= MAX_HELD {
            let text = "Too much waits for the moderators; try again later.";
            let error = ApiError::new(Code::Busy, text);
            return Err(error.retry_after(Duration::from_secs(10)));
        }
        self.take_turn(&from.id, client_id, now)?;
        self.limiter.take(&from.id, now)?;
        Ok(verdict)
    }

    /// Looks whether it is somebody's turn in slow mode. What is sent again, since its answer was lost, is not new.
    fn take_turn(
        &mut self,
        identity: &str,
        client_id: Option<&str>,
        now: Instant,
    ) -> Result<(), ApiError> {
        let wait = Duration::from_secs(self.settings.public.slow_mode_sec.into());
        if wait.is_zero() {
            return Ok(());
        }
        if let Some((at, earlier)) = self.wrote.get(identity) {
            let again = earlier.is_some() && earlier.as_deref() == client_id;
            let left = (*at + wait).saturating_duration_since(now);
            if again {
                return Ok(());
            }
            if !left.is_zero() {
                let text = "The chat is slow at present.";
                return Err(ApiError::new(Code::SlowMode, text).retry_after(left));
            }
        }
        if self.wrote.len() >= MAX_WRITERS {
            self.wrote.retain(|_, (at, _)| *at + wait > now);
        }
        if self.wrote.len() >= MAX_WRITERS {
            return Err(ApiError::busy());
        }
        self.wrote
            .insert(identity.to_owned(), (now, client_id.map(str::to_owned)));
        Ok(())
    }

    /// Lets somebody report something.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn take_report(&mut self, identity: &str, now: Instant) -> Result<(), ApiError> {
        let taken = self.reporters.take(identity, now);
        taken.map_err(|wait| {
            let text = "Slow down: ten reports a minute.";
            ApiError::new(Code::RateLimited, text).retry_after(wait)
        })
    }

    /// Returns among whom somebody has to be to write; `None`: anybody may.
    pub(super) fn audience(&self, from: &Author) -> Option<Audience> {
        let audience = self.settings.public.audience;
        (audience != Audience::Everyone && !from.role.keeps_order()).then_some(audience)
    }
}

/// What may wait for the moderators.
const MAX_HELD: usize = 200;

/// Who may be muted or banned in one room.
const MAX_LIMITED: usize = 10_000;

/// Who may have been given a role in one room.
const MAX_ROLES: usize = 200;

/// Who may write in turn.
const MAX_WRITERS: usize = 32_768;

const REPORTS_PER_MINUTE: u32 = 10;

/// More than anybody does to people by hand.
const DEEDS_PER_MINUTE: u32 = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::User;

    fn author(id: &str, role: Role) -> Author {
        Author {
            id: id.to_owned(),
            name: id.to_owned(),
            avatar_url: None,
            role,
        }
    }

    fn mute(until: Option<i64>) -> Limit {
        Limit {
            kind: LimitKind::Mute,
            who: User {
                id: "bob".to_owned(),
                name: "Bob".to_owned(),
            },
            reason: None,
            until: until.map(Timestamp::from_millis),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn one_who_is_muted_is_told_until_when_and_moderators_cannot_be() {
        let mut keeping = Keeping::restore(Order::default());
        keeping.limit(&mute(Some(10_000)));
        let bob = author("bob", Role::Viewer);
        let now = Instant::now();
        let say = |keeping: &mut Keeping, from: &Author, millis| {
            let today = Timestamp::from_millis(millis);
            keeping
                .judge(from, ("x", None), (now, today))
                .map_err(|it| (it.code, it.retry_after))
        };
        let wait = Some(Duration::from_secs(6));
        assert_eq!(say(&mut keeping, &bob, 4_000), Err((Code::Muted, wait)));
        assert_eq!(
            say(&mut keeping, &author("bob", Role::Moderator), 4_000),
            Ok(Verdict::Show)
        );
        assert_eq!(say(&mut keeping, &bob, 10_000), Ok(Verdict::Show));
        keeping.limit(&mute(None));
        assert_eq!(say(&mut keeping, &bob, 10_000), Err((Code::Muted, None)));
        keeping.lift(LimitKind::Mute, "bob");
        assert_eq!(say(&mut keeping, &bob, 10_000), Ok(Verdict::Show));
    }

    #[test]
    fn a_program_that_puts_people_out_one_after_the_other_is_slowed_down() {
        let mut keeping = Keeping::restore(Order::default());
        let now = Instant::now();
        for _ in 0..DEEDS_PER_MINUTE {
            keeping.take_deed("ann", now).unwrap();
        }
        let refused = keeping.take_deed("ann", now).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        keeping.take_deed("cy", now).unwrap();
    }

    #[test]
    fn a_room_full_of_helpers_takes_no_more_and_lets_them_go() {
        let mut keeping = Keeping::restore(Order::default());
        for helper in 0..MAX_ROLES {
            keeping.give(&format!("helper {helper}"), Some(Role::Moderator));
        }
        let deed = |id: &str, role| Deed::Role {
            who: User {
                id: id.to_owned(),
                name: String::new(),
            },
            role,
        };
        let more = keeping.check_room(&deed("bob", Some(Role::Cohost)));
        assert_eq!(more.unwrap_err().code, Code::InvalidValue);
        keeping
            .check_room(&deed("helper 1", Some(Role::Cohost)))
            .unwrap();
        keeping.check_room(&deed("helper 1", None)).unwrap();
        keeping.check_room(&Deed::Limit(mute(None))).unwrap();
    }

    #[test]
    fn in_slow_mode_each_waits_for_their_own_turn_and_what_was_lost_is_sent_again() {
        let mut keeping = Keeping::restore(Order::default());
        let mut settings = ChatSettings::default();
        settings.public.slow_mode_sec = 30;
        keeping.set(settings);
        let (bob, cy) = (author("bob", Role::Viewer), author("cy", Role::Viewer));
        let epoch = Instant::now();
        let today = Timestamp::from_millis(0);
        let mut say = |from: &Author, id, second| {
            let now = epoch + Duration::from_secs(second);
            keeping
                .judge(from, ("x", Some(id)), (now, today))
                .map_err(|it| (it.code, it.retry_after))
        };
        assert_eq!(say(&bob, "1", 0), Ok(Verdict::Show));
        assert_eq!(say(&bob, "1", 1), Ok(Verdict::Show));
        let wait = Some(Duration::from_secs(20));
        assert_eq!(say(&bob, "2", 10), Err((Code::SlowMode, wait)));
        assert_eq!(say(&cy, "1", 10), Ok(Verdict::Show));
        assert_eq!(say(&bob, "2", 30), Ok(Verdict::Show));
        assert_eq!(say(&author("ann", Role::Owner), "1", 30), Ok(Verdict::Show));
        assert_eq!(say(&author("ann", Role::Owner), "2", 30), Ok(Verdict::Show));
    }
}
