//! Under which addresses clients are told to find media, where a STUN server may be asked.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use klieg_signaling::Config;
use serde_json::{Value, json};

use crate::admin::admin;
use crate::harness::{PATIENCE, TestServer, offer};
use crate::wish::{KEY, SDP, request};

/// A STUN server that sees everybody where a test says, and at port 0.
pub(crate) struct StunServer {
    pub(crate) at: SocketAddr,
    pub(crate) sees: Arc<Mutex<[u8; 4]>>,
}

impl StunServer {
    pub(crate) fn start(sees: [u8; 4]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let sees = Arc::new(Mutex::new(sees));
        let seen = Arc::clone(&sees);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                assert_eq!(buffer[..4], [0, 1, 0, 0], "a Binding");
                let [a, b, c, d] = *seen.lock().unwrap();
                let address = [a ^ 0x21, b ^ 0x12, c ^ 0xa4, d ^ 0x42];
                let mapped = [&[0, 0x20, 0, 8, 0, 1, 0x21, 0x12][..], &address].concat();
                let answer = [&[1, 1, 0, 12][..], &buffer[4..length], &mapped].concat();
                socket.send_to(&answer, from).unwrap();
            }
        });
        Self { at, sees }
    }
}

fn asks(config: &mut Config, server: SocketAddr) {
    config.media_addresses.clear();
    config.stun_discovery = vec![server.to_string()];
    config.stun_discovery_s = 1;
}

fn hosts(told: &[SocketAddr]) -> Vec<String> {
    told.iter().map(|it| it.ip().to_string()).collect()
}

#[tokio::test]
async fn clients_are_told_what_a_stun_server_sees_and_newcomers_an_address_that_changed() {
    let stun = StunServer::start([203, 0, 113, 7]);
    let server = TestServer::start_with(|config| {
        asks(config, stun.at);
        config.relay.listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let relay = server.server.relay().unwrap().port();
    let relay_at = async |address: &str| {
        let name = json!({ "name": "Gus" });
        let joined = server.post("/api/v1/rooms/demo/join", None, name).await;
        let urls = ["udp", "tcp"].map(|it| format!("turn:{address}:{relay}?transport={it}"));
        assert_eq!(joined.body["iceServers"][0]["urls"], json!(urls));
    };
    relay_at("203.0.113.7").await;
    let told = server.server.media();
    assert_eq!(hosts(told), ["203.0.113.7", "127.0.0.1"]);
    let port = told[0].port();
    let offered = async || {
        let made = request(&server, "POST", "/whip/demo", &[KEY, SDP], offer()).await;
        made.body.as_str().unwrap().to_owned()
    };
    let answer = offered().await;
    assert!(answer.contains(&format!("203.0.113.7 {port}")), "{answer}");

    *stun.sees.lock().unwrap() = [198, 51, 100, 9];
    let root = admin(&server).await;
    let told = async || {
        let node = server.get("/api/v1/admin/nodes", Some(&root)).await.body;
        node["items"][0]["mediaAddresses"].clone()
    };
    let new = Value::from(vec![
        format!("198.51.100.9:{port}"),
        format!("127.0.0.1:{port}"),
    ]);
    let changed = async {
        while told().await != new {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
    let answer = offered().await;
    assert!(answer.contains(&format!("198.51.100.9 {port}")), "{answer}");
    assert!(!answer.contains("203.0.113.7"), "{answer}");
    relay_at("198.51.100.9").await;
}

#[tokio::test]
async fn who_does_not_answer_or_says_nonsense_does_not_keep_the_server_from_starting() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let liar = StunServer::start([0, 0, 0, 0]);
    for at in [silent.local_addr().unwrap(), liar.at] {
        let server = TestServer::start_with(|config| asks(config, at)).await;
        assert_eq!(hosts(server.server.media()), ["127.0.0.1"]);
    }
}

#[test]
fn a_list_that_cannot_be_asked_is_refused() {
    let refused = |servers: &[&str], address: Option<&str>| {
        let config = Config {
            stun_discovery: servers.iter().map(|&it| it.to_owned()).collect(),
            media_addresses: address.map(|it| it.parse().unwrap()).into_iter().collect(),
            ..Config::default()
        };
        config.validate().unwrap_err().to_string()
    };
    let said = refused(&["stun.example"], None);
    assert!(said.contains("expected host:port"), "{said}");
    let said = refused(&["a:1", "b:1", "c:1", "d:1"], None);
    assert!(said.contains("more than 3"), "{said}");
    let said = refused(&["a:1"], Some("203.0.113.7"));
    assert!(said.contains("one of them is enough"), "{said}");
}
