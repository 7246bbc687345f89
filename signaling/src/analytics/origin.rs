//! Where a session comes from and on what it plays, as coarsely as anybody needs to know.

use std::str::FromStr;

/// Where a session comes from, and on what it plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) device: Device,
    pub(crate) region: Region,
}

impl Origin {
    /// Returns of each part the one that is first in the alphabet.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            device: self.device.min(other.device),
            region: self.region.min(other.region),
        }
    }
}

/// A class of devices, in the order of the alphabet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Device {
    Desktop,
    /// Nobody knows.
    #[default]
    Other,
    Phone,
    /// A program that is no browser.
    Player,
    Tablet,
    Tv,
}

/// No class has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownDevice;

impl Device {
    /// Reads what a client says that it is.
    pub(crate) fn of(user_agent: &str) -> Self {
        let text = user_agent.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if text.is_empty() {
            Self::Other
        } else if has(&["smarttv", "smart-tv", "appletv", "bravia", "aft", "web0s"])
            || has(&["tizen", "crkey", "roku", "android tv", "googletv", "hbbtv"])
        {
            Self::Tv
        } else if has(&["ipad", "tablet", "kindle", "silk/"])
            || (has(&["android"]) && !has(&["mobile"]))
        {
            Self::Tablet
        } else if has(&["iphone", "ipod", "mobile", "windows phone"]) {
            Self::Phone
        } else if !has(&["mozilla/"]) {
            Self::Player
        } else if has(&["windows nt", "macintosh", "x11", "cros", "linux"]) {
            Self::Desktop
        } else {
            Self::Other
        }
    }

    /// Returns the name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Other => "other",
            Self::Phone => "phone",
            Self::Player => "player",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
        }
    }
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let all = [
            Self::Desktop,
            Self::Other,
            Self::Phone,
            Self::Player,
            Self::Tablet,
            Self::Tv,
        ];
        let mut all = all.into_iter();
        all.find(|it| it.as_str() == text).ok_or(UnknownDevice)
    }
}

/// A country by its two letters (ISO 3166-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Region([u8; 2]);

impl Region {
    /// Nobody knows. ISO 3166-1 leaves these letters to everybody.
    pub(crate) const UNKNOWN: Self = Self(*b"ZZ");

    /// Reads two letters. Proxies say `XX` where they do not know, and `T1` of Tor.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.trim().as_bytes().try_into().ok()?;
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        let are_letters = letters.iter().all(u8::is_ascii_uppercase);
        (are_letters && letters != *b"XX").then_some(Self(letters))
    }

    /// Returns the letters.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl Default for Region {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart_by_what_browsers_say() {
        let apple = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0";
        let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0";
        for (text, device) in [
            (
                format!(
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) {apple} Mobile/15E148 Safari/604.1"
                ),
                Device::Phone,
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 16; Pixel 10) {chrome} Mobile Safari/537.36"),
                Device::Phone,
            ),
            (
                "Mozilla/5.0 (Android 16; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0".to_owned(),
                Device::Phone,
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 16; SM-X900) {chrome} Safari/537.36"),
                Device::Tablet,
            ),
            (
                format!(
                    "Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X) {apple} Mobile/15E148 Safari/604.1"
                ),
                Device::Tablet,
            ),
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chrome} Safari/537.36"),
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0".to_owned(),
                Device::Desktop,
            ),
            (
                format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {apple} Safari/605.1.15"),
                Device::Desktop,
            ),
            (
                format!("Mozilla/5.0 (SMART-TV; Linux; Tizen 9.0) {chrome} TV Safari/537.36"),
                Device::Tv,
            ),
            (
                format!("Mozilla/5.0 (Web0S; Linux/SmartTV) {chrome} Safari/537.36"),
                Device::Tv,
            ),
            ("Lavf/62.3.100".to_owned(), Device::Player),
            ("GStreamer souphttpsrc 1.26".to_owned(), Device::Player),
            ("Mozilla/5.0".to_owned(), Device::Other),
            (String::new(), Device::Other),
            ("\u{130}\u{0}phone".to_owned(), Device::Player),
        ] {
            assert_eq!(Device::of(&text), device, "{text}");
            assert_eq!(device.as_str().parse(), Ok(device));
        }
    }

    #[test]
    fn a_region_is_two_letters() {
        for (text, region) in [
            ("DE", Some("DE")),
            (" vn ", Some("VN")),
            ("XX", None),
            ("T1", None),
            ("", None),
            ("DEU", None),
            ("ä", None),
            ("=1", None),
        ] {
            let read = Region::parse(text);
            assert_eq!(read.as_ref().map(Region::as_str), region, "{text}");
        }
        assert_eq!(Region::default().as_str(), "ZZ");
    }
}
