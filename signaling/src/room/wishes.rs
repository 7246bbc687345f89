//! What the audience and those who sell want of a room, wherever it is.

use std::sync::Arc;

use crate::error::ApiError;
use crate::id::RoomId;
use crate::shop::{Change, NewOrder, Shelf};
use crate::store::{Floor, Liked, Liking, PollDeed, QuestionDeed};

use super::Outside;
use super::rooms::Rooms;

impl Rooms {
    /// Changes what a room sells; returns it once that is stored.
    ///
    /// # Errors
    /// `not_found` when there is no such product; `invalid_value`; `busy`; `unavailable`.
    pub(crate) async fn sell(
        self: &Arc<Self>,
        id: &RoomId,
        change: Change,
    ) -> Result<Arc<Shelf>, ApiError> {
        let sold = self.ask(id, |reply| Outside::Sell {
            change: change.clone(),
            reply,
        });
        sold.await?
    }

    /// Takes an order; returns once it is stored, with whether it is a new one.
    ///
    /// # Errors
    /// `invalid_value`; `busy`; `unavailable`.
    pub(crate) async fn order(
        self: &Arc<Self>,
        id: &RoomId,
        order: NewOrder,
    ) -> Result<bool, ApiError> {
        let taken = self.ask(id, |reply| Outside::Order {
            order: Box::new(order.clone()),
            reply,
        });
        taken.await?
    }

    /// Does something to a poll; returns it once that is stored.
    ///
    /// # Errors
    /// `not_found`; `room_state`; `invalid_value`; `busy`; `unavailable`.
    pub(crate) async fn poll(
        self: &Arc<Self>,
        id: &RoomId,
        deed: PollDeed,
    ) -> Result<Floor, ApiError> {
        let done = self.ask(id, |reply| Outside::Poll {
            deed: deed.clone(),
            reply,
        });
        done.await?
    }

    /// Does something to a question; returns it once that is stored.
    ///
    /// # Errors
    /// What may not be said; `not_found`; `invalid_value`; `busy`; `unavailable`.
    pub(crate) async fn question(
        self: &Arc<Self>,
        id: &RoomId,
        deed: QuestionDeed,
    ) -> Result<Floor, ApiError> {
        let done = self.ask(id, |reply| Outside::Question {
            deed: deed.clone(),
            reply,
        });
        done.await?
    }

    /// Lets somebody without a socket react.
    ///
    /// # Errors
    /// `rate_limited`; `busy`.
    pub(crate) async fn react(
        self: &Arc<Self>,
        id: &RoomId,
        identity: String,
        emoji: &'static str,
    ) -> Result<(), ApiError> {
        let taken = self.ask(id, |reply| Outside::React {
            identity: identity.clone(),
            emoji,
            reply,
        });
        taken.await?
    }

    /// Writes down whether somebody likes a room.
    ///
    /// # Errors
    /// `rate_limited`; `busy`; `unavailable`.
    pub(crate) async fn like(
        self: &Arc<Self>,
        id: &RoomId,
        identity: String,
        liking: Liking,
    ) -> Result<Liked, ApiError> {
        let liked = self.ask(id, |reply| Outside::Like {
            identity: identity.clone(),
            liking,
            reply,
        });
        liked.await?
    }
}
