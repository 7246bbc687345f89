//! What `klieg check` says of the settings: those that somebody set, and where.

use std::fmt::Write;

use figment::Source;
use serde_json::Value;

use super::names;
use super::{Config, Loaded};

impl Loaded {
    /// Lists what was set: name, value and place, and what it means. Secrets are not shown.
    pub(crate) fn report(&self) -> String {
        let effective = serde_json::to_value(&self.config).unwrap_or_default();
        let mut lines = String::new();
        for (name, setting) in names::all() {
            let Some(place) = self.place(&name) else {
                continue;
            };
            let pointer = format!("/{}", name.replace('.', "/"));
            let value = effective.pointer(&pointer).map(show).unwrap_or_default();
            let meaning = setting.meaning.trim().replace('`', "");
            let _ = writeln!(lines, "  {name} = {value}  ({place})\n      {meaning}");
        }
        lines
    }

    /// Says where a setting was set; `None`: nowhere.
    fn place(&self, name: &str) -> Option<String> {
        let metadata = self.said.find_metadata(name)?;
        Some(match &metadata.source {
            Some(Source::File(file)) => file.display().to_string(),
            _ if metadata.name.contains("environment") => "environment".to_owned(),
            _ => "flag".to_owned(),
        })
    }
}

impl Config {
    /// Returns the names of settings that differ and are read at the start alone.
    pub(crate) fn changed_for_next_start(&self, other: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (
            serde_json::to_value(self).unwrap_or_default(),
            serde_json::to_value(other).unwrap_or_default(),
        );
        let differ = |name: &str| ours.get(name) != theirs.get(name);
        let mut names: Vec<&str> = Self::SETTINGS
            .iter()
            .filter(|setting| !setting.live && differ(setting.name))
            .map(|setting| setting.name)
            .collect();
        // Secrets look alike when they are shown.
        let secrets = [
            ("database_url", self.database_url != other.database_url),
            ("metrics_token", self.metrics_token != other.metrics_token),
            ("ice", self.ice.turn_secret != other.ice.turn_secret),
        ];
        for (name, differs) in secrets {
            if differs && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Writes a value as the file has it.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let value = show(value);
                format!("{name} = {value}")
            });
            let fields: Vec<String> = fields.collect();
            if fields.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", fields.join(", "))
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::auth::Secret;

    #[test]
    fn what_was_set_is_listed_with_its_place_and_secrets_are_not_shown() {
        let flags = BTreeMap::from([("log", "debug")]);
        let key = "a secret of at least thirty-two characters";
        let others = [
            ("api_keys", format!("{{shop=\"{key}\"}}")),
            ("limits.joins_per_minute", "7".to_owned()),
        ];
        let others = others
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let report = Loaded::read(None, flags, &others).unwrap().report();
        for line in [
            "  log = \"debug\"  (flag)",
            "  limits.joins_per_minute = 7  (flag)",
            "  api_keys = { shop = \"…\" }  (flag)",
        ] {
            assert!(report.contains(line), "{line} in {report}");
        }
        assert!(
            !report.contains(key) && !report.contains("max_sockets"),
            "{report}"
        );
    }

    #[test]
    fn what_is_marked_as_read_again_is_what_is_taken_while_the_server_runs() {
        let mut new = Config::development();
        new.trusted_proxies = Vec::new();
        new.ban_addresses = true;
        new.allowed_origins = vec!["https://shop.example".into()];
        new.registration = false;
        new.api_key_files = BTreeMap::from([("k".into(), "/k".into())]);
        new.oidc = vec![crate::config::OidcProvider::default()];
        new.order_hook_secret = Some(Secret::new("x"));
        new.order_hook_secret_file = Some("/s".into());
        new.log = "debug".into();
        let mut taken = Config::default();
        taken.take_live(&new);
        let (before, after) = (
            serde_json::to_value(Config::default()).unwrap(),
            serde_json::to_value(&taken).unwrap(),
        );
        for setting in Config::SETTINGS {
            let name = setting.name;
            assert_eq!(before[name] != after[name], setting.live, "{name}");
        }
        assert_eq!(
            taken.changed_for_next_start(&Config::default()),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn a_change_that_waits_for_the_next_start_is_named() {
        let running = Config::default();
        let mut new = Config {
            max_sockets: 7,
            log: "debug".to_owned(),
            ..Config::default()
        };
        new.limits.joins_per_minute = 7;
        new.ice.turn_secret = Some(Secret::new("x"));
        assert_eq!(running.changed_for_next_start(&new), ["ice", "max_sockets"]);
        let other = Config {
            metrics_token: Some(Secret::new("y")),
            ..Config::default()
        };
        let one = Config {
            metrics_token: Some(Secret::new("z")),
            ..Config::default()
        };
        assert_eq!(one.changed_for_next_start(&other), ["metrics_token"]);
    }
}
