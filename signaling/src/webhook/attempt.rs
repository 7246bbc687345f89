//! One attempt to tell one endpoint of one event, and what follows from what came of it.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::poster::{Answer, Poster};
use super::signature::sign;
use super::target::{self, Allowed};
use crate::store::{DeliveryStatus, Due, Tried, Webhook};
use crate::time::Timestamp;

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long after the first attempt the second is; the pauses double.
    pub(super) first: Duration,
    /// How long there are attempts.
    pub(super) whole: Duration,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) tried: Tried,
    /// When there is another; `None`: there is none.
    pub(super) again: Option<Timestamp>,
    /// Whether the receiver wants to be told nothing more (410).
    pub(super) gone: bool,
}

/// The body of a request (Standard Webhooks, payload structure), with the room and the event's number beside it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    room_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    data: &'a RawValue,
}

/// Writes what a receiver is told: each time the same.
pub(crate) fn body(due: &Due) -> String {
    let data = RawValue::from_string(due.content.clone());
    let data = data.unwrap_or_else(|_| RawValue::NULL.to_owned());
    let body = Body {
        r#type: &due.kind,
        timestamp: due.created_at,
        room_id: &due.room_id,
        seq: due.seq,
        data: &data,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// Tells an endpoint of an event.
pub(super) async fn attempt(
    poster: &Poster,
    allowed: &[Allowed],
    webhook: &Webhook,
    due: &Due,
) -> (Timestamp, Duration, Result<Answer, String>) {
    let (at, since) = (Timestamp::now(), Instant::now());
    let body = body(due);
    // What was allowed when it was added need not be any more.
    let answer = match target::read(&webhook.url, allowed) {
        Ok(url) => match headers(webhook, due, (at, &body)) {
            Some(headers) => poster.post(url, headers, body).await,
            None => Err("it cannot be signed".to_owned()),
        },
        Err(refused) => Err(refused.to_string()),
    };
    (at, since.elapsed(), answer)
}

fn headers(webhook: &Webhook, due: &Due, (at, body): (Timestamp, &str)) -> Option<HeaderMap> {
    let old = webhook.old_secret.as_ref();
    let old = old
        .filter(|(_, until)| at < *until)
        .map(|(secret, _)| secret);
    let secrets = [&webhook.secret].into_iter().chain(old);
    let signature = sign(secrets, (&due.event_id, at.seconds()), body);
    let mut headers = HeaderMap::new();
    let agent = concat!("klieg/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert("webhook-id", due.event_id.parse().ok()?);
    headers.insert("webhook-timestamp", at.seconds().into());
    headers.insert("webhook-signature", signature.parse().ok()?);
    Some(headers)
}

/// Decides what follows from an answer, or from none.
pub(super) fn judge(
    due: &Due,
    (at, took, answer): (Timestamp, Duration, Result<Answer, String>),
    patience: Patience,
    jitter: f64,
) -> Outcome {
    let attempts = due.attempts.saturating_add(1);
    let (status, wanted, error) = match answer {
        Ok(answer) if answer.status.is_success() => (Some(answer.status), None, None),
        Ok(answer) => {
            let said = format!("it answered {}", answer.status.as_u16());
            (Some(answer.status), answer.retry_after, Some(said))
        }
        Err(error) => (None, None, Some(error)),
    };
    let gone = status == Some(StatusCode::GONE);
    let pause = pause(attempts, patience.first, jitter).max(wanted.unwrap_or_default());
    let next = at.plus(took).plus(pause.min(LONGEST));
    let in_time = next < due.queued_at.plus(patience.whole);
    let again = (error.is_some() && in_time && !gone).then_some(next);
    let tried = Tried {
        number: due.number,
        status: match (&error, again) {
            (None, _) => DeliveryStatus::Delivered,
            (Some(_), Some(_)) => DeliveryStatus::Pending,
            (Some(_), None) => DeliveryStatus::Failed,
        },
        attempts,
        at,
        answer: status.map(|it| it.as_u16()),
        error: error.map(|text| text.chars().take(MAX_ERROR).collect()),
        took,
    };
    Outcome { tried, again, gone }
}

/// Returns how long to wait after so many attempts: doubled each time up to an hour, and of that between half and all, so
/// that what failed together does not come back together. `jitter` is from 0 to 1.
fn pause(attempts: u32, first: Duration, jitter: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    let whole = first.saturating_mul(doubled).min(LONGEST);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(3600);

/// Characters of what went wrong.
const MAX_ERROR: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(5),
        whole: Duration::from_secs(86_400),
    };

    fn due() -> Due {
        Due {
            number: 7,
            event_id: "0190".to_owned(),
            kind: "chat.message".to_owned(),
            room_id: "r".to_owned(),
            seq: Some(3),
            content: r#"{"text":"hi"}"#.to_owned(),
            created_at: Timestamp::from_millis(0),
            attempts: 0,
            queued_at: Timestamp::from_millis(0),
        }
    }

    fn after(due: &Due, at_s: u64, answer: Result<u16, &str>, wanted: Option<u64>) -> Outcome {
        let answer = answer.map(|status| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: wanted.map(Duration::from_secs),
        });
        let at = Timestamp::from_millis(0).plus(Duration::from_secs(at_s));
        let answer = answer.map_err(str::to_owned);
        judge(due, (at, Duration::ZERO, answer), PATIENCE, 1.0)
    }

    fn seconds(moment: Option<Timestamp>) -> Option<u64> {
        moment.map(Timestamp::seconds)
    }

    #[test]
    fn what_was_taken_is_delivered_and_all_else_is_tried_again() {
        for (answer, again) in [
            (Ok(200), None),
            (Ok(204), None),
            (Ok(301), Some(5)),
            (Ok(400), Some(5)),
            (Ok(500), Some(5)),
            (Err("no route"), Some(5)),
        ] {
            let outcome = after(&due(), 0, answer, None);
            assert_eq!(seconds(outcome.again), again, "{answer:?}");
            let status = outcome.tried.status;
            assert_eq!(status == DeliveryStatus::Delivered, again.is_none());
            assert_eq!(outcome.tried.error.is_none(), again.is_none());
        }
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_are_half_as_long_at_least() {
        let pauses = (1..=12).map(|attempts| pause(attempts, PATIENCE.first, 1.0).as_secs());
        let pauses: Vec<u64> = pauses.collect();
        assert_eq!(
            pauses,
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(pause(2, PATIENCE.first, 0.0).as_secs(), 5);
        assert_eq!(pause(u32::MAX, Duration::MAX, 2.0), LONGEST);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_but_not_for_a_day() {
        assert_eq!(seconds(after(&due(), 0, Ok(503), Some(60)).again), Some(60));
        assert_eq!(seconds(after(&due(), 0, Ok(429), Some(1)).again), Some(5));
        let day = after(&due(), 0, Ok(503), Some(86_400));
        assert_eq!(seconds(day.again), Some(3600));
    }

    #[test]
    fn attempts_end_with_the_time_for_them_or_with_gone() {
        let late = after(&due(), 86_396, Ok(500), None);
        assert_eq!((late.again, late.gone), (None, false));
        assert_eq!(late.tried.status, DeliveryStatus::Failed);
        let gone = after(&due(), 0, Ok(410), None);
        assert_eq!((gone.again, gone.gone), (None, true));
        assert_eq!(gone.tried.status, DeliveryStatus::Failed);
    }

    #[test]
    fn a_body_names_its_event_and_is_the_same_each_time() {
        let expected = r#"{"type":"chat.message","timestamp":"1970-01-01T00:00:00Z","roomId":"r","seq":3,"data":{"text":"hi"}}"#;
        assert_eq!(body(&due()), expected);
        let test = Due {
            room_id: String::new(),
            seq: None,
            content: "broken".to_owned(),
            ..due()
        };
        assert!(body(&test).ends_with(r#""timestamp":"1970-01-01T00:00:00Z","data":null}"#));
    }
}
