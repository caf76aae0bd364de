//! An endpoint as a scan sees it: what does not change while a snapshot lives, beside the state that does. Small, so that
//! four of them share a cache line. Knows no algorithm.

use crate::{Endpoint, EndpointState};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) state: Arc<EndpointState>,
    /// The weight, at least 1.
    pub(crate) share: u32,
    /// The smallest weight of the cluster over this one: at most 1, and exactly 1 where all weights are equal.
    pub(crate) lightness: f32,
}

impl Seat {
    pub(crate) fn all(endpoints: &[Endpoint]) -> Box<[Seat]> {
        let share = |endpoint: &Endpoint| endpoint.weight.max(1);
        let smallest = endpoints.iter().map(share).min().unwrap_or(1);
        let seat = |endpoint: &Endpoint| Seat {
            state: Arc::clone(&endpoint.state),
            share: share(endpoint),
            lightness: smallest as f32 / share(endpoint) as f32,
        };
        endpoints.iter().map(seat).collect()
    }

    pub(crate) fn is_even(seats: &[Seat]) -> bool {
        seats.windows(2).all(|two| matches!(two, [a, b] if a.share == b.share))
    }
}
