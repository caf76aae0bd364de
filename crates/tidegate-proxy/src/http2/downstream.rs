//! One HTTP/2 client connection: each of its streams is a request, served like one of HTTP/1 by a task of its own.

use super::body::SEND_BYTES_MAX;
use super::guard::{Fault, Guard, Verdict, Watch};
use super::head;
use super::io::Io;
use super::misconduct::Misconduct;
use super::stream::Http2Stream;
use super::vigil::{Due, Vigil};
use super::window::{NARROW_BYTES, Window};
use crate::answer;
use crate::client::ClientAddress;
use crate::downstream::{Connection, Parts, begin, unless_it_panics};
use crate::failure::{Cause, Failure, Stage};
use crate::listener::{ListenerState, Open};
use crate::record::{Incident, record, record_incident};
use crate::request::{self, Call, Fate};
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::tls::Agreed;
use crate::turned_away;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, Reason, RecvStream};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tidegate_balance::Moment;
use tidegate_http::Progress;
use tidegate_http::Version;

/// What a connection of HTTP/2 begins with (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that break rules, of one connection, before it ends (CVE-2025-8671).
const FAULTY_STREAMS_MAX: usize = 100;

/// Streams that a client takes back before they are answered (CVE-2023-44487), or that are reset for how it asked: so
/// many, and half of all, are too many.
const TAKEN_BACK_MAX: u32 = 100;

/// Room behind a head for what arrives of a body.
const BODY_ROOM: usize = 8 * 1024;

/// Tasks of one connection that wait for a stream.
const WAITING_MAX: usize = 64;

/// What the streams of a connection have in common.
pub(crate) struct Shared {
    pub(super) address: ClientAddress,
    pub(super) local: Option<SocketAddr>,
    pub(super) server_name: Option<Box<str>>,
    pub(super) client_cert: Box<[u8]>,
    pub(super) is_encrypted: bool,
    pub(super) agreed: Option<Rc<Agreed>>,
    listener: Rc<ListenerState>,
    open: Open,
    /// Where heads are written out.
    scratch: Cell<Vec<u8>>,
    /// Tasks that wait for a stream to serve: they cost more to make than a stream takes.
    waiting: RefCell<Vec<Rc<Desk>>>,
    /// Those that wait are to go home.
    is_over: Cell<bool>,
    streams: Cell<u32>,
    /// All that there have been, and those that the client took back before they were answered.
    begun: Cell<u32>,
    taken_back: Cell<u32>,
    watch: Rc<Watch>,
    began: Moment,
    /// An endpoint takes what the client sends.
    pub(super) wants_wide: Cell<bool>,
}

/// The life of a connection that speaks HTTP/2. `received` has been read from it already.
pub(crate) async fn serve(connection: Box<Connection>, received: Vec<u8>) {
    let Parts { open, listener, stream, client, alarm } = connection.into_parts();
    let current = listener.current();
    let shared = Rc::new(Shared {
        address: ClientAddress::new(&client),
        local: stream.local_address(),
        server_name: stream.server_name().map(Into::into),
        client_cert: stream.client_cert().into(),
        is_encrypted: stream.is_encrypted(),
        agreed: stream.agreed().map(Rc::clone),
        listener,
        open,
        scratch: Cell::default(),
        waiting: RefCell::default(),
        is_over: Cell::new(false),
        streams: Cell::new(0),
        begun: Cell::new(0),
        taken_back: Cell::new(0),
        watch: Watch::new(PREFACE.len()),
        began: now(),
        wants_wide: Cell::new(false),
    });
    let mut builder = Builder::new();
    builder
        .initial_window_size(NARROW_BYTES)
        .max_concurrent_streams(current.streams_max.unwrap_or(1))
        .max_header_list_size(current.head_limits.head_bytes_max as u32)
        .max_local_error_reset_streams(Some(FAULTY_STREAMS_MAX))
        .max_send_buffer_size(SEND_BYTES_MAX)
        .enable_connect_protocol();
    let io = Io::new(stream, received).watched_by(Rc::clone(&shared.watch));
    let handshake = builder.handshake::<_, Bytes>(io);
    let deadline = after(now(), current.head_timeout);
    let driven = match alarm.within(deadline, handshake).await {
        Ok(Ok(driven)) => driven,
        Ok(Err(error)) if error.is_io() => return, // the client is gone
        Ok(Err(_)) => return shared.tell(Cause::Http2(Misconduct::Protocol)),
        Err(_) => return shared.tell(Cause::HeadTimeout),
    };
    let head_alarm = shared.open.worker.timers.alarm();
    let guard = Guard::new(Rc::clone(&shared.watch), head_alarm, current.head_timeout);
    Driver::new(shared, driven, guard).run(&alarm).await;
}

/// What keeps a connection going: frames in and out, new streams, and its end.
struct Driver {
    shared: Rc<Shared>,
    connection: h2::server::Connection<Io, Bytes>,
    pings: Option<h2::PingPong>,
    guard: Guard,
    vigil: Vigil,
    window: Window,
    /// It has been said that no more streams are taken.
    ends: bool,
    /// And why, by us and not by the library.
    is_broken_off: bool,
}

impl Driver {
    fn new(shared: Rc<Shared>, mut connection: h2::server::Connection<Io, Bytes>, guard: Guard) -> Self {
        let pings = connection.ping_pong();
        Self {
            shared,
            connection,
            pings,
            guard,
            vigil: Vigil::new(),
            window: Window::default(),
            ends: false,
            is_broken_off: false,
        }
    }

    async fn run(mut self, alarm: &Alarm) {
        poll_fn(|cx| self.poll(cx, alarm)).await;
        self.shared.dismiss();
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        let polled = self.poll_streams(cx);
        self.tell_of_misconduct();
        if polled.is_ready() {
            return polled;
        }
        if self.shared.wants_wide.get() {
            let is_done = self.window.widen(&mut self.connection, &self.shared.open.worker);
            self.shared.wants_wide.set(!is_done);
        }
        match self.guard.poll(cx) {
            Poll::Ready(Verdict::End(fault)) => {
                self.break_off(fault);
                return poll_again(cx);
            }
            Poll::Ready(Verdict::Over) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        if self.shared.open.worker.is_draining() && !self.ends {
            self.say_goodbye();
            return poll_again(cx);
        }
        let busy = self.shared.streams.get() > 0;
        if self.vigil.handle_streams(busy, now) {
            self.shared.is_over.set(false);
            alarm.arm(self.vigil.due, cx);
        }
        if self.vigil.awaits_pong() && self.hears_pong(cx) {
            self.vigil.handle_pong();
        }
        if !alarm.fired() {
            return Poll::Pending;
        }
        if self.shared.open.worker.is_stopping() && !busy {
            return Poll::Ready(());
        }
        self.poll_due(cx, alarm)
    }

    /// What the library had to end.
    fn tell_of_misconduct(&mut self) {
        for _ in 0..self.shared.watch.take_malformed() {
            self.shared.tell(Cause::Http2(Misconduct::StreamMalformed));
        }
        let misconduct = self.shared.watch.take_goodbye().and_then(Misconduct::of);
        if let Some(misconduct) = misconduct.filter(|_| !self.is_broken_off) {
            self.shared.tell(Cause::Http2(misconduct));
        }
    }

    /// Takes what begins. Ready when nothing more can.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(begun) = ready!(self.connection.poll_accept(cx)) {
            let Ok((request, respond)) = begun else { break };
            self.begin(request, respond);
        }
        Poll::Ready(())
    }

    /// The alarm has fired: for what is due, or for a drain, which has begun.
    fn poll_due(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        let now = now();
        if self.vigil.due > now {
            alarm.arm(self.vigil.due, cx);
            return Poll::Pending;
        }
        let keep_alive = self.shared.listener.current().keep_alive_timeout;
        let due = self.vigil.handle_due(now, keep_alive, self.ends, self.shared.watch.has_heard());
        alarm.arm(self.vigil.due, cx);
        match due {
            Due::Ask => {
                let asked = self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
                if !asked {
                    self.vigil.handle_pong(); // one that was answered late is still on its way
                }
            }
            Due::Dismiss => {
                self.shared.dismiss();
                return Poll::Pending;
            }
            Due::End => return Poll::Ready(()),
            Due::Goodbye => self.say_goodbye(),
            Due::Wait => return Poll::Pending,
        }
        poll_again(cx)
    }

    fn say_goodbye(&mut self) {
        self.ends = true;
        self.connection.graceful_shutdown();
    }

    fn break_off(&mut self, fault: Fault) {
        let metrics = &self.shared.open.worker.metrics;
        match fault {
            Fault::Flood => metrics.limit("idle_frames"),
            Fault::Late => metrics.limit("http2_head"),
            Fault::TakenBack => metrics.limit("streams_taken_back"),
            Fault::WrongSize => {}
        }
        self.shared.tell(Misconduct::of_fault(fault).map_or(Cause::HeadTimeout, Cause::Http2));
        (self.ends, self.is_broken_off) = (true, true);
        self.connection.abrupt_shutdown(fault.reason());
    }

    fn hears_pong(&mut self, cx: &mut Context<'_>) -> bool {
        self.pings.as_mut().is_some_and(|pings| pings.poll_pong(cx).is_ready())
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let shared = &self.shared;
        shared.begun.set(shared.begun.get().saturating_add(1));
        shared.streams.set(shared.streams.get() + 1);
        let stream = NewStream { request, respond, running: Running(Rc::clone(shared)) };
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
}

/// What has just been said has to leave.
fn poll_again(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Where a task is given its next stream.
#[derive(Default)]
struct Desk {
    stream: Cell<Option<NewStream>>,
    waker: Cell<Option<Waker>>,
}

struct NewStream {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    running: Running,
}

impl Desk {
    fn put(&self, stream: NewStream) {
        self.stream.set(Some(stream));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// `None`: it is time to go home.
    async fn next(&self, shared: &Shared) -> Option<NewStream> {
        poll_fn(|cx| match self.stream.take() {
            Some(stream) => Poll::Ready(Some(stream)),
            None if shared.is_over.get() => Poll::Ready(None),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// Serves one stream after the other, until there is nothing to wait for.
async fn serve_streams(shared: Rc<Shared>, desk: Rc<Desk>) {
    while let Some(NewStream { request, respond, running }) = desk.next(&shared).await {
        serve_stream(&shared, request, respond).await;
        drop(running);
        if shared.waiting.borrow().len() >= WAITING_MAX {
            return;
        }
        shared.waiting.borrow_mut().push(Rc::clone(&desk));
    }
}

/// One stream, counted while it is served.
struct Running(Rc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    /// Those who wait for a stream go home.
    fn dismiss(&self) {
        self.is_over.set(true);
        for desk in self.waiting.take() {
            desk.wake();
        }
    }

    /// What went wrong with all of the connection, or with a stream before it was a request.
    fn tell(&self, cause: Cause) {
        let incident = Incident {
            worker: &self.open.worker,
            listener: &self.listener.current(),
            address: &self.address,
            protocol: Some("HTTP/2"),
            agreed: self.agreed.as_deref(),
            server_name: self.server_name.as_deref(),
            began: self.began,
            failure: Failure::new(Stage::Head, cause),
        };
        record_incident(&incident);
    }

    /// A stream that should not have been begun.
    fn takes_back(&self) {
        self.taken_back.set(self.taken_back.get().saturating_add(1));
        let taken_back = self.taken_back.get();
        if taken_back >= TAKEN_BACK_MAX && taken_back > self.begun.get() / 2 {
            self.watch.find(Fault::TakenBack);
        }
    }
}

/// The life of one stream.
async fn serve_stream(shared: &Rc<Shared>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let worker = &shared.open.worker;
    let (parts, source) = request.into_parts();
    let lent = worker.workspaces.lend();
    let is_one_too_many = lent.is_none();
    if is_one_too_many && shared.watch.has_stalled() {
        // It would not take an answer, which would be kept for it.
        worker.metrics.limit("requests");
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    let mut workspace = lent.unwrap_or_else(|| worker.workspaces.lend_for_a_moment());
    let mut written = shared.scratch.take();
    written.clear();
    let written_out = head::write_out(&parts, !source.is_end_stream(), worker.random(), &mut written);
    drop(parts);
    let Ok(wanted) = written_out else {
        shared.scratch.set(written);
        shared.takes_back();
        return respond.send_reset(Reason::PROTOCOL_ERROR);
    };
    let stream = Http2Stream::new(Rc::clone(shared), source, respond, wanted, workspace.place());
    let mut stream = Stream::Http2(Box::new(stream));
    let (view, listener, alarm) = (worker.view(), shared.listener.current(), worker.timers.alarm());
    let mut call = begin(worker, &view, &listener, &mut stream, &shared.address, &alarm, &mut workspace);
    call.journal.started = now();
    let head = read_head(&mut call, &written);
    shared.scratch.set(written);
    let served = match head {
        Ok(()) if is_one_too_many => Err(Failure::new(Stage::Policy, Cause::RequestLimit)),
        Ok(()) => request::serve(&mut call).await,
        Err(failure) => Err(failure),
    };
    let fate = match served {
        Ok(fate) => fate,
        Err(failure) if is_one_too_many => turned_away::answer_at_once(&mut call, failure).await,
        Err(failure) => {
            if failure.cause == Cause::ClientGone {
                shared.takes_back();
            }
            call.journal.failure = Some(failure);
            answer::fail(&mut call, failure).await
        }
    };
    record(&mut call);
    match stream {
        Stream::Http2(stream) if fate == Fate::Abort && is_one_too_many => stream.refuse(),
        stream if fate == Fate::Abort => stream.abort(),
        _ => {}
    }
}

/// The same strict reading as for HTTP/1.
fn read_head(call: &mut Call<'_>, written: &[u8]) -> Result<(), Failure> {
    let limits = call.listener.head_limits;
    let workspace = &mut *call.workspace;
    workspace.input.append_rest(written);
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
