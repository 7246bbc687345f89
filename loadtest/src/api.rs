//! What is asked of servers by HTTP: Klieg's REST interface (docs/protocol.md), WHIP and WHEP (RFC 9725).

use std::sync::Arc;

use anyhow::Context as _;
use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::http::{Call, Http, location};

/// A Klieg's REST interface.
pub(crate) struct Api {
    http: Arc<Http>,
    base: Url,
}

/// A session made by WHIP or WHEP.
pub(crate) struct Resource {
    http: Arc<Http>,
    url: Url,
    bearer: Option<String>,
    /// The server's description.
    pub(crate) answer: String,
}

/// A way into a room.
#[derive(Debug)]
pub(crate) struct Join {
    /// For the `auth` message.
    pub(crate) token: String,
    pub(crate) socket: Url,
}

/// What `POST /rooms/{id}/join` answers, as far as it is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    token: String,
    /// Absolute, or a path on the same host.
    ws_url: String,
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
    /// Speaks to the server at this address.
    pub(crate) fn new(http: &Arc<Http>, base: &Url) -> Self {
        Self {
            http: Arc::clone(http),
            base: base.clone(),
        }
    }

    /// Joins as the bearer, or as a guest.
    pub(crate) async fn join(&self, room: &str, bearer: Option<&str>) -> anyhow::Result<Join> {
        let path = format!("/api/v1/rooms/{room}/join");
        let joined: Joined = self.post(&path, bearer, &json!({})).await?;
        Ok(Join {
            token: joined.token,
            socket: socket_url(&self.base, &joined.ws_url)?,
        })
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
        let call = Call {
            method: Method::POST,
            url: self.base.join(path)?,
            bearer,
            content_type: "application/json",
            body: body.to_string(),
        };
        let reply = self.http.call(call).await?;
        serde_json::from_slice(&reply.body)
            .with_context(|| format!("POST {path}: unexpected answer"))
    }
}

impl Resource {
    /// Posts an offer to a WHIP or WHEP address.
    pub(crate) async fn create(
        http: &Arc<Http>,
        url: &str,
        bearer: Option<&str>,
        offer: String,
    ) -> anyhow::Result<Self> {
        let call = Call {
            method: Method::POST,
            url: url.parse().with_context(|| format!("{url} is not a URL"))?,
            bearer,
            content_type: "application/sdp",
            body: offer,
        };
        let reply = http.call(call).await?;
        Ok(Self {
            http: Arc::clone(http),
            url: location(&reply.url, &reply.headers)?,
            bearer: bearer.map(str::to_owned),
            answer: String::from_utf8(reply.body.to_vec()).context("the answer is no text")?,
        })
    }

    /// Ends the session.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        let call = Call {
            method: Method::DELETE,
            url: self.url.clone(),
            bearer: self.bearer.as_deref(),
            content_type: "application/sdp",
            body: String::new(),
        };
        self.http.call(call).await.map(drop)
    }
}

/// Returns where a WebSocket is that a server names from where it is.
fn socket_url(base: &Url, named: &str) -> anyhow::Result<Url> {
    let mut url = base
        .join(named)
        .with_context(|| format!("{named} is no URL"))?;
    let scheme = match url.scheme() {
        "https" => "wss",
        "http" => "ws",
        _ => return Ok(url),
    };
    let changed = url.set_scheme(scheme);
    changed
        .ok()
        .with_context(|| format!("{url} is no WebSocket"))?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_where_the_server_says() {
        let base: Url = "https://klieg.example:8443/".parse().unwrap();
        let found = |named| socket_url(&base, named).map(String::from).unwrap();
        assert_eq!(found("/ws"), "wss://klieg.example:8443/ws");
        assert_eq!(found("ws://other:1/ws"), "ws://other:1/ws");
        let base: Url = "http://[::1]:8080".parse().unwrap();
        let url = socket_url(&base, "/ws").unwrap();
        assert_eq!(url.as_str(), "ws://[::1]:8080/ws");
    }
}
