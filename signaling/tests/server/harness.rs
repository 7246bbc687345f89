//! A server, and clients of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use klieg_signaling::{Config, Secret, Server, VideoGrants, mint};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{postgres, schema};

/// A server in this process.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) config: Config,
    _data: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = TempDir::new();
        let mut config = Config::development();
        config.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.media = SocketAddr::from(([127, 0, 0, 1], 0));
        config.media_shards = 1;
        config.data = data.path().to_owned();
        config.drain_ms = 100;
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        Self {
            server,
            config,
            _data: data,
        }
    }

    /// Starts a server on each database, one after the other.
    pub(crate) async fn on_each(change: impl Fn(&mut Config)) -> [Self; 2] {
        let url = tokio::task::spawn_blocking(postgres::database).await;
        let url = url.unwrap();
        let on_sqlite = Self::start_with(&change).await;
        let on_postgres = Self::start_with(|config| {
            config.database_url = Some(Secret::new(url));
            change(config);
        })
        .await;
        [on_sqlite, on_postgres]
    }

    /// Sends a request with headers of its own.
    pub(crate) async fn ask(
        &self,
        (method, path): (&str, &str),
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Reply {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.http().to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let body = Full::new(Bytes::from(body));
        send(self.http(), request.body(body).unwrap()).await
    }

    /// Stops the server and starts another on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            server,
            config,
            _data,
        } = self;
        server.stop().await;
        let server = Server::start(config.clone()).await.unwrap();
        Self {
            server,
            config,
            _data,
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.server.http()
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Reply {
        call(self.http(), "GET", path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Reply {
        call(self.http(), "POST", path, token, Some(body.to_string())).await
    }

    /// Waits until the metrics have a line.
    pub(crate) async fn settles(&self, line: &str) {
        let since = Instant::now();
        loop {
            let text = self.get("/metrics", None).await.body;
            let text = text.as_str().unwrap();
            if text.lines().any(|it| it == line) {
                return;
            }
            assert!(since.elapsed() < SETTLED, "{line} never came:\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Signs in by name and returns the access token.
    pub(crate) async fn token(&self, name: &str) -> String {
        let reply = self
            .post("/api/v1/auth/login", None, json!({ "username": name }))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["accessToken"].as_str().unwrap().to_owned()
    }

    /// Returns a token for a room, as a guest gets one.
    pub(crate) async fn guest_token(&self, room: &str) -> String {
        let path = format!("/api/v1/rooms/{room}/join");
        let reply = self.post(&path, None, json!({ "name": "Gus" })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["token"].as_str().unwrap().to_owned()
    }

    /// Creates a room that belongs to the token's owner and returns its id.
    pub(crate) async fn room(&self, token: &str, body: Value) -> String {
        let reply = self.post("/api/v1/rooms", Some(token), body).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body["id"].as_str().unwrap().to_owned()
    }

    /// Opens a socket and shows no token.
    pub(crate) async fn socket(&self) -> Client {
        Client::connect(self.http(), &[]).await.unwrap()
    }

    /// Opens a socket for somebody of this name.
    pub(crate) async fn sign_in(&self, name: &str) -> Client {
        let token = self.token(name).await;
        let mut client = self.socket().await;
        client.ok("auth", json!({ "token": token })).await;
        client
    }

    /// Opens a socket for somebody of this name and joins a room; returns the snapshot too.
    pub(crate) async fn join(&self, name: &str, room: &str) -> (Client, Value) {
        let mut client = self.sign_in(name).await;
        client.ok("join", json!({ "roomId": room })).await;
        let joined = client.expect("joined").await;
        (client, joined)
    }
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// JSON, or the text of what is no JSON.
    pub(crate) body: Value,
    /// The same as it came.
    pub(crate) bytes: Bytes,
}

pub(crate) async fn call(
    server: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> Reply {
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", server.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::from(body.unwrap_or_default()));
    send(server, request.body(body).unwrap()).await
}

pub(crate) async fn send(server: SocketAddr, request: hyper::Request<Full<Bytes>>) -> Reply {
    try_send(server, request).await.unwrap()
}

/// Sends a request; `None` where the server is gone.
pub(crate) async fn try_send(
    server: SocketAddr,
    request: hyper::Request<Full<Bytes>>,
) -> Option<Reply> {
    let stream = TcpStream::connect(server).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.ok()?.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Some(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        bytes,
    })
}

/// A client of the socket.
pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
    /// Messages that came while another was waited for.
    waiting: VecDeque<Value>,
}

impl Client {
    /// Opens a socket with more headers; an error is the answer that refuses it.
    pub(crate) async fn connect(
        server: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let stream = TcpStream::connect(server).await.unwrap();
        Self::over(stream, request(server, headers)).await
    }

    pub(crate) async fn over(
        stream: TcpStream,
        request: Request,
    ) -> Result<Self, tungstenite::Error> {
        let (stream, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self {
            stream,
            waiting: VecDeque::new(),
        })
    }

    /// Opens a socket; `None` where the server is gone.
    pub(crate) async fn try_connect(server: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(server).await.ok()?;
        Self::over(stream, request(server, &[])).await.ok()
    }

    /// Sends a message and returns its answer; `None` where the server is gone.
    pub(crate) async fn try_request(&mut self, t: &str, d: Value) -> Option<Value> {
        let id = format!("{t}-{:016x}", rand::random::<u64>());
        let text = json!({ "t": t, "id": id, "d": d }).to_string();
        self.stream.send(Message::text(text)).await.ok()?;
        loop {
            let message = self.stream.next().await?.ok()?;
            let Message::Text(text) = message else {
                continue;
            };
            let mut messages = messages(&text).into_iter();
            if let Some(answer) = messages.find(|message| message["d"]["re"] == id) {
                return Some(answer);
            }
        }
    }

    /// Sends a message with a new id, which it returns.
    pub(crate) async fn send(&mut self, t: &str, d: Value) -> String {
        // Unique beyond this socket, as the ids of chat messages must be.
        let id = format!("{t}-{:016x}", rand::random::<u64>());
        self.send_text(&json!({ "t": t, "id": id, "d": d }).to_string())
            .await;
        id
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_frame(Message::text(text)).await;
    }

    pub(crate) async fn send_frame(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Sends a message and waits for the `ack` or `error` that answers it.
    pub(crate) async fn request(&mut self, t: &str, d: Value) -> Value {
        let id = self.send(t, d).await;
        self.answer(&id).await
    }

    /// Waits for the `ack` or `error` that answers a message.
    pub(crate) async fn answer(&mut self, id: &str) -> Value {
        self.wait(|message| message["d"]["re"] == id).await
    }

    /// Sends a message that must be acknowledged; returns the content of the acknowledgement.
    pub(crate) async fn ok(&mut self, t: &str, d: Value) -> Value {
        let answer = self.request(t, d).await;
        assert_eq!(answer["t"], "ack", "{answer}");
        answer["d"].clone()
    }

    /// Sends a message that must be refused; returns the code.
    pub(crate) async fn refused(&mut self, t: &str, d: Value) -> String {
        let answer = self.request(t, d).await;
        assert_eq!(answer["t"], "error", "{answer}");
        answer["d"]["code"].as_str().unwrap().to_owned()
    }

    /// Waits for a message of a type.
    pub(crate) async fn expect(&mut self, t: &str) -> Value {
        self.wait(|message| message["t"] == t).await
    }

    /// Waits for a message; those before it stay for later.
    pub(crate) async fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(index).unwrap();
        }
        let search = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let first = self.waiting.len();
                        self.waiting.extend(messages(&text));
                        let mut new = first..self.waiting.len();
                        if let Some(index) = new.find(|index| wanted(&self.waiting[*index])) {
                            return self.waiting.remove(index).unwrap();
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!(
                        "the socket ended with {other:?}; before: {:?}",
                        self.waiting
                    ),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(message) => message,
            Err(_) => panic!("nothing of the kind came; what came: {:?}", self.waiting),
        }
    }

    /// Returns whether a message of a type came that nobody waited for.
    pub(crate) fn has(&self, t: &str) -> bool {
        self.waiting.iter().any(|message| message["t"] == t)
    }

    /// Waits for the messages of a type that come within a while.
    pub(crate) async fn collect(&mut self, t: &str, within: Duration) -> Vec<Value> {
        let gather = async {
            while let Some(Ok(message)) = self.stream.next().await {
                if let Message::Text(text) = message {
                    self.waiting.extend(messages(&text));
                }
            }
        };
        let _ = tokio::time::timeout(within, gather).await;
        let (wanted, others): (VecDeque<Value>, _) = self
            .waiting
            .drain(..)
            .partition(|message: &Value| message["t"] == t);
        self.waiting = others;
        wanted.into()
    }

    /// Reads to the end; returns the close code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let end = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        return frame.map(|frame| u16::from(frame.code));
                    }
                    Some(Ok(Message::Text(text))) => {
                        self.waiting.extend(messages(&text));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, end)
            .await
            .expect("the socket stayed open")
    }

    /// Goes away without a word.
    pub(crate) fn vanish(self) {
        drop(self.stream);
    }
}

/// Returns the messages of a frame: one, or an array of them.
fn messages(text: &str) -> Vec<Value> {
    let messages: Vec<Value> = if text.starts_with('[') {
        serde_json::from_str(text).unwrap()
    } else {
        vec![serde_json::from_str(text).unwrap()]
    };
    messages.iter().for_each(schema::check);
    messages
}

pub(crate) fn request(server: SocketAddr, headers: &[(&'static str, &str)]) -> Request {
    let mut request = format!("ws://{server}/ws").into_client_request().unwrap();
    let protocol = "klieg.v1".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// Signs a token as an application does.
pub(crate) fn api_token(room: &str, identity: &str, video: VideoGrants) -> String {
    let video = VideoGrants {
        room: Some(room.to_owned()),
        room_join: true,
        ..video
    };
    let key = ("devkey", &Secret::new("devsecret"));
    mint(key, (identity, identity), video, Duration::from_secs(60)).unwrap()
}

/// Replaces what differs from run to run, by the name of its field.
pub(crate) fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "ts" | "retryAfterMs" | "reconnectAfterMs" if value.is_number() => {
                        *value = json!(format!("[{name}]"));
                    }
                    "sdp" | "token" | "accessToken" | "refreshToken" | "refreshExpiresAt"
                    | "expiresAt" | "startedAt" | "endedAt" | "createdAt" | "whipUrl"
                    | "whepUrl" | "messageId" | "sessionId" | "streamKey" | "wsUrl" => {
                        *value = json!(format!("[{name}]"))
                    }
                    // The ids of these tests are the type of the message and a random number.
                    "re" => {
                        let t = value.as_str().and_then(|re| re.rsplit_once('-'));
                        *value = json!(format!("[id of {}]", t.map_or("?", |(t, _)| t)));
                    }
                    "id" if value.as_str().is_some_and(|id| id.len() >= 22) => {
                        *value = json!("[id]");
                    }
                    _ => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the value with what differs from run to run replaced.
pub(crate) fn masked(mut value: Value) -> Value {
    mask(&mut value);
    value
}

/// A directory that goes with its owner.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("klieg-test-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A description that a browser could send: sound and a picture, to publish.
pub(crate) fn offer() -> String {
    OFFER.lines().map(|line| format!("{line}\r\n")).collect()
}

const OFFER: &str = "v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef01234567
a=ice-options:trickle
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=ssrc:1 cname:a
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef01234567
a=ice-options:trickle
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=ssrc:2 cname:a";

/// How long figures may take to be as they should: longer than a handshake may.
const SETTLED: Duration = Duration::from_secs(45);

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
