//! Clients of a relay on a virtual clock.

use std::time::Duration;

use prometheus::Registry;
use proptest::prelude::*;
use stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_DONT_FRAGMENT, ATTR_ERROR_CODE, ATTR_EVEN_PORT,
    ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_ADDRESS_FAMILY,
    ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, AttrType,
};
use stun::message::Message;

use super::peers::tests::refused;
use super::*;
use crate::Credential;

const MEDIA: &str = "127.0.0.1:7882";
const SECRET: &str = "a secret of some length";
const UNIX_S: u64 = 1_000_000;

/// A relay, and a network that opens sockets at once.
struct Net {
    relay: Relay,
    clock: Clock,
    /// Sockets that may still be opened.
    free_ports: u16,
    registry: Registry,
}

impl Net {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let registry = Registry::new();
        let mut settings = Settings {
            secret: Secret::new(SECRET),
            peers: Peers {
                media: vec![at(MEDIA)],
                ..Peers::default()
            },
            v4: true,
            v6: false,
            is_ours: |_| false,
            limits: Limits {
                allocations: 800,
                allocations_per_identity: 12,
                bytes_per_second: 100_000,
            },
        };
        change(&mut settings);
        let now = Instant::now();
        let metrics = Metrics::register(&registry).unwrap();
        Self {
            relay: Relay::new(settings, now, metrics).unwrap(),
            clock: Clock {
                now,
                unix_s: UNIX_S,
            },
            free_ports: u16::MAX,
            registry,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.clock.now += Duration::from_secs(seconds);
        self.clock.unix_s += seconds;
        self.relay.handle_timeout(self.clock.now);
    }

    fn take(&mut self, client: Client, datagram: &[u8]) -> Vec<Output> {
        self.relay.handle_client(self.clock, client, datagram);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.relay.poll_output() {
            if let Output::Open(allocation, wanted) = output {
                let left = self.free_ports.checked_sub(1);
                let ip = if wanted.v6 { "::1" } else { "127.0.0.1" };
                let relayed = left.map(|left| SocketAddr::new(ip.parse().unwrap(), left));
                self.free_ports = left.unwrap_or(0);
                self.relay
                    .handle_opened(self.clock.now, allocation, relayed);
            }
            outputs.push(output);
        }
        outputs
    }

    fn metric(&self, line: &str) -> bool {
        let encoder = prometheus::TextEncoder::new();
        let text = encoder.encode_to_string(&self.registry.gather()).unwrap();
        text.lines().any(|it| it == line)
    }
}

/// Somebody with a credential.
struct User {
    client: Client,
    credential: Credential,
    nonce: Vec<u8>,
    transactions: u8,
}

impl User {
    /// Comes by UDP from a port, with a credential of an hour.
    fn new(identity: &str, port: u16) -> Self {
        Self {
            client: Client {
                remote: SocketAddr::new("192.0.2.1".parse().unwrap(), port),
                connection: None,
            },
            credential: Credential::new(&Secret::new(SECRET), identity, UNIX_S + 3_600),
            nonce: Vec::new(),
            transactions: 0,
        }
    }

    fn transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        [self.transactions; 12]
    }

    fn begun(&mut self, kind: Kind, attributes: &[(AttrType, &[u8])]) -> Outgoing {
        let begun = wire::request(kind, self.transaction());
        attributes
            .iter()
            .fold(begun, |it, (typ, value)| it.attribute(*typ, value))
    }

    fn signed(&self, request: Outgoing) -> Vec<u8> {
        let Credential { username, password } = &self.credential;
        let key = wire::key(username, REALM, password.clone()).unwrap();
        request
            .attribute(ATTR_USERNAME, username.as_bytes())
            .attribute(ATTR_REALM, REALM.as_bytes())
            .attribute(ATTR_NONCE, &self.nonce)
            .sealed(&key)
    }

    /// Asks, and returns the code of the answer: 0 where it was granted.
    fn ask(&mut self, net: &mut Net, request: Outgoing) -> u16 {
        let bytes = self.signed(request);
        self.take(&net.take(self.client, &bytes))
    }

    /// Reads the one answer, and keeps the nonce that comes with it.
    fn take(&mut self, outputs: &[Output]) -> u16 {
        let answers: Vec<Message> = answers(outputs, self.client);
        let [answer] = answers.as_slice() else {
            panic!("one answer: {outputs:?}");
        };
        if let Ok(nonce) = answer.get(ATTR_NONCE) {
            self.nonce = nonce;
        }
        code(answer)
    }

    fn introduce(&mut self, net: &mut Net) {
        let request = self.begun(Kind::Allocate, &[UDP_WANTED]).open();
        let mut outputs = net.take(self.client, &request);
        if outputs.is_empty() {
            outputs = net.take(self.client, &request);
        }
        assert_eq!(self.take(&outputs), 401);
    }

    fn allocate(&mut self, net: &mut Net) -> u16 {
        if self.nonce.is_empty() {
            self.introduce(net);
        }
        let request = self.begun(Kind::Allocate, &[UDP_WANTED]);
        self.ask(net, request)
    }

    fn refresh(&mut self, net: &mut Net, seconds: u32) -> u16 {
        let request = self.begun(Kind::Refresh, &[(ATTR_LIFETIME, &seconds.to_be_bytes())]);
        self.ask(net, request)
    }

    fn permit(&mut self, net: &mut Net, peer: SocketAddr) -> u16 {
        let request = self.begun(Kind::CreatePermission, &[]);
        self.ask(net, request.address(ATTR_XOR_PEER_ADDRESS, peer))
    }

    fn bind(&mut self, net: &mut Net, number: u16, peer: SocketAddr) -> u16 {
        let number = [number.to_be_bytes(), [0; 2]].concat();
        let request = self.begun(Kind::ChannelBind, &[(ATTR_CHANNEL_NUMBER, &number)]);
        self.ask(net, request.address(ATTR_XOR_PEER_ADDRESS, peer))
    }

    fn send(&mut self, net: &mut Net, peer: SocketAddr, data: &[u8]) -> Vec<Output> {
        let message = self.begun(Kind::Send, &[(ATTR_DATA, data)]);
        let message = message.address(ATTR_XOR_PEER_ADDRESS, peer).open();
        net.take(self.client, &message)
    }
}

const UDP_WANTED: (AttrType, &[u8]) = (ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn answers(outputs: &[Output], of: Client) -> Vec<Message> {
    let to_client = outputs.iter().filter_map(|output| match output {
        Output::ToClient(client, bytes) if *client == of => Some(bytes),
        Output::ToClient(..) | Output::ToPeer(..) | Output::Open(..) | Output::Close(_) => None,
    });
    let read = |bytes: &Vec<u8>| {
        let mut message = Message::default();
        message.unmarshal_binary(bytes).unwrap();
        message
    };
    to_client.map(read).collect()
}

fn code(answer: &Message) -> u16 {
    answer
        .get(ATTR_ERROR_CODE)
        .map_or(0, |it| u16::from(it[2]) * 100 + u16::from(it[3]))
}

fn lifetime_s(outputs: &[Output], client: Client) -> u32 {
    let value = answers(outputs, client)[0].get(ATTR_LIFETIME).unwrap();
    u32::from_be_bytes(value.try_into().unwrap())
}

#[test]
fn a_client_reaches_the_media_and_is_reached_by_it() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    let id = ann.id(&net);
    assert_eq!(
        ann.send(&mut net, at(MEDIA), b"early"),
        [],
        "without permission"
    );
    assert_eq!(ann.permit(&mut net, at(MEDIA)), 0);
    let sent = ann.send(&mut net, at(MEDIA), b"hello");
    assert_eq!(sent, [Output::ToPeer(id, at(MEDIA), b"hello".to_vec())]);

    net.relay
        .handle_peer(net.clock.now, id, at(MEDIA), b"world");
    let came = answers(&net.outputs(), ann.client);
    assert_eq!(came[0].get(ATTR_DATA).unwrap(), b"world");

    assert_eq!(ann.bind(&mut net, 0x4001, at(MEDIA)), 0);
    let sent = net.take(ann.client, &[0x40, 1, 0, 3, b'a', b'b', b'c', 0]);
    assert_eq!(sent, [Output::ToPeer(id, at(MEDIA), b"abc".to_vec())]);
    net.relay.handle_peer(net.clock.now, id, at(MEDIA), b"de");
    let came = net.outputs();
    assert_eq!(
        came,
        [Output::ToClient(
            ann.client,
            vec![0x40, 1, 0, 2, b'd', b'e']
        )]
    );
    assert!(net.metric(r#"klieg_turn_bytes_total{direction="to_peer"} 8"#));
    assert!(net.metric(r#"klieg_turn_bytes_total{direction="to_client"} 7"#));
}

impl User {
    fn id(&self, net: &Net) -> AllocationId {
        net.relay.by_client[&self.client]
    }
}

#[test]
fn a_first_request_is_answered_when_it_comes_again_with_no_more_than_came() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    let request = ann.begun(Kind::Allocate, &[UDP_WANTED]).open();
    assert_eq!(net.take(ann.client, &request), []);
    let outputs = net.take(ann.client, &request);
    let [Output::ToClient(_, answer)] = outputs.as_slice() else {
        panic!("one answer: {outputs:?}");
    };
    assert_eq!((request.len(), answer.len()), (28, 56));
    assert!(net.metric(r#"klieg_turn_dropped_total{reason="unproved_address"} 1"#));
}

#[test]
fn a_forged_request_is_not_answered_at_the_cost_of_whose_address_it_bears() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    let spent = |net: &mut Net| while !net.take(ann.client, &forged(0)).is_empty() {};
    spent(&mut net);
    // What she shows herself by, and what she sends, earns nobody anything.
    assert_eq!(ann.permit(&mut net, at(MEDIA)), 0);
    for _ in 0..20 {
        ann.send(&mut net, at(MEDIA), &[0; 500]);
        net.take(ann.client, &[0x3f; 500]);
        ann.transactions = 0;
    }
    let (mut came, mut left) = (0, 0);
    for number in 0..20 {
        let mut eve = ann.client;
        eve.remote.set_port(5000 + u16::from(number));
        let request = forged(number);
        came += request.len();
        left += net
            .take(eve, &request)
            .iter()
            .map(size_of_answer)
            .sum::<usize>();
    }
    assert!(left <= came, "{came} bytes came, {left} left");
}

/// An Allocate of somebody who cannot know a nonce.
fn forged(number: u8) -> Vec<u8> {
    let (typ, value) = UDP_WANTED;
    wire::request(Kind::Allocate, [number; 12])
        .attribute(typ, value)
        .open()
}

fn size_of_answer(output: &Output) -> usize {
    match output {
        Output::ToClient(_, bytes) => bytes.len(),
        Output::ToPeer(..) | Output::Open(..) | Output::Close(_) => 0,
    }
}

#[test]
fn a_socket_that_comes_after_the_end_of_its_allocation_is_closed() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    ann.introduce(&mut net);
    let request = ann.begun(Kind::Allocate, &[UDP_WANTED]);
    let bytes = ann.signed(request);
    net.relay.handle_client(net.clock, ann.client, &bytes);
    let Some(Output::Open(id, _)) = net.relay.poll_output() else {
        panic!("a socket is wanted");
    };
    // Its connection ends while the socket is being opened.
    net.relay.handle_closed(ann.client);
    assert_eq!(net.outputs(), [Output::Close(id)]);
    net.relay
        .handle_opened(net.clock.now, id, Some(at("127.0.0.1:50000")));
    assert_eq!(net.outputs(), [Output::Close(id)]);
}

#[test]
fn other_addresses_of_this_machine_are_nobodys_peers() {
    let mut net = Net::with(|settings| {
        settings.peers.public = true;
        settings.peers.media = vec![at("8.8.8.8:7882")];
        settings.peers.allowed = vec![at("8.8.8.9:5000")];
        settings.is_ours = |it| {
            [[8, 8, 8, 8], [8, 8, 8, 9], [8, 8, 4, 4]]
                .map(IpAddr::from)
                .contains(&it)
        };
    });
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    for (peer, permitted, bound, sent) in [
        ("8.8.8.8:7882", 0, 0, 1),
        ("8.8.8.9:5000", 0, 0, 1),
        ("1.1.1.1:53", 0, 0, 1),
        // A permission has no port.
        ("8.8.8.8:22", 0, 403, 0),
        ("8.8.8.9:22", 0, 403, 0),
        ("8.8.4.4:22", 403, 403, 0),
        ("8.8.4.4:7882", 403, 403, 0),
    ] {
        let number = 0x4000 + u16::from(ann.transactions);
        assert_eq!(ann.permit(&mut net, at(peer)), permitted, "{peer}");
        assert_eq!(ann.bind(&mut net, number, at(peer)), bound, "{peer}");
        assert_eq!(ann.send(&mut net, at(peer), b"x").len(), sent, "{peer}");
    }
}

#[test]
fn on_a_connection_nobody_waits_and_channel_data_is_padded() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    ann.client.connection = Some(1);
    let request = ann.begun(Kind::Allocate, &[UDP_WANTED]).open();
    let outputs = net.take(ann.client, &request);
    assert_eq!(ann.take(&outputs), 401);
    assert_eq!(ann.allocate(&mut net), 0);
    assert_eq!(ann.bind(&mut net, 0x4001, at(MEDIA)), 0);
    let id = ann.id(&net);
    net.relay.handle_peer(net.clock.now, id, at(MEDIA), b"a");
    let came = net.outputs();
    let padded = vec![0x40, 1, 0, 1, b'a', 0, 0, 0];
    assert_eq!(came, [Output::ToClient(ann.client, padded)]);
    net.relay.handle_closed(ann.client);
    assert_eq!(net.outputs(), [Output::Close(id)]);
}

#[test]
fn a_thirteenth_allocation_of_one_identity_is_one_too_many() {
    let mut net = Net::new();
    let mut users: Vec<User> = (0..12).map(|port| User::new("ann", 5000 + port)).collect();
    for user in &mut users {
        assert_eq!(user.allocate(&mut net), 0);
    }
    // Another of her credentials is hers, too.
    let mut more = User::new("ann", 6000);
    more.credential = Credential::new(&Secret::new(SECRET), "ann", UNIX_S + 7_200);
    assert_eq!(more.allocate(&mut net), 486);
    assert!(net.metric(r#"klieg_turn_refused_total{reason="quota"} 1"#));
    assert_eq!(User::new("bob", 7000).allocate(&mut net), 0);
    assert_eq!(users[0].refresh(&mut net, 0), 0);
    assert_eq!(more.allocate(&mut net), 0);
    assert!(net.metric("klieg_turn_allocations 13"));
}

#[test]
fn one_network_has_an_eighth_of_all_whatever_its_people_are_called() {
    let mut net = Net::new();
    let of_network = |number: u16, network: &str| {
        let mut user = User::new(&format!("guest-{number}"), 5000 + number);
        let ip = format!("{network}:{number:x}").parse().unwrap();
        user.client.remote.set_ip(ip);
        user
    };
    let mut first = of_network(0, "2001:db8:1:1:0:0:0");
    assert_eq!(first.allocate(&mut net), 0);
    for number in 1..100 {
        let mut user = of_network(number, "2001:db8:1:1:0:0:0");
        assert_eq!(user.allocate(&mut net), 0, "{number}");
    }
    let mut more = of_network(100, "2001:db8:1:1:0:0:0");
    assert_eq!(more.allocate(&mut net), 486);
    assert!(net.metric(r#"klieg_turn_refused_total{reason="network_quota"} 1"#));
    let mut neighbour = of_network(100, "2001:db8:1:2:0:0:0");
    assert_eq!(neighbour.allocate(&mut net), 0);
    assert_eq!(first.refresh(&mut net, 0), 0);
    assert_eq!(more.allocate(&mut net), 0);
}

#[test]
fn there_is_an_end_to_allocations_and_to_ports() {
    let mut net = Net::with(|settings| settings.limits.allocations = 1);
    let mut ann = User::new("ann", 5000);
    net.free_ports = 0;
    assert_eq!(ann.allocate(&mut net), 508, "no port is free");
    net.free_ports = 2;
    assert_eq!(ann.allocate(&mut net), 0, "and nothing was kept of it");
    assert_eq!(User::new("bob", 6000).allocate(&mut net), 508);
}

#[test]
fn an_allocation_ends_without_refreshes_and_with_its_credential() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    let id = ann.id(&net);
    net.wait(599);
    assert_eq!(net.outputs(), []);
    net.wait(1);
    assert_eq!(net.outputs(), [Output::Close(id)]);
    ann.introduce(&mut net);
    assert_eq!(ann.refresh(&mut net, 600), 437);

    assert_eq!(ann.allocate(&mut net), 0);
    for minute in 0..49 {
        net.wait(60);
        let code = ann.refresh(&mut net, 3600);
        assert!(
            code == 0 || code == 438 && ann.refresh(&mut net, 3600) == 0,
            "{minute}"
        );
    }
    // A minute is left of the hour.
    let request = ann.begun(Kind::Refresh, &[]);
    let bytes = ann.signed(request);
    let outputs = net.take(ann.client, &bytes);
    assert_eq!(lifetime_s(&outputs, ann.client), 60);
    net.wait(59);
    assert!(net.relay.has_allocation(ann.client));
    net.wait(1);
    assert!(!net.relay.has_allocation(ann.client));
    ann.introduce(&mut net);
    assert_eq!(ann.allocate(&mut net), 401, "the credential has run out");
    assert!(net.metric(r#"klieg_turn_auth_failures_total{reason="expired"} 1"#));
}

#[test]
fn who_comes_again_before_the_clean_up_gets_a_new_allocation_that_stays() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    let old = ann.id(&net);
    net.clock.now += Duration::from_secs(600);
    net.relay
        .handle_peer(net.clock.now, old, at(MEDIA), b"late");
    assert_eq!(net.outputs(), []);
    ann.introduce(&mut net);
    assert_eq!(ann.allocate(&mut net), 0);
    assert_ne!(ann.id(&net), old);
    net.wait(1);
    assert!(net.relay.has_allocation(ann.client));
    assert!(net.metric("klieg_turn_allocations 1"));
}

#[test]
fn nobody_is_let_in_by_a_wrong_password_an_old_nonce_or_another_name() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    ann.introduce(&mut net);
    let right = ann.credential.clone();
    ann.credential.password = "wrong".into();
    assert_eq!(ann.allocate(&mut net), 401);
    for username in ["ann", "", ":ann", "x:ann", "-1:ann"] {
        ann.credential.username = username.into();
        assert_eq!(ann.allocate(&mut net), 401, "{username:?}");
    }
    ann.credential = right;
    net.wait(600);
    assert_eq!(ann.allocate(&mut net), 438);
    assert_eq!(
        ann.allocate(&mut net),
        0,
        "with the nonce that came with it"
    );

    let mut eve = User::new("eve", 6000);
    eve.nonce.clone_from(&ann.nonce);
    assert_eq!(eve.allocate(&mut net), 438, "it is another address's");
    eve.client = ann.client;
    eve.nonce.clone_from(&ann.nonce);
    assert_eq!(eve.refresh(&mut net, 0), 441, "it is another's allocation");
    assert_eq!(eve.allocate(&mut net), 437);
    assert!(net.metric(r#"klieg_turn_auth_failures_total{reason="wrong_password"} 1"#));
    assert!(net.metric(r#"klieg_turn_auth_failures_total{reason="stale_nonce"} 2"#));
}

#[test]
fn what_follows_the_integrity_counts_for_nothing() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    let request = ann.begun(Kind::Refresh, &[]);
    let bytes = ann.signed(request);
    let mut message = Message::default();
    message.unmarshal_binary(&bytes).unwrap();
    message.add(ATTR_LIFETIME, &[0; 4]);
    let outputs = net.take(ann.client, &message.raw);
    assert_eq!(ann.take(&outputs), 0);
    assert!(net.relay.has_allocation(ann.client), "it was not ended");
}

#[test]
fn nothing_leaves_for_a_reserved_address_in_any_notation() {
    for public in [false, true] {
        let mut net = Net::with(|settings| {
            settings.peers.public = public;
            settings.peers.media = vec![at("198.51.100.9:7882"), at("[2001:db8::9]:7882")];
            settings.v6 = true;
        });
        let mut ann = User::new("ann", 5000);
        let mut bob = User::new("bob", 5001);
        bob.introduce(&mut net);
        let family = (ATTR_REQUESTED_ADDRESS_FAMILY, [2, 0, 0, 0]);
        let request = bob.begun(Kind::Allocate, &[UDP_WANTED, (family.0, &family.1)]);
        assert_eq!((ann.allocate(&mut net), bob.ask(&mut net, request)), (0, 0));
        for user in [&mut ann, &mut bob] {
            // Its own media is the one exception.
            for text in refused() {
                let peer = SocketAddr::new(text.parse().unwrap(), 7882);
                assert_eq!(user.permit(&mut net, peer), 403, "{peer}");
                assert_eq!(user.bind(&mut net, 0x4002, peer), 403, "{peer}");
                assert_eq!(user.send(&mut net, peer, b"x"), [], "{peer}");
            }
            user.transactions = 0;
        }
        assert_eq!(ann.permit(&mut net, at("198.51.100.9:7882")), 0);
        assert_eq!(bob.permit(&mut net, at("[2001:db8::9]:7882")), 0);
        assert_eq!(bob.permit(&mut net, at("198.51.100.9:7882")), 443);
        assert!(net.metric(r#"klieg_turn_bytes_total{direction="to_peer"} 0"#));
    }
}

#[test]
fn a_permission_for_the_media_opens_no_other_port_of_its_address() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    assert_eq!(ann.permit(&mut net, at("127.0.0.1:22")), 0);
    assert_eq!(ann.send(&mut net, at("127.0.0.1:22"), b"x"), []);
    assert_eq!(ann.bind(&mut net, 0x4001, at("127.0.0.1:22")), 403);
    let id = ann.id(&net);
    net.relay
        .handle_peer(net.clock.now, id, at("127.0.0.1:22"), b"x");
    assert_eq!(net.outputs(), []);
    assert_eq!(ann.send(&mut net, at(MEDIA), b"x").len(), 1);
    net.wait(300);
    assert_eq!(
        ann.send(&mut net, at(MEDIA), b"x"),
        [],
        "the permission is over"
    );
}

#[test]
fn a_channel_leads_to_one_peer_and_back() {
    let mut net = Net::with(|settings| {
        let more = (0..40).map(|port| at(&format!("127.0.0.1:{}", 9000 + port)));
        settings.peers.allowed = more.collect();
    });
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    for number in [0x3fff, 0x8000] {
        assert_eq!(ann.bind(&mut net, number, at(MEDIA)), 400);
    }
    assert_eq!(ann.bind(&mut net, 0x4000, at(MEDIA)), 0);
    assert_eq!(ann.bind(&mut net, 0x4000, at(MEDIA)), 0, "again");
    assert_eq!(ann.bind(&mut net, 0x4000, at("127.0.0.1:9000")), 400);
    assert_eq!(ann.bind(&mut net, 0x4001, at(MEDIA)), 400);
    let bound = (0..40_u16)
        .map(|it| {
            ann.bind(
                &mut net,
                0x4100 + it,
                at(&format!("127.0.0.1:{}", 9000 + it)),
            )
        })
        .filter(|code| *code == 0)
        .count();
    assert_eq!(bound, allocation::MAX_CHANNELS - 1);
}

#[test]
fn requests_that_make_no_sense_are_refused_with_their_reason() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    ann.introduce(&mut net);
    for (attributes, expected) in [
        (vec![], 400),
        (vec![(ATTR_REQUESTED_TRANSPORT, [6, 0, 0, 0])], 442),
        (
            vec![
                (ATTR_REQUESTED_TRANSPORT, [17, 0, 0, 0]),
                (ATTR_REQUESTED_ADDRESS_FAMILY, [2, 0, 0, 0]),
            ],
            440,
        ),
        (
            vec![
                (ATTR_REQUESTED_TRANSPORT, [17, 0, 0, 0]),
                (ATTR_EVEN_PORT, [0x80, 0, 0, 0]),
            ],
            508,
        ),
        (
            vec![
                (ATTR_REQUESTED_TRANSPORT, [17, 0, 0, 0]),
                (ATTR_DONT_FRAGMENT, [0; 4]),
            ],
            420,
        ),
    ] {
        let attributes: Vec<_> = attributes.iter().map(|(typ, it)| (*typ, &it[..])).collect();
        let request = ann.begun(Kind::Allocate, &attributes);
        assert_eq!(ann.ask(&mut net, request), expected);
    }
    let request = ann.begun(Kind::CreatePermission, &[]);
    assert_eq!(ann.ask(&mut net, request), 437);
    assert_eq!(ann.allocate(&mut net), 0);
    let request = ann.begun(Kind::CreatePermission, &[]);
    assert_eq!(ann.ask(&mut net, request), 400);
    // An integrity without a name.
    let request = ann.begun(Kind::Refresh, &[(ATTR_MESSAGE_INTEGRITY, &[0; 20])]);
    let outputs = net.take(ann.client, &request.open());
    assert_eq!(ann.take(&outputs), 400);
}

#[test]
fn a_request_that_comes_again_is_answered_again_and_makes_nothing() {
    let mut net = Net::new();
    let mut ann = User::new("ann", 5000);
    ann.introduce(&mut net);
    let request = ann.begun(Kind::Allocate, &[UDP_WANTED]);
    let bytes = ann.signed(request);
    let first = answers(&net.take(ann.client, &bytes), ann.client);
    net.clock.now += Duration::from_millis(250);
    let again = answers(&net.take(ann.client, &bytes), ann.client);
    assert_eq!(first, again);
    assert!(net.metric("klieg_turn_allocations_total 1"));
}

#[test]
fn no_more_passes_than_may() {
    let mut net = Net::with(|settings| settings.limits.bytes_per_second = 10_000);
    let mut ann = User::new("ann", 5000);
    assert_eq!(ann.allocate(&mut net), 0);
    assert_eq!(ann.bind(&mut net, 0x4000, at(MEDIA)), 0);
    let id = ann.id(&net);
    let (mut to_peer, mut to_client) = (0, 0);
    for _ in 0..10_000 {
        net.clock.now += Duration::from_millis(1);
        to_peer += ann.send(&mut net, at(MEDIA), &[0; 36]).len();
        net.relay
            .handle_peer(net.clock.now, id, at(MEDIA), &[0; 36]);
        to_client += net.outputs().len();
        ann.transactions = 0;
    }
    // A second's worth at once, and ten seconds but for what came while that was there; 64 bytes of each are its headers.
    assert_eq!((to_peer, to_client), (1_099, 1_099));
}

proptest! {
    #[test]
    fn strangers_get_no_more_than_they_sent_and_nothing_panics(
        datagrams in prop::collection::vec(
            (
                prop::sample::select(vec![0x0001_u16, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x4000]),
                prop::collection::vec(any::<u8>(), 0..60),
                0..50_u16,
            ),
            1..200,
        ),
    ) {
        let mut net = Net::new();
        let (mut came, mut left) = (0, 0);
        for (typ, mut body, port) in datagrams {
            body.resize(body.len().next_multiple_of(4), 0);
            let mut datagram = typ.to_be_bytes().to_vec();
            datagram.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
            datagram.extend_from_slice(&stun::message::MAGIC_COOKIE.to_be_bytes());
            datagram.extend_from_slice(&[9; 12]);
            datagram.extend_from_slice(&body);
            let client = User::new("eve", port).client;
            came += datagram.len();
            for output in net.take(client, &datagram) {
                let Output::ToClient(_, bytes) = output else {
                    panic!("{output:?}");
                };
                left += bytes.len();
            }
            prop_assert!(left <= came);
        }
    }
}
