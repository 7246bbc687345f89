//! The description of the REST API, made from the code, and a page that shows it without anything from elsewhere.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder, content::Content};
use utoipa::{Modify, OpenApi, ToSchema};

use super::rooms::{
    analytics, audit, chat, edit, floor, helpers, join, life, like, lists, moderation, people,
    products, react, thumbnail,
};
use super::webhooks::{deliveries, endpoints};
use super::{accounts, admin, dashboard, hooks, ingest};
use crate::store::RoomOrder;

/// The API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Klieg", description = "Rooms, who may enter them, and what is said there. A parameter in the query that an operation does not have is refused with 400. docs/protocol.md has the WebSocket, WHIP and WHEP."),
    servers((url = "/api/v1")),
    paths(
        accounts::config, accounts::register, accounts::login, accounts::refresh, accounts::logout, accounts::me,
        accounts::change_password, dashboard::dashboard, ingest::show, ingest::rotate,
        lists::list, lists::live, lists::past, edit::create, edit::show, edit::change, edit::remove, lists::related,
        life::start, life::end, life::status, join::join, people::viewers, people::kick, chat::list, chat::say,
        lists::all, admin::clean_up, admin::nodes, admin::drain, admin::take_back_drain,
        chat::delete, chat::pin, chat::unpin, audit::list,
        moderation::mute, moderation::unmute, moderation::mutes, moderation::ban, moderation::unban, moderation::bans,
        moderation::settings, moderation::change_settings, helpers::give_role, helpers::take_role,
        helpers::roles, helpers::add_member, helpers::remove_member, helpers::follow,
        helpers::unfollow, moderation::held, moderation::review, moderation::report, moderation::reports,
        moderation::resolve,
        products::list, products::add, products::edit, products::remove, products::feature, products::withdraw,
        products::arrange, hooks::order, like::show, like::like, like::unlike, react::react,
        thumbnail::show, thumbnail::send,
        floor::polls, floor::open_poll, floor::close_poll, floor::vote_poll, floor::questions, floor::ask,
        endpoints::list, endpoints::add, endpoints::show, endpoints::change, endpoints::remove, endpoints::rotate,
        endpoints::test, deliveries::list, deliveries::show, deliveries::replay, deliveries::replay_all,
        floor::vote_question, floor::unvote_question, floor::answer, floor::remove,
        analytics::show, analytics::timeseries, analytics::csv,
    ),
    components(schemas(Problem, RoomOrder)),
    modifiers(&Everywhere),
)]
struct Api;

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`.
    r#type: String,
    title: String,
    status: u16,
    /// One sentence for the person who reads it.
    detail: String,
    /// What programs go by: docs/protocol.md lists them.
    code: String,
}

/// A STUN or TURN server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IceServerBody {
    urls: Vec<String>,
    #[schema(nullable = false)]
    username: Option<String>,
    #[schema(nullable = false)]
    credential: Option<String>,
}

/// What every operation has: problems, and how somebody shows who they are.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        if let Some(components) = &mut api.components {
            components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        }
        let content: Content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        let problem = ResponseBuilder::new()
            .description("A problem: `code` says which, `Retry-After` when to try again.")
            .content("application/problem+json", content)
            .build();
        for path in api.paths.paths.values_mut() {
            let operations = [
                &mut path.get,
                &mut path.put,
                &mut path.post,
                &mut path.patch,
                &mut path.delete,
            ];
            for operation in operations.into_iter().flatten() {
                if let Some(RefOr::T(body)) = &mut operation.request_body
                    && is_optional(body)
                {
                    body.required = Some(Required::False);
                }
                let responses = &mut operation.responses.responses;
                responses.insert("default".to_owned(), problem.clone().into());
            }
        }
    }
}

/// Returns whether a request may be without its body: where nothing in it has to be said.
fn is_optional(body: &RequestBody) -> bool {
    const OPTIONAL: [&str; 3] = ["/JoinParameters", "/Logout", "/Rotation"];
    let mut names = body.content.values().filter_map(|content| match content {
        RefOr::T(Content {
            schema: Some(RefOr::Ref(schema)),
            ..
        }) => Some(&schema.ref_location),
        RefOr::Ref(_) | RefOr::T(_) => None,
    });
    let is_optional = |name: &String| OPTIONAL.iter().any(|end| name.ends_with(end));
    names.any(is_optional)
}

/// Returns the description as it stands in docs/openapi.json.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = Api::openapi().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    });
    &TEXT
}

/// `GET /api/v1/openapi.json`.
pub(crate) async fn document() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    std::future::ready((json, text()).into_response()).await
}

/// `GET /api/v1/docs`.
pub(crate) async fn page() -> Html<&'static str> {
    std::future::ready(Html(include_str!("reference.html"))).await
}

/// `GET /api/v1/docs.js`.
pub(crate) async fn script() -> Response {
    let javascript = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    std::future::ready((javascript, include_str!("reference.js")).into_response()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To write it anew: `klieg openapi >docs/openapi.json`.
    #[test]
    fn the_file_in_the_docs_is_what_the_code_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let file = std::fs::read_to_string(file).unwrap();
        assert!(
            file == text(),
            "the contract has changed; if that is meant: klieg openapi >docs/openapi.json"
        );
    }
}
