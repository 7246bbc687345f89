//! A room as REST shows it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Secret;
use crate::id::RoomId;
use crate::room::Summary;
use crate::store::{Document, ExternalLink, Quality, RoomRecord, RoomStatus, User, Visibility};
use crate::time::Timestamp;

/// A room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Room {
    /// Its name in the API.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    id: RoomId,
    /// Its name for people.
    title: String,
    /// What it is about; may be empty.
    description: String,
    /// What it is listed under.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    category: Option<String>,
    status: RoomStatus,
    visibility: Visibility,
    quality: Quality,
    /// How long viewers let pictures wait before they show them, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 4000)]
    playout_delay_ms: Option<u16>,
    /// Who created it.
    owner: User,
    /// A picture of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    host_avatar_url: Option<String>,
    /// What there is to read beside the picture.
    documents: Vec<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    external_link: Option<ExternalLink>,
    /// Whether guests may chat and react.
    allow_guest_chat: bool,
    /// Whether it waits for another event when one has ended.
    reusable: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    scheduled_at: Option<Timestamp>,
    /// When media first came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    ended_at: Option<Timestamp>,
    /// Viewing sessions that are open.
    viewer_count: u64,
    /// Where a picture of it is, on this server: of what it shows while it is on air, else the one that its owner gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    thumbnail_url: Option<String>,
    /// Once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    summary: Option<Summary>,
}

impl Room {
    /// Shows a room as it is now: what is in memory is newer than what is stored.
    pub(crate) fn new(app: &App, record: RoomRecord) -> Self {
        let now = app.rooms.summary(&record.id);
        let thumbnail_url = super::thumbnail::address(app, &record, now.as_ref());
        let viewer_count = now.as_ref().map_or(0, |now| now.viewer_count);
        let (status, started_at, ended_at) = now
            .map_or((record.status, record.started_at, record.ended_at), |now| {
                (now.status, now.started_at, now.ended_at)
            });
        let over = status.is_over() && status != RoomStatus::Cancelled;
        Self {
            summary: over.then(|| Summary::of(&record, ended_at)),
            id: record.id,
            title: record.title,
            description: record.description,
            category: record.category,
            status,
            visibility: record.visibility,
            quality: record.quality,
            playout_delay_ms: record.playout_delay_ms,
            owner: record.owner,
            host_avatar_url: record.host_avatar_url,
            documents: record.documents,
            external_link: record.external_link,
            allow_guest_chat: record.allow_guest_chat,
            reusable: record.reusable,
            created_at: record.created_at,
            scheduled_at: record.scheduled_at,
            started_at,
            ended_at,
            viewer_count,
            thumbnail_url,
        }
    }
}

/// A room that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedRoom {
    #[serde(flatten)]
    room: Room,
    ingest: Ingest,
    playback: Playback,
}

/// How encoders publish into a room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ingest {
    whip_url: String,
    /// The bearer for it. It is in no other answer, and not in this one again once it was rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stream_key: Option<String>,
}

/// How players watch a room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Playback {
    whep_url: String,
}

impl CreatedRoom {
    /// Shows a new room to its owner; `base` is how this server is reached.
    pub(crate) fn new(app: &App, record: RoomRecord, key: Option<&Secret>, base: &str) -> Self {
        Self {
            ingest: Ingest {
                whip_url: format!("{base}/whip/{}", record.id),
                stream_key: key.map(|key| key.expose().to_owned()),
            },
            playback: Playback {
                whep_url: format!("{base}/whep/{}", record.id),
            },
            room: Room::new(app, record),
        }
    }
}
