//! Polls and questions, over REST.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::moderation::ItemInPath;
use super::nobody;
use crate::app::App;
use crate::auth::{Action, Grants, Identity, Role};
use crate::error::ApiError;
use crate::http::creation::{IdempotencyKey, creation_key, once};
use crate::http::page::Page;
use crate::http::{Bearer, Body, RoomInPath};
use crate::room::Rooms;
use crate::store::{
    Floor, OwnPoll, OwnQuestion, Poll, PollDeed, PollOpening, Question, QuestionDeed, RoomRecord,
};
use crate::ws::protocol::floor::{NewPoll, NewQuestion};

/// Lists the polls of a room, the last first, with what who asks chose.
#[utoipa::path(get, path = "/rooms/{id}/polls", tag = "floor", params(RoomInPath),
    responses((status = 200, body = Page<OwnPoll>)), security((), ("bearer" = [])))]
pub(crate) async fn polls(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<OwnPoll>>, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let polls = app.stores.floor.polls(&record.id, &identity.id).await;
    Ok(Json(Page::whole(polls.map_err(ApiError::store)?)))
}

/// Opens a poll. One at a time is open.
#[utoipa::path(post, path = "/rooms/{id}/polls", tag = "floor", params(RoomInPath, IdempotencyKey),
    request_body = NewPoll,
    responses((status = 201, body = Poll)), security(("bearer" = [])))]
pub(crate) async fn open_poll(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(new): Body<NewPoll>,
) -> Result<Response, ApiError> {
    let (record, role, _, identity) = enter(&app, bearer, &room).await?;
    role.check(Action::Poll, &record)?;
    let creation = creation_key(&headers, &identity, &format!("poll {room} {new:?}"))?;
    let (opening, rooms) = (new.check()?, Arc::clone(&app.rooms));
    let open = move |id| async move {
        let deed = PollDeed::Open(PollOpening { id, ..opening });
        poll(&rooms, &record, deed).await
    };
    once(&app, creation, open).await
}

/// Closes a poll: it takes no votes any more.
#[utoipa::path(post, path = "/rooms/{id}/polls/{itemId}/close", tag = "floor", params(ItemInPath),
    responses((status = 200, body = Poll)), security(("bearer" = [])))]
pub(crate) async fn close_poll(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
) -> Result<Json<Poll>, ApiError> {
    let (record, role, _, _) = enter(&app, bearer, &room).await?;
    role.check(Action::Poll, &record)?;
    let closed = poll(&app.rooms, &record, PollDeed::Close { poll: id });
    closed.await.map(Json)
}

/// A vote.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vote {
    /// The place of the option, from 0 on.
    #[schema(maximum = 5)]
    option: u8,
}

/// Votes in a poll; another vote of the same identity goes.
#[utoipa::path(put, path = "/rooms/{id}/polls/{itemId}/vote", tag = "floor", params(ItemInPath), request_body = Vote,
    responses((status = 200, body = Poll)), security(("bearer" = [])))]
pub(crate) async fn vote_poll(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
    Body(Vote { option }): Body<Vote>,
) -> Result<Json<Poll>, ApiError> {
    let (record, _, grants, identity) = enter(&app, bearer, &room).await?;
    grants.check(Action::React)?;
    let deed = PollDeed::Vote {
        poll: id,
        choice: option,
        identity: identity.id,
    };
    poll(&app.rooms, &record, deed).await.map(Json)
}

/// Lists what a room was asked: what is not answered first, and of that what most want to know.
#[utoipa::path(get, path = "/rooms/{id}/questions", tag = "floor", params(RoomInPath),
    responses((status = 200, body = Page<OwnQuestion>)), security((), ("bearer" = [])))]
pub(crate) async fn questions(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<OwnQuestion>>, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let asked = app.stores.floor.questions(&record.id, &identity.id).await;
    Ok(Json(Page::whole(asked.map_err(ApiError::store)?)))
}

/// Asks something.
#[utoipa::path(post, path = "/rooms/{id}/questions", tag = "floor", params(RoomInPath, IdempotencyKey),
    request_body = NewQuestion,
    responses((status = 201, body = Question)), security(("bearer" = [])))]
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(new): Body<NewQuestion>,
) -> Result<(StatusCode, Json<Question>), ApiError> {
    let (record, role, grants, identity) = enter(&app, bearer, &room).await?;
    grants.check(Action::Chat)?;
    let key = creation_key(&headers, &identity, "")?.map(|key| key.name);
    let deed = new.or_named(key).check(identity.author(role))?;
    let question = question(&app.rooms, &record, deed).await?;
    Ok((StatusCode::CREATED, Json(question)))
}

/// Wants to know it, too.
#[utoipa::path(put, path = "/rooms/{id}/questions/{itemId}/vote", tag = "floor", params(ItemInPath),
    responses((status = 200, body = Question)), security(("bearer" = [])))]
pub(crate) async fn vote_question(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
) -> Result<Json<Question>, ApiError> {
    wonder(&app, bearer, (&room, id), true).await
}

/// Wants to know it no more.
#[utoipa::path(delete, path = "/rooms/{id}/questions/{itemId}/vote", tag = "floor", params(ItemInPath),
    responses((status = 200, body = Question)), security(("bearer" = [])))]
pub(crate) async fn unvote_question(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
) -> Result<Json<Question>, ApiError> {
    wonder(&app, bearer, (&room, id), false).await
}

async fn wonder(
    app: &App,
    bearer: Bearer,
    (room, id): (&str, String),
    up: bool,
) -> Result<Json<Question>, ApiError> {
    let (record, _, grants, identity) = enter(app, bearer, room).await?;
    grants.check(Action::React)?;
    let deed = QuestionDeed::Vote {
        question: id,
        up,
        identity: identity.id,
    };
    question(&app.rooms, &record, deed).await.map(Json)
}

/// What became of a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AnsweredQuestion)]
pub(crate) struct Answered {
    /// Whether it was answered.
    answered: bool,
}

/// Marks a question as answered, or takes that back.
#[utoipa::path(patch, path = "/rooms/{id}/questions/{itemId}", tag = "floor", params(ItemInPath), request_body = Answered,
    responses((status = 200, body = Question)), security(("bearer" = [])))]
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
    Body(Answered { answered }): Body<Answered>,
) -> Result<Json<Question>, ApiError> {
    let (record, _, grants, _) = enter(&app, bearer, &room).await?;
    grants.check(Action::Moderate)?;
    let deed = QuestionDeed::Answer {
        question: id,
        answered,
    };
    question(&app.rooms, &record, deed).await.map(Json)
}

/// Takes a question away.
#[utoipa::path(delete, path = "/rooms/{id}/questions/{itemId}", tag = "floor", params(ItemInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, id): ItemInPath,
) -> Result<StatusCode, ApiError> {
    let (record, _, grants, _) = enter(&app, bearer, &room).await?;
    grants.check(Action::Moderate)?;
    let deed = QuestionDeed::Remove { question: id };
    app.rooms.question(&record.id, deed).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn enter(
    app: &App,
    bearer: Bearer,
    room: &str,
) -> Result<(RoomRecord, Role, Grants, Identity), ApiError> {
    let identity = bearer.required()?;
    let (record, role, grants) = app.enter(&identity, room).await?;
    Ok((record, role, grants, identity))
}

async fn poll(rooms: &Arc<Rooms>, room: &RoomRecord, deed: PollDeed) -> Result<Poll, ApiError> {
    match rooms.poll(&room.id, deed).await? {
        Floor::Poll(poll) => Ok(poll),
        Floor::Question(_) | Floor::Removed(_) | Floor::Refused(_) => Err(foreign()),
    }
}

async fn question(
    rooms: &Arc<Rooms>,
    room: &RoomRecord,
    deed: QuestionDeed,
) -> Result<Question, ApiError> {
    match rooms.question(&room.id, deed).await? {
        Floor::Question(question) => Ok(question),
        Floor::Poll(_) | Floor::Removed(_) | Floor::Refused(_) => Err(foreign()),
    }
}

fn foreign() -> ApiError {
    ApiError::internal("an answer to something else")
}
