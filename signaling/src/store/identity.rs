//! Accounts and their sign-ins, and the keys that stand for owners of rooms.

use super::Stored;
use crate::auth::{Account, AccountRole};
use crate::id::RoomId;
use crate::time::Timestamp;

/// Accounts and their sign-ins.
pub(crate) trait IdentityStore: Send + Sync {
    /// Adds an account; `false` when there is one of this name, whatever its case.
    fn create<'a>(&'a self, account: &'a Account, password_hash: &'a str) -> Stored<'a, bool>;
    /// Returns the account of this name, whatever its case.
    fn find_by_name<'a>(&'a self, name: &'a str) -> Stored<'a, Option<StoredAccount>>;
    /// Returns one account.
    fn find<'a>(&'a self, id: &'a str) -> Stored<'a, Option<StoredAccount>>;
    /// Returns at most `limit` accounts by name, those after `after`.
    fn list<'a>(&'a self, after: &'a str, limit: u32) -> Stored<'a, Vec<StoredAccount>>;
    /// Changes the password and ends all sign-ins; `None` when there is no such account, otherwise their ids.
    fn set_password<'a>(
        &'a self,
        id: &'a str,
        hash: &'a str,
        now: Timestamp,
    ) -> Stored<'a, Option<Vec<String>>>;
    /// Replaces the hash of an account's password by another of the same password, unless it has changed.
    fn rehash<'a>(&'a self, id: &'a str, old: &'a str, new: &'a str) -> Stored<'a, ()>;
    /// Changes the role and ends all sign-ins; `None` when there is no such account, otherwise their ids. Of who may host
    /// no more the rooms are revoked, as by [`IdentityStore::delete`].
    fn set_role<'a>(
        &'a self,
        id: &'a str,
        role: AccountRole,
        now: Timestamp,
    ) -> Stored<'a, Option<Vec<String>>>;
    /// Removes an account and ends all its sign-ins; `None` when there is none, otherwise their ids. Its rooms that are not
    /// over are revoked: their stream keys open nothing from then on.
    fn delete<'a>(&'a self, id: &'a str, now: Timestamp) -> Stored<'a, Option<Vec<String>>>;
    /// Adds a sign-in. Of an account's at most [`MAX_SIGN_INS`] hold; returns the ids of those it ends.
    fn begin<'a>(&'a self, sign_in: &'a NewSignIn) -> Stored<'a, Vec<String>>;
    /// Renews a sign-in by the number of its refresh token, or ends it when that was used before.
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Stored<'a, Renewed>;
    /// Ends one sign-in.
    fn end<'a>(&'a self, id: &'a str, now: Timestamp) -> Stored<'a, ()>;
    /// Ends all sign-ins of an account and returns their ids.
    fn end_all<'a>(&'a self, user: &'a str, now: Timestamp) -> Stored<'a, Vec<String>>;
    /// Returns the sign-ins that were ended at this moment or later, and when.
    fn ended_since(&self, since: Timestamp) -> Stored<'_, Vec<(String, Timestamp)>>;
    /// Gives a room another stream key, by the hash of it; `false` when there is no such room, or it is revoked.
    fn set_stream_key<'a>(&'a self, room: &'a RoomId, key_hash: &'a str) -> Stored<'a, bool>;
    /// Returns rooms that are on air although they were revoked, a hundred at most.
    fn revoked_on_air(&self) -> Stored<'_, Vec<RoomId>>;
    /// Forgets sign-ins that nobody can renew any more; returns how many.
    fn forget_sign_ins(&self, now: Timestamp) -> Stored<'_, u64>;
}

/// An account as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAccount {
    /// Whose.
    pub account: Account,
    /// Argon2id as PHC string; `None` when nobody signs in with a password.
    pub password_hash: Option<String>,
}

/// A sign-in that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSignIn {
    /// 128 random bits.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Now.
    pub begins_at: Timestamp,
    /// When its refresh token ends.
    pub expires_at: Timestamp,
}

/// A refresh token that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// Of which sign-in.
    pub id: String,
    /// The token's number.
    pub generation: u64,
    /// When the next one ends.
    pub expires_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The token before the one that holds is taken once more if it was used no longer ago than that: an answer may
    /// be lost, and two pages may ask at once.
    pub patience_ms: i64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// The next token has this number.
    Done {
        /// Whose sign-in it is, as things stand now.
        account: Account,
        /// The number of the token that holds now.
        generation: u64,
    },
    /// The token was used before, by its owner or by a thief: the sign-in has ended.
    Reused,
    /// There is no such sign-in, or it has ended.
    Gone,
}

/// More than anybody has devices; the one that was renewed longest ago makes way.
pub(super) const MAX_SIGN_INS: i64 = 32;

/// Statements that all databases read.
pub(super) mod sql {
    pub(in crate::store) const CREATE: &str =
        "INSERT INTO users (id, name, name_key, role, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name_key) DO NOTHING";

    pub(in crate::store) const FIND_BY_NAME: &str = "SELECT * FROM users WHERE name_key = $1";

    pub(in crate::store) const FIND: &str = "SELECT * FROM users WHERE id = $1";

    pub(in crate::store) const LIST: &str =
        "SELECT * FROM users WHERE name_key > $1 ORDER BY name_key LIMIT $2";

    pub(in crate::store) const SET_PASSWORD: &str =
        "UPDATE users SET password_hash = $2 WHERE id = $1";

    pub(in crate::store) const REHASH: &str =
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";

    pub(in crate::store) const SET_ROLE: &str = "UPDATE users SET role = $2 WHERE id = $1";

    pub(in crate::store) const DELETE: &str = "DELETE FROM users WHERE id = $1";

    pub(in crate::store) const BEGIN: &str =
        "INSERT INTO sign_ins (id, user_id, generation, created_at, renewed_at, expires_at)
         VALUES ($1, $2, 0, $3, $3, $4)";

    pub(in crate::store) const CROWD_OUT: &str = "UPDATE sign_ins SET ended_at = $2 WHERE id IN (
           SELECT id FROM sign_ins WHERE user_id = $1 AND ended_at IS NULL
           ORDER BY renewed_at DESC, id DESC LIMIT 1000 OFFSET $3
         ) RETURNING id";

    pub(in crate::store) const RENEW: &str =
        "UPDATE sign_ins SET generation = generation + 1, renewed_at = $3, expires_at = $4
         WHERE id = $1 AND generation = $2 AND ended_at IS NULL AND expires_at > $3";

    pub(in crate::store) const SIGN_IN: &str =
        "SELECT users.*, sign_ins.generation AS generation, sign_ins.renewed_at AS renewed_at
         FROM sign_ins JOIN users ON users.id = sign_ins.user_id
         WHERE sign_ins.id = $1 AND sign_ins.ended_at IS NULL AND sign_ins.expires_at > $2";

    pub(in crate::store) const END: &str =
        "UPDATE sign_ins SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

    pub(in crate::store) const END_ALL: &str =
        "UPDATE sign_ins SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL RETURNING id";

    pub(in crate::store) const ENDED_SINCE: &str =
        "SELECT id, ended_at FROM sign_ins WHERE ended_at >= $1 ORDER BY ended_at";

    pub(in crate::store) const SET_STREAM_KEY: &str =
        "UPDATE rooms SET stream_key_hash = $2 WHERE id = $1 AND NOT revoked";

    // No key has such a hash, and no two rooms the same.
    pub(in crate::store) const REVOKE_ROOMS: &str =
        "UPDATE rooms SET stream_key_hash = 'revoked ' || id, revoked = TRUE
         WHERE owner_id = $1 AND status IN ('scheduled', 'ready', 'live', 'interrupted')";

    // They need a new key.
    pub(in crate::store) const RESTORE_ROOMS: &str =
        "UPDATE rooms SET revoked = FALSE WHERE owner_id = $1 AND revoked";

    pub(in crate::store) const REVOKED_ON_AIR: &str =
        "SELECT id FROM rooms WHERE revoked AND status IN ('live', 'interrupted') LIMIT 100";

    pub(in crate::store) const FORGET: &str = "DELETE FROM sign_ins WHERE expires_at <= $1";
}
