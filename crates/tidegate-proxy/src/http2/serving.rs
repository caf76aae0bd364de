//! The streams of a client's connection, served like requests of HTTP/1 by tasks that take one after the other.

use super::downstream::Shared;
use super::stream::Http2Stream;
use super::websocket;
use crate::answer;
use crate::downstream::begin;
use crate::failure::{Cause, Failure, Stage};
use crate::panics::unless_it_panics;
use crate::record::record;
use crate::request::{self, Call, Fate};
use crate::stream::Stream;
use crate::timers::{Alarm, now};
use crate::turned_away;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tidegate_http::request::RequestError;
use tidegate_http::{Progress, Version};
use tidegate_http2::{Tunnel, Wanted};

/// Whoever waits for this long before he takes a request back has wanted an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Room behind a head for what arrives of a body.
const BODY_ROOM: usize = 8 * 1024;

/// Tasks of one connection that wait for a stream.
const WAITING_MAX: usize = 64;

/// Memory for a head that is kept for another one.
const SPARE_HEAD_BYTES_MAX: usize = 4 * 1024;

/// A stream that has just begun.
pub(super) struct NewStream {
    pub(super) stream: Http2Stream,
    /// `None`: its head is too long.
    pub(super) wanted: Option<Wanted>,
    /// The head, as HTTP/1.1 has it, without the empty line.
    pub(super) head: Vec<u8>,
}

/// Where a task is given its next stream.
#[derive(Default)]
pub(super) struct Desk {
    stream: Cell<Option<NewStream>>,
    waker: Cell<Option<Waker>>,
    /// Nothing more comes.
    is_closed: Cell<bool>,
}

impl Desk {
    fn put(&self, stream: NewStream) {
        self.stream.set(Some(stream));
        self.wake();
    }

    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// `None`: it is time to go home.
    async fn next(&self) -> Option<NewStream> {
        poll_fn(|cx| match self.stream.take() {
            Some(stream) => Poll::Ready(Some(stream)),
            None if self.is_closed.get() => Poll::Ready(None),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// Gives the stream to a task.
pub(super) fn hand_out(shared: &Rc<Shared>, stream: NewStream) {
    shared.begun.set(shared.begun.get().saturating_add(1));
    let waiting = shared.waiting.borrow_mut().pop();
    if let Some(desk) = waiting {
        return desk.put(stream);
    }
    let desk = Rc::new(Desk::default());
    desk.put(stream);
    let shared = Rc::clone(shared);
    tokio::task::spawn_local(async move {
        let served = unless_it_panics(Box::pin(serve_streams(Rc::clone(&shared), desk)));
        if served.await.is_none() {
            shared.open.worker.metrics.panics.increment();
        }
    });
}

/// Serves one stream after the other, until there is nothing to wait for.
async fn serve_streams(shared: Rc<Shared>, desk: Rc<Desk>) {
    let alarm = shared.open.worker.timers.alarm();
    while let Some(stream) = desk.next().await {
        serve_stream(&shared, stream, &alarm).await;
        if shared.is_over.get() || shared.waiting.borrow().len() >= WAITING_MAX {
            return;
        }
        shared.waiting.borrow_mut().push(Rc::clone(&desk));
    }
}

/// The life of one stream.
async fn serve_stream(shared: &Rc<Shared>, new: NewStream, alarm: &Alarm) {
    let NewStream { stream, wanted, mut head } = new;
    let worker = &shared.open.worker;
    let lent = worker.workspaces.lend();
    let is_one_too_many = lent.is_none();
    if is_one_too_many && shared.link.has_stalled.get() {
        // It would not take an answer, which would be kept for it.
        worker.metrics.limit("requests");
        return stream.refuse();
    }
    let mut workspace = lent.unwrap_or_else(|| worker.workspaces.lend_for_a_moment());
    let is_taken_back = stream.is_closed();
    let mut stream = Stream::Http2(stream);
    let (views, listener) = (worker.views(), shared.listener.current());
    let mut call = begin(worker, &views, &listener, &mut stream, &shared.address, alarm, &mut workspace);
    call.journal.started = now();
    let read = match wanted {
        Some(wanted) => {
            end_head(wanted, || worker.random(), &mut head);
            read_head(&mut call, &head)
        }
        None => Err(too_large(&call)),
    };
    keep_memory(shared, head);
    let served = match read {
        Ok(()) if is_taken_back => Err(Failure::new(Stage::Head, Cause::ClientGone)),
        Ok(()) if is_one_too_many => Err(Failure::new(Stage::Policy, Cause::RequestLimit)),
        Ok(()) => request::serve(&mut call).await,
        Err(failure) => Err(failure),
    };
    let fate = match served {
        Ok(fate) => fate,
        Err(failure) if is_one_too_many => turned_away::answer_at_once(&mut call, failure).await,
        Err(failure) => {
            let is_hasty = now().since(call.journal.started) < PATIENCE;
            if failure.cause == Cause::ClientGone && !call.journal.begun && is_hasty {
                shared.take_back();
            }
            call.journal.failure = Some(failure);
            answer::fail(&mut call, failure).await
        }
    };
    record(&mut call);
    match stream {
        Stream::Http2(stream) if fate == Fate::Abort && is_one_too_many => stream.refuse(),
        mut stream if matches!(fate, Fate::Abort | Fate::CutShort) => stream.reset_on_close(),
        _ => {}
    }
}

/// What HTTP/1.1 has in addition.
fn end_head(wanted: Wanted, random: impl Fn() -> u64, head: &mut Vec<u8>) {
    if wanted.tunnel == Some(Tunnel::WebSocket) {
        for piece in ["Sec-WebSocket-Key: ", &websocket::key([random(), random()]), "\r\n"] {
            head.extend_from_slice(piece.as_bytes());
        }
    }
    head.extend_from_slice(b"\r\n");
}

fn too_large(call: &Call<'_>) -> Failure {
    let limit_bytes = call.listener.head_limits.head_bytes_max;
    Failure::new(Stage::Head, Cause::Request(RequestError::HeadTooLarge { limit_bytes }))
}

fn keep_memory(shared: &Shared, head: Vec<u8>) {
    let mut spare = shared.spare_heads.borrow_mut();
    if spare.len() < WAITING_MAX && head.capacity() <= SPARE_HEAD_BYTES_MAX {
        spare.push(head);
    }
}

/// The same strict reading as for HTTP/1.
fn read_head(call: &mut Call<'_>, head: &[u8]) -> Result<(), Failure> {
    let limits = call.listener.head_limits;
    let workspace = &mut *call.workspace;
    workspace.input.append_rest(head);
    let bytes = workspace.input.readable();
    let parsed = workspace.request_parser.parse(bytes, &limits, &mut workspace.request);
    let parsed = parsed.map_err(|error| {
        call.journal.refuse(&workspace.request, bytes);
        Failure::new(Stage::Head, Cause::Request(error))
    })?;
    match parsed {
        Progress::NeedMore => Err(Failure::new(Stage::Head, Cause::ClientGone)), // not from a whole head
        Progress::Complete { head_bytes } => {
            workspace.input.pin(head_bytes);
            workspace.input.reserve_behind_head(BODY_ROOM);
            workspace.request.version = Version::Http2;
            call.journal.head_read = true;
            Ok(())
        }
    }
}
