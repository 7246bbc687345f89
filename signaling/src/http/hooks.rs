//! What others tell of: orders placed in a shop. They sign what they send with a secret that both sides know.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Secret;
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::shop::OrderBody;
use crate::time::Timestamp;

use super::body::{bounds_of, read};

/// What became of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderAnswer {
    /// Whether it had not been told of before.
    new: bool,
}

/// Takes an order that was placed in a shop: once for each `orderId` of a room, however often it is told of.
///
/// Signed as docs/protocol.md has it: `x-klieg-timestamp` is when, in seconds since 1970, at most five minutes ago or
/// ahead, and `x-klieg-signature` is `v1=` and the HMAC-SHA256 of timestamp, `.` and body, in hexadecimal.
#[utoipa::path(post, path = "/hooks/orders", tag = "products", request_body = OrderBody,
    params(("x-klieg-timestamp" = String, Header, description = "Seconds since 1970."),
        ("x-klieg-signature" = String, Header, description = "`v1=` and the signature in hexadecimal.")),
    responses((status = 201, body = OrderAnswer, description = "It counts."),
        (status = 200, body = OrderAnswer, description = "It was told of before, and counts once.")))]
pub(crate) async fn order(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<OrderAnswer>), ApiError> {
    let body = match signed(&app, request).await {
        Ok(body) => body,
        Err(error) => {
            let orders = &app.metrics.shop.orders;
            orders.with_label_values(&["unsigned"]).inc();
            return Err(error);
        }
    };
    let order: OrderBody = read(&body, bounds_of::<OrderBody>)?;
    let room = RoomId::parse(&order.room_id).ok_or_else(ApiError::no_room)?;
    let order = order.check()?;
    let new = app.order(&room, order).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(OrderAnswer { new })))
}

/// Returns the body of a request that a shop has signed.
async fn signed(app: &App, request: Request) -> Result<Vec<u8>, ApiError> {
    let live = app.live();
    let Some(secret) = &live.order_hook_secret else {
        let text = "This server takes no orders: `order_hook_secret` is not set.";
        return Err(ApiError::new(Code::NotConfigured, text));
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| ApiError::new(Code::TooLarge, "The body has more than 64 KiB."))?;
    check(secret, &parts.headers, &body, Timestamp::now())?;
    Ok(body.to_vec())
}

/// Checks who sent a body, and that it was not kept to be sent another time.
fn check(
    secret: &Secret,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), ApiError> {
    let refused = |text: &'static str| ApiError::new(Code::SignatureInvalid, text);
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, signatures) = value("x-klieg-timestamp")
        .zip(value("x-klieg-signature"))
        .ok_or_else(|| refused("`x-klieg-timestamp` and `x-klieg-signature` are needed."))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let text = [timestamp.as_bytes(), b".", body].concat();
    // While a shop goes over to another secret it may send a signature by each.
    let mut signatures = signatures.split(',').take(MAX_SIGNATURES);
    let holds = signatures.any(|signature| {
        let tag = signature.trim().strip_prefix("v1=").and_then(unhex);
        tag.is_some_and(|tag| hmac::verify(&key, &text, &tag).is_ok())
    });
    if !holds {
        return Err(refused("The signature does not hold."));
    }
    let sent: Option<u64> = timestamp.parse().ok();
    let near = sent.is_some_and(|sent| now.seconds().abs_diff(sent) <= WINDOW_S);
    if !near {
        let text = "It was signed more than five minutes ago, or ahead: sign it again.";
        return Err(refused(text));
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    pairs.map(byte).collect()
}

/// How far a shop's clock may be from ours, its retries included: each is signed anew.
const WINDOW_S: u64 = 300;

/// Signatures in one header.
const MAX_SIGNATURES: usize = 4;

/// An order is a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, text.as_bytes());
        format!("v1={}", crate::auth::hex(tag.as_ref()))
    }

    fn said(timestamp: &str, signature: &str, body: &str) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-klieg-timestamp", timestamp),
            ("x-klieg-signature", signature),
        ] {
            let value = value.parse().map_err(|_| Code::BadMessage)?;
            headers.insert(name, value);
        }
        let now = Timestamp::from_millis(1_000_000_000);
        let secret = Secret::new("a secret");
        check(&secret, &headers, body.as_bytes(), now).map_err(|error| error.code)
    }

    #[test]
    fn a_signature_holds_for_its_body_its_moment_and_its_secret_alone() {
        let good = sign("a secret", "1000000.{}");
        assert_eq!(said("1000000", &good, "{}"), Ok(()));
        let two = format!("v1=00, {good}");
        assert_eq!(said("1000000", &two, "{}"), Ok(()));
        for (timestamp, signature, body) in [
            ("1000000", good.as_str(), "{ }"),
            ("1000001", &good, "{}"),
            ("1000000", &sign("another", "1000000.{}"), "{}"),
            ("1000000", &good[3..], "{}"),
            ("1000000", "v1=", "{}"),
            ("1000000", &good[..66], "{}"),
            ("1000000", &format!("v1={}", "+1".repeat(32)), "{}"),
            ("", "", ""),
        ] {
            assert!(said(timestamp, signature, body).is_err(), "{signature}");
        }
    }

    #[test]
    fn what_was_signed_long_ago_or_for_later_is_refused() {
        for (timestamp, near) in [
            ("999700", true),
            ("1000300", true),
            ("999699", false),
            ("1000301", false),
            ("-1", false),
            ("18446744073709551615", false),
            ("now", false),
        ] {
            let signature = sign("a secret", &format!("{timestamp}.x"));
            assert_eq!(
                said(timestamp, &signature, "x").is_ok(),
                near,
                "{timestamp}"
            );
        }
    }
}
