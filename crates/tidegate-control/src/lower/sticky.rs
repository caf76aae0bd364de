//! Sticky cookies: from a secret and the endpoints to tokens. Knows no requests.
//!
//! A token is HMAC-SHA256 (RFC 2104, FIPS 180-4) of the endpoint's name under the secret, cut to 128 bits: it is identity and
//! signature in one. Nobody without the secret can make one or tell which endpoint it stands for; the same secret and the
//! same names make the same tokens in every proxy and after every restart. It is not bound to a client: whoever takes
//! another's cookie gets to the same endpoint, and no further.

use super::clusters::load_bound;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write;
use tidegate_config::Cluster as ConfiguredCluster;
use tidegate_proxy::sticky::Sticky;

const TOKEN_BYTES: usize = 16;
/// Another purpose of the same secret would have another.
const PURPOSE: &[u8] = b"tidegate sticky 1";

pub(super) fn lower(configured: &ConfiguredCluster, secret: Option<&[u8]>) -> Option<Sticky> {
    let (sticky, secret) = (configured.sticky.as_ref()?, secret?);
    let token = |address: String| token(secret, &configured.name, &address);
    let tokens: Option<Vec<_>> =
        configured.endpoints.iter().map(|endpoint| token(endpoint.address.to_string())).collect();
    Some(Sticky::new(&sticky.cookie, &tokens?, sticky.bound.map(load_bound), sticky.forward))
}

/// In hexadecimal digits. A key of any length will do: `None` is never.
fn token(secret: &[u8], cluster: &str, address: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    // No name holds a zero, so no two lists of names are the same bytes.
    for part in [PURPOSE, cluster.as_bytes(), address.as_bytes()] {
        mac.update(part);
        mac.update(b"\0");
    }
    let mut digits = String::with_capacity(2 * TOKEN_BYTES);
    for byte in mac.finalize().into_bytes().iter().take(TOKEN_BYTES) {
        let _ = write!(digits, "{byte:02x}"); // into a String
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_for_the_same_names_and_another_for_any_other() {
        let first = token(b"0123456789abcdef", "app", "10.0.0.1:80").unwrap();
        assert_eq!(first, token(b"0123456789abcdef", "app", "10.0.0.1:80").unwrap());
        for other in [
            token(b"0123456789abcdeg", "app", "10.0.0.1:80"),
            token(b"0123456789abcdef", "ap", "p10.0.0.1:80"),
            token(b"0123456789abcdef", "app", "10.0.0.2:80"),
            token(b"0123456789abcdef", "shop", "10.0.0.1:80"),
        ] {
            assert_ne!(first, other.unwrap());
        }
    }

    /// `printf 'tidegate sticky 1\0app\00010.0.0.1:80\0' | openssl dgst -sha256 -hmac 0123456789abcdef`
    #[test]
    fn a_token_is_what_another_program_makes_of_it() {
        assert_eq!(
            token(b"0123456789abcdef", "app", "10.0.0.1:80").unwrap(),
            "4978c57d7f44ffcfabd48f87f63e69f3"
        );
    }
}
