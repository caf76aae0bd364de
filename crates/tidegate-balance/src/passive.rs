//! When failed connects take an endpoint out, and for how long. Knows parameters only; the marks are in the state.
//!
//! After `failures` failed connects in a row the endpoint is out for `out_for`; then one request, and only one, is let in as
//! a trial. Its answer clears the mark, its failure renews it, for twice as long (at most sixteen times) where it took half a second and
//! others are up: machines without power, whose packets nobody answers, would cost a request its patience every few seconds. An endpoint whose connects fail quickly (refused) costs a
//! request almost nothing to try, so when nobody else is left it is picked all the same, as a last resort: an endpoint
//! that came back is found by the first request that needs it. One whose connects time out is not: the caller hears
//! "all down" at once instead of waiting for a deadline, or waits for a while where it was well a moment ago (`Balancer::may_be_cut_off`).

use std::time::Duration;

/// When failed connects take an endpoint out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassiveMarking {
    /// Failed connects in a row that take an endpoint out; 0 turns passive marking off.
    pub failures: u32,
    /// From a failure to the next trial.
    pub out_for: Duration,
    /// A connect that took this long to fail makes the endpoint no last resort.
    pub slow_from: Duration,
}

/// A request that is a trial notices that it took so long to fail.
pub(crate) const COSTLY_FROM: Duration = Duration::from_millis(500);

impl Default for PassiveMarking {
    /// Three in a row, out for 2 s. Short, because a trial is one request that is tried again elsewhere.
    fn default() -> Self {
        Self { failures: 3, out_for: Duration::from_secs(2), slow_from: Duration::from_millis(100) }
    }
}
