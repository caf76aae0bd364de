//! The right to use one endpoint for one attempt, which reports back when it ends. Knows nothing of how it was chosen.

use crate::in_flight::{Counts, Phase};
use crate::seat::Seat;
use crate::{Balancer, Endpoint, Moment, Spilled};
use std::num::NonZeroU32;
use std::time::Duration;

/// An answer that is still coming so long after its head says that its endpoint serves. Its end may be hours away (event streams,
/// large files), and neither a row of failures nor a trial can wait for that. One that breaks off mostly does so sooner: it was
/// cut short by a crash, or by a limit on the time or memory of one request.
const LONG: Duration = Duration::from_secs(5);

/// Between two looks at a request that is late, this part of its age passes at least.
const LATE_AGAIN: u32 = 8;

/// The part of those that are there as it is answered in the load that it has met.
const LATER: f64 = 0.15;

/// How an attempt on an endpoint ended, as far as balancing cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client went away or the proxy gave up for reasons of its own: says nothing about the endpoint.
    Abandoned,
    /// An answer came; `first_byte` is the time from the pick to its head.
    Answered { status: u16, first_byte: Duration },
    /// The connect was refused, unreachable or timed out.
    ConnectFailed,
    /// Connected, but broke off, talked nonsense or stayed silent too long before or in the answer.
    Failed,
    /// Looked stalled, and a second attempt elsewhere was first to answer.
    Overtaken,
}

/// Why an endpoint was picked that would not have been picked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nobody is up: it was taken out by failing answers or by connects that failed quickly, and is worth a try. Or all who are up are full,
    /// and it was the connects.
    LastResort,
    /// `adaptive` wanted to know how it is doing now.
    Probe,
    /// It had been taken out for a while, which is over: how this goes decides.
    Trial,
}

/// Holds one unit of the endpoint's exact in-flight count. Dropping it without `settle` counts as `Ended::Abandoned`.
#[derive(Debug)]
pub struct Lease<'a> {
    balancer: &'a Balancer,
    endpoint: &'a Endpoint,
    index: usize,
    picked_at: Moment,
    /// What was in flight there when this one was picked.
    before: Counts,
    /// Of that, what had waited for far longer than is usual.
    lingering: u32,
    lightness: f32,
    /// Beyond the limit that is learned, because nothing is heard of those that are there.
    is_let_in: bool,
    phase: Phase,
    /// How long nothing came of it, until it was given up.
    waited_in_vain: Option<Duration>,
    left_after: Option<Duration>,
    /// What has been answered says at its end how it went.
    owes_verdict: bool,
    /// When an answer that goes on until then has gone well so far, which a breaker wants to hear.
    long_from: Option<Moment>,
    /// Which time it was that a breaker had taken the endpoint out, when this one was picked.
    trial_of: Option<NonZeroU32>,
    spilled: Option<Spilled>,
    occasion: Option<Occasion>,
}

impl<'a> Lease<'a> {
    /// `None`: the endpoint is full.
    pub(crate) fn take(
        balancer: &'a Balancer,
        index: usize,
        endpoint: &'a Endpoint,
        seat: &Seat,
        now: Moment,
    ) -> Option<Self> {
        let mut is_let_in = false;
        let before = match balancer.most_in_flight(index, seat, now) {
            None => endpoint.state.enter(now),
            Some(most) => {
                let before = endpoint.state.enter_below(most, now)?;
                let capacity = endpoint.state.capacity();
                if before.waiting() == 0 {
                    capacity.first_asked(now);
                }
                is_let_in = capacity.is_beyond(before.waiting() + 1);
                before
            }
        };
        Some(Self {
            balancer,
            endpoint,
            index,
            picked_at: now,
            before,
            lingering: endpoint.state.lingering(),
            lightness: seat.lightness,
            is_let_in,
            phase: Phase::Waiting,
            waited_in_vain: None,
            left_after: None,
            owes_verdict: false,
            long_from: None,
            trial_of: endpoint.state.time_out(),
            spilled: None,
            occasion: None,
        })
    }

    pub(crate) fn spilled_by(mut self, spilled: Option<Spilled>) -> Self {
        self.spilled = spilled;
        self
    }

    /// What was said first says more: a last resort that would do for a probe, too, is a last resort.
    pub(crate) fn picked_as(mut self, occasion: Occasion) -> Self {
        self.occasion = self.occasion.or(Some(occasion));
        self
    }

    /// Why this endpoint was picked though it is not up, or not the best by what is known; `None`: the usual way.
    pub fn occasion(&self) -> Option<Occasion> {
        self.occasion
    }

    /// Why an algorithm that hashes has not picked the endpoint that the key belongs to, though that one is up.
    pub fn spilled(&self) -> Option<Spilled> {
        self.spilled
    }

    pub fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// The endpoint's position in the list that the balancer was built from.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether what the endpoint says of its load is wanted.
    pub fn listens_to_reports(&self) -> bool {
        self.balancer.listens_to_reports()
    }

    pub fn picked_at(&self) -> Moment {
        self.picked_at
    }

    /// When to ask `Balancer::pick_hedge` again about this request, which is older than `late` (`Balancer::late_after`) and has no answer. The older it
    /// is, the later: in an overload most requests are late, and none of the copies that would be asked for.
    pub fn late_again(&self, late: Duration, now: Moment) -> Moment {
        let age = now.since(self.picked_at);
        now + (late / 2).max(age / LATE_AGAIN).max(Duration::from_nanos(1))
    }

    /// Requests that it was at work with there, this one included, for each unit of the cluster's smallest weight; asked as it is answered. Those that it
    /// found, which are all that it waits for in a line, and for a part those that are there now: where processors are shared it had to do with both.
    pub(crate) fn load(&self) -> f64 {
        let (found, now) = (f64::from(self.requests()), f64::from(self.endpoint.state.at_work().max(1)));
        (found + LATER * (now - found)) * f64::from(self.lightness)
    }

    /// Requests that were at work there (`EndpointState::at_work`) when this one was picked, this one included.
    pub(crate) fn requests(&self) -> f32 {
        self.before.at_work().saturating_sub(self.lingering) as f32 + 1.0
    }

    pub(crate) fn lightness(&self) -> f32 {
        self.lightness
    }

    pub(crate) fn is_let_in(&self) -> bool {
        self.is_let_in
    }

    /// What was in flight there when this one was picked.
    pub(crate) fn before(&self) -> Counts {
        self.before
    }

    /// The endpoint was out by a breaker when this one was picked, and is so since. One that was put in and taken out again
    /// meanwhile is not tried by it.
    pub(crate) fn is_trial(&self) -> bool {
        self.trial_of.is_some() && self.trial_of == self.endpoint.state.time_out()
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.phase != Phase::Waiting
    }

    pub(crate) fn owes_verdict(&self) -> bool {
        self.owes_verdict
    }

    /// The endpoint alone was waited for since a moment, and nothing came until a timeout of the proxy's own. Optional, before `settle`: where
    /// a limit is learned, it tells that there were too many. Not for clients who leave (`is_left`). How long requests have waited so,
    /// one after the other, since the endpoint's last answer, this one included.
    pub fn waits_in_vain(&mut self, from: Moment, to: Moment) -> Duration {
        self.waited_in_vain = Some(to.since(from));
        self.endpoint.state.waited_in_vain(from, to)
    }

    /// The endpoint alone was waited for since a moment, and nothing came until the client left, or its time was over. Optional, before `settle`: where a limit is
    /// learned and nobody else is served either, it tells that there were too many.
    pub fn is_left(&mut self, from: Moment, to: Moment) {
        self.left_after = Some(to.since(from));
    }

    pub(crate) fn left_after(&self) -> Option<Duration> {
        self.left_after
    }

    pub(crate) fn waited_in_vain(&self) -> Option<Duration> {
        self.waited_in_vain
    }

    /// The head of the answer came and says how it went; what follows may take long. Optional: it teaches at once what
    /// `settle` would teach at the end, and the request no longer counts as waiting, so that a long stream is not taken for a
    /// stalled endpoint. `settle` must follow all the same.
    pub fn answered(&mut self, status: u16, first_byte: Duration, now: Moment) {
        self.passes_to(Phase::Answering, status, first_byte, now);
    }

    /// The same where what follows is a tunnel.
    pub fn opened(&mut self, status: u16, first_byte: Duration, now: Moment) {
        self.passes_to(Phase::Quiet, status, first_byte, now);
    }

    /// The same for an answer that may break off, or says at its end whether it is a success: only its latency counts yet, and
    /// `settle` brings the rest. A failing status says all at once. `phase`: `Quiet` for a stream of events.
    pub fn begun(&mut self, phase: Phase, status: u16, first_byte: Duration, now: Moment) {
        if !self.has_answered() {
            self.owes_verdict = !self.balancer.is_failure(status);
            self.long_from = (self.owes_verdict && self.balancer.has_breaker()).then(|| now + LONG);
            self.passes_to(phase, status, first_byte, now);
        }
    }

    fn passes_to(&mut self, phase: Phase, status: u16, first_byte: Duration, now: Moment) {
        if !self.has_answered() {
            self.balancer.learn(self, Ended::Answered { status, first_byte }, now);
            self.phase = phase;
            self.endpoint.state.begin(phase, self.picked_at);
            self.balancer.begun(self.index);
        }
    }

    /// Whether `goes_on` has something to say yet.
    pub fn may_become_long(&self) -> bool {
        self.long_from.is_some()
    }

    /// More has come of an answer that has begun. Optional: tells of one that takes long that it goes well so far; its result follows
    /// with `settle` all the same.
    pub fn goes_on(&mut self, now: Moment) {
        if self.long_from.take_if(|long_from| *long_from <= now).is_some() {
            self.balancer.learn_of_long(self, now);
        }
    }

    /// Gives the in-flight unit back and tells the balancer how it went.
    pub fn settle(self, ended: Ended, now: Moment) {
        self.balancer.learn(&self, ended, now);
        self.balancer.ended(&self, ended, now);
        self.endpoint.state.used(now);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.occasion == Some(Occasion::Trial) {
            self.endpoint.state.circuit().trial_ended(self.picked_at);
        }
        self.endpoint.state.leave(self.phase, self.picked_at);
        self.balancer.freed();
    }
}
