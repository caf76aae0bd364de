//! Idle connections to one endpoint, kept by one worker. Never connects.

use super::shelf::{Shelf, Shelved};
use super::{Carries, Connection, Upstream};
use crate::http2::Http2Pool;
use crate::stream::Stream;
use crate::timers::after;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_balance::Moment;

/// The warmest connection is at the end, and leaves first: the coldest ones age out.
#[derive(Debug)]
pub(crate) struct EndpointPool {
    pub(crate) upstream: Arc<Upstream>,
    /// Those that other workers may take as well.
    shelf: Arc<Shelf>,
    /// Those of one client, and those that are encrypted.
    idle: RefCell<Vec<Idle>>,
    /// Connections that many requests share, where the endpoint speaks HTTP/2.
    pub(crate) http2: Http2Pool,
    /// No snapshot names the endpoint any more: requests that began before may finish, and leave nothing here.
    retired: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Moment,
}

impl EndpointPool {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        let shelf = upstream.shelves.add();
        Self {
            upstream,
            shelf,
            idle: RefCell::default(),
            http2: Http2Pool::default(),
            retired: Cell::new(false),
        }
    }

    /// A connection on which nothing has happened since it was given back.
    pub(crate) fn checkout(
        &self,
        carries: &Carries,
        now: Moment,
        idle_timeout: Duration,
    ) -> Option<Connection> {
        if *carries == Carries::Anyone && self.upstream.tls.is_none() {
            let Shelved { transport, dialled, counted, .. } = self.shelved(now, idle_timeout)?;
            return Some(Connection::of_parts(Stream::Plain(transport), dialled, counted));
        }
        loop {
            let idle = match carries {
                Carries::Anyone => self.idle.borrow_mut().pop()?,
                Carries::Client(_) => self.take_only(carries)?,
                Carries::OneRequest => return None,
            };
            self.upstream.idle.fetch_sub(1, Relaxed); // a count, ordering nothing
            let is_of_use = after(idle.since, idle_timeout) > now && idle.connection.leads_to(&self.upstream);
            if is_of_use && is_quiet(&idle.connection.stream) {
                return Some(idle.connection);
            }
        }
    }

    fn shelved(&self, now: Moment, idle_timeout: Duration) -> Option<Shelved> {
        let upstream = &*self.upstream;
        let own = self.shelf.take(upstream, now, idle_timeout);
        own.or_else(|| upstream.shelves.take_over(upstream, now, idle_timeout))
    }

    /// Looks through all that are kept, which takes a moment where many are: they are one client's each.
    fn take_only(&self, carries: &Carries) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let position = idle.iter().rposition(|idle| idle.connection.carries == *carries)?;
        Some(idle.remove(position))
    }

    /// Keeps the connection, or closes it when the pools of all workers together hold enough. Says whether it was kept.
    pub(crate) fn give_back(&self, connection: Connection, now: Moment, idle_connections_max: usize) -> bool {
        if self.retired.get() || !connection.leads_to(&self.upstream) {
            return false;
        }
        if self.upstream.idle.fetch_add(1, Relaxed) >= idle_connections_max {
            self.upstream.idle.fetch_sub(1, Relaxed);
            // For anyone, one is as good as another; of those for one client, the coldest is the least likely to be used.
            let makes_way = connection.carries != Carries::Anyone && self.drop_coldest();
            if !makes_way {
                return false;
            }
        }
        if connection.carries == Carries::Anyone && matches!(connection.stream, Stream::Plain(_)) {
            self.put(connection, now);
        } else {
            self.idle.borrow_mut().push(Idle { connection, since: now });
        }
        true
    }

    fn put(&self, connection: Connection, since: Moment) {
        if let (Stream::Plain(transport), dialled, counted) = connection.into_parts() {
            self.shelf.put(Shelved { transport, dialled, counted, since });
        }
    }

    fn drop_coldest(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let any = !idle.is_empty();
        idle.drain(..usize::from(any));
        any
    }

    /// Closes what is kept, and keeps nothing more.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.http2.forget();
        self.shelf.clear(&self.upstream);
        let kept = std::mem::take(&mut *self.idle.borrow_mut());
        self.upstream.idle.fetch_sub(kept.len(), Relaxed);
    }

    /// Closes what has aged out, what the endpoint has closed or has moved away from, and what was a client's that has gone.
    pub(crate) fn sweep(&self, now: Moment, idle_timeout: Duration) {
        self.http2.sweep(&self.upstream, now, idle_timeout);
        self.shelf.sweep(&self.upstream, now, idle_timeout);
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|Idle { connection, since }| {
            after(*since, idle_timeout) > now
                && connection.leads_to(&self.upstream)
                && is_quiet(&connection.stream)
                && connection.carries.may_be_asked_for()
        });
        self.upstream.idle.fetch_sub(before - idle.len(), Relaxed);
    }
}

impl Drop for EndpointPool {
    fn drop(&mut self) {
        self.shelf.clear(&self.upstream);
        self.upstream.idle.fetch_sub(self.idle.get_mut().len(), Relaxed);
    }
}

/// Between answers an endpoint has nothing to say: readable means that it closed, failed or talks out of turn.
fn is_quiet(stream: &Stream) -> bool {
    !stream.is_readable()
}
