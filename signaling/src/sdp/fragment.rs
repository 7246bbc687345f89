//! Pieces of a description that carry ICE alone, `application/trickle-ice-sdpfrag` (RFC 8840, section 9).

use klieg_sfu::IceCredentials;

use super::{NegotiationError, Place, check_candidate, is_ice_text, limits};

/// What a peer says about its end of ICE after the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Its credentials; `None` when the fragment does not say, and those it has are meant.
    pub(crate) ice: Option<IceCredentials>,
}

impl Fragment {
    /// Reads a fragment. Its candidates are checked for form alone: the server is ICE-lite and learns
    /// addresses from checks.
    ///
    /// # Errors
    /// [`NegotiationError`], which says what is too much or where the text is no fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, NegotiationError> {
        limits::check(text)?;
        let (mut ufrag, mut pwd) = (None, None);
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem| NegotiationError::Line {
                line: index + 1,
                problem,
            };
            if let Some(text) = line.strip_prefix("a=ice-ufrag:") {
                note(&mut ufrag, text, 4..=256).map_err(wrong)?;
            } else if let Some(text) = line.strip_prefix("a=ice-pwd:") {
                note(&mut pwd, text, 22..=256).map_err(wrong)?;
            } else if line.starts_with("a=candidate:") {
                check_candidate(line).map_err(|_| wrong("not a candidate"))?;
            } else if !line.is_empty() && !line.starts_with("a=") && !line.starts_with("m=") {
                return Err(wrong("a fragment has m-lines and attributes only"));
            }
        }
        let ice = match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials { ufrag, pwd }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let problem = "a=ice-ufrag and a=ice-pwd come together";
                return Err(NegotiationError::unusable(Place::Session, problem));
            }
        };
        Ok(Self { ice })
    }
}

/// Notes one half of the credentials, which may be repeated below each m-line.
fn note(
    known: &mut Option<String>,
    text: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), &'static str> {
    if !is_ice_text(text, range) {
        return Err("not ice-chars of the right number");
    }
    match known {
        Some(known) if known == text => Ok(()),
        Some(_) => Err("differs from the one before: all media shares a transport"),
        None => {
            *known = Some(text.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKLE: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_fragment_says_whose_candidates_it_brings() {
        let ice = Fragment::parse(TRICKLE).unwrap().ice.unwrap();
        assert_eq!(ice.ufrag, "EsAw");
        assert_eq!(ice.pwd, "P2uYro0UCOQ4zxjKXaWCBui1");
        assert_eq!(Fragment::parse("a=end-of-candidates\n").unwrap().ice, None);
        assert_eq!(Fragment::parse("").unwrap().ice, None);
    }

    #[test]
    fn what_is_no_fragment_is_refused_with_its_line() {
        let candidates = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n".repeat(65);
        for bad in [
            "hello",
            "v=0",
            "a=candidate:nonsense",
            "a=ice-ufrag:x",
            "a=ice-ufrag:abcd",
            "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            "a=ice-ufrag:abcd\na=ice-ufrag:efgh\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            candidates.as_str(),
        ] {
            assert_eq!(Fragment::parse(bad).unwrap_err().code(), "bad_sdp", "{bad}");
        }
    }
}
