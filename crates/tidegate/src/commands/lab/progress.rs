//! How far a run is, on standard error while it runs, when that is a terminal. Knows no results.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tidegate_lab::Progress;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_millis(200);
/// Erases a line from its start.
const ERASE: &str = "\r\x1b[K";

/// Does the work, and shows meanwhile how far it is.
pub(super) fn watch<T>(what: &str, progress: &Progress, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{ERASE}{what}: {:.0} % simulated", progress.part() * 100.0));
            }
            say(ERASE);
        });
        let outcome = work();
        drop(done);
        outcome
    })
}

/// Without an end of line. Whoever closed standard error does not want to hear it.
fn say(text: &str) {
    let mut error = std::io::stderr().lock();
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
}
