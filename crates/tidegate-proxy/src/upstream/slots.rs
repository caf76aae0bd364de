//! How many connections to an endpoint may be in use at once, over all workers. First come, first served.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to use one connection, given back when dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

/// Those of one endpoint.
#[derive(Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    wanted: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), wanted: AtomicUsize::new(0) }
    }

    /// One, if one is free.
    pub(crate) fn take(&self) -> Option<Slot> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// One, when it is one's turn; `None`: never.
    pub(crate) async fn wait(&self) -> Option<Slot> {
        self.wanted.fetch_add(1, Relaxed);
        let _wanted = Wanted(&self.wanted);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// How many wait for one, on all workers.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Relaxed)
    }
}

struct Wanted<'a>(&'a AtomicUsize);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
