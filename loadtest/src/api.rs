//! The REST calls of a guest and of a host (docs/protocol.md).

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A server's REST interface.
#[derive(Debug)]
pub(crate) struct Api {
    /// Host and port, as the `Host` header carries them.
    authority: String,
}

/// A session made by WHIP or WHEP (RFC 9725).
#[derive(Debug)]
pub(crate) struct Resource {
    api: Api,
    path: String,
    bearer: Option<String>,
    /// The server's description.
    pub(crate) answer: String,
}

/// What `POST /rooms/{id}/join` answers, as far as it is needed here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Join {
    /// For the `auth` message.
    pub(crate) token: String,
    /// Where the WebSocket is: absolute, or a path on the same host.
    pub(crate) ws_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    access_token: String,
}

#[derive(Deserialize)]
struct Room {
    id: String,
}

impl Api {
    /// Takes an address as `http://127.0.0.1:8080`.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "{url}: only http is spoken here"
        );
        let authority = uri
            .authority()
            .with_context(|| format!("{url} has no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
        })
    }

    /// Joins as the bearer, or as a guest.
    pub(crate) async fn join(&self, room: &str, bearer: Option<&str>) -> anyhow::Result<Join> {
        let mut join: Join = self
            .post(&format!("/api/v1/rooms/{room}/join"), bearer, &json!({}))
            .await?;
        if join.ws_url.starts_with('/') {
            join.ws_url = format!("ws://{}{}", self.authority, join.ws_url);
        }
        Ok(join)
    }

    /// Signs in by name, as a server in development allows, and returns the access token.
    pub(crate) async fn login(&self, name: &str) -> anyhow::Result<String> {
        let body = json!({ "username": name });
        let login: Login = self.post("/api/v1/auth/login", None, &body).await?;
        Ok(login.access_token)
    }

    /// Makes an unlisted room and returns its id.
    pub(crate) async fn create_room(&self, bearer: &str, title: &str) -> anyhow::Result<String> {
        let body = json!({ "title": title, "visibility": "unlisted", "allowGuestChat": true });
        let room: Room = self.post("/api/v1/rooms", Some(bearer), &body).await?;
        Ok(room.id)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<T> {
        let body = ("application/json", body.to_string());
        let (_, answer) = self.call(Method::POST, path, bearer, body).await?;
        serde_json::from_slice(&answer).with_context(|| format!("POST {path}: unexpected answer"))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        (content_type, body): (&str, String),
    ) -> anyhow::Result<(HeaderMap, Bytes)> {
        let call = format!("{method} {path}");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, content_type);
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;

        let stream = TcpStream::connect(&self.authority)
            .await
            .with_context(|| format!("cannot reach {}", self.authority))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .with_context(|| call.clone())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let read = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        connection.abort();
        let answer = match read {
            Ok(answer) => answer.to_bytes(),
            Err(error) => bail!("{call}: {error}"),
        };
        if !status.is_success() {
            bail!("{call}: {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok((headers, answer))
    }
}

impl Resource {
    /// Posts an offer to a WHIP or WHEP address.
    pub(crate) async fn create(
        url: &str,
        bearer: Option<&str>,
        offer: String,
    ) -> anyhow::Result<Self> {
        let api = Api::parse(url)?;
        let uri: Uri = url.parse()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let body = ("application/sdp", offer);
        let (headers, answer) = api.call(Method::POST, path, bearer, body).await?;
        let location = headers
            .get(LOCATION)
            .context("the answer has no Location")?;
        let location: Uri = location.to_str()?.parse()?;
        Ok(Self {
            path: location.path().to_owned(),
            api,
            bearer: bearer.map(str::to_owned),
            answer: String::from_utf8(answer.to_vec()).context("the answer is no text")?,
        })
    }

    /// Ends the session.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        let bearer = self.bearer.as_deref();
        let body = ("application/sdp", String::new());
        let call = self.api.call(Method::DELETE, &self.path, bearer, body);
        call.await.map(drop)
    }
}

/// More than any answer that is read here.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        let authority = |url| Api::parse(url).map(|api| api.authority).ok();
        assert_eq!(
            authority("http://127.0.0.1:8080"),
            Some("127.0.0.1:8080".into())
        );
        assert_eq!(authority("http://[::1]:8080/"), Some("[::1]:8080".into()));
        assert_eq!(
            authority("http://klieg.example"),
            Some("klieg.example:80".into())
        );
        assert_eq!(authority("https://klieg.example"), None);
        assert_eq!(authority("127.0.0.1:8080"), None);
    }
}
