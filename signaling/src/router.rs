//! Every URL of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state, map_response_with_state};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::debug;

use crate::app::App;
use crate::error::Refusal;
use crate::http::origin::cors;
use crate::http::query::refuse_unknown;
use crate::http::request::name_and_time;
use crate::http::rooms::{
    analytics, audit, chat, edit, floor, helpers, join, life, like, lists, moderation, people,
    products, react, thumbnail,
};
use crate::http::webhooks::{deliveries, endpoints};
use crate::http::{
    accounts, admin, assets, dashboard, hooks, ingest, openapi, probes, unknown_method,
    unknown_route,
};
use crate::wish::{endpoint, events, layer, resource};
use crate::ws;

/// Puts the addresses and their handlers together.
pub(crate) fn router(app: Arc<App>) -> Router {
    let metrics = Arc::clone(&app.metrics);
    let hsts = app.config.hsts().and_then(|value| value.parse().ok());
    let mut router = Router::new()
        .nest("/api/v1", api(&app))
        .merge(media(&app))
        .route("/ws", get(ws::upgrade))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .fallback(assets::serve)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(metrics, name_and_time));
    for (name, value) in SECURITY_HEADERS {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_static(value);
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, value));
    }
    if let Some(value) = hsts {
        let name = header::STRICT_TRANSPORT_SECURITY;
        router = router.layer(SetResponseHeaderLayer::<HeaderValue>::if_not_present(
            name, value,
        ));
    }
    router
}

/// REST.
fn api(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/config", get(accounts::config))
        .route("/auth/register", post(accounts::register))
        .route("/auth/login", post(accounts::login))
        .route("/auth/refresh", post(accounts::refresh))
        .route("/auth/logout", post(accounts::logout))
        .route("/me", get(accounts::me))
        .route("/me/dashboard", get(dashboard::dashboard))
        .route("/me/password", put(accounts::change_password))
        .route("/rooms", get(lists::list).post(edit::create))
        .route("/rooms/live", get(lists::live))
        .route("/rooms/past", get(lists::past))
        .route(
            "/rooms/{id}",
            get(edit::show).patch(edit::change).delete(edit::remove),
        )
        .route("/rooms/{id}/related", get(lists::related))
        .route("/rooms/{id}/start", post(life::start))
        .route("/rooms/{id}/end", post(life::end))
        .route("/rooms/{id}/status", get(life::status))
        .route("/rooms/{id}/join", post(join::join))
        .route("/rooms/{id}/viewers", get(people::viewers))
        .route("/rooms/{id}/kicks", post(people::kick))
        .route(
            "/rooms/{id}/thumbnail",
            get(thumbnail::show).post(thumbnail::send),
        )
        .merge(talk())
        .merge(order())
        .merge(shop())
        .merge(polls())
        .merge(webhooks())
        .merge(figures())
        .route("/rooms/{id}/ingest", get(ingest::show))
        .route("/rooms/{id}/ingest/rotate", post(ingest::rotate))
        .merge(administration())
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/docs.js", get(openapi::script))
        .fallback(unknown_route)
        // Within the CORS layer, which answers `OPTIONS` in its place.
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn(refuse_unknown))
        .layer(cors(
            app,
            &[
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ],
        ))
        // All but pictures, which say for how long.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            NOT_STORED,
        ))
}

/// What those use who look after the server.
fn administration() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/rooms", get(lists::all))
        .route("/admin/cleanup", post(admin::clean_up))
        .route("/admin/nodes", get(admin::nodes))
        .route(
            "/admin/drain",
            post(admin::drain).delete(admin::take_back_drain),
        )
}

/// What people say in rooms, and of them.
fn talk() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/rooms/{id}/like",
            get(like::show).put(like::like).delete(like::unlike),
        )
        .route("/rooms/{id}/reactions", post(react::react))
        .route("/rooms/{id}/chat", get(chat::list).post(chat::say))
        .route("/rooms/{id}/chat/{message}", delete(chat::delete))
        .route(
            "/rooms/{id}/chat/{message}/pin",
            put(chat::pin).delete(chat::unpin),
        )
}

/// What keeps order in rooms.
fn order() -> Router<Arc<App>> {
    Router::new()
        .route("/rooms/{id}/audit", get(audit::list))
        .route(
            "/rooms/{id}/mutes",
            get(moderation::mutes)
                .post(moderation::mute)
                .delete(moderation::unmute),
        )
        .route(
            "/rooms/{id}/bans",
            get(moderation::bans)
                .post(moderation::ban)
                .delete(moderation::unban),
        )
        .route(
            "/rooms/{id}/chat-settings",
            get(moderation::settings).patch(moderation::change_settings),
        )
        .route(
            "/rooms/{id}/roles",
            get(helpers::roles)
                .put(helpers::give_role)
                .delete(helpers::take_role),
        )
        .route(
            "/rooms/{id}/members",
            put(helpers::add_member).delete(helpers::remove_member),
        )
        .route(
            "/rooms/{id}/follow",
            put(helpers::follow).delete(helpers::unfollow),
        )
        .route("/rooms/{id}/held", get(moderation::held))
        .route("/rooms/{id}/held/{item}", post(moderation::review))
        .route(
            "/rooms/{id}/reports",
            get(moderation::reports).post(moderation::report),
        )
        .route("/rooms/{id}/reports/{item}", delete(moderation::resolve))
}

/// What hosts ask their audience, and are asked.
fn polls() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/rooms/{id}/polls",
            get(floor::polls).post(floor::open_poll),
        )
        .route("/rooms/{id}/polls/{item}/close", post(floor::close_poll))
        .route("/rooms/{id}/polls/{item}/vote", put(floor::vote_poll))
        .route(
            "/rooms/{id}/questions",
            get(floor::questions).post(floor::ask),
        )
        .route(
            "/rooms/{id}/questions/{item}",
            patch(floor::answer).delete(floor::remove),
        )
        .route(
            "/rooms/{id}/questions/{item}/vote",
            put(floor::vote_question).delete(floor::unvote_question),
        )
}

/// What hosts learn of their audience.
fn figures() -> Router<Arc<App>> {
    Router::new()
        .route("/rooms/{id}/analytics", get(analytics::show))
        .route(
            "/rooms/{id}/analytics/timeseries",
            get(analytics::timeseries),
        )
        .route("/rooms/{id}/analytics.csv", get(analytics::csv))
}

/// What rooms sell.
fn shop() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/rooms/{id}/products",
            get(products::list).post(products::add),
        )
        .route("/rooms/{id}/products/order", put(products::arrange))
        .route(
            "/rooms/{id}/products/{item}",
            patch(products::edit).delete(products::remove),
        )
        .route(
            "/rooms/{id}/products/{item}/feature",
            put(products::feature).delete(products::withdraw),
        )
        .route("/hooks/orders", post(hooks::order))
}

/// Who is told outside.
fn webhooks() -> Router<Arc<App>> {
    Router::new()
        .route("/webhooks", get(endpoints::list).post(endpoints::add))
        .route(
            "/webhooks/{id}",
            get(endpoints::show)
                .patch(endpoints::change)
                .delete(endpoints::remove),
        )
        .route("/webhooks/{id}/secret", post(endpoints::rotate))
        .route("/webhooks/{id}/test", post(endpoints::test))
        .route("/webhooks/{id}/replay", post(deliveries::replay_all))
        .route("/webhooks/{id}/deliveries", get(deliveries::list))
        .route("/webhooks/{id}/deliveries/{item}", get(deliveries::show))
        .route(
            "/webhooks/{id}/deliveries/{item}/replay",
            post(deliveries::replay),
        )
}

/// WHIP and WHEP. What announces stands around the CORS layer, which answers `OPTIONS`, so that it is said there, too.
fn media(app: &Arc<App>) -> Router<Arc<App>> {
    let methods = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
    let tell = from_fn_with_state(Arc::clone(app), endpoint::tell_ice_servers);
    let endpoints = Router::new()
        .route(
            "/whip/{room}",
            post(endpoint::whip).get(endpoint::show).options(preflight),
        )
        .route(
            "/whep/{room}",
            post(endpoint::whep).get(endpoint::show).options(preflight),
        )
        .layer(cors(app, &methods))
        .layer(tell)
        .layer(announce("accept-post", "application/sdp"));
    let session = || {
        get(resource::show)
            .patch(resource::patch)
            .delete(resource::delete)
            .options(preflight)
    };
    let sessions = Router::new()
        .route("/whip/{room}/{session}", session())
        .route("/whep/{room}/{session}", session())
        .layer(cors(app, &methods))
        .layer(announce("accept-patch", "application/trickle-ice-sdpfrag"));
    let streams = Router::new()
        .route(
            "/whep/{room}/{session}/sse",
            post(events::create).options(preflight),
        )
        .route(
            "/whep/{room}/{session}/sse/{stream}",
            get(events::read).delete(events::delete).options(preflight),
        )
        .layer(cors(app, &methods));
    let layers = Router::new()
        .route(
            "/whep/{room}/{session}/layer",
            post(layer::select).options(preflight),
        )
        .layer(cors(app, &methods));
    let all = endpoints.merge(sessions).merge(streams).merge(layers);
    all.layer(never_stored())
        .layer(map_response_with_state(Arc::clone(app), note_refusal))
}

/// Names `OPTIONS` to a route, and never runs: the CORS layer around it answers. Without it the route would not know
/// the method, and what answers unknown methods stands outside of that layer.
async fn preflight() -> StatusCode {
    std::future::ready(StatusCode::NO_CONTENT).await
}

/// Counts what was refused. It is not worth more than DEBUG: strangers cause as much of it as they like.
async fn note_refusal(State(app): State<Arc<App>>, response: Response) -> Response {
    if let Some(Refusal { code, message }) = response.extensions().get() {
        app.metrics.refused(*code);
        debug!(?code, reason = %message, "request refused");
    }
    std::future::ready(response).await
}

fn never_stored() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, NOT_STORED)
}

const NOT_STORED: HeaderValue = HeaderValue::from_static("no-store");

/// Says in every answer of some addresses, those to `OPTIONS` included, what they take.
fn announce(name: &'static str, media_type: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(
        HeaderName::from_static(name),
        HeaderValue::from_static(media_type),
    )
}

const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The pages load nothing from elsewhere but pictures of products, show what a camera or a blob holds, and are in nobody's
/// frame.
const SECURITY_HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob: https:; \
         media-src 'self' blob: mediastream:; worker-src 'self' blob:; \
         style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    (
        "permissions-policy",
        "camera=(self), microphone=(self), display-capture=(self)",
    ),
];
