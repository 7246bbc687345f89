//! Reactions to what is shown, over REST.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Action;
use crate::error::ApiError;
use crate::http::{Bearer, Body, RoomInPath};
use crate::ws::protocol;

/// What somebody feels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReaction {
    /// One of `reactions` of `GET /config`.
    #[schema(pattern = "^(❤|👏|😂|😮|🔥|🎉)$")]
    emoji: String,
}

/// Reacts to what is shown: everybody in the room sees it with those of others, at most four times a second.
#[utoipa::path(post, path = "/rooms/{id}/reactions", tag = "people", params(RoomInPath), request_body = NewReaction,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn react(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(new): Body<NewReaction>,
) -> Result<StatusCode, ApiError> {
    let identity = bearer.required()?;
    let (record, _, grants) = app.enter(&identity, &room).await?;
    grants.check(Action::React)?;
    let emoji = protocol::reaction(&new.emoji)?;
    app.rooms.react(&record.id, identity.id, emoji).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_description_has_the_reactions_that_there_are() {
        let schema = serde_json::to_value(NewReaction::schema()).unwrap();
        let all = protocol::REACTIONS.join("|");
        let pattern = &schema["properties"]["emoji"]["pattern"];
        assert_eq!(*pattern, format!("^({all})$"));
    }
}
