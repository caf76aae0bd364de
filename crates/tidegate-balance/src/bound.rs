//! How much load an endpoint may hold before an affinity key spills over to the next one. Knows no hashing.
//!
//! Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018: with a bound of `c` times the mean,
//! each endpoint may hold `ceil(c · its share of (requests in flight + 1))`. The bounds add up to more than there is to
//! hold, so somebody always has room.

use crate::candidates::Candidates;
use crate::seat::Seat;

/// The greatest load of an endpoint, in percent of its share of all requests in flight; at least 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound {
    percent: u32,
}

impl LoadBound {
    /// `percent` below 100 counts as 100: less than the mean for everybody cannot hold what there is.
    pub const fn new(percent: u32) -> Self {
        Self { percent: if percent < 100 { 100 } else { percent } }
    }

    pub(crate) fn limit(self, candidates: &Candidates<'_>) -> Limit {
        let (mut in_flight, mut shares) = (0, 0);
        for (_, endpoint) in candidates.iter() {
            in_flight += u64::from(endpoint.state.in_flight());
            shares += u64::from(endpoint.share);
        }
        let allowed = (u128::from(in_flight) + 1) * u128::from(self.percent);
        Limit { allowed, divisor: u128::from(shares.max(1)) * 100 }
    }
}

/// The bound as one pick sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    allowed: u128,
    divisor: u128,
}

impl Limit {
    /// Whether one more request stays within `ceil(allowed · share)`.
    pub(crate) fn has_room(&self, endpoint: &Seat) -> bool {
        let most = (self.allowed * u128::from(u64::from(endpoint.share))).div_ceil(self.divisor);
        u128::from(endpoint.state.in_flight()) < most
    }
}
