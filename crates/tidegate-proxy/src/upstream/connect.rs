//! The only place that dials. Chooses among the addresses of one endpoint, never among endpoints.

use super::{Address, Upstream};
use crate::failure::Cause;
use crate::stream::Stream;
use crate::timers::{Alarm, after};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_balance::Moment;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;

/// An open connection to an endpoint, with its place among the connections that may be open.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    _slot: Option<OwnedSemaphorePermit>,
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
    alarm: &Alarm,
    start: Moment,
    timeout: Duration,
) -> Result<Connection, Cause> {
    let slot = claim_slot(upstream, alarm, after(start, timeout)).await?;
    let addresses = upstream.addresses.load_full();
    let preferred = upstream.preferred.load(Relaxed);
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut cause = Cause::ConnectUnreachable;
    for step in 0..addresses.len() {
        let position = (preferred + step) % addresses.len();
        let Some(address) = addresses.get(position) else { break };
        let deadline = after(start, share.saturating_mul(step as u32 + 1));
        cause = match alarm.within(deadline, dial(address)).await {
            Ok(Ok(stream)) => {
                upstream.preferred.store(position, Relaxed); // a hint, ordering nothing
                return Ok(Connection { stream, _slot: slot, _counted: Counted::on(upstream) });
            }
            Ok(Err(error)) => cause_of(&error),
            Err(_) => Cause::ConnectTimeout,
        };
    }
    Err(cause)
}

async fn claim_slot(
    upstream: &Upstream,
    alarm: &Alarm,
    deadline: Moment,
) -> Result<Option<OwnedSemaphorePermit>, Cause> {
    let Some(slots) = &upstream.slots else { return Ok(None) };
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Ok(Some(slot));
    }
    let _waiting = Waiting::on(upstream);
    match alarm.within(deadline, Arc::clone(slots).acquire_owned()).await {
        Ok(slot) => Ok(slot.ok()),
        Err(_) => Err(Cause::EndpointBusy),
    }
}

/// Counts a waiting request for as long as it waits, however that ends.
struct Waiting<'a>(&'a Upstream);

impl<'a> Waiting<'a> {
    fn on(upstream: &'a Upstream) -> Self {
        upstream.waiting.fetch_add(1, Relaxed); // a count, ordering nothing
        Self(upstream)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

async fn dial(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

fn cause_of(error: &io::Error) -> Cause {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, ConnectionRefused, ConnectionReset, NotFound, TimedOut,
    };
    match error.kind() {
        _ if tidegate_sys::is_out_of_descriptors(error) => Cause::DescriptorsExhausted,
        AddrInUse | AddrNotAvailable => Cause::DescriptorsExhausted,
        ConnectionRefused | ConnectionReset | NotFound => Cause::ConnectRefused,
        TimedOut => Cause::ConnectTimeout,
        _ => Cause::ConnectUnreachable,
    }
}
