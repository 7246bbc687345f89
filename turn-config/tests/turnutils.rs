//! The relay with a client of others: coturn's `turnutils_uclient`, against a peer that sends everything back.
#![expect(clippy::unwrap_used, reason = "what does not hold fails the test")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use klieg_turn::relay::{Embedded, Limits, Peers, RelayConfig};
use klieg_turn::{Credential, Secret};
use prometheus::{Registry, TextEncoder};
use tokio::process::Command;

const SECRET: &str = "a secret of some length";

/// A relay that reaches one peer.
struct Bench {
    relay: Embedded,
    peer: SocketAddr,
    registry: Registry,
}

impl Bench {
    fn start() -> Self {
        let peer = echo();
        let registry = Registry::new();
        let config = RelayConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ports: 49_160..=49_959,
            secret: Secret::new(SECRET),
            peers: Peers {
                media: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9))],
                // The client binds a channel to the port above first, whether it uses it or not.
                allowed: vec![peer, SocketAddr::new(peer.ip(), peer.port() + 1)],
                public: false,
            },
            media_listen: Ipv4Addr::LOCALHOST.into(),
            limits: Limits {
                allocations: 800,
                allocations_per_identity: 12,
                bytes_per_second: 10_000_000,
            },
            max_connections: 100,
        };
        let relay = Embedded::start(config, None, &registry).unwrap();
        Self {
            relay,
            peer,
            registry,
        }
    }

    /// Runs the client with some arguments more, and returns what it says.
    async fn client(&self, arguments: &[&str]) -> String {
        let (port, peer) = (self.relay.at().port(), self.peer);
        let mut command = Command::new("turnutils_uclient");
        command
            .args(["-c", "-l", "200", "-z", "5", "-e", &peer.ip().to_string()])
            .args(["-r", &peer.port().to_string(), "-p", &port.to_string()])
            .args(arguments)
            .arg("127.0.0.1")
            .kill_on_drop(true);
        let output = command.output().await;
        let output = output.expect("turnutils_uclient is there (scripts/setup.sh turn)");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn has_metric(&self, begin: &str) -> bool {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.unwrap().lines().any(|line| line.starts_with(begin))
    }
}

/// Starts a peer that sends everything back.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    at
}

fn all_came_back(said: &str) {
    let all = "tot_send_msgs=1200, tot_recv_msgs=1200";
    assert!(said.contains(all), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_1200_messages_come_back_by_udp_and_by_tcp_on_channels_and_without() {
    let bench = Bench::start();
    for (name, how) in [
        ("ann", &[][..]),
        ("bob", &["-s"]),
        ("cy", &["-t"]),
        ("dee", &["-t", "-s"]),
    ] {
        let who = ["-n", "300", "-m", "4", "-u", name, "-W", SECRET];
        all_came_back(&bench.client(&[&who, how].concat()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_with_a_wrong_password_or_an_old_credential_nor_too_often() {
    let bench = Bench::start();
    let refused = |said: String| assert!(!said.contains("tot_recv_msgs=1"), "{said}");
    let Credential { username, .. } = Credential::new(&Secret::new(SECRET), "ann", 9_999_999_999);
    refused(
        bench
            .client(&["-n", "1", "-u", &username, "-w", "wrong"])
            .await,
    );
    assert!(bench.has_metric(r#"klieg_turn_auth_failures_total{reason="wrong_password"}"#));

    let old = Credential::new(&Secret::new(SECRET), "ann", 1_000_000);
    let (username, password) = (old.username, old.password);
    refused(
        bench
            .client(&["-n", "1", "-u", &username, "-w", &password])
            .await,
    );
    assert!(bench.has_metric(r#"klieg_turn_auth_failures_total{reason="expired"}"#));

    refused(
        bench
            .client(&["-n", "1", "-m", "13", "-u", "ann", "-W", SECRET])
            .await,
    );
    assert!(bench.has_metric(r#"klieg_turn_refused_total{reason="quota"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_peer_is_refused() {
    let mut bench = Bench::start();
    bench.peer = SocketAddr::from(([127, 0, 0, 2], 22));
    let said = bench.client(&["-n", "1", "-u", "ann", "-W", SECRET]).await;
    assert!(said.contains("403"), "{said}");
    assert!(bench.has_metric(r#"klieg_turn_bytes_total{direction="to_peer"} 0"#));
}
