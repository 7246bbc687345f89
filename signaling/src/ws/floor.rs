//! What each message about the room's event, polls, questions, products and likes does.

use crate::auth::Action;
use crate::error::ApiError;
use crate::id::RoomId;
use crate::room::Input;
use crate::shop::Change;
use crate::store::{Author, Floor, Liking};

use super::handlers::{Answer, Conversation};
use super::protocol::Ack;
use super::protocol::floor::{PollMessage, QuestionMessage};

impl Conversation {
    /// Starts the room or ends its event; answered once it is stored.
    pub(super) async fn act(&mut self, input: Input) -> Result<Answer, ApiError> {
        let (id, _) = self.who_may(Action::Manage)?;
        if matches!(input, Input::Start(_)) {
            self.app.course.check_open()?;
        }
        self.app.rooms.act(&id, input).await?;
        Ok(Ack::default().into())
    }

    /// Lets the client change what is sold; answered once it is stored.
    pub(super) async fn sell(&mut self, change: Change) -> Result<Answer, ApiError> {
        let (id, _) = self.who_may(Action::Sell)?;
        self.app.rooms.sell(&id, change).await?;
        Ok(Ack::default().into())
    }

    /// Likes the room, or no more; answered once it is stored.
    pub(super) async fn like(&mut self) -> Result<Answer, ApiError> {
        let (id, by) = self.who_may(Action::React)?;
        let liked = self.app.rooms.like(&id, by.id, Liking::Toggle).await?;
        Ok(Ack {
            liked: Some(liked.liked),
            likes: Some(liked.likes),
            ..Ack::default()
        }
        .into())
    }

    /// Does something to a poll; answered once it is stored.
    pub(super) async fn poll(&mut self, message: PollMessage) -> Result<Answer, ApiError> {
        let (id, by) = self.who_may(message.action())?;
        let done = self.app.rooms.poll(&id, message.deed(by)?).await?;
        Ok(shown(&done))
    }

    /// Does something to a question; answered once it is stored.
    pub(super) async fn question(&mut self, message: QuestionMessage) -> Result<Answer, ApiError> {
        let (id, by) = self.who_may(message.action())?;
        let done = self.app.rooms.question(&id, message.deed(by)?).await?;
        Ok(shown(&done))
    }

    /// Returns where the client is and who it is there, if it may do something.
    fn who_may(&mut self, action: Action) -> Result<(RoomId, Author), ApiError> {
        let place = self.place()?;
        let (id, role) = place.check(action)?;
        Ok((id, self.identity()?.author(role)))
    }
}

fn shown(done: &Floor) -> Answer {
    let (mut poll_id, mut question_id) = (None, None);
    match done {
        Floor::Poll(poll) => poll_id = Some(poll.poll_id.clone()),
        Floor::Question(question) => question_id = Some(question.question_id.clone()),
        Floor::Removed(id) => question_id = Some(id.clone()),
        Floor::Refused(_) => {}
    }
    let ack = Ack {
        poll_id,
        question_id,
        ..Ack::default()
    };
    ack.into()
}
