//! Something that a script waits for until the test lets it go on. Knows neither of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::patience::{PATIENCE, comes_true};

/// Shut at first. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Lets all through that wait, and all that come later.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Waits until it is open, or for as long as a test may take.
    pub fn pass(&self) {
        comes_true(PATIENCE, || self.0.load(Ordering::Acquire));
    }
}
