//! Endpoints, their live state, and the algorithms that choose among them.
//!
//! Pure: knows no HTTP, no sockets, no configuration file. Time and randomness are arguments, so that the very same code
//! can be driven by workers and by a simulator.
//!
//! A [`Balancer`] is one cluster as one snapshot sees it. [`Balancer::pick`] hands out a [`Lease`]: one unit of the
//! endpoint's exact in-flight count, which must report how the attempt [`Ended`]. What is learned lives in the
//! [`EndpointState`], which all workers and all snapshots share, and which a reload finds again in [`States`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod absence;
mod adaptive;
mod asked;
mod balancer;
mod block;
mod bound;
mod breaker;
mod candidates;
mod capacity;
mod circuit;
mod endpoint;
mod entropy;
mod first;
mod float;
mod in_flight;
mod in_force;
mod in_vain;
mod lateness;
mod latest;
mod lease;
mod least_request;
mod lingering;
mod maglev;
mod outage;
mod passive;
mod peak_ewma;
mod places;
mod prequal;
mod queue;
mod random;
mod recovery;
mod refusals;
mod rendezvous;
mod reported;
mod retry_budget;
mod room;
mod round_robin;
mod seat;
mod state;
mod states;
mod status_set;
#[cfg(test)]
mod testing;
mod turns;
mod weights;

pub use adaptive::{Beliefs, Warning};
pub use balancer::{Algorithm, Balancer, NoEndpoint, Pick, Second};
pub use bound::{LoadBound, Spilled};
pub use breaker::{Breaker, Ejection, HeldBack};
pub use capacity::LimitReason;
pub use endpoint::{Endpoint, EndpointId};
pub use in_flight::Phase;
pub use in_force::InForce;
pub use lease::{Ended, Lease, Occasion};
pub use passive::PassiveMarking;
pub use places::Place;
pub use queue::{Joined, Priority, Queue, Refusal, Refused, Ticket};
pub use reported::LoadReport;
pub use retry_budget::{RetryBudget, RetryIncome};
pub use room::{RequestLimit, RoomWatch};
pub use state::{CheckVerdict, EndpointState, Health};
pub use states::States;
pub use status_set::StatusSet;

/// A moment on a monotonic clock whose origin the caller chose, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// How long ago `earlier` was; zero when it lies ahead, as it may when two workers read their clocks.
    #[must_use]
    pub fn since(self, earlier: Moment) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<std::time::Duration> for Moment {
    type Output = Moment;

    fn add(self, span: std::time::Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
