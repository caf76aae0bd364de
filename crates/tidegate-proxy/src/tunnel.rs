//! After 101 (Switching Protocols), and where connections are passed on as they are: bytes both ways until both sides have
//! ended. Knows nothing of what they mean.

use crate::exchange::Exchanged;
use crate::failure::{Cause, Failure, Stage};
use crate::patience::Patience;
use crate::pump::PumpError;
use crate::request::{Call, Fate};
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::{NEVER, now};
use crate::workspace::Workspace;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tidegate_balance::Lease;
use tidegate_http::field::elements;
use tidegate_http::forward::{ResponseEdits, write_response};
use tidegate_http::{BodyLength, FieldKind, FieldSet, field};

/// Passes the 101 on and becomes the tunnel that it opens.
pub(crate) async fn run(
    call: &mut Call<'_>,
    lease: &mut Lease<'_>,
    up: &mut Stream,
    policy: &Policy,
) -> Result<Exchanged, Failure> {
    open(call)?;
    if let Some(opened) = call.journal.first_byte {
        // How it ends is for those who use it to say.
        lease.answered(call.journal.status, opened.since(lease.picked_at()), opened);
    }
    relay(call, up, policy).await?;
    Ok(Exchanged { downstream: Fate::Close, upstream_reusable: false })
}

/// Bytes both ways until both sides have ended. Each side's end is passed on to the other (half-close).
pub(crate) async fn relay(call: &mut Call<'_>, up: &mut Stream, policy: &Policy) -> Result<(), Failure> {
    let _open = call.worker.metrics.tunnel();
    // A tunnel lives as long as it is used: the total deadline is for requests.
    let mut patience = Patience::new(NEVER, None);
    let (mut upward_ended, mut downward_ended) = (false, false);
    let mut upward_first = true;
    poll_fn(|cx| {
        // In turn: a direction that never has to wait uses up what a task may do at a time.
        for upward in [upward_first, !upward_first] {
            let (this_ended, other_ended) =
                if upward { (upward_ended, downward_ended) } else { (downward_ended, upward_ended) };
            if this_ended {
                continue;
            }
            let polled = if upward { poll_upward(call, cx, up) } else { poll_downward(call, cx, up) };
            if polled.is_err() && is_closing(call) {
                end_both(call, cx, up);
                return Poll::Ready(Ok(()));
            }
            let has_ended = has_ended(polled, other_ended)?;
            *(if upward { &mut upward_ended } else { &mut downward_ended }) = has_ended;
        }
        upward_first = !upward_first;
        if upward_ended && downward_ended {
            return Poll::Ready(Ok(()));
        }
        let steps = call.workspace.upload.steps.wrapping_add(call.workspace.download.steps);
        let late = patience.poll(call, cx, steps, policy.timeouts.tunnel_idle);
        late.map(|()| {
            let cause = if call.worker.is_stopping() { Cause::DrainDeadline } else { Cause::TunnelIdle };
            Err(Failure::new(Stage::Tunnel, cause))
        })
    })
    .await?;
    call.journal.ended = Some(now());
    Ok(())
}

/// RFC 9110 §7.8: the endpoint says what it switches to, and that is something that the client offered.
fn is_offered(workspace: &Workspace) -> bool {
    let offer = workspace.request.upgrade.map_or(b"".as_slice(), |offer| offer.of(workspace.input.pinned()));
    let response = &workspace.response;
    let choice = field::find_kind(&response.fields, workspace.answer.readable(), FieldKind::Upgrade);
    let mut chosen = elements(choice.unwrap_or_default()).peekable();
    chosen.peek().is_some()
        && chosen.all(|(_, one)| elements(offer).any(|(_, offered)| offered.eq_ignore_ascii_case(one)))
}

fn open(call: &mut Call<'_>) -> Result<(), Failure> {
    let workspace = &mut *call.workspace;
    let Some(protocol) = workspace.request.upgrade.filter(|_| is_offered(workspace)) else {
        return Err(Failure::new(Stage::Await, Cause::UpgradeUnasked));
    };
    workspace.upload.start(BodyLength::UntilClose, BodyLength::UntilClose, u64::MAX);
    workspace.download.start(BodyLength::UntilClose, BodyLength::UntilClose, u64::MAX);
    if protocol.of(workspace.input.pinned()).eq_ignore_ascii_case(b"websocket") {
        workspace.upload.watch_frames();
        workspace.download.watch_frames();
    }
    let edits = ResponseEdits {
        body: BodyLength::None,
        keep_alive: true,
        client_is_http10: false,
        upgrade: true,
        extra: call.set_cookie.as_bytes(),
        hidden: FieldSet::default(),
    };
    write_response(&workspace.response, workspace.answer.readable(), &edits, &mut workspace.download.lead);
    workspace.answer.consume(call.response_head_bytes);
    call.worker.workspaces.return_hot(workspace); // others have a turn now
    call.journal.status = 101;
    call.journal.begun = true;
    call.journal.first_byte = Some(now());
    Ok(())
}

fn poll_upward(call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream) -> Result<Poll<()>, Failure> {
    let workspace = &mut *call.workspace;
    let polled = workspace.upload.poll(cx, call.down, &mut workspace.input, up);
    let broken = |error| if is_sinks(&error) { Cause::TunnelEndpointGone } else { Cause::TunnelClientGone };
    pass_end(polled.map_err(broken), cx, up)
}

fn poll_downward(call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream) -> Result<Poll<()>, Failure> {
    let workspace = &mut *call.workspace;
    let polled = workspace.download.poll(cx, up, &mut workspace.answer, call.down);
    let broken = |error| if is_sinks(&error) { Cause::TunnelClientGone } else { Cause::TunnelEndpointGone };
    pass_end(polled.map_err(broken), cx, call.down)
}

fn is_sinks(error: &PumpError) -> bool {
    matches!(error, PumpError::SinkBroken)
}

/// One side of a WebSocket has closed it, and the other one may just say so as well (RFC 6455 §5.5.1): from then on the
/// connections may end in any way, and servers of asyncio forget theirs as soon as they have said their last.
fn is_closing(call: &Call<'_>) -> bool {
    call.workspace.upload.has_closed() || call.workspace.download.has_closed()
}

/// Each side hears of the end if it can.
fn end_both(call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream) {
    let _ = (call.down.poll_shutdown(cx), up.poll_shutdown(cx));
}

/// What is on its way to a side that has said its last word may find it gone: that is an end as well.
fn has_ended(polled: Result<Poll<()>, Failure>, other_ended: bool) -> Result<bool, Failure> {
    match polled {
        Err(_) if other_ended => Ok(true),
        polled => Ok(polled?.is_ready()),
    }
}

/// A side that ended in good order ends the other's reading; one that broke breaks the tunnel.
fn pass_end(
    polled: Poll<Result<(), Cause>>,
    cx: &mut Context<'_>,
    to: &mut Stream,
) -> Result<Poll<()>, Failure> {
    let Poll::Ready(ended) = polled else { return Ok(Poll::Pending) };
    ended.map_err(|cause| Failure::new(Stage::Tunnel, cause))?;
    let Poll::Ready(_) = to.poll_shutdown(cx) else { return Ok(Poll::Pending) };
    Ok(Poll::Ready(()))
}
