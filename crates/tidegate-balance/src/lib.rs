//! Endpoints, their live state, and the algorithms that choose among them.
//!
//! Pure: knows no HTTP, no sockets, no configuration file. Time and randomness are arguments, so that the very same code
//! can be driven by workers and by a simulator.

mod balancer;
mod endpoint;
mod lease;

pub use balancer::{Algorithm, Balancer, NoEndpoint, Pick};
pub use endpoint::{Endpoint, EndpointId, EndpointState, Health};
pub use lease::{Ended, Lease};

/// A moment on a monotonic clock whose origin the caller chose, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);
