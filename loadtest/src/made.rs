//! Which program measured on which machine, and when.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Where figures come from, without which they cannot be compared.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    /// The end of the test (RFC 3339, UTC).
    pub(crate) at: String,
    pub(crate) version: &'static str,
    /// Of the machine that the test ran on.
    pub(crate) cores: usize,
    /// Its model as the kernel tells it; empty where it does not.
    pub(crate) cpu: String,
    pub(crate) kernel: String,
}

impl Made {
    /// Reads clock and kernel.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            at: date(since.map_or(0, |since| since.as_secs())),
            version: env!("CARGO_PKG_VERSION"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: model(&cpus).to_owned(),
            kernel: kernel.trim().to_owned(),
        }
    }

    /// Returns it as one line.
    pub(crate) fn line(&self) -> String {
        let Self {
            at,
            version,
            cores,
            cpu,
            kernel,
        } = self;
        let cpu = if cpu.is_empty() { "CPU not known" } else { cpu };
        format!("{at} · klieg-loadtest {version} · {cores} cores, {cpu} · Linux {kernel}")
    }
}

fn model(cpus: &str) -> &str {
    let mut lines = cpus.lines().filter_map(|line| line.split_once(':'));
    let model = lines.find(|(name, _)| name.trim() == "model name");
    model.map_or("", |(_, model)| model.trim())
}

/// Returns seconds since 1970 as a date of the Gregorian calendar and a time.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin with March here, so that a leap day is the last of its year; day 0 is 1 March of the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months have 153 days, from March on.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn the_model_is_that_of_the_first_core() {
        let cpus = "processor\t: 0\nmodel name\t: Fast One @ 3GHz\n\nmodel name\t: Other\n";
        assert_eq!(model(cpus), "Fast One @ 3GHz");
        assert_eq!(model("processor : 0"), "");
        assert!(Made::now().cores > 0);
    }
}
