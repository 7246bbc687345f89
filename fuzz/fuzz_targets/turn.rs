//! The relay: whatever clients and peers send, one after the other with time between, and requests of somebody with a
//! credential among it.

#![no_main]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use klieg_turn::relay::{Client, Clock, Frames, Limits, Metrics, Output, Peers, Relay, Settings};
use klieg_turn::{Credential, Secret};
use libfuzzer_sys::fuzz_target;
use prometheus::Registry;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::integrity::MessageIntegrity;
use stun::message::{Message, Setter};

/// What happens next.
#[derive(arbitrary::Arbitrary, Debug)]
enum Step<'a> {
    Wait(u16),
    /// As it is, by UDP or on a connection.
    Datagram { client: u8, connected: bool, bytes: &'a [u8] },
    /// A request with these attributes, and behind them what shows who sends it.
    Request { client: u8, typ: u16, attributes: &'a [u8] },
    Peer { port: u16, bytes: &'a [u8] },
    Gone { client: u8 },
    /// A stream, before anybody knows whose.
    Stream(&'a [u8]),
}

static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();
const UNIX_S: u64 = 1_000_000;

fuzz_target!(|steps: Vec<Step<'_>>| {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let begun = *EPOCH.get_or_init(Instant::now);
    let mut clock = Clock { now: begun, unix_s: UNIX_S };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let mut relay = Relay::new(settings(), begun, metrics).unwrap();
    let mut nonce = Vec::new();
    let mut allocations = Vec::new();
    for step in steps.iter().take(200) {
        let (mut came, mut proved) = (0, false);
        match step {
            Step::Wait(seconds) => {
                clock.now += Duration::from_secs(u64::from(*seconds));
                clock.unix_s += u64::from(*seconds);
                relay.handle_timeout(clock.now);
            }
            Step::Datagram { client, connected, bytes } => {
                proved = *connected;
                came = bytes.len();
                relay.handle_client(clock, at(*client, *connected), bytes);
            }
            Step::Request { client, typ, attributes } => {
                proved = true;
                if let Some(bytes) = signed(*typ, attributes, &nonce) {
                    relay.handle_client(clock, at(*client, true), &bytes);
                }
            }
            Step::Peer { port, bytes } => {
                proved = true;
                if let Some(id) = allocations.last() {
                    let peer = SocketAddr::from(([127, 0, 0, 1], *port));
                    relay.handle_peer(clock.now, *id, peer, bytes);
                }
            }
            Step::Gone { client } => relay.handle_closed(at(*client, true)),
            Step::Stream(bytes) => {
                let mut frames = Frames::default();
                frames.extend(bytes);
                while let Ok(Some(_)) = frames.next_frame() {}
            }
        }
        let mut left = 0;
        while let Some(output) = relay.poll_output() {
            match output {
                Output::ToClient(_, bytes) => {
                    left += bytes.len();
                    let mut message = Message::default();
                    if message.unmarshal_binary(&bytes).is_ok()
                        && let Ok(value) = message.get(ATTR_NONCE)
                    {
                        nonce = value;
                    }
                }
                Output::Open(allocation, _) => {
                    let relayed = SocketAddr::from(([127, 0, 0, 1], 50_000));
                    relay.handle_opened(clock.now, allocation, Some(relayed));
                    allocations.push(allocation);
                }
                // Nothing but the media is ever reached.
                Output::ToPeer(_, peer, _) => assert_eq!(peer, media()),
                Output::Close(_) => {}
            }
        }
        // What was saved up before is bounded.
        assert!(proved || left <= came.max(1024));
    }
});

fn media() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7882))
}

fn at(client: u8, connected: bool) -> Client {
    Client {
        remote: SocketAddr::from(([192, 0, 2, 1], 5000 + u16::from(client))),
        connection: connected.then_some(client.into()),
    }
}

fn secret() -> Secret {
    Secret::new("a secret of some length")
}

fn settings() -> Settings {
    Settings {
        secret: secret(),
        peers: Peers { media: vec![media()], ..Peers::default() },
        v4: true,
        v6: false,
        is_ours: |_| false,
        limits: Limits { allocations: 20, allocations_per_identity: 12, bytes_per_second: 10_000 },
    }
}

fn signed(typ: u16, attributes: &[u8], nonce: &[u8]) -> Option<Vec<u8>> {
    let length = attributes.len() / 4 * 4;
    let mut bytes = typ.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    bytes.extend_from_slice(&stun::message::MAGIC_COOKIE.to_be_bytes());
    bytes.extend_from_slice(&[9; 12]);
    bytes.extend_from_slice(&attributes[..length]);
    let mut message = Message::default();
    message.unmarshal_binary(&bytes).ok()?;
    let Credential { username, password } = Credential::new(&secret(), "ann", UNIX_S + 3_600);
    message.add(ATTR_USERNAME, username.as_bytes());
    message.add(ATTR_REALM, b"klieg");
    message.add(ATTR_NONCE, nonce);
    let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
        username,
        "klieg".to_owned(),
        password,
        CRYPTO.crypto(),
    );
    integrity.ok()?.add_to(&mut message).ok()?;
    Some(message.raw)
}
