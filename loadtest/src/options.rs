//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Simulates viewers of a room, and a publisher if wanted, and reports what arrived.
///
/// Every viewer is a complete WebRTC peer in this process. It exits with 0 when each of them saw a video
/// frame, and with 1 otherwise.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Address of the server's REST interface; http only
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) http: String,

    /// Address of its WebSocket; the one that the server names when it is left out
    #[arg(long, value_name = "URL")]
    pub(crate) ws: Option<String>,

    /// The room to watch, or to publish into; left out, a publisher makes a room of its own
    #[arg(long, value_name = "ID")]
    pub(crate) room: Option<String>,

    /// How many viewers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) viewers: u16,

    /// Whether to publish a synthetic stream: 0 or 1
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) publishers: u8,

    /// How long to watch after the last viewer was let in, as in 10s, 500ms or 2m
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,

    /// The time between two joins
    #[arg(long, default_value = "50ms", value_parser = parse_duration)]
    pub(crate) join_interval: Duration,

    /// Rate of the synthetic video
    #[arg(long, value_name = "KBPS", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1000..=20_000))]
    pub(crate) video_kbps: u32,

    /// The name that the publisher signs in with
    #[arg(long, value_name = "NAME", default_value = "loadtest")]
    pub(crate) publisher_name: String,

    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Reads a whole number with its unit.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits
        .parse()
        .map_err(|_| "expected a whole number and a unit".to_owned())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(u64::from(number) * 60)),
        unit => Err(format!("unknown unit {unit:?}, expected ms, s or m")),
    }
}

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
        for wrong in ["", "s", "10", "-1s", "1.5s", "10 s", "3h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
