//! What a host asks the audience, and what the audience asks the host.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Author, Stored};
use crate::id::RoomId;

/// Polls and questions. They change with the room's events, see [`Entry`](super::Entry).
pub(crate) trait FloorStore: Send + Sync {
    /// Returns a room's polls, the last first, with what somebody voted for.
    fn polls<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, Vec<OwnPoll>>;
    /// Returns a room's last poll.
    fn last_poll<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Poll>>;
    /// Returns what a room was asked, what most want to know first, with whether somebody is among them.
    fn questions<'a>(&'a self, room: &'a RoomId, identity: &'a str)
    -> Stored<'a, Vec<OwnQuestion>>;
}

/// A poll, on the wire too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    /// A UUID that rises with time.
    pub poll_id: String,
    /// What is asked.
    pub question: String,
    /// What can be answered, two to six.
    pub options: Vec<PollOption>,
    /// Whether it takes votes.
    pub open: bool,
    /// Milliseconds since 1970 (UTC).
    pub opened_at: i64,
    /// When it took no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub closed_at: Option<i64>,
}

impl Poll {
    /// Returns whether it was opened after another.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        (self.opened_at, &self.poll_id) > (other.opened_at, &other.poll_id)
    }
}

/// What can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PollOption {
    /// Its words.
    pub text: String,
    /// Who chose it.
    pub votes: u64,
}

/// A poll and what who asks chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OwnPoll {
    /// The poll.
    #[serde(flatten)]
    pub poll: Poll,
    /// The place of the option that who asks chose, from 0 on; missing while they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub chosen: Option<u8>,
}

/// A poll that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PollOpening {
    /// Its id. The poll of that id is left as it is, where there is one.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// What can be answered.
    pub options: Vec<String>,
}

/// What is done to polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PollDeed {
    /// One takes votes from now on; only one at a time does.
    Open(PollOpening),
    /// One takes no more.
    Close {
        /// Its id.
        poll: String,
    },
    /// Somebody votes; another vote of theirs goes.
    Vote {
        /// The poll's id.
        poll: String,
        /// The place of the option.
        choice: u8,
        /// Who.
        identity: String,
    },
}

impl PollDeed {
    /// Returns its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "poll_open",
            Self::Close { .. } => "poll_close",
            Self::Vote { .. } => "poll_vote",
        }
    }

    /// Returns who of the audience does it; `None` where it is for the host.
    pub(crate) fn by(&self) -> Option<&str> {
        match self {
            Self::Open(_) | Self::Close { .. } => None,
            Self::Vote { identity, .. } => Some(identity),
        }
    }
}

/// A question, on the wire too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    /// A UUID that rises with time.
    pub question_id: String,
    /// Milliseconds since 1970 (UTC).
    pub ts: i64,
    /// What is asked.
    pub text: String,
    /// Who asks.
    pub from: Author,
    /// Who want to know it, too.
    pub votes: u64,
    /// Whether it was answered.
    pub answered: bool,
}

/// A question and whether who asks wants to know it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OwnQuestion {
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// Whether who asks voted for it.
    pub voted: bool,
}

/// What is done to questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QuestionDeed {
    /// Somebody asks.
    Ask {
        /// What.
        text: String,
        /// Who.
        from: Author,
        /// The sender's own id: asked again, it is the same question.
        client_id: Option<String>,
    },
    /// Somebody wants to know it, too, or does no more.
    Vote {
        /// The id of the question.
        question: String,
        /// Whether they do.
        up: bool,
        /// Who.
        identity: String,
    },
    /// It was answered, or was not.
    Answer {
        /// The id of the question.
        question: String,
        /// Whether it was.
        answered: bool,
    },
    /// It is taken away.
    Remove {
        /// The id of the question.
        question: String,
    },
}

impl QuestionDeed {
    /// Returns its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "question",
            Self::Vote { .. } => "question_vote",
            Self::Answer { .. } => "question_answer",
            Self::Remove { .. } => "question_remove",
        }
    }

    /// Returns who of the audience does it; `None` where it is for those who keep order.
    pub(crate) fn by(&self) -> Option<&str> {
        match self {
            Self::Ask { from, .. } => Some(&from.id),
            Self::Vote { identity, .. } => Some(identity),
            Self::Answer { .. } | Self::Remove { .. } => None,
        }
    }
}

/// Why something is not done on the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Another question was asked under its id.
    #[error("Another question was asked under this `clientId` or `Idempotency-Key`.")]
    Other,
    /// There is nothing of this id.
    #[error("There is nothing that this could be done to.")]
    Missing,
    /// Another poll takes votes.
    #[error("Another poll is open; close it first.")]
    Open,
    /// The poll takes no votes.
    #[error("The poll is closed.")]
    Closed,
    /// The poll has no such option.
    #[error("The poll has no such option.")]
    Choice,
    /// There are as many as a room may have.
    #[error("There are too many of them already.")]
    Full,
}

/// What became of something on the floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// The poll as it is now.
    Poll(Poll),
    /// The question as it is now.
    Question(Question),
    /// The question is gone.
    Removed(String),
    /// Nothing was done.
    Refused(Refused),
}

/// Polls of one room.
pub(crate) const MAX_POLLS: i64 = 100;

/// Questions of one room.
pub(crate) const MAX_QUESTIONS: i64 = 500;
