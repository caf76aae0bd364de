//! How many requests an endpoint may have in flight, and who hears that one of them has ended. Knows no queue: only that
//! somebody may be waiting.
//!
//! The count is exact: a unit is only taken below the limit, in one step, so that no number of workers exceeds it.

use crate::Moment;
use crate::in_flight::{Counts, Most};
use crate::seat::Seat;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// The most requests that may be in flight on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestLimit {
    /// A little more than the endpoint serves at once, learned from how soon its answers begin. Those that have begun do not
    /// count: an event stream or a download is not what the others wait for, and one that goes on for hours teaches nothing.
    Learned,
    Most(u32),
    #[default]
    None,
}

/// Somebody who wants to hear when there may be room on an endpoint with a limit: of every request that ends there, and where
/// only those count whose answer has not begun, of each that begins, too.
pub trait RoomWatch: Debug + Send + Sync {
    /// Called after the request has ceased to count, from whatever thread that happens on.
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

    /// `None`: any number.
    pub(crate) fn most(&self, index: usize, seat: &Seat, now: Moment) -> Option<Most> {
        match self.limits.get(index) {
            Some(RequestLimit::Learned) => Some(Most::Waiting(seat.state.capacity().limit(now))),
            Some(RequestLimit::Most(most)) => Some(Most::Requests(*most)),
            Some(RequestLimit::None) | None => None,
        }
    }

    pub(crate) fn has_room(&self, index: usize, seat: &Seat, now: Moment) -> bool {
        self.most(index, seat, now).is_none_or(|most| seat.state.load().is_below(most))
    }

    /// An answer came to a request that had this before it.
    pub(crate) fn learn(&self, index: usize, seat: &Seat, latency: Duration, before: Counts) {
        if self.is_learned(index) {
            seat.state.capacity().learn(latency, before.waiting().saturating_add(1));
        }
    }

    /// An answer has begun, and goes on.
    pub(crate) fn begun(&self, index: usize) {
        if self.is_learned(index) {
            self.freed();
        }
    }

    fn is_learned(&self, index: usize) -> bool {
        self.limits.get(index) == Some(&RequestLimit::Learned)
    }

    pub(crate) fn freed(&self) {
        if let Some(watch) = &self.watch {
            watch.freed();
        }
    }
}
