//! Where the pages of lists begin, sealed: a cursor is good for the list that it was made in, and for no other.

use std::fmt::Display;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::query::bad_parameter;
use crate::auth::Secret;
use crate::error::{ApiError, Code};

/// One list: what it is of, in which order and of which of them.
#[derive(Debug)]
pub(crate) struct List {
    key: hmac::Key,
    name: String,
}

impl List {
    /// Names a list. Servers with the same secret know each other's cursors.
    pub(crate) fn new(secret: &Secret, name: impl Display) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
            name: format!("cursor\n{name}\n"),
        }
    }

    /// Writes where a page begins.
    pub(crate) fn cursor(&self, place: &str) -> String {
        let mut bytes = self.seal(place).to_vec();
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads where a page begins, as [`List::cursor`] wrote it.
    ///
    /// # Errors
    /// `bad_message` for what is no cursor of anybody, `invalid_value` for what is not of this list.
    pub(crate) fn place(&self, cursor: &str) -> Result<String, ApiError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=MAX_CURSOR).contains(&cursor.len()) || !cursor.bytes().all(allowed) {
            let expected = format!("1 to {MAX_CURSOR} letters, digits, `-` and `_`");
            return Err(bad_parameter("cursor", &expected));
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (seal, place) = bytes.split_at_checked(SEAL)?;
            let place = std::str::from_utf8(place).ok()?;
            (seal == self.seal(place)).then(|| place.to_owned())
        };
        read().ok_or_else(|| {
            let text = "`cursor` is not one of this list: begin again without it.";
            ApiError::new(Code::InvalidValue, text)
        })
    }

    /// Says that a place is of this list. Nobody gains by a forged one what they could not ask for: it keeps mistakes
    /// apart.
    fn seal(&self, place: &str) -> [u8; SEAL] {
        let text = format!("{}{place}", self.name);
        let tag = hmac::sign(&self.key, text.as_bytes());
        let mut seal = [0; SEAL];
        seal.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(slot, byte)| *slot = *byte);
        seal
    }
}

/// The longest cursor: the id of a person is 128 characters.
const MAX_CURSOR: usize = 700;

/// Bytes of a seal.
const SEAL: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_list_alone_and_only_as_it_was_written() {
        let secret = Secret::new("s");
        let list = List::new(&secret, "rooms newest");
        let place = format!("1:é{}", "\u{10ffff}".repeat(120));
        let cursor = list.cursor(&place);
        assert!(cursor.len() <= MAX_CURSOR);
        assert_eq!(list.place(&cursor).unwrap(), place);
        assert_eq!(list.place(&list.cursor("")).unwrap(), "");
        let again = List::new(&secret, "rooms newest");
        assert_eq!(again.place(&cursor).unwrap(), place);
        let code = |list: &List, cursor: &str| list.place(cursor).unwrap_err().code;
        for other in [
            List::new(&secret, "rooms popular"),
            List::new(&secret, "rooms newest\n1"),
            List::new(&Secret::new("t"), "rooms newest"),
        ] {
            assert_eq!(code(&other, &cursor), Code::InvalidValue);
        }
        let plain = list.cursor("1:a");
        for at in 0..plain.len() {
            let mut changed = plain.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character may hold bits that no byte has.
            assert!(list.place(&changed).is_err(), "{at}");
        }
        for strange in ["x", "bjoxOng6YQ", &plain[1..]] {
            assert_eq!(code(&list, strange), Code::InvalidValue, "{strange}");
        }
        for bad in ["", "a b", "a=", "é", &"a".repeat(MAX_CURSOR + 1)] {
            assert_eq!(code(&list, bad), Code::BadMessage, "{bad}");
        }
    }
}
