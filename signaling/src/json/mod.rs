//! JSON from clients: how it is read, and what is wrong with what is not as expected, in words for who sent it.

mod strict;

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ApiError, Code};
pub(crate) use strict::Strict;

/// Reads a text whole, objects from objects alone.
///
/// # Errors
/// It is no JSON, or other JSON than was expected.
pub(crate) fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::deserialize(Strict(&mut json))?;
    json.end().map(|()| read)
}

/// Says which field of something is not as expected, and of a number what it may be: as `bounds` has it of the field, or
/// else what is ever read. What it held is not repeated: it may be a password.
pub(crate) fn unfit<E: Display>(
    whole: &str,
    error: &serde_path_to_error::Error<E>,
    bounds: impl FnOnce(&str) -> Option<String>,
) -> ApiError {
    let path = error.path().to_string();
    let said = error.inner().to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |it| it.0);
    let known = ["missing field ", "duplicate field ", "unknown field "];
    let reason = if known.iter().any(|known| said.starts_with(known)) {
        said.to_owned()
    } else if said == "expected value" {
        "expected a text".to_owned()
    } else if let Some((_, expected)) = said.rsplit_once(", expected ") {
        let expected = in_words(expected);
        let is_number = expected.starts_with("a whole number");
        let bounds = is_number.then(|| bounds(&path)).flatten();
        format!("expected {}", bounds.as_deref().unwrap_or(expected))
    } else {
        // Our own types say in words of their own what they are not.
        "it cannot be read".to_owned()
    };
    let text = match path.as_str() {
        "." | "?" if reason.starts_with("expected ") => format!("{whole}: {reason}"),
        "." | "?" => format!("{whole} has wrong or missing fields: {reason}"),
        path => format!("`{path}`: {reason}"),
    };
    let text: String = text.chars().take(MAX_TEXT).collect();
    ApiError::new(Code::BadMessage, format!("{text}."))
}

/// Says what a number may be that a JSON Schema bounds; `None` for what it does not.
pub(crate) fn bounds(schema: &Value) -> Option<String> {
    let bound = |name: &str| schema.get(name).map(Value::to_string);
    let (least, most) = (bound("minimum")?, bound("maximum")?);
    Some(format!("a whole number from {least} to {most}"))
}

/// Puts the reader's name of a type into words.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "i64" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// Names of fields are the client's own, and may be long.
const MAX_TEXT: usize = 300;
