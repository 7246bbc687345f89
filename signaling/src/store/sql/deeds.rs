//! What those who keep order do.

use serde_json::json;
use uuid::Uuid;

use super::Connection;
use super::journal::Batch;
use super::row::chat_message;
use crate::store::{
    Audit, Author, ChatDeleted, ChatMessage, ChatPinned, Deed, Outcome, StoreError,
};

impl Batch<'_> {
    /// Carries out a deed and writes down that it was done.
    pub(super) async fn deed(
        &mut self,
        connection: &mut Connection,
        deed: &Deed,
        by: &Author,
    ) -> Result<Outcome, StoreError> {
        let outcome = match deed {
            Deed::Delete { message } => self.delete(connection, message).await?,
            Deed::Pin { message } => self.pin(connection, message.as_deref()).await?,
            Deed::Limit(limit) => self.limit(connection, limit).await?,
            Deed::Lift { kind, identity } => self.lift(connection, *kind, identity).await?,
            Deed::Kick { .. } => quiet(),
            Deed::Role { who, role } => self.role(connection, who, *role).await?,
            Deed::Member { who, member } => self.member(connection, who, *member).await?,
            Deed::Settings(patch) => self.set(connection, patch).await?,
            Deed::Review { held, approve } => self.review(connection, held, *approve).await?,
            Deed::Resolve { report } => self.resolve(connection, report).await?,
        };
        if !matches!(outcome, Outcome::Missing | Outcome::Full) {
            self.audit(connection, deed, by).await?;
        }
        Ok(outcome)
    }

    async fn audit(
        &mut self,
        connection: &mut Connection,
        deed: &Deed,
        by: &Author,
    ) -> Result<(), StoreError> {
        let line = Audit {
            id: Uuid::now_v7().to_string(),
            ts: self.ts.millis(),
            by: by.clone(),
            action: deed.name().to_owned(),
            target: deed.target().map(str::to_owned),
            details: deed.details(),
        };
        sqlx::query(
            "INSERT INTO audit (room_id, id, ts, actor_id, actor_name, actor_role, action, target, details)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.room)
        .bind(&line.id)
        .bind(line.ts)
        .bind(&line.by.id)
        .bind(&line.by.name)
        .bind(line.by.role.as_str())
        .bind(&line.action)
        .bind(&line.target)
        .bind(line.details.to_string())
        .execute(&mut *connection)
        .await?;
        let content = json!(line).to_string();
        self.tell_others(connection, "moderation", (None, &content))
            .await
    }

    async fn delete(
        &mut self,
        connection: &mut Connection,
        message: &str,
    ) -> Result<Outcome, StoreError> {
        let row = sqlx::query(
            "UPDATE chat_messages SET body = '', details = NULL, deleted_at = $3
             WHERE room_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING *",
        )
        .bind(self.room)
        .bind(message)
        .bind(self.ts.millis())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return Ok(Outcome::Missing);
        };
        let message = chat_message(&row)?;
        sqlx::query("UPDATE room_chat SET pinned_id = NULL WHERE room_id = $1 AND pinned_id = $2")
            .bind(self.room)
            .bind(&message.message_id)
            .execute(&mut *connection)
            .await?;
        let content = ChatDeleted {
            message_id: &message.message_id,
            seq: message.seq,
        };
        self.told(connection, "chat.deleted", &content, Some(message.clone()))
            .await
    }

    async fn pin(
        &mut self,
        connection: &mut Connection,
        message: Option<&str>,
    ) -> Result<Outcome, StoreError> {
        let message = match message {
            Some(id) => {
                let Some(message) = self.message(connection, id).await? else {
                    return Ok(Outcome::Missing);
                };
                Some(message)
            }
            None => None,
        };
        sqlx::query(
            "INSERT INTO room_chat (room_id, pinned_id) VALUES ($1, $2)
             ON CONFLICT (room_id) DO UPDATE SET pinned_id = excluded.pinned_id",
        )
        .bind(self.room)
        .bind(message.as_ref().map(|it| it.message_id.as_str()))
        .execute(&mut *connection)
        .await?;
        let content = ChatPinned {
            message: message.as_ref(),
        };
        self.told(connection, "chat.pinned", &content, message.clone())
            .await
    }

    /// Finds a message that still says something.
    pub(super) async fn message(
        &self,
        connection: &mut Connection,
        id: &str,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM chat_messages WHERE room_id = $1 AND id = $2 AND deleted_at IS NULL",
        )
        .bind(self.room)
        .bind(id)
        .fetch_optional(connection)
        .await?;
        row.as_ref().map(chat_message).transpose()
    }
}

/// What is done to people is theirs to know, and the moderators'.
pub(super) fn quiet() -> Outcome {
    Outcome::Deed(Box::default())
}
