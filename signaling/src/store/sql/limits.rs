//! Who may not write, and who may not enter.

use sqlx::Row as _;

use super::deeds::quiet;
use super::journal::Batch;
use super::order::user;
use super::row::moment;
use super::{Connection, Row};
use crate::auth::AddressMark;
use crate::store::{Limit, LimitKind, Outcome, StoreError};
use crate::time::Timestamp;

impl Batch<'_> {
    pub(super) async fn limit(
        &self,
        connection: &mut Connection,
        limit: &Limit,
    ) -> Result<Outcome, StoreError> {
        sqlx::query(
            "INSERT INTO room_limits (room_id, identity, kind, name, reason, at, until, addresses)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (room_id, identity, kind) DO UPDATE SET name = excluded.name,
                 reason = excluded.reason, at = excluded.at, until = excluded.until,
                 addresses = excluded.addresses",
        )
        .bind(self.room)
        .bind(&limit.who.id)
        .bind(limit.kind.as_str())
        .bind(&limit.who.name)
        .bind(&limit.reason)
        .bind(self.ts.millis())
        .bind(limit.until.map(Timestamp::millis))
        .bind(write_addresses(&limit.addresses))
        .execute(connection)
        .await?;
        Ok(quiet())
    }

    pub(super) async fn lift(
        &self,
        connection: &mut Connection,
        kind: LimitKind,
        identity: &str,
    ) -> Result<Outcome, StoreError> {
        let lifted = sqlx::query(
            "DELETE FROM room_limits WHERE room_id = $1 AND identity = $2 AND kind = $3",
        )
        .bind(self.room)
        .bind(identity)
        .bind(kind.as_str())
        .execute(connection)
        .await?;
        Ok(if lifted.rows_affected() == 0 {
            Outcome::Missing
        } else {
            quiet()
        })
    }
}

pub(super) fn limit(row: &Row) -> Result<Limit, StoreError> {
    let kind: &str = row.try_get("kind")?;
    let kind = if kind == "ban" {
        LimitKind::Ban
    } else {
        LimitKind::Mute
    };
    Ok(Limit {
        kind,
        who: user(row)?,
        reason: row.try_get("reason")?,
        until: moment(row, "until")?,
        addresses: read_addresses(row.try_get("addresses")?),
    })
}

fn write_addresses(addresses: &[AddressMark]) -> Option<String> {
    let addresses: Vec<&str> = addresses.iter().map(AddressMark::as_str).collect();
    (!addresses.is_empty()).then(|| addresses.join(" "))
}

fn read_addresses(text: Option<&str>) -> Vec<AddressMark> {
    let addresses = text.unwrap_or_default().split_whitespace();
    addresses.map(AddressMark::stored).collect()
}
