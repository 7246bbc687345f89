//! Signs this server's tokens and checks everybody's; those of OpenID providers are looked at in `oidc`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::watch;

use super::claims::{Claims, MAX_TOKEN_BYTES, OWN_ISSUER, TokenUse, decode, invalid, issuer, sign};
use super::{
    Access, Account, AddressMark, Ended, Grants, Identity, Providers, Role, Secret, VideoGrants,
};
use crate::drain::Phase;
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
    /// Changes after tokens have ended, and not as often as they do: every socket wakes.
    ended_lately: watch::Sender<()>,
}

/// Those who sign tokens beside this server.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Secrets of applications by the name of their key.
    pub(crate) api_keys: BTreeMap<String, Secret>,
    /// OpenID providers.
    pub(crate) providers: Providers,
    /// A mark of each by the name that it signs under: what came of its tokens has it, and ends with it. Of an application's
    /// key it is another when its secret is.
    marks: BTreeMap<String, String>,
}

impl Others {
    pub(crate) fn new(api_keys: BTreeMap<String, Secret>, providers: Providers) -> Self {
        Self {
            api_keys,
            providers,
            marks: BTreeMap::new(),
        }
    }

    /// Marks each with a server's own secret: whoever reads a mark in a token learns nothing of a key.
    fn marked(mut self, own: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, own.expose().as_bytes());
        let mark = |name: &str, secret: &str| {
            let tag = hmac::sign(&key, format!("signer\n{name}\n{secret}").as_bytes());
            (name.to_owned(), URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]))
        };
        let applications = self.api_keys.iter();
        let applications = applications.map(|(name, secret)| mark(name, secret.expose()));
        let providers = self.providers.issuers().map(|issuer| mark(issuer, ""));
        self.marks = applications.chain(providers).collect();
        self
    }

    /// Says of somebody which of these signed their token.
    fn sign(&self, identity: Identity, issuer: &str) -> Identity {
        let signer = self.marks.get(issuer).cloned();
        Identity { signer, ..identity }
    }
}

/// A token and its end.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// For the client alone.
    pub(crate) token: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// What a join token opens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) room: &'a RoomId,
    /// What its holder is there by the token alone.
    pub(crate) place: (Role, Grants),
    /// When they were last put out of it, as far as was known when they were let in; `None`: never.
    pub(crate) kicked_at: Option<Timestamp>,
    /// Where they ask for it; `None` where that is not known, or bans do not go with it.
    pub(crate) from: Option<&'a AddressMark>,
}

impl Authority {
    pub(crate) fn new(own: Secret, others: Others, ended: Arc<Ended>) -> Self {
        Self {
            others: RwLock::new(Arc::new(others.marked(&own))),
            own,
            ended,
            ended_lately: watch::Sender::new(()),
        }
    }

    /// Takes others from now on. What came of the tokens of those that are no more among them ends.
    pub(crate) fn set_others(&self, others: Others) {
        let others = Arc::new(others.marked(&self.own));
        let before = {
            let mut slot = self.others.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Arc::clone(&others))
        };
        if before.marks != others.marks {
            self.ended.stir();
        }
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
        opening: Opening<'_>,
        ttl: Duration,
    ) -> Result<Issued, ApiError> {
        let mut claims = claims_of_join(identity, opening, ttl);
        claims.exp = claims.exp.min(identity.expires_at.unwrap_or(u64::MAX));
        self.issue(claims)
    }

    /// Signs another join token for somebody who is in the room. It allows what the one that they came with did, and
    /// holds no longer than what that one stood for.
    pub(crate) fn rejoin(
        &self,
        identity: &Identity,
        opening: Opening<'_>,
        ttl: Duration,
    ) -> Result<Issued, ApiError> {
        let place = match identity.access {
            Access::Room { role, most, .. } => (role, most),
            Access::Guest | Access::Account(_) | Access::Api(_) => opening.place,
        };
        self.issue(claims_of_join(identity, Opening { place, ..opening }, ttl))
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
            Some(provider) => {
                let identity = provider.verify(token).await?;
                Ok(others.sign(identity, &issuer))
            }
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
        let mut identity = decode(token, issuer, secret)?.identity()?;
        if issuer != OWN_ISSUER {
            identity = others.sign(identity, issuer);
        }
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

    /// Returns what changes with each sign-in that ends.
    pub(crate) fn ended_news(&self) -> watch::Receiver<u64> {
        self.ended.news()
    }

    /// Says that tokens have ended of which [`Authority::ended_news`] told, to those who need not know each time.
    pub(crate) fn tell_ended_lately(&self) {
        self.ended_lately.send_replace(());
    }

    /// Returns what changes after tokens have ended. This moment counts as a change: they may have ended since they were
    /// shown.
    pub(crate) fn ended_lately(&self) -> watch::Receiver<()> {
        let mut ended = self.ended_lately.subscribe();
        ended.mark_changed();
        ended
    }

    /// Returns whether the sign-in has ended that a token came of, or whoever signed that signs no more.
    pub(crate) fn has_ended(&self, identity: &Identity) -> bool {
        let sign_in = identity.sign_in.as_ref();
        if sign_in.is_some_and(|id| self.ended.contains(id)) {
            return true;
        }
        let signer = identity.signer.as_ref();
        signer.is_some_and(|mark| !self.others().marks.values().any(|known| known == mark))
    }
}

/// Returns what a token says that opens one room, and for no longer than its holder was granted anything.
fn claims_of_join(identity: &Identity, opening: Opening<'_>, ttl: Duration) -> Claims {
    let Opening {
        room,
        place: (role, grants),
        kicked_at,
        from,
    } = opening;
    let mut claims = Claims::new(OWN_ISSUER, &identity.id, &identity.name, ttl);
    claims.r#use = Some(TokenUse::Join);
    claims.exp = claims.exp.min(identity.granted_until.unwrap_or(u64::MAX));
    claims.until = identity.granted_until;
    claims.sid.clone_from(&identity.sign_in);
    claims.signer.clone_from(&identity.signer);
    claims.kicked = kicked_at.map(Timestamp::millis);
    // Of an application that asks for its people only its own address is known.
    let asks_itself = !matches!(identity.access, Access::Api(_));
    claims.whence = from.filter(|_| asks_itself).cloned();
    claims.invited = match &identity.access {
        Access::Api(api) => api.room.is_some(),
        Access::Room { invited, .. } => *invited,
        Access::Guest | Access::Account(_) => false,
    };
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
    claims
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    use super::*;
    use crate::auth::{API_TTL, AccountRole, mint};

    fn keys(secret: &str) -> Others {
        let keys = BTreeMap::from([("devkey".to_owned(), Secret::new(secret))]);
        Others::new(keys, Providers::default())
    }

    fn opening(room: &RoomId, role: Role, grants: Grants) -> Opening<'_> {
        Opening {
            room,
            place: (role, grants),
            kicked_at: None,
            from: None,
        }
    }

    fn authority() -> Authority {
        let ended = Arc::new(Ended::new(MINUTE));
        Authority::new(Secret::new("o".repeat(44)), keys("devsecret"), ended)
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
        let place = opening(&room, Role::Viewer, WATCHING);
        let join = authority.join(&identity, place, MINUTE).unwrap();
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
            ("devkey:devkey", true)
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
            .join(&guest, opening(&room, Role::Guest, WATCHING), MINUTE)
            .unwrap()
            .token;
        let identity = authority.verify_signed(&token).unwrap();
        assert_eq!(
            identity.access,
            Access::Room {
                room,
                role: Role::Guest,
                most: WATCHING,
                kicked_at: None,
                invited: false,
            }
        );
        assert_eq!(
            identity.may_ask_for("other").unwrap_err().code,
            Code::Forbidden
        );
    }

    #[test]
    fn a_join_token_says_where_it_was_asked_for() {
        let authority = authority();
        let room = RoomId::parse("demo").unwrap();
        let guest = Identity::guest("G".into());
        let here = AddressMark::stored("aa");
        for from in [Some(&here), None] {
            let opening = Opening {
                from,
                ..opening(&room, Role::Guest, WATCHING)
            };
            let first = authority.join(&guest, opening, MINUTE).unwrap();
            let first = authority.verify_signed(&first.token).unwrap();
            let next = authority.rejoin(&first, opening, MINUTE).unwrap();
            let next = authority.verify_signed(&next.token).unwrap();
            for identity in [first, next] {
                assert_eq!(identity.whence.token.as_ref(), from);
                assert_eq!(identity.whence.network, None);
            }
        }
    }

    #[test]
    fn another_join_token_allows_what_the_first_did_and_no_longer_than_was_granted() {
        let authority = authority();
        let room = RoomId::parse("demo").unwrap();
        let quiet = VideoGrants {
            room: Some("demo".into()),
            room_join: true,
            ..VideoGrants::default()
        };
        let bob = authority.verify_signed(&api(quiet, "devsecret")).unwrap();
        let place = opening(&room, Role::Viewer, WATCHING);
        let first = authority.join(&bob, place, MINUTE / 2).unwrap();
        let first = authority.verify_signed(&first.token).unwrap();
        // In the room somebody gave them more; the next token does not.
        let more = Grants {
            publish: true,
            ..WATCHING
        };
        let next = authority.rejoin(&first, opening(&room, Role::Owner, more), MINUTE * 60);
        let next = authority.verify_signed(&next.unwrap().token).unwrap();
        assert_eq!(next.access, first.access);
        assert!(first.expires_at < bob.expires_at);
        assert_eq!(next.expires_at, bob.expires_at);
        assert_eq!(next.granted_until, bob.expires_at);
        // Nobody set an end for a guest, whose token would else be the end of it.
        let guest = Identity::guest("G".into());
        let first = authority.join(&guest, place, MINUTE).unwrap();
        let first = authority.verify_signed(&first.token).unwrap();
        let next = authority.rejoin(&first, place, MINUTE * 2).unwrap();
        assert!(Some(next.expires_at.seconds()) > first.expires_at);
    }

    #[test]
    fn a_join_token_says_which_kick_it_knows_of_and_every_other_ends_it() {
        let authority = authority();
        let room = RoomId::parse("demo").unwrap();
        let ann = authority.access(&ann(), "s", MINUTE).unwrap();
        let ann = authority.verify_signed(&ann.token).unwrap();
        let at = Timestamp::from_millis;
        let minted = |who: &Identity, kicked_at| {
            let opening = Opening {
                kicked_at,
                ..opening(&room, Role::Viewer, WATCHING)
            };
            let first = authority.join(who, opening, MINUTE).unwrap();
            let first = authority.verify_signed(&first.token).unwrap();
            let next = authority.rejoin(&first, opening, MINUTE).unwrap();
            [first, authority.verify_signed(&next.token).unwrap()]
        };
        let now = Timestamp::now();
        let later = at(now.millis() + 1);
        for (known, kick, ends) in [
            (None, at(1), true),
            (None, now, true),
            (Some(now), at(1), false),
            (Some(now), now, false),
            (Some(now), later, true),
            // Whatever the clock says: it was known.
            (Some(at(1)), at(1), false),
        ] {
            for token in minted(&ann, known) {
                assert_eq!(token.ended_with_kick(kick), ends, "{known:?} {kick:?}");
            }
        }
        assert!(!ann.ended_with_kick(later), "an account opens no room");
        let bob = api(VideoGrants::default(), "devsecret");
        let bob = authority.verify_signed(&bob).unwrap();
        assert!(bob.ended_with_kick(now));
    }

    #[test]
    fn what_came_of_an_applications_key_ends_when_it_is_taken_back_or_changed() {
        let room = RoomId::parse("demo").unwrap();
        let video = VideoGrants {
            room: Some("demo".into()),
            room_join: true,
            ..VideoGrants::default()
        };
        for after in [keys("another secret"), Others::default()] {
            let authority = authority();
            let bob = authority.verify_signed(&api(video.clone(), "devsecret"));
            let bob = bob.unwrap();
            let place = opening(&room, Role::Viewer, WATCHING);
            let join = authority.join(&bob, place, MINUTE).unwrap();
            let guest = Identity::guest("G".into());
            let other = authority.join(&guest, place, MINUTE).unwrap();
            let mut news = authority.ended_news();
            // The same again changes nothing.
            authority.set_others(keys("devsecret"));
            assert!(!news.has_changed().unwrap() && !authority.has_ended(&bob));
            let joined = authority.verify_signed(&join.token).unwrap();
            authority.set_others(after);
            assert!(news.has_changed().unwrap());
            news.mark_unchanged();
            assert!(authority.has_ended(&bob) && authority.has_ended(&joined));
            let refused = authority.verify_signed(&join.token).unwrap_err();
            assert_eq!(refused.code, Code::TokenExpired);
            authority.verify_signed(&other.token).unwrap();
        }
    }

    #[test]
    fn a_token_with_an_extension_that_is_critical_does_not_hold() {
        let authority = authority();
        let code = |crit: Option<Vec<String>>| {
            let claims = Claims::new("devkey", "bob", "", MINUTE);
            let key = EncodingKey::from_secret(b"devsecret");
            let header = Header {
                crit,
                ..Header::new(Algorithm::HS256)
            };
            let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
            authority.verify_signed(&token).map_err(|error| error.code)
        };
        assert!(code(None).is_ok());
        for names in [vec![], vec!["exp".to_owned()], vec!["b64".to_owned()]] {
            assert_eq!(code(Some(names)).unwrap_err(), Code::TokenInvalid);
        }
    }

    #[test]
    fn an_application_names_its_own_people_and_nobody_elses() {
        let shown = |id: &str, name: &str| {
            let key = ("devkey", &Secret::new("devsecret"));
            let token = mint(key, (id, name), VideoGrants::default(), MINUTE).unwrap();
            let identity = authority().verify_signed(&token);
            identity.map(|it| (it.id, it.name)).map_err(|it| it.code)
        };
        let named = |id: &str, name: &str| Ok((id.to_owned(), name.to_owned()));
        assert_eq!(shown("1", "Ann"), named("devkey:1", "Ann"));
        assert_eq!(shown("guest-1", ""), named("devkey:guest-1", "guest-1"));
        assert_eq!(shown("b", "A\u{202e}n\nn"), named("devkey:b", "An n"));
        assert_eq!(
            shown("b", &"x".repeat(99)),
            named("devkey:b", &"x".repeat(40))
        );
        assert_eq!(shown("b", "\u{200b}"), named("devkey:b", "b"));
        for id in ["b\0", "b\n", &"b".repeat(128)] {
            assert_eq!(shown(id, ""), Err(Code::TokenInvalid), "{id:?}");
        }
        assert_eq!(shown("b", &"x".repeat(129)), Err(Code::TokenInvalid));
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
    fn an_application_signs_no_token_for_longer_than_is_remembered_who_was_put_out() {
        let authority = authority();
        let week = API_TTL.as_secs();
        let (now, day) = (Timestamp::now().seconds(), 86_400);
        let code = |exp: u64, nbf, iat| {
            let mut claims = Claims::new("devkey", "bob", "", MINUTE);
            (claims.exp, claims.nbf, claims.iat) = (exp, nbf, iat);
            let token = sign(&claims, &Secret::new("devsecret")).unwrap();
            let shown = authority.verify_signed(&token);
            shown.map(|_| ()).map_err(|error| error.message)
        };
        assert_eq!(code(now + week, Some(now), None), Ok(()));
        assert_eq!(code(now + week, Some(0), Some(now)), Ok(()));
        assert_eq!(code(now + 60, Some(now), Some(0)), Ok(()));
        // Some SDKs do not say when.
        assert_eq!(code(now + day, None, None), Ok(()));
        assert_eq!(code(now + day, Some(0), None), Ok(()));
        // Their clocks may be ahead, and a kick ends the token nevertheless.
        assert_eq!(code(now + 60, None, Some(now + 4)), Ok(()));
        let mut claims = Claims::new("devkey", "bob", "", MINUTE);
        claims.iat = Some(now + 4);
        let token = sign(&claims, &Secret::new("devsecret")).unwrap();
        assert!(authority.verify_signed(&token).unwrap().minted_at <= now);
        for (refused, why) in [
            (code(1 << 63, Some(now), None), "more than 7 days"),
            (code(now + week + 60, Some(now), None), "more than 7 days"),
            // They come late, and were made for longer.
            (
                code(now + 60, Some(0), Some(now - week)),
                "more than 7 days",
            ),
            (code(now + 60, Some(1), None), "more than 7 days"),
            // Who was put out could come with it when that is forgotten.
            (code(now + 2 * day, None, None), "`iat` or `nbf`"),
            (code(now + 2 * day, Some(0), Some(0)), "`iat` or `nbf`"),
            (code(now + 2 * day, Some(0), None), "`iat` or `nbf`"),
            // It would be newer than what ends it.
            (code(now + 3600, None, Some(now + 1800)), "in the future"),
        ] {
            let text = refused.unwrap_err();
            assert!(text.contains(why), "{text}");
        }
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
