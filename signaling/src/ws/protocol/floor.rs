//! What is sent of polls and questions, on the socket and over REST.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Action;
use crate::chat::{MAX_MESSAGE_ID, clean, is_name};
use crate::error::{ApiError, Code};
use crate::store::{Author, PollDeed, PollOpening, QuestionDeed};

/// A poll to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPoll {
    /// What is asked.
    #[schema(min_length = 1, max_length = 200)]
    question: String,
    /// What can be answered, of 80 characters at most.
    #[schema(min_items = 2, max_items = 6)]
    options: Vec<PollAnswer>,
}

/// What can be answered.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(min_length = 1, max_length = 80)]
pub(crate) struct PollAnswer(String);

impl NewPoll {
    /// Checks the bounds, and cleans the texts.
    ///
    /// # Errors
    /// `bad_message`, `text_empty`.
    pub(crate) fn check(self) -> Result<PollOpening, ApiError> {
        if !(2..=6).contains(&self.options.len()) {
            let text = "`options` has two to six texts.";
            return Err(ApiError::new(Code::BadMessage, text));
        }
        let options = self.options.iter();
        let options = options.map(|PollAnswer(text)| line("options", text, 80));
        Ok(PollOpening {
            id: Uuid::now_v7().to_string(),
            question: line("question", &self.question, 200)?,
            options: options.collect::<Result<_, _>>()?,
        })
    }
}

/// `poll.close`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClosePoll {
    pub(crate) poll_id: String,
}

/// `poll.vote`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VotePoll {
    pub(crate) poll_id: String,
    /// The place of the option, from 0 on.
    pub(crate) option: u8,
}

/// A question to be asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewQuestion {
    /// What is asked.
    #[schema(min_length = 1, max_length = 300)]
    text: String,
    /// The sender's own id of it: asked again under the same one, it is the same question. Over REST an
    /// `Idempotency-Key` stands for it.
    #[schema(min_length = 1, max_length = 64)]
    client_id: Option<String>,
}

impl NewQuestion {
    /// Takes an id for one that has none.
    pub(crate) fn or_named(self, id: Option<String>) -> Self {
        let client_id = self.client_id.or(id);
        Self { client_id, ..self }
    }

    /// Checks the bounds, and cleans the text.
    ///
    /// # Errors
    /// `bad_message`, `text_empty`.
    pub(crate) fn check(self, from: Author) -> Result<QuestionDeed, ApiError> {
        let named = |id: &String| is_name(id, MAX_MESSAGE_ID);
        if !self.client_id.as_ref().is_none_or(named) {
            let text = "`clientId` has 1 to 64 characters.";
            return Err(ApiError::new(Code::BadMessage, text));
        }
        Ok(QuestionDeed::Ask {
            text: line("text", &self.text, 300)?,
            from,
            client_id: self.client_id,
        })
    }
}

/// `question.vote`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VoteQuestion {
    pub(crate) question_id: String,
    /// Whether the sender wants to know it, too.
    pub(crate) up: bool,
}

/// `question.answer`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerQuestion {
    pub(crate) question_id: String,
    pub(crate) answered: bool,
}

/// `question.remove`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoveQuestion {
    pub(crate) question_id: String,
}

/// What is for polls.
#[derive(Debug)]
pub(crate) enum PollMessage {
    Open(NewPoll),
    Close(ClosePoll),
    Vote(VotePoll),
}

impl PollMessage {
    /// Returns what it needs.
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Open(_) | Self::Close(_) => Action::Poll,
            Self::Vote(_) => Action::React,
        }
    }

    /// Returns what somebody wants.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn deed(self, by: Author) -> Result<PollDeed, ApiError> {
        Ok(match self {
            Self::Open(new) => PollDeed::Open(new.check()?),
            Self::Close(ClosePoll { poll_id: poll }) => PollDeed::Close { poll },
            Self::Vote(VotePoll { poll_id, option }) => PollDeed::Vote {
                poll: poll_id,
                choice: option,
                identity: by.id,
            },
        })
    }
}

/// What is for questions.
#[derive(Debug)]
pub(crate) enum QuestionMessage {
    Ask(NewQuestion),
    Vote(VoteQuestion),
    Answer(AnswerQuestion),
    Remove(RemoveQuestion),
}

impl QuestionMessage {
    /// Returns what it needs.
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Ask(_) => Action::Chat,
            Self::Vote(_) => Action::React,
            Self::Answer(_) | Self::Remove(_) => Action::Moderate,
        }
    }

    /// Returns what somebody wants.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn deed(self, by: Author) -> Result<QuestionDeed, ApiError> {
        Ok(match self {
            Self::Ask(new) => new.check(by)?,
            Self::Vote(VoteQuestion { question_id, up }) => QuestionDeed::Vote {
                question: question_id,
                up,
                identity: by.id,
            },
            Self::Answer(AnswerQuestion {
                question_id,
                answered,
            }) => QuestionDeed::Answer {
                question: question_id,
                answered,
            },
            Self::Remove(RemoveQuestion { question_id }) => QuestionDeed::Remove {
                question: question_id,
            },
        })
    }
}

fn line(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    if text.chars().nth(longest).is_some() {
        let text = format!("`{field}` has texts of 1 to {longest} characters.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    clean(text)
}
