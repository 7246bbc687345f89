//! Which web pages may use this server: its own and those of configured sites.

use std::sync::Arc;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::config::Config;
use crate::error::{ApiError, Code};

use super::request::REQUEST_ID;

/// Says no to pages of other sites. Programs that are no browsers send no `Origin`, and may.
///
/// # Errors
/// `forbidden`.
pub(crate) fn check_origin(config: &Config, headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if is_same_host(origin, headers) || is_allowed(config, origin) => Ok(()),
        Some(_) => Err(ApiError::new(
            Code::Forbidden,
            "Pages of this origin may not connect.",
        )),
    }
}

/// Lets the configured sites use the API. It is called with bearer tokens, so there are no credentials that
/// a browser would add by itself, and none are allowed.
pub(crate) fn cors(app: &Arc<App>, methods: &[Method]) -> CorsLayer {
    let app = Arc::clone(app);
    let allowed = move |origin: &HeaderValue, _: &_| is_allowed(&app.live(), origin);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods(methods.to_vec())
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            REQUEST_ID,
        ])
        .expose_headers([
            header::RETRY_AFTER,
            header::LOCATION,
            header::ETAG,
            header::LINK,
            HeaderName::from_static("accept-patch"),
            REQUEST_ID,
        ])
        .max_age(Duration::from_secs(600))
}

fn is_allowed(config: &Config, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let configured = config.allowed_origins.iter().chain(&config.public_url);
    configured.into_iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        // A development server of the pages runs on another port of this machine.
        || (config.dev && is_loopback(origin))
}

fn is_same_host(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(Uri::authority);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match (origin, host) {
        (Some(origin), Some(host)) => origin.as_str().eq_ignore_ascii_case(host),
        (_, _) => false,
    }
}

fn is_loopback(origin: &str) -> bool {
    let uri: Option<Uri> = origin.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &Config, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("live.example:8443"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        check_origin(config, &headers).is_ok()
    }

    #[test]
    fn only_pages_of_this_host_and_of_configured_sites_may_connect() {
        let allowed_origins = vec!["https://shop.example".to_owned()];
        let config = Config {
            allowed_origins,
            ..Config::default()
        };
        assert!(check(&config, None));
        assert!(check(&config, Some("https://live.example:8443")));
        assert!(check(&config, Some("https://shop.example")));
        for foreign in [
            "null",
            "https://live.example",
            "https://evil.example",
            "https://shop.example.evil.example",
            "http://shop.example",
            "http://localhost:5173",
        ] {
            assert!(!check(&config, Some(foreign)), "{foreign}");
        }
    }

    #[test]
    fn a_development_server_takes_pages_of_this_machine() {
        let config = Config::development();
        assert!(check(&config, Some("http://localhost:5173")));
        assert!(!check(&config, Some("http://localhost.evil.example")));
    }
}
