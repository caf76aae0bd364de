//! Least drain time: the endpoint where one more request is expected to be answered soonest, by what its own answers
//! have taught. Knows no probe, agent or header; needs none.
//!
//! `score = (n + 1) · cost + error cost`, smallest wins, ties to the least recently used. `cost` is service time over
//! parallelism, learned by `model`, shrunk to the fleet's by `fleet`, which also prices failing. On top of the cached
//! price a pick sees, at no cost worth mentioning, two things that cannot wait for an answer to arrive: silence (answers
//! are overdue by Little's law) and suspicion (the last few answers came late). The derivation is in
//! `docs/design/adaptive-balancing.md`.
//!
//! A pick is one look over all endpoints, one cache line each, without lock, allocation, logarithm or exponential (but for
//! endpoints under suspicion). A weight is a prior for parallelism: what is learned is learned per unit of the smallest.

mod errors;
mod fleet;
mod learned;
mod model;

use crate::candidates::Candidates;
use crate::{Ended, Endpoint, Lease, Moment};
use fleet::Fleet;
use learned::Evidence;
use model::Lesson;
use std::sync::Arc;

pub use learned::Beliefs;
pub(crate) use learned::{Learned, Published, Standing};

/// Gaps that may be missed before silence means something: one Poisson gap in 150 is longer.
const SILENCE_ALLOWED: f32 = 5.0;
/// Suspicion starts at this part of the fleet's noise and adds this much cost per unit of it.
const SUSPICION_FROM: f32 = 0.4;
const SUSPICION_COST: f32 = 0.5;
/// Suspicion halves in this many latencies without news.
const SUSPICION_HALF_LIFE: f32 = 100.0;
/// A request whose answer is already streaming counts as this part of one: it holds a slot's bandwidth, not a slot.
const STREAM_PART: f32 = 0.125;

#[derive(Debug)]
pub(crate) struct Adaptive {
    peers: u32,
    fleet: Arc<Fleet>,
    smallest_share: u64,
}

impl Adaptive {
    pub(crate) fn new(peers: u32, endpoints: &[Endpoint], previous: Option<&Adaptive>) -> Self {
        let fleet = previous.map(|previous| Arc::clone(&previous.fleet)).unwrap_or_default();
        let smallest_share = endpoints.iter().map(Endpoint::share).min().unwrap_or(1);
        Self { peers, fleet, smallest_share }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        let doubt = SUSPICION_FROM * self.fleet.noise();
        let now = candidates.now();
        let mut scan = candidates.iter_from_random(random);
        let (mut best, mut least) = scan.next()?;
        let mut score = self.score(least, doubt, now);
        for (index, endpoint) in scan {
            let other = self.score(endpoint, doubt, now);
            let is_less =
                other < score || (other <= score && endpoint.state.last_picked() < least.state.last_picked());
            if is_less {
                (best, least, score) = (index, endpoint, other);
            }
        }
        least.state.standing().claim_probe(now);
        Some(best)
    }

    fn score(&self, endpoint: &Endpoint, doubt: f32, now: Moment) -> f32 {
        let state = &endpoint.state;
        let standing = state.standing();
        let in_flight = state.in_flight();
        let streaming = state.streaming().min(in_flight);
        let waiting = in_flight - streaming;
        let mut cost = standing.cost.get();
        let recent = standing.recent.get();
        if recent > doubt {
            let decayed = recent * (-standing.age(now) / SUSPICION_HALF_LIFE).exp2();
            cost *= 1.0 + SUSPICION_COST * (decayed - doubt).max(0.0);
        }
        if waiting > 0 {
            let silence = standing.silence(waiting, now);
            cost *= 1.0 + (silence - SILENCE_ALLOWED).max(0.0);
        } else if standing.is_probe_due(now) {
            cost = 1.0;
        }
        let load = waiting as f32 + STREAM_PART * streaming as f32;
        // Whoever is marked and may be picked is due for a trial, which its failures must not put off.
        let error_cost = if state.trial_due().is_some() { 0.0 } else { standing.error_cost.get() };
        (load + 1.0) * cost / self.relative_share(endpoint) + error_cost
    }

    /// The weight in units of the smallest.
    fn relative_share(&self, endpoint: &Endpoint) -> f32 {
        endpoint.share() as f32 / self.smallest_share as f32
    }

    /// What the end of an attempt teaches. Off the client's path: the answer has been sent, or an attempt has failed.
    pub(crate) fn learn(&self, endpoints: &[Endpoint], lease: &Lease<'_>, ended: Ended, now: Moment) {
        if let Some(evidence) = self.evidence(lease, ended) {
            let state = &lease.endpoint().state;
            if matches!(ended, Ended::Answered { .. }) {
                state.standing().sign_of_life(now);
            }
            let level = self.fleet.level();
            if state.learned().learn(state.standing(), evidence, level.as_ref(), now) == Lesson::Jumped {
                self.fleet.hurry();
            }
            if matches!(evidence, Evidence::Failure) {
                // A fast failure frees its slot at once: until the next period hundreds of requests would follow it.
                self.fleet.price_errors(lease.endpoint(), now);
            }
        }
        self.fleet.shrink_if_due(endpoints, self.peers, now);
    }

    fn evidence(&self, lease: &Lease<'_>, ended: Ended) -> Option<Evidence> {
        match ended {
            Ended::Abandoned => None,
            Ended::Answered { .. } if lease.has_answered() => None,
            Ended::Answered { status, .. } if is_failure(status) => Some(Evidence::Failure),
            Ended::Answered { first_byte, .. } => {
                let load = f64::from(lease.load()) / f64::from(self.relative_share(lease.endpoint()));
                Some(Evidence::Success { latency: first_byte, load })
            }
            Ended::ConnectFailed | Ended::Failed => Some(Evidence::Failure),
        }
    }
}

/// Answers that say the endpoint could not do its work; other statuses are the application's to give.
fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
