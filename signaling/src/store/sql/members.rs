//! How many members a host has.

use super::Connection;
#[cfg(test)]
use super::Store;
use crate::store::StoreError;

#[cfg(test)]
impl Store {
    /// Adds many members of a host.
    pub(in crate::store) async fn fill_members(
        &self,
        host: &str,
        count: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "WITH RECURSIVE numbers (n) AS (
               SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < $2
             )
             INSERT INTO audience (host_id, identity, kind, name, since)
             SELECT $1, 'filled ' || n, 'members', '', 0 FROM numbers",
        )
        .bind(host)
        .bind(count)
        .execute(self.writer())
        .await?;
        Ok(())
    }
}

/// Returns whether a host has so many members that one more would be too many.
pub(super) async fn is_full(
    connection: &mut Connection,
    host: &str,
    identity: &str,
) -> Result<bool, StoreError> {
    let others = sqlx::query(
        "SELECT 1 FROM audience WHERE host_id = $1 AND kind = 'members' AND identity <> $2
         LIMIT 1 OFFSET $3",
    )
    .bind(host)
    .bind(identity)
    .bind(MAX_MEMBERS - 1)
    .fetch_optional(connection)
    .await?;
    Ok(others.is_some())
}

/// Members of one host.
const MAX_MEMBERS: i64 = 10_000;
