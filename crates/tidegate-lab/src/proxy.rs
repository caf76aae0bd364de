//! One proxy of a run: the balancer that Tidegate runs, or one of those for comparison. Knows no arrivals and no machines
//! but through the oracle's eyes.

use crate::contender::Method;
use crate::least_request_lru::LeastRequestLru;
use crate::least_time::LeastTime;
use crate::machine::Machine;
use crate::oracle::Oracle;
use crate::server::Server;
use crate::traffic::Request;
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, Ended, Endpoint, EndpointId, EndpointState, Lease, Moment, Pick,
};

/// The balancers live apart from the proxies, whose leases borrow from them.
pub(crate) fn balancer(method: Method, machines: &[Machine]) -> Option<Balancer> {
    let Method::Balance(algorithm) = method else { return None };
    let endpoint = |machine: &Machine| Endpoint {
        id: EndpointId { cluster: "lab".into(), address: machine.name.as_str().into() },
        weight: machine.weight,
        state: reached(machine),
    };
    Some(Balancer::new(algorithm, machines.iter().map(endpoint).collect(), None))
}

/// Connects are no part of a run: how far away it is, is known from the start.
fn reached(machine: &Machine) -> std::sync::Arc<EndpointState> {
    let state = EndpointState::default();
    state.learn_round_trip(Duration::from_nanos(machine.round_trip.0), Moment(0));
    state.into()
}

#[derive(Debug)]
pub(crate) enum Proxy<'b> {
    Balance(&'b Balancer),
    LeastRequestLru(LeastRequestLru),
    LeastTime(LeastTime),
    Oracle(Oracle),
}

/// The right to use one endpoint for one request.
#[derive(Debug)]
pub(crate) enum Ticket<'b> {
    Lease(Lease<'b>),
    Endpoint(usize),
}

/// An attempt that is about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) request: &'a Request,
    /// Endpoints that this request has failed on, or waits on.
    pub(crate) tried: &'a [usize],
    pub(crate) now: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered { status: u16 },
    Refused,
    Reset,
}

impl<'b> Proxy<'b> {
    pub(crate) fn new(balancer: Option<&'b Balancer>, method: Method, servers: &[Server<'_>]) -> Self {
        let weights = servers.iter().map(|server| server.machine().weight);
        match (balancer, method) {
            (Some(balancer), _) => Self::Balance(balancer),
            (None, Method::Oracle) => Self::Oracle(Oracle::new(servers)),
            (None, Method::LeastRequestLru) => Self::LeastRequestLru(LeastRequestLru::new(weights)),
            (None, _) => Self::LeastTime(LeastTime::new(weights)),
        }
    }

    /// Chooses; `None` when no endpoint is there that was not tried.
    pub(crate) fn pick(
        &mut self,
        attempt: &Attempt<'_>,
        random: u64,
        servers: &[Server<'_>],
    ) -> Option<Ticket<'b>> {
        let Attempt { request, tried, now } = *attempt;
        match self {
            Self::Balance(balancer) => balancer.pick(&attempt.pick(random)).ok().map(Ticket::Lease),
            Self::LeastRequestLru(least_request) => least_request.pick(tried).map(Ticket::Endpoint),
            Self::LeastTime(least_time) => least_time.pick(random, tried).map(Ticket::Endpoint),
            Self::Oracle(oracle) => oracle.pick(servers, request.work, tried, now).map(Ticket::Endpoint),
        }
    }

    /// When to ask for a second attempt beside the first, in nanoseconds from that one's start.
    pub(crate) fn late_after(&self) -> Option<u64> {
        let Self::Balance(balancer) = self else { return None };
        balancer.late_after().map(|late| u64::try_from(late.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Another endpoint for a request that `first` keeps waiting, if that one looks stalled. `attempt.tried` has its place, too.
    pub(crate) fn pick_hedge(
        &self,
        first: &Ticket<'b>,
        attempt: &Attempt<'_>,
        random: u64,
    ) -> Option<Ticket<'b>> {
        let (Self::Balance(balancer), Ticket::Lease(first)) = (self, first) else { return None };
        balancer.pick_hedge(first, &attempt.pick(random)).lease().map(Ticket::Lease)
    }

    /// When to ask that again, where an attempt is late that is older than `late` nanoseconds.
    pub(crate) fn late_again(first: &Ticket<'b>, late: u64, now: u64) -> Option<u64> {
        let Ticket::Lease(first) = first else { return None };
        Some(first.late_again(Duration::from_nanos(late), Moment(now)).0)
    }

    /// The request takes a slot, or waits for one.
    pub(crate) fn accepted(&mut self, endpoint: usize, server: &Server<'_>, work: f64, now: u64) {
        if let Self::Oracle(oracle) = self {
            oracle.accepted(endpoint, server, work, now);
        }
    }

    pub(crate) fn settle(&mut self, ticket: Ticket<'b>, ending: Ending, latency: u64, now: u64) {
        match (self, ticket) {
            (Self::LeastRequestLru(least_request), Ticket::Endpoint(endpoint)) => {
                least_request.settle(endpoint);
            }
            (Self::LeastTime(least_time), Ticket::Endpoint(endpoint)) => least_time.settle(endpoint, latency),
            (_, Ticket::Lease(lease)) => lease.settle(ending.told(latency), Moment(now)),
            (_, Ticket::Endpoint(_)) => {}
        }
    }

    /// Nobody waits for this attempt any more, which was overtaken by a later one, or came too late to overtake.
    pub(crate) fn abandon(ticket: Ticket<'b>, is_overtaken: bool, now: u64) {
        if let Ticket::Lease(lease) = ticket {
            let ended = if is_overtaken { Ended::Overtaken } else { Ended::Abandoned };
            lease.settle(ended, Moment(now));
        }
    }

    pub(crate) fn set_open(&mut self, endpoint: usize, is_open: bool) {
        match self {
            Self::Balance(balancer) => balancer.endpoints()[endpoint].state.set_draining(!is_open),
            Self::LeastRequestLru(least_request) => least_request.set_open(endpoint, is_open),
            Self::LeastTime(least_time) => least_time.set_open(endpoint, is_open),
            Self::Oracle(oracle) => oracle.set_open(endpoint, is_open),
        }
    }
}

impl Attempt<'_> {
    fn pick(&self, random: u64) -> Pick<'_> {
        Pick { now: Moment(self.now), random, hash: Some(self.request.key), tried: self.tried }
    }
}

impl Ticket<'_> {
    pub(crate) fn endpoint(&self) -> usize {
        match self {
            Self::Lease(lease) => lease.index(),
            Self::Endpoint(endpoint) => *endpoint,
        }
    }

    /// Whether a hash would have it elsewhere, where there was too much to do.
    pub(crate) fn is_spilled(&self) -> bool {
        matches!(self, Self::Lease(lease) if lease.spilled().is_some())
    }
}

impl Ending {
    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Self::Answered { status: 200 })
    }

    fn told(self, latency: u64) -> Ended {
        match self {
            Self::Answered { status } => {
                Ended::Answered { status, first_byte: Duration::from_nanos(latency) }
            }
            Self::Refused => Ended::ConnectFailed,
            Self::Reset => Ended::Failed,
        }
    }
}

/// Whether the endpoints have to say how busy they are.
pub(crate) fn wants_reports(method: Method) -> bool {
    method == Method::Balance(Algorithm::ReportedLoad)
}
