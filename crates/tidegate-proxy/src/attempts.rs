//! Whether a request is tried again: what its failure, its method, its body, the policy and the budget have to say. Sends
//! nothing itself.
//!
//! ```text
//!   failure ─→ wanted? (policy, and how much was sent) ─→ possible? (attempts, method, body, begun) ─→ affordable? (budget)
//! ```

use crate::exchange::while_client_stays;
use crate::failure::{Cause, Failure, Retry, Stage};
use crate::request::{Call, wait_for_restart};
use crate::snapshot::RetryPolicy;
use crate::timers::{after, now};
use crate::tried::{REMEMBERED, Tried};
use crate::view::ClusterView;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{Moment, NoEndpoint, Pick};
use tidegate_http::{BodyLength, field};

/// Attempts that no endpoint has looked at and that count for nothing: so many of a request.
const UNSEEN_MAX: u32 = 4;

/// So many endpoints a request passes at most that refuse its connection.
const PASSED_MAX: u32 = 256;
/// And of those that all requests know to do so already.
const PASSED_KNOWN_MAX: u32 = REMEMBERED as u32;
/// For no longer than this in all: a network that looks for a machine in vain takes seconds to refuse it.
const PASSING_MAX: Duration = Duration::from_secs(1);

/// A pick that leaves out one more endpoint than those tried.
pub(crate) struct PickBeside {
    now: Moment,
    random: u64,
    hash: Option<u64>,
    tried: [usize; REMEMBERED + 1],
    tried_count: usize,
}

impl PickBeside {
    pub(crate) fn as_pick(&self) -> Pick<'_> {
        let tried = self.tried.get(..self.tried_count).unwrap_or_default();
        Pick { now: self.now, random: self.random, hash: self.hash, tried }
    }
}

/// What was tried so far for one request.
pub(crate) struct Attempts<'a> {
    retry: &'a RetryPolicy,
    hash: Option<u64>,
    tried: Tried,
    /// A kept connection turned out dead: its neighbours in the pool are likely to be, too.
    pub(crate) fresh_only: bool,
    /// Of connections that ended before the endpoint had looked at the request.
    unseen: u32,
    last_failure: Option<Failure>,
    next: Next,
    /// Its last connection was refused.
    is_refused: bool,
    /// How many that refused it were passed, and how long that took.
    passed: u32,
    passing: Duration,
    /// How often it has waited for somebody who may be restarting.
    restarts: u32,
    /// No endpoint has had anything of the request.
    is_unsent: bool,
}

/// Where the next attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// To somebody whom the request has not been to.
    Other,
    /// To one whom it has been to: nobody else is left.
    Again,
    /// To somebody whom it has not been to, past one that refused its connection. That was no work for anybody, so it goes at once, and
    /// needs neither one of its attempts nor the budget.
    Past,
    /// To whoever is back by then.
    Restart,
}

/// How long those who may be restarting are left alone at most, and how often. They are back in a moment, or not so soon.
const RESTART: Duration = Duration::from_secs(1);
const RESTARTS_MAX: u32 = 6;

/// Whoever has closed a connection meanwhile says so within a round trip, but for what its system and a busy process take.
const DIED_MEANWHILE: Duration = Duration::from_millis(250);

/// Why a request that failed in a way that calls for another attempt does not get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// As many as the policy allows have been made.
    Attempts,
    /// What was taken of the body is gone.
    Body,
    /// The cluster's budget is used up.
    Budget,
    /// Nobody is up, or those who refuse connects have done so for longer than a restart takes.
    Endpoints,
    /// It may have been acted upon, and doing so twice may not be the same as once.
    Method,
    /// No other had room in time.
    Queue,
}

impl Objection {
    pub(crate) const ALL: [Self; 6] =
        [Self::Attempts, Self::Body, Self::Budget, Self::Endpoints, Self::Method, Self::Queue];

    /// The word in logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Body => "body",
            Self::Budget => "budget",
            Self::Endpoints => "endpoints",
            Self::Method => "method",
            Self::Queue => "queue",
        }
    }
}

/// Who pays for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    FromBudget,
    /// The first one after a connection that could not be made or died before an answer: an endpoint that is killed loses all that
    /// it had at once, which may be many times what a budget holds. It goes elsewhere, and doubles the load at worst. And those of
    /// which the endpoint has seen nothing.
    Nothing,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(retry: &'a RetryPolicy, hash: Option<u64>) -> Self {
        Self {
            retry,
            hash,
            tried: Tried::default(),
            fresh_only: false,
            unseen: 0,
            last_failure: None,
            next: Next::Other,
            is_refused: false,
            passed: 0,
            passing: Duration::ZERO,
            restarts: 0,
            is_unsent: true,
        }
    }

    /// The same request under another configuration, whose endpoints it has not been to.
    pub(crate) fn under<'b>(&self, retry: &'b RetryPolicy, hash: Option<u64>) -> Attempts<'b> {
        let Self { last_failure, is_refused, passed, passing, restarts, is_unsent, .. } = *self;
        Attempts {
            last_failure,
            is_refused,
            passed,
            passing,
            restarts,
            is_unsent,
            ..Attempts::new(retry, hash)
        }
    }

    /// Whether it may go by another configuration than the one it came under: no endpoint of that one has had anything of it.
    pub(crate) fn may_move_on(&self) -> bool {
        self.is_unsent
    }

    pub(crate) fn pick(&self, call: &Call<'_>) -> Pick<'_> {
        // The first pick happens right after the head was read: its moment is at hand.
        let is_first = call.journal.attempts == 0 && self.restarts == 0;
        let now = if is_first { call.journal.started } else { now() };
        Pick { now, random: call.worker.random(), hash: self.hash, tried: self.tried.all() }
    }

    /// Whom it has been to, but for those who refused its connection: they may be well again when it has waited.
    pub(crate) fn tried_for_good(&self) -> &[usize] {
        self.tried.without_refusals()
    }

    /// Whether it asks those once more of whom nobody knows that they are.
    pub(crate) fn asks_again(&self) -> bool {
        self.restarts < RESTARTS_MAX
    }

    /// One of those that it remembers has refused its connection.
    pub(crate) fn has_been_refused(&self) -> bool {
        self.tried.without_refusals().len() < self.tried.all().len()
    }

    /// Whether a connection that is refused costs it nothing: it may go on to somebody whom it can wait for.
    pub(crate) fn may_be_refused(&self, call: &Call<'_>, view: &ClusterView) -> bool {
        let is_among = self.passed < PASSED_MAX && self.passing < PASSING_MAX && self.restarts < RESTARTS_MAX;
        is_among
            && self.may_connect_again(call)
            && view.cluster.balancer.has_untried_reachable(&self.pick(call))
    }

    /// For somebody else than `endpoint`, which is being tried.
    pub(crate) fn pick_beside(&self, call: &Call<'_>, endpoint: usize) -> PickBeside {
        let known = self.tried.all();
        let mut tried = [endpoint; REMEMBERED + 1];
        for (place, known) in tried.iter_mut().zip(known) {
            *place = *known;
        }
        let tried_count = known.len() + 1;
        PickBeside { now: now(), random: call.worker.random(), hash: self.hash, tried, tried_count }
    }

    pub(crate) fn last_failure(&self) -> Option<Failure> {
        self.last_failure
    }

    /// Bytes of the request's body to keep for another attempt; none when there will be none once it has been sent.
    /// What an endpoint that speaks HTTP/2 gives back unread may be sent again whatever it is.
    pub(crate) fn body_bytes_kept(&self, call: &Call<'_>, view: &ClusterView) -> usize {
        let has_body = call.workspace.request.body != BodyLength::None;
        if has_body && self.retry.attempts_max > 1 && (may_repeat(call) || view.cluster.http2) {
            self.retry.body_bytes_max
        } else {
            0
        }
    }

    /// Nobody to pick: after a failed attempt, that failure is the better answer.
    pub(crate) fn nobody(&self, call: &mut Call<'_>, view: &ClusterView, reason: NoEndpoint) -> Failure {
        match reason {
            NoEndpoint::AllDown => view.metrics().all_down.increment(),
            NoEndpoint::AllFull => {} // it waits then, and fails with a cause of the queue
            NoEndpoint::AllTried => view.metrics().all_tried.increment(),
            NoEndpoint::Empty => view.metrics().empty.increment(),
        }
        let Some(failure) = self.last_failure else { return no_endpoint(reason) };
        if call.journal.endpoint.is_some() {
            call.journal.given_up.pop(); // for nobody: it is the last attempt after all
        }
        object(call, view, Objection::Endpoints);
        failure
    }

    /// The wait for an endpoint has ended without one. An attempt before it was given up for another, and stays so: none is the last.
    pub(crate) fn in_vain(&self, call: &mut Call<'_>, view: &ClusterView, failure: Failure) -> Failure {
        if self.last_failure.is_some() {
            call.journal.forget_place(now());
            if matches!(failure.cause, Cause::QueueFull | Cause::QueueTimeout | Cause::Shed) {
                object(call, view, Objection::Queue);
            }
        }
        failure
    }

    /// Whether the answer whose head has come from `endpoint` is to be thrown away for another attempt, which is paid for
    /// then. Asked only about statuses that the policy names.
    /// `is_vouched`: the policy says that such an answer means that nothing was done.
    pub(crate) fn refuse_answer(
        &self,
        call: &mut Call<'_>,
        view: &ClusterView,
        endpoint: usize,
        is_vouched: bool,
    ) -> bool {
        if self.retry.attempts_max == 1 {
            return false; // nobody wanted another
        }
        let (balancer, pick) = (&view.cluster.balancer, self.pick_beside(call, endpoint));
        if !balancer.has_untried(&pick.as_pick())
            && !balancer.has_untried(&Pick { tried: &[], ..pick.as_pick() })
        {
            object(call, view, Objection::Endpoints);
            return false; // the endpoint's own words are better than ours
        }
        let objection = self.objection(call, |call| is_vouched || may_repeat(call));
        let objection = objection.or_else(|| self.broke(view, Cost::FromBudget));
        if let Some(objection) = objection {
            object(call, view, objection);
        }
        objection.is_none()
    }

    /// After a failed attempt on `endpoint`: remembers it, and whether to try again; if not, the failure is the last.
    pub(crate) fn another(
        &mut self,
        call: &mut Call<'_>,
        view: &ClusterView,
        failure: Failure,
        endpoint: usize,
    ) -> Result<(), Failure> {
        self.remember(call, view, failure, endpoint);
        // What it waits for an endpoint is one wait, in which the time that it was at one does not count.
        let took = call.journal.picked.map_or(Duration::ZERO, |picked| call.ended().since(picked));
        call.journal.waits_since = call.journal.waits_since.map(|since| since + took);
        self.decide(call, view, failure, endpoint)?;
        let address = view.endpoint(endpoint).map(|tried| Arc::clone(&tried.pool.upstream.id.address));
        call.journal.give_up(address.unwrap_or_default(), failure);
        Ok(())
    }

    /// With another one than the last, if there is one.
    fn begin_again(&mut self, call: &Call<'_>, view: &ClusterView, last: usize) {
        let balancer = &view.cluster.balancer;
        let is_another = balancer.has_untried(&Pick { tried: &[last], ..self.pick(call) });
        self.tried = Tried::default();
        if is_another {
            self.tried(last);
        }
        self.next = Next::Again;
    }

    fn decide(
        &mut self,
        call: &mut Call<'_>,
        view: &ClusterView,
        failure: Failure,
        last: usize,
    ) -> Result<(), Failure> {
        self.next = Next::Other;
        if !view.cluster.balancer.has_untried(&self.pick(call)) {
            self.begin_again(call, view, last);
        }
        if failure.retry() == Retry::Decided {
            return Ok(());
        }
        if !self.wants(call, failure) {
            return Err(failure);
        }
        if self.passes(call, view) {
            return Ok(());
        }
        let nothing_sent = matches!(failure.retry(), Retry::Always | Retry::Once);
        let is_in_vain = self.next == Next::Again
            && (nothing_sent || !view.cluster.balancer.has_untried(&self.pick(call)));
        let in_vain = is_in_vain.then_some(Objection::Endpoints);
        let objection = in_vain
            .or_else(|| self.objection(call, |call| nothing_sent || may_repeat(call)))
            .or_else(|| self.broke(view, self.cost(call, failure)));
        let Some(objection) = objection else { return Ok(()) };
        let may_wait = matches!(objection, Objection::Attempts | Objection::Budget | Objection::Endpoints);
        if may_wait && self.may_wait_for_restart(call, view) {
            self.tried.forget_refusals(); // any of them may be back then
            self.next = Next::Restart;
            return Ok(());
        }
        object(call, view, objection);
        Err(failure)
    }

    /// By the policy, whatever it costs.
    fn wants(&self, call: &Call<'_>, failure: Failure) -> bool {
        let is_named = match failure.retry() {
            Retry::Always => self.retry.on_connect,
            Retry::Decided => true,
            Retry::Never => false,
            Retry::Once => self.retry.on_connect && !has_failed_so_before(call, failure),
            Retry::Reset => self.retry.on_reset,
            Retry::Timeout => self.retry.on_timeout,
        };
        is_named && !call.journal.begun && self.retry.attempts_max > 1
    }

    /// Its connection was refused, at once, and there is somebody who may be better: who is up, or after a wait for a restart anybody whom nobody has
    /// asked meanwhile.
    fn passes(&mut self, call: &mut Call<'_>, view: &ClusterView) -> bool {
        if !self.is_refused || self.next != Next::Other || !call.workspace.upload.can_rewind() {
            return false;
        }
        self.passing += call.journal.picked.map_or(PASSING_MAX, |picked| call.ended().since(picked));
        let (balancer, pick) = (&view.cluster.balancer, self.pick(call));
        let is_among = |most| self.passed < most && self.passing < PASSING_MAX;
        let may_be_back = || self.restarts > 0 && balancer.has_untried_left_alone(&pick);
        let may_pass = (is_among(PASSED_MAX) && (balancer.has_untried_reachable(&pick) || may_be_back()))
            || (is_among(PASSED_KNOWN_MAX) && balancer.has_untried_up(&pick));
        if may_pass {
            (self.next, self.passed) = (Next::Past, self.passed + 1);
        }
        may_pass
    }

    /// Nobody takes its connection, and somebody may be back in a moment. To wait for that costs nobody anything.
    fn may_wait_for_restart(&self, call: &Call<'_>, view: &ClusterView) -> bool {
        let is_timed_out = self.last_failure.is_some_and(|failure| failure.cause == Cause::ConnectTimeout);
        let may_go_on = self.restarts < RESTARTS_MAX && call.workspace.upload.can_rewind();
        let balancer = &view.cluster.balancer;
        let may_be_back = || {
            (self.is_refused && balancer.may_be_restarting(now()))
                || ((self.is_refused || is_timed_out) && balancer.may_be_cut_off(now()))
        };
        may_go_on && may_be_back()
    }

    /// Whether a request that finds nobody may wait for somebody to be back: nobody can be connected to, and that is news.
    pub(crate) fn may_wait_for_anybody(
        &self,
        call: &Call<'_>,
        view: &ClusterView,
        reason: NoEndpoint,
    ) -> bool {
        reason == NoEndpoint::AllDown
            && !self.retry.backoff.is_zero()
            && self.may_connect_again(call)
            && view.cluster.balancer.may_be_cut_off(now())
    }

    /// By the policy, and nothing of the request is gone.
    fn may_connect_again(&self, call: &Call<'_>) -> bool {
        let is_wanted = self.retry.on_connect && self.retry.attempts_max > 1;
        is_wanted && !call.journal.begun && call.workspace.upload.can_rewind()
    }

    /// For a while, of which there may be several until it has been too long for all.
    pub(crate) async fn wait_for_anybody(
        &mut self,
        call: &mut Call<'_>,
        view: &ClusterView,
    ) -> Result<(), Failure> {
        self.restarts = self.restarts.max(1);
        let place = wait_for_restart(call, view).map_err(|failure| self.in_vain(call, view, failure))?;
        self.wait(call, view, self.retry.backoff.max(RESTART)).await?;
        drop(place);
        Ok(())
    }

    fn remember(&mut self, call: &Call<'_>, view: &ClusterView, failure: Failure, endpoint: usize) {
        let reused = call.journal.connected.is_none() && failure.stage != Stage::Connect;
        self.last_failure = Some(failure);
        self.is_unsent &= failure.stage == Stage::Connect;
        self.is_refused = matches!(failure.cause, Cause::ConnectRefused | Cause::ConnectUnreachable);
        let is_alone = || !view.cluster.balancer.has_another(&self.pick_beside(call, endpoint).as_pick());
        if failure.cause == Cause::StreamUnseen && (self.unseen < UNSEEN_MAX || is_alone()) {
            self.unseen += 1; // the endpoint is well: it takes the request on another connection
        } else if failure.cause == Cause::StreamRefused && is_alone() {
            // It may take it in a moment.
        } else if reused
            && failure.retry() == Retry::Reset
            && (is_soon(call, view, endpoint) || is_alone())
            && (!self.fresh_only || (view.cluster.http2 && is_alone()))
        {
            // What was kept may have died meanwhile, and of connections that many share more than one: who knows no other takes them all.
            self.fresh_only = true;
        } else {
            self.restarts += u32::from(self.is_gone_still(view, endpoint));
            self.tried(endpoint);
        }
    }

    fn tried(&mut self, endpoint: usize) {
        if !self.is_refused {
            self.tried.failed(endpoint);
        } else if !self.tried.all().contains(&endpoint) {
            self.tried.refused(endpoint);
        }
    }

    /// It has refused this request before, and nobody has been answered there since: it was waited for in vain.
    fn is_gone_still(&self, view: &ClusterView, endpoint: usize) -> bool {
        let state = view.cluster.balancer.endpoints().get(endpoint).map(|endpoint| &endpoint.state);
        let is_known = state.is_some_and(|state| state.connect_failures_in_a_row() > 1);
        self.is_refused && is_known && self.tried.all().contains(&endpoint)
    }

    fn objection(&self, call: &Call<'_>, may_repeat: impl Fn(&Call<'_>) -> bool) -> Option<Objection> {
        // A kept connection that turned out dead is no attempt on an endpoint, and happens once: the next ones are new. Nor is one that has
        // not been looked at.
        let free = u32::from(self.fresh_only) + self.unseen.min(UNSEEN_MAX);
        let attempts_max = self.retry.attempts_max.saturating_add(free);
        if self.attempts_that_count(call) >= attempts_max {
            Some(Objection::Attempts)
        } else if !may_repeat(call) {
            Some(Objection::Method)
        } else if !call.workspace.upload.can_rewind() {
            Some(Objection::Body)
        } else {
            None
        }
    }

    fn attempts_that_count(&self, call: &Call<'_>) -> u32 {
        call.journal.attempts.saturating_sub(self.passed)
    }

    fn cost(&self, call: &Call<'_>, failure: Failure) -> Cost {
        let is_lost = matches!(failure.retry(), Retry::Always | Retry::Once | Retry::Reset);
        let is_first = is_lost && self.attempts_that_count(call) == 1 && self.next == Next::Other;
        if is_first || failure.cause == Cause::StreamUnseen { Cost::Nothing } else { Cost::FromBudget }
    }

    fn broke(&self, view: &ClusterView, cost: Cost) -> Option<Objection> {
        let income = self.retry.budget.filter(|_| cost == Cost::FromBudget)?;
        (!view.spend_retry(income, now())).then_some(Objection::Budget)
    }

    /// Whether those who may be restarting have just been waited for.
    pub(crate) fn has_waited_for_restart(&self) -> bool {
        self.next == Next::Restart
    }

    /// The first retry goes to somebody else at once; those that do not, and later ones, give whatever is wrong some time.
    pub(crate) async fn back_off(&mut self, call: &mut Call<'_>, view: &ClusterView) -> Result<(), Failure> {
        let backoff = self.retry.backoff;
        if self.next == Next::Restart {
            self.restarts += 1;
            let place = wait_for_restart(call, view).map_err(|failure| self.in_vain(call, view, failure))?;
            let most = if backoff.is_zero() { backoff } else { backoff.max(RESTART) };
            self.wait(call, view, most).await?;
            drop(place);
            return Ok(());
        }
        let at_once = match self.next {
            Next::Past => return Ok(()),
            Next::Again => 1,
            Next::Other | Next::Restart => 2,
        };
        match self.attempts_that_count(call).checked_sub(at_once) {
            Some(doublings) => self.wait(call, view, doubled(backoff, doublings)).await,
            None => Ok(()),
        }
    }

    /// By chance between half of it and all.
    async fn wait(&self, call: &mut Call<'_>, view: &ClusterView, most: Duration) -> Result<(), Failure> {
        let chance = (call.worker.random() >> 32) as u32;
        let delay = (most / 2).saturating_add(part(most / 2, chance));
        if delay.is_zero() {
            return Ok(());
        }
        let until = after(now(), delay).min(call.total_deadline);
        let waited = while_client_stays(call, until, pending::<()>()).await;
        call.journal.ended = None; // the last attempt did, and the request goes on
        let failed = waited.err().or_else(|| call.overall_failure(Stage::Pick));
        failed.map_or(Ok(()), |failure| Err(self.in_vain(call, view, failure)))
    }
}

fn doubled(span: Duration, times: u32) -> Duration {
    span.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
}

fn has_failed_so_before(call: &Call<'_>, failure: Failure) -> bool {
    call.journal.given_up.iter().any(|before| before.failure.cause == failure.cause)
}

/// Says why there is no other attempt.
fn object(call: &mut Call<'_>, view: &ClusterView, objection: Objection) {
    view.metrics().retry_objection(objection);
    call.journal.no_retry = Some(objection.word());
}

/// `chance` of 2^32 parts of a span.
pub(crate) fn part(span: Duration, chance: u32) -> Duration {
    Duration::from_nanos((span.as_nanos().saturating_mul(u128::from(chance)) >> 32) as u64)
}

/// RFC 9110 §9.2.2: doing it twice is the same as once, by its method or because the client vouches for it
/// (draft-ietf-httpapi-idempotency-key-header).
pub(crate) fn may_repeat(call: &Call<'_>) -> bool {
    let request = &call.workspace.request;
    let key = || field::find(&request.fields, call.workspace.input.pinned(), b"idempotency-key");
    request.method.is_idempotent() || key().is_some_and(|key| !key.is_empty())
}

pub(crate) fn no_endpoint(reason: NoEndpoint) -> Failure {
    let cause = match reason {
        NoEndpoint::Empty => Cause::NoEndpoint,
        NoEndpoint::AllDown | NoEndpoint::AllFull | NoEndpoint::AllTried => Cause::NoEndpointUp,
    };
    Failure::new(Stage::Pick, cause)
}

/// Whether so little time has passed since the request was sent that its connection may have been dead by then. Who has had the request for longer breaks
/// off because of it, or dies, and would keep it waiting for as long again.
fn is_soon(call: &Call<'_>, view: &ClusterView, endpoint: usize) -> bool {
    let state = view.cluster.balancer.endpoints().get(endpoint).map(|endpoint| &endpoint.state);
    let round_trip = state.and_then(|state| state.beliefs().round_trip).unwrap_or_default();
    call.journal.sent().is_none_or(|sent| now() < after(sent, DIED_MEANWHILE + round_trip))
}

/// The moment by which an attempt whose time begins at `since` has to have brought the head of an answer.
pub(crate) fn attempt_deadline(since: Moment, timeout: Duration, total_deadline: Moment) -> Moment {
    after(since, timeout).min(total_deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_span_is_between_nothing_and_all_of_it() {
        let span = Duration::from_millis(40);
        assert_eq!(part(span, 0), Duration::ZERO);
        assert_eq!(part(span, 1 << 31), span / 2);
        assert!(part(span, u32::MAX) < span);
        assert!(part(Duration::MAX, u32::MAX) > span);
    }
}
