//! Webhooks and deliveries as admins see them. A secret is shown once, in the answer that it is made for.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::store::{self, DeliveryStatus};
use crate::time::Timestamp;

/// A webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    id: String,
    /// Where it listens.
    url: String,
    /// What it is, for people; may be empty.
    description: String,
    /// Kinds of events, or `*` alone: all.
    events: Vec<String>,
    /// Only of this room.
    room_id: Option<String>,
    /// Only of the rooms of this host.
    owner_id: Option<String>,
    /// Whether it is told at present.
    enabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Since when nothing gets through; `null` while the last attempt did.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Until when the secret before signs, too; `null` where there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    old_secret_until: Option<Timestamp>,
}

/// A webhook with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// What each request is signed with; shown here and never again. Missing where it was replaced before the request came again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<store::Webhook> for Webhook {
    fn from(webhook: store::Webhook) -> Self {
        let now = Timestamp::now();
        let old = webhook.old_secret.map(|(_, until)| until);
        Self {
            id: webhook.id,
            url: webhook.url,
            description: webhook.description,
            events: webhook.events,
            room_id: webhook.room_id,
            owner_id: webhook.owner_id,
            enabled: webhook.enabled,
            created_at: webhook.created_at,
            failing_since: webhook.failing_since,
            old_secret_until: old.filter(|until| *until > now),
        }
    }
}

impl From<store::Webhook> for CreatedWebhook {
    fn from(webhook: store::Webhook) -> Self {
        Self {
            secret: (webhook.old_secret.is_none()).then(|| webhook.secret.expose().to_owned()),
            webhook: webhook.into(),
        }
    }
}

/// One event on its way to one webhook, or what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// What receivers know the event by: `webhook-id`.
    id: String,
    /// What happened.
    r#type: String,
    /// Where; `null` for what is of no room.
    room_id: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    status: DeliveryStatus,
    /// Attempts since it happened, or was replayed.
    attempts: u32,
    /// When the first that waits of its room is tried next; `null` while it is tried, and where nothing waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// When it was tried last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_attempt_at: Option<Timestamp>,
    /// What was answered then; `null`: nothing.
    response_status: Option<u16>,
    /// What went wrong then; `null`: nothing.
    error: Option<String>,
    /// How long that took, in milliseconds.
    duration_ms: Option<i64>,
}

/// A delivery with what is told.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryWithBody {
    #[serde(flatten)]
    delivery: Delivery,
    /// The body of the request.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

impl From<store::Delivery> for Delivery {
    fn from(delivery: store::Delivery) -> Self {
        Self {
            id: delivery.event_id,
            r#type: delivery.kind,
            room_id: delivery.room_id,
            created_at: delivery.created_at,
            status: delivery.status,
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_at,
            last_attempt_at: delivery.last_at,
            response_status: delivery.last_status,
            error: delivery.last_error,
            duration_ms: delivery.last_ms,
        }
    }
}

impl DeliveryWithBody {
    pub(super) fn new(delivery: store::Delivery, body: String) -> Self {
        let body = RawValue::from_string(body);
        Self {
            delivery: delivery.into(),
            body: body.unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}
