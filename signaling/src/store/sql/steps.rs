//! The steps that brought the tables to where they are.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::Connection;
use crate::store::StoreError;

/// Returns the checksums of the steps by their numbers.
pub(super) async fn steps(
    connection: &mut Connection,
) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("version")?, row.try_get("checksum")?)))
        .collect()
}
