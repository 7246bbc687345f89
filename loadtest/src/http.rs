//! HTTP requests: redirects are followed, and who is told to come later does (RFC 9110, sections 10.2.3 and 15.4).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use url::Url;

use crate::net::{Net, authority};
use crate::reason::Refusal;

/// Makes requests, each on a connection of its own, as each viewer's first one is.
pub(crate) struct Http {
    pub(crate) net: Net,
    /// How often a server said "later".
    pub(crate) told_to_wait: AtomicU64,
}

/// What to ask for.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

/// A successful answer.
pub(crate) struct Reply {
    /// Where it came from in the end.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    pub(crate) fn new(net: Net) -> Self {
        Self {
            net,
            told_to_wait: AtomicU64::new(0),
        }
    }

    /// Asks until there is an answer; whoever calls sets the limit of time.
    pub(crate) async fn call(&self, mut call: Call<'_>) -> anyhow::Result<Reply> {
        let mut redirects = 0;
        loop {
            let what = format!("{} {}", call.method, call.url.path());
            let (status, headers, body) = self.once(&call).await.context(what.clone())?;
            if status.is_success() {
                let url = call.url;
                return Ok(Reply { url, headers, body });
            }
            let is_busy = status == StatusCode::SERVICE_UNAVAILABLE
                || status == StatusCode::TOO_MANY_REQUESTS;
            if let Some(wait) = retry_after(&headers).filter(|_| is_busy) {
                self.wait(wait).await;
                continue;
            }
            if !status.is_redirection() {
                let refusal = Refusal::of_http(status, &body);
                return Err(anyhow::Error::new(refusal).context(what));
            }
            redirects += 1;
            ensure!(redirects <= MAX_REDIRECTS, "{what}: too many redirects");
            let next = location(&call.url, &headers).context(what)?;
            ensure!(
                next.scheme() == call.url.scheme() || next.scheme() == "https",
                "{}: a redirect from https to {next} would give the token away",
                call.url
            );
            call.url = next;
        }
    }

    /// Waits as long as a server said, which is counted.
    pub(crate) async fn wait(&self, time: Duration) {
        sleep(self.longer(time)).await;
    }

    /// Counts that a server said so, and returns how long to wait.
    pub(crate) fn longer(&self, time: Duration) -> Duration {
        self.told_to_wait.fetch_add(1, Ordering::Relaxed);
        // Whoever was told the same does not come back at the same moment.
        let time = time.clamp(MIN_WAIT, MAX_WAIT);
        time.mul_f64(rand::random_range(1.0..1.5))
    }

    async fn once(&self, call: &Call<'_>) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
        let target = match call.url.query() {
            Some(query) => format!("{}?{query}", call.url.path()),
            None => call.url.path().to_owned(),
        };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(target)
            .header(HOST, authority(&call.url))
            .header(CONTENT_TYPE, call.content_type);
        if let Some(token) = call.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(call.body.clone())))?;
        let stream = self.net.connect(&call.url).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let read = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        connection.abort();
        match read {
            Ok(answer) => Ok((status, headers, answer.to_bytes())),
            Err(error) => bail!("{error}"),
        }
    }
}

/// Returns what `Location` names, seen from a URL.
pub(crate) fn location(from: &Url, headers: &HeaderMap) -> anyhow::Result<Url> {
    let location = headers
        .get(LOCATION)
        .context("the answer has no Location")?;
    let location = location.to_str()?;
    from.join(location)
        .with_context(|| format!("{location} is no URL"))
}

/// Returns how long to wait; dates are not understood.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(MIN_WAIT, MAX_WAIT))
}

/// More than any answer that is read here.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const MAX_REDIRECTS: u32 = 5;
/// "At once" is still no reason to spin.
const MIN_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_location_may_be_absolute_or_relative() {
        let from = "https://a.example:8443/whep/room?x=1".parse().unwrap();
        let found = |value| location(&from, &headers("location", value)).map(String::from);
        for (value, expected) in [
            ("/s/1", "https://a.example:8443/s/1"),
            ("s/1?t=2", "https://a.example:8443/whep/s/1?t=2"),
            ("//b.example/s", "https://b.example/s"),
            ("http://b.example/s", "http://b.example/s"),
        ] {
            assert_eq!(found(value).unwrap(), expected);
        }
        assert!(location(&from, &HeaderMap::new()).is_err());
        assert!(found("http://[").is_err());
    }

    #[test]
    fn waiting_has_bounds() {
        let wait = |value| retry_after(&headers("retry-after", value));
        assert_eq!(wait("2"), Some(Duration::from_secs(2)));
        assert_eq!(wait("0"), Some(MIN_WAIT));
        assert_eq!(wait("86400"), Some(MAX_WAIT));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
