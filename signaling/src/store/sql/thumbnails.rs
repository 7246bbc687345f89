//! The pictures that owners give their rooms.

use sqlx::Row as _;

use super::Store;
use crate::id::RoomId;
use crate::store::{Stored, ThumbnailStore, promptly};
use crate::time::Timestamp;

impl ThumbnailStore for Store {
    fn find<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Vec<u8>>> {
        promptly(async move {
            let row = sqlx::query("SELECT image FROM thumbnails WHERE room_id = $1")
                .bind(room.as_str())
                .fetch_optional(self.readers())
                .await?;
            Ok(row.map(|row| row.try_get("image")).transpose()?)
        })
    }

    fn replace<'a>(&'a self, room: &'a RoomId, image: &'a [u8], at: Timestamp) -> Stored<'a, bool> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            let done = sqlx::query(
                "UPDATE rooms SET thumbnail_at = $2, version = version + 1 WHERE id = $1",
            )
            .bind(room.as_str())
            .bind(at.millis())
            .execute(&mut *transaction)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO thumbnails (room_id, image) VALUES ($1, $2)
                 ON CONFLICT (room_id) DO UPDATE SET image = excluded.image",
            )
            .bind(room.as_str())
            .bind(image)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}
