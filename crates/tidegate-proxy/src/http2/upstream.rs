//! Connections to an endpoint that speaks HTTP/2, each shared by as many requests as it takes.

use super::PING_INTERVAL;
use super::breach::Breach;
use super::farewells::Farewells;
use super::guard::Spare;
use super::inquiry::{Due, Inquiry, Said};
use super::link::{Link, Taken};
use super::request::Http2Request;
use super::sharing::is_their_turn;
use super::websocket;
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::upstream::{Dialled, Slot, Slots, Upstream};
use crate::worker::Worker;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_balance::Moment;
use tidegate_http2::{Asks, Code, Connection, Fault, Progress};
use tokio::sync::Notify;

/// What an endpoint may send of an answer before it is read.
const WINDOW_BYTES: u32 = 256 * 1024;

/// What a request may take in addition when its endpoint speaks HTTP/2: that, and a head of its answer.
pub const ENDPOINT_REQUEST_BYTES: usize = WINDOW_BYTES as usize + 64 * 1024;

/// Requests at once on one connection, whatever the endpoint allows: what is lost with it is bounded.
const STREAMS_MAX: u32 = 100;

/// Heads are counted more strictly in HTTP/2: what is longer than may be as text is left to whoever reads that.
const HEAD_SPARE_TIMES: usize = 2;

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Http2Pool {
    connections: RefCell<Vec<Kept>>,
    /// So many dial, and so many others wait for what comes of it.
    dials: Cell<usize>,
    waiting: Cell<usize>,
    dialled: Notify,
    /// When a connection was made last.
    adopted_at: Cell<Moment>,
    /// Requests that wait for a slot.
    slots_wanted: Cell<usize>,
    /// Requests at once that the endpoint allowed last: what a new connection begins with, before it says so itself.
    allowed: Cell<Option<u32>>,
    farewells: Rc<Farewells>,
    /// Told of whenever one more request may fit on a connection that stands.
    room: Rc<Notify>,
}

/// A connection that may be used for more requests.
#[derive(Debug)]
struct Kept(Rc<Shared>);

impl Drop for Kept {
    /// It ends as soon as its last request has.
    fn drop(&mut self) {
        self.0.is_left.set(true);
        self.0.link.connection.borrow_mut().wake_driver();
    }
}

/// What the requests of one connection have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) link: Link,
    dialled: Option<Dialled>,
    /// What the endpoint has done wrong, if the connection has ended by that.
    pub(super) breach: Cell<Option<Breach>>,
    /// The endpoint has said what it allows, or the connection has ended: those are woken who wait for that.
    told: Notify,
    /// Of its pool.
    room: Rc<Notify>,
    farewells: Rc<Farewells>,
    /// Requests that were ever to be made on it.
    made: Cell<u32>,
    /// The endpoint was asked whether it stays.
    is_asked: Cell<bool>,
    /// While there are requests: one of the connections that the endpoint may have in use, where those are counted.
    slot: RefCell<Option<Slot>>,
    slot_since: Cell<Moment>,
    /// Nobody makes any more requests.
    is_left: Cell<bool>,
    /// When it was first seen without a request.
    idle_since: Cell<Option<Moment>>,
}

/// The right to dial.
#[derive(Debug)]
pub(crate) struct Dialling<'a>(&'a Http2Pool);

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.dials.update(|dials| dials - 1);
        self.0.dialled.notify_waiters();
    }
}

/// One that waits for what others dial.
struct Waiting<'a>(&'a Http2Pool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.update(|waiting| waiting - 1);
    }
}

/// One that waits for a slot.
struct WantsSlot<'a>(&'a Http2Pool);

impl Drop for WantsSlot<'_> {
    fn drop(&mut self) {
        self.0.slots_wanted.update(|wanted| wanted - 1);
    }
}

impl Http2Pool {
    /// Room on a connection that stands. `slots`: of those that may be in use, where they are counted; `slot`: one of them, for
    /// a connection that has none, if there is one already.
    pub(crate) fn checkout(
        &self,
        upstream: &Upstream,
        slots: Option<&Slots>,
        slot: &mut Option<Slot>,
    ) -> Option<Http2Request> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|kept| kept.0.takes_more(upstream));
        if let Some(known) = connections.first() {
            self.allowed.set(Some(known.0.link.connection.borrow().endpoint_streams_max()));
        }
        let others_want = slots.map_or(0, Slots::wanted) > self.slots_wanted.get();
        let mut takes_slot = |shared: &Shared| {
            slots.is_none_or(|slots| {
                !(others_want && shared.is_others_turn()) && shared.take_slot(slots, slot)
            })
        };
        let kept = connections.iter().find(|kept| kept.0.has_room() && takes_slot(&kept.0))?;
        Some(Shared::request(&kept.0))
    }

    pub(crate) fn adopted_at(&self) -> Moment {
        self.adopted_at.get()
    }

    /// The endpoint takes no requests at all for now, on a connection that stands: another one would be no better.
    pub(crate) fn is_paused(&self) -> bool {
        self.connections.borrow().iter().any(|Kept(shared)| {
            let connection = shared.link.connection.borrow();
            connection.is_settled() && connection.takes_more() && connection.endpoint_streams_max() == 0
        })
    }

    /// Until one more request may fit on a connection that stands.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Until it has one of these; for ever where there are none.
    pub(crate) async fn wait_for_slot(&self, slots: Option<&Slots>) -> Option<Slot> {
        let Some(slots) = slots else { return pending().await };
        self.slots_wanted.update(|wanted| wanted + 1);
        let _wanted = WantsSlot(self);
        slots.wait().await
    }

    /// The right to dial; or, where others dial already as much as is needed, until that brought something.
    pub(crate) async fn dial_or_wait(&self) -> Option<Dialling<'_>> {
        let dialled = self.dialled.notified();
        let dials = self.dials.get();
        if dials + self.waiting.get() < dials * self.room_expected() {
            self.waiting.update(|waiting| waiting + 1);
            let _waiting = Waiting(self);
            dialled.await;
            return None;
        }
        self.dials.set(dials + 1);
        Some(Dialling(self))
    }

    /// Requests that a new connection will take, as far as can be told.
    fn room_expected(&self) -> usize {
        let at_once = self.allowed.get().unwrap_or(STREAMS_MAX).clamp(1, STREAMS_MAX);
        self.farewells.usual().map_or(at_once, |usual| usual.min(at_once)) as usize
    }

    /// Makes a new connection one of HTTP/2 and keeps it; `guard` lives as long as it does. Heads of answers may have so many bytes.
    pub(crate) fn adopt<G: 'static>(
        &self,
        worker: &Rc<Worker>,
        (stream, dialled): (Stream, Option<Dialled>),
        head_bytes_max: usize,
        slot: Option<Slot>,
        guard: G,
    ) -> Http2Request {
        let asks = Asks {
            scheme: stream.scheme(),
            streams_max: self.allowed.get().unwrap_or(STREAMS_MAX).max(1),
            window_bytes: WINDOW_BYTES,
            head_bytes_max: head_bytes_max.saturating_mul(HEAD_SPARE_TIMES),
            accept_key: websocket::accept,
        };
        let shared = Rc::new(Shared {
            link: Link::new(Connection::to_endpoint(asks, STREAMS_MAX), stream),
            dialled,
            breach: Cell::new(None),
            told: Notify::new(),
            room: Rc::clone(&self.room),
            farewells: Rc::clone(&self.farewells),
            made: Cell::new(0),
            is_asked: Cell::new(false),
            slot: RefCell::new(slot),
            slot_since: Cell::new(now()),
            is_left: Cell::new(false),
            idle_since: Cell::new(None),
        });
        let driver = Driver::new(Rc::clone(&shared), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            driver.run().await;
            drop(guard);
        });
        let request = Shared::request(&shared);
        self.adopted_at.set(now());
        self.connections.borrow_mut().push(Kept(shared));
        request
    }

    /// Keeps nothing more: what is under way goes on.
    pub(crate) fn forget(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Closes what has ended, or what nobody has used for so long; and it is not for ever the turn of others.
    pub(crate) fn sweep(&self, upstream: &Upstream, now: Moment, idle_timeout: Duration) {
        self.room.notify_waiters();
        self.connections.borrow_mut().retain(|Kept(shared)| {
            let connection = shared.link.connection.borrow();
            let is_idle = connection.stream_count() == 0;
            let since = is_idle.then(|| shared.idle_since.get().unwrap_or(now));
            shared.idle_since.set(since);
            shared.takes_more(upstream) && since.is_none_or(|since| after(since, idle_timeout) > now)
        });
    }
}

impl Shared {
    fn request(shared: &Rc<Self>) -> Http2Request {
        shared.made.set(shared.made.get().saturating_add(1));
        Http2Request::new(Rc::clone(shared))
    }

    /// It stands, and leads to where the endpoint is.
    fn takes_more(&self, upstream: &Upstream) -> bool {
        let leads_there = self.dialled.as_ref().is_none_or(|dialled| dialled.holds(upstream));
        if !leads_there {
            self.slot.take(); // it is no connection to the endpoint any more
        }
        leads_there && self.link.connection.borrow().takes_more()
    }

    /// It should come to rest, for other workers want its slot.
    fn is_others_turn(&self) -> bool {
        self.slot.borrow().is_some() && is_their_turn(now().since(self.slot_since.get()))
    }

    /// The first of its requests makes it one of those in use. `false`: there are as many as may be.
    fn take_slot(&self, slots: &Slots, slot: &mut Option<Slot>) -> bool {
        let mut taken = self.slot.borrow_mut();
        if taken.is_none() {
            *taken = slot.take().or_else(|| slots.take());
            if taken.is_some() {
                self.slot_since.set(now());
                self.room.notify_waiters(); // for others that it has room for
            }
        }
        taken.is_some()
    }

    /// One of its requests is over.
    pub(super) fn handle_released(&self) {
        let connection = self.link.connection.borrow();
        if connection.stream_count() == 0 {
            self.slot.take();
            if connection.takes_more() {
                self.farewells.handle_none(self.made.get());
            }
        }
        drop(connection);
        self.room.notify_waiters();
    }

    /// A piece of a request has been sent. Of one that is the last, if the endpoint ends its connections as usual: whether it does is seen now,
    /// and not only when all that is under way is over.
    pub(super) fn handle_sent(&self) {
        if !self.farewells.are_due(self.made.get()) {
            return;
        }
        let mut connection = self.link.connection.borrow_mut();
        if self.farewells.are_due(connection.begun()) && !self.is_asked.replace(true) {
            connection.ask_whether_it_stays();
            connection.wake_driver();
        }
    }

    /// It has been asked, and stays.
    fn handle_stays(&self) {
        self.is_asked.set(false);
        if self.link.connection.borrow().takes_more() {
            self.farewells.handle_none(self.made.get());
            self.room.notify_waiters();
        }
    }

    fn has_room(&self) -> bool {
        let connection = self.link.connection.borrow();
        let most = connection.endpoint_streams_max().min(STREAMS_MAX);
        connection.stream_count() < most as usize && !self.farewells.are_due(self.made.get())
    }

    /// Whether the endpoint takes tunnels (RFC 8441 §3), as soon as it has said so; `None`: the connection ended before.
    pub(super) async fn takes_tunnels(&self) -> Option<bool> {
        loop {
            let told = self.told.notified();
            if self.link.connection.borrow().is_settled() {
                return Some(self.link.connection.borrow().takes_tunnels());
            }
            if self.link.connection.borrow().is_over() {
                return None;
            }
            told.await;
        }
    }
}

/// Moves frames until the connection ends, and asks now and then whether the endpoint is there.
struct Driver {
    shared: Rc<Shared>,
    worker: Rc<Worker>,
    /// What has come of a frame.
    rest: Vec<u8>,
    /// Memory for trailers, until they are known to be some.
    text: Vec<u8>,
    spare: Spare,
    alarm: Alarm,
    /// When to look whether anything has moved; `None`: not before there is a request.
    due: Option<Moment>,
    inquiry: Inquiry,
    was_settled: bool,
    has_left: bool,
    /// Requests at once, as the endpoint said last.
    allowed: u32,
}

impl Driver {
    fn new(shared: Rc<Shared>, worker: Rc<Worker>) -> Self {
        let alarm = worker.timers.alarm();
        Self {
            shared,
            worker,
            rest: Vec::new(),
            text: Vec::new(),
            spare: Spare::new(),
            alarm,
            due: None,
            inquiry: Inquiry::default(),
            was_settled: false,
            has_left: false,
            allowed: 0,
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.shared.link.connection.borrow_mut().lose(); // whoever still waits for an answer
        self.shared.told.notify_waiters();
        self.shared.room.notify_waiters();
        let link = &self.shared.link;
        if !link.is_gone.get() {
            // So that the other side, where it is encrypted, knows that nothing is missing; that does not wait.
            let _ = self.alarm.within(now(), poll_fn(|cx| link.poll_shutdown(cx))).await;
        }
        link.close();
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Rc::clone(&self.shared);
        let link = &shared.link;
        link.drive(cx);
        self.receive(cx);
        if !self.was_settled && link.connection.borrow().is_settled() {
            self.was_settled = true;
            shared.told.notify_waiters();
        }
        if link.connection.borrow_mut().take_stays() {
            shared.handle_stays();
        }
        if let Some(taken) = link.connection.borrow_mut().take_taken() {
            shared.farewells.handle_goodbye(taken);
        }
        if !self.has_left && !link.connection.borrow().takes_more() {
            self.has_left = true;
            shared.room.notify_waiters(); // another connection may have some
        }
        let allowed = link.connection.borrow().endpoint_streams_max();
        if std::mem::replace(&mut self.allowed, allowed) < allowed {
            shared.room.notify_waiters();
        }
        let is_idle = link.connection.borrow().stream_count() == 0;
        if is_idle && shared.is_left.get() {
            link.connection.borrow_mut().break_off(Code::NO_ERROR);
        }
        self.watch(cx, !is_idle);
        if !link.is_gone.get() {
            link.flush(cx); // what has not left by then was never seen
        }
        let mut connection = link.connection.borrow_mut();
        connection.rest();
        let is_over = connection.is_over() && (connection.unsent().is_empty() || is_idle);
        if link.is_gone.get() || is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn receive(&mut self, cx: &mut Context<'_>) {
        let (shared, worker) = (Rc::clone(&self.shared), Rc::clone(&self.worker));
        let mut rest = std::mem::take(&mut self.rest);
        shared.link.receive(cx, &worker.workspaces, &mut rest, |bytes| self.take_frames(bytes));
        self.rest = rest;
    }

    /// Takes whole frames.
    fn take_frames(&mut self, bytes: &[u8]) -> Taken {
        let mut taken = 0;
        let fault = loop {
            let mut connection = self.shared.link.connection.borrow_mut();
            match connection.receive(bytes.get(taken..).unwrap_or_default(), &mut self.text) {
                Progress::NeedMore => return Taken { length: taken, goes_on: !connection.is_over() },
                Progress::Taken(length) | Progress::Begun(length, _) => taken += length,
                Progress::Exhausted if self.spare.replenish(&mut connection.budget) => {}
                Progress::Exhausted => break Fault::Flood,
                Progress::Fault(fault) => break fault,
            }
        };
        let mut connection = self.shared.link.connection.borrow_mut();
        let breach = if connection.is_settled() { Breach::Connection } else { Breach::NotSpoken };
        self.shared.breach.set(Some(breach));
        connection.break_off(fault.code());
        Taken { length: taken, goes_on: false }
    }

    /// While there are requests and nothing moves, the endpoint is asked whether it is there.
    fn watch(&mut self, cx: &mut Context<'_>, is_busy: bool) {
        let link = &self.shared.link;
        let Some(due) = self.due else {
            if is_busy {
                link.has_heard.set(false);
                self.arm(cx);
            }
            return;
        };
        let now = now();
        if !self.alarm.fired() || now < due {
            return;
        }
        let mut connection = link.connection.borrow_mut();
        let said = Said {
            anything: link.has_heard.take(),
            answers: connection.take_answering(),
            requests: connection.begun(),
        };
        match self.inquiry.handle_due(is_busy, said, now) {
            Due::Ask => connection.ask(),
            Due::End => link.is_gone.set(true),
            Due::Rest => return self.due = None,
            Due::Wait => {}
        }
        drop(connection);
        self.arm(cx);
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let due = after(now(), PING_INTERVAL);
        self.due = Some(due);
        self.alarm.arm(due, cx);
    }
}
