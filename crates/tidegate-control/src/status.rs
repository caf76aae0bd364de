//! The state of everything, as facts: what `/status` prints, and what the live view shows.

use crate::beliefs::{self, BeliefStatus};
use crate::listening::Listening;
use crate::overview::Overview;
use crate::tls::{self, CertificateFacts};
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_balance::{Balancer, Ejection, Endpoint, EndpointState, Health, HeldBack, LimitReason, Moment};
use tidegate_config::{Balance, Cluster as Configured, Endpoint as Listed};
use tidegate_proxy::now;
use tidegate_proxy::snapshot::{Cluster, Listener};
use tidegate_proxy::upstream::{Address, Upstream};

/// All that can be said at one moment. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// `serving` or `draining`.
    pub state: &'static str,
    pub version: &'static str,
    /// Counts the configurations that were in force.
    pub generation: u64,
    pub workers: usize,
    pub listeners: Vec<ListenerStatus>,
    pub certificates: Vec<CertificateStatus>,
    pub clusters: Vec<ClusterStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ListenerStatus {
    /// As configured.
    pub listener: String,
    /// What is really bound.
    pub address: String,
    pub connections: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct CertificateStatus {
    /// The file that it comes from.
    pub certificate: String,
    /// What it is for.
    pub names: Vec<String>,
    /// In seconds since the Unix epoch; `None`: it vouches for clients.
    pub not_after: Option<i64>,
    /// Why what the file holds now is not used, why an authority gave no other one, or that what is used has expired.
    pub problem: Option<String>,
    /// `file`, `acme` or `internal`.
    pub source: &'static str,
    /// Of those that an authority is asked for.
    pub acme: Option<AcmeStatus>,
}

/// Where asking an authority stands.
#[derive(Clone, Debug, Serialize)]
pub struct AcmeStatus {
    /// `asking`, `fresh` or `waiting`.
    pub state: &'static str,
    /// When it is asked the next time, in seconds since the Unix epoch; `None`: now.
    pub next_order: Option<i64>,
    /// Whether it suggested that itself.
    pub suggested: bool,
    pub failures_in_a_row: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    pub cluster: String,
    pub balance: &'static str,
    /// Requests that wait for a connection.
    pub pending: usize,
    /// Requests that wait for an endpoint with room.
    pub queued: usize,
    pub endpoints: Vec<EndpointStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    pub endpoint: String,
    pub health: &'static str,
    /// Why, where somebody knows.
    pub reason: Option<String>,
    pub weight: u32,
    pub tier: u8,
    pub zone: Option<String>,
    pub in_flight: u32,
    /// How many may be in flight, where that is limited; by `auto`, without those whose answer has begun.
    pub request_limit: Option<u32>,
    /// Why so many, where `auto` finds the number.
    pub request_limit_reason: Option<&'static str>,
    /// How many may be, as far as has been seen, before one waits, where something is learned: within that nobody spills, where a bound goes by drain time.
    pub unhurried: Option<u32>,
    /// What is believed of it, where `adaptive` chooses.
    pub beliefs: Option<BeliefStatus>,
    pub connections: usize,
    pub idle_connections: usize,
    /// What the endpoint's name stands for now.
    pub addresses: Vec<String>,
}

impl Status {
    pub(crate) fn read(overview: &Overview) -> Self {
        let current = overview.current();
        let (now, listening) = (now(), overview.listening());
        let clusters = current.snapshot.clusters.iter();
        Self {
            state: if overview.is_draining() { "draining" } else { "serving" },
            version: env!("CARGO_PKG_VERSION"),
            generation: current.snapshot.generation,
            workers: overview.workers,
            listeners: current.snapshot.listeners.iter().map(|one| listener(one, &listening)).collect(),
            certificates: overview.certificates().iter().map(certificate).collect(),
            clusters: clusters
                .map(|cluster| {
                    ClusterStatus::read(cluster, current.config.cluster(&cluster.name), overview, now)
                })
                .collect(),
        }
    }
}

fn listener(listener: &Listener, listening: &[Listening]) -> ListenerStatus {
    let bound = listening.iter().find(|bound| bound.key == listener.key);
    ListenerStatus {
        listener: listener.key.to_string(),
        address: bound.map_or_else(String::new, |bound| bound.address.clone()),
        connections: listener.connections.load(Relaxed),
    }
}

fn certificate(facts: &CertificateFacts) -> CertificateStatus {
    CertificateStatus {
        certificate: facts.certificate.clone(),
        names: facts.names.clone(),
        not_after: facts.validity.map(|validity| validity.not_after),
        problem: facts.to_look_into(tls::now()),
        source: facts.source,
        acme: facts.progress.as_ref().map(|progress| AcmeStatus {
            state: progress.step.word(),
            next_order: progress.next_at,
            suggested: progress.is_suggested,
            failures_in_a_row: progress.failures,
        }),
    }
}

impl ClusterStatus {
    fn read(cluster: &Cluster, configured: Option<&Configured>, overview: &Overview, now: Moment) -> Self {
        let pairs = cluster.balancer.endpoints().iter().zip(&cluster.upstreams);
        let is_adaptive = configured.is_some_and(is_adaptive);
        let listed = configured.iter().flat_map(|configured| &configured.endpoints);
        Self {
            cluster: cluster.name.to_string(),
            balance: configured.map_or("", |configured| configured.balance.word()),
            pending: cluster.pending.load(Relaxed),
            queued: cluster.waiting.count(),
            endpoints: pairs
                .zip(listed)
                .enumerate()
                .map(|(index, ((endpoint, upstream), listed))| {
                    let status = EndpointStatus {
                        request_limit: cluster.balancer.request_limit(index, now),
                        request_limit_reason: limit_reason(&cluster.balancer, index, now),
                        unhurried: cluster.balancer.unhurried(index),
                        ..EndpointStatus::read(endpoint, upstream, listed, overview, now)
                    };
                    let status = EndpointStatus {
                        reason: status.reason.or_else(|| held_back(&cluster.balancer, index, now)),
                        ..status
                    };
                    let status =
                        if is_adaptive { status.with_beliefs(&cluster.balancer, index, now) } else { status };
                    EndpointStatus {
                        reason: status.reason.or_else(|| full(&cluster.balancer, index, now)),
                        ..status
                    }
                })
                .collect(),
        }
    }
}

impl EndpointStatus {
    fn read(
        endpoint: &Endpoint,
        upstream: &Upstream,
        listed: &Listed,
        overview: &Overview,
        now: Moment,
    ) -> Self {
        let health = endpoint.state.lasting_health(now);
        Self {
            endpoint: endpoint.id.address.to_string(),
            health: health.word(),
            reason: reason(&endpoint.state, health, upstream.connect_failure(), || {
                overview.reason(&endpoint.id).map(|reason| reason.to_string())
            }),
            weight: endpoint.weight,
            tier: listed.tier,
            zone: listed.zone.clone(),
            in_flight: endpoint.state.in_flight(),
            request_limit: None,
            request_limit_reason: None,
            unhurried: None,
            beliefs: None,
            connections: upstream.open.load(Relaxed),
            idle_connections: upstream.idle.load(Relaxed),
            addresses: upstream.addresses.load().iter().map(address).collect(),
        }
    }

    fn with_beliefs(self, balancer: &Balancer, index: usize, now: Moment) -> Self {
        let beliefs = BeliefStatus::read(balancer, index, now);
        let reason = self.reason.or_else(|| {
            let health = balancer.endpoints().get(index)?.state.lasting_health(now);
            beliefs::reason(&beliefs?, &balancer.warning(index, now)?, health)
        });
        Self { reason, beliefs, ..self }
    }
}

/// Whether it decides by what it believes.
pub(crate) fn is_adaptive(cluster: &Configured) -> bool {
    matches!(cluster.balance, Balance::Adaptive { .. })
}

fn address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Why an endpoint is in this state; `connect_failure`: what the last connect failed for; `checked`: what the active checks say.
pub(crate) fn reason(
    state: &EndpointState,
    health: Health,
    connect_failure: Option<&str>,
    checked: impl FnOnce() -> Option<String>,
) -> Option<String> {
    match health {
        Health::Up => None,
        Health::DownByCheck => checked(),
        Health::DownByConnect => {
            let failures = state.connect_failures_in_a_row();
            let why = connect_failure.map(|cause| format!(" ({cause})")).unwrap_or_default();
            Some(format!("{failures} connects failed in a row{why}") + &tried_again(state))
        }
        Health::DownByFailures => Some(finding(state, Ejection::Failures) + &tried_again(state)),
        Health::DownBySuccessRate => Some(finding(state, Ejection::SuccessRate) + &tried_again(state)),
        Health::Draining => Some("taken out by the operator".to_owned()),
        Health::Unresolved => Some("its name does not resolve".to_owned()),
    }
}

/// What a breaker has found.
fn finding(state: &EndpointState, reason: Ejection) -> String {
    match reason {
        Ejection::Failures => format!("{} requests failed in a row", state.failures_in_a_row()),
        Ejection::SuccessRate => {
            let (here, elsewhere) = state.success_percents();
            format!("{here} % of its requests succeeded, {elsewhere} % at the median endpoint")
        }
    }
}

/// Of an endpoint that is up though a breaker would take it out.
fn held_back(balancer: &Balancer, index: usize, now: Moment) -> Option<String> {
    let state =
        &balancer.endpoints().get(index).filter(|it| it.state.lasting_health(now) == Health::Up)?.state;
    let held = |reason| Some((reason, balancer.held_back(index, reason, now)?));
    let (reason, why) = Ejection::ALL.into_iter().find_map(held)?;
    let why = match why {
        HeldBack::LastUp => "nobody else is up",
        HeldBack::Share => "as many are out as breaker.ejected_percent allows",
    };
    Some(format!("{}; not taken out: {why}", finding(state, reason)))
}

/// Of an endpoint that is up and gets nothing more for now.
fn full(balancer: &Balancer, index: usize, now: Moment) -> Option<String> {
    let limit = balancer.request_limit(index, now).filter(|_| balancer.is_full(index, now))?;
    let full = format!("full: has as many requests ({limit}) as limit.endpoint_requests lets it have");
    Some(match limit_reason(balancer, index, now) {
        Some(reason) => format!("{full}; {reason}"),
        None => full,
    })
}

fn limit_reason(balancer: &Balancer, index: usize, now: Moment) -> Option<&'static str> {
    Some(match balancer.limit_reason(index, now)? {
        LimitReason::Start => "doubles with each round of answers until somebody is seen to wait",
        LimitReason::Descent => "halved, as answers took longer the more requests there were",
        LimitReason::Steady => "moves in small steps by how answer times follow the load",
        LimitReason::Recovery => {
            "halved, as hardly anybody was served; doubled again as answers come in time"
        }
        LimitReason::Refusals => "it refuses more than that (503)",
        LimitReason::Silence => "nothing is heard of those that it has: some more are let in",
    })
}

/// Of an endpoint that is marked. It is not up before the request that tries it has gone well.
fn tried_again(state: &EndpointState) -> String {
    match state.trial_due().map(|due| due.since(now()).as_secs_f64().ceil()) {
        Some(left) if state.is_on_trial() && left > 0.0 => {
            format!("; a trial is under way, another one comes in {left} s if nothing is heard of it")
        }
        Some(left) if left > 0.0 => format!("; tried again in {left} s"),
        Some(_) => "; its next request is a trial".to_owned(),
        None => String::new(),
    }
}
