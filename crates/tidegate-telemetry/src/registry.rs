//! Where series live: one block of cells per worker with a single writer each, merged when scraped.

use crate::{Family, Histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

/// A monotonic count with a single writing thread: `add` is a plain load and store, not a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(#[allow(dead_code, reason = "skeleton")] AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, _n: u64) {}
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }
}

/// A value that goes up and down, written by any thread.
#[derive(Debug, Default)]
pub struct Gauge(#[allow(dead_code, reason = "skeleton")] AtomicI64);

impl Gauge {
    #[inline]
    pub fn add(&self, _n: i64) {}
    #[inline]
    pub fn set(&self, _n: i64) {}
}

/// All series of the process. Handles are resolved when a worker takes a snapshot, never per request; the same
/// (writer, family, label values) gives the same handle again, so counts go on across reloads.
#[derive(Debug, Default)]
pub struct Registry {}

impl Registry {
    /// `writer`: the worker's number, or `CONTROL`.
    pub fn counter(&self, _writer: usize, _family: &'static Family, _labels: &[&str]) -> Arc<Counter> {
        Arc::default()
    }
    pub fn gauge(&self, _family: &'static Family, _labels: &[&str]) -> Arc<Gauge> {
        Arc::default()
    }
    pub fn histogram(&self, _writer: usize, _family: &'static Family, _labels: &[&str]) -> Arc<Histogram> {
        Arc::default()
    }
}
