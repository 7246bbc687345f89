//! Who is told outside of what happens in rooms.

use sqlx::Row as _;
use sqlx::query::Query;

use super::creation::take;
use super::row::moment;
use super::{Connection, Database, Row, Store};
use crate::auth::Secret;
use crate::store::{Added, CreationKey, StoreError, Stored, Webhook, WebhookStore, promptly};
use crate::time::Timestamp;

impl WebhookStore for Store {
    fn endpoints(&self) -> Stored<'_, Vec<Webhook>> {
        promptly(async move {
            let rows = sqlx::query("SELECT * FROM webhooks ORDER BY created_at, id")
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(webhook).collect()
        })
    }

    fn endpoint<'a>(&'a self, id: &'a str) -> Stored<'a, Option<Webhook>> {
        promptly(async move {
            let row = sqlx::query("SELECT * FROM webhooks WHERE id = $1")
                .bind(id)
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(webhook).transpose()
        })
    }

    fn add<'a>(
        &'a self,
        webhook: &'a Webhook,
        at_most: u32,
        creation: Option<&'a CreationKey>,
    ) -> Stored<'a, Added> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            if let Some(creation) = creation {
                let new = (webhook.id.as_str(), webhook.created_at);
                if !take(&mut transaction, creation, new).await? {
                    let row = before(creation).fetch_one(&mut *transaction).await?;
                    return added_before(&row, creation);
                }
            }
            if !insert(&mut transaction, webhook, at_most).await? {
                return Ok(Added::Full);
            }
            transaction.commit().await?;
            Ok(Added::New)
        })
    }

    fn added_before<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, Option<Added>> {
        promptly(async move {
            let row = before(creation).fetch_optional(self.readers()).await?;
            row.map(|row| added_before(&row, creation)).transpose()
        })
    }

    fn change<'a>(&'a self, webhook: &'a Webhook) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(
                "UPDATE webhooks SET url = $2, description = $3, events = $4, room_id = $5, owner_id = $6,
                        enabled = $7
                 WHERE id = $1",
            )
            .bind(&webhook.id)
            .bind(&webhook.url)
            .bind(&webhook.description)
            .bind(kinds(webhook))
            .bind(&webhook.room_id)
            .bind(&webhook.owner_id)
            .bind(webhook.enabled)
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn rotate<'a>(&'a self, id: &'a str, secret: &'a Secret, until: Timestamp) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(
                "UPDATE webhooks SET old_secret = secret, old_until = $3, secret = $2 WHERE id = $1",
            )
            .bind(id)
            .bind(secret.expose())
            .bind(until.millis())
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query("DELETE FROM webhooks WHERE id = $1")
                .bind(id)
                .execute(self.writer())
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn disable<'a>(&'a self, id: &'a str) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query("UPDATE webhooks SET enabled = $2 WHERE id = $1")
                .bind(id)
                .bind(false)
                .execute(self.writer())
                .await?;
            Ok(())
        })
    }

    fn note_failing<'a>(&'a self, id: &'a str, since: Option<Timestamp>) -> Stored<'a, bool> {
        promptly(async move {
            // Who fails goes on failing since it began.
            let done = sqlx::query(
                "UPDATE webhooks SET failing_since = $2
                 WHERE id = $1 AND (failing_since IS NULL) <> ($3)",
            )
            .bind(id)
            .bind(since.map(Timestamp::millis))
            .bind(since.is_none())
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn due(&self, now: Timestamp) -> Stored<'_, Vec<Webhook>> {
        promptly(async move {
            let rows = sqlx::query(
                "SELECT * FROM webhooks WHERE enabled AND EXISTS
                   (SELECT 1 FROM webhook_lanes WHERE webhook_id = webhooks.id AND due_at <= $1)
                 ORDER BY created_at, id",
            )
            .bind(now.millis())
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(webhook).collect()
        })
    }
}

/// Writes an endpoint, unless there are as many as there may be; returns whether it did.
async fn insert(
    connection: &mut Connection,
    webhook: &Webhook,
    at_most: u32,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO webhooks (id, url, description, events, room_id, owner_id, enabled, secret, created_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
         WHERE (SELECT COUNT(*) FROM webhooks) < $10",
    )
    .bind(&webhook.id)
    .bind(&webhook.url)
    .bind(&webhook.description)
    .bind(kinds(webhook))
    .bind(&webhook.room_id)
    .bind(&webhook.owner_id)
    .bind(webhook.enabled)
    .bind(webhook.secret.expose())
    .bind(webhook.created_at.millis())
    .bind(i64::from(at_most))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Asks what was created under a key.
fn before(creation: &CreationKey) -> Query<'_, Database, <Database as sqlx::Database>::Arguments> {
    sqlx::query(
        "SELECT request, created_id FROM idempotency_keys WHERE identity = $1 AND name = $2",
    )
    .bind(&creation.identity)
    .bind(&creation.name)
}

fn added_before(row: &Row, creation: &CreationKey) -> Result<Added, StoreError> {
    let request: &str = row.try_get("request")?;
    Ok(Added::Before {
        id: row.try_get("created_id")?,
        same: request == creation.request,
    })
}

/// Writes kinds so that each has a space before and behind it.
fn kinds(webhook: &Webhook) -> String {
    format!(" {} ", webhook.events.join(" "))
}

fn webhook(row: &Row) -> Result<Webhook, StoreError> {
    let events: &str = row.try_get("events")?;
    let secret = |name| -> Result<Option<Secret>, StoreError> {
        let secret: Option<String> = row.try_get(name)?;
        Ok(secret.map(Secret::new))
    };
    let created_at = row.try_get("created_at")?;
    Ok(Webhook {
        id: row.try_get("id")?,
        url: row.try_get("url")?,
        description: row.try_get("description")?,
        events: events.split_whitespace().map(str::to_owned).collect(),
        room_id: row.try_get("room_id")?,
        owner_id: row.try_get("owner_id")?,
        enabled: row.try_get("enabled")?,
        secret: secret("secret")?.ok_or(StoreError::Unreadable("webhooks.secret"))?,
        old_secret: secret("old_secret")?.zip(moment(row, "old_until")?),
        failing_since: moment(row, "failing_since")?,
        created_at: Timestamp::from_millis(created_at),
    })
}
