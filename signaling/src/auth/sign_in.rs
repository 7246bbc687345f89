//! Signing in with a name and a password, staying signed in, and signing out.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracing::{info, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use super::password::{self, Passwords, Verdict};
use super::{Access, Account, AccountRole, Authority, Identity, Secret};
use crate::error::{ApiError, Code};
use crate::metrics::Metrics;
use crate::store::{IdentityStore, NewSignIn, Renewal, Renewed, StoredAccount, Stores};
use crate::time::Timestamp;

/// Signs people in and out.
#[derive(Debug)]
pub(crate) struct SignIns {
    stores: Stores,
    authority: Arc<Authority>,
    passwords: Passwords,
    metrics: Arc<Metrics>,
    lifetimes: Lifetimes,
}

/// How long tokens hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// An access token.
    pub(crate) access: Duration,
    /// A refresh token, anew with every renewal.
    pub(crate) refresh: Duration,
}

/// What a client gets when somebody signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    access_token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Good once, for new tokens.
    refresh_token: String,
    #[schema(value_type = String, format = DateTime)]
    refresh_expires_at: Timestamp,
    user: AccountView,
}

/// An account as its owner sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AccountView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: AccountRole,
}

impl SignIns {
    pub(crate) fn new(
        stores: Stores,
        authority: Arc<Authority>,
        metrics: Arc<Metrics>,
        lifetimes: Lifetimes,
    ) -> Self {
        Self {
            stores,
            authority,
            passwords: Passwords::new(),
            metrics,
            lifetimes,
        }
    }

    fn store(&self) -> &dyn IdentityStore {
        &*self.stores.identities
    }

    /// Makes an account and signs it in.
    ///
    /// # Errors
    /// `name_taken`, `password_refused`, or `busy`.
    pub(crate) async fn register(
        &self,
        name: String,
        password: Secret,
        role: AccountRole,
    ) -> Result<SignedIn, ApiError> {
        password::check_new(&password, &name)?;
        let account = Account {
            id: Uuid::now_v7().to_string(),
            name,
            role,
            created_at: Timestamp::now(),
        };
        let hash = self.passwords.hash(password).await?;
        let made = self.store().create(&account, &hash).await;
        if !made.map_err(ApiError::store)? {
            return Err(ApiError::new(Code::NameTaken, "Somebody has this name."));
        }
        info!(user = %account.id, "account made");
        self.begin(account).await
    }

    /// Signs in whoever knows the password.
    ///
    /// # Errors
    /// `credentials_wrong` in the same words and the same time for a wrong name and a wrong password, or `busy`.
    pub(crate) async fn sign_in(&self, name: &str, password: Secret) -> Result<SignedIn, ApiError> {
        let found = self.find_by_name(name).await?;
        let (account, hash) = match found {
            Some(StoredAccount {
                account,
                password_hash,
            }) => (Some(account), password_hash),
            None => (None, None),
        };
        let verdict = self.passwords.verify(password, hash.clone()).await?;
        let (Some(account), Verdict::Right(anew)) = (account, verdict) else {
            self.metrics.signed_in("wrong");
            return Err(wrong());
        };
        if let (Some(old), Some(new)) = (hash, anew) {
            self.rehash(&account, &old, &new).await;
        }
        self.begin(account).await
    }

    /// Keeps a password's new hash. Where that does not succeed, the next sign-in does it.
    async fn rehash(&self, account: &Account, old: &str, new: &str) {
        match self.store().rehash(&account.id, old, new).await {
            Ok(()) => info!(user = %account.id, "password hashed anew"),
            Err(error) => warn!(%error, "a password was not hashed anew"),
        }
    }

    /// Returns whether somebody needs a password to sign in by this name.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn has_password(&self, name: &str) -> Result<bool, ApiError> {
        let found = self.find_by_name(name).await?;
        Ok(found.is_some_and(|it| it.password_hash.is_some()))
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<StoredAccount>, ApiError> {
        self.store()
            .find_by_name(name)
            .await
            .map_err(ApiError::store)
    }

    async fn find(&self, id: &str) -> Result<Option<StoredAccount>, ApiError> {
        self.store().find(id).await.map_err(ApiError::store)
    }

    /// Signs in an account by its id, for whoever has proved to be its owner.
    ///
    /// # Errors
    /// `credentials_wrong` when there is no such account.
    pub(crate) async fn begin_for(&self, id: &str) -> Result<SignedIn, ApiError> {
        let found = self.find(id).await?.ok_or_else(wrong)?;
        self.begin(found.account).await
    }

    async fn begin(&self, account: Account) -> Result<SignedIn, ApiError> {
        let now = Timestamp::now();
        let sign_in = NewSignIn {
            id: crate::id::random(),
            user: account.id.clone(),
            begins_at: now,
            expires_at: now.plus(self.lifetimes.refresh),
        };
        let ended = self.store().begin(&sign_in).await;
        self.note_ended(ended.map_err(ApiError::store)?);
        self.metrics.signed_in("done");
        self.issue(account, &sign_in.id, 0)
    }

    fn issue(
        &self,
        account: Account,
        sign_in: &str,
        generation: u64,
    ) -> Result<SignedIn, ApiError> {
        let lifetimes = self.lifetimes;
        let access = self.authority.access(&account, sign_in, lifetimes.access)?;
        let refresh = (sign_in, generation);
        let refresh = self
            .authority
            .refresh(&account, refresh, lifetimes.refresh)?;
        Ok(SignedIn {
            access_token: access.token,
            expires_at: access.expires_at,
            refresh_token: refresh.token,
            refresh_expires_at: refresh.expires_at,
            user: AccountView {
                id: account.id,
                name: account.name,
                role: account.role,
            },
        })
    }

    /// Changes a refresh token for new tokens. Each is good for once: one that comes again was stolen, from its
    /// owner or by its owner's thief, and nobody can tell which; so the sign-in ends for both.
    ///
    /// # Errors
    /// `token_invalid` or `token_expired`.
    pub(crate) async fn refresh(&self, token: &str) -> Result<SignedIn, ApiError> {
        let (id, generation) = self.authority.verify_refresh(token)?;
        let now = Timestamp::now();
        let renewal = Renewal {
            id,
            generation,
            expires_at: now.plus(self.lifetimes.refresh),
            now,
            patience_ms: PATIENCE_MS,
        };
        let renewed = self.store().renew(&renewal).await;
        match renewed.map_err(ApiError::store)? {
            Renewed::Done {
                account,
                generation,
            } => {
                self.metrics.signed_in("renewed");
                self.issue(account, &renewal.id, generation)
            }
            Renewed::Reused => {
                warn!("a refresh token was used twice; its sign-in has ended");
                self.metrics.signed_in("reused");
                self.note_ended(vec![renewal.id]);
                Err(over())
            }
            Renewed::Gone => Err(over()),
        }
    }

    /// Signs out: the sign-in of a token, or with `everywhere` all of its account's.
    ///
    /// # Errors
    /// `forbidden` for tokens that did not come of signing in here.
    pub(crate) async fn sign_out(
        &self,
        identity: &Identity,
        everywhere: bool,
    ) -> Result<(), ApiError> {
        let id = own(identity)?;
        let now = Timestamp::now();
        let ended = if everywhere {
            self.store().end_all(&identity.id, now).await
        } else {
            self.store()
                .end(id, now)
                .await
                .map(|()| vec![id.to_owned()])
        };
        self.note_ended(ended.map_err(ApiError::store)?);
        Ok(())
    }

    /// Changes a password, signs out everywhere and signs in again.
    ///
    /// # Errors
    /// `credentials_wrong` when the present one is wrong, `password_refused`, `busy`.
    pub(crate) async fn change_password(
        &self,
        identity: &Identity,
        present: Secret,
        new: Secret,
    ) -> Result<SignedIn, ApiError> {
        own(identity)?;
        let found = self.find(&identity.id).await?;
        let hash = found.as_ref().and_then(|it| it.password_hash.clone());
        let verdict = self.passwords.verify(present, hash).await?;
        let right = verdict != Verdict::Wrong;
        let account = found.filter(|_| right).ok_or_else(wrong)?.account;
        password::check_new(&new, &account.name)?;
        let hash = self.passwords.hash(new).await?;
        let now = Timestamp::now();
        let ended = self.store().set_password(&account.id, &hash, now).await;
        self.note_ended(ended.map_err(ApiError::store)?.ok_or_else(wrong)?);
        info!(user = %account.id, "password changed");
        self.begin(account).await
    }

    fn note_ended(&self, ids: Vec<String>) {
        let now = Timestamp::now();
        for id in ids {
            self.authority.ended.add(id, now);
        }
    }
}

/// Returns the sign-in that a token came of.
fn own(identity: &Identity) -> Result<&str, ApiError> {
    match (&identity.access, &identity.sign_in) {
        (Access::Account(_), Some(id)) => Ok(id),
        (_, _) => {
            let text = "This token did not come of signing in here.";
            Err(ApiError::new(Code::Forbidden, text))
        }
    }
}

fn wrong() -> ApiError {
    ApiError::new(Code::CredentialsWrong, "The name or the password is wrong.")
}

fn over() -> ApiError {
    ApiError::new(Code::TokenExpired, "The sign-in has ended.")
}

/// How long a refresh token is taken again, for an answer that was lost and for pages that ask at once.
const PATIENCE_MS: i64 = 10_000;
