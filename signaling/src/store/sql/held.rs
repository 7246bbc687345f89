//! What waits for a moderator: held messages and reports.

use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use super::Connection;
use super::deeds::quiet;
use super::journal::Batch;
use super::order::held_message;
use super::row::{json_value, named, sender};
use crate::store::{Done, Event, NewChat, NewHeld, NewReport, Outcome, Report, StoreError};

impl Batch<'_> {
    /// Keeps a message until a moderator has looked at it.
    pub(super) async fn hold(
        &mut self,
        connection: &mut Connection,
        held: &NewHeld,
    ) -> Result<Outcome, StoreError> {
        let NewHeld { chat, reason } = held;
        if let Some(earlier) = self.earlier(connection, chat).await? {
            return Ok(Outcome::Duplicate(earlier));
        }
        if !self.may_write(connection, chat).await? {
            return Ok(Outcome::NotInAudience);
        }
        let row = sqlx::query(
            "INSERT INTO held_messages (room_id, id, ts, kind, body, sender_id, sender_name, sender_role,
                                        client_id, mentions, reply_to, product, reason, sender_avatar)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (room_id, sender_id, client_id) DO NOTHING RETURNING *",
        )
        .bind(self.room)
        .bind(Uuid::now_v7().to_string())
        .bind(self.ts.millis())
        .bind(chat.kind.as_str())
        .bind(&chat.text)
        .bind(&chat.from.id)
        .bind(&chat.from.name)
        .bind(chat.from.role.as_str())
        .bind(&chat.client_id)
        .bind(serde_json::to_string(&chat.mentions).unwrap_or_default())
        .bind(&chat.reply_to)
        .bind(chat.product.as_ref().map(|it| json!(it).to_string()))
        .bind(*reason)
        .bind(&chat.from.avatar_url)
        .fetch_optional(&mut *connection)
        .await?;
        let held = row.as_ref().map(held_message).transpose()?;
        if let Some(held) = &held {
            let content = json!(held).to_string();
            self.tell_others(connection, "chat.held", (None, &content))
                .await?;
        }
        Ok(Outcome::Held(held))
    }

    /// Lets a held message be said, or not.
    pub(super) async fn review(
        &mut self,
        connection: &mut Connection,
        held: &str,
        approve: bool,
    ) -> Result<Outcome, StoreError> {
        let row =
            sqlx::query("DELETE FROM held_messages WHERE room_id = $1 AND id = $2 RETURNING *")
                .bind(self.room)
                .bind(held)
                .fetch_optional(&mut *connection)
                .await?;
        let Some(row) = row else {
            return Ok(Outcome::Missing);
        };
        if !approve {
            return Ok(quiet());
        }
        let product: Option<&str> = row.try_get("product")?;
        let mut chat = NewChat {
            client_id: row.try_get("client_id")?,
            kind: named(&row, "kind")?,
            text: row.try_get("body")?,
            from: sender(&row)?,
            mentions: json_value("held_messages.mentions", row.try_get("mentions")?)?,
            reply_to: row.try_get("reply_to")?,
            product: product
                .map(|it| json_value("held_messages.product", it))
                .transpose()?,
            audience: None,
            captured_at: None,
        };
        let mut said = self.chat(connection, &chat).await?;
        if said == Outcome::Missing {
            // What it answers is gone meanwhile.
            chat.reply_to = None;
            said = self.chat(connection, &chat).await?;
        }
        let message = said.message();
        Ok(Outcome::Deed(Box::new(Done {
            event: message.clone().map(Event::Chat),
            message,
            settings: None,
            version: None,
        })))
    }

    /// Writes down what somebody tells the moderators of a message.
    pub(super) async fn report(
        &mut self,
        connection: &mut Connection,
        report: &NewReport,
    ) -> Result<Outcome, StoreError> {
        let Some(message) = self.message(connection, &report.message).await? else {
            return Ok(Outcome::Missing);
        };
        let id = Uuid::now_v7().to_string();
        let written = sqlx::query(
            "INSERT INTO reports (room_id, id, ts, reporter_id, reporter_name, reporter_role, message_id, reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (room_id, reporter_id, message_id) DO NOTHING",
        )
        .bind(self.room)
        .bind(&id)
        .bind(self.ts.millis())
        .bind(&report.by.id)
        .bind(&report.by.name)
        .bind(report.by.role.as_str())
        .bind(&report.message)
        .bind(&report.reason)
        .execute(&mut *connection)
        .await?;
        if written.rows_affected() == 0 {
            return Ok(Outcome::Report(None));
        }
        let report = Report {
            report_id: id,
            ts: self.ts.millis(),
            by: report.by.clone(),
            reason: report.reason.clone(),
            message,
        };
        let content = json!(report).to_string();
        self.tell_others(connection, "chat.reported", (None, &content))
            .await?;
        Ok(Outcome::Report(Some(Box::new(report))))
    }

    pub(super) async fn resolve(
        &self,
        connection: &mut Connection,
        report: &str,
    ) -> Result<Outcome, StoreError> {
        let gone = sqlx::query("DELETE FROM reports WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(report)
            .execute(connection)
            .await?;
        Ok(if gone.rows_affected() == 0 {
            Outcome::Missing
        } else {
            quiet()
        })
    }
}
