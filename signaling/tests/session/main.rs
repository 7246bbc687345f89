//! Sessions against descriptions captured from Chromium 156, Firefox 153 ESR and ffmpeg 8
//! (`tests/offers`), against generated ones and against hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod publisher;

mod viewer;

mod properties;

mod hostile;

use std::collections::BTreeMap;
use std::sync::Arc;

use klieg_sfu::{Command, Fingerprint, Media, PeerId, ReceiveTrack, Remote, RoomKey, SendTrack};
use klieg_signaling::session::{MediaConfig, Negotiated, NegotiationError, Session};

const PEER: PeerId = PeerId(7);
const ROOM: RoomKey = RoomKey(9);

fn config() -> MediaConfig {
    MediaConfig {
        fingerprint: Fingerprint([0xab; 32]),
        candidates: vec![
            "192.0.2.7:7000".parse().unwrap(),
            "[2001:db8::7]:7000".parse().unwrap(),
        ],
        tcp_candidates: vec!["192.0.2.7:7000".parse().unwrap()],
    }
}

/// Reads a captured description.
fn captured(name: &str) -> String {
    let path = format!("{}/tests/offers/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn publish(offer: &str) -> Result<(Session, Negotiated), NegotiationError> {
    Session::publish(&config(), PEER, ROOM, offer)
}

/// Returns what the forwarding unit was told about the peer.
fn remote(commands: &[Command]) -> &Arc<Remote> {
    let mut remotes = Vec::new();
    for command in commands {
        if let Command::SetRemote(PEER, remote) = command {
            remotes.push(remote);
        }
    }
    let [remote] = remotes[..] else {
        panic!("one SetRemote: {commands:?}")
    };
    remote
}

fn receive_tracks(commands: &[Command]) -> &[ReceiveTrack] {
    match &remote(commands).media {
        Media::Publish(tracks) => tracks,
        Media::View(_) => panic!("a publisher"),
    }
}

fn send_tracks(commands: &[Command]) -> &[SendTrack] {
    match &remote(commands).media {
        Media::View(tracks) => tracks,
        Media::Publish(_) => panic!("a viewer"),
    }
}

/// Replaces what is drawn anew for each session.
fn masked(sdp: &str) -> String {
    let lines = sdp.split("\r\n").map(|line| {
        let random = ["o=- ", "a=ice-ufrag:", "a=ice-pwd:"];
        let Some(prefix) = random.into_iter().find(|prefix| line.starts_with(prefix)) else {
            return line.to_owned();
        };
        let rest = line[prefix.len()..]
            .split_once(' ')
            .map_or("", |(_, rest)| rest);
        format!("{prefix}… {rest}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// An m-line with the lines below it, read by other means than the server's.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    m_line: String,
    lines: Vec<String>,
}

impl Part {
    fn values(&self, key: &str) -> Vec<&str> {
        let prefix = format!("a={key}:");
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix(prefix.as_str()))
            .collect()
    }

    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|have| have == line)
    }

    fn is_rejected(&self) -> bool {
        self.m_line.split(' ').nth(1) == Some("0")
    }

    /// Returns what follows the first word of an attribute's values, by that word.
    fn map(&self, key: &str) -> BTreeMap<String, String> {
        let pairs = self
            .values(key)
            .into_iter()
            .filter_map(|value| value.split_once(' '));
        pairs
            .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
            .collect()
    }
}

/// Splits a description into the session part and the m-lines.
fn parts(sdp: &str) -> (Part, Vec<Part>) {
    let mut parts = vec![Part::default()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            parts.push(Part {
                m_line: line.to_owned(),
                lines: Vec::new(),
            });
        } else {
            parts.last_mut().unwrap().lines.push(line.to_owned());
        }
    }
    (parts.remove(0), parts)
}
