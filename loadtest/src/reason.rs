//! Why visits ended early: what servers say, and how often the same was said.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::Value;

/// What a server answered instead of doing what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As the protocol names it; for HTTP the status stands in front.
    pub(crate) code: String,
    /// For people; empty when nothing was said.
    message: String,
    /// The request that it answers; `None` when it answers none.
    pub(crate) re: Option<String>,
    /// When to come again; `None` when the server does not say so.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads the content of an `error` message.
    pub(crate) fn of(d: &Value) -> Self {
        let text = |name: &str| d[name].as_str().map(short);
        Self {
            code: text("code").unwrap_or_else(|| "no code".into()),
            message: text("message").unwrap_or_default(),
            re: text("re"),
            retry_after: d["retryAfterMs"].as_u64().map(Duration::from_millis),
        }
    }

    /// Reads an answer of HTTP: a problem (RFC 9457), or any text.
    pub(crate) fn of_http(status: hyper::StatusCode, body: &[u8]) -> Self {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(short);
        let code = text("code").map_or_else(
            || status.to_string(),
            |code| format!("{} {code}", status.as_u16()),
        );
        let message = text("detail").or_else(|| text("title"));
        Self {
            code,
            message: message.unwrap_or_else(|| short(&String::from_utf8_lossy(body))),
            re: None,
            retry_after: None,
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the server says {}", self.code)?;
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Refusal {}

/// A WebSocket that the server closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// `None` when it said neither a number nor why.
    pub(crate) frame: Option<(u16, String)>,
}

impl Display for Closed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.frame {
            Some((code, reason)) if reason.is_empty() => write!(f, "closed {code}"),
            Some((code, reason)) => write!(f, "closed {code}: {}", short(reason)),
            None => f.write_str("the server closed the socket without a word"),
        }
    }
}

impl std::error::Error for Closed {}

/// Why one visit ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The same for all that ended for the same reason.
    kind: String,
    /// In words.
    text: String,
}

impl Reason {
    /// Puts what is known in words.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let text = format!("{error:#}");
        let refusal = error.downcast_ref::<Refusal>();
        let closed = error.downcast_ref::<Closed>();
        let kind = match (refusal, closed.and_then(|closed| closed.frame.as_ref())) {
            (Some(refusal), _) => format!("refused {}", refusal.code),
            (None, Some((code, _))) => format!("closed {code}"),
            (None, None) => without_numbers(&text),
        };
        Self { kind, text }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self {
            kind: text.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// Counts each kind, the most frequent first, in the words of the first of its kind.
pub(crate) fn count<'a>(reasons: impl Iterator<Item = &'a Reason>) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<&str, (&str, usize)>::new();
    for Reason { kind, text } in reasons {
        counts.entry(kind).or_insert((text, 0)).1 += 1;
    }
    let counts = counts.into_values();
    let mut list: Vec<_> = counts.map(|(text, n)| (text.to_owned(), n)).collect();
    list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    list
}

/// Returns the text with every number as 0: ports and times make no kind of their own.
fn without_numbers(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '0'..='9' if kind.ends_with('0') => {}
            '0'..='9' => kind.push('0'),
            letter => kind.push(letter),
        }
    }
    kind
}

/// Returns what a report has room for of a server's words.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_LETTERS).collect()
}

const MAX_LETTERS: usize = 200;

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use serde_json::json;

    use super::*;

    fn refusal(code: &str, retry_after_ms: u64) -> Reason {
        let d = json!({ "code": code, "message": "Later.", "retryAfterMs": retry_after_ms });
        let refused = anyhow::Result::<()>::Err(Refusal::of(&d).into());
        Reason::of(&refused.context("joining").unwrap_err())
    }

    #[test]
    fn what_differs_only_in_numbers_is_one_kind_and_the_most_frequent_comes_first() {
        let closed = |reason: &str| {
            let frame = Some((4429, reason.to_owned()));
            Reason::of(&Closed { frame }.into())
        };
        let mut reasons: Vec<_> = (0..30).map(|ms| refusal("busy", ms)).collect();
        reasons.push(refusal("banned", 1));
        reasons.extend([closed("too much"), closed("far too much")]);
        let ports = ["no way to 127.0.0.1:5001", "no way to 127.0.0.1:40"];
        reasons.extend(ports.map(|text| Reason::of(&anyhow::anyhow!(text))));
        let counted = count(reasons.iter());
        let counted: Vec<_> = counted
            .iter()
            .map(|(text, n)| (text.as_str(), *n))
            .collect();
        assert_eq!(
            counted,
            [
                ("joining: the server says busy: Later.", 30),
                ("closed 4429: too much", 2),
                ("no way to 127.0.0.1:5001", 2),
                ("joining: the server says banned: Later.", 1),
            ]
        );
    }

    #[test]
    fn problems_are_told_in_their_own_words() {
        let status = hyper::StatusCode::FORBIDDEN;
        let told = |body: &[u8]| Refusal::of_http(status, body).to_string();
        assert_eq!(
            told(br#"{"code":"banned","detail":"Not here.","retryAfterMs":5}"#),
            "the server says 403 banned: Not here."
        );
        assert_eq!(told(b""), "the server says 403 Forbidden");
        let long = told("x\n".repeat(500).as_bytes());
        assert!(long.len() < 300 && !long.contains('\n'), "{long}");
    }

    #[test]
    fn a_refusal_may_lack_everything() {
        let refusal = Refusal::of(&Value::Null);
        assert_eq!(refusal.to_string(), "the server says no code");
        assert_eq!((refusal.re, refusal.retry_after), (None, None));
    }
}
