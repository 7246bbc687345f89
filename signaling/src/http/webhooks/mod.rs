//! Who is told outside of what happens in rooms, and what became of each telling. For admins alone.

mod fields;

mod view;

pub(crate) mod endpoints;

pub(crate) mod deliveries;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::app::App;
use crate::auth::Action;
use crate::error::{ApiError, Code};
use crate::http::Bearer;
use crate::store::Webhook;

/// The webhook that an address names.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path, names("id"))]
pub(crate) struct WebhookInPath(
    /// The webhook.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    String,
);

/// The webhook and the event that an address names.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path, names("id", "deliveryId"))]
pub(crate) struct DeliveryInPath(
    /// The webhook.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    String,
    /// What receivers know the event by: `webhook-id`.
    #[param(pattern = "^[A-Za-z0-9-]{1,64}$")]
    String,
);

impl FromRequestParts<Arc<App>> for WebhookInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(known(id))).map_err(|_| nothing())
    }
}

impl FromRequestParts<Arc<App>> for DeliveryInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        path.map(|Path((id, event))| Self(known(id), known(event)))
            .map_err(|_| nothing())
    }
}

/// The database takes no text with a zero in it, and nothing is called so.
fn known(id: String) -> String {
    if id.contains('\0') { String::new() } else { id }
}

/// Finds a webhook for who may look after it.
async fn administer(app: &App, bearer: Bearer, id: &str) -> Result<Webhook, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let found = app.stores.webhooks.endpoint(id).await;
    found.map_err(ApiError::store)?.ok_or_else(nothing)
}

fn nothing() -> ApiError {
    let text = "There is nothing that this could be done to.";
    ApiError::new(Code::NotFound, text)
}
