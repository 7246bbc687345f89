//! Which layer a WHEP player is shown: the video layer selection extension of WHEP.

use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ApiError, Code};
use crate::http::body::read;
use crate::room::{RoomMessage, VideoLayers};
use crate::ws::protocol::WantedLayer;

use super::endpoint::{Body, text};
use super::headers::check_content_type;
use super::resources::{Found, Resource};

/// The relation of the `Link` that announces it.
pub(super) const RELATION: &str = "urn:ietf:params:whep:ext:core:layer";

/// What a player asks for: a layer by its RID, or (none) what the server finds best.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    /// The place of the m-line; that of the video where it is left out.
    media_id: Option<Value>,
    /// The best one where it is left out.
    // Drafts before 02 had the other name.
    #[serde(alias = "encodingId")]
    rid: Option<WantedLayer>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Ways to choose that the draft has and Klieg does not.
const UNSUPPORTED: [&str; 6] = [
    "spatialLayerId",
    "temporalLayerId",
    "maxSpatialLayerId",
    "maxTemporalLayerId",
    "maxWidth",
    "maxHeight",
];

/// `POST /whep/{room}/{session}/layer`.
pub(crate) async fn select(
    Found(resource): Found,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let selected = choose(&resource, &headers, body);
    std::future::ready(selected.map(|()| StatusCode::OK)).await
}

fn choose(resource: &Resource, headers: &HeaderMap, body: Body) -> Result<(), ApiError> {
    check_content_type(headers, "application/json")?;
    let index = {
        let mut state = resource.state();
        state.take_request(Instant::now())?;
        state.session.video_index()
    };
    let selection = Selection::parse(&text(body)?, index)?;
    let layer = selection.rid.unwrap_or_default();
    resource.room.summary().layers.check(&layer)?;
    let socket = resource.socket;
    resource
        .room
        .tell(RoomMessage::SelectLayer { socket, layer })
}

impl Selection {
    fn parse(body: &str, index: Option<usize>) -> Result<Self, ApiError> {
        let selection: Self = read(body.as_bytes(), |_| None)?;
        let named = |name: &&str| selection.others.contains_key(*name);
        if let Some(name) = UNSUPPORTED.iter().copied().find(named) {
            let text = format!("Layers are chosen by `rid`, not by `{name}`.");
            return Err(ApiError::new(Code::LayerUnknown, text));
        }
        let place = match &selection.media_id {
            None => index,
            Some(Value::String(place)) => place.parse().ok(),
            Some(place) => place.as_u64().and_then(|place| place.try_into().ok()),
        };
        match index {
            Some(_) if place == index => Ok(selection),
            _ => {
                let text = "`mediaId` is not the place of an m-line of video.";
                Err(ApiError::new(Code::LayerUnknown, text))
            }
        }
    }
}

/// Writes the data of a `layers` event, by the place of the video's m-line.
pub(super) fn event_data(index: usize, layers: &VideoLayers) -> String {
    let layers: Vec<_> = layers
        .seen()
        .map(|(rid, info)| {
            // None or 0 is the draft's word for a layer that does not come.
            let bitrate = if info.active { info.bitrate_bps } else { 0 };
            json!({ "rid": rid, "bitrate": bitrate, "width": info.width, "height": info.height })
        })
        .collect();
    json!({ (index.to_string()): layers }).to_string()
}
