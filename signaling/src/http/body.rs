//! JSON bodies, and what is wrong with those that are none.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use utoipa::PartialSchema;

use crate::error::{ApiError, Code};
use crate::json::{Strict, bounds, unfit};

/// A JSON body, with our errors.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + PartialSchema, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // Before it is read.
        check_kind(request.headers())?;
        let bytes = read_whole(request, state).await?;
        read(&bytes, bounds_of::<T>).map(Self)
    }
}

impl<T: DeserializeOwned + PartialSchema, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = ApiError;

    /// Returns `None` where the body is empty.
    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let kind = check_kind(request.headers());
        let bytes = read_whole(request, state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        kind?;
        read(&bytes, bounds_of::<T>).map(Self).map(Some)
    }
}

/// A body as it came, of any kind.
pub(crate) struct Upload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        read_whole(request, state).await.map(Self)
    }
}

fn check_kind(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_json(headers) {
        return Ok(());
    }
    let text = "The body must be application/json.";
    Err(ApiError::new(Code::UnsupportedMediaType, text))
}

async fn read_whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|refused| {
        let (code, text) = match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => (Code::TooLarge, "The body has more than 1 MiB."),
            _ => (Code::BadMessage, "The body could not be read."),
        };
        ApiError::new(code, text)
    })
}

impl<T: Default> Body<T> {
    /// Returns what is said where nothing has to be.
    pub(crate) fn or_default(body: Option<Self>) -> T {
        body.map_or_else(T::default, |Self(said)| said)
    }
}

/// Says which numbers a field of a body may be, as the description has it.
pub(crate) fn bounds_of<T: PartialSchema>(field: &str) -> Option<String> {
    let schema = serde_json::to_value(T::schema()).ok()?;
    bounds(&schema["properties"][field])
}

/// Reads JSON; `bounds` says which numbers a field may be, where that is known.
///
/// # Errors
/// `bad_json` for what is none, `bad_message` for other JSON than was expected: it names the field, and what it should be.
pub(crate) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    bounds: impl FnOnce(&str) -> Option<String>,
) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(Strict(&mut json));
    let ended = json.end();
    match (read, ended) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(error)) => Err(no_json(&error)),
        // A name of a list that is no text is told like broken JSON.
        (Err(error), _) => match serde_json::from_slice::<IgnoredAny>(bytes) {
            Err(error) => Err(no_json(&error)),
            Ok(_) if std::str::from_utf8(bytes).is_err() => Err(no_json(error.inner())),
            Ok(_) => Err(unfit("The body", &error, bounds)),
        },
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = media_type.strip_prefix("application/") else {
        return false;
    };
    subtype == "json" || subtype.ends_with("+json")
}

fn no_json(error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let text = format!("The body is no JSON: line {line}, column {column}.");
    ApiError::new(Code::BadJson, text)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is read, and that is all")]
    struct Thing {
        title: String,
        #[schema(minimum = 2, maximum = 9)]
        #[serde(default)]
        seats: Option<u32>,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Round,
        Square,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[expect(dead_code, reason = "as above")]
    struct Part {
        size: u32,
    }

    fn refused(body: &[u8]) -> (Code, String) {
        let error = read::<Thing>(body, bounds_of::<Thing>).unwrap_err();
        (error.code, error.message.to_string())
    }

    #[test]
    fn a_list_is_no_object_whatever_stands_at_the_places_of_fields() {
        for (body, what) in [
            (r#"["a"]"#, "The body"),
            (r#" ["a","round",[]]"#, "The body"),
            (r#"{"title":"a","parts":[{"size":1},[1]]}"#, "`parts[1]`"),
        ] {
            let said = refused(body.as_bytes());
            let expected = format!("{what}: expected an object.");
            assert_eq!(said, (Code::BadMessage, expected));
        }
    }

    #[test]
    fn a_field_that_is_not_as_expected_is_named() {
        for (body, said) in [
            (r#"{"title":"a","kind":5}"#, "`kind`: expected a text."),
            (r#"{"title":"a","kind":[]}"#, "`kind`: expected a text."),
            (
                r#"{"title":"a","kind":"no"}"#,
                "`kind`: expected `round` or `square`.",
            ),
            (r#"{"title":5}"#, "`title`: expected a text."),
            (
                r#"{"title":"a","parts":[{"size":1},{"size":"my secret"}]}"#,
                "`parts[1].size`: expected a whole number from 0 to 4294967295.",
            ),
            (
                r#"{"title":"a","seats":-1}"#,
                "`seats`: expected a whole number from 2 to 9.",
            ),
            (
                r#"{"title":"a","parts":[{"size":4294967296}]}"#,
                "`parts[0].size`: expected a whole number from 0 to 4294967295.",
            ),
            (
                "{}",
                "The body has wrong or missing fields: missing field `title`.",
            ),
            ("[]", "The body: expected an object."),
        ] {
            let (code, text) = refused(body.as_bytes());
            assert_eq!(code, Code::BadMessage, "{body}");
            assert!(text.starts_with(said), "{body}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
        let (_, text) = refused(br#"{"title":"a","more":1}"#);
        assert!(text.contains("unknown field `more`, expected"), "{text}");
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(10_000));
        assert!(refused(long.as_bytes()).1.len() < 400);
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        for (body, place) in [
            (&b""[..], "line 1, column 0"),
            (b"{\"title\":\"a\",}", "line 1, column 14"),
            (b"{\"title\":\"a\"} x", "line 1, column 15"),
            (b"{\n\"title\":}", "line 2, column 9"),
            (b"{\"title\":\"\xff\"}", "line 1, column "),
        ] {
            let (code, text) = refused(body);
            assert_eq!(code, Code::BadJson, "{text}");
            assert!(text.contains(place), "{text}");
        }
    }

    #[test]
    fn what_calls_itself_json_is_read_as_such() {
        for (value, is) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("application/jsonp", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), is, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
