//! A cluster's endpoints and the algorithm that picks among them. Knows nothing of what is sent there.

use crate::adaptive::Adaptive;
use crate::bound::LoadBound;
use crate::candidates::{Candidates, Standard};
use crate::least_request::LeastRequest;
use crate::maglev::Maglev;
use crate::places::{Place, Tiers};
use crate::random::Random;
use crate::rendezvous::Rendezvous;
use crate::round_robin::RoundRobin;
use crate::seat::Seat;
use crate::{Ended, Endpoint, Lease, Moment, PassiveMarking, first, peak_ewma, prequal, reported};

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
    /// Rendezvous hashing without a load bound.
    ConsistentHash,
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

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// The cluster has endpoints, all of them down, draining or unresolved; those that failed connects quickly have been
    /// tried all the same.
    AllDown,
    /// Every endpoint that is up has been tried. A caller who may try one again picks with an empty `tried`.
    AllTried,
    /// The cluster has no endpoints.
    Empty,
}

#[derive(Debug)]
pub struct Balancer {
    endpoints: Box<[Endpoint]>,
    seats: Box<[Seat]>,
    tiers: Tiers,
    chooser: Chooser,
    /// Present when the choice depends on what is learned.
    learner: Option<Adaptive>,
    passive: PassiveMarking,
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
    /// are the same.
    pub fn new(algorithm: Algorithm, endpoints: Vec<Endpoint>, previous: Option<&Balancer>) -> Self {
        let seats = Seat::all(&endpoints, &[]);
        let chooser = Chooser::new(algorithm, &endpoints, &seats, previous.map(|previous| &previous.chooser));
        let taught = previous.and_then(|previous| previous.learner.as_ref());
        let learner = algorithm.peers().map(|peers| Adaptive::new(peers, taught));
        let passive = PassiveMarking::default();
        Self { endpoints: endpoints.into(), seats, tiers: Tiers::default(), chooser, learner, passive }
    }

    /// With the endpoints in tiers and zones: one place for each, in their order.
    #[must_use]
    pub fn with_places(self, places: &[Place]) -> Self {
        let seats = Seat::all(&self.endpoints, places);
        Self { tiers: Tiers::of(&seats), seats, ..self }
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
        let learn = || bound.needs_learning().then(|| Adaptive::new(1, taught));
        Self { learner: self.learner.or_else(learn), ..self }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether the algorithm goes by what endpoints say of their load.
    pub fn listens_to_reports(&self) -> bool {
        matches!(self.chooser, Chooser::Prequal | Chooser::ReportedLoad)
    }

    /// Chooses an endpoint and counts the request as in flight there. Takes no lock and allocates nothing.
    pub fn pick(&self, pick: &Pick<'_>) -> Result<Lease<'_>, NoEndpoint> {
        let tier = self.tiers.draw(&self.seats, pick);
        let index = self
            .pick_open(pick, tier)
            .or_else(|| tier.and_then(|_| self.pick_open(pick, None)))
            .or_else(|| self.choose(pick, Standard::LastResort, None));
        index.and_then(|index| self.lease(index, pick.now)).ok_or_else(|| self.why_nobody(pick.now))
    }

    /// Whether `pick` would find an endpoint that is up.
    pub fn has_another(&self, pick: &Pick<'_>) -> bool {
        Candidates::new(&self.seats, pick, Standard::Open, None).iter().next().is_some()
    }

    /// Picks the endpoint that the client was with before, while it is up, has not been tried and is within the bound; else
    /// as `pick` does. For affinity that the client carries, such as a cookie.
    pub fn pick_again(
        &self,
        before: usize,
        bound: Option<LoadBound>,
        pick: &Pick<'_>,
    ) -> Result<Lease<'_>, NoEndpoint> {
        let candidates = Candidates::new(&self.seats, pick, Standard::Open, None);
        let has_room = |seat: &&Seat| bound.is_none_or(|bound| bound.limit(&candidates).has_room(seat));
        let is_free = |seat: &Seat| seat.state.claim_trial(pick.now, &self.passive);
        if candidates.get(before).filter(has_room).is_some_and(is_free) {
            self.lease(before, pick.now).ok_or(NoEndpoint::Empty)
        } else {
            self.pick(pick)
        }
    }

    /// Picks among those that are up. A marked endpoint whose trial is due takes part until one caller has got the trial;
    /// whoever loses that race chooses again, at most once for each endpoint.
    fn pick_open(&self, pick: &Pick<'_>, tier: Option<u8>) -> Option<usize> {
        (0..=self.seats.len()).map_while(|_| self.choose(pick, Standard::Open, tier)).find(|&index| {
            self.seats.get(index).is_some_and(|seat| seat.state.claim_trial(pick.now, &self.passive))
        })
    }

    fn choose(&self, pick: &Pick<'_>, standard: Standard, tier: Option<u8>) -> Option<usize> {
        let candidates = Candidates::new(&self.seats, pick, standard, tier);
        let key = pick.hash.unwrap_or(pick.random);
        match &self.chooser {
            Chooser::Adaptive => self.learner.as_ref()?.choose(&candidates, pick.random),
            Chooser::First { in_flight_max } => first::choose(&candidates, *in_flight_max),
            Chooser::LeastRequest(least_request) => least_request.choose(&candidates, pick.random),
            Chooser::Maglev(maglev) => maglev.choose(&candidates, key),
            Chooser::PeakEwma => peak_ewma::choose(&candidates, pick.random),
            Chooser::Prequal => prequal::choose(&candidates, pick.random),
            Chooser::Random(random) => random.choose(&candidates, pick.random),
            Chooser::ReportedLoad => reported::choose(&candidates, pick.random),
            Chooser::Rendezvous(rendezvous) => rendezvous.choose(&candidates, key),
            Chooser::RoundRobin(round_robin) => round_robin.choose(&candidates, pick.random),
        }
    }

    pub(crate) fn lease(&self, index: usize, now: Moment) -> Option<Lease<'_>> {
        Some(Lease::take(self, index, self.endpoints.get(index)?, self.seats.get(index)?, now))
    }

    fn why_nobody(&self, now: Moment) -> NoEndpoint {
        if self.endpoints.is_empty() {
            NoEndpoint::Empty
        } else if self.endpoints.iter().any(|endpoint| endpoint.state.is_open(now)) {
            NoEndpoint::AllTried
        } else {
            NoEndpoint::AllDown
        }
    }

    /// What the end of an attempt tells about its endpoint.
    pub(crate) fn learn(&self, lease: &Lease<'_>, ended: Ended, now: Moment) {
        let state = &lease.endpoint().state;
        match ended {
            Ended::Abandoned | Ended::Failed => {}
            Ended::Answered { .. } => state.connect_proven(),
            Ended::ConnectFailed => state.connect_failed(now.since(lease.picked_at()), now, &self.passive),
        }
        if let Some(learner) = &self.learner {
            learner.learn(&self.seats, lease, ended, now);
        }
        if let (Chooser::PeakEwma, Ended::Answered { first_byte, .. }) = (&self.chooser, ended)
            && !lease.has_answered()
        {
            state.peak_latency().learn(first_byte, now);
        }
    }
}

impl Algorithm {
    /// How many proxies learn about the same endpoints, when this algorithm depends on learning.
    fn peers(self) -> Option<u32> {
        match self {
            Self::Adaptive { peers } => Some(peers),
            Self::Prequal => Some(1),
            Self::Maglev { bound: Some(bound) } | Self::Rendezvous { bound: Some(bound) } => {
                bound.needs_learning().then_some(1)
            }
            _ => None,
        }
    }
}

impl Chooser {
    fn new(algorithm: Algorithm, endpoints: &[Endpoint], seats: &[Seat], previous: Option<&Chooser>) -> Self {
        match algorithm {
            Algorithm::Adaptive { .. } => Self::Adaptive,
            Algorithm::ConsistentHash => Self::Rendezvous(Rendezvous::new(endpoints, None)),
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
