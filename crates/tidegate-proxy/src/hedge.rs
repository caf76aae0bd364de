//! A second attempt beside a first one that keeps a request waiting: whoever answers first goes on, the other is dropped.
//! Where many share a connection, that takes a stream back and touches nothing else.
//!
//! ```text
//!   wait for the first ─→ late? ─→ stalled, a slot free elsewhere, paid for? ─→ race ─→ the winner takes the flight
//!            │              └───────────── no: look again later ──┘
//!            └─→ heard of it: go on as if nothing had been
//! ```
//!
//! Only for requests without a body that may be done twice. When to ask is the balancer's to say; what an answer means is
//! the exchange's.

use crate::attempts::{Attempts, attempt_deadline, may_repeat};
use crate::exchange::{poll_client, poll_upload};
use crate::failure::{Cause, Failure, Stage};
use crate::journal::{Hedge, HedgeOutcome};
use crate::pump::PumpError;
use crate::request::{Call, Flight, write_head};
use crate::snapshot::Policy;
use crate::sticky;
use crate::stream::Stream;
use crate::timers::{after, now};
use crate::upstream::{Carries, Connection, Dial, connect_untimed};
use crate::view::{ClusterView, EndpointView};
use crate::worker::Worker;
use crate::workspace::{Lent, Workspace};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_balance::{Ended, Lease, Moment, Second};
use tidegate_http::BodyLength;

/// How the first attempt stands.
enum First {
    /// It answered, or its connection ended: the exchange sees which.
    Heard,
    Late,
}

/// How a race ended.
enum Finish {
    First,
    Neither,
    Second(Connection),
}

/// Whether this request may get a second attempt at all, and the age at which to ask.
pub(crate) fn late_after(call: &Call<'_>, policy: &Policy, view: &ClusterView) -> Option<Duration> {
    policy.hedge?;
    let request = &call.workspace.request;
    let is_simple = request.body == BodyLength::None && request.upgrade.is_none();
    if is_simple && may_repeat(call) && sticky::may_be_hedged(call, view) {
        view.cluster.balancer.late_after()
    } else {
        None
    }
}

/// Sends the request and waits until something is heard of it, perhaps by a second attempt, whose flight it is then.
pub(crate) async fn fly<'v>(
    call: &mut Call<'v>,
    policy: &Policy,
    view: &'v ClusterView,
    attempts: &Attempts<'_>,
    flight: &mut Flight<'v>,
    late: Duration,
) -> Result<(), Failure> {
    let start = flight.lease.picked_at();
    let give_up = after(start, policy.timeouts.first_byte).min(call.attempt_deadline);
    let mut look_at = after(start, late).min(give_up);
    // Why there is no copy although there should be one, since when, and who would get it.
    let mut held_back = None;
    loop {
        let first = first_is_heard(call, &mut flight.connection.stream, look_at).await;
        if !matches!(first, Ok(First::Late)) || now() >= give_up {
            // Also when nobody waits any more: it is why he had to.
            if let Some((wanted, outcome)) = held_back {
                tell(call, view, flight, wanted, outcome);
            }
            return first.map(|_| ());
        }
        let pick = attempts.pick_beside(call, flight.lease.index());
        match view.cluster.balancer.pick_hedge(&flight.lease, &pick.as_pick()) {
            Second::Lease(lease) => {
                if let Some((endpoint, aside)) = paid(call, policy, view, &lease) {
                    return race(call, policy, view, flight, (lease, endpoint), aside, give_up).await;
                }
                held_back = held_back.or(Some((at(&lease), HedgeOutcome::Unpaid)));
            }
            Second::NoSlot => held_back = held_back.or(Some(((None, now()), HedgeOutcome::NoSlot))),
            Second::Unneeded => {}
        }
        look_at = flight.lease.late_again(late, now()).min(give_up);
    }
}

async fn first_is_heard(call: &mut Call<'_>, up: &mut Stream, until: Moment) -> Result<First, Failure> {
    let alarm = call.alarm;
    let heard = poll_fn(|cx| {
        if poll_first(call, cx, up)?.is_ready() {
            return Poll::Ready(Ok(First::Heard));
        }
        poll_client(call, cx)?;
        Poll::Pending
    });
    alarm.within(until, heard).await.unwrap_or(Ok(First::Late))
}

/// Sends the request, then reads: ready when there is something of an answer, or an end.
fn poll_first(call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream) -> Result<Poll<()>, Failure> {
    if !call.workspace.upload.is_done() && poll_upload(call, cx, up)?.is_broken() {
        return Ok(Poll::Ready(()));
    }
    let answer = &mut call.workspace.answer;
    Ok(match up.poll_read(cx, answer.room()) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(read) => {
            answer.filled(read.unwrap_or(0));
            Poll::Ready(())
        }
    })
}

/// What a second attempt takes, if there is that: its endpoint, and a workspace. The last one is for a request, not for a copy.
fn paid<'c, 'v>(
    call: &Call<'c>,
    policy: &Policy,
    view: &'v ClusterView,
    lease: &Lease<'_>,
) -> Option<(&'v EndpointView, Lent<'c>)> {
    let endpoint = view.endpoint(lease.index())?;
    let aside = call.worker.workspaces.lend()?;
    is_paid(policy, view, endpoint).then_some((endpoint, aside))
}

/// Who is asked, and when.
fn at(lease: &Lease<'_>) -> (Option<usize>, Moment) {
    (Some(lease.index()), lease.picked_at())
}

/// By the budget; and connections that are counted, or belong to one client, are for requests, not for copies of them.
fn is_paid(policy: &Policy, view: &ClusterView, endpoint: &EndpointView) -> bool {
    let upstream = &endpoint.pool.upstream;
    let spend = |income| view.spend_hedge(income, now());
    upstream.slots.is_none() && !upstream.introduces_clients && policy.hedge.is_some_and(spend)
}

/// How it went, to the metrics and the journal.
fn tell(
    call: &mut Call<'_>,
    view: &ClusterView,
    flight: &Flight<'_>,
    (to, at): (Option<usize>, Moment),
    outcome: HedgeOutcome,
) {
    view.metrics().hedge(outcome);
    let from = flight.lease.index();
    let after = at.since(flight.lease.picked_at());
    call.journal.hedge = Some(Box::new(Hedge { from, to, outcome, failure: None, after }));
}

async fn race<'v>(
    call: &mut Call<'v>,
    policy: &Policy,
    view: &'v ClusterView,
    flight: &mut Flight<'v>,
    (lease, endpoint): (Lease<'v>, &'v EndpointView),
    mut aside: Lent<'_>,
    give_up: Moment,
) -> Result<(), Failure> {
    aside.upload.start(BodyLength::None, BodyLength::None, u64::MAX);
    aside.upload.ends_message(view.cluster.http2);
    write_head(call, policy, view, &endpoint.pool.upstream.authority, &mut aside.upload.lead);
    endpoint.metrics().attempts.increment();
    call.journal.attempts += 1;
    call.journal.hedged = true;
    let (mut first_failed, mut failed) = (None, None);
    let copy_deadline = attempt_deadline(lease.picked_at(), policy.timeouts.attempt, call.total_deadline);
    let copy_until = after(lease.picked_at(), policy.timeouts.first_byte).min(copy_deadline);
    let finish = {
        let copy = Box::pin(send_copy(&mut aside, call.worker, view, endpoint, lease.picked_at()));
        let (up, ends) = (&mut flight.connection.stream, (&mut first_failed, &mut failed));
        finish(call, up, copy, ends, (give_up, copy_until)).await
    };
    let (ended, outcome) = match (&finish, failed) {
        (Ok(Finish::Second(_)), _) if first_failed.is_some() => (Ended::Failed, HedgeOutcome::Won),
        (Ok(Finish::Second(_)), _) => (Ended::Overtaken, HedgeOutcome::Won),
        (_, Some(cause)) => (failed_by(cause), HedgeOutcome::Failed),
        (_, None) => (Ended::Abandoned, HedgeOutcome::Lost),
    };
    tell(call, view, flight, at(&lease), outcome);
    if let Some(failure) = failed.map(failure_of) {
        endpoint.metrics().attempt_failed(failure);
        if let Some(hedge) = &mut call.journal.hedge {
            hedge.failure = Some(failure);
        }
    }
    match finish {
        Ok(Finish::Second(connection)) => {
            if let Some(failure) = first_failed {
                flight.endpoint.metrics().attempt_failed(failure);
                call.journal.ended = Some(now());
                call.journal.give_up(Arc::clone(&flight.endpoint.pool.upstream.id.address), failure);
                call.journal.ended = None;
            }
            call.worker.workspaces.return_hot(call.workspace);
            std::mem::swap(&mut call.workspace.answer, &mut aside.answer);
            call.attempt_deadline = copy_deadline;
            call.journal.picked = Some(lease.picked_at());
            (call.journal.ready, call.journal.connected) = (None, None);
            call.journal.endpoint = Some(lease.index());
            call.journal.picked_as = lease.occasion();
            sticky::overtaken(call, view, lease.index());
            let first = std::mem::replace(flight, Flight { lease, endpoint, connection, slot: None });
            first.lease.settle(ended, now());
            Ok(())
        }
        Ok(Finish::First | Finish::Neither) => {
            lease.settle(ended, now());
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// What the end of a second attempt tells about its endpoint.
fn failed_by(cause: Cause) -> Ended {
    match cause {
        Cause::EndpointClosed | Cause::Http2Breach(_) | Cause::StreamRefused => Ended::Failed,
        Cause::StreamUnseen => Ended::Abandoned,
        _ => Ended::ConnectFailed,
    }
}

fn failure_of(cause: Cause) -> Failure {
    let stage = if failed_by(cause) == Ended::ConnectFailed { Stage::Connect } else { Stage::Await };
    Failure::new(stage, cause)
}

/// Polls both until one has something to say; when the first one's time is over, the second one alone, until its own is. Tells how the first one failed,
/// and why the second one did, if they did.
async fn finish(
    call: &mut Call<'_>,
    up: &mut Stream,
    mut copy: Pin<Box<impl Future<Output = Result<Connection, Cause>>>>,
    (first_failed, failed): (&mut Option<Failure>, &mut Option<Cause>),
    (give_up, copy_until): (Moment, Moment),
) -> Result<Finish, Failure> {
    let alarm = call.alarm;
    let mut poll_both = |cx: &mut Context<'_>, call: &mut Call<'_>, first_failed: &mut Option<Failure>| {
        if first_failed.is_none() && poll_first(call, cx, up)?.is_ready() {
            if !call.workspace.answer.is_empty() {
                return Poll::Ready(Ok(Finish::First));
            }
            *first_failed = Some(Failure::new(Stage::Await, Cause::EndpointClosed));
        }
        if failed.is_none() {
            match copy.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(connection)) => return Poll::Ready(Ok(Finish::Second(connection))),
                Poll::Ready(Err(cause)) => *failed = Some(cause),
            }
        }
        if first_failed.is_some() && failed.is_some() {
            return Poll::Ready(Ok(Finish::Neither));
        }
        poll_client(call, cx)?;
        Poll::Pending
    };
    let in_time = poll_fn(|cx| poll_both(cx, call, first_failed));
    if let Ok(finish) = alarm.within(give_up, in_time).await {
        return finish;
    }
    if first_failed.is_none() {
        let cause =
            if give_up < call.attempt_deadline { Cause::FirstByteTimeout } else { Cause::AttemptTimeout };
        *first_failed = Some(Failure::new(Stage::Await, cause));
    }
    let alone = poll_fn(|cx| poll_both(cx, call, first_failed));
    alarm.within(copy_until, alone).await.unwrap_or(Ok(Finish::First))
}

/// A kept connection or a new one; the head; the first bytes of an answer, which stay in `aside.answer`.
async fn send_copy(
    aside: &mut Workspace,
    worker: &Rc<Worker>,
    view: &ClusterView,
    endpoint: &EndpointView,
    start: Moment,
) -> Result<Connection, Cause> {
    let mut connection = if view.cluster.http2 {
        share(worker, view, endpoint).await?
    } else if let Some(kept) = endpoint.pool.checkout(&Carries::Anyone, start, view.cluster.idle_timeout) {
        endpoint.metrics().reused.increment();
        kept
    } else {
        dial(worker, view, endpoint).await?
    };
    let Workspace { upload, input, answer, .. } = aside;
    let stream = &mut connection.stream;
    // Why nothing can be sent is heard by reading; and an answer may have come before.
    let _: Result<(), PumpError> = poll_fn(|cx| upload.poll_flush_all(cx, input, stream)).await;
    match poll_fn(|cx| stream.poll_read(cx, answer.room())).await {
        Ok(length) if length > 0 => {
            answer.filled(length);
            Ok(connection)
        }
        read => Err(Cause::of_silence(&read)),
    }
}

/// One of the streams of a connection that is there, or of a new one.
async fn share(
    worker: &Rc<Worker>,
    view: &ClusterView,
    endpoint: &EndpointView,
) -> Result<Connection, Cause> {
    let pool = &endpoint.pool.http2;
    loop {
        if let Some(request) = pool.checkout(&endpoint.pool.upstream, None, &mut None) {
            endpoint.metrics().reused.increment();
            return Ok(Connection::shared(request));
        }
        let Some(dialling) = pool.dial_or_wait().await else { continue };
        let (stream, dialled, counted) = dial(worker, view, endpoint).await?.into_parts();
        let head_bytes_max = view.cluster.head_limits.head_bytes_max;
        let adopted = pool.adopt(worker, (stream, dialled), head_bytes_max, None, counted);
        drop(dialling);
        return Ok(Connection::shared(adopted));
    }
}

async fn dial(worker: &Worker, view: &ClusterView, endpoint: &EndpointView) -> Result<Connection, Cause> {
    let (upstream, presence) = (&endpoint.pool.upstream, &view.cluster.presence);
    let (scratch, timers) = (&worker.tls_scratch, &worker.timers);
    let dial = Dial { upstream, state: None, presence, scratch, timers, introduction: b"", instead: None };
    let fresh = connect_untimed(&dial).await?;
    endpoint.metrics().handshake(&fresh.stream);
    Ok(fresh)
}
