//! What has had its time.

use super::Store;
use super::row::room_id;
use crate::id::RoomId;
use crate::store::{RoomStatus, Stored, UpkeepStore, promptly};
use crate::time::Timestamp;

impl UpkeepStore for Store {
    fn due<'a>(
        &'a self,
        status: RoomStatus,
        before: Timestamp,
        limit: u32,
    ) -> Stored<'a, Vec<RoomId>> {
        promptly(async move {
            let rows = sqlx::query(
                "SELECT id FROM rooms
                 WHERE status IN ('scheduled', 'ready', 'live', 'interrupted')
                   AND status = $1 AND changed_at < $2 AND COALESCE(scheduled_at, 0) < $2
                   AND (rank = 2 OR NOT reusable)
                 ORDER BY changed_at LIMIT $3",
            )
            .bind(status.as_str())
            .bind(before.millis())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(|row| room_id(row, "id")).collect()
        })
    }

    fn forget(&self, before: Timestamp) -> Stored<'_, u64> {
        promptly(async move {
            let mut forgotten = 0;
            // A bounded number at once, so that others who write are not held up.
            for statement in [
                "DELETE FROM idempotency_keys WHERE (identity, name) IN
                   (SELECT identity, name FROM idempotency_keys WHERE created_at < $1
                    ORDER BY created_at LIMIT 1000)",
                "DELETE FROM expulsions WHERE (room_id, identity) IN
                   (SELECT room_id, identity FROM expulsions WHERE at < $1 ORDER BY at LIMIT 1000)",
            ] {
                let done = sqlx::query(statement)
                    .bind(before.millis())
                    .execute(self.writer())
                    .await?;
                forgotten += done.rows_affected();
            }
            Ok(forgotten)
        })
    }

    fn forget_addresses(&self, now: Timestamp) -> Stored<'_, u64> {
        promptly(async move {
            let done = sqlx::query(
                "UPDATE room_limits SET addresses = NULL WHERE (room_id, identity, kind) IN
                   (SELECT room_id, identity, kind FROM room_limits
                    WHERE addresses IS NOT NULL AND until <= $1 ORDER BY until LIMIT 1000)",
            )
            .bind(now.millis())
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected())
        })
    }

    fn close(&self) -> Stored<'_, ()> {
        promptly(async move {
            self.readers().close().await;
            // The last to go writes what stands beside the file into it, which who only reads cannot.
            self.writer().close().await;
            Ok(())
        })
    }
}
