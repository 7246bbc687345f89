//! Points in time as the API writes them (RFC 3339, UTC) and as the database keeps them.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970 (UTC). Serialized as RFC 3339 with whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    /// Later than any other.
    pub(crate) const MAX: Self = Self(i64::MAX);

    /// Reads the wall clock.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Takes milliseconds since 1970.
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since 1970.
    pub(crate) fn millis(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since 1970, as tokens carry them.
    pub(crate) fn seconds(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or_default()
    }

    /// Returns the moment so much earlier.
    pub(crate) fn minus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Returns how much later it is than another; nothing when it is earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Reads a moment as RFC 3339 writes it, with its offset: `2026-11-21T11:40:00.5+07:00`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (day, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, rest) = rest.split_at_checked(8)?;
        let [year, month, date] = numbers(day, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        let (millis, offset) = fraction(rest)?;
        let valid = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&date)
            && hour <= 23
            && minute <= 59
            // A leap second is the first of the next minute.
            && second <= 60;
        let seconds =
            days_since_1970(year, month, date) * 86_400 + hour * 3600 + minute * 60 + second
                - offset_seconds(offset)?;
        valid.then(|| Self(seconds * 1000 + millis))
    }

    /// Returns the moment so much later.
    pub(crate) fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("no moment of RFC 3339"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the numbers between separators, each of so many digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut values = [0; N];
    for (value, digits) in values.iter_mut().zip(digits) {
        let part = parts.next()?;
        let fits = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *value = part.parse().ok().filter(|_| fits)?;
    }
    parts.next().is_none().then_some(values)
}

/// Reads the fraction of a second, where there is one, to the millisecond, and returns what follows it.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(text) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = text
        .find(|it: char| !it.is_ascii_digit())
        .filter(|end| *end > 0)?;
    let (digits, rest) = text.split_at(end);
    let digits = digits.bytes().map(|byte| i64::from(byte - b'0'));
    let millis = digits
        .chain([0, 0])
        .take(3)
        .fold(0, |sum, digit| sum * 10 + digit);
    Some((millis, rest))
}

/// Reads how far a clock is ahead of UTC.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = numbers(text.strip_prefix(['+', '-'])?, ':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then(|| sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Turns a day of the proleptic Gregorian calendar into days since 1970, as [`civil`] does the other way.
fn days_since_1970(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month + 2) / 5 + date - 1;
    let year = year.rem_euclid(400);
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// Turns days since 1970 into year, month and day of the proleptic Gregorian calendar. Years are counted
/// from March, so that the leap day comes last; 400 years repeat.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_calendar_has_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_763_700_000_000, "2025-11-21T04:40:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        for day in (-800_000..800_000).step_by(37) {
            let moment = Timestamp::from_millis(day * 86_400_000 + 86_399_000);
            let text = moment.to_string();
            if text.starts_with('-') || text.len() > 20 {
                continue;
            }
            assert_eq!(Timestamp::parse(&text), Some(moment), "{text}");
        }
    }

    #[test]
    fn moments_are_read_with_fractions_and_offsets() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.5Z", 500),
            ("1970-01-01t00:00:00.123456z", 123),
            ("1970-01-01 07:00:01+07:00", 1_000),
            ("1969-12-31T23:00:00-01:00", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
        ] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00Z",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:60:00Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00+7:00",
            "2026-11-21T10:00:00ZZ",
            "+026-11-21T10:00:00Z",
            "2026-11-2１T10:00:00Z",
            "20261121T100000Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
