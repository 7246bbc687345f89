//! Polls and questions, from somebody's wish to what everybody sees.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::oneshot;

use crate::chat::Verdict;
use crate::error::{ApiError, Code};
use crate::store::{Entry, Floor, Outcome, Poll, PollDeed, QuestionDeed, Refused};
use crate::time::Timestamp;
use crate::ws::protocol::{PollView, QuestionRemoved, batch, message};

use super::journal::{Author, Draft};
use super::task::Room;

/// Who waits for what became of a poll or a question.
pub(super) type Asker = oneshot::Sender<Result<Floor, ApiError>>;

/// What is on the floor.
#[derive(Debug)]
pub(super) struct Podium {
    /// The last poll; `None` before the first.
    pub(super) poll: Option<Poll>,
    /// When the host opened it, or closed it; `None`: not since the room was opened here.
    poll_at: Option<Timestamp>,
    /// Whether others do not know yet how it stands.
    poll_changed: bool,
    /// Questions that changed since the last time, by their ids, as they are to be told.
    questions: BTreeMap<String, Utf8Bytes>,
}

impl Podium {
    pub(super) fn new(poll: Option<Poll>) -> Self {
        Self {
            poll,
            poll_at: None,
            poll_changed: false,
            questions: BTreeMap::new(),
        }
    }

    /// Writes how the poll stands; `None` before the first.
    pub(super) fn poll_message(&self) -> Option<Utf8Bytes> {
        let view = PollView {
            poll: self.poll.as_ref()?,
            captured_at: self.poll_at.map(Timestamp::millis),
        };
        Some(message("poll", &view))
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Missing => Code::NotFound,
            Refused::Open | Refused::Closed => Code::RoomState,
            Refused::Choice | Refused::Full | Refused::Other => Code::InvalidValue,
        };
        Self::new(code, refused.to_string())
    }
}

impl Room {
    /// Takes what somebody wants of a poll. When the queue is full they find the reply gone, and say that the server is
    /// busy.
    pub(super) fn poll(&mut self, deed: PollDeed, asker: Asker) {
        let _ = self.write(Draft::new(Entry::Poll(deed), Author::Floor(asker)));
    }

    /// Takes what somebody wants of a question, as [`Room::poll`] does. Who may not write may not ask.
    pub(super) fn question(&mut self, deed: QuestionDeed, asker: Asker) {
        if let Err(error) = self.check_question(&deed) {
            let _ = asker.send(Err(error));
            return;
        }
        let _ = self.write(Draft::new(Entry::Question(deed), Author::Floor(asker)));
    }

    fn check_question(&mut self, deed: &QuestionDeed) -> Result<(), ApiError> {
        let QuestionDeed::Ask {
            text,
            from,
            client_id,
        } = deed
        else {
            return Ok(());
        };
        let now = (Instant::now(), Timestamp::now());
        let what = (text.as_str(), client_id.as_deref());
        let (code, why) = match self.keeping.judge(from, what, now)? {
            Verdict::Show => return Ok(()),
            Verdict::Hold("link") => (Code::LinkRefused, "Questions have no links here."),
            Verdict::Hold(_) => (Code::WordRefused, "A word of it is not said here."),
        };
        Err(ApiError::new(code, why))
    }

    /// Shows what became of a poll or a question.
    pub(super) fn handle_floor(
        &mut self,
        author: Author,
        (deed, by, at): (&'static str, Option<&str>, Timestamp),
        outcome: Outcome,
    ) {
        let Outcome::Floor(floor) = outcome else {
            return;
        };
        let answer = match *floor {
            Floor::Refused(refused) => Err(refused.into()),
            done @ (Floor::Poll(_) | Floor::Question(_) | Floor::Removed(_)) => {
                let metrics = &self.context.metrics.talk.floor;
                metrics.with_label_values(&[deed]).inc();
                // Votes leave a poll with the frame that it was opened at.
                self.note_floor(&done, by.is_none().then_some(at));
                if let Some(by) = by {
                    self.figures.engage(by);
                }
                Ok(done)
            }
        };
        if let Author::Floor(asker) = author {
            let _ = asker.send(answer);
        }
    }

    /// Takes note of what others do not know yet; `at` is when the host did it, and not the audience.
    fn note_floor(&mut self, done: &Floor, at: Option<Timestamp>) {
        let now = Instant::now();
        match done {
            Floor::Poll(poll) => {
                let last = self.podium.poll.as_ref();
                // An older one that is closed once more is nobody's business.
                if last.is_none_or(|last| !last.is_after(poll)) && last != Some(poll) {
                    self.podium.poll = Some(poll.clone());
                    self.podium.poll_at = at.or(self.podium.poll_at);
                    self.podium.poll_changed = true;
                    self.numbers.floor_pace.note(now);
                }
            }
            Floor::Question(question) => {
                let text = message("question", question);
                let id = question.question_id.clone();
                self.podium.questions.insert(id, text);
                self.numbers.floor_pace.note(now);
            }
            Floor::Removed(id) => {
                let text = message("question.removed", &QuestionRemoved { question_id: id });
                self.podium.questions.insert(id.clone(), text);
                self.numbers.floor_pace.note(now);
            }
            Floor::Refused(_) => {}
        }
    }

    /// Tells everybody how the poll stands, and which questions changed.
    pub(super) fn tell_floor(&mut self) {
        let mut texts: Vec<Utf8Bytes> = Vec::new();
        if std::mem::take(&mut self.podium.poll_changed)
            && let Some(poll) = self.podium.poll_message()
        {
            texts.push(poll);
        }
        texts.extend(std::mem::take(&mut self.podium.questions).into_values());
        if !texts.is_empty() {
            self.broadcast(&batch(&texts));
        }
    }
}
