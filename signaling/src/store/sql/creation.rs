//! Keys that clients choose for what they create.

use std::time::Duration;

use sqlx::Row as _;

use super::{Connection, Store};
use crate::store::{Claim, CreationKey, CreationStore, StoreError, Stored, promptly};
use crate::time::Timestamp;

impl CreationStore for Store {
    fn claim<'a>(
        &'a self,
        creation: &'a CreationKey,
        id: &'a str,
        now: Timestamp,
    ) -> Stored<'a, Claim> {
        promptly(async move {
            let taken = sqlx::query(
                "INSERT INTO idempotency_keys (identity, name, request, created_id, created_at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identity, name) DO UPDATE
                 SET created_at = excluded.created_at,
                   created_id = COALESCE(NULLIF(idempotency_keys.created_id, ''), excluded.created_id)
                 WHERE idempotency_keys.answer IS NULL
                   AND idempotency_keys.request = excluded.request
                   AND idempotency_keys.created_at < $6
                 RETURNING created_id",
            )
            .bind(&creation.identity)
            .bind(&creation.name)
            .bind(&creation.request)
            .bind(id)
            .bind(now.millis())
            .bind(now.minus(ABANDONED).millis())
            .fetch_optional(self.writer())
            .await?;
            if let Some(taken) = taken {
                return Ok(Claim::Free(taken.try_get("created_id")?));
            }
            let row = sqlx::query(
                "SELECT request, answer FROM idempotency_keys WHERE identity = $1 AND name = $2",
            )
            .bind(&creation.identity)
            .bind(&creation.name)
            .fetch_optional(self.writer())
            .await?;
            // Given back meanwhile: whoever asks again finds it free.
            let Some(row) = row else {
                return Ok(Claim::UnderWay);
            };
            let request: &str = row.try_get("request")?;
            if request != creation.request {
                return Ok(Claim::Other);
            }
            let answer: Option<String> = row.try_get("answer")?;
            Ok(answer.map_or(Claim::UnderWay, Claim::Answered))
        })
    }

    fn answer<'a>(&'a self, creation: &'a CreationKey, answer: &'a str) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query(
                "UPDATE idempotency_keys SET answer = $3 WHERE identity = $1 AND name = $2",
            )
            .bind(&creation.identity)
            .bind(&creation.name)
            .bind(answer)
            .execute(self.writer())
            .await?;
            Ok(())
        })
    }

    fn release<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query(
                "DELETE FROM idempotency_keys
                 WHERE identity = $1 AND name = $2 AND request = $3 AND answer IS NULL",
            )
            .bind(&creation.identity)
            .bind(&creation.name)
            .bind(&creation.request)
            .execute(self.writer())
            .await?;
            Ok(())
        })
    }
}

/// Takes a key for what is about to be created; returns whether it was free.
pub(super) async fn take(
    connection: &mut Connection,
    creation: &CreationKey,
    (id, at): (&str, Timestamp),
) -> Result<bool, StoreError> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys (identity, name, request, created_id, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identity, name) DO NOTHING",
    )
    .bind(&creation.identity)
    .bind(&creation.name)
    .bind(&creation.request)
    .bind(id)
    .bind(at.millis())
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Nothing takes so long.
const ABANDONED: Duration = Duration::from_secs(60);
