//! Numbers with their units and addresses, as the command line has them.

use std::time::Duration;

use url::Url;

/// Reads a time as a whole number and its unit, as in `10s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits
        .parse()
        .map_err(|_| "expected a whole number and a unit, as in 10s".to_owned())?;
    let duration = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number.into()),
        "s" => Duration::from_secs(number.into()),
        "m" => Duration::from_secs(u64::from(number) * 60),
        unit => {
            return Err(format!(
                "unknown unit {unit:?}, expected ms, s or m, as in 90m"
            ));
        }
    };
    if duration.is_zero() || duration > MAX_DURATION {
        return Err("expected more than nothing and at most 24 hours".to_owned());
    }
    Ok(duration)
}

/// Reads a number a second, as in `200/s`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix("/s")
        .ok_or("expected a rate as in 200/s")?;
    match number.parse::<f64>() {
        Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(rate),
        Ok(_) => Err("expected 0.01/s to 1000000/s".to_owned()),
        Err(_) => Err("expected a rate as in 200/s".to_owned()),
    }
}

const BAD_BITRATE: &str = "expected a rate as in 1.4M or 800k, from 100k to 100M";

/// Reads bits a second, as in `1.4M`.
pub(crate) fn bitrate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((place, 'k' | 'K')) => (&text[..place], 1e3),
        Some((place, 'M')) => (&text[..place], 1e6),
        Some(_) | None => return Err(BAD_BITRATE.to_owned()),
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
        Ok(_) | Err(_) => Err(BAD_BITRATE.to_owned()),
    }
}

/// Reads a percentage, as in `2%`, as a share of one.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or("expected a share as in 2%")?;
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=90.0).contains(&percent) => Ok(percent / 100.0),
        Ok(_) => Err("expected 0% to 90%".to_owned()),
        Err(_) => Err("expected a share as in 2%".to_owned()),
    }
}

/// Reads an address with one of these schemes; `{n}` may stand in it.
fn address(text: &str, schemes: [&str; 2]) -> Result<Url, String> {
    let [plain, sealed] = schemes;
    let url: Url = text
        .parse()
        .map_err(|error| format!("{error}: expected {plain}://host/ or {sealed}://host/"))?;
    if !schemes.contains(&url.scheme()) || url.host().is_none() {
        return Err(format!("expected {plain}://host/ or {sealed}://host/"));
    }
    Ok(url)
}

/// Reads the address of a web server.
pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    address(text, ["http", "https"])
}

/// Reads the address of a WebSocket.
pub(crate) fn ws_url(text: &str) -> Result<Url, String> {
    address(text, ["ws", "wss"])
}

/// Reads the address of an endpoint, in which `{n}` may stand for a number.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    http_url(&text.replace("{n}", "0")).map(|_| text.to_owned())
}

const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "10", "-1s", "1.5s", "10 s", "3h", "0s", "9999999m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_and_shares_carry_their_unit() {
        assert_eq!(rate("200/s"), Ok(200.0));
        assert_eq!(rate("0.5/s"), Ok(0.5));
        assert_eq!(bitrate("1.4M"), Ok(1_400_000));
        assert_eq!(bitrate("800k"), Ok(800_000));
        assert_eq!(share("2%"), Ok(0.02));
        for wrong in [
            "", "200", "-1/s", "0/s", "1e-300/s", "x/s", "NaN/s", "inf/s",
        ] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "1400000", "1G", "M", "-1M", "1µ", "1000M", "NaNk"] {
            assert!(bitrate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "2", "-1%", "100%", "x%", "NaN%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_have_a_scheme_that_is_spoken_and_a_host() {
        let text = |url: Result<Url, String>| url.map(String::from);
        assert_eq!(
            text(http_url("https://a.example")).unwrap(),
            "https://a.example/"
        );
        assert_eq!(text(ws_url("ws://[::1]:9/ws")).unwrap(), "ws://[::1]:9/ws");
        assert_eq!(endpoint("http://a/{n}").unwrap(), "http://a/{n}");
        for wrong in [
            "",
            "a.example",
            "127.0.0.1:8080",
            "ftp://a/",
            "http://",
            "ws://a/",
        ] {
            assert!(http_url(wrong).is_err(), "{wrong}");
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
        assert!(ws_url("http://a/").is_err());
    }
}
