//! Names of rooms, sessions and sockets.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// A room's name in the API: 1 to 64 characters of `A–Z a–z 0–9 - _`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct RoomId(Arc<str>);

impl RoomId {
    /// Reads a room id; anything else than the allowed characters names no room.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=MAX_ROOM_ID_LENGTH).contains(&text.len());
        (fits && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// Makes a new one of 128 random bits.
    pub(crate) fn random() -> Self {
        Self(random().into())
    }

    /// Returns the text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One WebSocket, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SocketId(pub(crate) u64);

/// Returns 128 bits from the operating system's generator, URL-safe: 22 characters.
pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

const MAX_ROOM_ID_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_room_id_can_be_read_back() {
        let id = RoomId::random();
        assert_eq!(RoomId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn only_url_safe_names_of_bounded_length_are_room_ids() {
        for bad in ["", "a b", "../x", "ä", "a/b", "%2e", &"x".repeat(65)] {
            assert_eq!(RoomId::parse(bad), None, "{bad:?}");
        }
    }
}
