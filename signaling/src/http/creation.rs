//! Keys that clients choose for what they create, so that asking twice creates once (`Idempotency-Key`).

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tracing::warn;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Identity;
use crate::error::{ApiError, Code};
use crate::store::{Claim, CreationKey};
use crate::time::Timestamp;

/// The client's own name of what it creates: asked again within a day, the same request creates nothing more and is answered
/// alike.
#[derive(utoipa::IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `creation_key` reads")]
pub(crate) struct IdempotencyKey(
    #[param(min_length = 1, max_length = 64, pattern = "^[!-~]+$")] Option<String>,
);

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

/// Creates something once for each key, and answers as the first time whoever asks again. It is done to the end also where
/// nobody waits for the answer any more. `work` is given the name of what it creates, and creates nothing where that is there:
/// a server may have ended between the creation and its answer.
///
/// # Errors
/// As of what is done; `invalid_value` where the key was used for something else, `busy` while the same is under way.
pub(super) async fn once<T, W>(
    app: &Arc<App>,
    creation: Option<CreationKey>,
    work: impl FnOnce(String) -> W + Send + 'static,
) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
    W: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let id = Uuid::now_v7().to_string();
    let Some(creation) = creation else {
        return Ok((StatusCode::CREATED, Json(work(id).await?)).into_response());
    };
    let app = Arc::clone(app);
    let done = tokio::spawn(async move { claimed(&app, &creation, id, work).await });
    let answer = done.await.map_err(ApiError::internal)??;
    let kind = [(CONTENT_TYPE, "application/json")];
    Ok((StatusCode::CREATED, kind, answer).into_response())
}

async fn claimed<T: Serialize, W: Future<Output = Result<T, ApiError>>>(
    app: &App,
    creation: &CreationKey,
    id: String,
    work: impl FnOnce(String) -> W,
) -> Result<String, ApiError> {
    let creations = &app.stores.creations;
    let claim = creations.claim(creation, &id, Timestamp::now()).await;
    let id = match claim.map_err(ApiError::store)? {
        Claim::Free(id) => id,
        Claim::Other => return Err(used_otherwise()),
        Claim::UnderWay => return Err(ApiError::busy()),
        Claim::Answered(answer) => return Ok(answer),
    };
    let (answer, noted) = match work(id).await {
        Ok(made) => {
            let answer = serde_json::to_string(&made).map_err(ApiError::internal)?;
            let noted = creations.answer(creation, &answer).await;
            (Ok(answer), noted)
        }
        // What failed may have been made all the same: only a refusal gives the key back at once.
        Err(error) if error.is_failure() => (Err(error), Ok(())),
        Err(error) => (Err(error), creations.release(creation).await),
    };
    if let Err(error) = noted {
        warn!(%error, "what became of an Idempotency-Key is not stored");
    }
    answer
}

/// Says no to a key that was used before.
pub(super) fn used_otherwise() -> ApiError {
    let text = "This Idempotency-Key was used for something else.";
    ApiError::new(Code::InvalidValue, text)
}

fn sha256(text: &str) -> String {
    let mut hash = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}
