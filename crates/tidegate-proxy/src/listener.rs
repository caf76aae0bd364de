//! Accepting: from a listening socket to connections within the limits. Knows no HTTP.

use crate::client::{Client, Peer};
use crate::downstream::{self, Connection};
use crate::entrance::Entrance;
use crate::metrics::{ListenerMetrics, Resolver};
use crate::snapshot::Listener;
use crate::stream::Stream;
use crate::timers::{after, now};
use crate::tls::TlsStream;
use crate::transport::Transport;
use crate::worker::Worker;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tidegate_sys::{Presence, descriptor_limit, is_out_of_descriptors, lowest_free_descriptor, set_presence};
use tokio::sync::Notify;

/// How long accepting pauses when descriptors have run out: doubling from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// One in so many descriptors. Endpoints' connections are shared and used again, so that they need fewer than clients'.
const KEPT_FOR_ENDPOINTS: u64 = 4;

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// What a worker knows of a listener; connections follow its changes.
#[derive(Debug)]
pub(crate) struct ListenerState {
    listener: RefCell<Arc<Listener>>,
    pub(crate) metrics: ListenerMetrics,
    closing: Cell<bool>,
    closes: Notify,
}

impl ListenerState {
    pub(crate) fn new(listener: Arc<Listener>, resolver: &Resolver) -> Self {
        let metrics = ListenerMetrics::new(resolver, &listener.key);
        Self { listener: RefCell::new(listener), metrics, closing: Cell::new(false), closes: Notify::new() }
    }

    pub(crate) fn current(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }

    /// Replaces `listener` if it has changed since: spares the shared count that a clone touches.
    #[inline]
    pub(crate) fn refresh(&self, listener: &mut Arc<Listener>) {
        let current = self.listener.borrow();
        if !Arc::ptr_eq(&current, listener) {
            *listener = Arc::clone(&current);
        }
    }

    pub(crate) fn update(&self, listener: Arc<Listener>) {
        *self.listener.borrow_mut() = listener;
    }

    /// Whether the client may have one more connection; counts it, or that it may not.
    pub(crate) fn admits(&self, client: &mut Client, worker: &Worker) -> bool {
        let view = worker.view();
        let Some(limit) = &view.snapshot.limits.connections_per_client else { return true };
        let admitted = client.is_within(limit, &self.listener.borrow());
        if !admitted {
            self.metrics.refused_by_client.increment();
            worker.metrics.limit("connections_per_client");
        }
        admitted
    }

    /// Ends accepting, after what is already waiting in the kernel has been accepted.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.closes.notify_one();
    }
}

enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(tcp) => Self::Tcp(tokio::net::TcpListener::from_std(tcp)?),
            Socket::Unix(unix) => Self::Unix(tokio::net::UnixListener::from_std(unix)?),
        })
    }

    async fn accept(&self) -> io::Result<(Transport, Peer)> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                Ok((tcp_stream(stream)?, peer.into()))
            }
            Self::Unix(unix) => Ok((Transport::Unix(Box::new(unix.accept().await?.0)), Peer::default())),
        }
    }

    /// Follows the configuration. What is accepted inherits what the socket had when the client connected, so this costs
    /// nothing for each connection; after a reload, one may still come with what held before.
    fn take_presence(&self, state: &ListenerState, held: &mut Presence) {
        let wanted = state.listener.borrow().presence;
        if let Self::Tcp(tcp) = self
            && wanted != *held
        {
            *held = wanted;
            let _ = set_presence(tcp, &wanted); // a client that vanishes is noticed later, then
        }
    }

    /// Whether a descriptor is free below this number.
    fn finds_free_below(&self, number: u64) -> bool {
        let lowest = match self {
            Self::Tcp(tcp) => lowest_free_descriptor(tcp),
            Self::Unix(unix) => lowest_free_descriptor(unix),
        };
        lowest.is_ok_and(|lowest| lowest < number)
    }

    /// What waits in the kernel at this moment, asked of the kernel itself: the runtime only knows what it was told last.
    /// Closing the socket resets whatever comes between the last look and the close.
    fn into_waiting(self) -> io::Result<Waiting> {
        Ok(match self {
            Self::Tcp(tcp) => Waiting::Tcp(tcp.into_std()?),
            Self::Unix(unix) => Waiting::Unix(unix.into_std()?),
        })
    }
}

fn tcp_stream(stream: tokio::net::TcpStream) -> io::Result<Transport> {
    stream.set_nodelay(true)?;
    Ok(Transport::Tcp(stream))
}

enum Waiting {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Waiting {
    fn accept(&self) -> io::Result<(Transport, Peer)> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept()?;
                stream.set_nonblocking(true)?;
                Ok((tcp_stream(tokio::net::TcpStream::from_std(stream)?)?, peer.into()))
            }
            Self::Unix(unix) => {
                let (stream, _) = unix.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Transport::Unix(Box::new(tokio::net::UnixStream::from_std(stream)?)), Peer::default()))
            }
        }
    }
}

/// Accepts until told to close, then takes what still waits in the kernel's queue.
pub(crate) async fn accept(worker: Rc<Worker>, state: Rc<ListenerState>, socket: Socket) {
    let Ok(socket) = Accepting::new(socket) else { return };
    let alarm = worker.timers.alarm();
    let mut pause = PAUSE.0;
    let mut presence = Presence::default();
    // Descriptors up to this are clients' by the limit that held when there was last one as high: spares a system call for each.
    let mut clients_own = 0;
    socket.take_presence(&state, &mut presence);
    while let Some(accepted) = next(&socket, &state).await {
        socket.take_presence(&state, &mut presence);
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE.0;
                let number = stream.descriptor();
                let is_last = number > clients_own && number >= end_of_clients();
                admit(&worker, &state, stream, peer);
                if is_last {
                    state.metrics.pauses.increment();
                } else {
                    clients_own = clients_own.max(number);
                }
                while is_last && !state.closing.get() && !socket.finds_free_below(end_of_clients()) {
                    alarm.sleep_until(after(now(), pause)).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
            Err(error) if is_out_of_descriptors(&error) => {
                state.metrics.pauses.increment();
                alarm.sleep_until(after(now(), pause)).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            Err(_) => {} // this one connection is gone already
        }
    }
    let Ok(waiting) = socket.into_waiting() else { return };
    while let Ok((stream, peer)) = waiting.accept() {
        admit(&worker, &state, stream, peer);
    }
}

/// Descriptors from this number on are kept for what is needed to serve clients: connections to endpoints above all.
fn end_of_clients() -> u64 {
    descriptor_limit().soft.map_or(u64::MAX, |soft| soft - soft / KEPT_FOR_ENDPOINTS)
}

/// `None` when the listener closes and nothing waits any more.
async fn next(socket: &Accepting, state: &ListenerState) -> Option<io::Result<(Transport, Peer)>> {
    let mut accept = pin!(socket.accept());
    let mut closes = pin!(state.closes.notified());
    poll_fn(|cx| match (accept.as_mut().poll(cx), closes.as_mut().poll(cx)) {
        (Poll::Ready(accepted), _) => Poll::Ready(Some(accepted)),
        (Poll::Pending, Poll::Ready(())) => Poll::Ready(None),
        (Poll::Pending, Poll::Pending) if state.closing.get() => Poll::Ready(None),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}

fn admit(worker: &Rc<Worker>, state: &Rc<ListenerState>, transport: Transport, peer: Peer) {
    state.metrics.accepted.increment();
    let listener = state.current();
    let total_max = worker.view().snapshot.limits.connections_max;
    let Some(total) = Counted::below(&worker.connections_total, total_max) else {
        state.metrics.refused_by_total.increment();
        worker.metrics.limit("connections");
        return transport.reset_on_close();
    };
    let Some(own) = Counted::below(&listener.connections, listener.connections_max) else {
        state.metrics.refused_by_listener.increment();
        worker.metrics.limit("listener_connections");
        return transport.reset_on_close();
    };
    let mut client = Client::new(peer, Entrance::of(&listener, peer.ip));
    if !state.admits(&mut client, worker) {
        return transport.reset_on_close();
    }
    let open = Open { worker: Rc::clone(worker), _counted: (total, own) };
    worker.connection_began();
    if listener.tls.is_some() || listener.passage.is_some() {
        transport.supposes_nothing(); // there, more is begun for whoever seems to speak than for HTTP
    }
    let stream = match &listener.tls {
        None => Stream::Plain(transport),
        Some(_) => Stream::Tls(Box::new(TlsStream::new(transport, Rc::clone(&worker.tls_scratch)))),
    };
    let connection = Box::new(Connection::new(open, Rc::clone(state), stream, client));
    tokio::task::spawn_local(downstream::run(connection));
}

/// One connection, counted everywhere that it must be for as long as it is open.
pub(crate) struct Open {
    pub(crate) worker: Rc<Worker>,
    _counted: (Counted, Counted),
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.connection_ended();
    }
}

/// One unit of a bounded count.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn below(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        // A count, ordering nothing.
        if count.fetch_add(1, Relaxed) >= max {
            count.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
