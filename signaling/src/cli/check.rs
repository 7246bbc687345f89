//! `klieg check`: what the server would start with, and whether it could.

use std::fmt::Write;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use clap::Args;

use klieg_turn::relay::{Own, is_public};

use super::Settings;
use super::outside::{Login, check_outside, check_reach};
use crate::config::{Config, OidcProvider, unknown_variables};
use crate::discovery::Outside;
use crate::fetch::Fetcher;
use crate::machine;
use crate::server::media_settings;
use crate::store::{self, Standing};
use crate::time::Timestamp;
use crate::tls::acme::Acme;
use crate::tls::certificate::{Certificate, SOON};
use crate::tls::files::Files;

/// The settings to check.
#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(flatten)]
    settings: Settings,
    /// A STUN server, outside of this network, that says how it sees this machine.
    #[arg(long, value_name = "HOST:PORT")]
    stun: Option<String>,
    /// A TURN server, outside of this network, that tries to reach the media port of this machine, while no server runs here.
    #[arg(long, value_name = "HOST:PORT")]
    turn: Option<String>,
    /// How it lets us in; without it as its clients are, by the secret of the settings.
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        env = "TURN_LOGIN",
        hide_env_values = true,
        requires = "turn"
    )]
    turn_login: Option<Login>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// For people, line by line.
    pub text: String,
    /// How much of it would keep the server from working.
    pub problems: usize,
    /// Whether a setting is among it that cannot be used.
    pub is_unusable: bool,
}

impl Findings {
    pub(super) fn good(&mut self, text: &str) {
        let _ = writeln!(self.text, "ok       {text}");
    }

    pub(super) fn doubtful(&mut self, text: &str) {
        let _ = writeln!(self.text, "warning  {text}");
    }

    pub(super) fn bad(&mut self, text: &str) {
        self.problems += 1;
        let _ = writeln!(self.text, "PROBLEM  {text}");
    }
}

impl CheckArguments {
    /// Checks everything and returns what was found.
    ///
    /// # Errors
    /// The first setting that cannot be used: then there is nothing to check.
    pub async fn check(&self) -> anyhow::Result<Findings> {
        let loaded = self.settings.read()?;
        let config = &loaded.config;
        let mut found = Findings::default();
        let report = loaded.report();
        if report.is_empty() {
            found.good("nothing is set: everything is as it is built in");
        } else {
            found.good("these settings are set and make sense:");
            found.text.push_str(&report);
        }
        for (variable, meant) in unknown_variables() {
            let meant = meant.map_or_else(String::new, |it| format!("; did you mean {it}?"));
            found.bad(&format!("{variable} is no setting{meant}"));
            found.is_unusable = true;
        }
        check_log(config, &mut found);
        check_folder(config, &mut found);
        check_database(config, &mut found).await;
        check_ports(config, &mut found);
        check_relay(config, &mut found).await;
        for granted in machine::look(config) {
            match granted {
                Ok(text) => found.good(&text),
                Err(text) => found.doubtful(&text),
            }
        }
        check_tls(config, &mut found).await;
        check_addresses(config, &mut found).await;
        if let Some(server) = &self.turn {
            check_reach(config, server, self.turn_login.as_ref(), &mut found).await;
        }
        if let Some(server) = &self.stun {
            check_outside(config, server, &mut found).await;
        }
        for provider in &config.oidc {
            check_provider(provider, &mut found).await;
        }
        Ok(found)
    }
}

fn check_log(config: &Config, found: &mut Findings) {
    match tracing_subscriber::EnvFilter::try_new(&config.log) {
        Ok(_) => {}
        Err(error) => {
            found.bad(&format!("log: {error}"));
            found.is_unusable = true;
        }
    }
}

fn check_folder(config: &Config, found: &mut Findings) {
    let folder = config.data.display();
    // The nearest folder that there is says whether the rest can be made.
    let whole = std::path::absolute(&config.data).unwrap_or_default();
    let there = whole.ancestors().find(|path| path.is_dir());
    let probe = there.map(|path| path.join(format!(".klieg-check-{}", std::process::id())));
    let Some(probe) = probe else {
        return found.bad(&format!("data: {folder} cannot be made"));
    };
    match std::fs::File::create_new(&probe) {
        Ok(_) => {
            let _ = std::fs::remove_file(&probe);
            found.good(&format!("data: {folder} can be written"));
        }
        Err(error) => found.bad(&format!("data: {folder}: {error}")),
    }
}

/// Opens the database as the server would, and changes nothing in it.
async fn check_database(config: &Config, found: &mut Findings) {
    let location = match config.database() {
        Ok(location) => location,
        Err(error) => return found.bad(&error.to_string()),
    };
    let place = location.shown();
    match store::look(&location).await {
        Ok(Standing::Current) => found.good(&format!("database: {place} is as this version has it")),
        Ok(Standing::Empty) => {
            found.good(&format!("database: {place} is empty: the server makes its tables"));
        }
        Ok(Standing::Behind(steps)) => found.good(&format!(
            "database: {place} is of an older version: the server brings it up to date in {steps} steps; back it up before"
        )),
        Ok(Standing::Ahead) => found.bad(&format!(
            "database: {place} is of a newer version of Klieg: this one does not start with it"
        )),
        Ok(Standing::Foreign) => found.bad(&format!(
            "database: {place} was not made by a release of Klieg: take another, or restore a backup"
        )),
        Err(error) => {
            let advice = error.advice().map_or_else(String::new, |it| format!("; {it}"));
            found.bad(&format!("{place}: {error}{advice}"));
        }
    }
}

fn check_ports(config: &Config, found: &mut Findings) {
    match TcpListener::bind(config.http) {
        Ok(_) => found.good(&format!(
            "http: TCP {} is free{}",
            config.http,
            answers(config)
        )),
        Err(error) => found.bad(&format!("http: TCP {}: {}", config.http, advised(&error))),
    }
    if let Some(address) = config.http_redirect {
        match TcpListener::bind(address) {
            Ok(_) => found.good(&format!("http_redirect: TCP {address} is free")),
            Err(error) => found.bad(&format!(
                "http_redirect: TCP {address}: {}",
                advised(&error)
            )),
        }
    }
    match UdpSocket::bind(config.media) {
        Ok(_) => found.good(&format!("media: UDP {} is free", config.media)),
        Err(error) => found.bad(&format!("media: UDP {}: {}", config.media, advised(&error))),
    }
    if config.media.port() == 0 && !config.dev {
        found.doubtful("media: port 0 is another one at every start: no firewall lets it in");
    }
    if let Some(address) = config.relay.listen {
        let tcp = |_| TcpListener::bind(address).map(|_| "is free, UDP and TCP");
        let bound = match config.relay_own() {
            Own::UdpAndTcp => UdpSocket::bind(address).and_then(tcp),
            Own::Udp => {
                UdpSocket::bind(address).map(|_| "is free for UDP, and TCP is that of http")
            }
            Own::Nothing => Ok("is that of http for TCP; its UDP is media's, and not the relay's"),
        };
        match bound {
            Ok(text) => found.good(&format!("relay.listen: {address} {text}")),
            Err(error) => found.bad(&format!("relay.listen: {address}: {}", advised(&error))),
        }
    }
    let Some(tcp) = config.media_tcp.beside(config.media) else {
        return found.doubtful("media_tcp is off: who has no UDP needs a TURN server");
    };
    if config.shared().media {
        return found.good(&format!("media_tcp: TCP {tcp} is that of http"));
    }
    match TcpListener::bind(tcp) {
        Ok(_) => found.good(&format!("media_tcp: TCP {tcp} is free")),
        Err(error) => found.bad(&format!("media_tcp: TCP {tcp}: {}", advised(&error))),
    }
}

/// Says why a port is not to be had, and what to do.
fn advised(error: &io::Error) -> String {
    let advice = [
        (
            io::ErrorKind::AddrInUse,
            "a server that runs has it, or choose another",
        ),
        (
            io::ErrorKind::AddrNotAvailable,
            "no interface of this machine has this address: write 0.0.0.0 or [::], and name the public address in media_addresses",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "ports below 1024 are for root, and for who has CAP_NET_BIND_SERVICE",
        ),
    ];
    let known = advice.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(
        || error.to_string(),
        |(_, advice)| format!("{error}; {advice}"),
    )
}

/// Looks whether clients can find the relay, and whether it has its ports for itself.
async fn check_relay(config: &Config, found: &mut Findings) {
    let relay = &config.relay;
    let Some(listen) = relay.listen else { return };
    if let Some(host) = &relay.host {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match tokio::net::lookup_host((bare, listen.port())).await {
            Ok(_) => found.good(&format!("relay.host: clients find {host}")),
            Err(error) => found.bad(&format!("relay.host: {host}: {error}")),
        }
    }
    if (relay.first_port..=relay.last_port).contains(&config.media.port()) {
        found.doubtful(&format!(
            "relay.first_port: port {} of media is among the relay's: take others",
            config.media.port()
        ));
    }
}

/// Says what is answered at the port of `http`, where that is more than HTTP.
fn answers(config: &Config) -> String {
    let protocols = config.shared_protocols();
    protocols.map_or_else(String::new, |it| format!(", and answers {it}"))
}

async fn check_tls(config: &Config, found: &mut Findings) {
    if let Some(files) = Files::of(config) {
        match files.read() {
            Ok(certificate) => check_certificate(&certificate, "tls_cert", config, found),
            Err(error) => found.bad(&error.to_string()),
        }
        let mode = std::fs::metadata(files.key()).map(|it| it.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o007 != 0) {
            let key = files.key().display();
            found.doubtful(&format!(
                "tls_key: {key}: everybody on this machine may read it"
            ));
        }
    } else if !config.acme_domains.is_empty() {
        check_authority(config, found).await;
    }
}

fn check_certificate(it: &Certificate, named: &str, config: &Config, found: &mut Findings) {
    let (now, until) = (Timestamp::now(), it.valid_until);
    let days = it.remaining(now).as_secs() / 86_400;
    let names = if it.names.is_empty() {
        "no name".to_owned()
    } else {
        it.names.join(", ")
    };
    if until <= now {
        found.bad(&format!(
            "{named}: the certificate expired at {until}: renew it"
        ));
    } else if it.valid_from > now {
        let from = it.valid_from;
        found.bad(&format!(
            "{named}: the certificate holds from {from} on: is this machine's clock right?"
        ));
    } else if it.remaining(now) < SOON {
        found.doubtful(&format!(
            "{named}: the certificate expires in {days} days, at {until}: renew it"
        ));
    } else {
        found.good(&format!(
            "{named}: for {names}, until {until} ({days} days)"
        ));
    }
    let host = config.public_host();
    if let Some(host) = host.filter(|host| !it.is_for(host)) {
        found.bad(&format!(
            "{named}: the certificate is for {names}, and not for {host} (public_url)"
        ));
    }
    if it.is_alone {
        found.doubtful(&format!(
            "{named}: nothing follows the certificate: most authorities want theirs behind it (fullchain.pem)"
        ));
    }
}

async fn check_authority(config: &Config, found: &mut Findings) {
    let (names, directory) = (config.acme_domains.join(", "), &config.acme_directory);
    let acme = match Acme::new(config) {
        Ok(acme) => acme,
        Err(error) => return found.bad(&error),
    };
    match acme.look().await {
        Ok(()) => found.good(&format!("acme_directory: {directory} answers")),
        Err(error) => found.bad(&format!("acme_directory: {directory}: {error}")),
    }
    match acme.held() {
        Some(held) => check_certificate(&held, "acme_domains", config, found),
        None => found.good(&format!(
            "acme_domains: the server asks for a certificate for {names} when it starts"
        )),
    }
    if config.http.port() != HTTPS {
        let port = config.http.port();
        found.doubtful(&format!(
            "acme_domains: the authority connects to port 443 of {names}: have that led to port {port} of this machine"
        ));
    }
    let host = config.public_host();
    if let Some(host) = host.filter(|host| !config.acme_domains.contains(host)) {
        found.bad(&format!(
            "acme_domains: {host} (public_url) is none of them"
        ));
    }
}

const HTTPS: u16 = 443;

/// Says what clients will be told. Whether the internet reaches it is seen from the internet alone.
async fn check_addresses(config: &Config, found: &mut Findings) {
    let outside = Outside::look(config).await;
    let told = media_settings(&outside.settle(config)).candidates(config.media);
    let text: Vec<String> = told.iter().map(ToString::to_string).collect();
    found.good(&format!(
        "clients are told to send media to {}",
        text.join(", ")
    ));
    for doubt in &outside.doubts {
        found.doubtful(doubt);
    }
    if !config.dev && !told.iter().any(|it| is_public(it.ip())) {
        found.doubtful("media_addresses: none of these is public: only this network reaches them");
    }
    if !config.dev && config.public_url.is_none() && !config.tls() {
        found.doubtful(
            "neither tls_cert, acme_domains nor public_url is set: browsers give cameras to https:// pages alone",
        );
    }
}

async fn check_provider(provider: &OidcProvider, found: &mut Findings) {
    let name = &provider.name;
    let keys = match Fetcher::new() {
        Ok(fetcher) => crate::auth::signing_keys(provider, &fetcher).await,
        Err(error) => Err(error),
    };
    match keys {
        Ok(0) => found.bad(&format!("oidc: {name} publishes no key that signs")),
        Ok(count) => found.good(&format!("oidc: {name} publishes {count} keys")),
        Err(error) => found.bad(&format!("oidc: {name}: {error}")),
    }
}
