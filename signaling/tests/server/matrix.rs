//! The table of permissions, cell by cell: every role, in every kind of room, by every route and message.

use std::collections::BTreeSet;

use klieg_signaling::permission::{self, Action, Setting};
use klieg_signaling::{AccountRole, Role, VideoGrants};
use serde_json::{Value, json};

use crate::harness::{Reply, TestServer, api_token, call, offer};
use crate::thumbnails;
use crate::wish::{self, SDP, watching};

/// What a route or message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Something in the table, in a room.
    Room(Action),
    /// Something in the table, outside of rooms.
    Server(Action),
    /// A token, whoever's.
    Token,
    /// A token that is for more than one room.
    Anywhere,
    /// Nothing.
    Nothing,
}

use Need::{Anywhere, Nothing, Room, Server, Token};

/// Method, path, what it is for, and a body or a query where one is needed.
type Route = (&'static str, &'static str, Need, &'static str);

/// Every route of REST.
const ROUTES: &[Route] = &[
    ("GET", "/config", Nothing, ""),
    ("POST", "/auth/register", Nothing, ""),
    ("POST", "/auth/login", Nothing, ""),
    ("POST", "/auth/refresh", Nothing, ""),
    // Nobody here is to be signed out.
    ("POST", "/auth/logout", Nothing, "[]"),
    ("GET", "/me", Token, ""),
    ("GET", "/me/dashboard", Anywhere, ""),
    ("PUT", "/me/password", Nothing, ""),
    ("GET", "/rooms", Nothing, ""),
    (
        "POST",
        "/rooms",
        Server(Action::Create),
        r#"{"title":"Another"}"#,
    ),
    ("GET", "/openapi.json", Nothing, ""),
    ("GET", "/docs", Nothing, ""),
    ("GET", "/docs.js", Nothing, ""),
    ("GET", "/rooms/live", Nothing, ""),
    ("GET", "/rooms/past", Nothing, ""),
    ("GET", "/rooms/{id}", Room(Action::Watch), ""),
    (
        "PATCH",
        "/rooms/{id}",
        Room(Action::Manage),
        r#"{"title":"R"}"#,
    ),
    ("GET", "/rooms/{id}/related", Room(Action::Watch), ""),
    ("GET", "/rooms/{id}/status", Room(Action::Watch), ""),
    ("POST", "/rooms/{id}/join", Room(Action::Watch), "{}"),
    ("GET", "/rooms/{id}/viewers", Room(Action::Watch), ""),
    (
        "POST",
        "/rooms/{id}/kicks",
        Room(Action::Moderate),
        r#"{"identity":"nobody"}"#,
    ),
    ("GET", "/rooms/{id}/chat", Room(Action::Watch), ""),
    (
        "POST",
        "/rooms/{id}/chat",
        Room(Action::Chat),
        r#"{"text":"hi"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/chat/{message}",
        Room(Action::Moderate),
        "",
    ),
    (
        "PUT",
        "/rooms/{id}/chat/{message}/pin",
        Room(Action::Moderate),
        "",
    ),
    (
        "DELETE",
        "/rooms/{id}/chat/{message}/pin",
        Room(Action::Moderate),
        "",
    ),
    ("GET", "/rooms/{id}/audit", Room(Action::Moderate), ""),
    ("GET", "/rooms/{id}/mutes", Room(Action::Moderate), ""),
    (
        "POST",
        "/rooms/{id}/mutes",
        Room(Action::Moderate),
        r#"{"identity":"nobody"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/mutes",
        Room(Action::Moderate),
        "?identity=nobody",
    ),
    ("GET", "/rooms/{id}/bans", Room(Action::Moderate), ""),
    (
        "POST",
        "/rooms/{id}/bans",
        Room(Action::Moderate),
        r#"{"identity":"nobody"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/bans",
        Room(Action::Moderate),
        "?identity=nobody",
    ),
    (
        "GET",
        "/rooms/{id}/chat-settings",
        Room(Action::Moderate),
        "",
    ),
    (
        "PATCH",
        "/rooms/{id}/chat-settings",
        Room(Action::Moderate),
        "{}",
    ),
    ("GET", "/rooms/{id}/roles", Room(Action::Moderate), ""),
    (
        "PUT",
        "/rooms/{id}/roles",
        Room(Action::Manage),
        r#"{"identity":"nobody","role":"moderator"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/roles",
        Room(Action::Manage),
        "?identity=nobody",
    ),
    (
        "PUT",
        "/rooms/{id}/members",
        Room(Action::Manage),
        r#"{"identity":"nobody"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/members",
        Room(Action::Manage),
        "?identity=nobody",
    ),
    ("PUT", "/rooms/{id}/follow", Room(Action::Chat), ""),
    ("DELETE", "/rooms/{id}/follow", Room(Action::Chat), ""),
    ("GET", "/rooms/{id}/held", Room(Action::Moderate), ""),
    (
        "POST",
        "/rooms/{id}/held/{item}",
        Room(Action::Moderate),
        r#"{"approve":true}"#,
    ),
    ("GET", "/rooms/{id}/reports", Room(Action::Moderate), ""),
    (
        "POST",
        "/rooms/{id}/reports",
        Room(Action::Chat),
        r#"{"messageId":"missing"}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/reports/{item}",
        Room(Action::Moderate),
        "",
    ),
    ("GET", "/rooms/{id}/products", Room(Action::Watch), ""),
    (
        "POST",
        "/rooms/{id}/products",
        Room(Action::Sell),
        r#"{"name":"Tea","price":450,"currency":"EUR"}"#,
    ),
    (
        "PATCH",
        "/rooms/{id}/products/{item}",
        Room(Action::Sell),
        "{}",
    ),
    (
        "DELETE",
        "/rooms/{id}/products/{item}",
        Room(Action::Sell),
        "",
    ),
    (
        "PUT",
        "/rooms/{id}/products/{item}/feature",
        Room(Action::Sell),
        "",
    ),
    (
        "DELETE",
        "/rooms/{id}/products/{item}/feature",
        Room(Action::Sell),
        "",
    ),
    (
        "PUT",
        "/rooms/{id}/products/order",
        Room(Action::Sell),
        r#"{"ids":[]}"#,
    ),
    ("POST", "/hooks/orders", Nothing, "{}"),
    ("GET", "/rooms/{id}/thumbnail", Room(Action::Watch), ""),
    ("POST", "/rooms/{id}/thumbnail", Room(Action::Manage), "GIF"),
    ("GET", "/rooms/{id}/like", Room(Action::Watch), ""),
    ("PUT", "/rooms/{id}/like", Room(Action::React), ""),
    ("DELETE", "/rooms/{id}/like", Room(Action::React), ""),
    (
        "POST",
        "/rooms/{id}/reactions",
        Room(Action::React),
        r#"{"emoji":"🔥"}"#,
    ),
    ("GET", "/rooms/{id}/analytics", Room(Action::Analyse), ""),
    (
        "GET",
        "/rooms/{id}/analytics/timeseries",
        Room(Action::Analyse),
        "",
    ),
    (
        "GET",
        "/rooms/{id}/analytics.csv",
        Room(Action::Analyse),
        "",
    ),
    ("GET", "/rooms/{id}/polls", Room(Action::Watch), ""),
    (
        "POST",
        "/rooms/{id}/polls",
        Room(Action::Poll),
        r#"{"question":"Tea?","options":["yes","no"]}"#,
    ),
    (
        "POST",
        "/rooms/{id}/polls/{item}/close",
        Room(Action::Poll),
        "",
    ),
    (
        "PUT",
        "/rooms/{id}/polls/{item}/vote",
        Room(Action::React),
        r#"{"option":0}"#,
    ),
    ("GET", "/rooms/{id}/questions", Room(Action::Watch), ""),
    (
        "POST",
        "/rooms/{id}/questions",
        Room(Action::Chat),
        r#"{"text":"Why?"}"#,
    ),
    (
        "PATCH",
        "/rooms/{id}/questions/{item}",
        Room(Action::Moderate),
        r#"{"answered":true}"#,
    ),
    (
        "DELETE",
        "/rooms/{id}/questions/{item}",
        Room(Action::Moderate),
        "",
    ),
    (
        "PUT",
        "/rooms/{id}/questions/{item}/vote",
        Room(Action::React),
        "",
    ),
    (
        "DELETE",
        "/rooms/{id}/questions/{item}/vote",
        Room(Action::React),
        "",
    ),
    ("GET", "/rooms/{id}/ingest", Room(Action::StreamKey), ""),
    ("GET", "/admin/rooms", Server(Action::Administer), ""),
    ("POST", "/admin/cleanup", Server(Action::Administer), ""),
    ("GET", "/admin/nodes", Server(Action::Administer), ""),
    // Taken back at once, or the rest would be refused.
    ("POST", "/admin/drain", Server(Action::Administer), ""),
    ("DELETE", "/admin/drain", Server(Action::Administer), ""),
    ("GET", "/webhooks", Server(Action::Administer), ""),
    (
        "POST",
        "/webhooks",
        Server(Action::Administer),
        r#"{"url":"https://10.0.0.1/"}"#,
    ),
    ("GET", "/webhooks/{id}", Server(Action::Administer), ""),
    ("PATCH", "/webhooks/{id}", Server(Action::Administer), "{}"),
    ("DELETE", "/webhooks/{id}", Server(Action::Administer), ""),
    (
        "POST",
        "/webhooks/{id}/secret",
        Server(Action::Administer),
        "",
    ),
    (
        "POST",
        "/webhooks/{id}/test",
        Server(Action::Administer),
        "",
    ),
    (
        "POST",
        "/webhooks/{id}/replay",
        Server(Action::Administer),
        r#"{"from":"2026-01-01T00:00:00Z"}"#,
    ),
    (
        "GET",
        "/webhooks/{id}/deliveries",
        Server(Action::Administer),
        "",
    ),
    (
        "GET",
        "/webhooks/{id}/deliveries/{item}",
        Server(Action::Administer),
        "",
    ),
    (
        "POST",
        "/webhooks/{id}/deliveries/{item}/replay",
        Server(Action::Administer),
        "",
    ),
    (
        "POST",
        "/rooms/{id}/ingest/rotate",
        Room(Action::StreamKey),
        "{}",
    ),
];

/// Routes after which a room is another: each has a room of its own in the test.
const LAST: &[Route] = &[
    ("POST", "/rooms/{id}/start", Room(Action::Manage), ""),
    ("POST", "/rooms/{id}/end", Room(Action::Manage), ""),
    ("DELETE", "/rooms/{id}", Room(Action::Manage), ""),
];

/// Every message of a socket that is in a room, except those about sessions of one's own.
const MESSAGES: &[(&str, Need)] = &[
    ("rtc.subscribe", Room(Action::Watch)),
    ("stats", Room(Action::Watch)),
    ("chat.send", Room(Action::Chat)),
    ("chat.pin", Room(Action::Moderate)),
    ("chat.delete", Room(Action::Moderate)),
    ("chat.report", Room(Action::Chat)),
    ("mod.mute", Room(Action::Moderate)),
    ("mod.kick", Room(Action::Moderate)),
    ("mod.ban", Room(Action::Moderate)),
    ("mod.slow", Room(Action::Moderate)),
    ("mod.review", Room(Action::Moderate)),
    ("mod.role", Room(Action::Manage)),
    ("product.feature", Room(Action::Sell)),
    ("like.toggle", Room(Action::React)),
    ("poll.open", Room(Action::Poll)),
    ("poll.close", Room(Action::Poll)),
    ("poll.vote", Room(Action::React)),
    ("question.ask", Room(Action::Chat)),
    ("question.vote", Room(Action::React)),
    ("question.answer", Room(Action::Moderate)),
    ("question.remove", Room(Action::Moderate)),
    ("reaction.send", Room(Action::React)),
    ("rtc.offer", Room(Action::Publish)),
];

/// Messages after which a room is another, for who may manage it.
const LAST_MESSAGES: [&str; 2] = ["room.start", "room.end"];

/// Messages that are about oneself: nobody is kept from them.
const OWN: [&str; 13] = [
    "auth",
    "ping",
    "join",
    "resume",
    "leave",
    "rtc.answer",
    "rtc.candidate",
    "rtc.keyframe",
    "rtc.report",
    "rtc.trouble",
    "rtc.restart",
    "rtc.mute",
    "rtc.close",
];

/// Somebody, and what the table calls them.
struct Somebody {
    name: &'static str,
    role: Role,
    token: Option<String>,
    /// Whether a private room is open to them by their token or for what they are.
    invited: bool,
    /// What they are outside of rooms; `None` when their token is for a room alone.
    outside: Option<Role>,
}

#[tokio::test]
async fn every_cell_of_the_table_is_what_the_server_does() {
    let server = TestServer::start().await;
    let owner = account(&server, "Owner", AccountRole::Host).await;
    let admin = account(&server, "Admin", AccountRole::Admin).await;
    let viewer = account(&server, "Viewer", AccountRole::Viewer).await;
    let host = account(&server, "Host", AccountRole::Host).await;
    let mut cells = 0;
    for visibility in ["public", "unlisted", "private"] {
        for guests_speak in [false, true] {
            let body = json!({
                "title": "R", "visibility": visibility, "allowGuestChat": guests_speak,
            });
            let room = server.room(&owner, body).await;
            // There is something to look at.
            thumbnails::give(&server, &room, &owner).await;
            let setting = Setting {
                open: visibility != "private",
                guests_speak,
            };
            let accounts = [&admin, &owner, &host, &viewer];
            let count = everybody(&room, accounts).len();
            for index in 0..count {
                let room = server
                    .room(
                        &owner,
                        json!({
                            "title": "R", "visibility": visibility, "allowGuestChat": guests_speak,
                        }),
                    )
                    .await;
                let somebody = &everybody(&room, accounts)[index];
                cells += check_last_messages(&server, somebody, &room, setting).await;
                cells += check_routes(&server, somebody, &room, (setting, LAST, &owner)).await;
            }
            for somebody in everybody(&room, accounts) {
                cells += check_routes(&server, &somebody, &room, (setting, ROUTES, &owner)).await;
                cells += check_socket(&server, &somebody, &room, setting).await;
                cells += check_media(&server, &somebody, &room, setting).await;
            }
        }
    }
    println!("{cells} cells");
    assert!(cells >= 400, "{cells}");
    server.server.stop().await;
}

fn everybody(room: &str, [admin, owner, host, viewer]: [&String; 4]) -> Vec<Somebody> {
    let account = |name, role, token: &String, outside| Somebody {
        name,
        role,
        token: Some(token.clone()),
        invited: matches!(role, Role::Admin | Role::Owner),
        outside: Some(outside),
    };
    let application = |name: &'static str, role, video| Somebody {
        name,
        role,
        token: Some(api_token(room, name, video)),
        invited: true,
        outside: None,
    };
    vec![
        account("admin", Role::Admin, admin, Role::Admin),
        account("owner", Role::Owner, owner, Role::Owner),
        account("another host", Role::Viewer, host, Role::Owner),
        account("viewer", Role::Viewer, viewer, Role::Viewer),
        application(
            "cohost",
            Role::Cohost,
            VideoGrants {
                can_publish: Some(true),
                room_admin: true,
                ..VideoGrants::default()
            },
        ),
        application(
            "moderator",
            Role::Moderator,
            VideoGrants {
                room_admin: true,
                ..VideoGrants::default()
            },
        ),
        application("invited", Role::Viewer, VideoGrants::default()),
        Somebody {
            name: "guest",
            role: Role::Guest,
            token: None,
            invited: false,
            outside: Some(Role::Guest),
        },
    ]
}

/// What must come of it: nothing in the way, or this status.
fn expected(somebody: &Somebody, need: Need, setting: Setting) -> Option<u16> {
    let nowhere = Setting {
        open: true,
        guests_speak: false,
    };
    let anonymous = somebody.token.is_none();
    let refused = if anonymous { 401 } else { 403 };
    match need {
        Nothing => None,
        Token => anonymous.then_some(401),
        Anywhere => (anonymous || somebody.outside.is_none()).then_some(refused),
        Server(action) => {
            let outside = somebody.outside;
            let may = outside.is_some_and(|role| permission::allows(role, action, nowhere));
            (!may).then_some(refused)
        }
        // What nobody knows of cannot be forbidden.
        Room(action) => {
            let knows = permission::allows(somebody.role, Action::Watch, setting)
                && (setting.open || somebody.invited);
            let open = action == Action::Watch;
            let asks_first = !open && anonymous;
            match permission::allows(somebody.role, action, setting) {
                _ if asks_first => Some(401),
                _ if !knows => Some(404),
                false => Some(403),
                true => None,
            }
        }
    }
}

async fn check_routes(
    server: &TestServer,
    somebody: &Somebody,
    room: &str,
    (setting, routes, owner): (Setting, &[Route], &str),
) -> usize {
    for (method, route, need, body) in routes {
        let message = if route.contains("{message}") {
            said(server, room, owner).await
        } else {
            String::new()
        };
        let route = route.replace("{message}", &message);
        let path = |room: &str| format!("/api/v1{}", route.replace("{id}", room));
        let ask = async |room: &str| {
            let is_query = body.starts_with('?');
            let path = path(room) + if is_query { body } else { "" };
            let body = (!body.is_empty() && !is_query).then(|| (*body).to_owned());
            call(
                server.http(),
                method,
                &path,
                somebody.token.as_deref(),
                body,
            )
            .await
        };
        let reply = ask(room).await;
        let what = format!("{} {method} {route} in {setting:?}", somebody.name);
        check(&what, expected(somebody, *need, setting), &reply);
        // Only a token for one room is told that another is not its own, whether there is one or not.
        if reply.status == 404 && reply.body["detail"] != NOTHING {
            let missing = ask("missing").await;
            assert_eq!(
                (404, &reply.body),
                (missing.status, &missing.body),
                "{what}"
            );
        }
    }
    routes.len()
}

/// Has the owner say something in a room; returns the id of the message.
async fn said(server: &TestServer, room: &str, owner: &str) -> String {
    let path = format!("/api/v1/rooms/{room}/chat");
    let reply = server
        .post(&path, Some(owner), json!({ "text": "hi" }))
        .await;
    reply.body["messageId"].as_str().unwrap().to_owned()
}

fn check(what: &str, expected: Option<u16>, reply: &Reply) {
    // Who may do it finds nothing to do it to.
    let nothing = reply.body["detail"] == NOTHING;
    let refused = matches!(reply.status, 401 | 403 | 404) && !nothing;
    // Routes that sign in or out say who may by themselves; the table is not asked.
    let by_itself = what.contains("/auth/") || what.contains("/password");
    let said = (refused && !by_itself).then_some(reply.status);
    assert_eq!(said, expected, "{what}: {}", reply.body);
}

async fn check_socket(
    server: &TestServer,
    somebody: &Somebody,
    room: &str,
    setting: Setting,
) -> usize {
    let token = match &somebody.token {
        Some(token) => token.clone(),
        // A guest's token comes of joining over REST, and for rooms that are open.
        None if setting.open => server.guest_token(room).await,
        None => return 0,
    };
    let name = somebody.name;
    let enters = expected(somebody, Room(Action::Watch), setting);
    let code_of = |status| match status {
        None => "",
        Some(404) => "not_found",
        Some(_) => "forbidden",
    };
    let mut said = json!("missing");
    // A socket says so much in a second at most.
    for messages in MESSAGES.chunks(12) {
        let mut client = server.socket().await;
        client.ok("auth", json!({ "token": token })).await;
        let joined = client.request("join", json!({ "roomId": room })).await;
        assert_eq!(code(&joined), code_of(enters), "{name} join in {setting:?}");
        if enters.is_some() {
            let missing = client.request("join", json!({ "roomId": "missing" })).await;
            assert_eq!(joined["d"]["message"], missing["d"]["message"]);
            return 1;
        }
        for (message, need) in messages {
            let mut answer = client.request(message, content(message, &said)).await;
            if answer["d"]["message"] == NOTHING {
                answer = json!({});
            }
            if *message == "chat.send" && answer["t"] == "ack" {
                said = answer["d"]["messageId"].clone();
            }
            let Room(action) = *need else {
                panic!("{message} is within a room")
            };
            let may = permission::allows(somebody.role, action, setting);
            // That another poll is open is told to those alone who may open one.
            let answered = code(&answer).replace("room_state", "");
            let wanted = if may { "" } else { "forbidden" };
            assert_eq!(answered, wanted, "{name} {message} in {setting:?}");
        }
        client.ok("leave", json!({})).await;
    }
    MESSAGES.len() + 1
}

async fn check_last_messages(
    server: &TestServer,
    somebody: &Somebody,
    room: &str,
    setting: Setting,
) -> usize {
    let Some(token) = &somebody.token else {
        return 0;
    };
    let mut client = server.socket().await;
    client.ok("auth", json!({ "token": token })).await;
    if expected(somebody, Room(Action::Watch), setting).is_some() {
        return 0;
    }
    client.ok("join", json!({ "roomId": room })).await;
    let may = permission::allows(somebody.role, Action::Manage, setting);
    for message in LAST_MESSAGES {
        let answer = client.request(message, json!({})).await;
        let wanted = if may { "" } else { "forbidden" };
        let name = somebody.name;
        assert_eq!(code(&answer), wanted, "{name} {message} in {setting:?}");
    }
    LAST_MESSAGES.len()
}

fn code(answer: &Value) -> String {
    answer["d"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Returns what a message needs to say; `said` is the id of one in the chat.
fn content(message: &str, said: &Value) -> Value {
    match message {
        "chat.send" => json!({ "text": "hi" }),
        "chat.pin" | "chat.delete" => json!({ "messageId": said }),
        "chat.report" => json!({ "messageId": "missing" }),
        "mod.mute" | "mod.ban" | "mod.kick" => json!({ "identity": "nobody" }),
        "mod.slow" => json!({ "seconds": 0 }),
        "mod.review" => json!({ "heldId": "missing", "approve": true }),
        "mod.role" => json!({ "identity": "a helper", "role": "moderator" }),
        "product.feature" => json!({ "productId": "missing" }),
        "poll.open" => json!({ "question": "Tea?", "options": ["yes", "no"] }),
        "poll.close" => json!({ "pollId": "missing" }),
        "poll.vote" => json!({ "pollId": "missing", "option": 0 }),
        "question.ask" => json!({ "text": "Why?" }),
        "question.vote" => json!({ "questionId": "missing", "up": true }),
        "question.answer" => json!({ "questionId": "missing", "answered": true }),
        "question.remove" => json!({ "questionId": "missing" }),
        "reaction.send" => json!({ "emoji": "🔥" }),
        "rtc.offer" => json!({ "sdp": offer() }),
        _ => json!({}),
    }
}

async fn check_media(
    server: &TestServer,
    somebody: &Somebody,
    room: &str,
    setting: Setting,
) -> usize {
    let bearer = somebody
        .token
        .as_ref()
        .map(|token| format!("Bearer {token}"));
    // Each comes from a network of its own: how often strangers may ask is another test's business.
    let from = format!("2001:db8:{:x}::1", rand::random::<u16>());
    let mut headers = vec![SDP, ("x-forwarded-for", from.as_str())];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    for (protocol, action, offer) in [
        ("whip", Action::Publish, offer()),
        ("whep", Action::Watch, watching(&offer())),
    ] {
        let path = format!("/{protocol}/{room}");
        let reply = wish::request(server, "POST", &path, &headers, offer).await;
        let what = format!("{} {protocol} in {setting:?}", somebody.name);
        check(&what, expected(somebody, Room(action), setting), &reply);
        if let Some(session) = reply.headers.get("location") {
            let session = session.to_str().unwrap();
            let closed = wish::request(server, "DELETE", session, &headers[1..], "").await;
            assert_eq!(closed.status, 200, "{what}: {}", closed.body);
        }
    }
    2
}

const NOTHING: &str = "There is nothing that this could be done to.";

async fn account(server: &TestServer, name: &str, role: AccountRole) -> String {
    let mut config = server.config.clone();
    config.new_account_role = role;
    server.server.reload(&config);
    let body = json!({ "username": name, "password": "correct horse" });
    let reply = server.post("/api/v1/auth/register", None, body).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["accessToken"].as_str().unwrap().to_owned()
}

#[test]
fn no_route_and_no_message_is_missing_here() {
    let router = include_str!("../../src/router.rs");
    let of = |function: &str| {
        let rest = router.split(function).nth(1).unwrap();
        rest.split("\n}").next().unwrap()
    };
    let rest = [
        of("fn api("),
        of("fn administration("),
        of("fn talk("),
        of("fn order("),
        of("fn shop("),
        of("fn polls("),
        of("fn figures("),
        of("fn webhooks("),
    ]
    .concat();
    let mut routes = BTreeSet::new();
    for route in rest.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let handlers = route.split(".fallback").next().unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    let here: BTreeSet<_> = ROUTES
        .iter()
        .chain(LAST)
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(routes, here);

    let incoming = include_str!("../../src/ws/protocol/incoming.rs");
    let messages: BTreeSet<&str> = incoming
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "))
        .filter(|(_, what)| what.contains("ClientMessage::"))
        .map(|(message, _)| message)
        .collect();
    let here = MESSAGES.iter().map(|(message, _)| *message);
    let here = here.chain(LAST_MESSAGES).chain(OWN);
    assert_eq!(messages, here.collect());
}
