//! How many requests an endpoint may have in flight, and who hears that one of them has ended. Knows no queue: only that
//! somebody may be waiting.
//!
//! The count is exact: a unit is only taken below the limit, in one step, so that no number of workers exceeds it.

use crate::Moment;
use crate::seat::Seat;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// The most requests that may be in flight on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestLimit {
    /// A little more than the endpoint serves at once, learned from its answers.
    Learned,
    Most(u32),
    #[default]
    None,
}

/// Somebody who wants to hear of every request that ends on an endpoint with a limit: there may be room now.
pub trait RoomWatch: Debug + Send + Sync {
    /// Called after the unit has been given back, from whatever thread that happens on.
    fn freed(&self);
}

/// The limits of a cluster, one for each endpoint, in their order.
#[derive(Debug)]
pub(crate) struct Rooms {
    limits: Box<[RequestLimit]>,
    watch: Option<Arc<dyn RoomWatch>>,
}

impl Rooms {
    /// `None` when nothing is limited: then nothing needs to be counted below anything.
    pub(crate) fn new(limits: &[RequestLimit], watch: Option<Arc<dyn RoomWatch>>) -> Option<Self> {
        let is_limited = limits.iter().any(|limit| *limit != RequestLimit::None);
        is_limited.then(|| Self { limits: limits.into(), watch })
    }

    pub(crate) fn most(&self, index: usize, seat: &Seat, now: Moment) -> u32 {
        match self.limits.get(index) {
            Some(RequestLimit::Learned) => seat.state.capacity().limit(now),
            Some(RequestLimit::Most(most)) => *most,
            Some(RequestLimit::None) | None => u32::MAX,
        }
    }

    pub(crate) fn has_room(&self, index: usize, seat: &Seat, now: Moment) -> bool {
        seat.state.in_flight() < self.most(index, seat, now)
    }

    /// An answer came.
    pub(crate) fn learn(&self, index: usize, seat: &Seat, latency: Duration, load: u32) {
        if self.limits.get(index) == Some(&RequestLimit::Learned) {
            seat.state.capacity().learn(latency, load);
        }
    }

    pub(crate) fn freed(&self) {
        if let Some(watch) = &self.watch {
            watch.freed();
        }
    }
}
