//! Waiting for an endpoint with room, when all that may be picked are full; and the wake-up of whoever's turn it is, on
//! whichever worker he waits. In which order, and whether at all, `tidegate_balance::Queue` decides.
//!
//! No wake-up is lost. Whoever gives a unit back looks afterwards whether anybody waits; whoever begins to wait looks
//! afterwards whether there is room; of two that do so at once, one sees the other. A call that its receiver does not use
//! (his client left, or he has tried that very endpoint) goes to the next. What makes room without a request ending (an
//! endpoint that recovers, is noticed by the next end, or by the worker's sweep. And there is
//! no herd: each unit that comes free wakes one. Only a reload wakes all, who may wait for other endpoints then; while there are some
//! who cannot (another attempt, whose endpoints have been tried), whoever is called in vain hands that on.

use crate::attempts::{Attempts, part};
use crate::exchange::poll_client;
use crate::failure::{Cause, Failure, Stage};
use crate::looks::{Look, Looks};
use crate::request::Call;
use crate::snapshot::{Cluster, Policy};
use crate::sticky::{self, Home};
use crate::timers::{NEVER, after, now};
use crate::view::ClusterView;
use std::future::poll_fn;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicUsize, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tidegate_balance::{Balancer, Lease, Moment, NoEndpoint, Occasion, Pick};
use tidegate_balance::{Joined, Priority, Queue, Refusal, Refused, RoomWatch, Ticket};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Picked<'v> {
    /// With the place in the queue that it had, and has again should it come back.
    Lease(Lease<'v>, Option<Turn<'v>>),
    Nobody(NoEndpoint),
    /// It still waits, and another view has been published. Who can picks by that, with the same place in the queue.
    Republished(Turn<'v>),
}

impl<'v> From<Result<Lease<'v>, NoEndpoint>> for Picked<'v> {
    fn from(picked: Result<Lease<'v>, NoEndpoint>) -> Self {
        picked.map_or_else(Self::Nobody, |lease| Self::Lease(lease, None))
    }
}

/// So long those are left alone that refused a request its connection, and up to a quarter longer by chance: else who crashes and restarts in
/// time with it would be met at the same moment each time. Who has answered since is well.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// An endpoint for the request: at once, or when it is its turn. `turn`: its place, where it waits already, or has waited.
pub(crate) async fn pick<'v>(
    call: &mut Call<'v>,
    policy: &Policy,
    view: &'v ClusterView,
    home: Home,
    attempts: &Attempts<'_>,
    turn: Option<Turn<'v>>,
) -> Result<Picked<'v>, Failure> {
    let wanted = attempts.pick(call);
    // Whoever comes while others wait does not get ahead of them.
    if turn.as_ref().is_none_or(Turn::is_over) && view.cluster.waiting.is_empty() {
        match sticky::pick(call, view, home, &wanted) {
            Err(NoEndpoint::AllFull) => {}
            picked => return Ok(picked.into()),
        }
    }
    // Boxed, because the future of a request that need not wait should not be larger for it.
    Box::pin(wait(call, policy, view, home, attempts, turn)).await
}

async fn wait<'v>(
    call: &mut Call<'v>,
    policy: &Policy,
    view: &'v ClusterView,
    home: Home,
    attempts: &Attempts<'_>,
    turn: Option<Turn<'v>>,
) -> Result<Picked<'v>, Failure> {
    let balancer = &view.cluster.balancer;
    let mut turn = match turn {
        Some(turn) => turn.again(now()),
        None => match join(call, policy, view) {
            Ok(turn) => turn,
            Err(refused) => {
                return ask_instead(call, view, home, attempts).ok_or_else(|| refuse(call, view, refused));
            }
        },
    };
    let began = turn.began;
    // Endpoints may have refused it meanwhile: it is one wait.
    let waits_since = *call.journal.waits_since.get_or_insert(began);
    let deadline = last_start(call, policy, view, waits_since);
    turn.goes_by(call.view.snapshot.generation);
    turn.look_for_room(balancer, now());
    let whom = Whom::of(call, attempts, began);
    let own_look = own_look(call, view, attempts, (began, whom.again_from));
    turn.asks_from(own_look, now());
    let mut looks = Looks {
        alarm: call.alarm,
        // Whoever comes back sees to it that another asks in a moment.
        others: balancer.asks_from().filter(|_| attempts.last_failure().is_some()),
        own: Some(own_look).filter(|look| *look > began),
        failing: balancer.wait_before_failing(began).map(|wait| after(waits_since, wait)),
        last: deadline,
        is_armed: false,
    };
    let published = turn.generation;
    let waited = poll_fn(|cx| {
        if call.worker.generation() != published {
            return Poll::Ready(Ok(None));
        }
        // First: whose client has left takes no place from those that still wait.
        if let Err(failure) = poll_client(call, cx) {
            return Poll::Ready(Err(Failure::new(Stage::Pick, failure.cause)));
        }
        let in_turn = || {
            let again = whom.pick_at(now(), call, balancer);
            // Answers may have become slower since it joined.
            let is_in_time = again.now < last_start(call, policy, view, waits_since);
            (again.now, is_in_time.then(|| pick_in_turn(call, view, home, &again, waits_since)))
        };
        if let Poll::Ready(picked) = turn.poll_pick(cx, balancer, in_turn) {
            let picked = picked.or_else(|| {
                let again = whom.pick_at(now(), call, balancer);
                sticky::pick_with(call, view, home, &again, Balancer::pick_failing).map(Ok)
            });
            return Poll::Ready(picked.ok_or_else(|| late(call, view)).map(Some));
        }
        if turn.is_ousted() {
            let again = whom.pick_at(now(), call, balancer);
            let failing = turn
                .ends_with(sticky::pick_with(call, view, home, &again, Balancer::pick_failing), again.now);
            if let Some(lease) = failing {
                return Poll::Ready(Ok(Some(Ok(lease))));
            }
            let wait = view.cluster.waiting.lock().wait(again.now);
            return Poll::Ready(Err(refuse(call, view, Refused { reason: Refusal::Full, wait })));
        }
        let mut asks = turn.takes_ask();
        loop {
            let again = whom.pick_at(now(), call, balancer);
            let refusing = if asks {
                sticky::pick_with(call, view, home, &again, Balancer::pick_refusing)
            } else {
                None
            };
            if let Some(lease) = turn.ends_with(refusing, again.now) {
                return Poll::Ready(Ok(Some(Ok(lease))));
            }
            let look = ready!(looks.poll(cx));
            match look {
                Look::Last | Look::Failing => {
                    let failing = sticky::pick_with(call, view, home, &again, Balancer::pick_failing);
                    if let Some(lease) = turn.ends_with(failing, again.now) {
                        return Poll::Ready(Ok(Some(Ok(lease))));
                    }
                    if look == Look::Last {
                        return Poll::Ready(Err(late(call, view)));
                    }
                }
                Look::Others => view.cluster.waiting.ask(balancer, now()),
                Look::Own => turn.look_for_room(balancer, now()),
            }
            asks = look == Look::Own || turn.takes_ask();
        }
    })
    .await;
    if let Ok(None) = waited {
        turn.generation = call.worker.generation();
        return Ok(Picked::Republished(turn));
    }
    let ended = now();
    call.journal.queued = Some(ended);
    view.metrics().queue.record(ended.since(began));
    waited.map(|picked| match picked {
        Some(Ok(lease)) => Picked::Lease(lease, Some(turn)),
        Some(Err(reason)) => Picked::Nobody(reason),
        None => Picked::Nobody(NoEndpoint::AllFull),
    })
}

/// Somebody who fails as well, once it has waited for as long as that costs.
fn pick_in_turn<'v>(
    call: &mut Call<'v>,
    view: &'v ClusterView,
    home: Home,
    pick: &Pick<'_>,
    waits_since: Moment,
) -> Result<Lease<'v>, NoEndpoint> {
    let picked = sticky::pick(call, view, home, pick);
    if !matches!(picked, Err(NoEndpoint::AllFull)) {
        return picked;
    }
    let wait = view.cluster.balancer.wait_before_failing(pick.now);
    let may_fail = wait.is_some_and(|wait| pick.now >= after(waits_since, wait));
    let failing =
        if may_fail { sticky::pick_with(call, view, home, pick, Balancer::pick_failing) } else { None };
    failing.map_or(picked, Ok)
}

/// Whom a request that waits may be given.
struct Whom<'a> {
    pick: Pick<'a>,
    but_refusals: &'a [usize],
    /// Who refused it may be asked again.
    again_from: Moment,
}

impl<'a> Whom<'a> {
    fn of(call: &Call<'_>, attempts: &'a Attempts<'_>, began: Moment) -> Self {
        let chance = (call.worker.random() >> 32) as u32;
        let left_alone = LEFT_ALONE + part(LEFT_ALONE / 4, chance);
        let again_from = if attempts.asks_again() { after(began, left_alone) } else { NEVER };
        Self { pick: attempts.pick(call), but_refusals: attempts.tried_for_good(), again_from }
    }

    fn pick_at(&self, now: Moment, call: &Call<'_>, balancer: &Balancer) -> Pick<'a> {
        let is_back = |index: &usize| !self.but_refusals.contains(index) && balancer.is_reachable(*index);
        let may_again = now >= self.again_from || self.pick.tried.iter().any(is_back);
        let tried = if may_again { self.but_refusals } else { self.pick.tried };
        Pick { now, random: call.worker.random(), tried, ..self.pick }
    }
}

/// From when on it may ask somebody who refuses connections, while all others are full: at once, and again when it has waited for a while.
fn own_look(
    call: &Call<'_>,
    view: &ClusterView,
    attempts: &Attempts<'_>,
    (at_once, later): (Moment, Moment),
) -> Moment {
    if !attempts.may_be_refused(call, view) {
        NEVER
    } else if attempts.has_been_refused() {
        later
    } else {
        at_once
    }
}

/// The last place of its priority.
fn join<'v>(call: &Call<'_>, policy: &Policy, view: &'v ClusterView) -> Result<Turn<'v>, Refused> {
    let (cluster, now, generation) = (&*view.cluster, now(), call.view.snapshot.generation);
    let patience = last_start(call, policy, view, call.journal.waits_since.unwrap_or(now)).since(now);
    if cluster.waiting.is_empty() {
        cluster.waiting.expect_turns(cluster.balancer.typical_gap(), now);
    }
    cluster.waiting.join(policy.priority, patience, cluster.queued_requests_max, now, generation)
}

/// Whoever finds no place to wait loses nothing by asking somebody who fails, nor by asking somebody who refuses connections: those that wait have just done so.
fn ask_instead<'v>(
    call: &mut Call<'v>,
    view: &'v ClusterView,
    home: Home,
    attempts: &Attempts<'_>,
) -> Option<Picked<'v>> {
    let pick = attempts.pick(call);
    let mut lease = sticky::pick_with(call, view, home, &pick, Balancer::pick_failing);
    if lease.is_none() && attempts.may_be_refused(call, view) && !attempts.has_been_refused() {
        lease = sticky::pick_with(call, view, home, &pick, Balancer::pick_refusing);
    }
    lease.map(|lease| Picked::Lease(lease, None))
}

/// Until when it waits.
fn last_start(call: &Call<'_>, policy: &Policy, view: &ClusterView, waits_since: Moment) -> Moment {
    after(waits_since, policy.timeouts.queue).min(last_useful_start(call, &view.cluster))
}

/// A request that begins later than this would take a place and be cut before its answer: nobody would have anything of it. Where answers
/// take longer than half of all the time there is, it may be one of the others.
fn last_useful_start(call: &Call<'_>, cluster: &Cluster) -> Moment {
    if call.total_deadline == NEVER {
        return NEVER;
    }
    let answer = cluster.balancer.usual_answer_time().unwrap_or_default();
    let all = call.total_deadline.since(call.journal.started);
    let nanos = u64::try_from(answer.min(all / 2).as_nanos()).unwrap_or(u64::MAX);
    Moment(call.total_deadline.0.saturating_sub(nanos))
}

fn refuse(call: &mut Call<'_>, view: &ClusterView, refused: Refused) -> Failure {
    let cause = match refused.reason {
        Refusal::Full => {
            view.metrics().shed_full.increment();
            Cause::QueueFull
        }
        Refusal::TooLate => {
            view.metrics().shed_predicted.increment();
            Cause::Shed
        }
    };
    call.journal.retry_after = Some(retry_after(refused.wait));
    Failure::new(Stage::Pick, cause)
}

fn late(call: &mut Call<'_>, view: &ClusterView) -> Failure {
    if let Some(failure) = call.overall_failure(Stage::Pick) {
        return failure;
    }
    view.metrics().shed_timeout.increment();
    call.journal.retry_after = Some(retry_after(view.cluster.waiting.lock().wait(now())));
    Failure::new(Stage::Pick, Cause::QueueTimeout)
}

/// Nobody is sent away for longer than this, in seconds.
const RETRY_AFTER_MAX: u64 = 120;

/// In seconds: when those who wait now will have been served.
fn retry_after(wait: Option<Duration>) -> u64 {
    wait.map_or(1, |wait| wait.as_secs().saturating_add(1).min(RETRY_AFTER_MAX))
}

/// What is known of one who waits, to those who wake him.
#[derive(Debug)]
struct Handle {
    waker: Option<Waker>,
    /// From when on it may ask somebody who refuses connections.
    asks_from: Moment,
    /// It is to do so now.
    is_asked: bool,
}

impl Default for Handle {
    fn default() -> Self {
        Self { waker: None, asks_from: NEVER, is_asked: false }
    }
}

impl Handle {
    fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

/// Those who wait for an endpoint of one cluster, on all workers. The same object in every snapshot of the cluster.
#[derive(Debug, Default)]
pub struct Waiting {
    count: AtomicUsize,
    /// How many of them go by views of before. They know endpoints that the others do not, and the others some that they do not.
    behind: AtomicUsize,
    queue: Mutex<Queue<Handle>>,
}

impl Waiting {
    /// How many wait now.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// So quickly, where those of late do not tell.
    fn expect_turns(&self, gap: Option<Duration>, now: Moment) {
        if let Some(gap) = gap {
            self.lock().expect_turns(gap, now);
        }
    }

    fn join(
        &self,
        priority: Priority,
        patience: Duration,
        most: usize,
        now: Moment,
        generation: u64,
    ) -> Result<Turn<'_>, Refused> {
        let mut queue = self.lock();
        let Joined { ticket, ousted } = queue.join(priority, patience, most, now, Handle::default())?;
        self.count.store(queue.len(), Relaxed);
        drop(queue);
        wake(ousted.and_then(|ousted| ousted.waker));
        // Before the look for room that follows; pairs with the one in `freed`.
        fence(SeqCst);
        Ok(Turn {
            waiting: self,
            ticket: Some(ticket),
            place: ticket,
            began: now,
            generation,
            is_behind: false,
        })
    }

    /// Wakes whose turn it is, if anybody waits.
    pub(crate) fn call(&self) {
        if !self.is_empty() {
            let waker = self.lock().call().and_then(Handle::take_waker);
            wake(waker);
        }
    }

    /// Has the first who may ask somebody that refuses connections, where that is due. It gets ahead of nobody by that: what is free is for
    /// whom is called.
    pub(crate) fn ask(&self, balancer: &Balancer, now: Moment) {
        if self.is_empty() || balancer.asks_from().is_none_or(|from| from > now) {
            return;
        }
        let mut queue = self.lock();
        let asker = queue.handles_mut().find(|waits| waits.asks_from <= now && !waits.is_asked);
        let waker = asker.and_then(|asker| {
            asker.is_asked = true;
            asker.take_waker()
        });
        drop(queue);
        wake(waker);
    }

    /// Wakes all, on whichever workers, without calling anybody.
    pub(crate) fn wake_all(&self) {
        if !self.is_empty() {
            let wakers: Vec<_> = self.lock().handles_mut().filter_map(Handle::take_waker).collect();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Handle>> {
        // Each change is made whole before anything could panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomWatch for Waiting {
    fn freed(&self) {
        // After the unit was given back, before the look for who waits; pairs with the one in `join`.
        fence(SeqCst);
        self.call();
    }
}

/// Outside of the lock, for which the woken one would have to wait.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    waiting: &'a Waiting,
    /// `None` once it has been given up.
    ticket: Option<Ticket>,
    place: Ticket,
    began: Moment,
    /// Of the last publication that it has heard of.
    generation: u64,
    /// It does not go by that.
    is_behind: bool,
}

impl Turn<'_> {
    fn goes_by(&mut self, generation: u64) {
        if generation == self.generation { self.catches_up() } else { self.stays_behind() }
    }

    /// It goes by a view of before that publication.
    fn stays_behind(&mut self) {
        if !std::mem::replace(&mut self.is_behind, true) {
            self.waiting.behind.fetch_add(1, SeqCst);
        }
    }

    fn catches_up(&mut self) {
        if std::mem::take(&mut self.is_behind) {
            self.waiting.behind.fetch_sub(1, SeqCst);
        }
    }

    /// It has been given up.
    fn is_over(&self) -> bool {
        self.ticket.is_none()
    }

    /// Whoever comes back for want of an endpoint that took it has the place that it had.
    fn again(mut self, now: Moment) -> Self {
        if self.is_over() {
            let mut queue = self.waiting.lock();
            queue.rejoin(self.place, now, Handle::default());
            self.waiting.count.store(queue.len(), Relaxed);
            drop(queue);
            // As in `join`.
            fence(SeqCst);
            (self.ticket, self.began) = (Some(self.place), now);
        }
        self
    }

    /// It may ask somebody who refuses connections from then on.
    fn asks_from(&self, from: Moment, now: Moment) {
        if let Some(ticket) = self.ticket
            && let Some(handle) = self.waiting.lock().handle_mut(ticket)
        {
            (handle.asks_from, handle.is_asked) = (from, from <= now);
        }
    }

    /// It is to ask somebody now.
    fn takes_ask(&self) -> bool {
        let Some(ticket) = self.ticket else { return false };
        self.waiting.lock().handle_mut(ticket).is_some_and(|handle| std::mem::take(&mut handle.is_asked))
    }

    /// Right after joining, and later: there may be room that nobody who waited before could use.
    fn look_for_room(&self, balancer: &Balancer, now: Moment) {
        if balancer.has_room(now) {
            let waker = self.waiting.lock().call_if_quiet().and_then(Handle::take_waker);
            wake(waker);
        }
    }

    /// Picks each time that it has been called, until that finds an endpoint, or none for another reason than load; `None`: it wants none
    /// any more.
    fn poll_pick<'v>(
        &mut self,
        cx: &mut Context<'_>,
        balancer: &Balancer,
        mut pick: impl FnMut() -> (Moment, Option<Result<Lease<'v>, NoEndpoint>>),
    ) -> Poll<Option<Result<Lease<'v>, NoEndpoint>>> {
        while self.poll_call(cx).is_ready() {
            let (now, picked) = pick();
            match picked {
                Some(Err(NoEndpoint::AllFull)) if balancer.has_room(now) || self.are_mixed() => {
                    self.hand_on();
                }
                Some(Err(NoEndpoint::AllFull)) => {}
                picked => {
                    // Who refuses connections says nothing of the pace of turns.
                    let is_last_resort = |lease: &Lease<'_>| lease.occasion() == Some(Occasion::LastResort);
                    let is_served = matches!(&picked, Some(Ok(lease)) if !is_last_resort(lease));
                    self.end(now, is_served);
                    // One call may stand for room for several; and when nobody is up, all should hear it.
                    if !is_served || balancer.has_room(now) {
                        self.waiting.call();
                    }
                    return Poll::Ready(picked);
                }
            }
        }
        Poll::Pending
    }

    /// Ready when it has been called. The call counts as answered then: what comes free from now on calls again.
    fn poll_call(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let mut queue = self.waiting.lock();
        if queue.take_call(ticket) {
            return Poll::Ready(());
        }
        if let Some(handle) = queue.handle_mut(ticket)
            && !handle.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
        {
            handle.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Somebody more urgent has got its place. To be asked after `poll_call`, which leaves what it is woken by.
    fn is_ousted(&self) -> bool {
        self.ticket.is_some_and(|ticket| self.waiting.lock().is_ousted(ticket))
    }

    /// What has come free may be of an endpoint that only others know.
    fn are_mixed(&self) -> bool {
        self.waiting.behind.load(SeqCst) > 0
    }

    /// There may be room that this request cannot use, as it has tried that endpoint or does not know it: somebody behind it may.
    fn hand_on(&self) {
        let Some(ticket) = self.ticket else { return };
        let waker = self.waiting.lock().call_behind(ticket).and_then(Handle::take_waker);
        wake(waker);
    }

    /// It is over if somebody was found out of turn, which says nothing of the pace of turns.
    fn ends_with<'v>(&mut self, found: Option<Lease<'v>>, now: Moment) -> Option<Lease<'v>> {
        if found.is_some() {
            self.end(now, false);
        }
        found
    }

    fn end(&mut self, now: Moment, is_served: bool) {
        self.catches_up();
        let Some(ticket) = self.ticket.take() else { return };
        let mut queue = self.waiting.lock();
        let was_called = if is_served { queue.served(ticket, now) } else { queue.leave(ticket) };
        let next = if was_called { queue.call().and_then(Handle::take_waker) } else { None };
        self.waiting.count.store(queue.len(), Relaxed);
        drop(queue);
        wake(next);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.end(Moment(0), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::sync::atomic::AtomicU32;
    use std::sync::{Arc, mpsc};
    use tidegate_balance::{Algorithm, Endpoint, EndpointId, RequestLimit};
    use tokio::task::{LocalSet, spawn_local, yield_now};

    const LONG: Duration = Duration::from_mins(5);
    const MOST: u32 = 2;

    struct World {
        balancer: Balancer,
        waiting: Arc<Waiting>,
        /// Requests that hold an endpoint, and the most that ever did.
        held: [(AtomicU32, AtomicU32); 2],
        given_up: AtomicUsize,
    }

    fn world() -> World {
        let endpoint = |index| Endpoint {
            id: EndpointId { cluster: "app".into(), address: format!("10.0.0.{index}:80").into() },
            weight: 1,
            state: Arc::default(),
        };
        let waiting = Arc::<Waiting>::default();
        let balancer = Balancer::new(Algorithm::LeastRequest, (0..2).map(endpoint).collect(), None)
            .with_request_limits(&[RequestLimit::Most(MOST); 2], Some(Arc::clone(&waiting) as _));
        World { balancer, waiting, held: Default::default(), given_up: AtomicUsize::new(0) }
    }

    /// As a request does: at once, or in its turn; one in seven gives up when it is not its turn soon.
    async fn acquire<'v>(world: &'v World, tried: &[usize], random: u64) -> Option<Lease<'v>> {
        let pick = || Pick { now: Moment(1), random, hash: None, tried };
        if world.waiting.is_empty()
            && let Ok(lease) = world.balancer.pick(&pick())
        {
            return Some(lease);
        }
        let joined = world.waiting.join(Priority::Normal, LONG, usize::MAX, Moment(1), 1);
        let mut turn = joined.expect("there is no bound");
        turn.look_for_room(&world.balancer, Moment(1));
        let mut polls_left = if random.is_multiple_of(7) { random % 3 } else { u64::MAX };
        let again = || (Moment(1), Some(world.balancer.pick(&pick())));
        poll_fn(|cx| match turn.poll_pick(cx, &world.balancer, again) {
            Poll::Ready(picked) => Poll::Ready(picked.and_then(Result::ok)),
            Poll::Pending if polls_left == 0 => Poll::Ready(None),
            Poll::Pending => {
                if polls_left < 3 {
                    polls_left -= 1;
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        })
        .await
    }

    async fn one_client(world: &World, mut random: u64) {
        for _ in 0..300 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = random >> 33;
            // Some have tried the first endpoint, and can only use the other.
            let tried: &[usize] = if bits.is_multiple_of(5) { &[0] } else { &[] };
            let Some(lease) = acquire(world, tried, bits).await else {
                world.given_up.fetch_add(1, Relaxed);
                continue;
            };
            let (held, most) = &world.held[lease.index()];
            most.fetch_max(held.fetch_add(1, Relaxed) + 1, Relaxed);
            for _ in 0..bits % 4 {
                yield_now().await;
            }
            held.fetch_sub(1, Relaxed);
        }
    }

    fn worker(world: Arc<World>, number: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let world = Rc::new(world);
            let client = |client| {
                let world = Rc::clone(&world);
                spawn_local(async move { one_client(&world, number * 100 + client).await })
            };
            for client in (0..20).map(client).collect::<Vec<_>>() {
                client.await.expect("no panic");
            }
        });
    }

    #[test]
    fn everybody_on_every_worker_gets_a_turn_and_no_endpoint_gets_too_many() {
        let world = Arc::new(world());
        let (ended, endings) = mpsc::channel();
        for number in 0..4 {
            let (world, ended) = (Arc::clone(&world), ended.clone());
            std::thread::spawn(move || {
                worker(world, number);
                ended.send(()).expect("the test waits");
            });
        }
        for _ in 0..4 {
            // Far more than it takes: a lost wake-up would be waited for for ever.
            endings.recv_timeout(Duration::from_mins(1)).expect("somebody waits for a turn that never comes");
        }
        assert!(world.held.iter().all(|(_, most)| most.load(Relaxed) <= MOST));
        assert!(world.given_up.load(Relaxed) > 0, "giving up is part of it");
        assert_eq!(world.waiting.lock().len() + world.waiting.count(), 0, "no trace is left");
        assert!(world.balancer.endpoints().iter().all(|endpoint| endpoint.state.in_flight() == 0));
    }

    #[test]
    fn nobody_is_told_to_come_back_in_an_hour() {
        assert_eq!(retry_after(None), 1);
        assert_eq!(retry_after(Some(Duration::from_millis(1_200))), 2);
        assert_eq!(retry_after(Some(Duration::MAX)), RETRY_AFTER_MAX);
    }
}
