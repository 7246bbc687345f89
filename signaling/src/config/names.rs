//! The names of settings: all of them, in the environment, and the nearest to one that there is not.

use super::settings::{
    Analytics, Config, Ice, IceRegion, Limits, OidcProvider, Relay, Setting, Webhooks,
};

/// Every setting by its name in `--set`, tables by those that are in them.
pub(super) fn all() -> impl Iterator<Item = (String, &'static Setting)> {
    let of = |table: &'static str, settings: &'static [Setting]| {
        settings
            .iter()
            .map(move |setting| (format!("{table}{}", setting.name), setting))
    };
    let single = of("", Config::SETTINGS).filter(|(name, _)| !TABLES.contains(&name.as_str()));
    single
        .chain(of("ice.", Ice::SETTINGS))
        .chain(of("relay.", Relay::SETTINGS))
        .chain(of("webhooks.", Webhooks::SETTINGS))
        .chain(of("analytics.", Analytics::SETTINGS))
        .chain(of("limits.", Limits::SETTINGS))
}

/// Returns the setting that a variable of the environment sets, by what follows the prefix.
pub(super) fn of_variable(variable: &str) -> Option<String> {
    let mut names = all().map(|(name, _)| name);
    names.find(|name| variable_of(name).eq_ignore_ascii_case(variable))
}

/// Returns the variable that sets a setting, without the prefix. The tables' own go without the name of the table, but for
/// those of the relay, whose names say nothing without it.
fn variable_of(name: &str) -> String {
    let name = match name.split_once('.') {
        Some((table, name)) if table != "relay" => name,
        Some(_) | None => name,
    };
    name.replace('.', "_").to_uppercase()
}

/// Returns the variables of the environment that look like settings and are none, with the nearest that is.
pub(crate) fn unknown_variables() -> Vec<(String, Option<String>)> {
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = variables.filter_map(|variable| {
        let name = variable.strip_prefix(PREFIX)?;
        let of_others = OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix));
        if of_others || NO_SETTINGS.contains(&name) || of_variable(name).is_some() {
            return None;
        }
        let meant = nearest(&name.to_lowercase());
        let meant = meant.map(|meant| format!("{PREFIX}{}", variable_of(&meant)));
        Some((variable, meant))
    });
    unknown.collect()
}

/// Returns the setting that may have been meant by a name that is none.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    // The numbers of a list's entries are no part of names.
    let parts: Vec<&str> = unknown
        .split('.')
        .filter(|part| part.parse::<usize>().is_err())
        .collect();
    let unknown = parts.join(".");
    let own = parts.last().copied().unwrap_or_default();
    let providers = OidcProvider::SETTINGS.iter();
    let regions = IceRegion::SETTINGS.iter();
    let names = all()
        .map(|(name, _)| name)
        .chain(providers.map(|setting| format!("oidc.{}", setting.name)))
        .chain(regions.map(|setting| format!("ice.regions.{}", setting.name)))
        .chain(TABLES.map(str::to_owned));
    let distance = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        // A name that stands in the wrong table is near.
        let misplaced = strsim::damerau_levenshtein(last, own).saturating_add(1);
        strsim::damerau_levenshtein(name, &unknown).min(misplaced)
    };
    names
        .map(|name| (distance(&name), name))
        .min()
        .filter(|(distance, _)| *distance <= FAR.min(own.len() / 2))
        .map(|(_, name)| name)
}

/// What every variable begins with.
pub(super) const PREFIX: &str = "KLIEG_";

/// Settings that are tables.
pub(super) const TABLES: [&str; 5] = ["ice", "relay", "webhooks", "analytics", "limits"];

/// Variables that are heeded and no settings, and those of tests and tools.
const NO_SETTINGS: [&str; 13] = [
    "BENCH_ROOMS",
    "BIN",
    "CHROMIUM",
    "CONFIG",
    "FIREFOX",
    "INTEROP_DIR",
    "INTEROP_PAGE",
    "INTEROP_SAMPLES",
    "KAFKA_JARS",
    "LAYER_SECONDS",
    "PLOTS",
    "SERVER",
    "WRITE_DOCS",
];

/// Kubernetes tells every container of a service that is called `klieg`: `KLIEG_PORT`, `KLIEG_SERVICE_HOST`.
const OF_KUBERNETES: [&str; 2] = ["PORT", "SERVICE_"];

/// More differences are another word.
const FAR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_names_one_setting_and_no_two_are_alike() {
        for (name, _) in all() {
            assert_eq!(of_variable(&variable_of(&name)), Some(name));
        }
        assert_eq!(
            of_variable("TURN_SECRET").as_deref(),
            Some("ice.turn_secret")
        );
        assert_eq!(of_variable("relay_listen").as_deref(), Some("relay.listen"));
        assert_eq!(of_variable("LISTEN"), None);
        assert_eq!(of_variable("BIN"), None);
    }
}
