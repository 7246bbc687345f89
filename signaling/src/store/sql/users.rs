//! People.

use sqlx::Row as _;
use uuid::Uuid;

use super::Store;
use crate::store::{Stored, User, UserStore, promptly};
use crate::time::Timestamp;

impl UserStore for Store {
    fn sign_in<'a>(&'a self, name: &'a str) -> Stored<'a, User> {
        promptly(async move {
            let row = sqlx::query(
                "INSERT INTO users (id, name, name_key, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name_key) DO UPDATE SET name_key = users.name_key
                 RETURNING id, name",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(name)
            .bind(name.to_lowercase())
            .bind(Timestamp::now().millis())
            .fetch_one(self.writer())
            .await?;
            Ok(User {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
            })
        })
    }
}
