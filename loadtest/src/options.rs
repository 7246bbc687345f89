//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use url::{Host, Url};

use crate::light::pace::Pacing;
use crate::light::sdp::Protocol;
use crate::light::seen::Conduct;
use crate::light::send::Plan;
use crate::light::{LAYERS, light_frame_bits};
use crate::units::{bitrate, duration, endpoint, http_url, rate, share, ws_url};

/// Simulates publishers and viewers of rooms, from one to thousands, and reports what arrived
#[derive(Debug, Parser)]
#[command(version, after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// How many light viewers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100_000), help_heading = PEOPLE)]
    pub(crate) viewers: u32,

    /// How many complete viewers beside them, each a whole WebRTC stack
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = PEOPLE)]
    pub(crate) conformance: u16,

    /// How many people more have a socket, and no picture
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000), help_heading = PEOPLE)]
    pub(crate) chatters: u32,

    /// How many of those stop reading their sockets after a third of the time [default: a tenth with --scenario stalled]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = PEOPLE)]
    pub(crate) stalled_chatters: Option<u32>,

    /// How many synthetic streams to publish; the viewers are spread over them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = PEOPLE)]
    pub(crate) publishers: u16,

    /// How many viewers and chatters come in a second, as in 200/s [default: 50/s]
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = PEOPLE)]
    pub(crate) ramp: Option<f64>,

    /// How long to watch after the last viewer was let in, as in 10s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = PEOPLE)]
    pub(crate) duration: Duration,

    /// What happens while it runs
    #[arg(long, value_enum, default_value_t = Scenario::Steady, help_heading = PEOPLE)]
    pub(crate) scenario: Scenario,

    /// Address of a Klieg [default: that of --ws, or port 8080 of this machine]
    #[arg(long, value_name = "URL", value_parser = http_url, help_heading = SERVER)]
    pub(crate) http: Option<Url>,

    /// Address of its WebSocket; the one that the server names when it is left out
    #[arg(long, value_name = "URL", value_parser = ws_url, help_heading = SERVER)]
    pub(crate) ws: Option<Url>,

    #[arg(long, help = WHIP_HELP, value_name = "URL", value_parser = endpoint, help_heading = SERVER)]
    pub(crate) whip: Option<String>,

    #[arg(long, help = WHEP_HELP, value_name = "URL", value_parser = endpoint, help_heading = SERVER)]
    pub(crate) whep: Option<String>,

    /// The publishers' bearer token: for --whip such as a stream key, or one that may publish into --room
    #[arg(long, value_name = "TOKEN", env = "LOADTEST_KEY", hide_env_values = true, help_heading = SERVER)]
    pub(crate) key: Option<String>,

    /// The viewers' bearer token; without one they are guests, of whom servers let few in at a time
    #[arg(long, value_name = "TOKEN", env = "LOADTEST_TOKEN", hide_env_values = true, help_heading = SERVER)]
    pub(crate) token: Option<String>,

    /// The room to watch, or to publish into; left out, each publisher makes a room of its own
    #[arg(long, value_name = "ID", help_heading = SERVER)]
    pub(crate) room: Option<String>,

    /// The name that publishers sign in with; from the second on, their number is appended
    #[arg(long, value_name = "NAME", default_value = "loadtest", help_heading = SERVER)]
    pub(crate) publisher_name: String,

    /// Certificates, as PEM, to trust beside those that this system trusts
    #[arg(long, value_name = "FILE", help_heading = SERVER)]
    pub(crate) ca: Option<PathBuf>,

    /// The server's process on this machine, to read its CPU time and memory: all that it does counts, for other tests, too
    #[arg(long, value_name = "PID", conflicts_with = "metrics", help_heading = SERVER)]
    pub(crate) server_pid: Option<u32>,

    /// Where to read them otherwise, as Prometheus does [default: /metrics of a Klieg]
    #[arg(long, value_name = "URL", value_parser = http_url, help_heading = SERVER)]
    pub(crate) metrics: Option<Url>,

    /// The bearer token of the metrics; from the server's own machine Klieg asks for none
    #[arg(long, value_name = "TOKEN", env = "LOADTEST_METRICS_TOKEN", hide_env_values = true, help_heading = SERVER)]
    pub(crate) metrics_token: Option<String>,

    /// Rate of the synthetic video, of its largest layer with --simulcast, as in 1.4M or 800k
    #[arg(long, value_name = "RATE", default_value = "1.4M", value_parser = bitrate, help_heading = MEDIA)]
    pub(crate) bitrate: u64,

    /// Frames a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120), help_heading = MEDIA)]
    pub(crate) fps: u32,

    /// Viewers' media goes by TCP (ICE-TCP), each on a connection of its own
    #[arg(long, help_heading = MEDIA)]
    pub(crate) tcp: bool,

    /// Publish sound, too
    #[arg(long, help_heading = MEDIA)]
    pub(crate) audio: bool,

    /// Publish three layers: q, h and f
    #[arg(long, help_heading = MEDIA)]
    pub(crate) simulcast: bool,

    /// How a frame's packets leave the publisher
    #[arg(long, value_enum, default_value_t = Pacing::Browser, help_heading = MEDIA)]
    pub(crate) pacing: Pacing,

    /// Time between keyframes that nobody asked for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = MEDIA)]
    pub(crate) keyframe_interval: Duration,

    /// Share of packets that viewers throw away on arrival, as in 2%
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share, help_heading = MEDIA)]
    pub(crate) loss: f64,

    /// Share of packets that publishers do not send, though they count them
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share, help_heading = MEDIA)]
    pub(crate) uplink_loss: f64,

    /// Chat messages of viewers and chatters together, as in 10/s
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = TALK)]
    pub(crate) chat: Option<f64>,

    /// Reactions of viewers and chatters together, as in 100/s
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = TALK)]
    pub(crate) reactions: Option<f64>,

    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = REPORT)]
    pub(crate) json: Option<PathBuf>,

    /// Where to write the report as a page with plots
    #[arg(long, value_name = "FILE", help_heading = REPORT)]
    pub(crate) html: Option<PathBuf>,

    /// Which packets viewers open
    #[arg(long, value_enum, default_value_t = Decrypt::Sample, help_heading = ITSELF)]
    decrypt: Decrypt,

    /// Media threads for the viewers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = ITSELF)]
    pub(crate) threads: u16,

    /// UDP sockets of each media thread on loopback
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = ITSELF)]
    pub(crate) sockets: u16,
}

/// Which packets viewers open; the header of every one is looked at anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decrypt {
    /// Every 64th, the first picture, and the end of every fourth frame
    Sample,
    /// Each
    All,
}

/// What happens while the test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Everybody stays
    Steady,
    /// As steady, with 50 chat messages and 500 reactions a second unless said otherwise
    ChatStorm,
    /// All viewers come at once: --ramp 1000/s unless said otherwise
    JoinStorm,
    /// A tenth of the viewers fall silent after a third of the time
    Stalled,
    /// All viewers break off at half time, without a goodbye, and come back at once
    Reconnect,
}

impl Options {
    /// Checks what a single option cannot know.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_who()?;
        self.check_where()?;
        let least = u64::from(self.fps) * light_frame_bits(self.layers());
        if self.publishers > 0 && self.bitrate < least {
            return Err(format!(
                "--bitrate is too low for {} frames a second: expected at least {}k, or fewer --fps",
                self.fps,
                least.div_ceil(1000)
            ));
        }
        Ok(())
    }

    fn check_who(&self) -> Result<(), String> {
        let watches = self.whep.is_some() || self.room.is_some();
        let nobody = self.people() == 0 && self.conformance == 0;
        if self.publishers == 0 && nobody {
            return Err(
                "nothing to do: --viewers, --chatters, --conformance and --publishers are 0".into(),
            );
        }
        if self.publishers == 0 && !watches {
            return Err("nothing to watch: name a --room or a --whep address, or let --publishers 1 publish".into());
        }
        if self.whip.is_some() && self.publishers == 0 {
            return Err("--whip is where publishers publish: add --publishers 1".into());
        }
        if self.whip.is_some() && !watches && !nobody {
            return Err("--whip needs to know where to watch: add --whep or --room".into());
        }
        if self.stalled_chatters() > self.chatters {
            return Err("--stalled-chatters are some of the chatters: add --chatters".into());
        }
        let talks = self.chat.is_some() || self.reactions.is_some();
        if talks && self.people() == 0 {
            return Err("--chat and --reactions are the light viewers' and the chatters': add --viewers or --chatters".into());
        }
        Ok(())
    }

    fn check_where(&self) -> Result<(), String> {
        if self.room.is_some() && self.publishers > 1 {
            return Err(
                "a room has one publisher: leave --room out with --publishers above 1".into(),
            );
        }
        let talks = self.chat.is_some() || self.reactions.is_some() || self.chatters > 0;
        let needs_socket = talks || self.scenario == Scenario::ChatStorm;
        if self.whep.is_some() && needs_socket {
            return Err("chat and reactions need the WebSocket: leave --whep out".into());
        }
        if self.ws.is_some() && !self.speaks_klieg() {
            return Err("--ws is nobody's: --whip and --whep take its place".into());
        }
        let numbered = |url: &Option<String>| url.as_ref().is_none_or(|url| url.contains("{n}"));
        if self.publishers > 1 && !numbered(&self.whip) {
            return Err(
                "several publishers cannot share one --whip address: put {n} into it".into(),
            );
        }
        if self.json.is_some() && self.json == self.html {
            return Err("--json and --html are two files".into());
        }
        if self.http.as_ref().is_some_and(|url| url.path() != "/") {
            return Err(
                "--http names a server, such as http://127.0.0.1:8080, and no page of it".into(),
            );
        }
        if self.key.is_some() && self.whip.is_none() && self.room.is_none() {
            return Err("--key needs to know where it holds: add --whip or --room".into());
        }
        Ok(())
    }

    /// Returns where a Klieg is.
    pub(crate) fn base(&self) -> Url {
        let of_socket = || {
            let mut url = self.ws.clone()?;
            let scheme = if url.scheme() == "wss" {
                "https"
            } else {
                "http"
            };
            url.set_scheme(scheme).ok()?;
            url.set_path("/");
            Some(url)
        };
        let known = self.http.clone().or_else(of_socket);
        known.unwrap_or_else(|| DEFAULT_BASE.parse().expect("the constant is a URL"))
    }

    /// Returns whether somebody speaks to the server as to a Klieg.
    pub(crate) fn speaks_klieg(&self) -> bool {
        let publishes = self.publishers > 0 && self.whip.is_none();
        let watches = (self.people() > 0 || self.conformance > 0) && self.whep.is_none();
        publishes || watches || self.http.is_some()
    }

    /// Returns where the server listens.
    pub(crate) fn door(&self) -> Option<Url> {
        let other = self.whep.as_ref().or(self.whip.as_ref());
        if self.speaks_klieg() {
            return Some(self.base());
        }
        other?.replace("{n}", "0").parse().ok()
    }

    /// Returns whether what is watched is on this machine's loopback.
    pub(crate) fn watches_here(&self) -> bool {
        let whep = self.whep.as_ref().map(|url| url.replace("{n}", "0"));
        let url = whep.and_then(|url| url.parse().ok());
        match url.unwrap_or_else(|| self.base()).host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// Returns how many layers a publisher sends.
    pub(crate) fn layers(&self) -> usize {
        if self.simulcast { LAYERS } else { 1 }
    }

    /// Returns how many light viewers and chatters there are.
    pub(crate) fn people(&self) -> u32 {
        self.viewers + self.chatters
    }

    /// Returns how many chatters fall silent.
    pub(crate) fn stalled_chatters(&self) -> u32 {
        let of_scenario = match self.scenario {
            Scenario::Stalled => self.chatters.div_ceil(10),
            Scenario::Steady | Scenario::ChatStorm | Scenario::JoinStorm | Scenario::Reconnect => 0,
        };
        self.stalled_chatters.unwrap_or(of_scenario)
    }

    /// Returns viewers and chatters a second.
    pub(crate) fn joins_per_second(&self) -> f64 {
        let storm = self.scenario == Scenario::JoinStorm;
        self.ramp.unwrap_or(if storm { 1000.0 } else { 50.0 })
    }

    /// Returns chat messages a second; the storm's own are no more than a server takes of so few viewers.
    pub(crate) fn chat_per_second(&self) -> f64 {
        let storm = f64::from(self.people()).min(50.0);
        self.chat.unwrap_or_else(|| self.in_storm(storm))
    }

    /// Returns reactions a second.
    pub(crate) fn reactions_per_second(&self) -> f64 {
        let storm = f64::from(self.people()) * 10.0;
        let storm = storm.min(500.0);
        self.reactions.unwrap_or_else(|| self.in_storm(storm))
    }

    /// Returns how many of so many a second are each one's.
    pub(crate) fn share_of(&self, per_second: f64) -> f64 {
        per_second / f64::from(self.people().max(1))
    }

    fn in_storm(&self, per_second: f64) -> f64 {
        match self.scenario {
            Scenario::ChatStorm => per_second,
            Scenario::Steady | Scenario::JoinStorm | Scenario::Stalled | Scenario::Reconnect => 0.0,
        }
    }

    /// Returns how light viewers' media goes.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.tcp {
            Protocol::Tcp
        } else {
            Protocol::Udp
        }
    }

    /// Returns how light viewers behave.
    pub(crate) fn conduct(&self) -> Conduct {
        Conduct {
            loss: self.loss,
            opens_all: self.decrypt == Decrypt::All,
        }
    }

    /// Returns what publishers send.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            bits_per_second: self.bitrate,
            frames_per_second: self.fps,
            pacing: self.pacing,
            keyframe_interval: self.keyframe_interval,
            loss: self.uplink_loss,
        }
    }
}

const DEFAULT_BASE: &str = "http://127.0.0.1:8080";

const AFTER_HELP: &str = "\
Examples:
  A Klieg on this machine, with its cost:
    klieg-loadtest --publishers 1 --viewers 2000 --ramp 200/s --duration 60s --audio
  Any other server:
    klieg-loadtest --publishers 1 --whip http://host/whip/a --whep http://host/whep/a --viewers 100

Viewers are light WebRTC peers that share a few sockets; those of --conformance are complete ones.
Ctrl-C ends early, with the report.

Exit codes:
  0  every viewer got a whole picture, and nothing was lost but what was thrown away on purpose
  1  one did not, or something was, or the test could not be run
  2  the options make no sense";

// The help would take the braces for a line break; the sequence between them changes nothing and is not seen.
const WHIP_HELP: &str =
    "Publish to a WHIP endpoint instead; {\u{1b}[0mn} in it stands for the publisher's number";
const WHEP_HELP: &str =
    "Watch a WHEP endpoint instead; {\u{1b}[0mn} in it stands for the publisher's number";

/// Headings of the help.
const PEOPLE: &str = "Who comes";
const SERVER: &str = "Server";
const MEDIA: &str = "Media";
const TALK: &str = "Chat";
const REPORT: &str = "Report";
const ITSELF: &str = "The test itself";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn options(line: &str) -> Options {
        let words = std::iter::once("klieg-loadtest").chain(line.split(' '));
        Options::parse_from(words)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |line: &str| options(line).check();
        for right in [
            "--publishers 1 --viewers 5",
            "--room demo",
            "--ws ws://127.0.0.1:9/ws --room demo",
            "--whep http://x/ --conformance 1",
            "--whip http://x/ --publishers 1 --viewers 0",
            "--room demo --publishers 1 --key token",
            "--publishers 1 --bitrate 200k --fps 10",
            "--room a --chatters 5 --stalled-chatters 5",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, named) in [
            ("--viewers 5", "nothing to watch"),
            ("--viewers 0", "nothing to do"),
            ("--room demo --publishers 2", "one publisher"),
            ("--publishers 1 --whip http://x/", "--whep"),
            ("--room a --whip http://x/", "--publishers"),
            ("--whep http://x/ --chat 1/s", "WebSocket"),
            ("--whep http://x/ --scenario chat-storm", "WebSocket"),
            ("--whep http://x/ --ws ws://x/", "--ws"),
            ("--whep http://x/{n} --whip http://x/ --publishers 2", "{n}"),
            ("--publishers 1 --key token", "--room"),
            ("--publishers 1 --viewers 0 --chat 1/s", "--viewers"),
            ("--room a --stalled-chatters 1", "--chatters"),
            ("--room a --chatters 5 --stalled-chatters 6", "--chatters"),
            ("--publishers 1 --bitrate 200k", "at least 492k"),
            ("--publishers 1 --simulcast --bitrate 500k", "at least"),
        ] {
            let refusal = check(wrong).unwrap_err();
            assert!(refusal.contains(named), "{wrong}: {refusal}");
        }
    }

    #[test]
    fn a_klieg_is_where_its_socket_is_unless_said_otherwise() {
        let base = |line: &str| options(line).base().to_string();
        assert_eq!(base("--room a"), "http://127.0.0.1:8080/");
        assert_eq!(
            base("--ws wss://a.example:1/ws --room a"),
            "https://a.example:1/"
        );
        assert_eq!(base("--http http://b --ws ws://a/ws --room a"), "http://b/");
    }

    #[test]
    fn as_many_chatters_stall_as_are_named_or_else_a_tenth() {
        let stalled = |line: &str| options(line).stalled_chatters();
        assert_eq!(stalled("--room a --chatters 20"), 0);
        assert_eq!(stalled("--room a --chatters 25 --scenario stalled"), 3);
        let named = "--room a --chatters 25 --stalled-chatters 7";
        assert_eq!(stalled(named), 7);
        assert_eq!(stalled(&format!("{named} --scenario stalled")), 7);
    }

    #[test]
    fn a_storm_is_no_more_than_so_few_viewers_may_say() {
        let storm = |viewers| {
            options(&format!(
                "--room a --scenario chat-storm --viewers {viewers}"
            ))
        };
        let rates = |options: Options| (options.chat_per_second(), options.reactions_per_second());
        assert_eq!(rates(storm(10)), (10.0, 100.0));
        assert_eq!(rates(storm(1000)), (50.0, 500.0));
        assert_eq!(rates(options("--room a")), (0.0, 0.0));
    }
}
