//! How far a run is, on standard error while it runs, when that is a terminal. Knows no results.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tidegate_lab::{Comparison, Progress, Scenario};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_millis(200);
/// Erases a line from its start.
const ERASE: &str = "\r\x1b[K";

/// Does the work, and shows meanwhile how far it is.
pub(super) fn watch(
    scenario: &Scenario,
    seed: u64,
    work: impl FnOnce(&Progress) -> Comparison,
) -> Comparison {
    let progress = Progress::of(scenario);
    if !std::io::stderr().is_terminal() {
        return work(&progress);
    }
    let (done, is_done) = channel::<()>();
    let shown = &progress;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let percent = shown.part() * 100.0;
                say(&format!("{ERASE}{} with seed {seed}: {percent:.0} % simulated", scenario.name));
            }
            say(ERASE);
        });
        let comparison = work(&progress);
        drop(done);
        comparison
    })
}

/// Without an end of line. Whoever closed standard error does not want to hear it.
fn say(text: &str) {
    let mut error = std::io::stderr().lock();
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
}
