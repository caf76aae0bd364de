//! A float that many threads read and write. Knows nothing of what it measures.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// `Relaxed` throughout: each value is an estimate that stands by itself, and an old one is as good as a new one.
#[derive(Debug, Default)]
pub(crate) struct AtomicF32(AtomicU32);

impl AtomicF32 {
    pub(crate) const fn new(value: f32) -> Self {
        Self(AtomicU32::new(value.to_bits()))
    }

    pub(crate) fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Comes nearer by this part of the way.
    pub(crate) fn follow(&self, value: f32, gain: f32) {
        self.set(self.get() + gain * (value - self.get()));
    }
}
