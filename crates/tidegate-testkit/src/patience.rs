//! Waiting for something with a deadline, instead of sleeping for luck.
//!
//! Knows nothing of what is waited for.

use std::time::{Duration, Instant};

/// How long anything in a test may take before the test gives up: long enough for a busy machine with one core.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at again.
const PAUSE: Duration = Duration::from_millis(5);

/// Polls until `done` holds; ends the test with `what` when it does not within the general patience.
///
/// # Panics
/// When it did not come about.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    assert!(comes_true(PATIENCE, &mut done), "still not so after {PATIENCE:?}: {what}");
}

/// Polls until `done` holds or `patience` is used up; says which.
pub fn comes_true(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
