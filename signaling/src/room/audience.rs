//! Who is in a room, for those who keep order, and who likes it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::warn;

use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::store::{Entry, Liked, Liking, Outcome};
use crate::ws::protocol::{Attendance, batch, message};

use super::Departure;
use super::journal::{Author, Draft};
use super::task::Room;

/// Who waits for what became of their like.
pub(super) type Liker = oneshot::Sender<Result<Liked, ApiError>>;

impl Room {
    /// Takes what somebody says of whether they like the room.
    pub(super) fn like(&mut self, identity: String, liking: Liking, liker: Liker) {
        if let Err(wait) = self.likers.take(&identity, Instant::now()) {
            let text = "Slow down: thirty times a minute.";
            let error = ApiError::new(Code::RateLimited, text).retry_after(wait);
            let _ = liker.send(Err(error));
            return;
        }
        // When the queue is full the asker finds the reply gone, and says that the server is busy.
        let _ = self.write(Draft::new(
            Entry::Like { identity, liking },
            Author::Likes(liker),
        ));
    }

    /// Shows how many like the room.
    pub(super) fn handle_like(&mut self, author: Author, identity: &str, outcome: Outcome) {
        let Outcome::Liked(liked) = outcome else {
            return;
        };
        self.context.metrics.talk.likes.inc();
        self.tally.likes = liked.likes;
        if liked.liked {
            self.figures.engage(identity);
        }
        self.note_likes();
        if let Author::Likes(liker) = author {
            let _ = liker.send(Ok(liked));
        }
    }

    /// Takes note of somebody who came or went, for those who keep order.
    pub(super) fn note_person(&mut self, what: &'static str, socket: SocketId) {
        let moderators = self.members.values();
        let mut moderators = moderators.filter(|member| member.seat.grants().moderate);
        if self.numbers.people.len() >= MOST_PEOPLE || moderators.next().is_none() {
            return;
        }
        let Some(member) = self.members.get(&socket) else {
            return;
        };
        let attendance = Attendance {
            person: member.person(),
            present: self.presence.people(),
        };
        self.numbers.people.push(message(what, &attendance));
        self.numbers.people_pace.note(Instant::now());
    }

    /// Tells those who keep order who came and went.
    pub(super) fn tell_people(&mut self) {
        let people = std::mem::take(&mut self.numbers.people);
        if !people.is_empty() {
            self.tell_moderators(&batch(&people));
        }
    }

    /// Counts those no more who did not come back for their media, and takes those out whose sockets ended without a word:
    /// their tasks say so, unless one failed.
    pub(super) fn check_presence(&mut self, now: Instant) {
        if self.presence.expire(now) {
            self.note_viewers();
        }
        if self.numbers.sweep_due.take_if(|due| *due <= now).is_none() {
            return;
        }
        let gone = self.members.iter().filter(|(_, member)| {
            let outbox = member.outbox.as_ref();
            outbox.is_some_and(|outbox| outbox.is_abandoned())
        });
        let gone: Vec<SocketId> = gone.map(|(socket, _)| *socket).collect();
        if !gone.is_empty() {
            warn!(sockets = gone.len(), "sockets ended without a word");
        }
        for socket in gone {
            self.leave(socket, Departure::Lost);
        }
        if !self.members.is_empty() {
            self.numbers.sweep_due = Some(now + SWEEP_EVERY);
        }
    }
}

/// As often as clients are asked whether they live.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(20);

pub(super) const LIKES_PER_MINUTE: u32 = 30;

/// Told one by one in a quarter of a second: a moderator's queue is to hold them.
const MOST_PEOPLE: usize = 100;
