//! A mergeable latency histogram with a single writing thread.

use std::time::Duration;

#[derive(Debug, Default)]
pub struct Histogram {}

impl Histogram {
    #[inline]
    pub fn record(&self, _elapsed: Duration) {}
}
