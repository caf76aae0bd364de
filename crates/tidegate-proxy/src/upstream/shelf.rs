//! Idle connections that any worker may take: those that carry anyone's requests, and are not encrypted. Never connects.
//!
//! A connection is known to the runtime of the worker that keeps it, and costs nothing to take for that one. Another one takes it over when it has none of
//! its own: that is a few system calls, and less than a new connection. Above all a new one may have to wait at an endpoint with a thread
//! or a process for each connection, while all of these wait on connections that other workers keep.

use super::connect::Counted;
use super::{Dialled, Upstream};
use crate::timers::after;
use crate::transport::Transport;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tidegate_balance::Moment;

/// What one worker keeps for one endpoint. The warmest is at the end.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Vec<Shelved>>);

/// Those of all workers for one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Shelves(Mutex<Vec<Weak<Shelf>>>);

#[derive(Debug)]
pub(crate) struct Shelved {
    pub(crate) transport: Transport,
    pub(crate) dialled: Option<Dialled>,
    pub(crate) counted: Option<Counted>,
    pub(crate) since: Moment,
}

impl Shelved {
    fn is_of_use(&self, upstream: &Upstream, now: Moment, idle_timeout: Duration) -> bool {
        after(self.since, idle_timeout) > now
            && self.dialled.as_ref().is_none_or(|dialled| dialled.holds(upstream))
            && !self.transport.is_readable()
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Vec<Shelved>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, shelved: Shelved) {
        self.lock().push(shelved);
    }

    /// The warmest on which nothing has happened, as far as its runtime knows.
    pub(crate) fn take(&self, upstream: &Upstream, now: Moment, idle_timeout: Duration) -> Option<Shelved> {
        loop {
            let shelved = self.lock().pop()?;
            upstream.idle.fetch_sub(1, Relaxed); // a count, ordering nothing
            if shelved.is_of_use(upstream, now, idle_timeout) {
                return Some(shelved);
            }
        }
    }

    pub(crate) fn sweep(&self, upstream: &Upstream, now: Moment, idle_timeout: Duration) {
        let mut kept = self.lock();
        let before = kept.len();
        kept.retain(|shelved| shelved.is_of_use(upstream, now, idle_timeout));
        upstream.idle.fetch_sub(before - kept.len(), Relaxed);
    }

    pub(crate) fn clear(&self, upstream: &Upstream) {
        let kept = std::mem::take(&mut *self.lock());
        upstream.idle.fetch_sub(kept.len(), Relaxed);
    }
}

impl Shelves {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shelf>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self) -> Arc<Shelf> {
        let added = Arc::<Shelf>::default();
        let mut all = self.lock();
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&added));
        added
    }

    /// The warmest of whoever keeps most, for another worker that has none.
    pub(crate) fn take_over(
        &self,
        upstream: &Upstream,
        now: Moment,
        idle_timeout: Duration,
    ) -> Option<Shelved> {
        while upstream.idle.load(Relaxed) > 0 {
            let shelves: Vec<Arc<Shelf>> = self.lock().iter().filter_map(Weak::upgrade).collect();
            let fullest = shelves.iter().max_by_key(|shelf| shelf.lock().len())?;
            let Shelved { transport, dialled, counted, since } = fullest.take(upstream, now, idle_timeout)?;
            if let Ok(transport) = transport.taken_over() {
                return Some(Shelved { transport, dialled, counted, since });
            }
        }
        None
    }
}
