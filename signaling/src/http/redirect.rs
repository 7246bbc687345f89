//! Sends those to HTTPS who come by plain HTTP.

use axum::Router;
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// Where they are sent.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// As the operator has it; `None`: the host that was asked for.
    pub(crate) public_url: Option<String>,
    /// Where HTTPS is spoken.
    pub(crate) port: u16,
}

/// Answers everything by sending elsewhere.
pub(crate) fn router(destination: Destination) -> Router {
    Router::new().fallback(redirect).with_state(destination)
}

/// Permanently, and with the same method (RFC 9110, section 15.4.9).
async fn redirect(
    State(destination): State<Destination>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let answer = match destination.of(host, &uri) {
        Some(url) => {
            // Nobody holds a place here who has been told.
            let headers = [
                (header::LOCATION, url),
                (header::CONNECTION, "close".to_owned()),
            ];
            (StatusCode::PERMANENT_REDIRECT, headers).into_response()
        }
        None => (StatusCode::BAD_REQUEST, "For which host?\n").into_response(),
    };
    std::future::ready(answer).await
}

impl Destination {
    /// Returns where a request goes; `None` where it does not say for whom it is.
    fn of(&self, host: Option<&str>, uri: &Uri) -> Option<String> {
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        // `OPTIONS *` has no path, and one that begins with two slashes would be another host.
        let path = if path.starts_with('/') { path } else { "/" };
        if let Some(url) = &self.public_url {
            return Some(format!("{url}{path}"));
        }
        let host: Authority = host?.parse().ok()?;
        if host.as_str().contains('@') || host.host().is_empty() {
            return None;
        }
        let (host, port) = (host.host(), self.port);
        Some(if port == HTTPS {
            format!("https://{host}{path}")
        } else {
            format!("https://{host}:{port}{path}")
        })
    }
}

const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_to_the_same_place_on_the_same_host() {
        let of = |port, host: Option<&str>, uri: &str| {
            let destination = Destination {
                public_url: None,
                port,
            };
            destination.of(host, &uri.parse().unwrap())
        };
        for (port, host, uri, sent) in [
            (443, "live.example", "/", "https://live.example/"),
            (
                443,
                "live.example:80",
                "/a?b=c",
                "https://live.example/a?b=c",
            ),
            (
                8443,
                "live.example:8080",
                "/a",
                "https://live.example:8443/a",
            ),
            (8443, "[2001:db8::7]:80", "/", "https://[2001:db8::7]:8443/"),
            (
                443,
                "live.example",
                "//evil.example/",
                "https://live.example//evil.example/",
            ),
            (443, "live.example", "*", "https://live.example/"),
            (
                443,
                "live.example",
                "http://evil.example/x",
                "https://live.example/x",
            ),
        ] {
            assert_eq!(of(port, Some(host), uri).as_deref(), Some(sent));
        }
        for host in [
            None,
            Some(""),
            Some("a b"),
            Some("x@evil.example"),
            Some("a/b"),
        ] {
            assert_eq!(of(443, host, "/"), None, "{host:?}");
        }
    }

    #[test]
    fn one_is_sent_to_where_the_operator_says() {
        let destination = Destination {
            public_url: Some("https://live.example".to_owned()),
            port: 8443,
        };
        let sent = destination.of(None, &"/watch/7".parse().unwrap());
        assert_eq!(sent.as_deref(), Some("https://live.example/watch/7"));
    }
}
