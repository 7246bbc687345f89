//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::light::pace::Pacing;
use crate::light::receive::Conduct;
use crate::light::send::Plan;

/// Simulates publishers and viewers of rooms, from one to thousands, and reports what arrived.
///
/// Viewers are light WebRTC peers that share a few sockets; those of `--conformance` are complete ones. It
/// exits with 0 when each of them saw a whole video frame, and with 1 otherwise.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Address of the server's REST interface; http only
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) http: String,

    /// Address of its WebSocket; the one that the server names when it is left out
    #[arg(long, value_name = "URL")]
    pub(crate) ws: Option<String>,

    /// Publish to a WHIP endpoint instead; {n} in it stands for the publisher's number
    #[arg(long, value_name = "URL")]
    pub(crate) whip: Option<String>,

    /// The bearer token of --whip, such as a stream key
    #[arg(long, value_name = "TOKEN", requires = "whip")]
    pub(crate) key: Option<String>,

    /// Watch a WHEP endpoint instead; {n} in it stands for the publisher's number
    #[arg(long, value_name = "URL")]
    pub(crate) whep: Option<String>,

    /// The bearer token of --whep; without one, servers let few guests in at a time
    #[arg(long, value_name = "TOKEN", requires = "whep")]
    pub(crate) token: Option<String>,

    /// The room to watch, or to publish into; left out, each publisher makes a room of its own
    #[arg(long, value_name = "ID")]
    pub(crate) room: Option<String>,

    /// How many light viewers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) viewers: u32,

    /// How many complete viewers beside them, each a whole WebRTC stack
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) conformance: u16,

    /// How many synthetic streams to publish; the viewers are spread over them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) publishers: u16,

    /// How many viewers come in a second, as in 200/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) ramp: Option<f64>,

    /// How long to watch after the last viewer was let in, as in 10s, 500ms or 2m
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,

    /// Rate of the synthetic video, of its largest layer with --simulcast, as in 1.4M or 800k
    #[arg(long, value_name = "RATE", default_value = "1.4M", value_parser = parse_bitrate)]
    pub(crate) bitrate: u64,

    /// Frames a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub(crate) fps: u32,

    /// Publish sound, too
    #[arg(long)]
    pub(crate) audio: bool,

    /// Publish three layers: q, h and f
    #[arg(long)]
    pub(crate) simulcast: bool,

    /// How a frame's packets leave the publisher
    #[arg(long, value_enum, default_value_t = Pacing::Browser)]
    pub(crate) pacing: Pacing,

    /// Time between keyframes that nobody asked for
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) keyframe_interval: Duration,

    /// Chat messages of all viewers together, as in 10/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) chat: Option<f64>,

    /// Reactions of all viewers together, as in 100/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) reactions: Option<f64>,

    /// Share of packets that viewers throw away on arrival, as in 2%
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = parse_share)]
    pub(crate) loss: f64,

    /// Which packets viewers open
    #[arg(long, value_enum, default_value_t = Decrypt::Sample)]
    decrypt: Decrypt,

    /// What happens while it runs
    #[arg(long, value_enum, default_value_t = Scenario::Steady)]
    pub(crate) scenario: Scenario,

    /// The server's process on this machine, to read its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,

    /// Media threads for the viewers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,

    /// UDP sockets of each media thread on loopback
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) sockets: u16,

    /// The name that publishers sign in with; from the second on, their number is appended
    #[arg(long, value_name = "NAME", default_value = "loadtest")]
    pub(crate) publisher_name: String,

    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where to write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
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
        let watches = self.whep.is_some() || self.room.is_some();
        if self.publishers == 0 && !watches {
            return Err("nothing to watch: name a --room or a --whep address, or let --publishers 1 publish".into());
        }
        if self.viewers == 0 && self.conformance == 0 && self.publishers == 0 {
            return Err("nothing to do: --viewers, --conformance and --publishers are 0".into());
        }
        if self.whip.is_some() && self.publishers > 0 && !watches && self.viewers > 0 {
            return Err("--whip needs to know where to watch: add --whep or --room".into());
        }
        if self.room.is_some() && self.publishers > 1 {
            return Err(
                "a room has one publisher: leave --room out with --publishers above 1".into(),
            );
        }
        if self.whep.is_some() && (self.chat.is_some() || self.reactions.is_some()) {
            return Err("--chat and --reactions need the WebSocket: leave --whep out".into());
        }
        if self.whep.is_some() && self.conformance > 0 {
            return Err("--conformance viewers use the WebSocket: leave --whep out".into());
        }
        let numbered = |url: &Option<String>| url.as_ref().is_none_or(|url| url.contains("{n}"));
        if self.publishers > 1 && !numbered(&self.whip) {
            return Err(
                "several publishers cannot share one --whip address: put {n} into it".into(),
            );
        }
        Ok(())
    }

    /// Returns viewers a second.
    pub(crate) fn joins_per_second(&self) -> f64 {
        let storm = self.scenario == Scenario::JoinStorm;
        self.ramp.unwrap_or(if storm { 1000.0 } else { 50.0 })
    }

    /// Returns chat messages a second.
    pub(crate) fn chat_per_second(&self) -> f64 {
        let storm = self.scenario == Scenario::ChatStorm && self.whep.is_none();
        self.chat.unwrap_or(if storm { 50.0 } else { 0.0 })
    }

    /// Returns reactions a second.
    pub(crate) fn reactions_per_second(&self) -> f64 {
        let storm = self.scenario == Scenario::ChatStorm && self.whep.is_none();
        self.reactions.unwrap_or(if storm { 500.0 } else { 0.0 })
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
        }
    }
}

/// Reads a whole number with its unit.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits
        .parse()
        .map_err(|_| "expected a whole number and a unit, as in 10s".to_owned())?;
    let duration = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number.into()),
        "s" => Duration::from_secs(number.into()),
        "m" => Duration::from_secs(u64::from(number) * 60),
        unit => return Err(format!("unknown unit {unit:?}, expected ms, s or m")),
    };
    if duration.is_zero() || duration > MAX_DURATION {
        return Err("expected more than nothing and at most 24 hours".to_owned());
    }
    Ok(duration)
}

/// Reads a number a second.
fn parse_rate(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix("/s")
        .ok_or("expected a rate as in 200/s")?;
    match number.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        Ok(_) => Err("expected more than 0/s and at most 1000000/s".to_owned()),
        Err(_) => Err("expected a rate as in 200/s".to_owned()),
    }
}

/// Reads bits a second.
fn parse_bitrate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((place, 'k' | 'K')) => (&text[..place], 1e3),
        Some((place, 'M')) => (&text[..place], 1e6),
        Some(_) | None => return Err("expected a rate as in 1.4M or 800k".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(rate) if (1e5..=1e8).contains(&(rate * unit)) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was checked"
            )]
            Ok((rate * unit) as u64)
        }
        Ok(_) => Err("expected 100k to 100M".to_owned()),
        Err(_) => Err("expected a rate as in 1.4M or 800k".to_owned()),
    }
}

/// Reads a percentage as a share of one.
fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or("expected a share as in 2%")?;
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=90.0).contains(&percent) => Ok(percent / 100.0),
        Ok(_) => Err("expected 0% to 90%".to_owned()),
        Err(_) => Err("expected a share as in 2%".to_owned()),
    }
}

const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "10", "-1s", "1.5s", "10 s", "3h", "0s", "9999999m"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_and_shares_carry_their_unit() {
        assert_eq!(parse_rate("200/s"), Ok(200.0));
        assert_eq!(parse_rate("0.5/s"), Ok(0.5));
        assert_eq!(parse_bitrate("1.4M"), Ok(1_400_000));
        assert_eq!(parse_bitrate("800k"), Ok(800_000));
        assert_eq!(parse_share("2%"), Ok(0.02));
        for wrong in ["", "200", "-1/s", "0/s", "x/s", "NaN/s", "inf/s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "1400000", "1G", "M", "-1M", "1µ", "1000M", "NaNk"] {
            assert!(parse_bitrate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "2", "-1%", "100%", "x%", "NaN%"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |line: &str| {
            let words = std::iter::once("klieg-loadtest").chain(line.split(' '));
            Options::parse_from(words).check()
        };
        assert_eq!(check("--publishers 1 --viewers 5"), Ok(()));
        assert_eq!(check("--room demo"), Ok(()));
        for wrong in [
            "--viewers 5",
            "--room demo --publishers 2",
            "--publishers 1 --whip http://x/",
            "--whep http://x/ --chat 1/s",
            "--whep http://x/{n} --whip http://x/ --publishers 2",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
