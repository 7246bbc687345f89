//! Who likes a room.

use sqlx::Row as _;

use super::journal::Batch;
use super::row::number;
use super::{Connection, Store};
use crate::id::RoomId;
use crate::store::{LikeStore, Liked, Liking, Outcome, StoreError, Stored, promptly};

impl LikeStore for Store {
    fn likes<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, bool> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            likes(&mut connection, room.as_str(), identity).await
        })
    }
}

impl Batch<'_> {
    /// Writes down whether somebody likes the room; each counts once.
    pub(super) async fn like(
        &self,
        connection: &mut Connection,
        identity: &str,
        liking: Liking,
    ) -> Result<Outcome, StoreError> {
        let before = likes(connection, self.room, identity).await?;
        let liked = match liking {
            Liking::Yes => true,
            Liking::No => false,
            Liking::Toggle => !before,
        };
        if liked != before {
            let change = if liked {
                sqlx::query("INSERT INTO likes (room_id, identity, at) VALUES ($1, $2, $3)")
                    .bind(self.room)
                    .bind(identity)
                    .bind(self.ts.millis())
            } else {
                sqlx::query("DELETE FROM likes WHERE room_id = $1 AND identity = $2")
                    .bind(self.room)
                    .bind(identity)
            };
            change.execute(&mut *connection).await?;
        }
        let more = i64::from(liked) - i64::from(before);
        let row = sqlx::query(
            "UPDATE rooms SET like_count = like_count + $2 WHERE id = $1 RETURNING like_count",
        )
        .bind(self.room)
        .bind(more)
        .fetch_one(connection)
        .await?;
        let likes = number(row.try_get("like_count")?);
        Ok(Outcome::Liked(Liked { liked, likes }))
    }
}

async fn likes(
    connection: &mut Connection,
    room: &str,
    identity: &str,
) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM likes WHERE room_id = $1 AND identity = $2")
        .bind(room)
        .bind(identity)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}
