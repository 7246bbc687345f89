//! The pages: files of the build, and the one page for every address that the pages themselves know.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::{ApiError, Code};

#[derive(RustEmbed)]
#[folder = "../web-demo/dist"]
struct Pages;

/// Serves a file of the pages; `index.html` for what is no file, for the pages have addresses of their own.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    std::future::ready(answer(&method, uri.path(), &headers)).await
}

fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        let text = "This address does not know the method.";
        return ApiError::new(Code::MethodNotAllowed, text).into_response();
    }
    let path = path.trim_start_matches('/');
    let hashed = path.starts_with(HASHED);
    if let Some(file) = Pages::get(path).filter(|_| !path.is_empty()) {
        return respond(path, &file, headers);
    }
    if hashed || path == "api" || path.starts_with("api/") {
        let text = "There is nothing at this address.";
        return ApiError::new(Code::NotFound, text).into_response();
    }
    match Pages::get("index.html") {
        Some(index) => respond("index.html", &index, headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
    }
}

fn respond(path: &str, whole: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let shared = shared(path);
    let packed = Pages::get(&format!("{path}.gz")).filter(|_| accepts_gzip(headers));
    let encoding = packed
        .as_ref()
        .map(|_| [(header::CONTENT_ENCODING, "gzip")]);
    let file = packed.as_ref().unwrap_or(whole);
    let tag = format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash())
    );
    let caching = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let common = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
    ];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == tag.as_str());
    if known {
        return (StatusCode::NOT_MODIFIED, common, shared, ()).into_response();
    }
    let mime = whole.metadata.mimetype();
    let content_type = match mime {
        "text/html" | "text/css" | "text/javascript" => format!("{mime}; charset=utf-8"),
        _ if path.ends_with(".map") => "application/json".to_owned(),
        _ => mime.to_owned(),
    };
    (
        common,
        encoding,
        shared,
        [(header::CONTENT_TYPE, content_type)],
        // The pages are in the program: all who load them share one copy.
        match &file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => Bytes::copy_from_slice(data),
        },
    )
        .into_response()
}

/// Returns what lets pages of other sites load a file, isolated ones (COEP) too; `None` for what is the pages' own.
fn shared(path: &str) -> Option<[(HeaderName, &'static str); 2]> {
    (path == EMBEDDED).then_some([
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
    ])
}

/// Returns whether the client takes gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','));
    codings.any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|it| it.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight: f32| weight > 0.0)
    })
}

/// Vite names these files after their content.
const HASHED: &str = "assets/";

/// Shows a room on pages of other sites, which may load it: all that it does with this server goes by `allowed_origins`.
const EMBEDDED: &str = "player.js";

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Klieg</title>
<h1>The pages are not built</h1>
<p>The server runs. Run <code>make pages</code> and load this page again.</p>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_api_and_missing_files_are_no_pages() {
        for path in [
            "/api/v2/x",
            "/api",
            "/assets/missing.js",
            "/assets/../../Cargo.toml",
        ] {
            let status = answer(&Method::GET, path, &HeaderMap::new()).status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_load_the_player_and_nothing_else() {
        assert!(shared("player.js").is_some());
        for path in ["index.html", "assets/player.js", "player.js.gz", ""] {
            assert!(shared(path).is_none(), "{path}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip, deflate", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, br", false),
            ("br, deflate", false),
            ("xgzip", false),
            ("", false),
        ] {
            let headers = [(header::ACCEPT_ENCODING, accepted.parse().unwrap())];
            assert_eq!(
                accepts_gzip(&headers.into_iter().collect()),
                takes,
                "{accepted}"
            );
        }
    }

    #[test]
    fn nothing_outside_the_pages_is_served() {
        for path in [
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "//etc/passwd",
            "/..\\Cargo.toml",
        ] {
            let response = answer(&Method::GET, path, &HeaderMap::new());
            let html = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
            assert!(html.starts_with("text/html"), "{path}: {html}");
        }
    }
}
