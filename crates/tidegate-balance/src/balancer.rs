//! A cluster's endpoints and the algorithm that picks among them. Knows nothing of what is sent there.

use crate::adaptive::{Adaptive, error_cost};
use crate::bound::{Choice, LoadBound};
use crate::breaker::{Breaker, Breakers, Ejection, Finding, HeldBack, Told, UNANSWERED};
use crate::candidates::{Candidates, Standard};
use crate::in_flight::Most;
use crate::least_request::LeastRequest;
use crate::maglev::Maglev;
use crate::outage::Outage;
use crate::passive::COSTLY_FROM;
use crate::places::{Place, Tiers};
use crate::random::Random;
use crate::rendezvous::Rendezvous;
use crate::room::{AnswerTime, Came, Rooms};
use crate::round_robin::RoundRobin;
use crate::seat::Seat;
use crate::{
    Ended, Endpoint, InForce, Lease, LimitReason, Moment, Occasion, PassiveMarking, RequestLimit, RoomWatch,
    StatusSet, Warning,
};
use crate::{first, peak_ewma, prequal, reported};
use std::sync::Arc;
use std::time::Duration;

/// Which algorithm, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Least drain time, learned from the answers. `peers`: proxies that send to the same endpoints without telling each
    /// other, this one included.
    Adaptive {
        peers: u32,
    },
    /// Packs requests onto the first endpoints of the list, up to this many in flight on each.
    First {
        in_flight_max: u32,
    },
    LeastRequest,
    /// Hashing by a table, for many endpoints; a key spills over when its endpoint holds more than the bound.
    Maglev {
        bound: Option<LoadBound>,
    },
    /// Requests in flight times a latency that rises at once, of two choices.
    PeakEwma,
    /// The lowest latency among those with the fewer requests in flight, of 16.
    Prequal,
    Random {
        choices: u32,
    },
    /// In proportion to what the endpoints say they could serve, two choices.
    ReportedLoad,
    /// Rendezvous hashing; a key spills over to its next-best endpoint when its own holds more than the bound.
    Rendezvous {
        bound: Option<LoadBound>,
    },
    RoundRobin,
}

/// What one pick may take into account.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    pub now: Moment,
    /// Uniform random bits.
    pub random: u64,
    /// The hash of the request's affinity key; an algorithm that needs one falls back on `random`.
    pub hash: Option<u64>,
    /// Positions already tried for this request: never picked again.
    pub tried: &'a [usize],
}

/// Whether a copy of a waiting request is to be sent.
#[derive(Debug)]
pub enum Second<'a> {
    Lease(Lease<'a>),
    /// The request is on an endpoint that looks stalled, but a copy would wait elsewhere, too.
    NoSlot,
    /// Nothing says that its endpoint is stalled.
    Unneeded,
}

impl<'a> Second<'a> {
    pub fn lease(self) -> Option<Lease<'a>> {
        match self {
            Self::Lease(lease) => Some(lease),
            Self::NoSlot | Self::Unneeded => None,
        }
    }
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// The cluster has endpoints, all of them down, draining or unresolved; those that failed connects quickly have been
    /// tried all the same.
    AllDown,
    /// Every endpoint that is up and has not been tried has as many requests in flight as it may have.
    AllFull,
    /// Every endpoint that is up has been tried. A caller who may try one again picks with an empty `tried`.
    AllTried,
    /// The cluster has no endpoints.
    Empty,
}

#[derive(Debug)]
pub struct Balancer {
    endpoints: Box<[Endpoint]>,
    seats: Arc<[Seat]>,
    tiers: Tiers,
    chooser: Chooser,
    /// Present when the choice depends on what is learned.
    learner: Option<Adaptive>,
    passive: PassiveMarking,
    /// Statuses that count as failures, for what is learned and for breakers.
    failures: StatusSet,
    breakers: Option<Breakers>,
    /// Present when requests in flight are limited.
    rooms: Option<Rooms>,
    /// Of the cluster, in all its snapshots.
    answer_time: Arc<AnswerTime>,
    outage: Outage,
}

/// An enum, not a trait object: the set is closed, and a pick inlines.
#[derive(Debug)]
enum Chooser {
    Adaptive,
    First { in_flight_max: u32 },
    LeastRequest(LeastRequest),
    Maglev(Maglev),
    PeakEwma,
    Prequal,
    Random(Random),
    ReportedLoad,
    Rendezvous(Rendezvous),
    RoundRobin(RoundRobin),
}

impl Balancer {
    /// `previous`: the balancer of the same cluster in the last snapshot, whose rotation state goes on where the endpoints
    /// are the same, as does what answers take.
    pub fn new(algorithm: Algorithm, endpoints: Vec<Endpoint>, previous: Option<&Balancer>) -> Self {
        let seats: Arc<[Seat]> = Seat::all(&endpoints, &[]).into();
        let chooser = Chooser::new(algorithm, &endpoints, &seats, previous.map(|previous| &previous.chooser));
        let taught = previous.and_then(|previous| previous.learner.as_ref());
        let learner = algorithm.learner(&seats, taught);
        let passive = PassiveMarking::default();
        let tiers = Tiers::default();
        Self {
            endpoints: endpoints.into(),
            seats,
            tiers,
            chooser,
            learner,
            passive,
            failures: StatusSet::failures(),
            breakers: None,
            rooms: None,
            answer_time: previous.map(|previous| Arc::clone(&previous.answer_time)).unwrap_or_default(),
            outage: previous.map(|previous| Outage::after(&previous.outage)).unwrap_or_default(),
        }
    }

    /// With the endpoints in tiers and zones: one place for each, in their order.
    #[must_use]
    pub fn with_places(self, places: &[Place]) -> Self {
        let seats: Arc<[Seat]> = Seat::all(&self.endpoints, places).into();
        let chooser = match self.chooser {
            Chooser::Maglev(untiered) => Chooser::Maglev(untiered.in_tiers(&self.endpoints, &seats)),
            Chooser::RoundRobin(untiered) => Chooser::RoundRobin(RoundRobin::new(&seats, Some(&untiered))),
            chooser => chooser,
        };
        Self { tiers: Tiers::of(&seats), seats, chooser, ..self }
    }

    /// With other parameters of passive marking than the default.
    #[must_use]
    pub fn with_passive_marking(self, passive: PassiveMarking) -> Self {
        Self { passive, ..self }
    }

    /// Learns what the bound compares, whatever the algorithm: for [`Self::pick_again`]. `previous` as for [`Self::new`].
    #[must_use]
    pub fn with_bound(self, bound: LoadBound, previous: Option<&Balancer>) -> Self {
        let taught = previous.and_then(|previous| previous.learner.as_ref());
        let learner = match self.learner {
            learner if !bound.needs_learning() => learner,
            learner => Some(learner.unwrap_or_else(|| Adaptive::new(1, &self.seats, taught))),
        };
        Self { learner, ..self }
    }

    /// With other statuses than 500, 502, 503 and 504 that count as failures.
    #[must_use]
    pub fn with_failure_statuses(self, failures: StatusSet) -> Self {
        Self { failures, ..self }
    }

    /// With breakers, or none. `in_force`: what is shared by all snapshots of the cluster; it changes with `come_into_force`.
    #[must_use]
    pub fn with_breaker(self, breaker: Option<Breaker>, in_force: Arc<InForce>) -> Self {
        Self { breakers: Some(Breakers::new(breaker, in_force)), ..self }
    }

    /// Requests are picked endpoints for by this one from now on. Its breaker and its failure statuses are those that count, whatever
    /// snapshot a request began with, and bring back whom they would not have taken out.
    pub fn come_into_force(&self, now: Moment) {
        if let Some(breakers) = &self.breakers {
            breakers.come_into_force(self.failures, &self.seats, now);
        }
    }

    /// To be called now and then, also where no request comes.
    pub fn judge_if_due(&self, now: Moment) {
        if let Some(breakers) = &self.breakers {
            breakers.judge_if_due(&self.seats, now);
        }
    }

    /// With limits on the requests in flight, one for each endpoint, in their order. `watch` hears when there may be room.
    #[must_use]
    pub fn with_request_limits(self, limits: &[RequestLimit], watch: Option<Arc<dyn RoomWatch>>) -> Self {
        Self { rooms: Rooms::new(limits, watch, &self.answer_time), ..self }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether the algorithm goes by what endpoints say of their load.
    pub fn listens_to_reports(&self) -> bool {
        matches!(self.chooser, Chooser::Prequal | Chooser::ReportedLoad)
    }

    /// Whether the algorithm takes a key to the endpoint that it belongs to.
    pub fn hashes(&self) -> bool {
        matches!(self.chooser, Chooser::Maglev(_) | Chooser::Rendezvous(_))
    }

    /// The most requests that the endpoint at this position may have in flight now, of those that count (`RequestLimit`); `None`: any
    /// number.
    pub fn request_limit(&self, index: usize, now: Moment) -> Option<u32> {
        self.most_in_flight(index, self.seats.get(index)?, now).map(Most::number)
    }

    /// Why it is so many, where that is learned.
    pub fn limit_reason(&self, index: usize, now: Moment) -> Option<LimitReason> {
        self.rooms.as_ref()?.limit_reason(index, self.seats.get(index)?, now)
    }

    /// Whether it has as many as that.
    pub fn is_full(&self, index: usize, now: Moment) -> bool {
        let is_full = |seat| self.rooms.as_ref().is_some_and(|rooms| !rooms.has_room(index, seat, now));
        self.seats.get(index).is_some_and(is_full)
    }

    /// How many requests at a time have been seen not to wait at this position, or have not been tried yet, and so do not spill where a
    /// bound goes by drain time; `None` where nothing is learned, or before the first answer.
    pub fn unhurried(&self, index: usize) -> Option<u32> {
        let seat = self.seats.get(index)?;
        let most = seat.state.published().unhurried.get() / seat.lightness;
        (most > 0.0 && self.learner.is_some()).then_some(most as u32)
    }

    /// What is held against the endpoint at this position now, because it is silent or was late; `None` where that does not decide.
    pub fn warning(&self, index: usize, now: Moment) -> Option<Warning> {
        let learner = self.learner.as_ref().filter(|_| matches!(self.chooser, Chooser::Adaptive))?;
        Some(learner.warning(self.seats.get(index)?, now))
    }

    /// Why the endpoint at this position stays though a breaker would take it out for this reason, by the present configuration;
    /// `None`: none would, or it is out.
    pub fn held_back(&self, index: usize, reason: Ejection, now: Moment) -> Option<HeldBack> {
        self.breakers.as_ref()?.held_back(&self.seats, index, reason, now)
    }

    /// Whether a request that has tried nothing could be picked an endpoint for: one that is up and has room.
    pub fn has_room(&self, now: Moment) -> bool {
        self.has_another(&Pick { now, random: 0, hash: None, tried: &[] })
    }

    /// Chooses an endpoint and counts the request as in flight there. Takes no lock and allocates nothing.
    pub fn pick(&self, pick: &Pick<'_>) -> Result<Lease<'_>, NoEndpoint> {
        if self.was_refused(pick) {
            let reachable = self.pick_of_any_tier(pick, Standard::Reachable);
            if reachable.is_some() || (self.rooms.is_some() && self.has_untried_reachable(pick)) {
                return reachable.ok_or(NoEndpoint::AllFull);
            }
            if let Some(lease) = self.pick_by(pick, Standard::LeftAlone, None) {
                return Ok(lease);
            }
        }
        self.pick_first(pick)
            .or_else(|| self.pick_in_order(pick, Standard::Open))
            .or_else(|| if self.is_worth_waiting(pick) { None } else { self.last_resort(pick) })
            .ok_or_else(|| self.why_nobody(pick))
    }

    /// Whom the request should go to. One that has been a trial, in vain, is none for another who may fail as well.
    fn pick_first(&self, pick: &Pick<'_>) -> Option<Lease<'_>> {
        if self.was_trial(pick) {
            return self.pick_of_any_tier(pick, Standard::Up);
        }
        let tier = self.tiers.draw(&self.seats, pick);
        let trial_in = self.tiers.draw_for_trial(&self.seats, pick, tier);
        let trial = trial_in.and_then(|tier| self.pick_by(pick, Standard::Trial, Some(tier)));
        trial.or_else(|| tier.and_then(|_| self.pick_by(pick, Standard::Open, tier)))
    }

    /// In its own one, if there is somebody.
    fn pick_of_any_tier(&self, pick: &Pick<'_>, standard: Standard) -> Option<Lease<'_>> {
        let tier = self.tiers.draw(&self.seats, pick);
        let own = tier.and_then(|tier| self.pick_by(pick, standard, Some(tier)));
        own.or_else(|| self.pick_in_order(pick, standard))
    }

    /// In the first tier that has somebody.
    fn pick_in_order(&self, pick: &Pick<'_>, standard: Standard) -> Option<Lease<'_>> {
        self.tiers.in_order().find_map(|tier| self.pick_by(pick, standard, tier))
    }

    /// Somebody to whom it could not connect. Those who are known to be like that are not asked before the others: so each of them is
    /// met by one request, however many are gone at once.
    fn was_refused(&self, pick: &Pick<'_>) -> bool {
        let is_gone = |seat: &Seat| seat.state.connect_failures_in_a_row() != 0;
        pick.tried.iter().any(|&index| self.seats.get(index).is_some_and(is_gone))
    }

    /// Or has been what took an endpoint out.
    fn was_trial(&self, pick: &Pick<'_>) -> bool {
        pick.tried.iter().any(|&index| self.seats.get(index).is_some_and(|seat| !seat.state.is_up()))
    }

    fn last_resort(&self, pick: &Pick<'_>) -> Option<Lease<'_>> {
        self.outage.last_resort(&self.seats, pick.now);
        self.pick_by(pick, Standard::LastResort, None)
    }

    /// For a request that has to wait, and loses nothing where its connection is refused: somebody who did so at once, and is out for nothing
    /// else. It may be back, though its mark lasts. Each is asked by one request at a time until it takes a connection, and not again for a moment.
    pub fn pick_refusing(&self, pick: &Pick<'_>) -> Option<Lease<'_>> {
        self.pick_by(pick, Standard::Refusing, None)
    }

    /// For a request that waits for those whom nobody can connect to: one of them, where connects have taken long to fail. Each is asked by a few
    /// requests, and not by all that wait.
    pub fn pick_unreached(&self, pick: &Pick<'_>) -> Option<Lease<'_>> {
        let lease = self.pick_by(pick, Standard::Unreached, None)?;
        self.outage.last_resort(&self.seats, pick.now);
        Some(lease)
    }

    /// For a request that can wait no longer for those that are full: somebody who fails, where others are waited for rather than asking it.
    pub fn pick_failing(&self, pick: &Pick<'_>) -> Option<Lease<'_>> {
        self.waits_rather_than_fails().and_then(|_| self.pick_of_any_tier(pick, Standard::Failing))
    }

    /// For how long it waits rather than do that, if anybody fails and has room.
    pub fn wait_before_failing(&self, now: Moment) -> Option<Duration> {
        let pick = Pick { now, random: 0, hash: None, tried: &[] };
        let stay = self.rooms.as_ref().and_then(Rooms::typical_stay).unwrap_or_default();
        let failing = self.candidates(&pick, Standard::Failing, None);
        self.waits_rather_than_fails()?.wait_before_failing(&failing, stay)
    }

    /// The first moment at which one of those may be asked.
    pub fn asks_from(&self) -> Option<Moment> {
        self.seats.iter().filter_map(|seat| seat.state.asked_from()).min()
    }

    /// Somebody is up, and only full: whoever is out is no better than that.
    fn is_worth_waiting(&self, pick: &Pick<'_>) -> bool {
        self.rooms.is_some() && self.has_untried_up(pick)
    }

    /// Whether `pick` would find an endpoint that is up and has room.
    pub fn has_another(&self, pick: &Pick<'_>) -> bool {
        let candidates = self.candidates(pick, Standard::Open, None);
        match self.waits_rather_than_fails() {
            Some(learner) => learner.best_or_wait(&candidates).is_some(),
            None => candidates.iter().next().is_some(),
        }
    }

    /// `None`: no request waits for somebody else while there is room.
    fn waits_rather_than_fails(&self) -> Option<&Adaptive> {
        let decides = self.rooms.is_some() && matches!(self.chooser, Chooser::Adaptive);
        self.learner.as_ref().filter(|_| decides)
    }

    /// Whether `pick` would find anybody, or would if there were room.
    pub fn has_untried(&self, pick: &Pick<'_>) -> bool {
        self.has_untried_up(pick) || self.has_untried_by(pick, Standard::LastResort)
    }

    /// The same of those that are up, or due to be tried again.
    pub fn has_untried_up(&self, pick: &Pick<'_>) -> bool {
        self.has_untried_by(pick, Standard::Open)
    }

    /// The same of those that are up, and were not found to be gone.
    pub fn has_untried_reachable(&self, pick: &Pick<'_>) -> bool {
        self.has_untried_by(pick, Standard::Reachable)
    }

    /// The same of those that refused their last connect, and that nobody has asked for a moment: one of them may be back.
    pub fn has_untried_left_alone(&self, pick: &Pick<'_>) -> bool {
        self.has_untried_by(pick, Standard::LeftAlone)
    }

    /// Whether the one at this position is up, and its last connect did not fail.
    pub fn is_reachable(&self, index: usize) -> bool {
        self.seats.get(index).is_some_and(|seat| Standard::Reachable.accepts(seat, Moment(0)))
    }

    fn has_untried_by(&self, pick: &Pick<'_>, standard: Standard) -> bool {
        self.candidates(pick, standard, None).full_or_not().iter().next().is_some()
    }

    /// Whether a request that everybody has refused to connect may find somebody in a second or two.
    pub fn may_be_restarting(&self, now: Moment) -> bool {
        self.seats.iter().any(|seat| seat.state.may_be_restarting(now))
    }

    /// Whether nobody can be connected to, and whoever was to be may be again in a moment.
    pub fn may_be_cut_off(&self, now: Moment) -> bool {
        !self.seats.iter().any(|seat| Standard::Reachable.accepts(seat, now))
            && self.seats.iter().any(|seat| seat.state.may_be_cut_off(now))
    }

    /// After which time most answers have begun, of late, whatever the algorithm; `None` where nothing is limited, or yet.
    pub fn usual_answer_time(&self) -> Option<Duration> {
        self.rooms.as_ref()?.usual_answer_time()
    }

    /// How soon after one answer the next may begin, of those that are waited for now (Little, "A proof for the queuing formula
    /// L = λW", Operations Research 9(3), 1961), when they are typical; `None` where nothing tells.
    pub fn typical_gap(&self) -> Option<Duration> {
        let waiting: u32 = self.seats.iter().map(|seat| seat.state.load().waiting()).sum();
        self.rooms.as_ref()?.typical_answer_time()?.checked_div(waiting)
    }

    /// The age beyond which a request is late enough to ask `pick_hedge` about it; `None` where nothing is learned, or yet.
    pub fn late_after(&self) -> Option<Duration> {
        self.learner.as_ref()?.late_after()
    }

    /// An endpoint for a copy of a request that `first` keeps waiting: only when `first` looks stalled, and only where a slot
    /// is free, or the copy would be answered long before the request is as old again. `pick.tried` has the position of
    /// `first`, too.
    pub fn pick_hedge(&self, first: &Lease<'_>, pick: &Pick<'_>) -> Second<'_> {
        let stalled = |learner: &&Adaptive| {
            self.seats.get(first.index()).is_some_and(|seat| learner.is_stalled(seat, pick.now))
        };
        let Some(learner) = self.learner.as_ref().filter(stalled) else { return Second::Unneeded };
        let candidates = self.candidates(pick, Standard::Up, self.tiers.draw(&self.seats, pick));
        let chosen = learner.choose_free(&candidates, pick.now.since(first.picked_at()));
        chosen.and_then(|index| self.lease(index, pick.now)).map_or(Second::NoSlot, Second::Lease)
    }

    /// Picks the endpoint that the client was with before, while it is up, has not been tried and is within the bound; else
    /// as `pick` does. For affinity that the client carries, such as a cookie.
    pub fn pick_again(
        &self,
        before: usize,
        bound: Option<LoadBound>,
        pick: &Pick<'_>,
    ) -> Result<Lease<'_>, NoEndpoint> {
        let has_room = |seat: &Seat| {
            bound.is_none_or(|bound| {
                let elsewhere = self.elsewhere(pick);
                bound.limit(&elsewhere).has_room(seat, &elsewhere)
            })
        };
        let suits = self.candidates(pick, Standard::Open, None).get(before).is_some_and(has_room);
        let again = if suits { self.take(before, pick.now, Standard::Open) } else { None };
        again.map_or_else(|| self.pick(pick), Ok)
    }

    /// Whom `pick` would choose among: those of its tier. Spares that idle in another one make no endpoint busier than is even.
    fn elsewhere<'a>(&'a self, pick: &Pick<'a>) -> Candidates<'a> {
        let of_tier = |tier| self.candidates(pick, Standard::Open, tier);
        let drawn = self.tiers.draw(&self.seats, pick);
        let tiers = drawn.map(Some).into_iter().chain(self.tiers.in_order());
        let mut all = tiers.map(of_tier);
        all.find(|candidates| candidates.iter().next().is_some()).unwrap_or_else(|| of_tier(None))
    }

    /// Whoever is chosen may be gone by the time it is taken: its last place, or the trial that it is due for, went to another
    /// caller. Then the choice is made again, without it; each time somebody else got ahead.
    fn pick_by(&self, pick: &Pick<'_>, standard: Standard, tier: Option<u8>) -> Option<Lease<'_>> {
        loop {
            let candidates = self.candidates(pick, standard, tier);
            let mut chosen = self.choose(&candidates, pick)?;
            if let Some(learner) = self.waits_rather_than_fails().filter(|_| standard.may_wait())
                && self.is_costly(chosen.index, pick.now)
            {
                chosen = learner.best_or_wait(&candidates)?.into();
            }
            if let Some(lease) = self.take(chosen.index, pick.now, standard) {
                let lease = if chosen.is_probe { lease.picked_as(Occasion::Probe) } else { lease };
                // Without a key it belongs nowhere.
                return Some(lease.spilled_by(pick.hash.and(chosen.spilled)));
            }
        }
    }

    fn is_costly(&self, index: usize, now: Moment) -> bool {
        self.seats.get(index).is_some_and(|seat| error_cost(&seat.state, now) > 0.0)
    }

    fn candidates<'a>(&'a self, pick: &Pick<'a>, standard: Standard, tier: Option<u8>) -> Candidates<'a> {
        Candidates::new(&self.seats, pick, standard, tier, self.rooms.as_ref())
    }

    fn choose(&self, candidates: &Candidates<'_>, pick: &Pick<'_>) -> Option<Choice> {
        let key = pick.hash.unwrap_or(pick.random);
        let chosen = match &self.chooser {
            Chooser::Maglev(maglev) => return maglev.choose(candidates, key),
            Chooser::Rendezvous(rendezvous) => return rendezvous.choose(candidates, key),
            Chooser::Adaptive => return self.learner.as_ref()?.choose(candidates, pick.random),
            Chooser::First { in_flight_max } => first::choose(candidates, *in_flight_max),
            Chooser::LeastRequest(least_request) => least_request.choose(candidates, pick.random),
            Chooser::PeakEwma => peak_ewma::choose(candidates, pick.random),
            Chooser::Prequal => prequal::choose(candidates, pick.random),
            Chooser::Random(random) => random.choose(candidates, pick.random),
            Chooser::ReportedLoad => reported::choose(candidates, pick.random),
            Chooser::RoundRobin(round_robin) => round_robin.choose(candidates, pick.random),
        };
        chosen.map(Choice::from)
    }

    /// Counts a request in, below the limit, and claims the trial that a marked endpoint is due for.
    fn take(&self, index: usize, now: Moment, standard: Standard) -> Option<Lease<'_>> {
        let lease = self.lease(index, now)?;
        let state = &lease.endpoint().state;
        if state.is_unremarkable() {
            return Some(lease);
        }
        let is_trial = state.waiting_for_trial().is_some();
        let is_asked_all_the_same = matches!(
            standard,
            Standard::LastResort | Standard::LeftAlone | Standard::Refusing | Standard::Unreached
        );
        if is_trial && is_asked_all_the_same {
            return Some(lease.picked_as(Occasion::LastResort));
        }
        let lease = state.claim_trial(now, &self.passive, self.breaker()).then_some(lease)?;
        Some(if is_trial { lease.picked_as(Occasion::Trial) } else { lease })
    }

    pub(crate) fn lease(&self, index: usize, now: Moment) -> Option<Lease<'_>> {
        Lease::take(self, index, self.endpoints.get(index)?, self.seats.get(index)?, now)
    }

    #[inline]
    pub(crate) fn most_in_flight(&self, index: usize, seat: &Seat, now: Moment) -> Option<Most> {
        self.rooms.as_ref()?.most(index, seat, now)
    }

    /// The answer to a request at this position has begun, and goes on.
    #[inline]
    pub(crate) fn begun(&self, index: usize) {
        if let Some(rooms) = &self.rooms {
            rooms.begun(index);
        }
    }

    /// One request less is in flight.
    #[inline]
    pub(crate) fn freed(&self) {
        if let Some(rooms) = &self.rooms {
            rooms.freed();
        }
    }

    fn why_nobody(&self, pick: &Pick<'_>) -> NoEndpoint {
        let untried =
            |standard| Candidates::new(&self.seats, pick, standard, None, None).iter().next().is_some();
        if self.endpoints.is_empty() {
            NoEndpoint::Empty
        } else if self.rooms.is_some() && (untried(Standard::Open) || untried(Standard::LastResort)) {
            NoEndpoint::AllFull
        } else if self.endpoints.iter().any(|endpoint| endpoint.state.is_open(pick.now)) {
            NoEndpoint::AllTried
        } else {
            NoEndpoint::AllDown
        }
    }

    /// What the end of an attempt tells about its endpoint.
    pub(crate) fn learn(&self, lease: &Lease<'_>, ended: Ended, now: Moment) {
        let state = &lease.endpoint().state;
        let failure = self.failure(ended);
        let failed = failure.is_some();
        match ended {
            Ended::Abandoned | Ended::Overtaken => {}
            Ended::Failed if lease.waited_in_vain().is_some() => {}
            Ended::Failed => state.absence().broke_off(now),
            Ended::Answered { first_byte, .. } => {
                state.has_answered(lease.picked_at(), first_byte);
                if state.connect_proven(now) {
                    self.outage.is_back(lease.index(), &self.seats, &self.passive, now);
                }
            }
            Ended::ConnectFailed => {
                let took = now.since(lease.picked_at());
                let was_trial = lease.occasion() == Some(Occasion::Trial);
                if took >= COSTLY_FROM && was_trial && self.is_another_up(lease.index()) {
                    state.absence().trial_was_costly();
                }
                state.connect_failed(took, now, &self.passive);
                if took < self.passive.slow_from && lease.occasion() != Some(Occasion::LastResort) {
                    self.outage.refused(state, &self.seats, &self.passive, now);
                }
            }
        }
        if let Some(learner) = &self.learner {
            learner.learn(&self.seats, lease, ended, failed, now);
        }
        self.learn_breakers(lease, ended, failure, now);
        if let Some(rooms) = &self.rooms
            && let Some(came) = what_came(lease, ended, failed, now)
            && let Some(seat) = self.seats.get(lease.index())
        {
            rooms.learn(lease, seat, came, now);
        }
        if let (Chooser::PeakEwma, Ended::Answered { first_byte, .. }) = (&self.chooser, ended)
            && !lease.has_answered()
        {
            state.peak_latency().learn(first_byte, now);
        }
    }

    /// It gives its place back.
    pub(crate) fn ended(&self, lease: &Lease<'_>, ended: Ended, now: Moment) {
        let Some(rooms) = &self.rooms else { return };
        if matches!(ended, Ended::Answered { .. }) && self.failure(ended).is_none() {
            rooms.ended(now.since(lease.picked_at()));
        }
    }

    fn is_another_up(&self, than: usize) -> bool {
        (0..).zip(self.seats.iter()).any(|(index, seat)| index != than && seat.state.is_up())
    }

    /// The status of a failure, or `UNANSWERED`.
    fn failure(&self, ended: Ended) -> Option<u16> {
        let status = match ended {
            Ended::Abandoned | Ended::Overtaken => return None,
            Ended::Answered { status, .. } => status,
            Ended::ConnectFailed | Ended::Failed => return Some(UNANSWERED),
        };
        self.is_failure(status).then_some(status)
    }

    pub(crate) fn is_failure(&self, status: u16) -> bool {
        match &self.breakers {
            Some(breakers) => breakers.is_failure(status, &self.failures),
            None => self.failures.contains(status),
        }
    }

    pub(crate) fn has_breaker(&self) -> bool {
        self.breaker().is_some()
    }

    fn breaker(&self) -> Option<&Breaker> {
        self.breakers.as_ref().and_then(Breakers::breaker)
    }

    /// An answer has gone well for long, and is not at its end.
    pub(crate) fn learn_of_long(&self, lease: &Lease<'_>, now: Moment) {
        self.tell_breakers(lease, Told::GoesWell, now);
    }

    fn learn_breakers(&self, lease: &Lease<'_>, ended: Ended, failure: Option<u16>, now: Moment) {
        match ended {
            Ended::Abandoned | Ended::Overtaken => return,
            // With the head, or at the end, whichever says how it went.
            Ended::Answered { .. } if lease.has_answered() != lease.owes_verdict() => return,
            Ended::Failed if lease.has_answered() && !lease.owes_verdict() => return,
            Ended::ConnectFailed if self.was_asked_by_who_waits(lease) => return,
            Ended::Answered { .. } | Ended::ConnectFailed | Ended::Failed => {}
        }
        self.tell_breakers(lease, failure.map_or(Told::Success, Told::Failure), now);
    }

    /// It is out for refusing connects, and the others are full: that it still does so is nothing new.
    fn was_asked_by_who_waits(&self, lease: &Lease<'_>) -> bool {
        let is_last_resort = lease.occasion() == Some(Occasion::LastResort);
        is_last_resort && !lease.is_trial() && self.is_another_up(lease.index())
    }

    fn tell_breakers(&self, lease: &Lease<'_>, told: Told, now: Moment) {
        let is_last_resort = lease.occasion() == Some(Occasion::LastResort);
        let is_trial = lease.is_trial();
        match &self.breakers {
            Some(breakers) => {
                let (index, picked_at) = (lease.index(), lease.picked_at());
                let finding = Finding { index, picked_at, is_trial, is_last_resort, told };
                breakers.learn(&self.seats, finding, now);
            }
            // It was taken out under a configuration that is gone.
            None if is_trial => lease.endpoint().state.mend(now),
            None => {}
        }
    }
}

/// Service Unavailable. Not Too Many Requests (429): that is about one client, and says nothing of the room for others.
const REFUSAL: u16 = 503;

/// What an attempt tells about the room there is.
fn what_came(lease: &Lease<'_>, ended: Ended, failed: bool, now: Moment) -> Option<Came> {
    match ended {
        _ if lease.has_answered() => None,
        Ended::Answered { status: REFUSAL, first_byte } => Some(Came::Refusal(first_byte)),
        Ended::Answered { first_byte, .. } if failed => Some(Came::Failure(first_byte)),
        Ended::Answered { first_byte, .. } => Some(Came::Answer(first_byte)),
        Ended::Abandoned | Ended::Failed => {
            let left = lease.left_after().map(Came::Left);
            // It has closed, say, which may be how it ends a wait.
            let failed = (ended == Ended::Failed).then(|| Came::Failure(now.since(lease.picked_at())));
            lease.waited_in_vain().map(Came::Nothing).or(left).or(failed)
        }
        Ended::ConnectFailed | Ended::Overtaken => None,
    }
}

impl Algorithm {
    /// When this algorithm depends on learning. `taught`: who has learned about the same cluster so far.
    fn learner(self, seats: &[Seat], taught: Option<&Adaptive>) -> Option<Adaptive> {
        match self {
            Self::Adaptive { peers } => Some(Adaptive::new(peers, seats, taught)),
            Self::Prequal => Some(Adaptive::new(1, seats, taught)),
            Self::Maglev { bound: Some(bound) } | Self::Rendezvous { bound: Some(bound) } => {
                bound.needs_learning().then(|| Adaptive::new(1, seats, taught))
            }
            _ => None,
        }
    }
}

impl Chooser {
    fn new(algorithm: Algorithm, endpoints: &[Endpoint], seats: &[Seat], previous: Option<&Chooser>) -> Self {
        match algorithm {
            Algorithm::Adaptive { .. } => Self::Adaptive,
            Algorithm::First { in_flight_max } => Self::First { in_flight_max },
            Algorithm::LeastRequest => Self::LeastRequest(LeastRequest::new(seats)),
            Algorithm::Maglev { bound } => Self::Maglev(Maglev::new(endpoints, seats, bound)),
            Algorithm::PeakEwma => Self::PeakEwma,
            Algorithm::Prequal => Self::Prequal,
            Algorithm::Random { choices } => Self::Random(Random::new(choices, seats)),
            Algorithm::ReportedLoad => Self::ReportedLoad,
            Algorithm::Rendezvous { bound } => Self::Rendezvous(Rendezvous::new(endpoints, bound)),
            Algorithm::RoundRobin => {
                let previous = match previous {
                    Some(Self::RoundRobin(previous)) => Some(previous),
                    _ => None,
                };
                Self::RoundRobin(RoundRobin::new(seats, previous))
            }
        }
    }
}
