//! HTTPS and WSS: who is shown which certificate, and what becomes of those who speak something else.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{self, Reply, TempDir, TestServer, call};
use crate::pebble::Pebble;
use crate::process::{check, klieg};

/// A certificate that signs itself, with its key, in PEM.
pub(crate) struct Made {
    certificate: String,
    key: String,
}

impl Made {
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    /// Makes one that holds for so many days from now on, or held until so many before.
    fn holding(name: &str, days: i64) -> Self {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let day = |days: i64| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap();
            let away = Duration::from_secs(days.unsigned_abs() * 86_400);
            let since = if days < 0 { since - away } else { since + away };
            rcgen::date_time_ymd(1970, 1, 1) + since
        };
        (params.not_before, params.not_after) = (day(days.min(0) - 90), day(days));
        let key = rcgen::KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("cert.pem"), &self.certificate).unwrap();
        fs::write(folder.join("key.pem"), &self.key).unwrap();
    }
}

/// Starts a server that shows what stands in a folder.
pub(crate) async fn serve(
    folder: &Path,
    change: impl FnOnce(&mut klieg_signaling::Config),
) -> TestServer {
    TestServer::start_with(|config| {
        config.tls_cert = Some(folder.join("cert.pem"));
        config.tls_key = Some(folder.join("key.pem"));
        config.metrics_token = Some(klieg_signaling::Secret::new(
            "for-the-figures-of-a-test-and-nothing-else".to_owned(),
        ));
        change(config);
    })
    .await
}

/// Trusts one certificate and none other.
pub(crate) fn trusting(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) async fn connect(
    server: SocketAddr,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

/// Asks by HTTPS.
pub(crate) async fn ask(stream: TlsStream<TcpStream>, request: Request<Full<Bytes>>) -> Reply {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        bytes,
    }
}

pub(crate) async fn get(server: &TestServer, made: &Made, path: &str) -> Reply {
    let stream = connect(server.http(), trusting(made.der()), "localhost").await;
    let request = Request::get(path).header("host", "localhost");
    ask(stream.unwrap(), request.body(Full::default()).unwrap()).await
}

pub(crate) async fn post(server: &TestServer, made: &Made, path: &str, body: Value) -> Reply {
    let stream = connect(server.http(), trusting(made.der()), "localhost").await;
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json");
    let body = Full::new(Bytes::from(body.to_string()));
    ask(stream.unwrap(), request.body(body).unwrap()).await
}

/// Reads one of the server's numbers.
async fn handshakes(server: &TestServer, made: &Made, outcome: &str) -> u64 {
    let stream = connect(server.http(), trusting(made.der()), "localhost").await;
    let request = Request::get("/metrics").header("host", "localhost").header(
        "authorization",
        "Bearer for-the-figures-of-a-test-and-nothing-else",
    );
    let body = Full::new(Bytes::new());
    let text = ask(stream.unwrap(), request.body(body).unwrap()).await.body;
    let name = format!("klieg_tls_handshakes_total{{outcome=\"{outcome}\"}} ");
    let mut lines = text.as_str().unwrap().lines();
    let line = lines.find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |value| value.parse().unwrap())
}

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) async fn socket(server: &TestServer, made: &Made) -> Socket {
    let stream = connect(server.http(), trusting(made.der()), "localhost").await;
    let request = harness::request(server.http(), &[]);
    let opened = tokio_tungstenite::client_async(request, stream.unwrap()).await;
    opened.unwrap().0
}

/// Shows a token that is none, and waits to be told so: whoever is answered is connected.
pub(crate) async fn is_answered(socket: &mut Socket) -> bool {
    let message = json!({ "t": "auth", "id": "a", "d": { "token": "none" } }).to_string();
    if socket.send(Message::text(message)).await.is_err() {
        return false;
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    matches!(answer, Ok(Some(Ok(Message::Text(text)))) if text.contains("token_invalid"))
}

/// Waits until newcomers are shown a certificate.
async fn shown(server: &TestServer, made: &Made) {
    let since = Instant::now();
    while connect(server.http(), trusting(made.der()), "localhost")
        .await
        .is_err()
    {
        assert!(since.elapsed() < Duration::from_secs(20), "it is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn pages_api_and_sockets_are_served_by_tls_and_urls_say_so() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = serve(folder.path(), |_| ()).await;
    assert_eq!(server.server.scheme(), "https");
    assert_eq!(get(&server, &made, "/healthz").await.status, 200);
    let joined = post(
        &server,
        &made,
        "/api/v1/rooms/demo/join",
        json!({ "name": "Gus" }),
    )
    .await;
    assert_eq!(joined.status, 200, "{}", joined.body);
    assert_eq!(joined.body["wsUrl"], "wss://localhost/ws");
    assert_eq!(joined.body["whepUrl"], "https://localhost/whep/demo");

    let mut socket = socket(&server, &made).await;
    let token = &joined.body["token"];
    for (t, d) in [
        ("auth", json!({ "token": token })),
        ("join", json!({ "roomId": "demo" })),
    ] {
        let message = json!({ "t": t, "id": t, "d": d }).to_string();
        socket.send(Message::text(message)).await.unwrap();
    }
    let joined = async {
        loop {
            let message = socket.next().await.unwrap().unwrap();
            if message.to_text().unwrap().contains("\"t\":\"joined\"") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), joined)
        .await
        .unwrap();
    server.server.stop().await;
}

#[tokio::test]
async fn browsers_are_told_to_come_by_https_alone_but_by_a_server_for_development() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    for (dev, seconds, told) in [
        (false, 7, Some("max-age=7")),
        // Which takes it back.
        (false, 0, Some("max-age=0")),
        (true, 7, None),
    ] {
        let server = serve(folder.path(), |config| {
            config.dev = dev;
            config.api_keys.clear();
            config.hsts_max_age_s = seconds;
        })
        .await;
        for path in ["/", "/healthz", "/api/v1/rooms", "/nowhere"] {
            let reply = get(&server, &made, path).await;
            let said = reply.headers.get("strict-transport-security");
            assert_eq!(said.map(|it| it.to_str().unwrap()), told, "{path}");
        }
    }
    let plain = TestServer::start_with(|config| {
        config.dev = false;
        config.api_keys.clear();
    })
    .await;
    let reply = plain.get("/healthz", None).await;
    assert!(!reply.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn who_comes_by_plain_http_is_sent_to_https() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = serve(folder.path(), |config| {
        config.http_redirect = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let (from, port) = (server.server.redirect().unwrap(), server.http().port());
    for (method, path) in [("GET", "/watch/demo?a=b"), ("POST", "/whip/demo")] {
        let reply = call(from, method, path, None, None).await;
        assert_eq!(reply.status, 308);
        let location = reply.headers["location"].to_str().unwrap();
        assert_eq!(location, format!("https://127.0.0.1:{port}{path}"));
    }
    let mut mute = TcpStream::connect(from).await.unwrap();
    mute.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    mute.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 400 "), "{answer}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_newcomers_and_open_connections_go_on() {
    let folder = TempDir::new();
    let [first, second, third] = [0; 3].map(|_| Made::new("localhost"));
    first.write(folder.path());
    let server = serve(folder.path(), |_| ()).await;
    let mut old = socket(&server, &first).await;

    // SIGHUP has them read at once.
    second.write(folder.path());
    server.server.read_certificate_again();
    shown(&server, &second).await;
    let refused = connect(server.http(), trusting(first.der()), "localhost").await;
    assert!(refused.is_err(), "the old one is shown no more");
    let mut newer = socket(&server, &second).await;
    assert!(is_answered(&mut old).await);

    // What makes no sense changes nothing.
    fs::write(folder.path().join("key.pem"), &first.key).unwrap();
    server.server.read_certificate_again();
    fs::remove_file(folder.path().join("cert.pem")).unwrap();
    server.server.read_certificate_again();
    Made::holding("localhost", -2).write(folder.path());
    server.server.read_certificate_again();
    tokio::time::sleep(Duration::from_millis(300)).await;
    shown(&server, &second).await;

    // Nobody says that this one was written.
    third.write(folder.path());
    shown(&server, &third).await;
    assert!(is_answered(&mut newer).await);
}

#[tokio::test]
async fn who_begins_a_handshake_and_does_not_go_on_is_cut_off_and_holds_nobody_up() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = serve(folder.path(), |config| config.max_tls_handshakes = 8).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.http()).await.unwrap();
        // The head of a record, and nothing of what it announces.
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        slow.push(stream);
    }
    let since = Instant::now();
    let (mut oldest, mut others) = (slow.remove(0), slow);
    while !ended(&mut oldest, Duration::from_millis(10)).await {
        assert_eq!(get(&server, &made, "/healthz").await.status, 200);
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "it has its place still"
        );
    }
    let displaced = handshakes(&server, &made, "displaced").await;
    assert!((1..=4).contains(&displaced), "{displaced}");
    let mut last = others.pop().unwrap();
    assert!(ended(&mut last, Duration::from_secs(20)).await);
    let waited = since.elapsed();
    assert!(waited > Duration::from_secs(9), "{waited:?}");
    assert!(handshakes(&server, &made, "timeout").await >= 1);
}

/// Returns whether the server ends a connection in time.
pub(crate) async fn ended(stream: &mut TcpStream, within: Duration) -> bool {
    let mut rest = [0; 64];
    let end = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(within, end).await.is_ok()
}

#[tokio::test]
async fn what_is_no_tls_is_dropped_and_counted() {
    let (folder, made) = (TempDir::new(), Made::new("localhost"));
    made.write(folder.path());
    let server = serve(folder.path(), |_| ()).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut state = seed | 1;
    let mut noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    })
    .take(4096)
    .collect();
    // No record begins like this.
    noise[0] = 0xff;
    for garbage in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), &noise] {
        let mut stream = TcpStream::connect(server.http()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        assert!(ended(&mut stream, Duration::from_secs(5)).await);
    }
    assert_eq!(handshakes(&server, &made, "not_tls").await, 2);

    // One that does not trust us says so.
    let other = Made::new("localhost");
    let refused = connect(server.http(), trusting(other.der()), "localhost").await;
    assert!(refused.is_err());
    drop(TcpStream::connect(server.http()).await.unwrap());
    let since = Instant::now();
    for outcome in ["refused", "closed"] {
        while handshakes(&server, &made, outcome).await != 1 {
            assert!(since.elapsed() < Duration::from_secs(5), "{outcome}");
        }
    }
    // An authority that nobody asked is shown nothing.
    let mut config = trusting(made.der());
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let refused = connect(server.http(), config, "localhost").await;
    assert!(refused.is_err());
    assert_eq!(handshakes(&server, &made, "no_certificate").await, 1);
}

#[tokio::test]
async fn a_server_does_not_start_with_a_certificate_that_it_cannot_show() {
    let folder = TempDir::new();
    let (made, other) = (Made::new("localhost"), Made::new("localhost"));
    made.write(folder.path());
    fs::write(folder.path().join("key.pem"), &other.key).unwrap();
    let data = TempDir::new();
    let mut config = klieg_signaling::Config::development();
    config.http = SocketAddr::from(([127, 0, 0, 1], 0));
    config.media = config.http;
    config.data = data.path().to_owned();
    config.tls_cert = Some(folder.path().join("cert.pem"));
    config.tls_key = Some(folder.path().join("key.pem"));
    let error = klieg_signaling::Server::start(config.clone()).await;
    let text = error.map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("TLS: tls_key: "), "{text}");
    assert!(
        text.contains("does not belong to the certificate"),
        "{text}"
    );
    config.tls_cert = Some(folder.path().join("nowhere.pem"));
    let error = klieg_signaling::Server::start(config).await;
    let text = error.map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("TLS: tls_cert: "), "{text}");
    assert!(text.contains("nowhere.pem: No such file"), "{text}");
}

#[test]
fn a_check_says_in_words_what_is_wrong_with_a_certificate() {
    let data = TempDir::new();
    let path = |name: &str| data.path().join(name).display().to_string();
    let settings = format!(
        "http = \"127.0.0.1:0\"\nmedia = \"127.0.0.1:0\"\ntls_cert = {:?}\ntls_key = {:?}\n",
        path("cert.pem"),
        path("key.pem")
    );
    fs::write(data.path().join("klieg.toml"), settings).unwrap();
    let said = |url: Option<&str>| {
        let set = |command: &mut Command| {
            if let Some(url) = url {
                command.args(["--public-url", url]);
            }
        };
        check(&data, &set)
    };
    let url = Some("https://live.example");
    let (code, text) = said(url);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cert.pem: No such file"), "{text}");

    let good = Made::holding("live.example", 60);
    good.write(data.path());
    private(&path("key.pem"));
    let (code, text) = said(url);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("tls_cert: for live.example, until "),
        "{text}"
    );
    assert!(!text.contains("may read it"), "{text}");
    let (code, text) = said(Some("https://other.example:8443"));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("and not for other.example (public_url)"),
        "{text}"
    );

    for (days, code, words) in [
        (-2, 1, "the certificate expired at "),
        (8, 0, "the certificate expires in 7 days"),
    ] {
        Made::holding("live.example", days).write(data.path());
        let (exit, text) = said(url);
        assert_eq!(exit, Some(code), "{text}");
        assert!(text.contains(words), "{text}");
    }
    fs::write(data.path().join("key.pem"), &good.key).unwrap();
    let (code, text) = said(url);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("the key does not belong to the certificate"),
        "{text}"
    );
}

fn private(path: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Trusts whoever comes, and is asked afterwards whom it saw.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Waits until a server shows a certificate, and returns it.
async fn given(server: &TestServer, name: &str) -> CertificateDer<'static> {
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let since = Instant::now();
    loop {
        if let Ok(stream) = connect(server.http(), config.clone(), name).await {
            let chain = stream.get_ref().1.peer_certificates().unwrap();
            assert!(
                chain.len() > 1,
                "those between it and the authority are there"
            );
            return chain[0].clone().into_owned();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "it is not given");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let parsed = rustls::server::ParsedCertificate::try_from(certificate).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    rustls::client::verify_server_name(&parsed, &name).is_ok()
}

#[tokio::test]
async fn an_authority_gives_a_certificate_that_outlives_the_server() {
    let folder = TempDir::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = free.local_addr().unwrap();
    let authority = Pebble::start(folder.path(), http.port());
    drop(free);
    let server = TestServer::start_with(|config| {
        config.http = http;
        config.acme_domains = vec!["live.example".to_owned(), "www.live.example".to_owned()];
        config.acme_contacts = vec!["mailto:ann@live.example".to_owned()];
        config.acme_directory.clone_from(&authority.directory);
        config.acme_ca_file = Some(authority.ca_file.clone());
    })
    .await;
    let first = given(&server, "live.example").await;
    for (name, fits) in [
        ("live.example", true),
        ("www.live.example", true),
        ("example", false),
    ] {
        assert_eq!(is_for(&first, name), fits, "{name}");
    }
    let kept = server.config.data.join("acme");
    let account = fs::read(kept.join("account.json")).unwrap();
    for entry in fs::read_dir(&kept).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }

    // It is not asked for again, but for other names.
    let mut server = server.restart().await;
    assert_eq!(given(&server, "live.example").await, first);
    server.config.acme_domains = vec!["shop.example".to_owned()];
    let server = server.restart().await;
    // The one for the other name is shown until there is another.
    let since = Instant::now();
    let second = loop {
        let shown = given(&server, "shop.example").await;
        if shown != first {
            break shown;
        }
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "no other one comes"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(is_for(&second, "shop.example") && !is_for(&second, "live.example"));
    assert_eq!(fs::read(kept.join("account.json")).unwrap(), account);
}

#[test]
fn an_authority_that_reaches_another_server_gives_nothing_and_the_log_says_why() {
    let (folder, data) = (TempDir::new(), TempDir::new());
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = Pebble::start(folder.path(), elsewhere.local_addr().unwrap().port());
    drop(elsewhere);
    let settings = [
        "acme_domains=[\"live.example\"]".to_owned(),
        format!("acme_directory={:?}", authority.directory),
        format!("acme_ca_file={:?}", authority.ca_file),
    ];
    let checking = |command: &mut Command| {
        command.args(["--dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"]);
        settings.iter().for_each(|it| {
            command.arg("--set").arg(it);
        });
    };
    let (code, text) = check(&data, &checking);
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "/dir answers",
        "asks for a certificate for live.example",
        "port 443 of live",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }

    let said = || {
        let mut command = klieg(data.path());
        checking(&mut command);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map(|line| line.unwrap());
        let ends = ["no new certificate", "refused too often"];
        let said = lines.find(|line| ends.iter().any(|it| line.contains(it)));
        child.kill().unwrap();
        child.wait().unwrap();
        said.expect("the server ended")
    };
    // Whoever mends something and starts the server again is served at once, but not for ever.
    for _ in 0..4 {
        let refused = said();
        assert!(
            refused.contains("live.example: ") && refused.contains("again_s=300"),
            "{refused}"
        );
    }
    let rests = said();
    assert!(
        rests.contains("refused too often") && rests.contains("live.example"),
        "{rests}"
    );
    assert!(!data.path().join("data/acme/certificate.json").exists());
}
