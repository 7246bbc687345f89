//! What may be said, and how often.

use std::time::{Duration, Instant};

use crate::error::{ApiError, Code};
use crate::limit::{Rate, TokenBuckets};
use crate::text;

/// Cleans a text, as [`text::clean`] does, and checks its length. Characters are Unicode scalar values, as
/// `String::chars` counts them.
///
/// # Errors
/// `text_empty` or `text_too_long`.
pub(crate) fn clean(text: &str) -> Result<String, ApiError> {
    let text = text::clean(text);
    match text.chars().count() {
        0 => Err(ApiError::new(Code::TextEmpty, "The text is empty.")),
        1..=MAX_LENGTH => Ok(text),
        _ => Err(ApiError::new(
            Code::TextTooLong,
            "The text has more than 500 characters.",
        )),
    }
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
