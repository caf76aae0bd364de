//! Least drain time: the endpoint where one more request is expected to be answered soonest, by what its own answers
//! have taught. Knows no probe, agent or header; needs none.
//!
//! `score = ((n + 1) · cost + error cost) · warning`, smallest wins, ties to the least recently used. `cost` is service time over
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
use crate::seat::Seat;
use crate::{Ended, Lease, Moment};
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
}

impl Adaptive {
    /// `previous`: who has learned about the same cluster so far.
    pub(crate) fn new(peers: u32, previous: Option<&Adaptive>) -> Self {
        Self { peers, fleet: previous.map(|previous| Arc::clone(&previous.fleet)).unwrap_or_default() }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        let doubt = SUSPICION_FROM * self.fleet.noise();
        let now = candidates.now();
        let mut best = None;
        // Every score is finite, so the first endpoint beats this.
        let mut least = Bid { score: f32::INFINITY, last_picked: u64::MAX };
        candidates.visit_from_random(random, |index, seat| {
            let cached = Bid { score: cached_score(seat, now), last_picked: seat.state.last_picked().0 };
            if !cached.beats(&least) {
                return;
            }
            let bid = Bid { score: (cached.score * warning(seat, doubt, now)).min(f32::MAX), ..cached };
            if bid.beats(&least) {
                (best, least) = (Some((index, seat)), bid);
            }
        });
        let (index, seat) = best?;
        seat.state.standing().claim_probe(now);
        Some(index)
    }

    /// What the end of an attempt teaches. Off the client's path: the answer has been sent, or an attempt has failed.
    pub(crate) fn learn(&self, seats: &[Seat], lease: &Lease<'_>, ended: Ended, now: Moment) {
        if let Some(evidence) = Self::evidence(lease, ended) {
            let state = &lease.endpoint().state;
            if matches!(ended, Ended::Answered { .. }) {
                state.standing().sign_of_life(now);
            }
            let level = self.fleet.level();
            if state.learned().learn(state.standing(), evidence, level.as_ref(), now) == Lesson::Jumped {
                self.fleet.hurry(now);
            }
            if matches!(evidence, Evidence::Failure) {
                // A fast failure frees its slot at once: until the next period hundreds of requests would follow it.
                self.fleet.price_errors(state, now);
            }
        }
        self.fleet.shrink_if_due(seats, self.peers, now);
    }

    fn evidence(lease: &Lease<'_>, ended: Ended) -> Option<Evidence> {
        match ended {
            Ended::Abandoned => None,
            Ended::Answered { .. } if lease.has_answered() => None,
            Ended::Answered { status, .. } if is_failure(status) => Some(Evidence::Failure),
            Ended::Answered { first_byte, .. } => {
                Some(Evidence::Success { latency: first_byte, load: lease.load() })
            }
            Ended::ConnectFailed | Ended::Failed => Some(Evidence::Failure),
        }
    }
}

/// What an endpoint offers. The smallest score wins, then the least recent use.
#[derive(Clone, Copy)]
struct Bid {
    score: f32,
    last_picked: u64,
}

impl Bid {
    #[inline]
    fn beats(&self, other: &Bid) -> bool {
        self.score < other.score || (self.score <= other.score && self.last_picked < other.last_picked)
    }
}

/// The score from the cached price. Most endpoints are dismissed by it, as warnings can only raise it.
#[inline]
pub(crate) fn cached_score(seat: &Seat, now: Moment) -> f32 {
    let state = &seat.state;
    let standing = state.standing();
    let in_flight = state.in_flight();
    let mut cost = standing.cost.get();
    if in_flight == 0 && cost > 1.0 && standing.is_probe_due(now) {
        cost = 1.0;
    }
    let mut load = in_flight as f32;
    let streaming = state.streaming();
    if streaming != 0 {
        load -= (1.0 - STREAM_PART) * streaming.min(in_flight) as f32;
    }
    let mut score = (load + 1.0) * cost * seat.price;
    let error_cost = standing.error_cost.get();
    // Whoever is marked and may be picked is due for a trial, which its failures must not put off.
    if error_cost > 0.0 && state.trial_due().is_none() {
        score += error_cost;
    }
    score
}

/// What cannot wait for an answer to arrive: 1, and more the longer answers are overdue and the later the last ones came.
#[inline]
fn warning(seat: &Seat, doubt: f32, now: Moment) -> f32 {
    let standing = seat.state.standing();
    let waiting = seat.state.in_flight().saturating_sub(seat.state.streaming());
    let mut warning = 1.0;
    let silence = standing.silence(waiting, now);
    if silence > SILENCE_ALLOWED {
        warning += silence - SILENCE_ALLOWED;
    }
    let recent = standing.recent.get();
    if recent > doubt {
        let remembered = recent * (-standing.age(now) / SUSPICION_HALF_LIFE).exp2();
        warning *= 1.0 + SUSPICION_COST * (remembered - doubt).max(0.0);
    }
    warning
}

/// Answers that say the endpoint could not do its work; other statuses are the application's to give.
fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
