//! Keeps the tables of docs/configuration.md as the code has them.

use super::settings::{
    Analytics, Config, Ice, IceRegion, Limits, OidcProvider, Relay, Setting, Webhooks,
};
use super::{names, report};
use serde::Serialize;

/// Writes one table; what is in a table of the file has its name before it.
fn table(before: &str, settings: &[Setting], built_in: &serde_json::Value) -> String {
    let rows = settings.iter().filter_map(|setting| {
        let name = setting.name;
        if before.is_empty() && names::TABLES.contains(&name) {
            return None;
        }
        let flag = setting
            .flag
            .map_or_else(String::new, |flag| format!("`{flag}`"));
        let built_in = shown(&built_in[name]);
        let live = if setting.live { "yes" } else { "" };
        let meaning = setting.meaning.trim();
        Some(format!(
            "| `{before}{name}` | {flag} | {built_in} | {live} | {meaning} |\n"
        ))
    });
    rows.collect()
}

fn tables() -> String {
    let head =
        "| setting | flag | built in | SIGHUP | meaning |\n| --- | --- | --- | --- | --- |\n";
    let config = serde_json::to_value(Config::default()).unwrap();
    [
        head.to_owned(),
        table("", Config::SETTINGS, &config),
        table("ice.", Ice::SETTINGS, &config["ice"]),
        table("relay.", Relay::SETTINGS, &config["relay"]),
        table("webhooks.", Webhooks::SETTINGS, &config["webhooks"]),
        table("analytics.", Analytics::SETTINGS, &config["analytics"]),
        table("limits.", Limits::SETTINGS, &config["limits"]),
    ]
    .concat()
}

/// Writes the table of what stands in a list of tables.
fn entries<T: Default + Serialize>(settings: &[Setting]) -> String {
    let head = "| setting | built in | meaning |\n| --- | --- | --- |\n";
    let built_in = serde_json::to_value(T::default()).unwrap();
    let rows = settings.iter().map(|setting| {
        let (name, meaning) = (setting.name, setting.meaning.trim());
        format!("| `{name}` | {} | {meaning} |\n", shown(&built_in[name]))
    });
    format!("{head}{}", rows.collect::<String>())
}

/// Writes what is built in; what is left out is an empty cell.
fn shown(value: &serde_json::Value) -> String {
    let text = report::show(value);
    match text.trim_matches('"') {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

/// Replaces what stands between two marks.
fn replaced(text: &str, mark: &str, with: &str) -> String {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{begin}\n{with}\n{end}{after}")
}

/// With `KLIEG_WRITE_DOCS` set it writes the page instead of complaining.
#[test]
fn the_page_on_configuration_is_as_the_code_has_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let expected = replaced(&page, "settings", &tables());
    let expected = replaced(
        &expected,
        "providers",
        &entries::<OidcProvider>(OidcProvider::SETTINGS),
    );
    let expected = replaced(
        &expected,
        "regions",
        &entries::<IceRegion>(IceRegion::SETTINGS),
    );
    if std::env::var_os("KLIEG_WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/configuration.md is old: run this test once with KLIEG_WRITE_DOCS=1"
        );
    }
}

#[test]
fn every_flag_is_one_of_the_command_line() {
    use clap::CommandFactory;
    let command = crate::cli::Cli::command();
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .collect();
    for setting in Config::SETTINGS {
        let Some(flag) = setting.flag else { continue };
        let long = flag.trim_start_matches("--").split(' ').next().unwrap();
        assert!(known.contains(&long), "{flag}");
    }
}
