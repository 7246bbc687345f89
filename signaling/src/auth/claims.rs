//! What tokens say: the claims of a JWT (RFC 7519), this server's own and those of applications, which carry grants in the
//! shape that `LiveKit` made common; signed and checked with HS256.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{
    Access, AccountRole, AddressMark, ApiGrants, Grants, Identity, NAME_LENGTH, Role, Secret,
    VideoGrants, Whence,
};
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::text;
use crate::time::Timestamp;

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

/// Who claims to have signed.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    /// Empty where an application speaks for itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) sub: String,
    pub(super) exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<u64>,
    /// When it was signed, where that is not when it begins to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    /// Only in this server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) r#use: Option<TokenUse>,
    /// Only in this server's own: the sign-in that it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    /// Only in refresh tokens: their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) r#gen: Option<u64>,
    /// Only in access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<AccountRole>,
    /// Only in join tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
    /// Only in join tokens: until when others may be had for it over the socket; left out: as long as the sign-in holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    /// Only in join tokens: when its holder had last been put out of the room, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kicked: Option<i64>,
    /// Only in join tokens: who beside this server signed the token that it came of, as the authority marks them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signer: Option<String>,
    /// Only in join tokens: where it was asked for, where bans go with addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) whence: Option<AddressMark>,
    /// Only in join tokens: an application lets its holder into the room, whoever else may enter it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) invited: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<VideoGrants>,
}

impl Claims {
    pub(super) fn new(issuer: &str, id: &str, name: &str, ttl: Duration) -> Self {
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
            until: None,
            kicked: None,
            signer: None,
            whence: None,
            invited: false,
            video: None,
        }
    }

    /// Says who it is that shows them.
    ///
    /// # Errors
    /// `token_invalid` when they are not those of a token that lets somebody in.
    pub(super) fn identity(self) -> Result<Identity, ApiError> {
        if self.iss == OWN_ISSUER {
            self.own_identity()
        } else {
            self.foreign_identity()
        }
    }

    /// Says who it is that this server named.
    fn own_identity(self) -> Result<Identity, ApiError> {
        let (access, granted_until) = match (self.r#use, self.role, self.account) {
            (Some(TokenUse::Access), _, Some(account)) if self.sid.is_some() => {
                (Access::Account(account), None)
            }
            (Some(TokenUse::Join), Some(role), _) => {
                let held = (role, self.kicked, self.invited);
                (room(held, self.video)?, self.until)
            }
            (_, _, _) => return Err(invalid()),
        };
        if self.sub.is_empty() {
            return Err(invalid());
        }
        Ok(Identity {
            name: shown_name(&self.name, &self.sub),
            id: self.sub,
            avatar_url: None,
            access,
            expires_at: Some(self.exp),
            granted_until,
            minted_at: self.iat.or(self.nbf).unwrap_or(0),
            sign_in: self.sid,
            signer: self.signer,
            whence: Whence {
                network: None,
                token: self.whence,
            },
        })
    }

    /// Says who it is that an application named. Its people are its own: their ids begin with the name of its key, so
    /// that none of them is an account, a guest, or one of another application's.
    fn foreign_identity(self) -> Result<Identity, ApiError> {
        let minted_at = self.made_at()?;
        let video = self.video.unwrap_or_default();
        let name = match self.sub.as_str() {
            "" if video.room_join => return Err(invalid()),
            "" => &self.iss,
            sub => sub,
        };
        let id = format!("{}:{name}", self.iss);
        if !is_id(&id) || self.name.chars().count() > MAX_NAME_LENGTH {
            return Err(invalid());
        }
        Ok(Identity {
            name: shown_name(&self.name, name),
            id,
            avatar_url: None,
            access: Access::Api(ApiGrants {
                room: video.room.filter(|_| video.room_join),
                publish: video.can_publish.unwrap_or(false),
                subscribe: video.can_subscribe.unwrap_or(true),
                data: video.can_publish_data.unwrap_or(true),
                admin: video.room_admin,
                room_create: video.room_create,
            }),
            expires_at: Some(self.exp),
            granted_until: Some(self.exp),
            minted_at,
            sign_in: None,
            signer: None,
            whence: Whence::default(),
        })
    }
}

impl Claims {
    /// Returns when the token was made: long ago if it does not say so, since some SDKs leave that out. Says no to what
    /// holds longer than it is remembered who was put out, since nobody could tell whether it is older than that.
    fn made_at(&self) -> Result<u64, ApiError> {
        let now = Timestamp::now().seconds();
        let mut said = [self.iat, self.nbf].into_iter().flatten();
        let Some(made) = said.find(|made| *made > 0) else {
            if self.exp.saturating_sub(now) <= UNDATED.as_secs() + LEEWAY_S {
                return Ok(0);
            }
            let text = "The token does not say when it was made, and holds for more than a day: sign one with `iat` or `nbf`, or with an earlier `exp`.";
            return Err(ApiError::new(Code::TokenInvalid, text));
        };
        if made > now + LEEWAY_S {
            let text = "The token was made in the future: the clock of who signed it is ahead.";
            return Err(ApiError::new(Code::TokenInvalid, text));
        }
        if self.exp.saturating_sub(made) <= API_TTL.as_secs() + LEEWAY_S {
            // The clock may have been ahead, and no kick may be older than what it ends.
            return Ok(made.saturating_sub(LEEWAY_S));
        }
        let days = API_TTL.as_secs() / 86_400;
        let text =
            format!("The token holds for more than {days} days: sign one with an earlier `exp`.");
        Err(ApiError::new(Code::TokenInvalid, text))
    }
}

/// Reads a token and claims as strangers may send them: the door for fuzzing. Returns whether the token holds, and whose
/// name the claims show.
pub(super) fn read_hostile(token: &str, said: &str) -> (bool, Option<String>) {
    let secret = Secret::new("a secret that nobody guesses");
    let holds = issuer(token).and_then(|issuer| decode(token, &issuer, &secret));
    let said: Option<Claims> = serde_json::from_str(said).ok();
    let shown = said.and_then(|claims| claims.identity().ok());
    (holds.is_ok(), shown.map(|identity| identity.name))
}

/// Returns whether an identity may be called so: no database takes a text with a zero in it.
pub(super) fn is_id(id: &str) -> bool {
    id.chars().count() <= MAX_NAME_LENGTH && !id.contains(char::is_control)
}

/// Returns what a join token opens.
fn room(
    (role, kicked, invited): (Role, Option<i64>, bool),
    video: Option<VideoGrants>,
) -> Result<Access, ApiError> {
    let video = video.unwrap_or_default();
    let room = video.room.as_deref().and_then(RoomId::parse);
    let most = Grants {
        publish: video.can_publish.unwrap_or(false),
        chat: video.can_publish_data.unwrap_or(false),
        react: video.can_publish_data.unwrap_or(false),
        moderate: video.room_admin,
        watch: video.can_subscribe.unwrap_or(false),
    };
    let room = room.ok_or_else(invalid)?;
    Ok(Access::Room {
        room,
        role,
        most,
        kicked_at: kicked.map(Timestamp::from_millis),
        invited,
    })
}

/// Returns a name that others may see: whoever signs tokens cleans no names.
pub(super) fn shown_name(name: &str, id: &str) -> String {
    let shown = |text: &str| -> String { text::clean(text).chars().take(NAME_LENGTH).collect() };
    [name, id]
        .map(shown)
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "?".to_owned())
}

/// Signs claims.
///
/// # Errors
/// They cannot be written.
pub(super) fn sign(
    claims: &Claims,
    secret: &Secret,
) -> Result<String, jsonwebtoken::errors::Error> {
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
}

/// Reads claims that an issuer signed.
///
/// # Errors
/// `token_expired` for those that held once, `token_invalid` for any others that do not.
pub(super) fn decode(token: &str, issuer: &str, secret: &Secret) -> Result<Claims, ApiError> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss"]);
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
        // No extension is known here, and one that is critical is to be known (RFC 7515, section 4.1.11).
        Ok(data) if data.header.crit.is_some() => Err(invalid()),
        Ok(data) => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
            Err(ApiError::new(Code::TokenExpired, "The token has expired."))
        }
        Err(_) => Err(invalid()),
    }
}

/// Returns who claims to have signed a token, which says only what to check it with.
///
/// # Errors
/// `token_invalid` for what is no token.
pub(super) fn issuer(token: &str) -> Result<String, ApiError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(invalid());
    }
    let claims: Result<Issuer, _> = jsonwebtoken::dangerous::insecure_decode_claims(token);
    claims.map(|claims| claims.iss).map_err(|_| invalid())
}

/// One sentence for everything that is wrong with a token: which part it is helps only who forges it.
pub(super) fn invalid() -> ApiError {
    ApiError::new(Code::TokenInvalid, "The token does not hold.")
}

/// The issuer of this server's own tokens; no API key may have this name.
pub(super) const OWN_ISSUER: &str = "klieg";

/// How long a token may hold that an application signs.
pub(crate) const API_TTL: Duration = Duration::from_secs(7 * 86_400);

/// What clocks may differ by.
const LEEWAY_S: u64 = 5;

/// For how long a token may hold that does not say when it was made.
const UNDATED: Duration = Duration::from_secs(86_400);

/// Providers put every role of their users into tokens.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// An identity's id and its name, in characters.
pub(super) const MAX_NAME_LENGTH: usize = 128;
