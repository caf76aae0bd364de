//! Least drain time: the endpoint where one more request is expected to be answered soonest, by what its own answers
//! have taught. Knows no probe, agent or header; needs none.
//!
//! `score = ((w + own) · cost + n − w + fare + toll + error cost) · warning`, where `w` of `n` wait for their answer; smallest wins, ties to whoever has been idle for longest. `own` (`own.rs`) and `fare` are
//! what the request itself costs, `toll` (`queueing.rs`) what it costs others that it waits at a fast endpoint. `cost` is service time over parallelism, learned by `model`, shrunk to the fleet's by `fleet`, which also prices failing. On top of the cached
//! price a pick sees, at no cost worth mentioning, two things that cannot wait for an answer to arrive: silence (answers
//! are overdue by Little's law) and suspicion (the last few answers came late). The derivation is in
//! `docs/design/adaptive-balancing.md`.
//!
//! A pick is one look over all endpoints, one cache line each, without lock, allocation, logarithm or exponential (but for
//! endpoints under suspicion, and turns by weight at light load). A weight is a prior for parallelism: what is learned is learned per unit of the smallest.

mod by_weight;
mod distance;
mod errors;
mod explore;
mod fleet;
mod gaps;
mod hedge;
mod idle;
mod learned;
mod model;
mod outbreak;
mod own;
mod queueing;
mod shortlist;
mod spell;
mod unhurried;
mod warning;

use crate::bound::Choice;
use crate::candidates::Candidates;
use crate::in_flight::Counts;
use crate::seat::Seat;
use crate::{Ended, EndpointState, Lease, Moment};
use fleet::Fleet;
use idle::Idle;
use learned::Evidence;
use model::{FleetLevel, Lesson};
use queueing::Tolls;
use shortlist::{OPEN_MIN, RunnersUp, Shortlist};
use std::sync::Arc;
use std::time::Duration;

pub use learned::Beliefs;
pub(crate) use learned::{Learned, Published, Standing};
pub use warning::Warning;

/// Silences that are so many times as old as usual mean something: one Poisson gap in 150 is longer.
const SILENCE_ALLOWED: f32 = 5.0;
/// And those that say that an endpoint stands still.
pub(crate) const SILENCE_STALLED: f32 = hedge::STALLED * SILENCE_ALLOWED;
/// Suspicion starts at this part of the fleet's noise.
const SUSPICION_FROM: f32 = 0.4;
/// Up to so many endpoints are all looked at. With more, a look at some is as good.
const SCANNED_MAX: usize = 128;

/// What the client has is still right: an answer like others.
const NOT_MODIFIED: u16 = 304;
const REDIRECTS: std::ops::Range<u16> = 300..400;
/// So many times as quick as what is typical is made without work.
const AT_ONCE: f64 = 8.0;

#[derive(Debug)]
pub(crate) struct Adaptive {
    peers: u32,
    fleet: Arc<Fleet>,
    shortlist: Shortlist,
    idle: Option<Idle>,
}

impl Adaptive {
    /// `previous`: who has learned about the same cluster so far.
    pub(crate) fn new(peers: u32, seats: &[Seat], previous: Option<&Adaptive>) -> Self {
        let fleet = previous.map(|previous| Arc::clone(&previous.fleet)).unwrap_or_default();
        Self { peers, fleet, shortlist: Shortlist::default(), idle: Idle::of(seats) }
    }

    #[inline(never)]
    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<Choice> {
        let mut search = Search::new(&self.fleet, candidates.now());
        if candidates.positions() <= SCANNED_MAX || !self.look_at_some(&mut search, candidates, random) {
            candidates.visit_from_random(random, |index, seat, is_plain| search.look(index, seat, is_plain));
        }
        let best = search.best?;
        let (index, seat) = self.as_good_as(best, candidates).unwrap_or(best);
        let is_probe = is_probe(&seat.state, candidates.now());
        seat.state.standing().claim_probe(candidates.now());
        Some(Choice { is_probe, ..index.into() })
    }

    /// The best of those that have room; `None`: it is so for want of room elsewhere alone, and what failing costs there is more than how much somebody else has to do.
    pub(crate) fn best_or_wait(&self, candidates: &Candidates<'_>) -> Option<usize> {
        let (index, best) = self.best_of(candidates)?;
        let is_sound = error_cost(&best.state, candidates.now()) <= 0.0;
        let is_best = || self.best_of(&candidates.full_or_not()).is_none_or(|all| all.0 == index);
        (is_sound || is_best()).then_some(index)
    }

    /// How long to wait rather than ask the one of these that fails least, where a request takes a place for so long at least.
    pub(crate) fn wait_before_failing(&self, failing: &Candidates<'_>, stay: Duration) -> Option<Duration> {
        let costs = failing.iter().map(|(_, seat)| error_cost(&seat.state, failing.now()));
        costs.min_by(f32::total_cmp).map(|least| self.fleet.time_to_serve(least, stay))
    }

    fn best_of<'a>(&self, candidates: &Candidates<'a>) -> Option<(usize, &'a Seat)> {
        let mut search = Search::new(&self.fleet, candidates.now());
        candidates.visit_from_random(0, |index, seat, is_plain| search.look(index, seat, is_plain));
        search.best
    }

    fn as_good_as<'a>(
        &self,
        (_, best): (usize, &'a Seat),
        candidates: &Candidates<'a>,
    ) -> Option<(usize, &'a Seat)> {
        let idle = self.idle.as_ref().filter(|_| !is_probe(&best.state, candidates.now()))?;
        idle.next(candidates, best, &self.fleet)
    }

    /// What is held against this endpoint now.
    pub(crate) fn warning(&self, seat: &Seat, now: Moment) -> Warning {
        Warning::read(seat, self.fleet.patience(), now)
    }

    /// At 40 of them instead of all. False when too few of these may be picked to tell. Apart, so that the scan of few endpoints
    /// has the registers for itself.
    #[inline(never)]
    fn look_at_some<'a>(&self, search: &mut Search<'a>, candidates: &Candidates<'a>, random: u64) -> bool {
        let mut runners_up = RunnersUp::new();
        let mut open = 0;
        for index in self.shortlist.positions(candidates.positions(), random) {
            if let Some(seat) = candidates.get(index) {
                open += 1;
                search.look(index, seat, seat.state.is_unremarkable());
                runners_up.add(index, offer(seat, search.own));
            }
        }
        if let Some((index, _)) = search.best {
            self.shortlist.keep(&runners_up, index);
        }
        open >= OPEN_MIN
    }

    /// What the end of an attempt teaches. Off the client's path: the answer has been sent, or an attempt has failed.
    pub(crate) fn learn(&self, seats: &[Seat], lease: &Lease<'_>, ended: Ended, failed: bool, now: Moment) {
        if ended == Ended::Overtaken && !self.fleet.may_be_cold(&lease.endpoint().state, now) {
            lease.endpoint().state.overtaken(now);
        }
        let state = &lease.endpoint().state;
        let level = self.fleet.level(lease.lightness(), state.published());
        if let Some(evidence) = Self::evidence(lease, ended, failed, level.as_ref(), now) {
            if matches!(ended, Ended::Answered { .. }) {
                state.sign_of_life(now);
            }
            let elsewhere = self.fleet.errors_elsewhere();
            if state.learned().learn(state, evidence, level.as_ref(), elsewhere, now) == Lesson::Jumped {
                self.fleet.jumped(state, lease.lightness(), self.peers, now);
            }
            if let Evidence::Success { latency, .. } = evidence {
                state.learned().watch_waiting(latency, lease.requests(), lease.lightness());
            }
            if self.fleet.is_cold(state, lease.lightness(), now) {
                state.standing().forgive();
            }
            if matches!(evidence, Evidence::Failure | Evidence::Break { .. }) {
                // A fast failure frees its slot at once: until the next period hundreds of requests would follow it.
                self.fleet.price_errors(state, now);
            }
        }
        self.fleet.shrink_if_due(seats, self.peers, now);
    }

    fn evidence(
        lease: &Lease<'_>,
        ended: Ended,
        failed: bool,
        level: Option<&FleetLevel>,
        now: Moment,
    ) -> Option<Evidence> {
        match ended {
            Ended::Abandoned | Ended::Overtaken => None,
            Ended::Answered { .. } if lease.has_answered() => {
                (failed && lease.owes_verdict()).then_some(Evidence::Failure)
            }
            Ended::Answered { .. } if failed => Some(Evidence::Failure),
            Ended::Answered { status, first_byte } => {
                let (state, picked) = (&lease.endpoint().state, lease.picked_at());
                let silence = state.silence(now);
                let is_other =
                    is_by_the_way(status, first_byte, level) || state.was_long_by_itself(picked, now);
                Some(if is_other {
                    Evidence::OtherSuccess { silence }
                } else {
                    Evidence::Success { latency: first_byte, load: lease.load(), silence }
                })
            }
            Ended::Failed => Some(Evidence::Break { picked: lease.picked_at() }),
            Ended::ConnectFailed => Some(Evidence::Failure),
        }
    }
}

/// Whether an answer is made sooner than a page, and says nothing of how soon pages are: that there is nothing, or that it is not allowed; or a redirect that is far quicker than what is typical here.
fn is_by_the_way(status: u16, latency: Duration, level: Option<&FleetLevel>) -> bool {
    let is_quick = || level.is_some_and(|level| latency.as_secs_f64() * AT_ONCE < level.log_service.exp());
    status >= 400 || (REDIRECTS.contains(&status) && status != NOT_MODIFIED && is_quick())
}

/// What is too usual in a cluster to be warned of.
#[derive(Clone, Copy)]
struct Patience {
    /// In units of the expected gap.
    silence: f32,
    /// The mean of recent residuals.
    lateness: f32,
    /// Requests that a typical endpoint serves in one service time, for each unit of weight.
    at_once: f32,
}

/// The best endpoint so far.
struct Search<'a> {
    own: f32,
    surcharges: Surcharges,
    best: Option<(usize, &'a Seat)>,
    least: Bid,
}

impl<'a> Search<'a> {
    fn new(fleet: &Fleet, now: Moment) -> Self {
        let patience = fleet.patience();
        let surcharges = Surcharges { patience, tolls: fleet.tolls(patience), now };
        // Every score is finite, so the first endpoint beats this.
        let least = Bid { score: f32::INFINITY, last_used: u64::MAX };
        Self { own: fleet.own(), surcharges, best: None, least }
    }

    /// Nearly all endpoints are dismissed by the first comparison: queues, errors and warnings can only raise a score. A wanted
    /// probe can lower it; whoever has one is not plain.
    #[inline]
    fn look(&mut self, index: usize, seat: &'a Seat, is_plain: bool) {
        let now = self.surcharges.now;
        let bid = if is_plain { at_best(seat, self.own) } else { with_probe(seat, self.own, now) };
        if bid.beats(&self.least)
            && let Some(bid) = self.surcharges.better(&self.least, bid, seat)
        {
            (self.best, self.least) = (Some((index, seat)), bid);
        }
    }
}

/// What raises an endpoint's score. Apart from the search, whose other fields stay in registers so.
struct Surcharges {
    patience: Patience,
    tolls: Tolls,
    now: Moment,
}

impl Surcharges {
    /// What this endpoint offers with its queue, errors and warnings, if that still beats `least`. Apart, so that the scan stays small.
    #[inline(never)]
    fn better(&self, least: &Bid, bid: Bid, seat: &Seat) -> Option<Bid> {
        let score = bid.score + self.tolls.toll(seat, bid.score) + error_cost(&seat.state, self.now);
        let score = warning::weighed(score, &seat.state, self.patience, self.now);
        let bid = Bid { score: score.min(f32::MAX), ..bid };
        bid.beats(least).then_some(bid)
    }
}

/// What an endpoint offers. The smallest score wins, then the least recent use.
#[derive(Clone, Copy)]
struct Bid {
    score: f32,
    last_used: u64,
}

impl Bid {
    #[inline]
    fn beats(&self, other: &Bid) -> bool {
        self.score < other.score || (self.score <= other.score && self.last_used < other.last_used)
    }
}

/// What this endpoint offers when there is nothing to warn of.
#[inline]
fn at_best(seat: &Seat, own: f32) -> Bid {
    Bid { score: offer(seat, own), last_used: seat.state.last_used().0 }
}

/// The same of an endpoint that a scan must look at twice.
#[cold]
fn with_probe(seat: &Seat, own: f32, now: Moment) -> Bid {
    let plain = at_best(seat, own);
    if !is_probe(&seat.state, now) {
        return plain;
    }
    Bid { score: plain.score.min(cost_of_probe(seat, own * seat.price + (1.0 - own) * seat.fare)), ..plain }
}

/// What a probe costs: as much as one request costs a typical endpoint, unless it goes to explore.
fn cost_of_probe(seat: &Seat, typical: f32) -> f32 {
    if seat.state.standing().is_exploring() { curiosity(seat) } else { typical }
}

/// What exploring it costs: nothing, in the proxy's own zone. Whoever is in another is asked when the own one is busy, and not to
/// find out what it is worth.
fn curiosity(seat: &Seat) -> f32 {
    if seat.is_far() { f32::INFINITY } else { 0.0 }
}

/// The least that one more request costs there, for the one who places it and for all others: so much of it, `own`, counts by what it costs
/// there, and the rest by what it would cost a typical endpoint.
#[inline]
fn offer(seat: &Seat, own: f32) -> f32 {
    load_of(seat, seat.state.load().counts(), own) + (1.0 - own) * seat.fare
}

/// Of what there is and so many more that wait. How long an answer that has begun goes on is for its length and its reader to say, and how long a
/// poll waits for what happens elsewhere, not for how soon this endpoint begins answers: an answer costs what it would at a typical one, and so do the
/// polls that are more than usual.
#[inline]
fn load_of(seat: &Seat, counts: Counts, more: f32) -> f32 {
    let (waiting, cost) = (counts.waiting() as f32 + more, seat.state.standing().cost.get());
    let lingering = seat.state.lingering();
    // Nearly nobody has any, and a scan has no time for them.
    let at_its_cost = if lingering == 0 { waiting * cost } else { beside(&seat.state, waiting, cost) };
    (at_its_cost + counts.answering()) * seat.price
}

#[cold]
fn beside(state: &EndpointState, waiting: f32, cost: f32) -> f32 {
    (waiting - state.lingering() as f32) * cost + state.lingering_more_than_usual() as f32
}

/// When it would be answered.
#[inline]
fn drain_time(seat: &Seat) -> f32 {
    load_of(seat, seat.state.load().counts(), 1.0)
}

/// What it would be if the endpoint had no other request.
pub(crate) fn least_drain_time(seat: &Seat) -> f32 {
    seat.state.standing().cost.get() * seat.price
}

/// What it would be if the endpoint were typical, with the cost that most have, and had no more requests than so many.
pub(crate) fn typical_drain_time(seat: &Seat, most: f32) -> f32 {
    let counts = seat.state.load().counts();
    (1.0 + (counts.waiting() as f32 + counts.answering()).min(most)) * seat.price
}

/// The score without what is about to happen: the drain time at the learned cost, and what failing costs.
pub(crate) fn cached_score(seat: &Seat, now: Moment) -> f32 {
    let plain = drain_time(seat);
    let is_probe = !seat.state.is_unremarkable() && is_probe(&seat.state, now);
    let least = if is_probe { plain.min(cost_of_probe(seat, seat.price)) } else { plain };
    least + error_cost(&seat.state, now)
}

/// What failing costs. Whoever is marked and may be picked is due for a trial, which its failures must not put off; and who would be, had
/// these let anybody ask it, is as well.
pub(crate) fn error_cost(state: &EndpointState, now: Moment) -> f32 {
    let error_cost = state.standing().error_cost.get();
    let is_due = error_cost > 0.0 && (state.trial_due().is_some() || state.is_to_be_asked(now));
    if is_due { 0.0 } else { error_cost }
}

/// Whether one more request would be the probe that is due.
fn is_probe(state: &EndpointState, now: Moment) -> bool {
    state.is_probe_wanted() && state.is_free() && state.standing().is_probe_due(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Standard;
    use crate::testing::Fleet as Cluster;
    use crate::{Algorithm, CheckVerdict, Phase, Pick};
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::time::Duration;

    /// It refused too few requests to be marked: those that came meanwhile were sent elsewhere.
    #[test]
    fn who_was_away_for_a_while_warms_up_when_it_is_back() {
        let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 2);
        let answers = |at: Duration| {
            let now = Moment(0) + at;
            let lease = fleet.lease(0, now).unwrap();
            lease.settle(crate::Ended::Answered { status: 200, first_byte: Duration::from_millis(5) }, now);
        };
        let refuses =
            |at| fleet.lease(0, Moment(0) + at).unwrap().settle(crate::Ended::ConnectFailed, Moment(0) + at);
        let joined = || fleet.endpoints()[0].state.published().joined();
        let at = Duration::from_millis;
        answers(at(1));
        let first = joined();
        refuses(at(20_000));
        answers(at(20_050));
        assert_eq!(joined(), first, "it was busy for a moment");
        refuses(at(21_000));
        answers(at(22_500));
        assert_eq!(joined(), Moment(0) + at(22_500));
    }

    /// One endpoint of four has lost its pages, and says so forty times as fast as the others make theirs.
    #[test]
    fn not_having_what_is_asked_for_is_not_being_fast() {
        let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 4);
        let (mut open, mut asked) = (VecDeque::new(), [0; 4]);
        for millis in 1..20_000_u64 {
            let now = Moment(1) + Duration::from_millis(millis);
            let is_over = |(_, end): &(Lease<'_>, Moment)| *end <= now;
            while let Some(place) = open.iter().position(is_over) {
                let (lease, _) = open.remove(place).expect("it is there");
                let status = if lease.index() == 0 && millis > 5_000 { 404 } else { 200 };
                let first_byte = now.since(lease.picked_at());
                lease.settle(Ended::Answered { status, first_byte }, now);
            }
            if millis % 10 == 0 {
                let lease = fleet.pick_at(now);
                let is_lost = lease.index() == 0 && millis > 5_000;
                asked[lease.index()] += u32::from(millis > 5_000);
                let takes = Duration::from_millis(if is_lost { 1 } else { 40 });
                open.push_back((lease, now + takes));
            }
        }
        // Nobody else has nothing to do for as long: least request sends it as many.
        assert!(asked[0] < 1000, "{asked:?}");
        let cost = fleet.endpoints()[0].state.standing().cost.get();
        assert!(cost > 0.8, "{cost}");
    }

    /// The other one is as idle, and was used just now: any price has it preferred.
    #[test]
    fn who_breaks_off_is_asked_once_at_once_and_again_when_a_mark_would_be_over() {
        let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 2);
        let at = |milliseconds| Moment(1) + Duration::from_millis(milliseconds);
        let first_is_picked = |now: Moment, ended| {
            drop(fleet.lease(1, now));
            let lease = fleet.pick_at(now);
            let is_first = lease.index() == 0;
            lease.settle(if is_first { ended } else { Ended::Abandoned }, now);
            is_first
        };
        let took = Duration::from_millis(5);
        for round in 0..10 {
            let answered = Ended::Answered { status: 200, first_byte: took };
            fleet.lease(round % 2, at(5)).unwrap().settle(answered, at(10));
        }
        for lease in fleet.hold(0, 3) {
            lease.settle(Ended::Failed, at(1_000));
        }
        assert!(first_is_picked(at(1_010), Ended::ConnectFailed), "it may be gone, which costs nothing");
        assert!(!first_is_picked(at(1_020), Ended::Failed), "and that is known now");
        assert!(!first_is_picked(at(3_000), Ended::Failed));
        assert!(first_is_picked(at(3_020), Ended::Failed), "it has taken the connection, and broken it off");
        assert!(!first_is_picked(at(3_030), Ended::Failed), "so it fails by itself");
    }

    /// It has answered, though that taught nothing.
    #[test]
    fn whoever_was_explored_is_not_due_again_for_having_found_nothing() {
        let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 2);
        let (state, start) = (&fleet.endpoints()[0].state, Moment(1) + Duration::from_secs(1));
        let later = start + Duration::from_secs(3);
        for status in [404, 200] {
            state.learned().explore(state, start);
            state.standing().claim_probe(start + Duration::from_millis(1));
            assert!(state.standing().is_probe_due(later), "it has not reported back");
            let first_byte = Duration::from_millis(5);
            fleet.lease(0, start).unwrap().settle(Ended::Answered { status, first_byte }, start);
            assert!(!state.standing().is_probe_due(later), "{status}");
        }
    }

    /// One of four answers the head at once, and cuts what follows.
    #[test]
    fn whoever_cuts_each_answer_gets_next_to_nothing_however_soon_it_begins_them() {
        let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 4);
        let (mut open, mut begun, mut cut) = (VecDeque::new(), Vec::<Lease<'_>>::new(), 0);
        for millis in 1..=30_000_u64 {
            let now = Moment(1) + Duration::from_millis(millis);
            begun.drain(..).for_each(|lease| lease.settle(Ended::Failed, now));
            while let Some((lease, end)) = open.pop_front_if(|(_, end): &mut (Lease<'_>, Moment)| *end <= now)
            {
                let first_byte = now.since(lease.picked_at());
                lease.settle(Ended::Answered { status: 200, first_byte }, end);
            }
            if millis % 10 == 0 {
                let mut lease = fleet.pick_at(now);
                if lease.index() == 0 {
                    lease.begun(Phase::Answering, 200, Duration::from_millis(1), now);
                    begun.push(lease);
                    cut += 1;
                } else {
                    open.push_back((lease, now + Duration::from_millis(40)));
                }
            }
        }
        assert!(cut < 60, "{cut} of 3000");
    }

    /// What failing costs the first of three, half a second after so many of them have failed three times in a row.
    #[test]
    fn most_of_a_few_that_fail_in_one_moment_are_not_to_blame_and_one_alone_is() {
        let cost_after = |failing: usize| {
            let fleet = Cluster::even(Algorithm::Adaptive { peers: 1 }, 3);
            let mut now = Moment(1);
            let mut attempt = |index: usize, status| {
                let (lease, first_byte) = (fleet.lease(index, now).unwrap(), Duration::from_millis(5));
                now = now + first_byte;
                lease.settle(Ended::Answered { status, first_byte }, now);
            };
            (0..300).for_each(|number| attempt(number % 3, 200));
            (0..3 * failing).for_each(|number| attempt(number % failing, 500));
            (0..100).for_each(|number| attempt(1 + number % 2, 200));
            fleet.endpoints()[0].state.standing().error_cost.get()
        };
        assert!(cost_after(2) < 0.5 && cost_after(1) > 1.0, "{} and {}", cost_after(2), cost_after(1));
    }

    /// Which of two is picked, where the first one costs a fifth and so many have begun to be answered there.
    #[test]
    fn answers_that_have_begun_count_as_they_would_at_a_typical_endpoint() {
        for (phase, begun, picked) in [
            (Phase::Answering, 0, 0),
            (Phase::Answering, 1, 1), // its body takes as long there as elsewhere
            (Phase::Quiet, 4, 0),
            (Phase::Quiet, 8, 1),
        ] {
            let cluster = Cluster::even(Algorithm::LeastRequest, 2);
            let world = World::of(&cluster);
            let mut held = cluster.hold(0, begun);
            for lease in &mut held {
                lease.begun(phase, 200, Duration::from_millis(1), world.now);
            }
            world.seats[0].state.standing().cost.set(0.2);
            assert_eq!(world.pick(0), Some(picked), "{begun} {phase:?}");
        }
    }

    /// The score as the design note writes it, without a short cut.
    fn score(seat: &Seat, fleet: &Fleet, now: Moment) -> f32 {
        let (patience, own) = (fleet.patience(), fleet.own());
        let (state, standing) = (&seat.state, seat.state.standing());
        let (waiting, streaming) = (state.in_flight() - state.streaming(), state.streaming() as f32);
        let lingering = state.lingering() as f32;
        let is_probe = state.is_free() && standing.is_probe_due(now);
        let one = seat.price;
        let fare = (1.0 - own) * seat.fare;
        let at_its_cost = (waiting as f32 + own - lingering) * standing.cost.get();
        let cost = (at_its_cost + state.lingering_more_than_usual() as f32 + streaming) * one + fare;
        let of_probe = if standing.is_exploring() { curiosity(seat) } else { own * one + fare };
        let cost = if is_probe { cost.min(of_probe) } else { cost };
        let toll = fleet.tolls(patience).toll(seat, cost);
        let is_due = state.trial_due().is_some() || state.is_to_be_asked(now);
        let errors = if is_due { 0.0 } else { standing.error_cost.get() };
        let unanswered = waiting + state.requests_overtaken();
        let all_told: f32 = (1..=state.asked()).map(|which| 3.0 * f32::from(which)).sum();
        let most = if state.requests_overtaken() > 0 { f32::MAX } else { all_told };
        let silence = standing.silence(unanswered, now).min(most);
        let silence = 1.0 + (silence - patience.silence).max(0.0);
        let silence = if is_probe { 1.0 } else { silence };
        let remembered = standing.recent.get() * (-standing.age(now) / 100.0).exp2();
        let suspicion = 1.0 + 0.5 * (remembered - patience.lateness).max(0.0);
        let cost = (cost + toll + errors) * suspicion;
        let as_long_again = standing.age(now) * patience.at_once;
        let most = if state.may_have_answered(now) { as_long_again.min(2.0) } else { as_long_again };
        cost + (cost * (silence - 1.0)).min(most)
    }

    /// Endpoints, the picks and lessons under test, and the time. The leases come from a balancer beside it.
    struct World {
        seats: Box<[Seat]>,
        adaptive: Adaptive,
        now: Moment,
    }

    impl World {
        fn of(cluster: &Cluster) -> Self {
            let seats = Seat::all(cluster.endpoints(), &[]);
            let adaptive = Adaptive::new(1, &seats, None);
            Self { seats, adaptive, now: Moment(1) }
        }

        /// The first endpoint always takes 20 times as long.
        fn end(&self, lease: Lease<'_>, how: u8, latency: Duration) {
            let first_byte = latency * if lease.index() == 0 { 20 } else { 1 };
            let ended = match how {
                0 => Ended::ConnectFailed,
                1 => Ended::Answered { status: 503, first_byte },
                2 => Ended::Abandoned,
                3 => Ended::Overtaken,
                _ => Ended::Answered { status: 200, first_byte },
            };
            self.adaptive.learn(&self.seats, &lease, ended, how < 2, self.now);
            lease.settle(ended, self.now);
        }

        fn pick(&self, random: u64) -> Option<usize> {
            let pick = Pick { now: self.now, random, hash: None, tried: &[] };
            let candidates = Candidates::new(&self.seats, &pick, Standard::Open, None, None);
            self.adaptive.choose(&candidates, random).map(|choice| choice.index)
        }

        /// Those that may be drawn though they are not the best, or not the only one.
        fn as_good(&self, bids: &[(usize, f32, Moment)]) -> Vec<usize> {
            if Seat::is_even(&self.seats) {
                return Vec::new();
            }
            let least = bids.iter().map(|bid| bid.1).fold(f32::INFINITY, f32::min);
            let best: Vec<_> =
                bids.iter().filter(|bid| bid.1 <= least * 1.000_001).map(|bid| bid.0).collect();
            let is_as_good = |index: &usize| {
                let (seat, fleet) = (&self.seats[*index], &self.adaptive.fleet);
                best.iter().any(|best| idle::is_as_good(seat, &self.seats[*best], fleet, self.now))
            };
            bids.iter().map(|bid| bid.0).filter(is_as_good).collect()
        }

        /// Whoever may be picked, with the score and the last use.
        fn bids(&self) -> Vec<(usize, f32, Moment)> {
            let open = self.seats.iter().enumerate().filter(|(_, seat)| seat.state.is_open(self.now));
            open.map(|(index, seat)| {
                (index, score(seat, &self.adaptive.fleet, self.now), seat.state.last_used())
            })
            .collect()
        }
    }

    proptest! {
        #[test]
        fn a_pick_is_what_a_plain_comparison_of_all_scores_gives(
            weights in prop_oneof![prop::collection::vec(1_u32..3, 1..12), prop::collection::vec(Just(1), 1..12)],
            steps in prop::collection::vec((0_u8..16, 0_u8..20, 1_u64..40_000, any::<u64>()), 1..300),
        ) {
            let cluster = Cluster::new(Algorithm::LeastRequest, &weights);
            let mut world = World::of(&cluster);
            let mut held = VecDeque::new();
            for (what, how, micros, random) in steps {
                let latency = Duration::from_micros(micros);
                world.now = world.now + latency;
                let state = &cluster.endpoints()[random as usize % weights.len()].state;
                match what {
                    0 => state.set_draining(how < 3),
                    1 => state.mark_check(if how < 3 { CheckVerdict::Down } else { CheckVerdict::Up }),
                    2..=3 => held.iter_mut().rev().take(1).for_each(|lease: &mut Lease<'_>| {
                        lease.answered(200, latency, world.now);
                    }),
                    4..=8 => held.pop_front().into_iter().for_each(|lease| world.end(lease, how, latency)),
                    _ => {
                        let bids = world.bids();
                        let as_good = world.as_good(&bids);
                        let picked = world.pick(random);
                        prop_assert_eq!(picked.is_some(), !bids.is_empty());
                        let Some(ours) = bids.iter().find(|bid| Some(bid.0) == picked) else { continue };
                        for theirs in bids.iter().filter(|_| !as_good.contains(&ours.0)) {
                            prop_assert!(ours.1 <= theirs.1 * 1.000_001, "{:?} of {:?}", ours, bids);
                            let ties = ours.1.total_cmp(&theirs.1).is_eq();
                            prop_assert!(!ties || ours.2 <= theirs.2, "{:?} of {:?}", ours, bids);
                        }
                        held.extend(cluster.lease(ours.0, world.now));
                    }
                }
            }
        }
    }
}
