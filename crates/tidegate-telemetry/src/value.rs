//! The cells that counts live in. Knows no names.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A monotonic count with a single writing thread: `add` is a plain load and store, not a locked instruction.
///
/// Alone on its cache line, so that no other thread's count slows this one. Relaxed everywhere: a count orders nothing,
/// and a scrape may see the last few additions or not.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// For counts that several threads write, at the price of a locked instruction. All of them must use it.
    pub fn add_from_any_thread(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A value that goes up and down, written by any thread.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Gauge(AtomicI64);

impl Gauge {
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    #[inline]
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_written_by_many_threads_loses_nothing() {
        let gauge = Gauge::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| gauge.add(1)));
                scope.spawn(|| (0..10_000).for_each(|_| gauge.add(-1)));
            }
        });
        assert_eq!(gauge.value(), 0);
    }

    #[test]
    fn a_counter_may_be_shared_when_every_writer_says_so() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add_from_any_thread(2)));
            }
        });
        assert_eq!(counter.value(), 80_000);
    }

    #[test]
    fn counts_of_different_threads_never_share_a_cache_line() {
        assert_eq!(align_of::<Counter>(), 64);
        assert_eq!(align_of::<Gauge>(), 64);
    }
}
