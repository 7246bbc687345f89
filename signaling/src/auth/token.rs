//! Tokens: JWTs (RFC 7519) signed with HS256, this server's own and those of applications, which carry
//! grants in the shape that `LiveKit` made common; those of OpenID providers are looked at in `oidc`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Access, Account, AccountRole, Ended, GUEST_PREFIX, Grants, Identity, Providers, Role, Secret,
};
use crate::app::Phase;
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::store::IdentityStore;
use crate::time::Timestamp;

/// Signs this server's tokens and checks everybody's.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Signs access, refresh and join tokens.
    own: Secret,
    /// Those who sign tokens beside this server; replaced as a whole when the configuration is read again.
    others: RwLock<Arc<Others>>,
    /// Sign-ins that have ended before their tokens.
    pub(super) ended: Arc<Ended>,
}

/// Those who sign tokens beside this server.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Secrets of applications by the name of their key.
    pub(crate) api_keys: BTreeMap<String, Secret>,
    /// OpenID providers.
    pub(crate) providers: Providers,
}

/// What this server's own tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenUse {
    /// The REST API, and any room that the account may enter.
    Access,
    /// One room.
    Join,
    /// New tokens, once.
    Refresh,
}

/// A token and its end.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// For the client alone.
    pub(crate) token: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

impl Authority {
    pub(crate) fn new(own: Secret, others: Others, ended: Arc<Ended>) -> Self {
        Self {
            own,
            others: RwLock::new(Arc::new(others)),
            ended,
        }
    }

    /// Takes others from now on.
    pub(crate) fn set_others(&self, others: Others) {
        let mut slot = self.others.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Arc::new(others);
    }

    /// Returns those who sign tokens beside this server.
    pub(crate) fn others(&self) -> Arc<Others> {
        Arc::clone(&self.others.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a token that lets an account in.
    pub(crate) fn access(
        &self,
        account: &Account,
        sign_in: &str,
        ttl: Duration,
    ) -> Result<Issued, ApiError> {
        let mut claims = Claims::new(OWN_ISSUER, &account.id, &account.name, ttl);
        claims.r#use = Some(TokenUse::Access);
        claims.account = Some(account.role);
        claims.sid = Some(sign_in.to_owned());
        self.issue(claims)
    }

    /// Signs a token that renews a sign-in, by its number.
    pub(super) fn refresh(
        &self,
        account: &Account,
        (sign_in, generation): (&str, u64),
        ttl: Duration,
    ) -> Result<Issued, ApiError> {
        let mut claims = Claims::new(OWN_ISSUER, &account.id, "", ttl);
        claims.r#use = Some(TokenUse::Refresh);
        claims.sid = Some(sign_in.to_owned());
        claims.r#gen = Some(generation);
        self.issue(claims)
    }

    /// Says which sign-in a token renews, and which of its tokens it is.
    ///
    /// # Errors
    /// `token_expired` or `token_invalid`.
    pub(super) fn verify_refresh(&self, token: &str) -> Result<(String, u64), ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid());
        }
        let claims = decode(token, OWN_ISSUER, &self.own)?;
        match (claims.r#use, claims.sid, claims.r#gen) {
            (Some(TokenUse::Refresh), Some(sid), Some(generation)) => Ok((sid, generation)),
            (_, _, _) => Err(invalid()),
        }
    }

    /// Signs a token that lets an identity into one room. It allows no more than the token that was shown for
    /// it, and holds no longer.
    pub(crate) fn join(
        &self,
        identity: &Identity,
        room: &RoomId,
        (role, grants): (Role, Grants),
        ttl: Duration,
    ) -> Result<Issued, ApiError> {
        let mut claims = Claims::new(OWN_ISSUER, &identity.id, &identity.name, ttl);
        claims.r#use = Some(TokenUse::Join);
        claims.exp = claims.exp.min(identity.expires_at.unwrap_or(u64::MAX));
        claims.sid.clone_from(&identity.sign_in);
        claims.role = Some(role);
        claims.video = Some(VideoGrants {
            room: Some(room.as_str().to_owned()),
            room_join: true,
            can_publish: Some(grants.publish),
            can_subscribe: Some(grants.watch),
            can_publish_data: Some(grants.chat),
            room_admin: grants.moderate,
            room_create: false,
        });
        self.issue(claims)
    }

    fn issue(&self, claims: Claims) -> Result<Issued, ApiError> {
        let expires_at = Timestamp::from_millis(
            i64::try_from(claims.exp)
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        );
        let token = sign(&claims, &self.own).map_err(ApiError::internal)?;
        Ok(Issued { token, expires_at })
    }

    /// Says whose token it is.
    ///
    /// # Errors
    /// `token_expired` for one that held once, `token_invalid` for any other that does not.
    pub(crate) async fn verify(&self, token: &str) -> Result<Identity, ApiError> {
        let issuer = issuer(token)?;
        let others = self.others();
        match others.providers.find(&issuer) {
            Some(provider) => provider.verify(token).await,
            None => self.verify_shared(token, &issuer, &others),
        }
    }

    /// Says whose token it is that was signed with a secret: this server's or an application's.
    ///
    /// # Errors
    /// As `verify`.
    pub(crate) fn verify_signed(&self, token: &str) -> Result<Identity, ApiError> {
        self.verify_shared(token, &issuer(token)?, &self.others())
    }

    fn verify_shared(
        &self,
        token: &str,
        issuer: &str,
        others: &Others,
    ) -> Result<Identity, ApiError> {
        let secret = if issuer == OWN_ISSUER {
            &self.own
        } else {
            others.api_keys.get(issuer).ok_or_else(invalid)?
        };
        let identity = decode(token, issuer, secret)?.identity()?;
        if self.has_ended(&identity) {
            return Err(ApiError::new(Code::TokenExpired, "The sign-in has ended."));
        }
        Ok(identity)
    }

    /// Learns which sign-ins others end, until the server closes.
    pub(crate) fn watch_ended(
        &self,
        store: Arc<dyn IdentityStore>,
        phase: watch::Receiver<Phase>,
    ) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.ended).watch(store, phase)
    }

    /// Returns whether the sign-in has ended that a token came of.
    pub(crate) fn has_ended(&self, identity: &Identity) -> bool {
        let sign_in = identity.sign_in.as_ref();
        sign_in.is_some_and(|id| self.ended.contains(id))
    }
}

/// Returns who claims to have signed a token, which says only what to check it with.
fn issuer(token: &str) -> Result<String, ApiError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(invalid());
    }
    let claims: Result<Issuer, _> = jsonwebtoken::dangerous::insecure_decode_claims(token);
    claims.map(|claims| claims.iss).map_err(|_| invalid())
}

/// What an application signs with its API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one grant of the token"
)]
pub(crate) struct ApiGrants {
    /// The one room; `None`: no room, only the REST API.
    pub room: Option<String>,
    /// Send media.
    pub publish: bool,
    /// Receive media.
    pub subscribe: bool,
    /// Chat and react.
    pub data: bool,
    /// Keep order.
    pub admin: bool,
    /// Create rooms.
    pub room_create: bool,
}

impl ApiGrants {
    pub(crate) fn role(&self) -> Role {
        if self.publish {
            Role::Cohost
        } else if self.admin {
            Role::Moderator
        } else {
            Role::Viewer
        }
    }

    pub(crate) fn grants(&self) -> Grants {
        Grants {
            publish: self.publish,
            chat: self.data,
            react: self.data,
            moderate: self.admin,
            watch: self.subscribe,
        }
    }
}

/// The `video` claim as the libraries of `LiveKit` write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VideoGrants {
    /// The room it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Without it `room` is no permission to enter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_join: bool,
    /// Left out means no: here most participants watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Left out means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Chat and reactions. Left out means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Keeps order in the room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_admin: bool,
    /// May create rooms.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_create: bool,
}

/// Signs a token as an application does, with its API key.
///
/// # Errors
/// The claims cannot be written.
pub fn mint(
    key: (&str, &Secret),
    identity: (&str, &str),
    video: VideoGrants,
    ttl: Duration,
) -> Result<String, jsonwebtoken::errors::Error> {
    let mut claims = Claims::new(key.0, identity.0, identity.1, ttl);
    claims.video = Some(video);
    sign(&claims, key.1)
}

/// Who claims to have signed.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// Empty where an application speaks for itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sub: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    /// When it was signed, where that is not when it begins to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    /// Only in this server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#use: Option<TokenUse>,
    /// Only in this server's own: the sign-in that it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// Only in refresh tokens: their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#gen: Option<u64>,
    /// Only in access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<AccountRole>,
    /// Only in join tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    video: Option<VideoGrants>,
}

impl Claims {
    fn new(issuer: &str, id: &str, name: &str, ttl: Duration) -> Self {
        let now = Timestamp::now();
        Self {
            iss: issuer.to_owned(),
            sub: id.to_owned(),
            exp: now.plus(ttl).seconds(),
            nbf: Some(now.seconds()),
            iat: None,
            name: name.to_owned(),
            r#use: None,
            sid: None,
            r#gen: None,
            account: None,
            role: None,
            video: None,
        }
    }

    fn identity(mut self) -> Result<Identity, ApiError> {
        let own = self.iss == OWN_ISSUER;
        let video = self.video.take().unwrap_or_default();
        if !own && self.sub.is_empty() && !video.room_join {
            self.sub.clone_from(&self.iss);
        }
        let fits = |text: &str| text.chars().count() <= MAX_NAME_LENGTH;
        if self.sub.is_empty() || !fits(&self.sub) || !fits(&self.name) {
            return Err(invalid());
        }
        let access = match (own, self.r#use, self.role, self.account) {
            (true, Some(TokenUse::Access), _, Some(account)) if self.sid.is_some() => {
                Access::Account(account)
            }
            (true, Some(TokenUse::Join), Some(role), _) => {
                let room = video
                    .room
                    .as_deref()
                    .and_then(RoomId::parse)
                    .ok_or_else(invalid)?;
                let most = Grants {
                    publish: video.can_publish.unwrap_or(false),
                    chat: video.can_publish_data.unwrap_or(false),
                    react: video.can_publish_data.unwrap_or(false),
                    moderate: video.room_admin,
                    watch: video.can_subscribe.unwrap_or(false),
                };
                Access::Room { room, role, most }
            }
            (true, _, _, _) => return Err(invalid()),
            // An application names its own people; it cannot make guests of ours.
            (false, _, _, _) if self.sub.starts_with(GUEST_PREFIX) => return Err(invalid()),
            (false, _, _, _) => Access::Api(ApiGrants {
                room: video.room.filter(|_| video.room_join),
                publish: video.can_publish.unwrap_or(false),
                subscribe: video.can_subscribe.unwrap_or(true),
                data: video.can_publish_data.unwrap_or(true),
                admin: video.room_admin,
                room_create: video.room_create,
            }),
        };
        let name = if self.name.is_empty() {
            self.sub.clone()
        } else {
            self.name
        };
        Ok(Identity {
            id: self.sub,
            name,
            access,
            expires_at: Some(self.exp),
            minted_at: self.iat.or(self.nbf).unwrap_or(0),
            sign_in: self.sid.filter(|_| own),
        })
    }
}

fn sign(claims: &Claims, secret: &Secret) -> Result<String, jsonwebtoken::errors::Error> {
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
}

fn decode(token: &str, issuer: &str, secret: &Secret) -> Result<Claims, ApiError> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss"]);
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
            Err(ApiError::new(Code::TokenExpired, "The token has expired."))
        }
        Err(_) => Err(invalid()),
    }
}

/// One sentence for everything that is wrong with a token: which part it is helps only who forges it.
pub(super) fn invalid() -> ApiError {
    ApiError::new(Code::TokenInvalid, "The token does not hold.")
}

/// The issuer of this server's own tokens; no API key may have this name.
pub(super) const OWN_ISSUER: &str = "klieg";

/// What clocks may differ by.
const LEEWAY_S: u64 = 5;

/// Providers put every role of their users into tokens.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// An identity's id and its name, in characters.
pub(super) const MAX_NAME_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let others = Others {
            api_keys: BTreeMap::from([("devkey".to_owned(), Secret::new("devsecret"))]),
            providers: Providers::default(),
        };
        let ended = Arc::new(Ended::new(MINUTE));
        Authority::new(Secret::new("o".repeat(44)), others, ended)
    }

    fn ann() -> Account {
        Account {
            id: "1".to_owned(),
            name: "Ann".to_owned(),
            role: AccountRole::Host,
            created_at: Timestamp::now(),
        }
    }

    fn api(video: VideoGrants, secret: &str) -> String {
        mint(
            ("devkey", &Secret::new(secret)),
            ("bob", "Bob"),
            video,
            MINUTE,
        )
        .unwrap()
    }

    #[test]
    fn an_access_token_is_an_account_until_its_sign_in_ends() {
        let authority = authority();
        let token = authority.access(&ann(), "s", MINUTE).unwrap().token;
        let identity = authority.verify_signed(&token).unwrap();
        assert_eq!(identity.id, "1");
        assert_eq!(identity.access, Access::Account(AccountRole::Host));
        let room = RoomId::parse("demo").unwrap();
        let place = (Role::Viewer, WATCHING);
        let join = authority.join(&identity, &room, place, MINUTE).unwrap();
        authority.verify_signed(&join.token).unwrap();

        authority.ended.add("s".to_owned(), Timestamp::now());
        for token in [token, join.token] {
            let refused = authority.verify_signed(&token).unwrap_err();
            assert_eq!(refused.code, Code::TokenExpired);
        }
    }

    #[test]
    fn each_token_is_good_for_one_use_alone() {
        let authority = authority();
        let access = authority.access(&ann(), "s", MINUTE).unwrap().token;
        let refresh = authority.refresh(&ann(), ("s", 7), MINUTE).unwrap().token;
        assert_eq!(
            authority.verify_refresh(&refresh).unwrap(),
            ("s".to_owned(), 7)
        );
        assert_eq!(
            authority.verify_refresh(&access).unwrap_err().code,
            Code::TokenInvalid
        );
        assert_eq!(
            authority.verify_signed(&refresh).unwrap_err().code,
            Code::TokenInvalid
        );
        let foreign = api(VideoGrants::default(), "devsecret");
        assert_eq!(
            authority.verify_refresh(&foreign).unwrap_err().code,
            Code::TokenInvalid
        );
    }

    #[test]
    fn an_application_that_speaks_for_itself_needs_no_subject() {
        let token = |video| {
            let key = ("devkey", &Secret::new("devsecret"));
            mint(key, ("", ""), video, MINUTE).unwrap()
        };
        let server_side = VideoGrants {
            room_create: true,
            ..VideoGrants::default()
        };
        let identity = authority().verify_signed(&token(server_side)).unwrap();
        assert_eq!(
            (identity.id.as_str(), identity.may_host()),
            ("devkey", true)
        );
        let joining = VideoGrants {
            room: Some("demo".into()),
            room_join: true,
            ..VideoGrants::default()
        };
        let refused = authority().verify_signed(&token(joining)).unwrap_err();
        assert_eq!(refused.code, Code::TokenInvalid);
    }

    #[test]
    fn a_join_token_is_for_its_room_and_role() {
        let authority = authority();
        let guest = Identity::guest("G".into());
        let room = RoomId::parse("demo").unwrap();
        let token = authority
            .join(&guest, &room, (Role::Guest, WATCHING), MINUTE)
            .unwrap()
            .token;
        let identity = authority.verify_signed(&token).unwrap();
        assert_eq!(
            identity.access,
            Access::Room {
                room,
                role: Role::Guest,
                most: WATCHING
            }
        );
        assert_eq!(
            identity.may_ask_for("other").unwrap_err().code,
            Code::Forbidden
        );
    }

    #[test]
    fn an_application_must_say_that_its_user_publishes() {
        let video = VideoGrants {
            room: Some("demo".into()),
            room_join: true,
            ..VideoGrants::default()
        };
        let identity = authority()
            .verify_signed(&api(video.clone(), "devsecret"))
            .unwrap();
        assert_eq!(identity.usual_role(), Role::Viewer);

        let video = VideoGrants {
            can_publish: Some(true),
            ..video
        };
        let identity = authority().verify_signed(&api(video, "devsecret")).unwrap();
        assert_eq!(identity.usual_role(), Role::Cohost);
    }

    #[test]
    fn a_token_signed_with_another_secret_or_algorithm_does_not_hold() {
        let authority = authority();
        let code = |token: &str| authority.verify_signed(token).unwrap_err().code;
        assert_eq!(
            code(&api(VideoGrants::default(), "guess")),
            Code::TokenInvalid
        );

        let claims = Claims::new("devkey", "bob", "", MINUTE);
        let key = EncodingKey::from_secret(b"devsecret");
        let other = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &key).unwrap();
        assert_eq!(code(&other), Code::TokenInvalid);

        // {"alg":"none","typ":"JWT"}
        let good = api(VideoGrants::default(), "devsecret");
        let payload = good.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        assert_eq!(code(&none), Code::TokenInvalid);
        assert_eq!(code("…"), Code::TokenInvalid);
        assert_eq!(code(""), Code::TokenInvalid);
    }

    #[test]
    fn an_application_cannot_sign_this_servers_tokens() {
        let mut claims = Claims::new(OWN_ISSUER, "1", "Ann", MINUTE);
        claims.r#use = Some(TokenUse::Access);
        claims.account = Some(AccountRole::Admin);
        claims.sid = Some("s".to_owned());
        let token = sign(&claims, &Secret::new("devsecret")).unwrap();
        assert_eq!(
            authority().verify_signed(&token).unwrap_err().code,
            Code::TokenInvalid
        );

        // And what it does sign is never an account of ours, whatever it says.
        claims.iss = "devkey".to_owned();
        claims.role = Some(Role::Admin);
        let token = sign(&claims, &Secret::new("devsecret")).unwrap();
        assert!(matches!(
            authority().verify_signed(&token).unwrap().access,
            Access::Api(_)
        ));
    }

    #[test]
    fn a_token_holds_between_its_times() {
        let authority = authority();
        let at = |exp: i64, nbf: i64| {
            let now = Timestamp::now().seconds();
            let mut claims = Claims::new("devkey", "bob", "", MINUTE);
            claims.exp = now.saturating_add_signed(exp);
            claims.nbf = Some(now.saturating_add_signed(nbf));
            let token = sign(&claims, &Secret::new("devsecret")).unwrap();
            authority
                .verify_signed(&token)
                .map(|_| ())
                .map_err(|error| error.code)
        };
        assert_eq!(at(60, -60), Ok(()));
        assert_eq!(at(-60, -120), Err(Code::TokenExpired));
        assert_eq!(at(120, 60), Err(Code::TokenInvalid));
    }

    const MINUTE: Duration = Duration::from_secs(60);

    const WATCHING: Grants = Grants {
        publish: false,
        chat: false,
        react: false,
        moderate: false,
        watch: true,
    };
}
