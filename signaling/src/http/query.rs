//! What stands behind the question mark of the API's addresses: what its description has, and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::value::{Error, MapDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor,
};
use serde_json::Value;
use url::form_urlencoded;
use utoipa::IntoParams;

use super::openapi;
use crate::error::{ApiError, Code};
use crate::json::{bounds, unfit};

/// The parameters of an address, with our errors. Those of other types are for others to read.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams + Send, S: Send + Sync> FromRequestParts<S>
    for Parameters<T>
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = read(parts.uri.query().unwrap_or_default());
        std::future::ready(read.map(Self)).await
    }
}

/// Reads the parameters of an address.
///
/// # Errors
/// `bad_message`: it names the parameter, and what it should be.
pub(crate) fn read<T: DeserializeOwned + IntoParams>(query: &str) -> Result<T, ApiError> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let pairs = pairs.map(|(name, value)| (name, Text(value)));
    let read = serde_path_to_error::deserialize(MapDeserializer::new(pairs));
    read.map_err(|error: serde_path_to_error::Error<Error>| {
        unfit("The query", &error, bounds_of::<T>)
    })
}

/// Says that a parameter is not as described.
pub(crate) fn bad_parameter(name: &str, expected: &str) -> ApiError {
    ApiError::new(Code::BadMessage, format!("`{name}`: expected {expected}."))
}

/// Says which numbers a parameter may be, as the description has it.
fn bounds_of<T: IntoParams>(name: &str) -> Option<String> {
    let all = T::into_params(|| None);
    let parameter = all.into_iter().find(|it| it.name == name)?;
    bounds(&serde_json::to_value(parameter.schema?).ok()?)
}

/// Refuses requests with parameters that their operation does not have: who misspells one is told so.
pub(crate) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let operation = request.extensions().get::<MatchedPath>();
    let query = request.uri().query().unwrap_or_default();
    let unknown = operation.and_then(|path| unknown(request.method(), path.as_str(), query));
    match unknown {
        Some(name) => {
            let name: String = name.chars().take(MAX_SHOWN).collect();
            let text = format!("`{name}` is no parameter of this address.");
            ApiError::new(Code::BadMessage, text).into_response()
        }
        None => next.run(request).await,
    }
}

/// Returns the first parameter that an operation does not have; `None` for addresses that the description leaves out.
fn unknown<'a>(method: &Method, path: &str, query: &'a str) -> Option<Cow<'a, str>> {
    if query.is_empty() {
        return None;
    }
    let method = if method == Method::HEAD {
        "get".to_owned()
    } else {
        method.as_str().to_ascii_lowercase()
    };
    let known = KNOWN.get(&(method, unnamed(path.strip_prefix("/api/v1")?)))?;
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    names.find(|name| !known.iter().any(|known| known == name))
}

/// Leaves out what the parts of an address are called: the router has other names than the description.
fn unnamed(path: &str) -> String {
    let part = |part: &str| {
        if part.starts_with('{') {
            "{}".to_owned()
        } else {
            part.to_owned()
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The parameters of every operation, by its method in lower case and its path.
static KNOWN: LazyLock<HashMap<(String, String), Vec<String>>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(openapi::text()).unwrap_or_default();
    let mut known = HashMap::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.filter(|it| it["in"] == "query");
            let names = parameters.filter_map(|it| it["name"].as_str().map(str::to_owned));
            known.insert((method.clone(), unnamed(path)), names.collect());
        }
    }
    known
});

/// A parameter's value: text, until a type is asked for.
struct Text<'a>(Cow<'a, str>);

impl<'a> IntoDeserializer<'a, Error> for Text<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parse {
    ($($method:ident $visit:ident $type:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Error::invalid_value(Unexpected::Other("text"), &$type)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    parse! {
        deserialize_bool visit_bool "a boolean";
        deserialize_u32 visit_u32 "u32";
        deserialize_u64 visit_u64 "u64";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// Names of parameters are the client's own, and may be long.
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::store::RoomOrder;

    #[derive(Debug, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    #[expect(dead_code, reason = "it is read, and that is all")]
    struct Asked {
        who: String,
        sort: Option<RoomOrder>,
        #[param(minimum = 1, maximum = 100)]
        limit: Option<u32>,
        #[serde(default)]
        start: bool,
    }

    #[test]
    fn a_parameter_that_is_not_as_described_is_named_with_what_it_may_be() {
        read::<Asked>("who=%C3%A9+e&sort=newest&limit=7&start=true&other=1").unwrap();
        for (query, said) in [
            (
                "who=a&limit=my%20secret",
                "`limit`: expected a whole number from 1 to 100.",
            ),
            (
                "who=a&limit=-1",
                "`limit`: expected a whole number from 1 to 100.",
            ),
            (
                "who=a&limit=4294967296",
                "`limit`: expected a whole number from 1 to 100.",
            ),
            ("who=a&start=yes", "`start`: expected true or false."),
            (
                "who=a&sort=secret",
                "`sort`: expected one of `active`, `newest`, `popular`, `soonest`.",
            ),
            (
                "",
                "The query has wrong or missing fields: missing field `who`.",
            ),
            (
                "who=a&who=b",
                "The query has wrong or missing fields: duplicate field `who`.",
            ),
        ] {
            let error = read::<Asked>(query).unwrap_err();
            assert_eq!((error.code, &*error.message), (Code::BadMessage, said));
        }
    }

    #[test]
    fn a_parameter_that_an_operation_does_not_have_is_found() {
        let unknown = |method, path, query| unknown(&method, path, query).map(Cow::into_owned);
        let rooms = "/api/v1/rooms";
        for (method, path, query, first) in [
            (Method::GET, rooms, "", None),
            (Method::GET, rooms, "q=a&limit=1&sort=newest", None),
            (Method::HEAD, rooms, "q=a", None),
            (Method::GET, rooms, "q=a&limt=1&x", Some("limt")),
            (Method::GET, rooms, "x", Some("x")),
            (Method::POST, rooms, "start=true", None),
            (Method::POST, rooms, "q=a", Some("q")),
            (Method::GET, "/api/v1/rooms/{id}/audit", "limit=1", None),
            (
                Method::PUT,
                "/api/v1/rooms/{id}/chat/{message}/pin",
                "x=1",
                Some("x"),
            ),
            (Method::GET, "/api/v1/openapi.json", "x=1", None),
            (Method::POST, "/whip/{room}", "x=1", None),
        ] {
            assert_eq!(unknown(method, path, query).as_deref(), first, "{query}");
        }
    }
}
