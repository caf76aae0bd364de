//! The only place that dials. Chooses among the addresses of one endpoint, never among endpoints.

use super::{Address, Carries, Dialled, Slot, Upstream};
use crate::failure::Cause;
use crate::http2::Http2Request;
use crate::last_words;
use crate::stream::Stream;
use crate::timers::{Alarm, Timers, after, now};
use crate::tls::{OriginateError, Originator, Scratch, originate};
use crate::transport::Transport;
use crate::worker::Worker;
use std::cell::Cell;
use std::io;
use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut, WouldBlock};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_balance::{EndpointState, Moment};
use tidegate_sys::{Presence, round_trip, set_presence};
use tokio::net::{TcpStream, UnixStream};

/// Between tries where a Unix socket's queue of connections is full: doubling from the first to the second, 63 ms in all. Over TCP the system
/// itself would wait and try again. Whoever accepts at all makes room in that time; for whoever hangs, another endpoint is better.
const BACKLOG_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

/// An open connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) carries: Carries,
    /// `None`: known where it is shared.
    dialled: Option<Dialled>,
    /// The same.
    counted: Option<Counted>,
}

impl Connection {
    /// One of the streams of a shared connection.
    pub(crate) fn shared(request: Http2Request) -> Self {
        Self {
            stream: Stream::Http2Request(Box::new(request)),
            carries: Carries::OneRequest,
            dialled: None,
            counted: None,
        }
    }

    /// For anyone, of what `into_parts` gave.
    pub(crate) fn of_parts(stream: Stream, dialled: Option<Dialled>, counted: Option<Counted>) -> Self {
        Self { stream, carries: Carries::Anyone, dialled, counted }
    }

    /// Whether it leads to the endpoint still, which may have moved meanwhile.
    pub(crate) fn leads_to(&self, upstream: &Upstream) -> bool {
        self.dialled.as_ref().is_none_or(|dialled| dialled.holds(upstream))
    }

    /// So that the endpoint does not take what it got so far for the whole.
    pub(crate) fn abort(mut self) {
        self.stream.reset_on_close();
    }

    /// The same behind what it was sent. `slot`: kept as long.
    pub(crate) fn cut_short(mut self, worker: &Rc<Worker>, slot: Option<Slot>) {
        self.stream.reset_on_close();
        last_words::taken_aside(worker, self.stream, self.counted, slot);
    }

    /// The stream, where it leads, and what counts it for as long as it lives.
    pub(crate) fn into_parts(self) -> (Stream, Option<Dialled>, Option<Counted>) {
        (self.stream, self.dialled, self.counted)
    }
}

/// One unit of the count of open connections.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn on(upstream: &Upstream) -> Self {
        upstream.open.fetch_add(1, Relaxed); // a count, ordering nothing
        Self(Arc::clone(&upstream.open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What every connection to an endpoint is made with.
pub(crate) struct Dial<'a> {
    pub(crate) upstream: &'a Upstream,
    /// Told how far away it is.
    pub(crate) state: Option<&'a EndpointState>,
    pub(crate) presence: &'a Presence,
    pub(crate) scratch: &'a Rc<Scratch>,
    pub(crate) timers: &'a Rc<Timers>,
    /// What an encrypted connection begins with, in the clear.
    pub(crate) introduction: &'a [u8],
    /// How it is encrypted, if not as is usual there.
    pub(crate) instead: Option<&'a Originator>,
}

/// Tries every address of the endpoint, the one that worked last first. Each gets an equal part of `timeout`, so that a
/// first address that swallows packets does not use up the time of the others. From `start`, and not beyond `end`. Of the failures the last.
pub(crate) async fn connect(
    dial: &Dial<'_>,
    carries: Carries,
    alarm: &Alarm,
    (start, end): (Moment, Moment),
    timeout: Duration,
) -> Result<Connection, Cause> {
    let upstream = dial.upstream;
    let moves = upstream.moves();
    let addresses = upstream.addresses.load_full();
    let preferred = upstream.preferred.load(Relaxed);
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = Cause::ConnectUnreachable;
    for step in 0..addresses.len() {
        let position = (preferred + step) % addresses.len();
        let Some(address) = addresses.get(position) else { break };
        let deadline = after(start, share.saturating_mul(step as u32 + 1)).min(end);
        let reached = Cell::new(false);
        failed = match alarm.within(deadline, dial.open(address, &reached)).await {
            Ok(Ok(stream)) => {
                upstream.preferred.store(position, Relaxed); // a hint, ordering nothing
                let dialled = Some(Dialled::new(address.clone(), moves));
                return Ok(Connection { stream, carries, dialled, counted: Some(Counted::on(upstream)) });
            }
            Ok(Err(cause)) => cause,
            Err(_) if reached.get() => Cause::Tls(OriginateError::Timeout),
            Err(_) => Cause::ConnectTimeout,
        };
    }
    upstream.connect_failed(failed);
    Err(failed)
}

/// As `connect`, for a caller who gives up by himself, to an endpoint that is told of no client.
pub(crate) async fn connect_untimed(dial: &Dial<'_>) -> Result<Connection, Cause> {
    let mut cause = Cause::ConnectUnreachable;
    let moves = dial.upstream.moves();
    for address in dial.upstream.addresses.load_full().iter() {
        match dial.open(address, &Cell::new(false)).await {
            Ok(stream) => {
                let carries = Carries::Anyone;
                let dialled = Some(Dialled::new(address.clone(), moves));
                let counted = Some(Counted::on(dial.upstream));
                return Ok(Connection { stream, carries, dialled, counted });
            }
            Err(failed) => cause = failed,
        }
    }
    Err(cause)
}

impl Dial<'_> {
    /// `reached`: there is a connection, and what is left is to encrypt it.
    async fn open(&self, address: &Address, reached: &Cell<bool>) -> Result<Stream, Cause> {
        let transport = self.reach(address).await.map_err(|error| cause_of(&error, address))?;
        reached.set(true);
        let Some(originator) = self.instead.or(self.upstream.tls.as_ref()) else {
            return Ok(Stream::Plain(transport));
        };
        // Larger than all the rest of a request's future, and rare.
        let originate = Box::pin(originate(transport, self.scratch, originator, self.introduction));
        originate.await.map(|tls| Stream::Tls(Box::new(tls))).map_err(Cause::Tls)
    }

    async fn reach(&self, address: &Address) -> io::Result<Transport> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                if let Some((state, took)) = self.state.zip(round_trip(&stream)) {
                    state.learn_round_trip(took, now());
                }
                stream.set_nodelay(true)?;
                if *self.presence != Presence::default() {
                    set_presence(&stream, self.presence)?;
                }
                Ok(Transport::Tcp(stream))
            }
            Address::Unix(path) => self.reach_unix(path).await.map(Box::new).map(Transport::Unix),
        }
    }

    async fn reach_unix(&self, path: &Path) -> io::Result<UnixStream> {
        let (mut pause, longest) = BACKLOG_PAUSES;
        loop {
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == WouldBlock && pause <= longest => {
                    let alarm = self.timers.alarm();
                    Box::pin(alarm.sleep_until(after(now(), pause))).await; // rare
                    pause *= 2;
                }
                connected => return connected,
            }
        }
    }
}

fn cause_of(error: &io::Error, to: &Address) -> Cause {
    match error.kind() {
        _ if tidegate_sys::is_out_of_descriptors(error) => Cause::DescriptorsExhausted,
        _ if to.tcp().is_some_and(|to| tidegate_sys::is_out_of_ports(error, to)) => Cause::PortsExhausted,
        ConnectionRefused | ConnectionReset | NotFound => Cause::ConnectRefused,
        WouldBlock if matches!(to, Address::Unix(_)) => Cause::ConnectRefused, // connect(2): its queue of connections is full
        TimedOut => Cause::ConnectTimeout,
        _ => Cause::ConnectUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tidegate_balance::EndpointId;
    use tokio::net::{UnixListener, UnixSocket};

    /// Swallows packets as long as what is returned with it lives.
    async fn swallowing() -> (SocketAddr, impl Sized) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_millis(300);
        let mut ahead = Vec::new();
        while let Ok(Ok(connection)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            ahead.push(connection);
        }
        (address, (listener, ahead))
    }

    fn with_timers<F: Future>(test: impl FnOnce(Rc<Timers>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let timers = Timers::new().unwrap();
            tokio::task::spawn_local(Rc::clone(&timers).run());
            test(timers).await
        })
    }

    async fn dialled(
        timers: &Rc<Timers>,
        addresses: Vec<Address>,
        end: Moment,
        timeout: Duration,
    ) -> Result<Connection, Cause> {
        let id = EndpointId { cluster: "app".into(), address: "app:80".into() };
        let dial = Dial {
            upstream: &Upstream::new(id, addresses, None),
            state: None,
            presence: &Presence::default(),
            scratch: &Rc::default(),
            timers,
            introduction: b"",
            instead: None,
        };
        connect(&dial, Carries::Anyone, &timers.alarm(), (now(), end), timeout).await
    }

    /// A client in a hurry would make an endpoint pass for one that refuses connections otherwise, by its other address.
    #[test]
    fn an_earlier_end_makes_no_part_of_the_time_smaller() {
        with_timers(async |timers| {
            let (slow, _ahead) = swallowing().await;
            let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let addresses = [slow, refusing].map(Address::Tcp).to_vec();
            let end = after(now(), Duration::from_millis(100));
            assert!(dialled(&timers, addresses, end, Duration::from_mins(10)).await.is_err());
            assert!(now() >= end, "the first address had all of the time, the last one none");
        });
    }

    /// A socket on which as many connections wait as may.
    async fn full_backlog(path: &Path) -> (UnixListener, Vec<UnixStream>) {
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(path).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connection) = UnixStream::connect(path).await {
            waiting.push(connection);
        }
        (listener, waiting)
    }

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn a_unix_socket_with_a_full_backlog_is_tried_again_for_a_moment() {
        with_timers(async |timers| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.sock");
            let (listener, _waiting) = full_backlog(&path).await;
            let address = vec![Address::Unix(path)];
            // Looks before there is room, and again behind that.
            let makes_room = async { listener.accept().await.unwrap() };
            let (dialled, _accepted) =
                tokio::join!(biased; dialled(&timers, address, after(now(), LONG), LONG), makes_room);
            assert!(dialled.is_ok());
        });
    }

    #[test]
    fn a_unix_socket_whose_backlog_stays_full_refuses() {
        with_timers(async |timers| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.sock");
            let _full = full_backlog(&path).await;
            let address = vec![Address::Unix(path)];
            let dialled = dialled(&timers, address, after(now(), LONG), LONG).await;
            assert_eq!(dialled.err(), Some(Cause::ConnectRefused));
        });
    }
}
