//! After 101 (Switching Protocols), and where connections are passed on as they are: bytes both ways until both sides have
//! ended. Knows nothing of what they mean.

use crate::exchange::Exchanged;
use crate::failure::{Cause, Failure, Stage};
use crate::last_words;
use crate::patience::Patience;
use crate::pump::{PumpError, TURN_BYTES};
use crate::request::{Call, Fate};
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::{NEVER, after, now};
use crate::worker::Worker;
use crate::workspace::Workspace;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tidegate_balance::Lease;
use tidegate_http::field::elements;
use tidegate_http::forward::{ResponseEdits, write_response};
use tidegate_http::{BodyLength, FieldKind, FieldSet, field};

/// How long an endpoint may take none of what a client has said last that has left. The request keeps its places until then.
const LAST_WORDS_UP: Duration = Duration::from_secs(2);
/// How long an endpoint is heard out behind what a client has said last, so that it arrives. A few round trips are enough.
const HEARD_OUT: Duration = Duration::from_millis(500);

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
        lease.opened(call.journal.status, opened.since(lease.picked_at()), opened);
    }
    let downstream = relay(call, up, policy).await?;
    Ok(Exchanged { downstream, upstream_reusable: false })
}

/// Bytes both ways until both sides have ended. Each side's end is passed on to the other (half-close).
pub(crate) async fn relay(call: &mut Call<'_>, up: &mut Stream, policy: &Policy) -> Result<Fate, Failure> {
    let ways = carry(call, up, policy).await?;
    call.journal.ended = Some(now());
    if ways.downward != Way::Over {
        linger(call, up).await;
    }
    Ok(if ways.upward == Way::Over { Fate::Close } else { Fate::Linger })
}

async fn carry(call: &mut Call<'_>, up: &mut Stream, policy: &Policy) -> Result<Ways, Failure> {
    let _open = call.worker.metrics.tunnel();
    // A tunnel lives as long as it is used: the total deadline is for requests.
    let mut patience = Patience::new(NEVER, None);
    let mut ways = Ways::default();
    let mut upward_first = true;
    let mut left = None;
    poll_fn(|cx| {
        // In turn: a direction that never has to wait uses up what a task may do at a time.
        for upward in [upward_first, !upward_first] {
            ways.poll(call, cx, up, upward);
        }
        upward_first = !upward_first;
        if ways.are_done() {
            return Poll::Ready(ways.broken.filter(|_| !is_closing(call)).map_or(Ok(()), Err));
        }
        // What is thrown away is no step: nobody keeps a tunnel up with that.
        let steps = call.workspace.upload.steps.wrapping_add(call.workspace.download.steps);
        let (idle, sinks) = (policy.timeouts.tunnel_idle, [&*up, &*call.down]);
        if left.is_none() {
            left = ways.who_has_left(call, cx);
            if left.is_some() {
                patience.end_when_taken();
            }
        }
        let timeout = left.map_or(idle, |side| idle.min(side.last_words()));
        let late = patience.poll(call, cx, steps, timeout, &sinks);
        late.map(|()| {
            Err(match left {
                _ if call.worker.is_stopping() => Failure::new(Stage::Tunnel, Cause::DrainDeadline),
                Some(side) => side.gone(),
                None => Failure::new(Stage::Tunnel, Cause::TunnelIdle),
            })
        })
    })
    .await?;
    // Each side hears of the end if it can.
    let _ = poll_fn(|cx| Poll::Ready((call.down.poll_shutdown(cx), up.poll_shutdown(cx)))).await;
    Ok(ways)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Endpoint,
}

impl Side {
    /// How long the other one may take none of what it has said last.
    fn last_words(self) -> Duration {
        match self {
            Self::Client => LAST_WORDS_UP,
            Self::Endpoint => last_words::PATIENCE,
        }
    }

    fn gone(self) -> Failure {
        let cause = match self {
            Self::Client => Cause::TunnelClientGone,
            Self::Endpoint => Cause::TunnelEndpointGone,
        };
        Failure::new(Stage::Tunnel, cause)
    }
}

/// How one direction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    /// Nobody takes what its source says any more: it is read and thrown away, so that the source gets to read what still comes.
    Vain,
    /// Its source has ended.
    Over,
}

/// Both directions, and the first side that broke off before it had ended.
#[derive(Debug, Default)]
struct Ways {
    upward: Way,
    downward: Way,
    broken: Option<Failure>,
}

impl Ways {
    fn are_done(&self) -> bool {
        self.upward != Way::Open && self.downward != Way::Open
    }

    /// Nothing can be said to it any more. It may not be read either, where the other side does not take what it said before.
    fn who_has_left(&self, call: &Call<'_>, cx: &mut Context<'_>) -> Option<Side> {
        match (self.upward, self.downward) {
            (_, Way::Vain) => Some(Side::Client),
            (Way::Vain, _) => Some(Side::Endpoint),
            _ => call.down.poll_broken_off(cx).is_ready().then_some(Side::Client),
        }
    }

    fn poll(&mut self, call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream, upward: bool) {
        let way = if upward { self.upward } else { self.downward };
        let client_has_ended = self.upward == Way::Over;
        let way = match way {
            Way::Over => Way::Over,
            Way::Vain => {
                let source = if upward { &*call.down } else { &*up };
                if poll_forget(call.worker, cx, source).is_ready() { Way::Over } else { Way::Vain }
            }
            Way::Open => match poll_pump(call, cx, up, upward) {
                Poll::Pending => Way::Open,
                Poll::Ready(Ok(())) => self.pass_end(call, cx, up, upward),
                Poll::Ready(Err(PumpError::SinkBroken(kind))) => {
                    cx.waker().wake_by_ref(); // to look at the other direction, and at what is thrown away
                    let sink = if upward { &*up } else { &*call.down };
                    self.handle_broken_sink(kind, sink, upward)
                }
                Poll::Ready(Err(_)) => self.handle_broken_source(upward),
            },
        };
        if !upward && self.downward == Way::Open && way == Way::Over && !client_has_ended {
            // Who has heard the client, and ends in good order, may have done all that was to be done.
            let is_rude = self.broken.is_some() || call.workspace.upload.body_bytes == 0;
            call.journal.left_without_a_word = is_rude && call.workspace.download.body_bytes == 0;
        }
        *(if upward { &mut self.upward } else { &mut self.downward }) = way;
    }

    /// A side that ended in good order ends the other's reading; one that broke off does not, unless it had said its last before.
    fn pass_end(&self, call: &mut Call<'_>, cx: &mut Context<'_>, up: &mut Stream, upward: bool) -> Way {
        if self.broken.is_some() && !is_closing(call) {
            return Way::Over;
        }
        let sink = if upward { up } else { &mut *call.down };
        if sink.poll_shutdown(cx).is_ready() { Way::Over } else { Way::Open }
    }

    /// What that side has said before is still to be had, and is passed on: its connection ends by itself behind that. How, is
    /// seen in the reading, unless the write was told; a reset behind an orderly end is no more than a broken pipe (Linux).
    fn handle_broken_sink(&mut self, kind: ErrorKind, sink: &Stream, upward: bool) -> Way {
        let opposite = if upward { self.downward } else { self.upward };
        let is_told =
            !matches!(kind, ErrorKind::BrokenPipe | ErrorKind::NotConnected) && !sink.ends_messages();
        if opposite == Way::Vain || opposite == Way::Open && is_told {
            let sink = if upward { Side::Endpoint } else { Side::Client };
            self.broken.get_or_insert(sink.gone());
        }
        Way::Vain
    }

    /// All that it has said has been passed on, and what it was to be told is in vain. What it has not said is missing, and an end in good
    /// order would hide that, though the other side may have said its last word.
    fn handle_broken_source(&mut self, upward: bool) -> Way {
        let opposite = if upward { &mut self.downward } else { &mut self.upward };
        if *opposite != Way::Over {
            *opposite = Way::Vain;
        }
        let source = if upward { Side::Client } else { Side::Endpoint };
        self.broken.get_or_insert(source.gone());
        Way::Over
    }
}

/// Reads and throws away until the source ends, or it is somebody else's turn.
fn poll_forget(worker: &Worker, cx: &mut Context<'_>, source: &Stream) -> Poll<()> {
    let mut left = TURN_BYTES;
    while left > 0 {
        match ready!(worker.workspaces.with_scratch(|room| source.poll_read(cx, room))) {
            Ok(length) if length > 0 => left = left.saturating_sub(length as u64),
            _ => return Poll::Ready(()),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// An endpoint that still sends is heard out for a while: closing over unread bytes would reset the connection, and take with it
/// what the client has said last.
async fn linger(call: &mut Call<'_>, up: &mut Stream) {
    let worker = call.worker;
    let heard_out = async {
        if poll_fn(|cx| up.poll_shutdown(cx)).await.is_ok() {
            poll_fn(|cx| poll_forget(worker, cx, up)).await;
        }
    };
    // Late or not, the connection ends here.
    let _ = call.alarm.within(after(now(), HEARD_OUT), heard_out).await;
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

fn poll_pump(
    call: &mut Call<'_>,
    cx: &mut Context<'_>,
    up: &Stream,
    upward: bool,
) -> Poll<Result<(), PumpError>> {
    let (workspace, down) = (&mut *call.workspace, &*call.down);
    if upward {
        workspace.upload.poll(cx, down, &mut workspace.input, up)
    } else {
        workspace.download.poll(cx, up, &mut workspace.answer, down)
    }
}

/// One side of a WebSocket has closed it, and the other one may just say so as well (RFC 6455 §5.5.1): from then on the
/// connections may end in any way, and servers of asyncio forget theirs as soon as they have said their last.
fn is_closing(call: &Call<'_>) -> bool {
    call.workspace.upload.has_closed() || call.workspace.download.has_closed()
}
