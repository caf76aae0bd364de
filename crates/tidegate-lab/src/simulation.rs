//! The run itself: requests come, machines work, in virtual time; what happens next, and what came out. Knows no algorithm
//! and no goal; the life of a request is `attempts`'.
//!
//! The same seed gives the same run, and every algorithm sees the same requests.

mod attempts;
mod calls;

use crate::again::Again;
use crate::agenda::{Agenda, NEVER};
use crate::contender::{Contender, Extras, Method};
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::proxy::{self, Proxy};
use crate::random::Random;
use crate::recorder::{Recorder, utilisation};
use crate::reports::Reports;
use crate::server::Server;
use crate::span::{SECOND, Span};
use crate::spells::Spell;
use crate::traffic::{Arrivals, Traffic};
use attempts::{Alarm, Budget};
use calls::{Call, Job, OnTheWay, Places};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tidegate_balance::Balancer;

/// What a run consists of, whoever chooses in it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub machines: Vec<Machine>,
    /// Proxies that send to the same machines and know nothing of each other.
    pub proxies: usize,
    pub traffic: Traffic,
    /// Requests come until then; then what is open is finished.
    pub until: Span,
    /// Requests that come before are not measured.
    pub warm_up: Span,
    /// For contenders that retry or hedge.
    pub again: Again,
    pub seed: u64,
}

/// How long what is open is waited for after the last request, in lengths of the run, and at least: an endpoint that stands still
/// for good would be waited for for ever, and one that is ten times too slow is done by then.
const RUN_ON: u64 = 10;
const RUN_ON_MIN: Span = Span(600_000_000_000);

/// Tells others how far a run is, in virtual nanoseconds.
pub(crate) type Clock = AtomicU64;

impl Plan {
    /// Runs it with one algorithm.
    pub fn run(&self, contender: &Contender) -> Outcome {
        self.run_with_clock(contender, &Clock::default())
    }

    fn run_on(&self) -> u64 {
        self.until.0.saturating_mul(RUN_ON).max(RUN_ON_MIN.0)
    }

    pub(crate) fn run_with_clock(&self, contender: &Contender, clock: &Clock) -> Outcome {
        // Who knows all work everywhere is one, however many proxies there are.
        let proxies = if contender.method == Method::Oracle { 1 } else { self.proxies.max(1) };
        let balancers: Vec<_> =
            (0..proxies).map(|_| proxy::balancer(contender.method, &self.machines)).collect();
        let outcome = Run::new(self, contender, &balancers).finished(clock).outcome(contender);
        debug_assert!(balancers.iter().flatten().all(is_idle), "a request in flight was lost count of");
        outcome
    }
}

fn is_idle(balancer: &Balancer) -> bool {
    balancer.endpoints().iter().all(|endpoint| endpoint.state.in_flight() == 0)
}

struct Run<'r> {
    plan: &'r Plan,
    proxies: Vec<Proxy<'r>>,
    servers: Vec<Server<'r>>,
    agenda: Agenda,
    /// What is on the way, and when it is there.
    on_the_way: BinaryHeap<Reverse<(u64, OnTheWay)>>,
    /// Joining, leaving and coming back, the soonest last.
    changes: Vec<Change>,
    /// When to look at a request again; empty unless somebody hedges or retries.
    alarms: BinaryHeap<Reverse<Alarm>>,
    extras: Extras,
    /// One for each proxy.
    budgets: Vec<Budget>,
    calls: Places<Call>,
    jobs: Places<Job<'r>>,
    random: Random,
    recorder: Recorder,
    reports: Option<Reports<'r>>,
    warm_at: Vec<Option<u64>>,
    /// When measuring began, and what each machine had done by then.
    measured_from: Option<(u64, Vec<f64>)>,
    /// Kept for its memory.
    finished: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: u64,
    endpoint: usize,
    is_open: bool,
}

impl<'r> Run<'r> {
    fn new(plan: &'r Plan, contender: &Contender, balancers: &'r [Option<Balancer>]) -> Self {
        let method = contender.method;
        let server = |(position, machine)| Server::new(machine, Spell::of(machine, plan.seed, position));
        let servers: Vec<Server<'_>> = plan.machines.iter().enumerate().map(server).collect();
        let mut agenda = Agenda::new(servers.len());
        for (endpoint, server) in servers.iter().enumerate() {
            agenda.set(endpoint, server.next());
        }
        let proxies =
            balancers.iter().map(|balancer| Proxy::new(balancer.as_ref(), method, &servers)).collect();
        let reports = proxy::wants_reports(method).then(|| Reports::new(balancers, servers.len()));
        Self {
            plan,
            proxies,
            agenda,
            on_the_way: BinaryHeap::new(),
            changes: changes(&plan.machines),
            alarms: BinaryHeap::new(),
            extras: contender.extras,
            budgets: balancers.iter().map(|_| Budget::default()).collect(),
            calls: Places::default(),
            jobs: Places::default(),
            random: Random::new(plan.seed ^ 0x9ac4),
            recorder: Recorder::new(servers.len(), plan.warm_up.0, plan.until.0),
            reports,
            warm_at: vec![None; servers.len()],
            measured_from: None,
            finished: Vec::new(),
            servers,
        }
    }

    fn finished(mut self, clock: &Clock) -> Ran<'r> {
        for request in Arrivals::new(&self.plan.traffic, self.plan.seed, self.plan.until.0) {
            while self.happens_by(request.at) {}
            self.arrive(request);
            if request.number % 4_096 == 0 {
                clock.store(request.at, Relaxed);
            }
        }
        while self.happens_by(self.plan.until.0) {}
        let utilisations = self.busy(self.plan.until.0);
        // Work that nobody waits for any more is not waited for here, either.
        let end = self.plan.until.0.saturating_add(self.plan.run_on()).min(NEVER - 1);
        while !self.calls.is_empty() && self.goes_on() && self.happens_by(end) {}
        self.leave_unanswered();
        clock.store(self.plan.until.0, Relaxed);
        Ran { run: self, utilisations }
    }

    /// Whether anything will happen but looks at requests that are late: those go on for as long as their request is open.
    fn goes_on(&self) -> bool {
        self.agenda.next().0 < NEVER
            || !self.on_the_way.is_empty()
            || !self.changes.is_empty()
            || self.alarms.iter().any(|Reverse(alarm)| alarm.is_another_attempt())
    }

    /// Whatever is open now stays so.
    fn leave_unanswered(&mut self) {
        for call in self.calls.iter() {
            let on_its_way = call.first.or(call.second).and_then(|job| self.jobs.get(job));
            // Between two attempts it is nowhere: then where it was last.
            let endpoint = on_its_way.map(|job| job.endpoint).or(call.tried.last().copied());
            self.recorder.unanswered(endpoint.unwrap_or_default(), call.request.at, &call.extra);
        }
    }

    /// Lets the next thing happen, if one is due by `limit`.
    fn happens_by(&mut self, limit: u64) -> bool {
        let (at, endpoint) = self.agenda.next();
        let on_the_way = self.on_the_way.peek().map_or(NEVER, |Reverse((at, _))| *at);
        let change = self.changes.last().map_or(NEVER, |change| change.at);
        let alarm = self.alarms.peek().map_or(NEVER, |Reverse(alarm)| alarm.at);
        let soonest = at.min(on_the_way).min(change).min(alarm);
        if soonest > limit {
            return false;
        }
        if change == soonest {
            self.change();
        } else if alarm == soonest {
            if let Some(Reverse(alarm)) = self.alarms.pop() {
                self.ring(&alarm);
            }
        } else if on_the_way == soonest {
            match self.on_the_way.pop() {
                Some(Reverse((_, OnTheWay::There(job)))) => self.accept(job, soonest),
                Some(Reverse((_, OnTheWay::Back(job)))) => self.finish(job, soonest),
                None => {}
            }
        } else {
            self.step(endpoint, soonest);
        }
        true
    }

    fn change(&mut self) {
        if let Some(change) = self.changes.pop() {
            self.proxies.iter_mut().for_each(|proxy| proxy.set_open(change.endpoint, change.is_open));
        }
    }

    fn step(&mut self, endpoint: usize, now: u64) {
        let mut finished = std::mem::take(&mut self.finished);
        let server = &mut self.servers[endpoint];
        server.step(now, &mut finished);
        self.agenda.set(endpoint, server.next());
        let warm_after = server.machine().cold.map(|cold| cold.warm_after);
        if warm_after.is_some_and(|needed| server.served() >= needed) {
            self.warm_at[endpoint].get_or_insert(now);
        }
        let way_back = self.plan.machines[endpoint].way();
        for job in finished.drain(..) {
            if way_back == 0 {
                self.finish(job, now);
            } else {
                self.on_the_way.push(Reverse((now + way_back, OnTheWay::Back(job))));
            }
        }
        self.finished = finished;
    }

    /// The part of its slots that each machine used since measuring began.
    fn busy(&mut self, now: u64) -> Vec<f64> {
        let Some((from, before)) = &self.measured_from else { return vec![0.0; self.servers.len()] };
        let passed = now.saturating_sub(*from).max(1) as f64;
        let part = |(server, before): (&mut Server<'_>, &f64)| {
            (server.busy(now) - before) / passed / f64::from(server.machine().slots)
        };
        self.servers.iter_mut().zip(before).map(part).collect()
    }
}

/// A run that is over.
struct Ran<'r> {
    run: Run<'r>,
    utilisations: Vec<f64>,
}

impl Ran<'_> {
    fn outcome(&self, contender: &Contender) -> Outcome {
        let Run { plan, recorder, .. } = &self.run;
        let names: Vec<&str> = plan.machines.iter().map(|machine| machine.name.as_str()).collect();
        let slots: Vec<u32> = plan.machines.iter().map(|machine| machine.slots).collect();
        Outcome {
            algorithm: contender.name.clone(),
            requests: recorder.requests(),
            failed: recorder.failed(),
            unanswered: recorder.unanswered_count(),
            extra: recorder.extra(),
            latency_ms: recorder.latency(),
            excess_ms: recorder.excess(),
            utilisation: utilisation(&self.utilisations, &slots),
            warm_after_seconds: self.warm_after_seconds(),
            endpoints: recorder.endpoints(&names, &self.utilisations),
            timeline: recorder.timeline(&names, &slots),
            distribution: recorder.distribution(),
        }
    }

    /// The mean over those that started cold; infinite when one never got warm.
    fn warm_after_seconds(&self) -> Option<f64> {
        let mut all = Vec::new();
        for (machine, warm_at) in self.run.plan.machines.iter().zip(&self.run.warm_at) {
            let joined = machine.joins.unwrap_or_default().0;
            let after = |at: u64| at.saturating_sub(joined) as f64 / SECOND;
            all.extend(machine.cold.map(|_| warm_at.map_or(f64::INFINITY, after)));
        }
        let mean = all.iter().map(|after| after / all.len() as f64).sum();
        (!all.is_empty()).then_some(mean)
    }
}

/// Joining, leaving and coming back, the soonest last. Whoever joins later is out from the start.
fn changes(machines: &[Machine]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (endpoint, machine) in machines.iter().enumerate() {
        if let Some(joins) = machine.joins {
            changes.push(Change { at: 0, endpoint, is_open: false });
            changes.push(Change { at: joins.0, endpoint, is_open: true });
        }
        changes.extend(machine.leaves.map(|leaves| Change { at: leaves.0, endpoint, is_open: false }));
        for (from, until) in &machine.away {
            changes.push(Change { at: from.0, endpoint, is_open: false });
            changes.push(Change { at: until.0, endpoint, is_open: true });
        }
    }
    changes.sort_unstable_by(|a, b| b.cmp(a));
    changes
}
