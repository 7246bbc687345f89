//! Rows as values.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;

use super::Row;
use crate::auth::Role;
use crate::id::RoomId;
use crate::store::{Author, ChatMessage, Event, RoomRecord, StoreError, User};
use crate::time::Timestamp;

pub(super) fn room_id(row: &Row, column: &'static str) -> Result<RoomId, StoreError> {
    RoomId::parse(row.try_get(column)?).ok_or(StoreError::Unreadable(column))
}

pub(super) fn room_record(row: &Row) -> Result<RoomRecord, StoreError> {
    let external_link: Option<String> = row.try_get("external_link")?;
    Ok(RoomRecord {
        id: room_id(row, "id")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        category: row.try_get("category")?,
        visibility: named(row, "visibility")?,
        quality: named(row, "quality")?,
        playout_delay_ms: millis(row, "playout_delay_ms")?,
        documents: json_value("documents", row.try_get("documents")?)?,
        host_avatar_url: row.try_get("host_avatar_url")?,
        external_link: external_link
            .map(|text| json_value("external_link", &text))
            .transpose()?,
        allow_guest_chat: row.try_get("allow_guest_chat")?,
        reusable: row.try_get("reusable")?,
        owner: User {
            id: row.try_get("owner_id")?,
            name: row.try_get("owner_name")?,
        },
        version: count(row, "version")?,
        thumbnail_at: moment(row, "thumbnail_at")?,
        status: named(row, "status")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        scheduled_at: moment(row, "scheduled_at")?,
        started_at: moment(row, "started_at")?,
        ended_at: moment(row, "ended_at")?,
        changed_at: Timestamp::from_millis(row.try_get("changed_at")?),
        peak_viewers: count(row, "peak_viewers")?,
        total_viewers: count(row, "total_viewers")?,
        watch_ms: count(row, "watch_ms")?,
        message_count: count(row, "message_count")?,
        like_count: count(row, "like_count")?,
        order_count: count(row, "order_count")?,
        revenue: json_value("rooms.revenue", row.try_get("revenue")?)?,
    })
}

pub(super) fn chat_message(row: &Row) -> Result<ChatMessage, StoreError> {
    let details: Option<&str> = row.try_get("details")?;
    let details = details.map(|text| json_value("chat_messages.details", text));
    let deleted_at: Option<i64> = row.try_get("deleted_at")?;
    Ok(ChatMessage {
        message_id: row.try_get("id")?,
        seq: count(row, "seq")?,
        ts: row.try_get("ts")?,
        kind: named(row, "kind")?,
        text: row.try_get("body")?,
        from: sender(row)?,
        details: details.transpose()?.unwrap_or_default(),
        deleted: deleted_at.is_some(),
    })
}

/// Reads who did something, from three columns whose names begin alike.
pub(super) fn author(row: &Row, who: &'static str) -> Result<Author, StoreError> {
    let column = |part: &str| format!("{who}_{part}");
    let role = Role::from_str(row.try_get(column("role").as_str())?);
    Ok(Author {
        id: row.try_get(column("id").as_str())?,
        name: row.try_get(column("name").as_str())?,
        avatar_url: None,
        role: role.map_err(|_| StoreError::Unreadable(who))?,
    })
}

/// Reads who said something: they have a picture, too.
pub(super) fn sender(row: &Row) -> Result<Author, StoreError> {
    Ok(Author {
        avatar_url: row.try_get("sender_avatar")?,
        ..author(row, "sender")?
    })
}

pub(super) fn other_event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event::Other {
        seq: count(row, "seq")?,
        ts: Timestamp::from_millis(row.try_get("ts")?),
        kind: row.try_get("kind")?,
        content: row.try_get("content")?,
    })
}

/// Numbers in the database are never negative.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// Numbers in the database are half as large at most.
pub(super) fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a span that may be missing.
fn millis(row: &Row, name: &'static str) -> Result<Option<u16>, StoreError> {
    let span: Option<i32> = row.try_get(name)?;
    let span = span.map(u16::try_from).transpose();
    span.map_err(|_| StoreError::Unreadable(name))
}

pub(super) fn count(row: &Row, name: &str) -> Result<u64, StoreError> {
    Ok(number(row.try_get(name)?))
}

pub(super) fn moment(row: &Row, name: &str) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = row.try_get(name)?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn named<T: FromStr>(row: &Row, name: &'static str) -> Result<T, StoreError> {
    let text: &str = row.try_get(name)?;
    text.parse().map_err(|_| StoreError::Unreadable(name))
}

pub(super) fn json_value<T: DeserializeOwned>(
    name: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(name))
}
