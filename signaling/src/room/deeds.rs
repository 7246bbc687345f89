//! What those who keep order do, from their wish to what everybody sees.

use std::cmp::Reverse;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use tracing::info;

use crate::auth::{AddressMark, Role};
use crate::error::{ApiError, Code};
use crate::store::{self, Deed, Done, Entry, LimitKind, NewReport, Outcome};
use crate::time::Timestamp;
use crate::ws::protocol::{HeldReviewed, ReportResolved, You, message};

use super::departed::last;
use super::journal::{Author, Draft};
use super::member::{Member, Seat};
use super::news::Actor;
use super::task::Room;

/// Says no to what is done to somebody of the same role or a higher one.
pub(super) fn outranked() -> ApiError {
    let text = "This is not done to somebody of the same role or a higher one.";
    ApiError::new(Code::Forbidden, text)
}

impl Room {
    /// Takes a wish of somebody who may keep order.
    pub(super) fn keep_order(&mut self, by: store::Author, mut deed: Deed, actor: Actor) {
        if let Err(error) = self.check_deed(&by, &deed) {
            let _ = actor.send(Err(error));
            return;
        }
        if let Some(who) = deed.unnamed() {
            let known = self.known(std::slice::from_ref(&who.id));
            if let Some(known) = known.into_iter().next() {
                who.name = known.name;
            }
        }
        if let Deed::Limit(limit) = &mut deed
            && limit.kind == LimitKind::Ban
        {
            limit.addresses = self.addresses_of(&limit.who.id);
        }
        // When the queue is full the asker finds its reply gone, and says that the server is busy.
        let _ = self.write(Draft::new(Entry::Deed { deed, by }, Author::Acted(actor)));
    }

    /// Returns the last addresses that somebody comes from who is here, or came from, or that their ban goes with: none
    /// where bans do not go with that.
    fn addresses_of(&self, identity: &str) -> Vec<AddressMark> {
        let addresses = &self.context.addresses;
        if !addresses.are_heeded() {
            return Vec::new();
        }
        let here = self.members.iter();
        let mut here: Vec<_> = here
            .filter(|(_, member)| member.identity.id == identity)
            .collect();
        here.sort_unstable_by_key(|(socket, _)| Reverse(socket.0));
        let marks = |member: &Member| addresses.marks(&self.record.id, &member.identity.whence);
        let here = here.into_iter().flat_map(|(_, member)| marks(member));
        let before = self.keeping.addresses_of(identity, Timestamp::now());
        last(here.chain(before.cloned()))
    }

    /// Says no to what is done to somebody of the same role or a higher one.
    fn check_deed(&mut self, by: &store::Author, deed: &Deed) -> Result<(), ApiError> {
        if let Deed::Member { .. } = deed {
            return self.keeping.take_deed(&by.id, Instant::now());
        }
        let Some(person) = deed.against() else {
            return Ok(());
        };
        self.keeping.check_room(deed)?;
        self.keeping.take_deed(&by.id, Instant::now())?;
        let theirs = self.role_of(person);
        if by.role == Role::Admin || by.role.outranks(theirs) {
            return Ok(());
        }
        Err(outranked())
    }

    /// Returns what somebody is in the room, as far as it is known: they may not be here.
    fn role_of(&self, identity: &str) -> Role {
        let owner = (self.record.owner.id == identity).then_some(Role::Owner);
        let here = self.members.values();
        let here = here.filter(|member| member.identity.id == identity);
        let here = here.map(|member| member.seat.role());
        let known = here.chain(owner).chain(self.keeping.role(identity));
        known
            .min_by_key(|role| *role as usize)
            .unwrap_or(Role::Viewer)
    }

    /// Takes what somebody tells the moderators of a message.
    pub(super) fn report(&mut self, report: NewReport, actor: Actor) {
        if let Err(error) = self.keeping.take_report(&report.by.id, Instant::now()) {
            let _ = actor.send(Err(error));
            return;
        }
        let _ = self.write(Draft::new(Entry::Report(report), Author::Acted(actor)));
    }

    /// Tells the moderators what was reported.
    pub(super) fn handle_report(&mut self, author: Author, outcome: Outcome) {
        let answer = if let Outcome::Report(report) = outcome {
            if let Some(report) = report {
                self.context.metrics.talk.reports.inc();
                self.tell_moderators(&message("mod.report", &*report));
            }
            Ok(())
        } else {
            Err(ApiError::new(Code::NotFound, NOTHING))
        };
        if let Author::Acted(actor) = author {
            let _ = actor.send(answer);
        }
    }

    /// Shows what came of a deed.
    pub(super) fn handle_deed(
        &mut self,
        author: Author,
        (deed, by): (Deed, &store::Author),
        outcome: Outcome,
    ) {
        let answer = if let Outcome::Deed(done) = outcome {
            let metrics = &self.context.metrics;
            metrics.talk.deeds.with_label_values(&[deed.name()]).inc();
            info!(by = %by.id, deed = deed.name(), "order is kept");
            self.apply(deed, *done);
            Ok(())
        } else if outcome == Outcome::Full {
            Err(ApiError::too_many())
        } else {
            Err(ApiError::new(Code::NotFound, NOTHING))
        };
        if let Author::Acted(actor) = author {
            let _ = actor.send(answer);
        }
    }

    fn apply(&mut self, deed: Deed, done: Done) {
        match done.event {
            Some(store::Event::Chat(message)) => self.publish_chat(message),
            Some(event) => {
                let text = self.log.push(event);
                self.publish(text);
            }
            None => {}
        }
        match deed {
            Deed::Delete { message: id } => {
                if let Some(message) = done.message {
                    self.log.bury(message);
                }
                self.keeping
                    .pinned
                    .take_if(|pinned| pinned.message_id == id);
            }
            Deed::Pin { .. } => self.keeping.pinned = done.message,
            Deed::Limit(limit) => {
                self.keeping.limit(&limit);
                self.limited(limit.kind, &limit.who.id);
            }
            Deed::Lift { kind, identity } => {
                self.keeping.lift(kind, &identity);
                self.limited(kind, &identity);
            }
            Deed::Role { who, role } => {
                self.keeping.give(&who.id, role);
                self.share_standings();
                self.reseat(|member| member.identity.id == who.id);
            }
            Deed::Settings(patch) => {
                if let Some(settings) = done.settings {
                    self.keeping.set(*settings);
                }
                if let (Some(guests), Some(version)) = (patch.guests, done.version) {
                    self.let_guests_speak(guests, version);
                }
            }
            Deed::Review { held, approve } => {
                self.keeping.release(&held);
                let view = HeldReviewed {
                    held_id: &held,
                    approved: approve,
                };
                self.tell_moderators(&message("mod.reviewed", &view));
            }
            Deed::Resolve { report } => {
                let view = ReportResolved { report_id: &report };
                self.tell_moderators(&message("mod.resolved", &view));
            }
            Deed::Kick { .. } | Deed::Member { .. } => {}
        }
    }

    /// Tells those whom it concerns that somebody may not write or enter, or may again.
    fn limited(&mut self, kind: LimitKind, identity: &str) {
        match kind {
            LimitKind::Mute => self.tell_who_they_are(|member| member.identity.id == identity),
            LimitKind::Ban => self.share_standings(),
        }
    }

    /// Learns of a change of one field that is not its owner's [`Self::change`]; either may come first.
    fn let_guests_speak(&mut self, guests: bool, version: u64) {
        if version <= self.record.version {
            return;
        }
        self.record.allow_guest_chat = guests;
        self.record.version = version;
        self.show_record();
        self.reseat(|member| member.identity.is_guest());
    }

    /// Gives people here what they may do now, and tells them.
    pub(super) fn reseat(&mut self, whom: impl Fn(&Member) -> bool) {
        for member in self.members.values().filter(|member| whom(member)) {
            let given = self.keeping.role(&member.identity.id);
            member.seat.change(given, &self.record);
        }
        self.tell_who_they_are(whom);
    }

    fn tell_who_they_are(&self, whom: impl Fn(&Member) -> bool) {
        for member in self.members.values().filter(|member| whom(member)) {
            if let Some(outbox) = &member.outbox {
                let you = self.you(&member.identity.id, &member.identity.name, &member.seat);
                outbox.send(message("you", &you));
            }
        }
    }

    /// Returns what somebody is told of themselves.
    pub(super) fn you(&self, id: &str, name: &str, seat: &Seat) -> You {
        let now = Timestamp::now();
        let muted = self.keeping.muted(id, now);
        let muted = muted.filter(|_| !seat.role().keeps_order());
        You {
            participant: seat.participant(id, name),
            grants: seat.grants(),
            muted: muted.is_some(),
            muted_until: muted.flatten(),
        }
    }

    /// Sends something to those who keep order.
    pub(super) fn tell_moderators(&self, text: &Utf8Bytes) {
        let theirs = self.members.values();
        let theirs = theirs.filter(|member| member.seat.grants().moderate);
        for outbox in theirs.filter_map(|member| member.outbox.as_ref()) {
            outbox.send(text.clone());
        }
    }
}

const NOTHING: &str = "There is nothing that this could be done to.";
