//! Nobody takes a room from who publishes in it: a thousand tries by every way in, while it is live and while it waits
//! for its publisher.

use std::collections::BTreeMap;
use std::time::Duration;

use klieg_signaling::{Config, Secret, VideoGrants, mint};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, api_token, offer};
use crate::peer::{ByHttp, Publisher, Viewer};
use crate::wish::{SDP, request};

/// Tries while the publisher has come by its socket, while it is lost, and after it came back by WHIP.
const TRIES: [u32; 3] = [350, 350, 300];
/// Tries between two looks at what the others were told: who does not read is put out, and who asks more than twenty times a
/// second, too.
const LOOK: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stranger_takes_a_room_over_in_a_thousand_tries() {
    let mut scene = Scene::new(rand::random()).await;
    let (mut ann, _) = scene.server.join("Ann", &scene.room).await;
    let publisher = Publisher::go_live(&mut ann).await;
    status(&mut scene.viewer, "live").await;
    scene.watching.sees(5).await;
    scene.session = publisher.session.clone();
    scene.host = Some(ann);
    scene.try_all(TRIES[0], "live").await;

    let mut ann = scene.host.take().unwrap();
    // She still has what is hers.
    ann.ok("rtc.mute", json!({ "kind": "audio", "muted": false }))
        .await;
    ann.vanish();
    publisher.end().await;
    status(&mut scene.viewer, "interrupted").await;
    scene.try_all(TRIES[1], "interrupted").await;

    let path = format!("/whip/{}", scene.room);
    let ByHttp {
        publisher,
        location,
    } = Publisher::by_whip(&scene.server, &path, &scene.key).await;
    status(&mut scene.viewer, "live").await;
    scene.watching.sees(5).await;
    scene.location = Some(location);
    scene.try_all(TRIES[2], "live").await;

    assert_eq!(scene.tried.values().sum::<u32>(), 1000);
    assert_eq!(scene.tried.len(), WAYS.len(), "{:?}", scene.tried);
    println!("{:?}", scene.tried);
    publisher.end().await;
    scene.watching.end().await;
    scene.server.server.stop().await;
}

/// One way to try it: its name, what is shown, and what is done with that.
type Way = (&'static str, Shown, Door);

/// What a stranger shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// As long as a stream key, and random.
    Guess,
    /// The room's own key with another letter in one place.
    AlmostTheKey,
    /// The room's own key, shorter or longer.
    PartOfTheKey,
    KeyOfAnotherRoom,
    /// Somebody's who has an account, and a room of their own.
    Account,
    /// A guest's of this room who calls themself as the publisher does.
    Namesake,
    /// An application's for this room, to watch.
    MayWatch,
    /// An application's for another room, to publish there under the publisher's identity.
    MayPublishElsewhere,
    /// To publish here, signed with another secret.
    Forged,
    /// To publish here, and over.
    Expired,
}

/// By which way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Offers by WHIP.
    Whip,
    /// Ends the publisher's session, by its address where it came by WHIP.
    End,
    /// Joins by a socket and offers.
    Socket,
    /// Joins by a socket and speaks for the publisher's session.
    OthersSession,
}

const WAYS: [Way; 29] = {
    use Door::{End, OthersSession, Socket, Whip};
    use Shown::{
        Account, AlmostTheKey, Expired, Forged, Guess, KeyOfAnotherRoom, MayPublishElsewhere,
        MayWatch, Namesake, Nothing, PartOfTheKey,
    };
    [
        ("WHIP with nothing", Nothing, Whip),
        ("WHIP with a guess", Guess, Whip),
        ("WHIP with almost the key", AlmostTheKey, Whip),
        ("WHIP with a part of the key", PartOfTheKey, Whip),
        ("WHIP with another room's key", KeyOfAnotherRoom, Whip),
        ("WHIP with another account", Account, Whip),
        ("WHIP as a namesake", Namesake, Whip),
        ("WHIP to watch", MayWatch, Whip),
        ("WHIP with another room's token", MayPublishElsewhere, Whip),
        ("WHIP with a forged token", Forged, Whip),
        ("WHIP with an old token", Expired, Whip),
        ("DELETE with nothing", Nothing, End),
        ("DELETE with a guess", Guess, End),
        ("DELETE with almost the key", AlmostTheKey, End),
        ("DELETE with another room's key", KeyOfAnotherRoom, End),
        ("DELETE with another account", Account, End),
        ("DELETE as a namesake", Namesake, End),
        ("DELETE with a forged token", Forged, End),
        ("socket with a guess", Guess, Socket),
        ("socket with another room's key", KeyOfAnotherRoom, Socket),
        ("socket with another account", Account, Socket),
        ("socket as a namesake", Namesake, Socket),
        ("socket to watch", MayWatch, Socket),
        (
            "socket with another room's token",
            MayPublishElsewhere,
            Socket,
        ),
        ("socket with a forged token", Forged, Socket),
        ("socket with an old token", Expired, Socket),
        ("another account for the publisher", Account, OthersSession),
        ("a namesake for the publisher", Namesake, OthersSession),
        ("a watcher for the publisher", MayWatch, OthersSession),
    ]
};

/// A room with a viewer, and who is not to publish there.
struct Scene {
    server: TestServer,
    room: String,
    /// The stream keys of the room and of another one.
    key: String,
    other_key: String,
    /// What strangers hold.
    tokens: Tokens,
    viewer: Client,
    watching: Viewer,
    /// The publisher's socket, while it came by one.
    host: Option<Client>,
    /// The publisher's session.
    session: Value,
    /// Where it is, while it came by WHIP.
    location: Option<String>,
    tried: BTreeMap<&'static str, u32>,
    rng: Rng,
}

struct Tokens {
    account: String,
    namesake: String,
    watch: String,
    elsewhere: String,
    forged: String,
    expired: String,
}

impl Scene {
    #[expect(
        clippy::print_stdout,
        reason = "by its seed a run that failed is repeated"
    )]
    async fn new(seed: u64) -> Self {
        // How often strangers may try is another test's business.
        let server = TestServer::start_with(patient).await;
        println!("seed {seed}");
        let (room, key) = with_key(&server, "Ann").await;
        let (other, other_key) = with_key(&server, "Bob").await;
        let token = server.token("Ann").await;
        let ann = server.get("/api/v1/me", Some(&token)).await.body;
        let ann = ann["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/rooms/{room}/join");
        let namesake = server.post(&path, None, json!({ "name": "Ann" })).await;
        let publish = || VideoGrants {
            can_publish: Some(true),
            ..VideoGrants::default()
        };
        let tokens = Tokens {
            account: server.token("Bob").await,
            namesake: namesake.body["token"].as_str().unwrap().to_owned(),
            watch: api_token(&room, "cy", VideoGrants::default()),
            elsewhere: api_token(&other, &ann, publish()),
            forged: minted("another secret", (&room, &ann), Duration::from_secs(600)),
            expired: expired(&room, &ann),
        };
        let (mut viewer, _) = server.join("Vi", &room).await;
        let watching = Viewer::watch(&mut viewer).await;
        Self {
            server,
            room,
            key,
            other_key,
            tokens,
            viewer,
            watching,
            host: None,
            session: Value::Null,
            location: None,
            tried: BTreeMap::new(),
            rng: Rng(seed | 1),
        }
    }

    /// Tries so often, in an order that differs from run to run; the room stays what it is.
    async fn try_all(&mut self, tries: u32, room_status: &str) {
        for number in 0..tries {
            let way = WAYS[self.rng.below(WAYS.len())];
            *self.tried.entry(way.0).or_default() += 1;
            self.try_once(way).await;
            if number.is_multiple_of(LOOK) {
                for client in std::iter::once(&mut self.viewer).chain(&mut self.host) {
                    client.ok("stats", json!({})).await;
                }
            }
        }
        self.viewer.ok("stats", json!({})).await;
        assert!(!self.viewer.has("room.status"), "the room has changed");
        let path = format!("/api/v1/rooms/{}", self.room);
        let room = self.server.get(&path, None).await.body;
        assert_eq!(room["status"], room_status);
        if room_status == "live" {
            self.watching.sees(5).await;
        }
    }

    async fn try_once(&mut self, (name, shown, door): Way) {
        let token = self.shown(shown);
        match door {
            Door::Whip => {
                let path = format!("/whip/{}", self.room);
                self.is_refused(name, ("POST", &path), token, &offer())
                    .await;
            }
            Door::End => {
                let guessed = || format!("/whip/{}/{}", self.room, "A".repeat(22));
                let path = self.location.clone().unwrap_or_else(guessed);
                self.is_refused(name, ("DELETE", &path), token, "").await;
            }
            Door::Socket => {
                let offered = ("rtc.offer", json!({ "sdp": offer() }));
                let is_in = self.speak(name, token, &[offered]).await;
                let may_watch = [Shown::Account, Shown::Namesake, Shown::MayWatch];
                assert_eq!(is_in, may_watch.contains(&shown), "{name}");
            }
            Door::OthersSession => {
                let session = &self.session;
                let said = [
                    ("rtc.offer", json!({ "sdp": offer(), "sessionId": session })),
                    ("rtc.close", json!({ "sessionId": session })),
                    ("rtc.mute", json!({ "kind": "video", "muted": true })),
                ];
                assert!(self.speak(name, token, &said).await, "{name}");
            }
        }
    }

    async fn is_refused(
        &self,
        name: &str,
        (method, path): (&str, &str),
        token: Option<String>,
        body: &str,
    ) {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![SDP];
        headers.extend(bearer.as_deref().map(|it| ("authorization", it)));
        let reply = request(&self.server, method, path, &headers, body).await;
        let is_no = matches!(reply.status, 401 | 403 | 404);
        assert!(is_no, "{name}: {} {}", reply.status, reply.body);
    }

    /// Says everything on a socket, and all of it is refused; returns whether what was shown let it into the room.
    async fn speak(&self, name: &str, token: Option<String>, said: &[(&str, Value)]) -> bool {
        let mut client = self.server.socket().await;
        let shown = json!({ "token": token.unwrap_or_default() });
        let join = json!({ "roomId": self.room });
        for (t, d) in [("auth", shown), ("join", join)] {
            let answer = client.try_request(t, d).await;
            if answer.is_none_or(|answer| answer["t"] != "ack") {
                return false;
            }
        }
        for (t, d) in said {
            let answer = client.try_request(t, d.clone()).await;
            assert!(answer.is_some(), "{name}: {t} ended the socket");
            let answer = answer.unwrap_or_default();
            assert_eq!(answer["t"], "error", "{name}: {t} was answered {answer}");
        }
        true
    }

    fn shown(&mut self, shown: Shown) -> Option<String> {
        let tokens = &self.tokens;
        Some(match shown {
            Shown::Nothing => return None,
            Shown::Guess => self.rng.letters(self.key.len()),
            Shown::AlmostTheKey => {
                let mut key = self.key.clone().into_bytes();
                let place = self.rng.below(key.len());
                key[place] = if key[place] == b'A' { b'B' } else { b'A' };
                String::from_utf8(key).unwrap()
            }
            Shown::PartOfTheKey => {
                let len = self.rng.below(self.key.len() - 1) + 1;
                let (part, rest) = self.key.split_at(len);
                [part, part, rest][..self.rng.below(3) + 1].concat()
            }
            Shown::KeyOfAnotherRoom => self.other_key.clone(),
            Shown::Account => tokens.account.clone(),
            Shown::Namesake => tokens.namesake.clone(),
            Shown::MayWatch => tokens.watch.clone(),
            Shown::MayPublishElsewhere => tokens.elsewhere.clone(),
            Shown::Forged => tokens.forged.clone(),
            Shown::Expired => tokens.expired.clone(),
        })
    }
}

fn patient(config: &mut Config) {
    config.limits.wrong_keys_per_minute = 0;
    config.limits.guest_offers_per_second = 0;
    config.publisher_grace_ms = 300_000;
}

/// Makes a room of somebody's; returns its id and its stream key.
async fn with_key(server: &TestServer, owner: &str) -> (String, String) {
    let token = server.token(owner).await;
    let body = json!({ "title": "R" });
    let room = server.post("/api/v1/rooms", Some(&token), body).await.body;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&room["id"]), text(&room["ingest"]["streamKey"]))
}

/// Signs a token to publish in a room, with whatever secret.
fn minted(secret: &str, (room, identity): (&str, &str), span: Duration) -> String {
    let video = VideoGrants {
        room: Some(room.to_owned()),
        room_join: true,
        can_publish: Some(true),
        ..VideoGrants::default()
    };
    mint(
        ("devkey", &Secret::new(secret)),
        (identity, "Ann"),
        video,
        span,
    )
    .unwrap()
}

/// Signs a token to publish in a room that ended long ago.
fn expired(room: &str, identity: &str) -> String {
    let video = json!({ "room": room, "roomJoin": true, "canPublish": true });
    let claims = json!({ "iss": "devkey", "sub": identity, "exp": 1, "video": video });
    let secret = jsonwebtoken::EncodingKey::from_secret(b"devsecret");
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).unwrap()
}

async fn status(client: &mut Client, wanted: &str) {
    client
        .wait(|message| message["t"] == "room.status" && message["d"]["status"] == wanted)
        .await;
}

/// A small deterministic generator (xorshift64*).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }

    fn letters(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |_| char::from(LETTERS[self.below(LETTERS.len())]);
        (0..len).map(letter).collect()
    }
}
