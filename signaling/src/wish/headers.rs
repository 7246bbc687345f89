//! What requests and answers say beside their bodies.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use klieg_turn::IceServer;

use crate::error::{ApiError, Code};

/// Says no to a body of another media type; parameters do not count.
///
/// # Errors
/// `unsupported_media_type`.
pub(super) fn check_content_type(
    headers: &HeaderMap,
    wanted: &'static str,
) -> Result<(), ApiError> {
    let value = headers.get(header::CONTENT_TYPE);
    let media_type = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let text = format!("The body must be {wanted}.");
    Err(ApiError::new(Code::UnsupportedMediaType, text))
}

/// Says no to a client that would not take the answer (RFC 9110, section 12.5.1).
///
/// # Errors
/// `not_acceptable`.
pub(super) fn check_accept(headers: &HeaderMap, offered: &'static str) -> Result<(), ApiError> {
    if !headers.contains_key(header::ACCEPT) {
        return Ok(());
    }
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    // The most specific range that fits has the word, whatever others say.
    let weight = ranges.filter_map(|range| fits(range, offered)).max();
    if weight.is_some_and(|(_, is_accepted)| is_accepted) {
        return Ok(());
    }
    let text = format!("The answer is {offered}, which `Accept` leaves out.");
    Err(ApiError::new(Code::NotAcceptable, text))
}

/// Returns how specific a range is that fits, and whether it accepts; `None` when it does not fit.
fn fits(range: &str, offered: &str) -> Option<(u8, bool)> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let mut parameters = parts.filter_map(|part| part.split_once('='));
    let is_refused = parameters.any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0_f32)
    });
    let kind = offered.split('/').next().unwrap_or_default();
    let of_kind = |it: &str| it.eq_ignore_ascii_case(kind);
    let specific = if range.eq_ignore_ascii_case(offered) {
        2
    } else if range.strip_suffix("/*").is_some_and(of_kind) {
        1
    } else if range == "*/*" {
        0
    } else {
        return None;
    };
    Some((specific, !is_refused))
}

/// Says no to a request about another state of the resource than the one there is (RFC 9725, section 4.3.1).
///
/// # Errors
/// `precondition_required` without `If-Match`, `precondition_failed` when it names other entity tags.
pub(super) fn check_if_match(headers: &HeaderMap, tag: &str) -> Result<(), ApiError> {
    let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        let text = "`If-Match` is needed: the entity tag of the ICE session, or `*` to restart it.";
        return Err(ApiError::new(Code::PreconditionRequired, text));
    }
    // Weak tags never match: the comparison is the strong one (RFC 9110, section 13.1.1).
    let names = |value: &HeaderValue| {
        let mut tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        // The example of RFC 9725, section 4.3.3, quotes the asterisk, and clients copy it.
        tags.any(|it| it == "*" || it == r#""*""# || it == tag)
    };
    if values.any(names) {
        return Ok(());
    }
    let text = "ICE was restarted since: `If-Match` names an older session.";
    Err(ApiError::new(Code::PreconditionFailed, text))
}

/// Adds a header, unless its value cannot stand in one.
pub(super) fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

/// Tells a client the ICE servers, a `Link` for each (RFC 9725, section 4.6).
pub(super) fn add_ice_servers(headers: &mut HeaderMap, servers: &[IceServer]) {
    for server in servers {
        let mut parameters = String::from(r#"; rel="ice-server""#);
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            let (username, credential) = (quoted(username), quoted(credential));
            parameters.push_str(&format!(
                r#"; username="{username}"; credential="{credential}"; credential-type="password""#
            ));
        }
        for url in &server.urls {
            add(headers, header::LINK, &format!("<{url}>{parameters}"));
        }
    }
}

/// Escapes what may not stand in a quoted string (RFC 9110, section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_media_type_counts() {
        for good in [
            "application/sdp",
            "Application/SDP",
            "application/sdp; charset=utf-8",
        ] {
            assert!(
                check_content_type(&with(header::CONTENT_TYPE, good), "application/sdp").is_ok()
            );
        }
        for bad in ["", "text/plain", "application/sdpx", "application/json"] {
            assert!(
                check_content_type(&with(header::CONTENT_TYPE, bad), "application/sdp").is_err()
            );
        }
    }

    #[test]
    fn a_client_may_refuse_what_it_would_get() {
        for good in [
            "*/*",
            "application/*",
            "text/html, application/sdp;q=0.1",
            "application/SDP",
            "application/*;q=0, application/sdp",
            "*/*;q=0, application/*;q=0.001",
        ] {
            let headers = with(header::ACCEPT, good);
            assert!(check_accept(&headers, "application/sdp").is_ok(), "{good}");
        }
        for bad in [
            "text/html",
            "application/json",
            "application/sdp;q=0",
            "application/sdp; Q=0.000",
            "application/sdp;q=0, */*",
            "*/*, application/*;q=0",
            "",
        ] {
            let headers = with(header::ACCEPT, bad);
            assert!(check_accept(&headers, "application/sdp").is_err(), "{bad}");
        }
    }

    #[test]
    fn entity_tags_are_compared_strongly() {
        let tag = r#""abc""#;
        for good in [r#""abc""#, "*", r#""*""#, r#""x", "abc""#] {
            assert!(check_if_match(&with(header::IF_MATCH, good), tag).is_ok());
        }
        for bad in [r#"W/"abc""#, "abc", r#""x""#, ""] {
            assert!(check_if_match(&with(header::IF_MATCH, bad), tag).is_err());
        }
        assert!(check_if_match(&HeaderMap::new(), tag).is_err());
    }
}
