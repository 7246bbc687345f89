//! Tokens: JWTs signed with HS256 (RFC 7519), this server's own and those of applications, which carry
//! grants in the shape that `LiveKit` made common.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Access, Grants, Identity, Role, Secret};
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::time::Timestamp;

/// Signs this server's tokens and checks everybody's.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Signs access and join tokens.
    own: Secret,
    /// Secrets of applications by the name of their key.
    api_keys: BTreeMap<String, Secret>,
}

/// What this server's own tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenUse {
    /// The REST API, and any room that the account may enter.
    Access,
    /// One room.
    Join,
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
    pub(crate) fn new(own: Secret, api_keys: BTreeMap<String, Secret>) -> Self {
        Self { own, api_keys }
    }

    /// Signs a token that lets an account in.
    pub(crate) fn access(&self, id: &str, name: &str, ttl: Duration) -> Result<Issued, ApiError> {
        self.issue(Claims::new(OWN_ISSUER, id, name, ttl).for_use(TokenUse::Access))
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
        let mut claims =
            Claims::new(OWN_ISSUER, &identity.id, &identity.name, ttl).for_use(TokenUse::Join);
        claims.exp = claims.exp.min(identity.expires_at.unwrap_or(u64::MAX));
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
    pub(crate) fn verify(&self, token: &str) -> Result<Identity, ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid());
        }
        // Who claims to have signed it says only which secret to check with.
        let issuer: Issuer =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| invalid())?;
        let secret = if issuer.iss == OWN_ISSUER {
            &self.own
        } else {
            self.api_keys.get(&issuer.iss).ok_or_else(invalid)?
        };
        let claims = decode(token, &issuer.iss, secret)?;
        claims.identity()
    }
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
            role: None,
            video: None,
        }
    }

    fn for_use(self, r#use: TokenUse) -> Self {
        Self {
            r#use: Some(r#use),
            ..self
        }
    }

    fn identity(self) -> Result<Identity, ApiError> {
        let fits = |text: &str| text.chars().count() <= MAX_NAME_LENGTH;
        if self.sub.is_empty() || !fits(&self.sub) || !fits(&self.name) {
            return Err(invalid());
        }
        let video = self.video.unwrap_or_default();
        let own = self.iss == OWN_ISSUER;
        let access = match (own, self.r#use, self.role) {
            (true, Some(TokenUse::Access), _) => Access::Account,
            (true, Some(TokenUse::Join), Some(role)) => {
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
            (true, _, _) => return Err(invalid()),
            // An application names its own people; it cannot make guests of ours.
            (false, _, _) if self.sub.starts_with("guest-") => return Err(invalid()),
            (false, _, _) => Access::Api(ApiGrants {
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
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
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
fn invalid() -> ApiError {
    ApiError::new(Code::TokenInvalid, "The token does not hold.")
}

/// The issuer of this server's own tokens; no API key may have this name.
pub(super) const OWN_ISSUER: &str = "klieg";

/// What clocks may differ by.
const LEEWAY_S: u64 = 5;

/// A token with the longest names is half of it.
const MAX_TOKEN_BYTES: usize = 4096;

/// An identity's id and its name, in characters.
const MAX_NAME_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let keys = BTreeMap::from([("devkey".to_owned(), Secret::new("devsecret"))]);
        Authority::new(Secret::new("o".repeat(44)), keys)
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
    fn an_access_token_is_an_account() {
        let authority = authority();
        let token = authority.access("1", "Ann", MINUTE).unwrap().token;
        let identity = authority.verify(&token).unwrap();
        assert_eq!(
            (identity.id.as_str(), identity.access),
            ("1", Access::Account)
        );
    }

    #[test]
    fn a_join_token_is_for_its_room_and_role() {
        let authority = authority();
        let guest = Identity::guest("G".into());
        let room = RoomId::parse("demo").unwrap();
        let grants = Grants {
            publish: false,
            chat: false,
            react: false,
            moderate: false,
            watch: true,
        };
        let token = authority
            .join(&guest, &room, (Role::Guest, grants), MINUTE)
            .unwrap()
            .token;
        let identity = authority.verify(&token).unwrap();
        assert_eq!(
            identity.access,
            Access::Room {
                room,
                role: Role::Guest,
                most: grants
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
            .verify(&api(video.clone(), "devsecret"))
            .unwrap();
        assert_eq!(identity.usual_role(), Role::Viewer);

        let video = VideoGrants {
            can_publish: Some(true),
            ..video
        };
        let identity = authority().verify(&api(video, "devsecret")).unwrap();
        assert_eq!(identity.usual_role(), Role::Cohost);
    }

    #[test]
    fn a_token_signed_with_another_secret_or_algorithm_does_not_hold() {
        let authority = authority();
        let code = |token: &str| authority.verify(token).unwrap_err().code;
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
        let claims = Claims::new(OWN_ISSUER, "1", "Ann", MINUTE).for_use(TokenUse::Access);
        let token = sign(&claims, &Secret::new("devsecret")).unwrap();
        assert_eq!(
            authority().verify(&token).unwrap_err().code,
            Code::TokenInvalid
        );

        // And what it does sign is never an account of ours, whatever it says.
        let mut claims = Claims::new("devkey", "1", "Ann", MINUTE).for_use(TokenUse::Access);
        claims.role = Some(Role::Admin);
        let token = sign(&claims, &Secret::new("devsecret")).unwrap();
        assert!(matches!(
            authority().verify(&token).unwrap().access,
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
                .verify(&token)
                .map(|_| ())
                .map_err(|error| error.code)
        };
        assert_eq!(at(60, -60), Ok(()));
        assert_eq!(at(-60, -120), Err(Code::TokenExpired));
        assert_eq!(at(120, 60), Err(Code::TokenInvalid));
    }

    const MINUTE: Duration = Duration::from_secs(60);
}
