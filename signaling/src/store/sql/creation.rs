//! Keys that clients choose for what they create.

use super::Connection;
use crate::store::{CreationKey, StoreError};
use crate::time::Timestamp;

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
