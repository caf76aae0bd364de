//! Endpoints as people write them: an address, or a URL whose scheme says whether to encrypt.
//!
//! It parses; what follows from a scheme is for others.

use std::str::FromStr;

use crate::{Address, AddressError};

/// Whether an endpoint is said to be spoken TLS with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// `10.0.0.1:80`, `http://10.0.0.1` or `https://app.internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) address: Address,
    /// `None`: it is a bare address.
    pub(crate) scheme: Option<Scheme>,
}

impl FromStr for Written {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let stripped = [("https://", Scheme::Https), ("http://", Scheme::Http)]
            .into_iter()
            .find_map(|(start, scheme)| text.strip_prefix(start).map(|rest| (scheme, rest)));
        let Some((scheme, authority)) = stripped else {
            return Ok(Self { address: text.parse()?, scheme: None });
        };
        if let Some((host, _)) = authority.split_once(['/', '?', '#']) {
            let length = text.len() - authority.len() + host.len();
            return Err(AddressError::UrlPath(text.get(..length).unwrap_or_default().into()));
        }
        if authority.is_empty() {
            return Err(AddressError::Empty);
        }
        let behind_brackets = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        let address = if behind_brackets.contains(':') {
            authority.parse()?
        } else {
            format!("{authority}:{}", scheme.port()).parse()?
        };
        Ok(Self { address, scheme: Some(scheme) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whether_to_encrypt_and_which_port_is_meant() {
        let cases = [
            ("10.0.0.1:80", "10.0.0.1:80", None),
            ("unix:/run/app.sock", "unix:/run/app.sock", None),
            ("http://a.example", "a.example:80", Some(Scheme::Http)),
            ("https://a.example", "a.example:443", Some(Scheme::Https)),
            ("https://a.example:8443", "a.example:8443", Some(Scheme::Https)),
            ("https://[::1]", "[::1]:443", Some(Scheme::Https)),
            ("https://[::1]:8443", "[::1]:8443", Some(Scheme::Https)),
        ];
        for (text, address, scheme) in cases {
            let written = text.parse::<Written>().unwrap();
            assert_eq!((written.address.to_string().as_str(), written.scheme), (address, scheme), "{text}");
        }
    }

    #[test]
    fn a_url_with_more_than_a_host_is_refused_with_what_is_left_of_it() {
        let cases = [
            ("https://a.example/", "an endpoint has no path: `https://a.example`"),
            ("http://a.example:80/x", "an endpoint has no path: `http://a.example:80`"),
            ("https://", "it is empty"),
            ("https://a b", "`a b` is neither a host name nor an IP address"),
            ("https://u@a.example", "`u@a.example` is neither a host name nor an IP address"),
            ("https://a.example:0", "`0` is no port: ports go from 1 to 65535"),
            ("ftp://a.example", "an address has no scheme and no path: `a.example:80`"),
        ];
        for (text, words) in cases {
            assert_eq!(
                text.parse::<Written>().map_err(|error| error.to_string()),
                Err(words.into()),
                "{text}"
            );
        }
    }
}
