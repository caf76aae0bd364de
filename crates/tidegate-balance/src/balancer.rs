//! A cluster's endpoints and the algorithm that picks among them. Knows nothing of what is sent there.

use crate::adaptive::Adaptive;
use crate::bound::LoadBound;
use crate::candidates::{Candidates, Standard};
use crate::least_request::LeastRequest;
use crate::random::Random;
use crate::rendezvous::Rendezvous;
use crate::round_robin::RoundRobin;
use crate::seat::Seat;
use crate::{Ended, Endpoint, Lease, Moment, PassiveMarking};

/// Which algorithm, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Least drain time, learned from the answers. `peers`: proxies that send to the same endpoints without telling each
    /// other, this one included.
    Adaptive {
        peers: u32,
    },
    /// Rendezvous hashing without a load bound.
    ConsistentHash,
    LeastRequest,
    Random {
        choices: u32,
    },
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
    chooser: Chooser,
    passive: PassiveMarking,
}

/// An enum, not a trait object: the set is closed, and a pick inlines.
#[derive(Debug)]
enum Chooser {
    Adaptive(Adaptive),
    LeastRequest(LeastRequest),
    Random(Random),
    Rendezvous(Rendezvous),
    RoundRobin(RoundRobin),
}

impl Balancer {
    /// `previous`: the balancer of the same cluster in the last snapshot, whose rotation state goes on where the endpoints
    /// are the same.
    pub fn new(algorithm: Algorithm, endpoints: Vec<Endpoint>, previous: Option<&Balancer>) -> Self {
        let seats = Seat::all(&endpoints);
        let chooser = Chooser::new(algorithm, &endpoints, &seats, previous.map(|previous| &previous.chooser));
        Self { endpoints: endpoints.into(), seats, chooser, passive: PassiveMarking::default() }
    }

    /// With other parameters of passive marking than the default.
    #[must_use]
    pub fn with_passive_marking(self, passive: PassiveMarking) -> Self {
        Self { passive, ..self }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Chooses an endpoint and counts the request as in flight there. Takes no lock and allocates nothing.
    pub fn pick(&self, pick: &Pick<'_>) -> Result<Lease<'_>, NoEndpoint> {
        let index = self.pick_open(pick).or_else(|| self.choose(pick, Standard::LastResort));
        index.and_then(|index| self.lease(index, pick.now)).ok_or_else(|| self.why_nobody(pick.now))
    }

    /// Picks among those that are up. A marked endpoint whose trial is due takes part until one caller has got the trial;
    /// whoever loses that race chooses again, at most once for each endpoint.
    fn pick_open(&self, pick: &Pick<'_>) -> Option<usize> {
        (0..=self.seats.len()).map_while(|_| self.choose(pick, Standard::Open)).find(|&index| {
            self.seats.get(index).is_some_and(|seat| seat.state.claim_trial(pick.now, &self.passive))
        })
    }

    fn choose(&self, pick: &Pick<'_>, standard: Standard) -> Option<usize> {
        let candidates = Candidates::new(&self.seats, pick.tried, pick.now, standard);
        match &self.chooser {
            Chooser::Adaptive(adaptive) => adaptive.choose(&candidates, pick.random),
            Chooser::LeastRequest(least_request) => least_request.choose(&candidates, pick.random),
            Chooser::Random(random) => random.choose(&candidates, pick.random),
            Chooser::Rendezvous(rendezvous) => {
                rendezvous.choose(&candidates, pick.hash.unwrap_or(pick.random))
            }
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
        if let Chooser::Adaptive(adaptive) = &self.chooser {
            adaptive.learn(&self.seats, lease, ended, now);
        }
    }
}

impl Chooser {
    fn new(algorithm: Algorithm, endpoints: &[Endpoint], seats: &[Seat], previous: Option<&Chooser>) -> Self {
        match algorithm {
            Algorithm::Adaptive { peers } => {
                let previous = match previous {
                    Some(Self::Adaptive(previous)) => Some(previous),
                    _ => None,
                };
                Self::Adaptive(Adaptive::new(peers, previous))
            }
            Algorithm::ConsistentHash => Self::Rendezvous(Rendezvous::new(endpoints, None)),
            Algorithm::LeastRequest => Self::LeastRequest(LeastRequest::new(seats)),
            Algorithm::Random { choices } => Self::Random(Random::new(choices, seats)),
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
