//! The only place that dials. Chooses among the addresses of one endpoint, never among endpoints.

use super::{Address, Carries, Upstream};
use crate::failure::Cause;
use crate::stream::Stream;
use crate::timers::{Alarm, after};
use crate::transport::Transport;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_balance::Moment;
use tidegate_sys::{Presence, set_presence};
use tokio::net::{TcpStream, UnixStream};

/// An open connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) carries: Carries,
    _counted: Counted,
}

/// One unit of the count of open connections.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

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

/// Tries every address of the endpoint, the one that worked last first. Each gets an equal part of `timeout`, so that a
/// first address that swallows packets does not use up the time of the others.
pub(crate) async fn connect(
    upstream: &Upstream,
    carries: Carries,
    alarm: &Alarm,
    start: Moment,
    timeout: Duration,
    presence: &Presence,
) -> Result<Connection, Cause> {
    let addresses = upstream.addresses.load_full();
    let preferred = upstream.preferred.load(Relaxed);
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut cause = Cause::ConnectUnreachable;
    for step in 0..addresses.len() {
        let position = (preferred + step) % addresses.len();
        let Some(address) = addresses.get(position) else { break };
        let deadline = after(start, share.saturating_mul(step as u32 + 1));
        cause = match alarm.within(deadline, dial(address, presence)).await {
            Ok(Ok(stream)) => {
                upstream.preferred.store(position, Relaxed); // a hint, ordering nothing
                return Ok(Connection { stream, carries, _counted: Counted::on(upstream) });
            }
            Ok(Err(error)) => cause_of(&error, address),
            Err(_) => Cause::ConnectTimeout,
        };
    }
    Err(cause)
}

/// As `connect`, for a caller who gives up by himself, to an endpoint that is told of no client.
pub(crate) async fn connect_untimed(upstream: &Upstream, presence: &Presence) -> Result<Connection, Cause> {
    let mut cause = Cause::ConnectUnreachable;
    for address in upstream.addresses.load_full().iter() {
        match dial(address, presence).await {
            Ok(stream) => {
                let carries = Carries::Anyone;
                return Ok(Connection { stream, carries, _counted: Counted::on(upstream) });
            }
            Err(error) => cause = cause_of(&error, address),
        }
    }
    Err(cause)
}

async fn dial(address: &Address, presence: &Presence) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            if *presence != Presence::default() {
                set_presence(&stream, presence)?;
            }
            Ok(Stream::Plain(Transport::Tcp(stream)))
        }
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(|stream| Stream::Plain(Transport::Unix(stream)))
        }
    }
}

fn cause_of(error: &io::Error, to: &Address) -> Cause {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut};
    match error.kind() {
        _ if tidegate_sys::is_out_of_descriptors(error) => Cause::DescriptorsExhausted,
        _ if to.tcp().is_some_and(|to| tidegate_sys::is_out_of_ports(error, to)) => Cause::PortsExhausted,
        ConnectionRefused | ConnectionReset | NotFound => Cause::ConnectRefused,
        TimedOut => Cause::ConnectTimeout,
        _ => Cause::ConnectUnreachable,
    }
}
