//! Connections to an endpoint that speaks HTTP/2, each shared by as many requests as it takes.

use super::PING_INTERVAL;
use super::breach::Breach;
use super::io::Io;
use super::request::Http2Request;
use super::settled::Settled;
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use bytes::Bytes;
use h2::Ping;
use h2::client::{Builder, SendRequest};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;
use tidegate_balance::Moment;
use tokio::sync::Notify;

/// What an endpoint may send of an answer before it is read: of one, and of all of a connection.
const WINDOW_BYTES: (u32, u32) = (256 * 1024, 4 * 1024 * 1024);

/// What of a request may wait until the endpoint takes it.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// What a request may take in addition when its endpoint speaks HTTP/2.
pub const ENDPOINT_REQUEST_BYTES: usize = WINDOW_BYTES.0 as usize + SEND_BYTES_MAX;

/// Requests at once on one connection, whatever the endpoint allows: what is lost with it is bounded.
const STREAMS_MAX: usize = 100;

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Http2Pool {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Somebody dials: others wait for what comes of it.
    dials: Cell<bool>,
    dialled: Notify,
    /// Requests at once that the endpoint allowed last: what a new connection begins with, before it says so itself.
    allowed: Cell<Option<usize>>,
}

#[derive(Debug)]
struct Shared {
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    is_encrypted: bool,
    settled: Rc<Settled>,
    /// It ended, or takes no more requests.
    ends: Cell<bool>,
    /// Why it ended, if that is known.
    breach: Cell<Option<Breach>>,
    /// When it was first seen without a stream.
    idle_since: Cell<Option<Moment>>,
}

/// One of the streams that a connection may have at once.
#[derive(Debug)]
pub(super) struct Occupied(Rc<Shared>);

impl Occupied {
    /// The connection is not good for further requests.
    pub(super) fn connection_ends(&self) {
        self.0.ends.set(true);
    }

    /// What the endpoint has done wrong, going by how a stream ended.
    pub(super) fn breach_by(&self, error: &h2::Error) -> Option<Breach> {
        self.0.breach_by(Some(error))
    }

    /// What the endpoint has done wrong, going by how all of the connection ended.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.0.breach.get()
    }

    /// Whether the endpoint takes tunnels (RFC 8441 §3), as soon as it has said so; `None`: the connection ended before.
    pub(super) fn takes_tunnels(&self) -> impl Future<Output = Option<bool>> + use<> {
        let shared = Rc::clone(&self.0);
        async move {
            while !shared.settled.has_come() {
                if shared.ends.get() {
                    return None;
                }
                shared.settled.be_told().await;
            }
            Some(shared.sender.is_extended_connect_protocol_enabled())
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.0.is_encrypted { "https" } else { "http" }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// The right to dial, which nobody else has at the time.
#[derive(Debug)]
pub(crate) struct Dialling<'a>(&'a Http2Pool);

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.dials.set(false);
        self.0.dialled.notify_waiters();
    }
}

impl Http2Pool {
    /// Room on a connection that stands.
    pub(crate) fn checkout(&self) -> Option<Http2Request> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.ends.get());
        if let Some(known) = connections.first() {
            self.allowed.set(Some(known.sender.current_max_send_streams()));
        }
        let shared = connections.iter().find(|connection| connection.has_room())?;
        Some(shared.occupy())
    }

    /// The right to dial, or what somebody else's dialling brought.
    pub(crate) async fn dial_or_wait(&self) -> Option<Dialling<'_>> {
        let dialled = self.dialled.notified();
        if self.dials.replace(true) {
            dialled.await;
            return None;
        }
        Some(Dialling(self))
    }

    /// Makes a new connection one of HTTP/2 and keeps it; `guard` lives as long as it does.
    pub(crate) async fn adopt<G: 'static>(
        &self,
        stream: Stream,
        alarm: Alarm,
        guard: G,
    ) -> Result<Http2Request, h2::Error> {
        let is_encrypted = stream.is_encrypted();
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW_BYTES.0)
            .initial_connection_window_size(WINDOW_BYTES.1)
            .max_send_buffer_size(SEND_BYTES_MAX)
            .initial_max_send_streams(self.allowed.get().unwrap_or(STREAMS_MAX))
            .enable_push(false);
        let settled = Rc::new(Settled::default());
        let io = Io::new(stream, Rc::clone(&settled));
        let (sender, connection) = builder.handshake::<_, Bytes>(io).await?;
        let shared = Rc::new(Shared {
            sender,
            streams: Cell::new(0),
            is_encrypted,
            settled: Rc::clone(&settled),
            ends: Cell::new(false),
            breach: Cell::new(None),
            idle_since: Cell::new(None),
        });
        tokio::task::spawn_local(drive(Rc::downgrade(&shared), settled, connection, alarm, guard));
        let request = shared.occupy();
        self.connections.borrow_mut().push(shared);
        Ok(request)
    }

    /// Keeps nothing more: what is under way goes on.
    pub(crate) fn forget(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Closes what has ended, or what nobody has used for so long.
    pub(crate) fn sweep(&self, now: Moment, idle_timeout: Duration) {
        self.connections.borrow_mut().retain(|connection| {
            let is_idle = connection.streams.get() == 0;
            let since = is_idle.then(|| connection.idle_since.get().unwrap_or(now));
            connection.idle_since.set(since);
            !connection.ends.get() && since.is_none_or(|since| after(since, idle_timeout) > now)
        });
    }
}

impl Shared {
    fn has_room(&self) -> bool {
        self.streams.get() < STREAMS_MAX.min(self.sender.current_max_send_streams())
    }

    fn breach_by(&self, error: Option<&h2::Error>) -> Option<Breach> {
        Breach::of(error, self.settled.has_come())
    }

    fn occupy(self: &Rc<Self>) -> Http2Request {
        self.streams.set(self.streams.get() + 1);
        Http2Request::new(self.sender.clone(), Occupied(Rc::clone(self)))
    }
}

/// Moves frames until the connection ends, and asks now and then whether the endpoint is there.
async fn drive<G>(
    shared: Weak<Shared>,
    settled: Rc<Settled>,
    mut connection: h2::client::Connection<Io, Bytes>,
    alarm: Alarm,
    guard: G,
) {
    let mut pings = connection.ping_pong();
    let (mut due, mut awaits_pong) = (after(now(), PING_INTERVAL), false);
    let (mut is_armed, mut is_settled) = (false, false);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Some(ended));
        }
        if !is_settled && settled.has_come() {
            is_settled = true;
            settled.tell();
        }
        if !is_armed {
            is_armed = true;
            alarm.arm(due, cx);
        }
        if let Some(pings) = &mut pings
            && awaits_pong
            && pings.poll_pong(cx).is_ready()
        {
            awaits_pong = false;
        }
        if !alarm.fired() || now() < due {
            return Poll::Pending;
        }
        if awaits_pong {
            return Poll::Ready(None); // nobody there
        }
        if shared.upgrade().is_some_and(|shared| shared.streams.get() > 0) {
            awaits_pong = pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
            cx.waker().wake_by_ref();
        }
        due = after(now(), PING_INTERVAL);
        alarm.arm(due, cx);
        Poll::Pending
    })
    .await;
    if let Some(shared) = shared.upgrade() {
        shared.ends.set(true);
        shared.breach.set(ended.and_then(|ended| shared.breach_by(ended.err().as_ref())));
    }
    settled.tell();
    drop(guard);
}
