//! What is read of a provider's token, leniently: providers and their plug-ins write the same claim in more than one way,
//! and one that is odd says nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::claims::{is_id, shown_name};
use super::super::{Access, AccountRole, Identity, Whence};
use crate::config::OidcProvider;

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    /// In seconds since 1970; some write fractions (RFC 7519, section 2).
    #[serde(deserialize_with = "seconds")]
    exp: u64,
    /// 0: it does not say when it was made.
    #[serde(default, deserialize_with = "seconds_or_none")]
    iat: u64,
    /// Keycloak: `Bearer` for access tokens, `ID` and `Refresh` for what is not for servers like this.
    #[serde(default, deserialize_with = "text")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    preferred_username: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    realm_access: Roles,
    #[serde(default, deserialize_with = "by_client")]
    resource_access: BTreeMap<String, Roles>,
    #[serde(default, rename = "roles", deserialize_with = "names")]
    own: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Roles {
    #[serde(default, deserialize_with = "names")]
    roles: Vec<String>,
}

impl Claims {
    /// Says who it is.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn identity(self, settings: &OidcProvider) -> Result<Identity, &'static str> {
        if let Some("ID" | "Refresh" | "Offline" | "Logout") = self.typ.as_deref() {
            return Err("`typ` says that it is no access token");
        }
        let id = format!("{}:{}", settings.name, self.sub);
        if self.sub.is_empty() || !is_id(&id) {
            return Err("`sub` is empty, too long, or no text that can be shown");
        }
        let role = self.account_role(settings);
        let name = self.name.or(self.preferred_username);
        let name = shown_name(&name.unwrap_or_default(), &self.sub);
        Ok(Identity {
            id,
            name,
            avatar_url: None,
            access: Access::Account(role),
            expires_at: Some(self.exp),
            granted_until: Some(self.exp),
            minted_at: self.iat,
            sign_in: None,
            signer: None,
            whence: Whence::default(),
        })
    }

    /// Returns the highest role that any of the token's roles is mapped to.
    fn account_role(&self, settings: &OidcProvider) -> AccountRole {
        let client = settings.client.as_ref();
        let of_client = client.and_then(|client| self.resource_access.get(client));
        let of_client = of_client.map(|it| &it.roles);
        let all = [Some(&self.realm_access.roles), of_client, Some(&self.own)];
        let has = |wanted: &[String]| {
            let mut roles = all.iter().flatten().flat_map(|roles| roles.iter());
            roles.any(|role| wanted.contains(role))
        };
        if has(&settings.admin_roles) {
            AccountRole::Admin
        } else if has(&settings.host_roles) {
            AccountRole::Host
        } else {
            AccountRole::Viewer
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    whole(&value).ok_or_else(|| serde::de::Error::custom("no number of seconds"))
}

fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(whole(&value).unwrap_or(0))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is within the bounds, and the fraction does not count"
)]
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|it| *it >= 0.0);
    number.map(|number| number.min(END_OF_TIME) as u64)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(deserializer).map(name)
}

fn name(value: Value) -> Option<String> {
    if let Value::String(text) = value {
        return Some(text);
    }
    None
}

fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Roles, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

fn by_client<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Roles>, D::Error> {
    let Value::Object(clients) = Value::deserialize(deserializer)? else {
        return Ok(BTreeMap::new());
    };
    let clients = clients.into_iter();
    Ok(clients
        .map(|(client, roles)| (client, serde_json::from_value(roles).unwrap_or_default()))
        .collect())
}

/// Reads a list of names, or one name alone.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if let Value::Array(values) = value {
        return Ok(values.into_iter().filter_map(name).collect());
    }
    Ok(name(value).into_iter().collect())
}

/// The last second of the year 9999: later ones cannot be written (RFC 3339, section 5.6).
const END_OF_TIME: f64 = 253_402_300_799.0;
