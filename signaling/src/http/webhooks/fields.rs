//! What admins may say about a webhook, and its bounds.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::rooms::fields::{line, present, said};
use crate::id::RoomId;
use crate::store::Webhook;
use crate::time::Timestamp;
use crate::webhook::target::{self, BadTarget};
use crate::webhook::{KINDS, new_secret};

/// A webhook to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where it listens.
    #[schema(
        min_length = 1,
        max_length = 2048,
        pattern = "^[Hh][Tt][Tt][Pp][Ss]?://"
    )]
    url: String,
    /// What it is, for people.
    #[schema(min_length = 1, max_length = 120)]
    description: Option<String>,
    /// Kinds of events, or `*` alone for all; all where it is left out.
    #[schema(min_items = 1, max_items = 12)]
    events: Option<Vec<String>>,
    /// Only of this room.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room_id: Option<String>,
    /// Only of the rooms of this host.
    #[schema(min_length = 1, max_length = 128)]
    owner_id: Option<String>,
    /// Whether it is told at present; it is where this is left out.
    enabled: Option<bool>,
}

/// What to change about a webhook. What is left out stays; `null` takes away what may be missing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    /// Where it listens. What waits goes there, too.
    #[serde(deserialize_with = "present")]
    #[schema(
        min_length = 1,
        max_length = 2048,
        pattern = "^[Hh][Tt][Tt][Pp][Ss]?://",
        nullable = false
    )]
    url: Option<String>,
    /// What it is, for people.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 120)]
    description: Option<Option<String>>,
    /// Kinds of events, or `*` alone for all.
    #[serde(deserialize_with = "present")]
    #[schema(min_items = 1, max_items = 12, nullable = false)]
    events: Option<Vec<String>>,
    /// Only of this room.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room_id: Option<Option<String>>,
    /// Only of the rooms of this host.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    owner_id: Option<Option<String>>,
    /// Whether it is told at present. What waits is told when it is again, within the time for it.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

impl NewWebhook {
    /// Makes a webhook of what was said.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(super) fn check(self, app: &App) -> Result<Webhook, ApiError> {
        let mut webhook = Webhook {
            id: crate::id::random(),
            url: String::new(),
            description: String::new(),
            events: vec!["*".to_owned()],
            room_id: None,
            owner_id: None,
            enabled: true,
            secret: new_secret(),
            old_secret: None,
            failing_since: None,
            created_at: Timestamp::now(),
        };
        let patch = WebhookPatch {
            url: Some(self.url),
            description: Some(self.description),
            events: self.events,
            room_id: Some(self.room_id),
            owner_id: Some(self.owner_id),
            enabled: self.enabled,
        };
        patch.apply(app, &mut webhook)?;
        Ok(webhook)
    }
}

impl WebhookPatch {
    /// Writes what was said into a webhook.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(super) fn apply(self, app: &App, webhook: &mut Webhook) -> Result<(), ApiError> {
        if let Some(url) = self.url {
            let allowed = &app.config.webhooks.allowed_targets;
            webhook.url = target::read(&url, allowed)?.to_string();
        }
        if let Some(description) = self.description {
            let description = description.map(|text| line("description", &text, MAX_DESCRIPTION));
            webhook.description = description.transpose()?.unwrap_or_default();
        }
        if let Some(events) = self.events {
            webhook.events = kinds(events)?;
        }
        if let Some(room) = self.room_id {
            if room.as_ref().is_some_and(|it| RoomId::parse(it).is_none()) {
                return Err(wrong("`roomId` is no id of a room."));
            }
            webhook.room_id = room;
        }
        if let Some(owner) = self.owner_id {
            let bad = |it: &String| !(1..=128).contains(&it.chars().count()) || it.contains('\0');
            if owner.as_ref().is_some_and(bad) {
                return Err(wrong("`ownerId` has 1 to 128 characters."));
            }
            webhook.owner_id = owner;
        }
        webhook.enabled = self.enabled.unwrap_or(webhook.enabled);
        Ok(())
    }
}

fn kinds(mut events: Vec<String>) -> Result<Vec<String>, ApiError> {
    if events.len() > KINDS.len() {
        return Err(wrong("`events` has 12 kinds at most."));
    }
    events.sort();
    events.dedup();
    let all = events == ["*"];
    let known = events.iter().all(|kind| KINDS.contains(&kind.as_str()));
    if events.is_empty() || !(all || known) {
        let text = format!(
            "`events` has some of these, or `*` alone: {}.",
            KINDS.join(", ")
        );
        return Err(ApiError::new(Code::InvalidValue, text));
    }
    Ok(events)
}

fn wrong(text: &'static str) -> ApiError {
    ApiError::new(Code::BadMessage, text)
}

impl From<BadTarget> for ApiError {
    fn from(bad: BadTarget) -> Self {
        let code = match bad {
            BadTarget::TooLong => Code::BadMessage,
            BadTarget::NoUrl | BadTarget::Extras => Code::InvalidValue,
            BadTarget::Clear | BadTarget::Private => Code::AddressRefused,
        };
        Self::new(code, bad.to_string())
    }
}

const MAX_DESCRIPTION: usize = 120;
