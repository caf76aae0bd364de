//! The life of one request: it arrives, is sent, perhaps sent again after a failure or beside an attempt that keeps it waiting,
//! and is over. As in the proxy's `attempts.rs` and `hedge.rs`; which endpoint, and whether one is stalled, is the balancer's
//! to say.

use super::Run;
use super::calls::{Call, Job, OnTheWay};
use crate::machine::{Failing, Fails};
use crate::outcome::ExtraAttempts;
use crate::proxy::{Attempt, Ending, Proxy, Ticket};
use crate::random::Random;
use crate::recorder::Done;
use crate::traffic::Request;
use std::cmp::Reverse;
use tidegate_balance::{Moment, RetryBudget};

/// A moment at which a request is looked at, whatever its endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm {
    pub(super) at: u64,
    /// The request's number and its attempts so far: for another one it rings in vain.
    request: u64,
    attempts: u32,
    call: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The wait before another attempt is over.
    Again,
    /// The attempt is late, or still is: older than this.
    Late(u64),
}

/// What pays for attempts beyond the first, as each cluster of a proxy has them.
#[derive(Debug, Default)]
pub(super) struct Budget {
    retries: RetryBudget,
    hedges: RetryBudget,
}

impl<'r> Run<'r> {
    pub(super) fn arrive(&mut self, request: Request) {
        if self.measured_from.is_none() && request.at >= self.plan.warm_up.0 {
            let busy = self.servers.iter_mut().map(|server| server.busy(request.at)).collect();
            self.measured_from = Some((request.at, busy));
        }
        let proxy = self.proxy_for(&request);
        if self.extras.retries {
            self.budgets[proxy].retries.earn(1, Moment(request.at));
        }
        if self.extras.hedges {
            self.budgets[proxy].hedges.earn(1, Moment(request.at));
        }
        let call = self.calls.add(Call {
            request,
            proxy: proxy as u32,
            attempts: 0,
            first: None,
            second: None,
            tried: Vec::new(),
            extra: ExtraAttempts::default(),
        });
        self.attempt(call, request.at);
    }

    fn proxy_for(&self, request: &Request) -> usize {
        match self.proxies.len() {
            1 => 0,
            count => Random::of(self.plan.seed ^ 0x3f1d, request.number).below(count as u64) as usize,
        }
    }

    /// Sends the request to an endpoint that it has not failed on; where there is none, it has failed.
    fn attempt(&mut self, number: u32, now: u64) {
        let random = self.random.next();
        let Some(call) = self.calls.get(number) else { return };
        let proxy = call.proxy as usize;
        let attempt = Attempt { request: &call.request, tried: &call.tried, now };
        let Some(ticket) = self.proxies[proxy].pick(&attempt, random, &self.servers) else {
            let failed_on = call.tried.last().copied();
            return self.end(number, failed_on, true, now);
        };
        let is_spilled = ticket.is_spilled();
        let job = self.send(number, ticket, now);
        let Some(call) = self.calls.get_mut(number) else { return };
        call.first = Some(job);
        call.extra.spilled += u32::from(is_spilled);
        call.extra.retries += u32::from(!call.tried.is_empty());
        if self.extras.hedges
            && let Some(late) = self.proxies[proxy].late_after()
        {
            self.alarms.push(Reverse(Alarm::of(number, call, What::Late(late), now + late)));
        }
    }

    fn send(&mut self, number: u32, ticket: Ticket<'r>, now: u64) -> u32 {
        let endpoint = ticket.endpoint();
        self.recorder.sent(endpoint, now);
        let Some(call) = self.calls.get_mut(number) else { return 0 };
        call.attempts += 1;
        let (request, proxy) = (call.request, call.proxy as usize);
        let failing = self.failing(&request, endpoint, now);
        let ending = failing.map_or(Ending::Answered { status: 200 }, |fails| fails.ending());
        let work = request.work;
        let job =
            self.jobs.add(Job { ticket: Some(ticket), endpoint, call: number, picked: now, work, ending });
        let way = self.plan.machines[endpoint].way();
        if let Some(fails) = failing.filter(|fails| fails.how != Failing::Slow) {
            self.on_the_way.push(Reverse((now + fails.after.0 + 2 * way, OnTheWay::Back(job))));
            return job;
        }
        self.proxies[proxy].accepted(endpoint, &self.servers[endpoint], work, now);
        if way == 0 {
            self.accept(job, now);
        } else {
            self.on_the_way.push(Reverse((now + way, OnTheWay::There(job))));
        }
        job
    }

    /// It has come to its machine.
    pub(super) fn accept(&mut self, number: u32, now: u64) {
        let Some(&Job { endpoint, work, .. }) = self.jobs.get(number) else { return };
        let server = &mut self.servers[endpoint];
        server.accept(now, number, work);
        self.agenda.set(endpoint, server.next());
    }

    /// How this request fails there, if it does: the same for every algorithm that sends it there.
    fn failing(&self, request: &Request, endpoint: usize, now: u64) -> Option<Fails> {
        let fails = self.plan.machines[endpoint].fails.filter(|fails| fails.is_open(now))?;
        let mut random = Random::of(self.plan.seed ^ ((endpoint as u64 + 1) << 32), request.number);
        (random.unit() < fails.part.0).then_some(fails)
    }

    /// A machine is done with a job, or a failure is told.
    pub(super) fn finish(&mut self, number: u32, now: u64) {
        let Some(mut job) = self.jobs.take(number) else { return };
        let failed = job.ending.is_failure();
        if let Some(reports) = &mut self.reports {
            reports.answered(job.endpoint, &mut self.servers[job.endpoint], failed, now);
        }
        let Some(ticket) = job.ticket.take() else { return };
        let Some(call) = self.calls.get_mut(job.call) else { return };
        self.proxies[call.proxy as usize].settle(ticket, job.ending, now - job.picked, now);
        let is_second = call.second == Some(number);
        let (ours, beside) =
            if is_second { (&mut call.second, &mut call.first) } else { (&mut call.first, &mut call.second) };
        *ours = None;
        if beside.is_some() && matches!(job.ending, Ending::Refused | Ending::Reset) {
            return; // no answer, so the other one is waited for
        }
        let beside = beside.take();
        call.extra.hedges_won += u32::from(is_second);
        if let Some(beside) = beside {
            self.abandon(beside, is_second, now);
        }
        if !self.tries_again(&job, now) {
            self.end(job.call, Some(job.endpoint), failed, now);
        }
    }

    fn abandon(&mut self, job: u32, is_overtaken: bool, now: u64) {
        if let Some(ticket) = self.jobs.get_mut(job).and_then(|job| job.ticket.take()) {
            Proxy::abandon(ticket, is_overtaken, now);
        }
    }

    /// Whether a failure is followed by another attempt, at once or later.
    fn tries_again(&mut self, failed: &Job<'_>, now: u64) -> bool {
        let retry = &self.plan.again.retry;
        let Some(call) = self.calls.get_mut(failed.call) else { return false };
        if !self.extras.retries || !retry.wants(failed.ending) || call.attempts >= retry.attempts {
            return false;
        }
        let spend = || self.budgets[call.proxy as usize].retries.spend(retry.income(), Moment(now));
        if retry.is_paid(failed.ending, call.attempts) && !spend() {
            return false;
        }
        call.tried.push(failed.endpoint);
        let wait = retry.wait(call.attempts, self.random.unit());
        if wait > 0 {
            self.alarms.push(Reverse(Alarm::of(failed.call, call, What::Again, now + wait)));
        } else {
            self.attempt(failed.call, now);
        }
        true
    }

    pub(super) fn ring(&mut self, alarm: &Alarm) {
        let is_meant = |call: &Call| call.request.number == alarm.request && call.attempts == alarm.attempts;
        if self.calls.get(alarm.call).is_some_and(is_meant) {
            match alarm.what {
                What::Again => self.attempt(alarm.call, alarm.at),
                What::Late(late) => self.look(alarm, late),
            }
        }
    }

    /// Whether a request that is late is sent to another endpoint, too.
    fn look(&mut self, alarm: &Alarm, late: u64) {
        let now = alarm.at;
        let random = self.random.next();
        let Some(call) = self.calls.get_mut(alarm.call) else { return };
        let first = call.first.and_then(|job| self.jobs.get(job));
        let Some((first, ticket)) = first.and_then(|job| Some((job, job.ticket.as_ref()?))) else { return };
        let proxy = call.proxy as usize;
        let tried: Vec<usize> = call.tried.iter().copied().chain([first.endpoint]).collect();
        let attempt = Attempt { request: &call.request, tried: &tried, now };
        let Some(at) = Proxy::late_again(ticket, late, now) else { return };
        let again = Alarm { at, ..*alarm };
        let Some(second) = self.proxies[proxy].pick_hedge(ticket, &attempt, random) else {
            return self.alarms.push(Reverse(again));
        };
        if !self.budgets[proxy].hedges.spend(self.plan.again.hedge.income(), Moment(now)) {
            call.extra.hedges_unpaid = 1; // a request, however often it is looked at
            Proxy::abandon(second, false, now);
            return self.alarms.push(Reverse(again));
        }
        call.extra.hedges += 1;
        call.extra.hedges_unpaid = 0;
        let job = self.send(alarm.call, second, now);
        if let Some(call) = self.calls.get_mut(alarm.call) {
            call.second = Some(job);
        }
    }

    /// The client has its answer, or knows that there will be none. `endpoint`: whose words it was.
    fn end(&mut self, number: u32, endpoint: Option<usize>, failed: bool, now: u64) {
        let Some(call) = self.calls.take(number) else { return };
        let Request { at: arrived, work, .. } = call.request;
        let Some(endpoint) = endpoint else { return self.recorder.refused(arrived) };
        let latency = now - arrived;
        self.recorder.record(&Done { endpoint, arrived, latency, work, failed, extra: call.extra });
    }
}

impl Alarm {
    pub(super) fn is_another_attempt(&self) -> bool {
        self.what == What::Again
    }

    fn of(number: u32, call: &Call, what: What, at: u64) -> Self {
        Self { at, request: call.request.number, attempts: call.attempts, call: number, what }
    }
}

impl Fails {
    fn ending(&self) -> Ending {
        match self.how {
            Failing::Fast | Failing::Slow => Ending::Answered { status: 500 },
            Failing::Refused => Ending::Refused,
            Failing::Reset => Ending::Reset,
        }
    }
}
