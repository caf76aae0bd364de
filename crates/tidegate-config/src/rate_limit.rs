//! Rate limits: how often somebody may ask.
//!
//! It does not know how requests are counted.

use std::time::Duration;

/// How often somebody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many requests in each `per`, evenly spread; at least 1.
    pub requests: u32,
    /// At most a day.
    pub per: Duration,
    /// So many at once after a pause; at least 1.
    pub burst: u32,
    /// Whose requests are counted together.
    pub key: RateKey,
    /// How many keys are told apart; 16 bytes of memory each.
    pub keys: u32,
}

impl RateLimit {
    /// With the defaults of everything else.
    pub(crate) fn new(requests: u32, per: Duration) -> Self {
        let burst = requests.min(BURST_MAX);
        Self { requests, per, burst, key: RateKey::default(), keys: 65_536 }
    }
}

/// The largest burst: together with the slowest rate it stays within what a clock of nanoseconds can count.
pub(crate) const BURST_MAX: u32 = 100_000;

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// All that the limit applies to.
    All,
    /// Those of clients whose addresses share so many bits.
    ClientAddress {
        /// 0 to 32.
        ipv4_prefix: u8,
        /// 0 to 128.
        ipv6_prefix: u8,
    },
    /// Those with the same value of this header field, name in lower case.
    Header(String),
}

impl Default for RateKey {
    /// An IPv6 client has a whole /64 to choose addresses from (RFC 6177).
    fn default() -> Self {
        Self::ClientAddress { ipv4_prefix: 32, ipv6_prefix: 64 }
    }
}

/// Which limit holds on a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteRate {
    /// The one of the whole proxy, if there is one; all such routes count together.
    #[default]
    Inherited,
    /// None.
    Off,
    /// This one, for this route alone.
    Own(RateLimit),
}
