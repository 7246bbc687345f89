//! What every request gets: a name that its answer and its log lines carry, a time after which it is over, and a place
//! among the figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderName, HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use crate::error::{ApiError, Code};
use crate::metrics::Metrics;

/// Names a request, ends it in time and counts it. A proxy or a client may have named it already.
pub(crate) async fn name_and_time(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_name(request.method());
    let given = request.headers().get(&REQUEST_ID);
    let id = given
        .filter(|id| is_id(id.as_bytes()))
        .cloned()
        .unwrap_or_else(new_id);
    // The path is not told: that of a session made over HTTP is all that proves whose it is.
    let span = info_span!(
        "request",
        request = id.to_str().unwrap_or_default(),
        method = %request.method()
    );
    let answer = async {
        let hosts = request.headers().get_all(HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            // RFC 9112, section 3.2.
            let text = "An HTTP/1.1 request has one Host header.";
            return ApiError::new(Code::BadMessage, text).into_response();
        }
        next.run(request).await
    };
    let answered = tokio::time::timeout(TIMEOUT, answer).instrument(span.clone());
    let mut response = answered.await.unwrap_or_else(|_| {
        let text = "The request took too long; it may have been carried out.";
        ApiError::new(Code::TimedOut, text).into_response()
    });
    response.headers_mut().insert(REQUEST_ID, id);
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    metrics.answered((route, method), status, took);
    span.in_scope(|| {
        debug!(
            route,
            status,
            took_us = took.as_micros(),
            "request answered"
        )
    });
    response
}

/// Names a method for the figures: clients may make up others.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

fn is_id(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (8..=64).contains(&bytes.len()) && bytes.iter().all(allowed)
}

fn new_id() -> HeaderValue {
    let id = HeaderValue::try_from(Uuid::now_v7().to_string());
    id.unwrap_or(HeaderValue::from_static("unnamed"))
}

/// What is at no route: the pages, and what there is not.
const NO_ROUTE: &str = "other";

/// The header in which names go.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// From the end of the header to the answer; the upgrade of a WebSocket is an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_clients_make_up_have_one_name() {
        for (method, name) in [("GET", "GET"), ("OPTIONS", "OPTIONS"), ("BREW", "other")] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(method_name(&method), name);
        }
    }

    #[test]
    fn a_given_name_is_kept_where_it_is_harmless_in_a_log() {
        for (id, kept) in [
            ("0193-abc_D.e", true),
            ("short", false),
            ("with space inside", false),
            ("line\\nbreak", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_id(id.as_bytes()), kept, "{id}");
        }
        assert!(is_id(new_id().as_bytes()));
    }
}
