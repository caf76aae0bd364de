//! How often a client, or whoever else a request is counted for, may ask. Knows no routes; what is over the limit is a
//! failure like others.

use crate::accounts::{Accounts, Taken};
use crate::failure::{Cause, Failure, Stage};
use crate::request::Call;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_http::field;

pub use crate::accounts::Rate;

/// A limit and everybody's accounts; the same object as long as the limit is configured the same.
#[derive(Debug)]
pub struct RateLimit {
    key: RateKey,
    accounts: Accounts,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// All that the limit applies to.
    All,
    /// Those from addresses that share their first bits: so many of an IPv4 address, so many of an IPv6 address.
    Client { ipv4_prefix: u8, ipv6_prefix: u8 },
    /// Those with the same value of this field, by lower-case name; all without it together.
    Header(Arc<str>),
}

impl RateLimit {
    /// `keys`: how many are told apart, 16 bytes each.
    pub fn new(key: RateKey, rate: Rate, keys: usize) -> Self {
        let keys = if key == RateKey::All { 1 } else { keys };
        Self { key, accounts: Accounts::new(rate, keys) }
    }

    /// Counts the request, or refuses it.
    pub(crate) fn admit(&self, call: &Call<'_>) -> Result<(), Failure> {
        let now = call.journal.started;
        let taken = match &self.key {
            RateKey::Client { ipv4_prefix, ipv6_prefix } => {
                let client = call.forwarded_client().or(call.address.ip());
                self.accounts.take(client.map(|ip| masked(ip, *ipv4_prefix, *ipv6_prefix)), now)
            }
            RateKey::Header(name) => {
                let request = &call.workspace.request;
                self.accounts
                    .take(field::find(&request.fields, call.workspace.input.pinned(), name.as_bytes()), now)
            }
            RateKey::All => self.accounts.take((), now),
        };
        match taken {
            Taken::Granted => Ok(()),
            Taken::GrantedByCrowding => {
                call.worker.metrics.limit("rate_limit_keys");
                Ok(())
            }
            Taken::Refused(wait) => {
                let retry_seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
                Err(Failure::new(Stage::Policy, Cause::RateLimited { retry_seconds }))
            }
        }
    }
}

/// The first bits of an address, and of which family it is.
fn masked(ip: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> (bool, u128) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (false, u128::from(u32::from(ip)) >> u32::from(32_u8.saturating_sub(ipv4_prefix))),
        IpAddr::V6(ip) => {
            let shift = u32::from(128_u8.saturating_sub(ipv6_prefix));
            (true, u128::from(ip).checked_shr(shift).unwrap_or(0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn addresses_of_one_prefix_are_one_client() {
        let same = |one: &str, other: &str, ipv4_prefix, ipv6_prefix| {
            let of = |text: &str| masked(text.parse().unwrap(), ipv4_prefix, ipv6_prefix);
            of(one) == of(other)
        };
        for (one, other, ipv4_prefix, ipv6_prefix, expected) in [
            ("192.0.2.1", "192.0.2.1", 32, 64, true),
            ("192.0.2.1", "192.0.2.2", 32, 64, false),
            ("192.0.2.1", "192.0.2.2", 24, 64, true),
            ("192.0.2.1", "192.0.3.1", 24, 64, false),
            ("192.0.2.1", "::ffff:192.0.2.1", 32, 64, true),
            ("2001:db8::1", "2001:db8::ffff:1:2:3", 32, 64, true),
            ("2001:db8::1", "2001:db8:0:1::1", 32, 64, false),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", 32, 48, true),
            ("2001:db8::1", "2001:db8::2", 32, 128, false),
            ("::1", "0.0.0.1", 32, 128, false),
            ("::1", "ffff::", 32, 0, true),
            ("0.0.0.1", "255.0.0.0", 0, 64, true),
        ] {
            assert_eq!(
                same(one, other, ipv4_prefix, ipv6_prefix),
                expected,
                "{one} {other} /{ipv4_prefix} /{ipv6_prefix}"
            );
        }
    }
}
