//! Who may do what in a room's chat, and how that is set.

use sqlx::Row as _;

use super::deeds::quiet;
use super::journal::Batch;
use super::limits::limit;
use super::members;
use super::row::{author, chat_message, count, json_value, named, sender};
use super::{Connection, Row, Store};
use crate::auth::{AddressMark, Role};
use crate::chat::{ChatSettings, SettingsPatch};
use crate::id::RoomId;
use crate::store::{
    Audit, ChatMessage, Held, Limit, Membership, NewChat, Order, OrderStore, Outcome, Report,
    SettingsView, StoreError, Stored, User, promptly,
};
use crate::time::Timestamp;

impl OrderStore for Store {
    fn order<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Order> {
        promptly(async move {
            let chat = sqlx::query("SELECT * FROM room_chat WHERE room_id = $1")
                .bind(room.as_str())
                .fetch_optional(self.readers())
                .await?;
            let mut order = Order::default();
            if let Some(chat) = chat {
                let settings: Option<&str> = chat.try_get("settings")?;
                order.settings = read_settings(settings)?;
                let pinned: Option<String> = chat.try_get("pinned_id")?;
                order.pinned = self.pinned(room, pinned).await?;
            }
            let roles = "SELECT * FROM room_roles WHERE room_id = $1";
            let roles = self.rows(roles, room).await?;
            let role = |row| Ok((user(row)?, named(row, "role")?));
            order.roles = roles.iter().map(role).collect::<Result<_, StoreError>>()?;
            let limits = "SELECT * FROM room_limits WHERE room_id = $1";
            let limits = self.rows(limits, room).await?;
            order.limits = limits.iter().map(limit).collect::<Result<_, _>>()?;
            let held = "SELECT * FROM held_messages WHERE room_id = $1 ORDER BY id";
            let held = self.rows(held, room).await?;
            order.held = held.iter().map(held_message).collect::<Result<_, _>>()?;
            Ok(order)
        })
    }

    fn standing<'a>(
        &'a self,
        room: &'a RoomId,
        identity: &'a str,
        from: &'a [AddressMark],
    ) -> Stored<'a, Membership> {
        promptly(async move {
            let row = sqlx::query(
                "SELECT (SELECT role FROM room_roles WHERE room_id = $1 AND identity = $2) AS role,
                        (SELECT COUNT(*) FROM room_limits WHERE room_id = $1 AND identity = $2
                            AND kind = 'ban' AND (until IS NULL OR until > $3)) AS bans,
                        (SELECT COUNT(*) FROM room_limits WHERE room_id = $1
                            AND kind = 'ban' AND (until IS NULL OR until > $3)
                            AND (addresses LIKE '%' || $4 || '%' OR addresses LIKE '%' || $5 || '%')
                        ) AS address_bans,
                        (SELECT COUNT(*) FROM audience
                            WHERE host_id = (SELECT owner_id FROM rooms WHERE id = $1)
                            AND kind = 'members' AND identity = $2) AS memberships",
            )
            .bind(room.as_str())
            .bind(identity)
            .bind(Timestamp::now().millis())
            .bind(from.first().map(AddressMark::as_str))
            .bind(from.get(1).map(AddressMark::as_str))
            .fetch_one(self.readers())
            .await?;
            let role: Option<&str> = row.try_get("role")?;
            let role = role.map(str::parse).transpose();
            let bans: i64 = row.try_get("bans")?;
            let address_bans: i64 = row.try_get("address_bans")?;
            let memberships: i64 = row.try_get("memberships")?;
            Ok(Membership {
                is_member: memberships > 0,
                role: role.map_err(|_| StoreError::Unreadable("room_roles.role"))?,
                banned: bans > 0,
                address_banned: address_bans > 0,
            })
        })
    }

    fn ban<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, Option<Limit>> {
        promptly(async move {
            let row = sqlx::query(
                "SELECT * FROM room_limits WHERE room_id = $1 AND identity = $2 AND kind = 'ban'
                    AND (until IS NULL OR until > $3)",
            )
            .bind(room.as_str())
            .bind(identity)
            .bind(Timestamp::now().millis())
            .fetch_optional(self.readers())
            .await?;
            row.as_ref().map(limit).transpose()
        })
    }

    fn audit<'a>(
        &'a self,
        room: &'a RoomId,
        before: Option<&'a str>,
        limit: u32,
    ) -> Stored<'a, Vec<Audit>> {
        promptly(async move {
            // A UUID begins with no letter behind `g`.
            let rows = sqlx::query(
                "SELECT * FROM audit WHERE room_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(room.as_str())
            .bind(before.unwrap_or("g"))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(audited).collect()
        })
    }

    fn reports<'a>(
        &'a self,
        room: &'a RoomId,
        before: Option<&'a str>,
        limit: u32,
    ) -> Stored<'a, Vec<Report>> {
        promptly(async move {
            let rows = sqlx::query(
                "SELECT chat_messages.*, reports.id AS report_id, reports.ts AS reported_at,
                        reports.reason, reporter_id, reporter_name, reporter_role
                 FROM reports JOIN chat_messages ON chat_messages.id = reports.message_id
                 WHERE reports.room_id = $1 AND reports.id < $2 ORDER BY reports.id DESC LIMIT $3",
            )
            .bind(room.as_str())
            .bind(before.unwrap_or("g"))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
            let report = |row: &Row| {
                Ok(Report {
                    report_id: row.try_get("report_id")?,
                    ts: row.try_get("reported_at")?,
                    by: author(row, "reporter")?,
                    reason: row.try_get("reason")?,
                    message: chat_message(row)?,
                })
            };
            rows.iter().map(report).collect()
        })
    }

    fn follow<'a>(&'a self, host: &'a str, who: &'a User, follows: bool) -> Stored<'a, ()> {
        promptly(async move {
            let mut connection = self.writer().acquire().await?;
            audience(&mut connection, (host, "followers"), who, follows).await
        })
    }
}

impl Store {
    async fn rows(&self, select: &'static str, room: &RoomId) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query(select).bind(room.as_str());
        Ok(rows.fetch_all(self.readers()).await?)
    }

    async fn pinned(
        &self,
        room: &RoomId,
        id: Option<String>,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM chat_messages WHERE room_id = $1 AND id = $2 AND deleted_at IS NULL",
        )
        .bind(room.as_str())
        .bind(id)
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(chat_message).transpose()
    }
}

impl Batch<'_> {
    pub(super) async fn role(
        &self,
        connection: &mut Connection,
        who: &User,
        role: Option<Role>,
    ) -> Result<Outcome, StoreError> {
        let Some(role) = role else {
            let taken = sqlx::query("DELETE FROM room_roles WHERE room_id = $1 AND identity = $2")
                .bind(self.room)
                .bind(&who.id)
                .execute(connection)
                .await?;
            return Ok(if taken.rows_affected() == 0 {
                Outcome::Missing
            } else {
                quiet()
            });
        };
        sqlx::query(
            "INSERT INTO room_roles (room_id, identity, name, role, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (room_id, identity) DO UPDATE SET role = excluded.role, name = excluded.name",
        )
        .bind(self.room)
        .bind(&who.id)
        .bind(&who.name)
        .bind(role.as_str())
        .bind(self.ts.millis())
        .execute(connection)
        .await?;
        Ok(quiet())
    }

    pub(super) async fn member(
        &self,
        connection: &mut Connection,
        who: &User,
        member: bool,
    ) -> Result<Outcome, StoreError> {
        let row = sqlx::query("SELECT owner_id FROM rooms WHERE id = $1")
            .bind(self.room)
            .fetch_one(&mut *connection)
            .await?;
        let host: &str = row.try_get("owner_id")?;
        if member && members::is_full(connection, host, &who.id).await? {
            return Ok(Outcome::Full);
        }
        audience(connection, (host, "members"), who, member).await?;
        Ok(quiet())
    }

    pub(super) async fn set(
        &mut self,
        connection: &mut Connection,
        patch: &SettingsPatch,
    ) -> Result<Outcome, StoreError> {
        let row = sqlx::query("SELECT settings FROM room_chat WHERE room_id = $1")
            .bind(self.room)
            .fetch_optional(&mut *connection)
            .await?;
        let text = row
            .as_ref()
            .map(|row| row.try_get("settings"))
            .transpose()?;
        let text: Option<Option<&str>> = text;
        let mut settings = read_settings(text.flatten())?;
        patch.apply(&mut settings);
        sqlx::query(
            "INSERT INTO room_chat (room_id, settings) VALUES ($1, $2)
             ON CONFLICT (room_id) DO UPDATE SET settings = excluded.settings",
        )
        .bind(self.room)
        .bind(serde_json::to_string(&settings).unwrap_or_default())
        .execute(&mut *connection)
        .await?;
        let row = sqlx::query(
            "UPDATE rooms SET allow_guest_chat = COALESCE($2, allow_guest_chat),
                    version = version + (CASE WHEN $3 THEN 1 ELSE 0 END)
             WHERE id = $1 RETURNING allow_guest_chat, version",
        )
        .bind(self.room)
        .bind(patch.guests)
        .bind(patch.guests.is_some())
        .fetch_one(&mut *connection)
        .await?;
        let public = settings.public;
        let guests = row.try_get("allow_guest_chat")?;
        let view = SettingsView { public, guests };
        let mut told = self.told(connection, "chat.settings", &view, None).await?;
        if let Outcome::Deed(done) = &mut told {
            done.settings = Some(Box::new(settings));
            done.version = patch.guests.map(|_| count(&row, "version")).transpose()?;
        }
        Ok(told)
    }

    /// Returns whether the sender is among those who may write.
    pub(super) async fn may_write(
        &self,
        connection: &mut Connection,
        chat: &NewChat,
    ) -> Result<bool, StoreError> {
        let Some((audience, host)) = &chat.audience else {
            return Ok(true);
        };
        let row = sqlx::query(
            "SELECT COUNT(*) AS there FROM audience WHERE host_id = $1 AND identity = $2 AND kind = $3",
        )
        .bind(host)
        .bind(&chat.from.id)
        .bind(audience.as_str())
        .fetch_one(connection)
        .await?;
        let there: i64 = row.try_get("there")?;
        Ok(there > 0)
    }
}

async fn audience(
    connection: &mut Connection,
    (host, kind): (&str, &str),
    who: &User,
    belongs: bool,
) -> Result<(), StoreError> {
    let change = if belongs {
        sqlx::query(
            "INSERT INTO audience (host_id, identity, kind, name, since) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (host_id, identity, kind) DO UPDATE SET name = excluded.name",
        )
        .bind(host)
        .bind(&who.id)
        .bind(kind)
        .bind(&who.name)
        .bind(Timestamp::now().millis())
    } else {
        sqlx::query("DELETE FROM audience WHERE host_id = $1 AND identity = $2 AND kind = $3")
            .bind(host)
            .bind(&who.id)
            .bind(kind)
    };
    change.execute(connection).await?;
    Ok(())
}

fn read_settings(text: Option<&str>) -> Result<ChatSettings, StoreError> {
    let settings = text.map(|text| json_value("room_chat.settings", text));
    Ok(settings.transpose()?.unwrap_or_default())
}

pub(super) fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.try_get("identity")?,
        name: row.try_get("name")?,
    })
}

pub(super) fn held_message(row: &Row) -> Result<Held, StoreError> {
    Ok(Held {
        held_id: row.try_get("id")?,
        ts: row.try_get("ts")?,
        text: row.try_get("body")?,
        from: sender(row)?,
        reason: row.try_get("reason")?,
    })
}

fn audited(row: &Row) -> Result<Audit, StoreError> {
    let details: &str = row.try_get("details")?;
    Ok(Audit {
        id: row.try_get("id")?,
        ts: row.try_get("ts")?,
        by: author(row, "actor")?,
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        details: json_value("audit.details", details)?,
    })
}
