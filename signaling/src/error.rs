//! The errors that clients see: one list of codes for the WebSocket and for REST (RFC 9457).

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// What went wrong, as programs read it. The names on the wire are those of docs/protocol.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorCode)]
pub(crate) enum Code {
    /// The frame or body is no JSON.
    BadJson,
    /// Fields are missing or wrong.
    BadMessage,
    /// No message has this type.
    UnknownType,
    /// The message or body is longer than allowed.
    TooLarge,
    /// No token was shown.
    Unauthenticated,
    /// The token does not hold.
    TokenInvalid,
    /// The token held once.
    TokenExpired,
    /// What a shop sent is not signed as it has to be.
    SignatureInvalid,
    /// What it needs is not set on this server.
    NotConfigured,
    /// Name and password do not belong together.
    CredentialsWrong,
    /// Somebody has the name.
    NameTaken,
    /// The password is too easy, or too long.
    PasswordRefused,
    /// The role or the token's grants do not allow it.
    Forbidden,
    /// There is nothing by this name, or nothing that may be known.
    NotFound,
    /// The route does not know this method.
    MethodNotAllowed,
    /// The message needs a room.
    NotJoined,
    /// The socket is in a room.
    AlreadyJoined,
    /// The session description cannot be used.
    BadSdp,
    /// The session description can be read, and not be served.
    SdpUnusable,
    /// The session description has no codec that Klieg forwards.
    NoCommonCodec,
    /// The publisher sends what the offer cannot play.
    CodecMismatch,
    /// The publisher has no layer of this name.
    LayerUnknown,
    /// The body is of another media type.
    UnsupportedMediaType,
    /// The client would not take the answer.
    NotAcceptable,
    /// The request has to say which state it is about.
    PreconditionRequired,
    /// The request is about another state.
    PreconditionFailed,
    /// The text has no characters.
    TextEmpty,
    /// The text has too many characters.
    TextTooLong,
    /// A moderator took somebody the word.
    Muted,
    /// A moderator shut somebody out.
    Banned,
    /// The room's chat is slow at present.
    SlowMode,
    /// The room's chat is for some at present.
    AudienceOnly,
    /// The text has a link.
    LinkRefused,
    /// The text has a word that is not said here.
    WordRefused,
    /// The emoji is not one of the allowed.
    EmojiUnknown,
    /// Too often.
    RateLimited,
    /// The request took too long to come.
    TimedOut,
    /// A queue is full.
    Busy,
    /// The server takes no more, or is about to stop.
    Draining,
    /// The database is away.
    Unavailable,
    /// The shop does not tell what it knows of a product.
    CatalogueAway,
    /// The room's event is over.
    RoomOver,
    /// Nothing is sent to this address.
    AddressRefused,
    /// The room is not in a status in which this can be done.
    RoomState,
    /// A field is in its bounds, and yet its value cannot be used.
    InvalidValue,
    /// A fault of the server.
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::BadJson
            | Self::BadMessage
            | Self::UnknownType
            | Self::BadSdp
            | Self::EmojiUnknown => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthenticated
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::SignatureInvalid
            | Self::CredentialsWrong => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Muted | Self::Banned | Self::AudienceOnly => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJoined
            | Self::AlreadyJoined
            | Self::RoomOver
            | Self::RoomState
            | Self::NameTaken => StatusCode::CONFLICT,
            Self::SdpUnusable
            | Self::NoCommonCodec
            | Self::CodecMismatch
            | Self::LayerUnknown
            | Self::TextEmpty
            | Self::PasswordRefused
            | Self::TextTooLong
            | Self::LinkRefused
            | Self::WordRefused
            | Self::AddressRefused
            | Self::InvalidValue => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::RateLimited | Self::SlowMode => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Draining | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotConfigured => StatusCode::NOT_IMPLEMENTED,
            Self::CatalogueAway => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadJson => "Not JSON",
            Self::BadMessage => "Wrong or missing fields",
            Self::UnknownType => "Unknown type of message",
            Self::TooLarge => "Too large",
            Self::Unauthenticated => "Sign in first",
            Self::TokenInvalid => "The token does not hold",
            Self::TokenExpired => "The token has expired",
            Self::SignatureInvalid => "The signature does not hold",
            Self::NotConfigured => "Not set on this server",
            Self::CatalogueAway => "The shop's catalogue cannot be asked",
            Self::CredentialsWrong => "The name or the password is wrong",
            Self::NameTaken => "The name is taken",
            Self::PasswordRefused => "Another password is needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::NotJoined => "Join a room first",
            Self::AlreadyJoined => "Already in a room",
            Self::BadSdp => "The session description cannot be used",
            Self::SdpUnusable => "The session description cannot be served",
            Self::NoCommonCodec => "No common codec",
            Self::CodecMismatch => "The publisher's codec is not in the offer",
            Self::LayerUnknown => "No such layer",
            Self::UnsupportedMediaType => "Another media type is needed",
            Self::NotAcceptable => "Not acceptable",
            Self::PreconditionRequired => "If-Match is needed",
            Self::PreconditionFailed => "It has changed since",
            Self::TextEmpty => "The text is empty",
            Self::TextTooLong => "The text is too long",
            Self::Muted => "You may not write at present",
            Self::Banned => "You may not enter",
            Self::SlowMode => "The chat is slow at present",
            Self::AudienceOnly => "The chat is for some at present",
            Self::LinkRefused => "No links here",
            Self::WordRefused => "Not said here",
            Self::EmojiUnknown => "Not one of the reactions",
            Self::RateLimited => "Too often",
            Self::TimedOut => "The request took too long",
            Self::Busy => "Busy, try again",
            Self::Draining => "The server takes no more",
            Self::Unavailable => "The database is away",
            Self::RoomOver => "The room's event is over",
            Self::RoomState => "Not in this status of the room",
            Self::AddressRefused => "Nothing is sent to this address",
            Self::InvalidValue => "A value cannot be used",
            Self::Internal => "A fault of the server",
        }
    }
}

/// An answer that says no: to people by `message`, to programs by `code`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    /// What went wrong.
    pub code: Code,
    /// One sentence for the person at the other end; never holds secrets or what others said.
    pub message: Cow<'static, str>,
    /// When it may work; `None` when waiting does not help.
    pub retry_after: Option<Duration>,
    /// Nothing was begun of what was asked for, so that the same may be asked again without a doubt.
    is_before_all: bool,
    /// The cause, for the log alone.
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// Returns whether the server could not do it, or does not know whether it did, rather than would not.
    pub(crate) fn is_failure(&self) -> bool {
        self.code.status().is_server_error() && !self.is_before_all
    }

    /// Says no with a sentence.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            is_before_all: false,
            source: None,
        }
    }

    /// Says that the server is at fault, and keeps the cause for the log.
    pub(crate) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(
                Code::Internal,
                "The server could not do it; its log has the cause.",
            )
        }
    }

    /// Says what became of a wish to the database: that it is away, or that the server is at fault.
    pub(crate) fn store(error: StoreError) -> Self {
        if !error.is_away() {
            return Self::internal(error);
        }
        Self {
            source: Some(error.into()),
            ..Self::away()
        }
    }

    /// Says that the database is away.
    pub(crate) fn away() -> Self {
        let text = "The database does not answer at present; try again.";
        Self::new(Code::Unavailable, text).retry_after(Duration::from_secs(1))
    }

    /// Says that nothing is known by this name, in the same words for missing and for hidden rooms.
    pub(crate) fn no_room() -> Self {
        Self::new(Code::NotFound, "There is no such room.")
    }

    /// Says that there are as many as there may be.
    pub(crate) fn too_many() -> Self {
        Self::new(Code::InvalidValue, "There are too many of them already.")
    }

    /// Says that a queue is full.
    pub(crate) fn busy() -> Self {
        Self::new(Code::Busy, "The server is busy; nothing was done.")
            .retry_after(Duration::from_secs(1))
    }

    /// Says the same to somebody else; the cause is in the log once.
    pub(crate) fn again(&self) -> Self {
        Self {
            code: self.code,
            message: self.message.clone(),
            retry_after: self.retry_after,
            is_before_all: self.is_before_all,
            source: None,
        }
    }

    /// Adds that nothing was begun: whatever the server is at fault with, it did not do what was asked for.
    pub(crate) fn with_nothing_begun(self) -> Self {
        Self {
            is_before_all: true,
            ..self
        }
    }

    /// Adds when to try again.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// Writes faults of the server to the log. Those call it who hand the error on to nobody of us: the two
    /// ends that answer clients, and who reads a shop's topic.
    pub(crate) fn report(&self) {
        if let Some(source) = &self.source {
            tracing::error!(error = %source, "a request failed");
        }
    }
}

/// What an answer over HTTP refused, for those who count and log.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// What went wrong.
    pub(crate) code: Code,
    /// What the client was told.
    pub(crate) message: Cow<'static, str>,
}

/// What clients get over HTTP (RFC 9457, section 3.1).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.report();
        let status = self.code.status();
        let problem = Problem {
            r#type: "about:blank",
            title: self.code.title(),
            status: status.as_u16(),
            detail: &self.message,
            code: self.code,
        };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let content_type = (header::CONTENT_TYPE, "application/problem+json");
        let mut response = (status, [content_type], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            // Who comes back a moment too early would only be sent away again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let (code, message) = (self.code, self.message);
        response.extensions_mut().insert(Refusal { code, message });
        response
    }
}
