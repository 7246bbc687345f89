//! `POST /whip/{room}` and `POST /whep/{room}`: an offer comes, an answer goes, a session is there.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State as AppState};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use klieg_sfu::{Format, PeerId, RoomKey};
use tracing::info;

use crate::analytics::Region;
use crate::app::{Admitted, App};
use crate::auth::{Action, Grants, Identity, Role, Secret};
use crate::error::{ApiError, Code};
use crate::http::visitor::Visitor;
use crate::http::{RoomInPath, bearer_token};
use crate::id::RoomId;
use crate::limit::{Door, Who};
use crate::room::{Departure, NewMember, RoomHandle, RoomMessage, Seat, SessionRef, VideoLayers};
use crate::sdp::NegotiationError;
use crate::session::{Negotiated, Session};
use crate::store::RoomRecord;
use crate::time::Timestamp;
use crate::ws::protocol::{WantedLayer, codec_name};

use super::headers::{add, add_ice_servers, check_accept, check_content_type};
use super::resources::{Proof, Resource, State, StreamKey};
use super::{Protocol, SDP, events, layer};

/// A body, or why there is none.
pub(crate) type Body = Result<Bytes, BytesRejection>;

/// `POST /whip/{room}` (RFC 9725, section 4.2).
pub(crate) async fn whip(
    AppState(app): AppState<Arc<App>>,
    RoomInPath(room): RoomInPath,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked = Asked {
        protocol: Protocol::Whip,
        room,
        visitor,
        headers,
    };
    create_whole(app, asked, body).await
}

/// `POST /whep/{room}` (WHEP, section 4.3).
pub(crate) async fn whep(
    AppState(app): AppState<Arc<App>>,
    RoomInPath(room): RoomInPath,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked = Asked {
        protocol: Protocol::Whep,
        room,
        visitor,
        headers,
    };
    create_whole(app, asked, body).await
}

/// `GET` and `HEAD` of an endpoint: there is nothing to show but that it is one (RFC 9725, section 4.1), which
/// players know by the media type (WHEP, section 4.2).
pub(crate) async fn show() -> Response {
    std::future::ready([(header::CONTENT_TYPE, SDP)].into_response()).await
}

/// Tells the ICE servers in answers to `OPTIONS` of an endpoint to who could make a session there, for clients that must know
/// them before they make an offer (RFC 9725, section 4.6). Who shows a token that is worth nothing hears so; who shows
/// none gets what CORS needs in any case.
pub(crate) async fn tell_ice_servers(
    AppState(app): AppState<Arc<App>>,
    RoomInPath(room): RoomInPath,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    // A browser's preflight (Fetch, section 3.3.2) shows no token, and is asked of every origin alike.
    let is_preflight = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || is_preflight {
        return next.run(request).await;
    }
    let asked = Asked {
        protocol: Protocol::of(request.uri()),
        room,
        visitor,
        headers: headers.clone(),
    };
    let admitted = admit(&app, &asked).await;
    let mut response = next.run(request).await;
    match admitted {
        Ok(guest) => {
            let country = asked.visitor.origin.region;
            tell(&app, response.headers_mut(), &guest.identity, country);
        }
        Err(error) if asked.headers.contains_key(header::AUTHORIZATION) => {
            return error.into_response();
        }
        Err(_) => {}
    }
    response
}

/// Somebody who may do what they ask for.
struct Guest {
    record: RoomRecord,
    identity: Identity,
    role: Role,
    grants: Grants,
    kicked_at: Option<Timestamp>,
    proof: Proof,
    /// What stood for the owner; `None` for who showed something else.
    key: Option<StreamKey>,
}

/// What a request for a session says, but for its offer.
struct Asked {
    protocol: Protocol,
    /// The room as the address names it.
    room: String,
    /// Where it comes from.
    visitor: Visitor,
    headers: HeaderMap,
}

/// Makes a session even if the client goes while that is done: a request that is dropped in the middle would
/// leave somebody in the room whom nobody shows out. What no client knows of ends for want of a handshake.
async fn create_whole(app: Arc<App>, asked: Asked, body: Body) -> Result<Response, ApiError> {
    let made = tokio::spawn(async move { create(&app, asked, body).await });
    made.await.map_err(ApiError::internal)?
}

async fn create(app: &Arc<App>, asked: Asked, body: Body) -> Result<Response, ApiError> {
    app.course.check_open()?;
    let guest = admit(app, &asked).await?;
    let origin = asked.visitor.origin;
    let Asked {
        protocol, headers, ..
    } = asked;
    check_content_type(&headers, SDP)?;
    check_accept(&headers, SDP)?;
    let offer = text(body)?;
    let place = app.resources.take_place(guest.role)?;
    let connecting = app.media.take_place()?;

    let socket = app.next_socket();
    let member = || NewMember {
        socket,
        identity: guest.identity.clone(),
        seat: Seat::new((guest.role, guest.grants), (guest.role, guest.grants)),
        kicked_at: guest.kicked_at,
        outbox: None,
        origin,
    };
    let (room, _) = app.rooms.enter(&guest.record.id, member, None).await?;
    let known_as = room.new_session(&app.media, connecting);
    let opened = open(app, protocol, &room, (socket, &known_as), &offer).await;
    let (session, sdp) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            app.media.remove(known_as.peer);
            // What was never there does not end the show of the publisher before it.
            let why = Departure::Lost;
            room.tell_surely(RoomMessage::Leave { socket, why }).await;
            return Err(error);
        }
    };
    info!(room = %guest.record.id, peer = known_as.peer.0, ?protocol, "session made over HTTP");
    let resource = Resource {
        protocol,
        room_id: guest.record.id.to_string(),
        room,
        socket,
        known_as,
        proof: guest.proof,
        key: guest.key,
        identity: guest.identity,
        state: std::sync::Mutex::new(State::new(session)),
        streams: events::Streams::default(),
    };
    let resource = app.resources.add(resource, place);
    // It ended while the session was made: whoever ends the others has not seen this one.
    if app.authority.has_ended(&resource.identity) {
        app.resources.end(resource, Departure::Lost).await;
        return Err(ApiError::new(Code::TokenExpired, "The sign-in has ended."));
    }
    Ok(created(app, &resource, origin.region, sdp))
}

/// Lets those in who may come. How often others may ask is limited, and guests are others, too: their tokens
/// are for everybody.
async fn admit(app: &App, asked: &Asked) -> Result<Guest, ApiError> {
    let count = || {
        app.doors
            .pass(Door::Offer, &Who::Network(asked.visitor.network))
    };
    if !asked.headers.contains_key(header::AUTHORIZATION) {
        count()?;
        return identify(app, asked).await;
    }
    let admitted = identify(app, asked).await;
    let is_known = |guest: &Guest| guest.role != Role::Guest;
    if !admitted.as_ref().is_ok_and(is_known) {
        count()?;
    }
    admitted
}

/// Finds out who asks and whether they may.
async fn identify(app: &App, asked: &Asked) -> Result<Guest, ApiError> {
    let Asked {
        protocol,
        room,
        headers,
        ..
    } = asked;
    let proof = Proof::of(headers)?;
    let token = bearer_token(headers)?;
    let mut key = None;
    let (identity, place) = match (protocol, token) {
        (Protocol::Whip, None) => {
            let text =
                "A bearer token is needed: the room's stream key, or a token that may publish.";
            return Err(ApiError::new(Code::Unauthenticated, text));
        }
        // What signs people in has three parts; what encoders are given has one.
        (Protocol::Whip, Some(token)) if !token.contains('.') => {
            let from = Who::Network(asked.visitor.network);
            app.doors.look(Door::WrongKey, &from)?;
            let hash = Secret::new(token).hash();
            let owner = owner(app, room, &hash).await;
            key = Some(StreamKey(hash));
            match owner {
                Err(error) if error.code == Code::TokenInvalid => {
                    app.doors.pass(Door::WrongKey, &from)?;
                    return Err(error);
                }
                owner => owner?,
            }
        }
        (Protocol::Whip | Protocol::Whep, Some(token)) => {
            let identity = app.authority.verify(token).await?;
            let identity = identity.coming_from(asked.visitor.client);
            let place = app.admit(&identity, room).await?;
            (identity, place)
        }
        (Protocol::Whep, None) => {
            let guest = Identity::guest("Guest".to_owned());
            let identity = guest.coming_from(asked.visitor.client);
            let place = app.admit(&identity, room).await?;
            (identity, place)
        }
    };
    let (role, grants) = place.now;
    grants.check(match protocol {
        Protocol::Whip => Action::Publish,
        Protocol::Whep => Action::Watch,
    })?;
    Ok(Guest {
        record: place.record,
        identity,
        role,
        grants,
        kicked_at: place.kicked_at,
        proof,
        key,
    })
}

/// Takes who shows a room's stream key for its owner: a key for no room and the wrong key are one answer.
async fn owner(app: &App, room: &str, key_hash: &str) -> Result<(Identity, Admitted), ApiError> {
    let record = match RoomId::parse(room) {
        Some(id) => app.stores.rooms.find_by_key(&id, key_hash).await,
        None => Ok(None),
    };
    let record = record
        .map_err(ApiError::store)?
        .ok_or_else(|| ApiError::new(Code::TokenInvalid, "This is not the room's stream key."))?;
    let identity = Identity::owner(&record);
    let own = (Role::Owner, Role::Owner.grants(&record));
    let kicked_at = app.rooms.kicked_at(&record.id, &identity.id);
    let admitted = Admitted {
        record,
        own,
        now: own,
        kicked_at,
        from: Vec::new(),
    };
    Ok((identity, admitted))
}

/// Negotiates, and takes the place of a publisher or a viewer.
async fn open(
    app: &App,
    protocol: Protocol,
    room: &RoomHandle,
    (socket, known_as): (crate::id::SocketId, &SessionRef),
    offer: &str,
) -> Result<(Session, String), ApiError> {
    type Start = fn(
        &crate::session::MediaConfig,
        PeerId,
        RoomKey,
        &str,
    ) -> Result<(Session, Negotiated), NegotiationError>;
    let start: Start = match protocol {
        Protocol::Whip => Session::publish,
        Protocol::Whep => Session::watch,
    };
    let (session, negotiated) =
        start(&app.media.config(), known_as.peer, room.key, offer).map_err(refusal)?;
    session.check_whole().map_err(refusal)?;
    match protocol {
        Protocol::Whip => {
            room.ask(|reply| RoomMessage::OpenPublisher {
                socket,
                session: known_as.clone(),
                layers: VideoLayers::of(&session),
                reply,
            })
            .await??;
        }
        Protocol::Whep => {
            let formats = room.summary().formats;
            for sent in formats.iter().flatten() {
                check_plays(&session, sent)?;
            }
            room.tell(RoomMessage::OpenViewer {
                socket,
                session: known_as.clone(),
                layer: WantedLayer::Auto,
            })?;
        }
    }
    app.media.carry_out_for(known_as, negotiated.commands)?;
    if known_as.is_closed() {
        let text = "The room ended this session while it began.";
        return Err(ApiError::new(Code::RoomState, text));
    }
    Ok((session, negotiated.sdp))
}

fn check_plays(session: &Session, sent: &Format) -> Result<(), ApiError> {
    if session.plays(sent) {
        return Ok(());
    }
    let codec = codec_name(sent.codec);
    let text =
        format!("The publisher sends {codec}, and the offer has no payload type that plays it.");
    Err(ApiError::new(Code::CodecMismatch, text))
}

fn created(app: &App, resource: &Resource, region: Region, sdp: String) -> Response {
    let mut response = (StatusCode::CREATED, sdp).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    add(headers, header::CONTENT_TYPE, SDP);
    let path = resource.path();
    add(headers, header::LOCATION, &path);
    add(
        headers,
        header::ETAG,
        &entity_tag(&resource.state().session),
    );
    tell(app, headers, &resource.identity, region);
    if resource.protocol == Protocol::Whep {
        let (rel, events) = (events::RELATION, events::NAMES.join(","));
        let link = format!(r#"<{path}/sse>; rel="{rel}"; events="{events}""#);
        add(headers, header::LINK, &link);
        let link = format!(r#"<{path}/layer>; rel="{}""#, layer::RELATION);
        add(headers, header::LINK, &link);
    }
    response
}

/// Tells somebody the ICE servers of their region.
fn tell(app: &App, headers: &mut HeaderMap, identity: &Identity, region: Region) {
    let servers = app
        .ice
        .for_client(&identity.id, region.as_str(), SystemTime::now());
    add_ice_servers(headers, &servers);
}

/// Names the ICE session of a resource.
pub(super) fn entity_tag(session: &Session) -> String {
    format!("\"{}\"", session.ice_generation())
}

/// Reads a body as text.
pub(super) fn text(body: Body) -> Result<String, ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(Code::TooLarge, "The body has more than 1 MiB.")
        }
        _ => ApiError::new(Code::BadMessage, "The body could not be read."),
    })?;
    String::from_utf8(body.into())
        .map_err(|_| ApiError::new(Code::BadSdp, "The body is not UTF-8."))
}

/// Says why a description is of no use: what cannot be read, what is too large, and what cannot be served.
pub(super) fn refusal(error: NegotiationError) -> ApiError {
    let code = match error {
        NegotiationError::TooLarge(_) => Code::TooLarge,
        NegotiationError::Limit { .. }
        | NegotiationError::Line { .. }
        | NegotiationError::Grammar(_) => Code::BadSdp,
        NegotiationError::NoCommonCodec => Code::NoCommonCodec,
        NegotiationError::Unusable { .. }
        | NegotiationError::NoOffer
        | NegotiationError::WrongSide(_) => Code::SdpUnusable,
    };
    ApiError::new(code, error.to_string())
}
