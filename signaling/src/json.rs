//! What is wrong with JSON that is not as expected, in words for who sent it.

use crate::error::{ApiError, Code};

/// Says which field of something is not as expected. What it held is not repeated: it may be a password.
pub(crate) fn unfit(
    whole: &str,
    error: &serde_path_to_error::Error<serde_json::Error>,
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
        format!("expected {}", in_words(expected))
    } else {
        // Our own types say in words of their own what they are not.
        "it cannot be read".to_owned()
    };
    let text = match path.as_str() {
        "." | "?" => format!("{whole} has wrong or missing fields: {reason}"),
        path => format!("`{path}`: {reason}"),
    };
    let text: String = text.chars().take(MAX_TEXT).collect();
    ApiError::new(Code::BadMessage, format!("{text}."))
}

/// Puts the reader's name of a type into words.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
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
