//! Keys that clients choose for what they create, so that asking twice creates once (`Idempotency-Key`).

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderMap;

use crate::auth::Identity;
use crate::error::{ApiError, Code};
use crate::store::CreationKey;

/// Reads the key of a request that creates something; `None` where it has none.
///
/// # Errors
/// It is no key.
pub(super) fn creation_key(
    headers: &HeaderMap,
    identity: &Identity,
    request: &str,
) -> Result<Option<CreationKey>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
    let name = value.to_str().ok();
    let name = name.filter(|name| visible && (1..=64).contains(&name.len()));
    let Some(name) = name else {
        let text = "Idempotency-Key has 1 to 64 visible characters of ASCII.";
        return Err(ApiError::new(Code::BadMessage, text));
    };
    Ok(Some(CreationKey {
        identity: identity.id.clone(),
        name: name.to_owned(),
        request: sha256(request),
    }))
}

fn sha256(text: &str) -> String {
    let mut hash = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}
