//! Finds the country that a client is in, from what the operator's proxies or the operator's file say.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use axum::http::HeaderName;
use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::Region;

/// Where it stands in which country an address is.
#[derive(Default)]
pub(crate) struct Regions {
    /// The header in which proxies say it; `None` where they do not.
    header: Option<HeaderName>,
    /// The file that says it; `None` where there is none.
    file: Option<Reader<Vec<u8>>>,
}

impl Regions {
    /// Opens the file, where one is named.
    ///
    /// # Errors
    /// It cannot be read, or is none of this format (version 2.0 of `MaxMind`'s).
    pub(crate) fn open(
        header: Option<HeaderName>,
        file: Option<&Path>,
    ) -> Result<Self, MaxMindDbError> {
        let file = file.map(Reader::open_readfile).transpose()?;
        Ok(Self { header, file })
    }

    /// Returns the header in which proxies say it.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// Finds the country of an address; what a proxy said of it comes first.
    pub(crate) fn find(&self, address: IpAddr, said: Option<&str>) -> Region {
        let said = said.and_then(Region::parse);
        said.or_else(|| self.look_up(address)).unwrap_or_default()
    }

    fn look_up(&self, address: IpAddr) -> Option<Region> {
        let found = self.file.as_ref()?.lookup(address).ok()?;
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let code: Option<&str> = found.decode_path(&path).ok()?;
        code.and_then(Region::parse)
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions")
            .field("header", &self.header)
            .field("file", &self.file.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file that knows of two countries: the lower half of IPv4 is in one, the upper in the other.
    fn file() -> Vec<u8> {
        let text = |text: &str| {
            let mut bytes = vec![0x40 | u8::try_from(text.len()).unwrap()];
            bytes.extend_from_slice(text.as_bytes());
            bytes
        };
        let map = |pairs: u8| vec![0xe0 | pairs];
        let country = |code: &str| {
            [
                map(1),
                text("country"),
                map(1),
                text("iso_code"),
                text(code),
            ]
            .concat()
        };
        let (one, other) = (country("DE"), country("VN"));
        // One node of two records of 24 bits: behind the nodes and 16 bytes come the data.
        let record = |at: usize| u32::try_from(1 + 16 + at).unwrap().to_be_bytes()[1..].to_vec();
        let tree = [record(0), record(one.len()), vec![0; 16]].concat();
        let number = |control: u8, value: u8| vec![control | 1, value];
        let (sixteen, thirty_two) = (0xa0, 0xc0);
        let metadata = [
            map(9),
            text("binary_format_major_version"),
            number(sixteen, 2),
            text("binary_format_minor_version"),
            number(sixteen, 0),
            text("build_epoch"),
            // An extended type: 64 bits.
            vec![0x01, 0x02, 1],
            text("database_type"),
            text("Test-Country"),
            text("description"),
            map(0),
            text("ip_version"),
            number(sixteen, 4),
            text("languages"),
            // An extended type: an array of none.
            vec![0x00, 0x04],
            text("node_count"),
            number(thirty_two, 1),
            text("record_size"),
            number(sixteen, 24),
        ];
        [
            tree,
            one,
            other,
            b"\xab\xcd\xefMaxMind.com".to_vec(),
            metadata.concat(),
        ]
        .concat()
    }

    #[test]
    fn a_file_says_where_addresses_are_and_proxies_know_better() {
        let regions = Regions {
            header: None,
            file: Some(Reader::from_source(file()).unwrap()),
        };
        let find = |address: &str, said| {
            let region = regions.find(address.parse().unwrap(), said);
            region.as_str().to_owned()
        };
        assert_eq!(find("81.2.69.160", None), "DE");
        assert_eq!(find("203.113.131.1", None), "VN");
        assert_eq!(find("203.113.131.1", Some("fr")), "FR");
        assert_eq!(find("203.113.131.1", Some("nonsense")), "VN");
        assert_eq!(find("2001:db8::1", None), "ZZ");
        let none = Regions::default();
        assert_eq!(none.find([81, 2, 69, 160].into(), None), Region::UNKNOWN);
    }

    #[test]
    fn a_file_that_is_none_is_refused_whatever_is_in_it() {
        assert!(Regions::open(None, Some(Path::new("/nowhere/at/all"))).is_err());
        let whole = file();
        let mut damaged = whole.clone();
        for at in 0..whole.len() {
            damaged[at] ^= 0xff;
            // It is refused, or finds something or nothing; it never panics.
            if let Ok(reader) = Reader::from_source(damaged.clone()) {
                let regions = Regions {
                    header: None,
                    file: Some(reader),
                };
                for address in [[1, 2, 3, 4], [200, 2, 3, 4]] {
                    let _ = regions.find(address.into(), None);
                }
            }
            damaged[at] = whole[at];
            let _ = Reader::from_source(whole[..at].to_vec());
        }
    }
}
