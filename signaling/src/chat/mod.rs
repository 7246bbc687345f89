//! What may be said, and how often.

mod fold;

mod filter;

mod settings;

use std::time::{Duration, Instant};

use serde::Deserialize;
use unicode_segmentation::UnicodeSegmentation;
use utoipa::ToSchema;

pub(crate) use filter::WordList;
pub(crate) use settings::{Audience, ChatSettings, PublicSettings, SettingsPatch, Verdict};

use crate::error::{ApiError, Code};
use crate::limit::{Rate, TokenBuckets};
use crate::store::MessageKind;
use crate::text;

/// What somebody wants to say.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Said {
    /// At most 500 characters as people count them (grapheme clusters, UAX #29).
    #[schema(min_length = 1, max_length = 2000)]
    pub(crate) text: String,
    /// `chat` where it is left out.
    #[serde(default)]
    pub(crate) kind: SaidKind,
    /// The ids of those who are meant, of whom the room knows: ten at most.
    #[serde(default)]
    #[schema(max_items = 10)]
    pub(crate) mentions: Vec<String>,
    /// The id of the message that it answers.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) reply_to: Option<String>,
    /// The id of the product that it is about, where the room sells it.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) product_id: Option<String>,
}

/// What somebody may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidKind {
    /// Words.
    #[default]
    Chat,
    /// An announcement: for those who keep order.
    System,
}

impl From<SaidKind> for MessageKind {
    fn from(kind: SaidKind) -> Self {
        match kind {
            SaidKind::Chat => Self::Chat,
            SaidKind::System => Self::System,
        }
    }
}

impl Said {
    /// Checks what needs no room: the text, which is cleaned, and how much it refers to.
    ///
    /// # Errors
    /// `text_empty`, `text_too_long` or `bad_message`.
    pub(crate) fn check(self) -> Result<Self, ApiError> {
        let named = |id: &String| is_name(id, MAX_IDENTITY);
        if self.mentions.len() > MAX_MENTIONS || !self.mentions.iter().all(named) {
            let text = "`mentions` has ten ids at most.";
            return Err(ApiError::new(Code::BadMessage, text));
        }
        let named = |id: &String| is_name(id, MAX_MESSAGE_ID);
        if !self.reply_to.as_ref().is_none_or(named) {
            return Err(ApiError::new(Code::BadMessage, "`replyTo` is no id."));
        }
        if !self.product_id.as_ref().is_none_or(named) {
            return Err(ApiError::new(Code::BadMessage, "`productId` is no id."));
        }
        let text = clean(&self.text)?;
        Ok(Self { text, ..self })
    }
}

/// Returns whether a text can be somebody's or something's id.
pub(crate) fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.contains('\0')
}

/// Cleans a text, as [`text::clean`] does, and checks its length. Characters are those that people see: extended grapheme
/// clusters (UAX #29), of four Unicode scalar values on average at most.
///
/// # Errors
/// `text_empty` or `text_too_long`.
pub(crate) fn clean(text: &str) -> Result<String, ApiError> {
    // Whoever sends a novel does not have it cleaned first.
    let text = if text.len() > MAX_BYTES {
        return Err(too_long());
    } else {
        text::clean(text)
    };
    if text.is_empty() {
        return Err(ApiError::new(Code::TextEmpty, "The text is empty."));
    }
    let long = text.graphemes(true).nth(MAX_LENGTH).is_some();
    if long || text.chars().nth(MAX_SCALARS).is_some() {
        return Err(too_long());
    }
    Ok(text)
}

fn too_long() -> ApiError {
    let text = "The text has more than 500 characters.";
    ApiError::new(Code::TextTooLong, text)
}

/// How often each identity may say something, over all its sockets in a room.
#[derive(Debug)]
pub(crate) struct ChatLimiter(TokenBuckets<String>);

impl Default for ChatLimiter {
    fn default() -> Self {
        Self(TokenBuckets::new(Rate::per_second(MESSAGES_PER_SECOND)))
    }
}

impl ChatLimiter {
    /// Lets an identity say something.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub(crate) fn take(&mut self, identity: &str, now: Instant) -> Result<(), ApiError> {
        self.0.take(identity, now).map_err(too_often)
    }
}

fn too_often(wait: Duration) -> ApiError {
    ApiError::new(Code::RateLimited, "Slow down: five messages a second.").retry_after(wait)
}

/// Characters a message may have.
pub(crate) const MAX_LENGTH: usize = 500;

/// Unicode scalar values a message may have: a family of emoji takes seven, a letter of Tamil two.
pub(crate) const MAX_SCALARS: usize = 4 * MAX_LENGTH;

/// What is read of a message at all.
const MAX_BYTES: usize = 4 * 4 * MAX_SCALARS;

const MAX_MENTIONS: usize = 10;

/// Characters of somebody's id.
pub(crate) const MAX_IDENTITY: usize = 128;

/// Characters of the id of a message.
pub(crate) const MAX_MESSAGE_ID: usize = 64;

const MESSAGES_PER_SECOND: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cleaned_before_it_is_counted() {
        assert_eq!(clean("  a\nb\u{7}\u{0}c\t ").unwrap(), "a bc");
        assert_eq!(
            clean(&format!(" {} ", "😀".repeat(500)))
                .unwrap()
                .chars()
                .count(),
            500
        );
        assert_eq!(clean(&"x".repeat(501)).unwrap_err().code, Code::TextTooLong);
        // What people see as one character is one.
        let family = "👩\u{200d}👩\u{200d}👧";
        assert!(clean(&family.repeat(400)).is_ok());
        assert!(clean(&"e\u{302}\u{301}".repeat(500)).is_ok());
        assert!(clean(&"நி".repeat(500)).is_ok());
        for long in [
            family.repeat(401),
            "நி".repeat(501),
            "x".repeat(2_000_000),
            format!("x{}", "\u{200d}".repeat(2_000)),
        ] {
            assert_eq!(clean(&long).unwrap_err().code, Code::TextTooLong);
        }
        for empty in ["", "  ", "\u{7}\n"] {
            assert_eq!(clean(empty).unwrap_err().code, Code::TextEmpty);
        }
    }

    #[test]
    fn one_who_says_too_much_delays_nobody_else() {
        let (mut limiter, now) = (ChatLimiter::default(), Instant::now());
        for _ in 0..5 {
            limiter.take("ann", now).unwrap();
        }
        let error = limiter.take("ann", now).unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_millis(200)));
        limiter.take("bob", now).unwrap();
    }
}
