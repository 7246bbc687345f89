//! Bans that go with the addresses that somebody came from, on each database.

use klieg_signaling::VideoGrants;
use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, Reply, TestServer, api_token};

/// Where whoever is banned comes from, and another address.
const HERE: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.9";

#[tokio::test]
async fn a_ban_goes_with_its_address_at_every_door_until_it_is_lifted() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let account = server.token("Cy").await;
        let (bob, mut bobs) = scene.enter(HERE).await;
        assert_eq!(scene.ban(&bob).await, 1);
        assert_eq!(bobs.closed().await, Some(4403));
        for token in [None, Some(account.as_str())] {
            assert_eq!(scene.join(HERE, token).await, "banned");
            assert_eq!(scene.join("203.0.113.8", token).await, "200");
            assert_eq!(scene.offer("whep", HERE, token).await, "banned");
            assert_ne!(scene.offer("whep", ELSEWHERE, token).await, "banned");
        }
        assert_eq!(scene.offer("whip", HERE, Some(&account)).await, "banned");
        let elsewhere = scene.offer("whip", ELSEWHERE, Some(&account)).await;
        assert_eq!(elsewhere, "forbidden");
        assert_eq!(scene.say(HERE, &account).await, "banned");
        assert_eq!(scene.say(ELSEWHERE, &account).await, "201");
        assert_eq!(scene.knock(HERE, &account).await, "banned");
        assert_eq!(scene.knock_with_header(HERE, &account).await, "banned");
        assert_eq!(scene.knock(ELSEWHERE, &account).await, "ack");

        assert_eq!(scene.lift(&bob).await, 204);
        assert_eq!(scene.join(HERE, None).await, "200");
        assert_eq!(scene.knock(HERE, &account).await, "ack");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn no_join_token_gets_around_an_address_wherever_it_was_asked_for() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let spare = scene.guest(HERE).await;
        let (bob, _bobs) = scene.enter(HERE).await;
        assert_eq!(scene.ban(&bob).await, 1);
        // One that was asked for there, be it used from elsewhere, and one of elsewhere that is used there.
        assert_eq!(scene.knock(HERE, &spare).await, "banned");
        assert_eq!(scene.knock(ELSEWHERE, &spare).await, "banned");
        let since = scene.guest(ELSEWHERE).await;
        for door in ["whep", "whip"] {
            assert_eq!(scene.offer(door, ELSEWHERE, Some(&spare)).await, "banned");
            assert_eq!(scene.offer(door, HERE, Some(&since)).await, "banned");
        }
        assert_eq!(scene.knock(HERE, &since).await, "banned");
        assert_eq!(scene.join(HERE, Some(&since)).await, "banned");
        assert_eq!(scene.knock(ELSEWHERE, &since).await, "ack");

        // Who came from one address with a token of another is shut out at both.
        let cys = "192.0.2.1";
        let token = scene.guest(cys).await;
        let _socket = scene.present(ELSEWHERE, &token).await;
        assert_eq!(scene.ban(&token).await, 2);
        assert_eq!(scene.join(cys, None).await, "banned");
        assert_eq!(scene.knock(ELSEWHERE, &since).await, "banned");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn nobody_is_put_out_for_an_address_and_those_who_keep_order_come_in() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let (bob, _bobs) = scene.enter(HERE).await;
        let (_, mut neighbour) = scene.enter(HERE).await;
        let account = server.token("Dee").await;
        assert_eq!(scene.ban(&bob).await, 1);
        // Who is there stays; who goes is one who comes.
        neighbour.ok("stats", json!({})).await;
        neighbour.ok("leave", json!({})).await;
        let again = json!({ "roomId": scene.room });
        assert_eq!(neighbour.refused("join", again).await, "banned");

        assert_eq!(scene.join(HERE, Some(&scene.host)).await, "200");
        assert_eq!(scene.knock(HERE, &scene.host).await, "ack");
        let grants = |room_admin, can_publish| VideoGrants {
            room_admin,
            can_publish,
            ..VideoGrants::default()
        };
        for (grants, expected) in [
            (grants(true, None), "ack"),
            (grants(false, Some(true)), "ack"),
            (grants(false, None), "banned"),
        ] {
            let token = api_token(&scene.room, "eve", grants);
            assert_eq!(scene.knock(HERE, &token).await, expected);
        }
        assert_eq!(scene.join(HERE, Some(&account)).await, "banned");
        let me = server.get("/api/v1/me", Some(&account)).await.body;
        let role = json!({ "identity": me["id"], "role": "moderator" });
        let mut host = scene.present(ELSEWHERE, &scene.host).await;
        host.ok("mod.role", role).await;
        assert_eq!(scene.join(HERE, Some(&account)).await, "200");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn moderators_learn_with_how_many_addresses_a_ban_goes_and_nobody_learns_which() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let (bob, _bobs) = scene.enter(HERE).await;
        let (cy, _cys) = scene.enter(HERE).await;
        assert_eq!(scene.ban(&bob).await, 1);
        let mut host = scene.present(ELSEWHERE, &scene.host).await;
        let who = json!({ "identity": identity(&cy) });
        assert_eq!(host.ok("mod.ban", who.clone()).await["addresses"], 1);
        // Of whom nothing is known the address is not, either.
        let nobody = json!({ "identity": "nobody" });
        assert_eq!(host.ok("mod.ban", nobody).await["addresses"], 0);
        let muted = host.ok("mod.mute", who).await;
        assert_eq!(muted.get("addresses"), None, "{muted}");

        let listed = scene.get("bans").await;
        let items = listed["items"].as_array().unwrap();
        let of = |id: &Value| items.iter().find(|it| it["id"] == *id).unwrap();
        assert_eq!(of(&identity(&bob))["addresses"], 1, "{listed}");
        assert_eq!(of(&json!("nobody")).get("addresses"), None, "{listed}");
        let audit = scene.get("audit").await;
        let said = |line: usize| audit["items"][line]["details"].get("addresses");
        assert_eq!((said(0), said(1)), (None, None), "{audit}");
        let one = json!(1);
        assert_eq!((said(2), said(3)), (Some(&one), Some(&one)), "{audit}");
        assert!(!format!("{listed}{audit}").contains(HERE));
        server.server.stop().await;
    }
}

#[tokio::test]
async fn an_address_stays_shut_over_a_restart_and_another_ban_until_it_is_lifted() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let (bob, mut bobs) = scene.enter(HERE).await;
        bobs.ok("leave", json!({})).await;
        assert_eq!(scene.ban(&bob).await, 1, "who has left is remembered");
        let Scene { room, host, .. } = scene;
        let server = server.restart().await;
        let scene = Scene {
            server: &server,
            room,
            host,
        };
        // From the database, and from memory once the room is open.
        for _ in 0..2 {
            assert_eq!(scene.join(HERE, None).await, "banned");
            assert_eq!(scene.join(ELSEWHERE, None).await, "200");
            scene.enter(ELSEWHERE).await;
        }
        assert_eq!(scene.ban(&bob).await, 1, "those of before stay");
        assert_eq!(scene.join(HERE, None).await, "banned");
        assert_eq!(scene.lift(&bob).await, 204);
        assert_eq!(scene.join(HERE, None).await, "200");
        assert_eq!(scene.ban(&bob).await, 0, "what was lifted is forgotten");
        assert_eq!(scene.join(HERE, None).await, "200");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn an_address_is_open_when_its_ban_is_over_and_no_later_ban_shuts_it_again() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let (bob, _bobs) = scene.enter(HERE).await;
        let second = json!({ "identity": identity(&bob), "seconds": 1 });
        assert_eq!(scene.ban_as(second).await, 1);
        let over = async {
            while scene.join(HERE, None).await == "banned" {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, over).await.unwrap();
        let Scene { room, host, .. } = scene;
        let server = server.restart().await;
        let scene = Scene {
            server: &server,
            room,
            host,
        };
        assert_eq!(scene.join(HERE, None).await, "200");
        assert_eq!(scene.ban(&bob).await, 0);
        assert_eq!(scene.join(HERE, None).await, "200");
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_ban_goes_with_the_last_addresses_of_many() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let address = |number: u8| format!("203.0.113.{number}");
        let bob = scene.guest(&address(1)).await;
        for number in 2..=6 {
            let mut socket = scene.present(&address(number), &bob).await;
            socket.ok("leave", json!({})).await;
        }
        assert_eq!(scene.ban(&bob).await, 4);
        // The token of the first came along each time.
        for (number, expected) in [1, 2, 3, 4, 5, 6]
            .into_iter()
            .zip(["banned", "200", "200", "banned", "banned", "banned"])
        {
            assert_eq!(scene.join(&address(number), None).await, expected);
        }
        server.server.stop().await;
    }
}

#[tokio::test]
async fn of_ipv6_the_network_is_shut_that_one_client_has() {
    let server = TestServer::start_with(|config| config.ban_addresses = true).await;
    let scene = Scene::new(&server).await;
    let (bob, _bobs) = scene.enter("2001:db8:1:2::7").await;
    assert_eq!(scene.ban(&bob).await, 1);
    assert_eq!(scene.join("2001:db8:1:2:a:b:c:d", None).await, "banned");
    assert_eq!(scene.join("2001:db8:1:3::7", None).await, "200");
    server.server.stop().await;
}

#[tokio::test]
async fn a_proxy_of_ours_is_never_shut_out_whatever_it_says() {
    let server = TestServer::start_with(|config| config.ban_addresses = true).await;
    let scene = Scene::new(&server).await;
    for said in ["", "unknown", "127.0.0.9", "203.0.113.7, unknown"] {
        let (bob, _bobs) = scene.enter(said).await;
        assert_eq!(scene.ban(&bob).await, 0, "{said}");
        assert_eq!(scene.join(said, None).await, "200", "{said}");
    }
    assert_eq!(scene.join(HERE, None).await, "200");
    server.server.stop().await;
}

#[tokio::test]
async fn addresses_are_neither_noted_nor_heeded_from_when_the_setting_is_off() {
    for server in servers().await {
        let scene = Scene::new(&server).await;
        let spare = scene.guest(HERE).await;
        let mut open = scene.socket(HERE, &spare).await;
        let (bob, _bobs) = scene.enter(HERE).await;
        let (cy, _cys) = scene.enter("203.0.113.9").await;
        assert_eq!(scene.ban(&bob).await, 1);
        let there = json!({ "roomId": scene.room });
        assert_eq!(open.refused("join", there.clone()).await, "banned");

        let mut off = server.config.clone();
        off.ban_addresses = false;
        server.server.reload(&off);
        open.ok("join", there).await;
        assert_eq!(scene.join(HERE, None).await, "200");
        let listed = scene.get("bans").await;
        assert_eq!(listed["items"][0].get("addresses"), None, "{listed}");
        assert_eq!(scene.ban(&cy).await, 0, "who came before is not noted");
        let (dee, _dees) = scene.enter("203.0.113.10").await;

        server.server.reload(&server.config);
        assert_eq!(scene.join(HERE, None).await, "banned");
        assert_eq!(scene.join("203.0.113.9", None).await, "200");
        assert_eq!(scene.ban(&dee).await, 1);
        assert_eq!(scene.lift(&bob).await, 204);
        assert_eq!(scene.join(HERE, None).await, "200");
        server.server.stop().await;
    }
}

async fn servers() -> [TestServer; 2] {
    TestServer::on_each(|config| config.ban_addresses = true).await
}

/// A room, and requests from anywhere: through a proxy that is believed.
struct Scene<'a> {
    server: &'a TestServer,
    room: String,
    host: String,
}

impl<'a> Scene<'a> {
    async fn new(server: &'a TestServer) -> Self {
        let host = server.token("Host").await;
        let room = json!({ "title": "R", "allowGuestChat": true });
        let room = server.room(&host, room).await;
        Self { server, room, host }
    }

    async fn ask(
        &self,
        (method, path): (&str, &str),
        (from, token): (&str, Option<&str>),
        body: Option<Value>,
    ) -> Reply {
        let headers = [("x-forwarded-for", from)];
        let line = (method, path);
        self.server.ask(line, token, &headers, body).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/rooms/{}/{rest}", self.room)
    }

    /// Returns what a moderator is shown.
    async fn get(&self, rest: &str) -> Value {
        let path = self.path(rest);
        self.server.get(&path, Some(&self.host)).await.body
    }

    /// Asks for the right to enter; returns the status, or the code of the refusal.
    async fn join(&self, from: &str, token: Option<&str>) -> String {
        let path = self.path("join");
        let reply = self.ask(("POST", &path), (from, token), Some(json!({})));
        said(&reply.await)
    }

    async fn say(&self, from: &str, token: &str) -> String {
        let (path, body) = (self.path("chat"), json!({ "text": "x" }));
        let reply = self.ask(("POST", &path), (from, Some(token)), Some(body));
        said(&reply.await)
    }

    /// Asks for a session without an offer, by `whip` or `whep`.
    async fn offer(&self, door: &str, from: &str, token: Option<&str>) -> String {
        let path = format!("/{door}/{}", self.room);
        said(&self.ask(("POST", &path), (from, token), None).await)
    }

    async fn guest(&self, from: &str) -> String {
        let path = self.path("join");
        let reply = self.ask(("POST", &path), (from, None), Some(json!({})));
        let reply = reply.await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["token"].as_str().unwrap().to_owned()
    }

    async fn socket(&self, from: &str, token: &str) -> Client {
        let headers = [("x-forwarded-for", from)];
        let client = Client::connect(self.server.http(), &headers).await;
        let mut client = client.unwrap();
        client.ok("auth", json!({ "token": token })).await;
        client
    }

    /// Opens a socket, and joins by it.
    async fn present(&self, from: &str, token: &str) -> Client {
        let mut client = self.socket(from, token).await;
        client.ok("join", json!({ "roomId": self.room })).await;
        client
    }

    /// Joins by a socket, and goes; returns `ack`, or the code of the refusal.
    async fn knock(&self, from: &str, token: &str) -> String {
        let client = self.socket(from, token).await;
        self.knock_by(client).await
    }

    /// The same with the token in the header of the request for the socket.
    async fn knock_with_header(&self, from: &str, token: &str) -> String {
        let token = format!("Bearer {token}");
        let headers = [("x-forwarded-for", from), ("authorization", token.as_str())];
        let client = Client::connect(self.server.http(), &headers).await;
        self.knock_by(client.unwrap()).await
    }

    async fn knock_by(&self, mut client: Client) -> String {
        let answer = client.request("join", json!({ "roomId": self.room })).await;
        let code = answer["d"]["code"].as_str();
        code.unwrap_or("ack").to_owned()
    }

    /// Joins as a guest; returns the token and the socket.
    async fn enter(&self, from: &str) -> (String, Client) {
        let token = self.guest(from).await;
        let client = self.present(from, &token).await;
        (token, client)
    }

    /// Bans whose token it is; returns with how many addresses that goes.
    async fn ban(&self, token: &str) -> u64 {
        self.ban_as(json!({ "identity": identity(token) })).await
    }

    async fn ban_as(&self, ban: Value) -> u64 {
        let path = self.path("bans");
        let banned = self.server.post(&path, Some(&self.host), ban).await;
        assert_eq!(banned.status, 200, "{}", banned.body);
        banned.body["addresses"].as_u64().unwrap()
    }

    async fn lift(&self, token: &str) -> u16 {
        let identity = identity(token);
        let path = self.path(&format!("bans?identity={}", identity.as_str().unwrap()));
        let line = ("DELETE", path.as_str());
        let lifted = self.ask(line, (ELSEWHERE, Some(&self.host)), None).await;
        lifted.status
    }
}

fn said(reply: &Reply) -> String {
    let code = reply.body["code"].as_str();
    code.map_or_else(|| reply.status.to_string(), str::to_owned)
}

/// Returns whose token it is.
fn identity(token: &str) -> Value {
    use base64::Engine;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    claims["sub"].clone()
}
