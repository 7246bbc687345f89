//! Accounts, sign-ins and stream keys.

use sqlx::Row as _;

use super::row::room_id;
use super::{Connection, Row, Store};
use crate::auth::{Account, AccountRole};
use crate::id::RoomId;
use crate::store::identity::{MAX_SIGN_INS, sql};
use crate::store::{
    IdentityStore, NewSignIn, Renewal, Renewed, StoreError, Stored, StoredAccount, promptly,
};
use crate::time::Timestamp;

impl IdentityStore for Store {
    fn create<'a>(&'a self, account: &'a Account, password_hash: &'a str) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(sql::CREATE)
                .bind(&account.id)
                .bind(&account.name)
                .bind(account.name.to_lowercase())
                .bind(account.role.as_str())
                .bind(password_hash)
                .bind(account.created_at.millis())
                .execute(self.writer())
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn find_by_name<'a>(&'a self, name: &'a str) -> Stored<'a, Option<StoredAccount>> {
        promptly(async move {
            let row = sqlx::query(sql::FIND_BY_NAME)
                .bind(name.to_lowercase())
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(stored_account).transpose()
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> Stored<'a, Option<StoredAccount>> {
        promptly(async move {
            let row = sqlx::query(sql::FIND)
                .bind(id)
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(stored_account).transpose()
        })
    }

    fn list<'a>(&'a self, after: &'a str, limit: u32) -> Stored<'a, Vec<StoredAccount>> {
        promptly(async move {
            let rows = sqlx::query(sql::LIST)
                .bind(after.to_lowercase())
                .bind(i64::from(limit))
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(stored_account).collect()
        })
    }

    fn set_password<'a>(
        &'a self,
        id: &'a str,
        hash: &'a str,
        now: Timestamp,
    ) -> Stored<'a, Option<Vec<String>>> {
        self.change((sql::SET_PASSWORD, id), Some(hash), None, now)
    }

    fn rehash<'a>(&'a self, id: &'a str, old: &'a str, new: &'a str) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query(sql::REHASH)
                .bind(id)
                .bind(old)
                .bind(new)
                .execute(self.writer())
                .await?;
            Ok(())
        })
    }

    fn set_role<'a>(
        &'a self,
        id: &'a str,
        role: AccountRole,
        now: Timestamp,
    ) -> Stored<'a, Option<Vec<String>>> {
        let rooms = match role {
            AccountRole::Viewer => sql::REVOKE_ROOMS,
            AccountRole::Host | AccountRole::Admin => sql::RESTORE_ROOMS,
        };
        self.change((sql::SET_ROLE, id), Some(role.as_str()), Some(rooms), now)
    }

    fn delete<'a>(&'a self, id: &'a str, now: Timestamp) -> Stored<'a, Option<Vec<String>>> {
        self.change((sql::DELETE, id), None, Some(sql::REVOKE_ROOMS), now)
    }

    fn begin<'a>(&'a self, sign_in: &'a NewSignIn) -> Stored<'a, Vec<String>> {
        promptly(async move {
            let now = sign_in.begins_at.millis();
            let mut transaction = self.writer().begin().await?;
            sqlx::query(sql::BEGIN)
                .bind(&sign_in.id)
                .bind(&sign_in.user)
                .bind(now)
                .bind(sign_in.expires_at.millis())
                .execute(&mut *transaction)
                .await?;
            let crowded_out = sqlx::query(sql::CROWD_OUT)
                .bind(&sign_in.user)
                .bind(now)
                .bind(MAX_SIGN_INS)
                .fetch_all(&mut *transaction)
                .await?;
            transaction.commit().await?;
            ids(&crowded_out)
        })
    }

    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Stored<'a, Renewed> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            let renewed = renew(&mut transaction, renewal).await?;
            transaction.commit().await?;
            Ok(renewed)
        })
    }

    fn end<'a>(&'a self, id: &'a str, now: Timestamp) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query(sql::END)
                .bind(id)
                .bind(now.millis())
                .execute(self.writer())
                .await?;
            Ok(())
        })
    }

    fn end_all<'a>(&'a self, user: &'a str, now: Timestamp) -> Stored<'a, Vec<String>> {
        promptly(async move {
            let ended = sqlx::query(sql::END_ALL)
                .bind(user)
                .bind(now.millis())
                .fetch_all(self.writer())
                .await?;
            ids(&ended)
        })
    }

    fn ended_since(&self, since: Timestamp) -> Stored<'_, Vec<(String, Timestamp)>> {
        promptly(async move {
            let rows = sqlx::query(sql::ENDED_SINCE)
                .bind(since.millis())
                .fetch_all(self.readers())
                .await?;
            let ended = rows.iter().map(|row| {
                let at = Timestamp::from_millis(row.try_get("ended_at")?);
                Ok((row.try_get("id")?, at))
            });
            ended.collect()
        })
    }

    fn set_stream_key<'a>(&'a self, room: &'a RoomId, key_hash: &'a str) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(sql::SET_STREAM_KEY)
                .bind(room.as_str())
                .bind(key_hash)
                .execute(self.writer())
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn revoked_on_air(&self) -> Stored<'_, Vec<RoomId>> {
        promptly(async move {
            let rows = sqlx::query(sql::REVOKED_ON_AIR)
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(|row| room_id(row, "id")).collect()
        })
    }

    fn forget_sign_ins(&self, now: Timestamp) -> Stored<'_, u64> {
        promptly(async move {
            let done = sqlx::query(sql::FORGET)
                .bind(now.millis())
                .execute(self.writer())
                .await?;
            Ok(done.rows_affected())
        })
    }
}

impl Store {
    /// Changes an account, and with it its rooms, and ends its sign-ins, in one transaction.
    fn change<'a>(
        &'a self,
        (statement, id): (&'static str, &'a str),
        value: Option<&'a str>,
        rooms: Option<&'static str>,
        now: Timestamp,
    ) -> Stored<'a, Option<Vec<String>>> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            let change = sqlx::query(statement).bind(id);
            let change = match value {
                Some(value) => change.bind(value),
                None => change,
            };
            let done = change.execute(&mut *transaction).await?;
            if done.rows_affected() == 0 {
                return Ok(None);
            }
            if let Some(rooms) = rooms {
                sqlx::query(rooms)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
            }
            let ended = sqlx::query(sql::END_ALL)
                .bind(id)
                .bind(now.millis())
                .fetch_all(&mut *transaction)
                .await?;
            transaction.commit().await?;
            ids(&ended).map(Some)
        })
    }
}

async fn renew(connection: &mut Connection, renewal: &Renewal) -> Result<Renewed, StoreError> {
    let now = renewal.now.millis();
    let shown = i64::try_from(renewal.generation).unwrap_or(i64::MAX);
    // Writing first takes the lock before anything is read.
    let done = sqlx::query(sql::RENEW)
        .bind(&renewal.id)
        .bind(shown)
        .bind(now)
        .bind(renewal.expires_at.millis())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(sql::SIGN_IN)
        .bind(&renewal.id)
        .bind(now)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(Renewed::Gone);
    };
    let generation: i64 = row.try_get("generation")?;
    let renewed_at: i64 = row.try_get("renewed_at")?;
    let again = generation - 1 == shown && now - renewed_at <= renewal.patience_ms;
    if done.rows_affected() == 1 || again {
        let account = stored_account(&row)?.account;
        let generation = u64::try_from(generation)
            .map_err(|_| StoreError::Unreadable("the generation of a sign-in"))?;
        return Ok(Renewed::Done {
            account,
            generation,
        });
    }
    if shown >= generation {
        // No token of this number was made; the database is older than the token.
        return Ok(Renewed::Gone);
    }
    sqlx::query(sql::END)
        .bind(&renewal.id)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(Renewed::Reused)
}

fn ids(rows: &[Row]) -> Result<Vec<String>, StoreError> {
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

fn stored_account(row: &Row) -> Result<StoredAccount, StoreError> {
    let role: String = row.try_get("role")?;
    let role = role.parse();
    Ok(StoredAccount {
        account: Account {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            role: role.map_err(|_| StoreError::Unreadable("the role of an account"))?,
            created_at: Timestamp::from_millis(row.try_get("created_at")?),
        },
        password_hash: row.try_get("password_hash")?,
    })
}
