//! What clients may say about a room, and its bounds. What the schema can state is answered with 400, as any other
//! form that is not as described; what only reading can tell is answered with 422.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::store::{Document, ExternalLink, Quality, RoomRecord, Visibility};
use crate::text;
use crate::time::Timestamp;

/// A room to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewRoom {
    /// Its name for people.
    #[schema(min_length = 1, max_length = 120)]
    title: String,
    /// What it is about.
    #[serde(default)]
    #[schema(max_length = 2000)]
    description: String,
    /// What it is listed under: a word of lower-case letters, digits and hyphens.
    #[schema(min_length = 1, max_length = 40, pattern = "^[a-z0-9-]+$")]
    category: Option<String>,
    /// Who may know of it; `public` where it is left out.
    visibility: Option<Visibility>,
    /// The best picture that the host means to send.
    #[serde(default)]
    quality: Quality,
    /// How long viewers let pictures wait before they show them, in milliseconds: 0 for a conversation, more for pictures
    /// that stand still less often; `null` leaves it to each viewer's player.
    #[schema(minimum = 0, maximum = 4000)]
    playout_delay_ms: Option<u16>,
    /// A picture of the host.
    #[schema(max_length = 2048, pattern = "^https?://[^/]")]
    host_avatar_url: Option<String>,
    /// What there is to read beside the picture.
    #[serde(default)]
    #[schema(max_items = 20)]
    documents: Vec<Document>,
    /// The same event elsewhere.
    external_link: Option<ExternalLink>,
    /// Whether guests may chat and react.
    #[serde(default)]
    allow_guest_chat: bool,
    /// Whether it waits for another event when one has ended.
    #[serde(default)]
    reusable: bool,
    /// When it is to begin.
    #[schema(value_type = Option<String>, format = DateTime)]
    scheduled_at: Option<Timestamp>,
}

/// What to change in a room. What is left out stays; `null` takes away what may be missing.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct RoomPatch {
    /// Its name for people.
    #[serde(deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 120, nullable = false)]
    title: Option<String>,
    /// What it is about.
    #[serde(deserialize_with = "present")]
    #[schema(max_length = 2000, nullable = false)]
    description: Option<String>,
    /// What it is listed under: a word of lower-case letters, digits and hyphens.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 40, pattern = "^[a-z0-9-]+$")]
    category: Option<Option<String>>,
    /// Who may know of it.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    visibility: Option<Visibility>,
    /// The best picture that the host means to send.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    quality: Option<Quality>,
    /// How long viewers let pictures wait before they show them, in milliseconds; `null` leaves it to each viewer's player.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u16>, minimum = 0, maximum = 4000)]
    playout_delay_ms: Option<Option<u16>>,
    /// A picture of the host.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, max_length = 2048, pattern = "^https?://[^/]")]
    host_avatar_url: Option<Option<String>>,
    /// What there is to read beside the picture: all of it.
    #[serde(deserialize_with = "present")]
    #[schema(max_items = 20, nullable = false)]
    documents: Option<Vec<Document>>,
    /// The same event elsewhere.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<ExternalLink>)]
    external_link: Option<Option<ExternalLink>>,
    /// Whether guests may chat and react.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    allow_guest_chat: Option<bool>,
    /// Whether it waits for another event when one has ended.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    reusable: Option<bool>,
    /// When it is to begin.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<String>, format = DateTime)]
    scheduled_at: Option<Option<Timestamp>>,
}

impl NewRoom {
    /// Writes what was said into a new room.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn apply(self, room: &mut RoomRecord) -> Result<(), ApiError> {
        let patch = RoomPatch {
            title: Some(self.title),
            description: Some(self.description),
            category: Some(self.category),
            visibility: Some(self.visibility.unwrap_or(Visibility::Public)),
            quality: Some(self.quality),
            playout_delay_ms: Some(self.playout_delay_ms),
            host_avatar_url: Some(self.host_avatar_url),
            documents: Some(self.documents),
            external_link: Some(self.external_link),
            allow_guest_chat: Some(self.allow_guest_chat),
            reusable: Some(self.reusable),
            scheduled_at: Some(self.scheduled_at),
        };
        patch.apply(room)
    }
}

impl RoomPatch {
    /// Writes what was said into a room.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn apply(self, room: &mut RoomRecord) -> Result<(), ApiError> {
        if let Some(title) = &self.title {
            room.title = line("title", title, MAX_TITLE)?;
        }
        if let Some(description) = &self.description {
            room.description = paragraphs(description)?;
        }
        if let Some(category) = self.category {
            room.category = category.map(slug).transpose()?;
        }
        if let Some(url) = self.host_avatar_url {
            let url = url.map(|it| web_address("hostAvatarUrl", &it));
            room.host_avatar_url = url.transpose()?;
        }
        if let Some(documents) = self.documents {
            room.documents = documents_of(&documents)?;
        }
        if let Some(link) = self.external_link {
            room.external_link = link.as_ref().map(link_of).transpose()?;
        }
        if let Some(delay) = self.playout_delay_ms {
            room.playout_delay_ms = delay.map(playout_delay).transpose()?;
        }
        if let Some(moment) = self.scheduled_at {
            room.scheduled_at = moment.map(begin).transpose()?;
        }
        room.visibility = self.visibility.unwrap_or(room.visibility);
        room.quality = self.quality.unwrap_or(room.quality);
        room.allow_guest_chat = self.allow_guest_chat.unwrap_or(room.allow_guest_chat);
        room.reusable = self.reusable.unwrap_or(room.reusable);
        Ok(())
    }
}

/// Tells `null` from what was left out.
pub(crate) fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Refuses `null` where nothing may be missing.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Cleans a text of one line.
pub(crate) fn line(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    let length = text.chars().count();
    if !(1..=longest).contains(&length) {
        let text = format!("`{field}` has 1 to {longest} characters.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let text = text::clean(text);
    if text.is_empty() {
        return Err(unusable(field, "nothing of it can be seen"));
    }
    Ok(text)
}

/// Cleans a text of several lines.
fn paragraphs(text: &str) -> Result<String, ApiError> {
    if text.chars().count() > MAX_DESCRIPTION {
        let text = format!("`description` has {MAX_DESCRIPTION} characters at most.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let lines: Vec<String> = text.lines().map(text::clean).collect();
    Ok(lines.join("\n").trim().to_owned())
}

fn slug(text: String) -> Result<String, ApiError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=MAX_SLUG).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    let text = "`category` has 1 to 40 of a–z, 0–9 and hyphens.";
    Err(ApiError::new(Code::BadMessage, text))
}

fn documents_of(documents: &[Document]) -> Result<Vec<Document>, ApiError> {
    if documents.len() > MAX_DOCUMENTS {
        let text = format!("There are {MAX_DOCUMENTS} documents at most.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let documents = documents.iter().map(|document| {
        Ok(Document {
            title: line("documents.title", &document.title, MAX_TITLE)?,
            url: web_address("documents.url", &document.url)?,
        })
    });
    documents.collect()
}

fn link_of(link: &ExternalLink) -> Result<ExternalLink, ApiError> {
    Ok(ExternalLink {
        platform: line("externalLink.platform", &link.platform, MAX_PLATFORM)?,
        url: web_address("externalLink.url", &link.url)?,
    })
}

fn playout_delay(millis: u16) -> Result<u16, ApiError> {
    if millis <= MAX_PLAYOUT_DELAY_MS {
        return Ok(millis);
    }
    let text = format!("`playoutDelayMs` is {MAX_PLAYOUT_DELAY_MS} at most.");
    Err(ApiError::new(Code::BadMessage, text))
}

/// Checks that browsers can open an address, and that it says nothing of who opens it.
fn web_address(field: &str, text: &str) -> Result<String, ApiError> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let web = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
    if text.chars().count() > MAX_URL || !web {
        let text =
            format!("`{field}` begins with http(s):// and has {MAX_URL} characters at most.");
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let url = url::Url::parse(text).map_err(|_| unusable(field, "it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable(field, "it has a user name or a password"));
    }
    let url = String::from(url);
    if url.len() > MAX_URL {
        return Err(unusable(field, "it is too long when it is written out"));
    }
    Ok(url)
}

fn begin(moment: Timestamp) -> Result<Timestamp, ApiError> {
    let now = Timestamp::now();
    let latest = now.plus(std::time::Duration::from_secs(MAX_AHEAD_S));
    if moment < now || moment > latest {
        return Err(unusable(
            "scheduledAt",
            "it is in the past, or more than two years ahead",
        ));
    }
    Ok(moment)
}

fn unusable(field: &str, why: &str) -> ApiError {
    ApiError::new(
        Code::InvalidValue,
        format!("`{field}` cannot be used: {why}."),
    )
}

/// What players keep of a picture while it waits has bounds.
const MAX_PLAYOUT_DELAY_MS: u16 = 4000;
const MAX_TITLE: usize = 120;
const MAX_DESCRIPTION: usize = 2000;
const MAX_SLUG: usize = 40;
const MAX_PLATFORM: usize = 40;
const MAX_DOCUMENTS: usize = 20;
const MAX_URL: usize = 2048;
const MAX_AHEAD_S: u64 = 2 * 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RoomId;
    use crate::store::User;

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let mut room = room();
        let set = r#"{"title":"New","category":"music","hostAvatarUrl":"https://example.com/a"}"#;
        change(&mut room, set).unwrap();
        assert_eq!(room.category.as_deref(), Some("music"));
        change(&mut room, r#"{"category":null}"#).unwrap();
        assert_eq!((room.title.as_str(), &room.category), ("New", &None));
        change(&mut room, r#"{"playoutDelayMs":0}"#).unwrap();
        assert_eq!(room.playout_delay_ms, Some(0));
        change(&mut room, r#"{"title":"Newer"}"#).unwrap();
        assert_eq!(room.playout_delay_ms, Some(0));
        change(&mut room, r#"{"playoutDelayMs":null}"#).unwrap();
        assert_eq!(room.playout_delay_ms, None);
        assert!(room.host_avatar_url.is_some());
    }

    #[test]
    fn every_field_has_its_bounds() {
        for (body, code) in [
            (r#"{"title":""}"#.to_owned(), Code::BadMessage),
            (r#"{"title":"\u200b"}"#.to_owned(), Code::InvalidValue),
            (
                format!(r#"{{"title":"{}"}}"#, "x".repeat(121)),
                Code::BadMessage,
            ),
            (
                format!(r#"{{"description":"{}"}}"#, "x".repeat(2001)),
                Code::BadMessage,
            ),
            (r#"{"category":"Music"}"#.to_owned(), Code::BadMessage),
            (r#"{"playoutDelayMs":4001}"#.to_owned(), Code::BadMessage),
            (
                r#"{"hostAvatarUrl":"javascript:alert(1)"}"#.to_owned(),
                Code::BadMessage,
            ),
            (
                r#"{"hostAvatarUrl":"https://"}"#.to_owned(),
                Code::BadMessage,
            ),
            (
                r#"{"hostAvatarUrl":"https://[x"}"#.to_owned(),
                Code::InvalidValue,
            ),
            (
                r#"{"hostAvatarUrl":"https://a:b@example.com/"}"#.to_owned(),
                Code::InvalidValue,
            ),
            (
                r#"{"scheduledAt":"2001-01-01T00:00:00Z"}"#.to_owned(),
                Code::InvalidValue,
            ),
            (
                r#"{"scheduledAt":"9999-01-01T00:00:00Z"}"#.to_owned(),
                Code::InvalidValue,
            ),
            (
                format!(r#"{{"documents":[{}]}}"#, vec![DOCUMENT; 21].join(",")),
                Code::BadMessage,
            ),
            (
                r#"{"externalLink":{"platform":"","url":"http://a"}}"#.to_owned(),
                Code::BadMessage,
            ),
        ] {
            let error = change(&mut room(), &body).unwrap_err();
            assert_eq!(error.code, code, "{body}");
        }
        let full = format!(r#"{{"documents":[{}]}}"#, vec![DOCUMENT; 20].join(","));
        change(&mut room(), &full).unwrap();
    }

    #[test]
    fn fields_that_there_are_not_are_refused() {
        assert!(serde_json::from_str::<RoomPatch>(r#"{"titel":"x"}"#).is_err());
        assert!(serde_json::from_str::<RoomPatch>(r#"{"title":null}"#).is_err());
        assert!(serde_json::from_str::<NewRoom>(r#"{"title":"x","id":"y"}"#).is_err());
    }

    #[test]
    fn a_description_keeps_its_lines() {
        let mut room = room();
        change(&mut room, r#"{"description":" a\u0007 \r\nb\n\n "}"#).unwrap();
        assert_eq!(room.description, "a\nb");
    }

    fn change(room: &mut RoomRecord, body: &str) -> Result<(), ApiError> {
        let patch = serde_json::from_str::<RoomPatch>(body);
        patch.map_err(ApiError::internal)?.apply(room)
    }

    fn room() -> RoomRecord {
        let owner = User {
            id: "ann".to_owned(),
            name: "Ann".to_owned(),
        };
        let id = RoomId::parse("r").unwrap();
        RoomRecord::new(id, "R".to_owned(), owner, Timestamp::now())
    }

    const DOCUMENT: &str = r#"{"title":"d","url":"https://example.com/"}"#;
}
