//! Rows as values and values as columns.

use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::auth::Role;
use crate::id::RoomId;
use crate::store::{
    Author, ChatMessage, Event, RoomRecord, RoomStatus, StoreError, User, Visibility,
};
use crate::time::Timestamp;

pub(super) fn room_id(row: &SqliteRow) -> Result<RoomId, StoreError> {
    RoomId::parse(row.try_get("id")?).ok_or(StoreError::Unreadable("rooms.id"))
}

pub(super) fn room_record(row: &SqliteRow) -> Result<RoomRecord, StoreError> {
    let visibility = match row.try_get("visibility")? {
        "public" => Visibility::Public,
        "unlisted" => Visibility::Unlisted,
        "private" => Visibility::Private,
        _ => return Err(StoreError::Unreadable("rooms.visibility")),
    };
    let status = match row.try_get("status")? {
        "ready" => RoomStatus::Ready,
        "live" => RoomStatus::Live,
        "interrupted" => RoomStatus::Interrupted,
        _ => return Err(StoreError::Unreadable("rooms.status")),
    };
    Ok(RoomRecord {
        id: room_id(row)?,
        title: row.try_get("title")?,
        visibility,
        status,
        owner: User {
            id: row.try_get("owner_id")?,
            name: row.try_get("owner_name")?,
        },
        allow_guest_chat: row.try_get("allow_guest_chat")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        started_at: row
            .try_get::<Option<i64>, _>("started_at")?
            .map(Timestamp::from_millis),
        peak_viewers: number(row.try_get("peak_viewers")?),
    })
}

pub(super) fn chat_message(row: &SqliteRow) -> Result<ChatMessage, StoreError> {
    let role = Role::from_str(row.try_get("sender_role")?)
        .map_err(|_| StoreError::Unreadable("chat_messages.sender_role"))?;
    Ok(ChatMessage {
        message_id: row.try_get("id")?,
        seq: number(row.try_get("seq")?),
        ts: row.try_get("ts")?,
        kind: row.try_get("kind")?,
        text: row.try_get("body")?,
        from: Author {
            id: row.try_get("sender_id")?,
            name: row.try_get("sender_name")?,
            role,
        },
    })
}

pub(super) fn other_event(row: &SqliteRow) -> Result<Event, StoreError> {
    Ok(Event::Other {
        seq: number(row.try_get("seq")?),
        ts: Timestamp::from_millis(row.try_get("ts")?),
        kind: row.try_get("kind")?,
        content: row.try_get("content")?,
    })
}

pub(super) fn visibility_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Unlisted => "unlisted",
        Visibility::Private => "private",
    }
}

pub(super) fn status_name(status: RoomStatus) -> &'static str {
    match status {
        RoomStatus::Ready => "ready",
        RoomStatus::Live => "live",
        RoomStatus::Interrupted => "interrupted",
    }
}

/// Matches the text anywhere, and its wildcards as themselves.
pub(super) fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Numbers in the database are never negative.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
