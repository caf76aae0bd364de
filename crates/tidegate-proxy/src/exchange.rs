//! One request and one response between two connections: heads, bodies, trailers, back-pressure, early answers.
//!
//! ```text
//!   start_upload ─→ await_head ─→ 1xx? pass it on, await again
//!                        │   └──→ 101? tunnel
//!                        └──→ start_download ─→ relay ─→ conclude
//! ```
//!
//! The request body keeps moving in every state. Knows no routes, no endpoints; does not connect and does not try again.

use crate::answer::date_line;
use crate::event_stream;
use crate::failure::{Cause, Failure, Stage};
use crate::grpc;
use crate::head_wait::{HeadWait, awaits_continue};
use crate::https_only;
use crate::load;
use crate::patience::{Patience, SlowReader};
use crate::pump::{PumpError, Side};
use crate::request::{Call, Fate};
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::now;
use crate::tls::{self, OriginateError};
use crate::tunnel;
use crate::upgrade;
use crate::upstream::AsksForBodies;
use crate::verdict::with_waits_before;
use crate::workspace::Workspace;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tidegate_balance::{Lease, Moment, Phase};
use tidegate_http::forward::{ResponseEdits, write_response};
use tidegate_http::request::Method;
use tidegate_http::response::ResponseError;
use tidegate_http::{BodyLength, FieldKind, FieldSet, HeadLimits, Progress, Version};

/// Interim answers passed on for one request; more are a fault of the endpoint.
const INTERIM_MAX: u32 = 50;

/// How an exchange that came to its end leaves both connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchanged {
    pub(crate) downstream: Fate,
    pub(crate) upstream_reusable: bool,
}

/// Whether an answer with a status that the policy takes for a failure is thrown away for another attempt; the policy may
/// vouch for it that nothing was done.
pub(crate) type Refuse<'a> = &'a dyn Fn(&mut Call<'_>, bool) -> bool;

/// Runs one exchange. The request head has been written to `call.workspace.upload.lead`.
pub(crate) async fn run(
    call: &mut Call<'_>,
    lease: &mut Lease<'_>,
    up: &mut Stream,
    policy: &Policy,
    limits: &HeadLimits,
    asks_for_bodies: &AsksForBodies,
    refuse: Refuse<'_>,
) -> Result<Exchanged, Failure> {
    let mut start = call.journal.sent();
    for _ in 0..INTERIM_MAX {
        start = await_head(call, up, policy, limits, asks_for_bodies.is_known(), start)
            .await
            .map_err(|failure| with_waits_before(call, policy, lease, failure))?;
        let status = call.workspace.response.status;
        if status >= 200 {
            learn_grpc(call);
            if was_never_asked(call) {
                asks_for_bodies.learn(false);
            }
        }
        match status {
            101 => return tunnel::run(call, lease, up, policy).await,
            100..=199 => {
                if status == 100 {
                    if awaits_continue(call) {
                        asks_for_bodies.learn(true);
                    }
                    if !call.journal.continued {
                        start = None;
                    }
                    call.journal.continued = true;
                }
                pass_interim(call, policy).await?;
            }
            _ if upgrade::is_mistaken(call) => {
                call.journal.first_byte = Some(now());
                return Err(Failure::new(Stage::Await, Cause::UpgradeIgnored(status)));
            }
            _ if is_refused(call, policy, refuse) => {
                call.journal.first_byte = Some(now());
                return Err(Failure::new(Stage::Await, Cause::AnswerRefused(status)));
            }
            _ => {
                start_download(call, lease);
                relay(call, lease, up, policy).await?;
                if call.journal.is_grpc && call.journal.grpc_status.is_none() {
                    call.journal.grpc_status = grpc::status_in(call.workspace.download.trailers());
                }
                return Ok(conclude(call));
            }
        }
    }
    Err(Failure::new(Stage::Await, Cause::InterimFlood))
}

/// What the head of an answer says of a call, if the request was one.
fn learn_grpc(call: &mut Call<'_>) {
    call.journal.is_grpc = grpc::is_call(call);
    if call.journal.is_grpc {
        call.journal.grpc_status =
            grpc::status_of(&call.workspace.response, call.workspace.answer.readable());
    }
}

/// Whether the answer is thrown away for another attempt: by its status, or by that of a gRPC call which ended at once.
fn is_refused(call: &mut Call<'_>, policy: &Policy, refuse: Refuse<'_>) -> bool {
    let retry = &policy.retry;
    if retry.on_status.contains(call.workspace.response.status) {
        return refuse(call, false);
    }
    if !call.journal.is_grpc {
        return false;
    }
    let status = call.journal.grpc_status;
    status.is_some_and(|status| status < 32 && retry.on_grpc & (1 << status) != 0) && refuse(call, true)
}

/// Sends the request on until the head of an answer is complete. `start`, and what comes of it: since when nothing but that is waited for.
async fn await_head(
    call: &mut Call<'_>,
    up: &mut Stream,
    policy: &Policy,
    limits: &HeadLimits,
    asks_for_bodies: bool,
    start: Option<Moment>,
) -> Result<Option<Moment>, Failure> {
    let mut wait = HeadWait::new(call, policy, asks_for_bodies, start);
    let mut upload_broken = false;
    let read = poll_fn(|cx| {
        if !upload_broken && !call.workspace.upload.is_done() {
            // An upload that never has to wait uses up what a task may do at a time: an early answer is looked for first.
            if call.workspace.upload.sent_bytes > 0
                && let Poll::Ready(read) = poll_head(call, cx, up, limits)
            {
                return Poll::Ready(read);
            }
            upload_broken = poll_upload(call, cx, up)?.is_broken();
        }
        if let Poll::Ready(read) = poll_head(call, cx, up, limits) {
            return Poll::Ready(read);
        }
        let uploading = !call.workspace.upload.is_done() && !upload_broken;
        if !uploading {
            poll_client(call, cx)?;
        }
        wait.poll(call, cx, up, uploading).map(Err)
    })
    .await;
    wait.end(call, read)
}

/// The endpoint has answered without a 100 what the client had waited for that with: that is for those to do who do not know it.
fn was_never_asked(call: &Call<'_>) -> bool {
    let workspace = &call.workspace;
    workspace.request.expects_continue && !call.journal.continued && workspace.upload.body_bytes > 0
}

/// What became of the upload in one poll.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    Moving,
    /// The endpoint takes no more: it may have answered before that.
    Broken,
}

impl Upload {
    pub(crate) fn is_broken(self) -> bool {
        self == Self::Broken
    }
}

pub(crate) fn poll_upload(
    call: &mut Call<'_>,
    cx: &mut Context<'_>,
    up: &mut Stream,
) -> Result<Upload, Failure> {
    let workspace = &mut *call.workspace;
    let mut uploaded = workspace.upload.poll_drain(cx, &mut workspace.input, up);
    if matches!(uploaded, Poll::Ready(Ok(()))) && !workspace.upload.is_done() {
        let down = &*call.down;
        uploaded =
            call.worker.workspaces.pass_hot(workspace, |upload, buffer| upload.poll(cx, down, buffer, up));
    }
    let cause = match uploaded {
        Poll::Pending | Poll::Ready(Ok(())) => return Ok(Upload::Moving),
        Poll::Ready(Err(PumpError::SinkBroken(_))) => return Ok(Upload::Broken),
        Poll::Ready(Err(PumpError::Chunk(error))) => Cause::Chunk(error),
        Poll::Ready(Err(PumpError::TooLarge)) => Cause::BodyTooLarge,
        Poll::Ready(Err(PumpError::SourceBroken | PumpError::SourceEnded)) => Cause::ClientGone,
    };
    Err(Failure::new(Stage::Send, cause))
}

/// Reads until the response head is parsed; its bytes are still at the front of the buffer then, in the hot memory if
/// there was nothing before them.
fn poll_head(
    call: &mut Call<'_>,
    cx: &mut Context<'_>,
    up: &Stream,
    limits: &HeadLimits,
) -> Poll<Result<(), Failure>> {
    let workspaces = &call.worker.workspaces;
    workspaces.lend_hot(call.workspace);
    let polled = read_head(call.workspace, cx, up, limits);
    match polled {
        Poll::Ready(Ok(head_bytes)) => {
            call.response_head_bytes = head_bytes;
            Poll::Ready(Ok(()))
        }
        Poll::Ready(Err(cause)) => {
            workspaces.return_hot(call.workspace);
            Poll::Ready(Err(Failure::new(Stage::Await, cause)))
        }
        Poll::Pending => {
            workspaces.return_hot(call.workspace);
            Poll::Pending
        }
    }
}

#[inline]
fn read_head(
    workspace: &mut Workspace,
    cx: &mut Context<'_>,
    up: &Stream,
    limits: &HeadLimits,
) -> Poll<Result<usize, Cause>> {
    let method = workspace.request.method;
    loop {
        if !workspace.answer.is_empty() {
            let bytes = workspace.answer.readable();
            match workspace.response_parser.parse(bytes, limits, method, &mut workspace.response) {
                Ok(Progress::NeedMore) => {}
                Ok(Progress::Complete { head_bytes }) => {
                    if up.ends_messages() {
                        workspace.response.version = Version::Http2;
                    }
                    return Poll::Ready(Ok(head_bytes));
                }
                Err(error) => return Poll::Ready(Err(Cause::Response(error))),
            }
        }
        workspace.answer.grow_when_full(); // the parser ends it when it is longer than a head may be
        match ready!(up.poll_read(cx, workspace.answer.room())) {
            Ok(length) if length > 0 => workspace.answer.filled(length),
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                let limit_bytes = limits.head_bytes_max;
                return Poll::Ready(Err(Cause::Response(ResponseError::HeadTooLarge { limit_bytes })));
            }
            Err(error) if workspace.answer.is_empty() && tls::is_refusal(&error) => {
                return Poll::Ready(Err(Cause::Tls(OriginateError::Refused)));
            }
            read if workspace.answer.is_empty() => return Poll::Ready(Err(Cause::of_silence(&read))),
            _ => return Poll::Ready(Err(Cause::AnswerHeadCut)),
        }
    }
}

/// Listens to the client while the endpoint works: what it pipelines is kept, its end of sending is noted (it still wants
/// the answer), a reset ends the request.
pub(crate) fn poll_client(call: &mut Call<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
    while !call.journal.half_closed {
        let room = call.workspace.input.room();
        if room.is_empty() {
            let is_gone = call.down.poll_broken_off(cx).is_ready();
            return if is_gone { Err(Failure::new(Stage::Await, Cause::ClientGone)) } else { Ok(()) };
        }
        if call.down.poll_readable(cx).is_pending() {
            return Ok(());
        }
        match call.down.poll_read(cx, room) {
            Poll::Pending => return Ok(()),
            // The end of one message of several: whoever sends that is read again, and may still take the request back.
            Poll::Ready(Ok(0)) if call.down.ends_messages() => {}
            Poll::Ready(Ok(0)) => call.journal.half_closed = true,
            Poll::Ready(Ok(length)) => call.workspace.input.filled(length),
            Poll::Ready(Err(_)) => return Err(Failure::new(Stage::Await, Cause::ClientGone)),
        }
    }
    Ok(())
}

/// Waits for `future`, which leads to an endpoint, until the deadline, or until the client leaves. `Ok(None)`: it is too late.
pub(crate) async fn while_client_stays<F: Future>(
    call: &mut Call<'_>,
    deadline: Moment,
    future: F,
) -> Result<Option<F::Output>, Failure> {
    let alarm = call.alarm;
    let mut future = pin!(future);
    let watched = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => match poll_client(call, cx) {
            Ok(()) => Poll::Pending,
            Err(gone) => Poll::Ready(Err(Failure::new(Stage::Connect, gone.cause))),
        },
    });
    alarm.within(deadline, watched).await.map_or(Ok(None), |waited| waited.map(Some))
}

/// Passes a 1xx answer on; HTTP/1.0 clients do not know them (RFC 9110 §15.2).
async fn pass_interim(call: &mut Call<'_>, policy: &Policy) -> Result<(), Failure> {
    let workspace = &mut *call.workspace;
    workspace.download.start(BodyLength::None, BodyLength::None, u64::MAX);
    if workspace.request.version != Version::Http10 {
        let edits = ResponseEdits {
            body: BodyLength::None,
            keep_alive: true,
            client_is_http10: false,
            upgrade: false,
            extra: b"",
            hidden: FieldSet::default(),
        };
        write_response(
            &workspace.response,
            workspace.answer.readable(),
            &edits,
            &mut workspace.download.lead,
        );
    }
    workspace.answer.consume(call.response_head_bytes);
    call.worker.workspaces.return_hot(workspace); // others have a turn now
    let flushed = call.flush_download(policy.timeouts.body_idle).await;
    // Behind a part of a head no other can be said.
    call.journal.begun = flushed.is_err() && call.workspace.download.sent_bytes > 0;
    flushed
}

/// Decides how the answer is framed downstream and whether the connection goes on, and writes its head.
fn start_download(call: &mut Call<'_>, lease: &Lease<'_>) {
    let now = now();
    let mut hidden = FieldSet::default();
    if lease.listens_to_reports() {
        load::hear(call, lease, now);
        hidden = FieldSet::of(&[FieldKind::EndpointLoadMetrics]); // said to us, not to the client
    }
    call.journal.is_event_stream =
        event_stream::is_one(&call.workspace.response, call.workspace.answer.readable());
    let reminder = https_only::reminder_beside_answer(call);
    let client_may_go_on = call.client_may_go_on();
    let workspace = &mut *call.workspace;
    let client_is_http10 = workspace.request.version == Version::Http10;
    let body = match workspace.response.body {
        BodyLength::Chunked | BodyLength::UntilClose if client_is_http10 || call.down.ends_messages() => {
            BodyLength::UntilClose
        }
        BodyLength::UntilClose => BodyLength::Chunked,
        framed => framed,
    };
    let keep_alive = workspace.request.keep_alive
        && workspace.upload.is_done()
        && client_may_go_on
        && !call.worker.is_draining()
        && body != BodyLength::UntilClose;
    // Between two of HTTP/2, trailers may come behind a body of any length, even none; the reader of frames holds it to that.
    let ends_itself = workspace.response.version == Version::Http2 && call.down.ends_messages();
    let has_length = ends_itself && has_length(workspace);
    let source = if has_length { BodyLength::UntilClose } else { workspace.response.body };
    workspace.download.start(source, body, u64::MAX);
    workspace.download.ends_message(call.down.ends_messages());
    // RFC 9110 §6.6.1: whoever has a clock adds what the endpoint left out.
    let mut extra = if workspace.response.kinds.has(FieldKind::Date) { String::new() } else { date_line() };
    // Whoever could not serve a client is not the one to bring it back to.
    if workspace.response.status < 500 {
        extra.push_str(call.set_cookie);
    }
    extra.push_str(reminder);
    let extra = extra.as_bytes();
    let edits = ResponseEdits { body, keep_alive, client_is_http10, upgrade: false, extra, hidden };
    write_response(&workspace.response, workspace.answer.readable(), &edits, &mut workspace.download.lead);
    workspace.answer.consume(call.response_head_bytes);
    call.keep_alive = keep_alive;
    call.journal.status = workspace.response.status;
    call.journal.begun = true;
    call.journal.first_byte = Some(now);
}

/// Whether the answer says how long its body is, and means one that comes.
fn has_length(workspace: &Workspace) -> bool {
    let answer = &workspace.response;
    match answer.body {
        BodyLength::Length(_) => true,
        BodyLength::None => {
            let has_none = workspace.request.method == Method::Head || matches!(answer.status, 204 | 304);
            !has_none && answer.kinds.has(FieldKind::ContentLength)
        }
        BodyLength::Chunked | BodyLength::UntilClose => false,
    }
}

/// Moves the answer's body down, and what is left of the request's body up.
async fn relay(
    call: &mut Call<'_>,
    lease: &mut Lease<'_>,
    up: &mut Stream,
    policy: &Policy,
) -> Result<(), Failure> {
    let mut patience = Patience::new(call.total_deadline, call.journal.first_byte).noting(call.half_time());
    let mut slow_reader = SlowReader::default();
    let mut upload_over = call.workspace.upload.is_done();
    let mut came = 0;
    poll_fn(|cx| {
        let workspace = &mut *call.workspace;
        let mut downloaded = workspace.download.poll_drain(cx, &mut workspace.answer, call.down);
        if matches!(downloaded, Poll::Ready(Ok(()))) && !workspace.download.is_done() {
            call.worker.workspaces.lend_hot(workspace);
            downloaded = workspace.download.poll(cx, up, &mut workspace.answer, call.down);
        }
        call.worker.workspaces.return_hot(workspace);
        slow_reader.look(&workspace.download, downloaded.is_pending());
        // Second, so that an upload that never has to wait cannot starve the answer.
        if downloaded.is_pending() && !upload_over {
            let upload = poll_upload(call, cx, up).map_err(left_behind_the_head)?;
            upload_over = upload.is_broken() || call.workspace.upload.is_done();
        }
        if downloaded.is_pending() && upload_over {
            poll_client(call, cx).map_err(left_behind_the_head)?;
        }
        let workspace = &mut *call.workspace;
        let cause = match downloaded {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(PumpError::SinkBroken(_))) => Cause::ClientGone,
            Poll::Ready(Err(_)) => {
                // What broke together with its head has not begun for the client: it can be told.
                call.journal.begun = workspace.download.sent_bytes > 0;
                if slow_reader.may_be_given_up(workspace.download.sent_bytes) {
                    Cause::AnswerGivenUp
                } else {
                    Cause::AnswerBroken
                }
            }
            Poll::Pending => {
                report_head(call, lease);
                let workspace = &*call.workspace;
                let has_moved = came != 0 && came != workspace.download.steps;
                came = workspace.download.steps;
                if has_moved && lease.may_become_long() {
                    lease.goes_on(now());
                }
                let steps = workspace.upload.steps.wrapping_add(workspace.download.steps);
                let late = patience.poll(call, cx, steps, policy.timeouts.body_idle, &[call.down, up]);
                let owes_rest = upload_over
                    && call.workspace.download.waits_for == Side::Source
                    && has_length(call.workspace);
                return late
                    .map(|()| Err(late_body(call, owes_rest && patience.has_lasted_since_half_time(&[]))));
            }
        };
        Poll::Ready(Err(Failure::new(Stage::Body, cause)))
    })
    .await?;
    // An answer that never had to wait ended when it began, as far as a clock can tell.
    call.journal.ended = if patience.waited() { Some(now()) } else { call.journal.first_byte };
    Ok(())
}

/// The client that leaves has had the answer's head.
fn left_behind_the_head(failure: Failure) -> Failure {
    match failure.cause {
        Cause::ClientGone => Failure::new(Stage::Body, Cause::ClientGone),
        _ => failure,
    }
}

/// An answer that takes its time is no sign of a slow endpoint: its head says how fast that was.
fn report_head(call: &Call<'_>, lease: &mut Lease<'_>) {
    if let Some(first_byte) = call.journal.first_byte {
        let status = grpc::judged(call, call.journal.status, false);
        let phase = if call.journal.is_event_stream { Phase::Quiet } else { Phase::Answering };
        lease.begun(phase, status, first_byte.since(lease.picked_at()), first_byte);
    }
}

/// `is_kept_waiting`: for what the endpoint owes, through half of the time that there was.
fn late_body(call: &Call<'_>, is_kept_waiting: bool) -> Failure {
    let cause = match call.workspace.download.waits_for {
        Side::Source => Cause::AnswerStalled,
        Side::Sink => Cause::ClientStalled,
    };
    match call.overall_failure(Stage::Body) {
        Some(failure) if is_kept_waiting => failure.of_the_endpoint(),
        overall => overall.unwrap_or(Failure::new(Stage::Body, cause)),
    }
}

fn conclude(call: &Call<'_>) -> Exchanged {
    let workspace = &call.workspace;
    let downstream = if call.keep_alive { Fate::KeepAlive } else { call.last_fate() };
    // Bytes behind the answer belong to no request (RFC 9112 §6.3): they must not meet the next one.
    let upstream_reusable = workspace.response.keep_alive
        && workspace.response.body != BodyLength::UntilClose
        && workspace.upload.is_done()
        && workspace.answer.is_empty();
    Exchanged { downstream, upstream_reusable }
}
