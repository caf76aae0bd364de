//! Whoever is told of a break by a reset has first what was sent before it. Knows no protocol.
//!
//! A reset takes back what the peer's system has not taken yet, and where the peer reads slowly that is all that its own room does not hold.
//! Without a proxy it would have that, for its system keeps what has come. So the connection ends when that has gone, or when none of it goes.

use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::upstream::Slot;
use crate::worker::Worker;
use std::rc::Rc;
use std::time::Duration;

/// How long the peer may take none of it: people's clients pause.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// And where others may wait for its connection, as an endpoint may have only so many: no longer than a tunnel keeps its place for that.
const PATIENCE_IN_A_SLOT: Duration = Duration::from_secs(2);
/// Connections to endpoints that each worker keeps for that, beside those of requests. One more is reset at once.
const KEPT_MAX: usize = 256;
/// Between looks: nothing tells when the peer's system has taken all.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LOOKS: Duration = Duration::from_millis(100);

/// Waits until the peer's system has all that was written, or has taken none of it for so long, or is gone.
pub(crate) async fn taken(worker: &Worker, stream: &Stream, alarm: &Alarm, patience: Duration) {
    let (mut least, mut deadline) = (usize::MAX, now());
    let mut pause = FIRST_LOOK;
    while let Some(left) = stream.unacknowledged_bytes().filter(|left| *left > 0) {
        let now = now();
        if left < least {
            (least, deadline) = (left, after(now, patience));
        }
        if deadline <= now || worker.is_stopping() {
            return;
        }
        alarm.sleep_until(after(now, pause)).await;
        pause = LOOKS.min(2 * pause);
    }
}

/// The same beside everything else. `counted`: what says that the connection is there; `slot`: the right to it, where there are only so many.
pub(crate) fn taken_aside<C: 'static>(worker: &Rc<Worker>, stream: Stream, counted: C, slot: Option<Slot>) {
    if stream.unacknowledged_bytes().is_none_or(|left| left == 0) {
        return;
    }
    let (worker, place) = (Rc::clone(worker), Rc::clone(&worker.last_words));
    if Rc::strong_count(&place) > 1 + KEPT_MAX {
        return worker.metrics.limit("last_words");
    }
    tokio::task::spawn_local(async move {
        let patience = if slot.is_some() { PATIENCE_IN_A_SLOT } else { PATIENCE };
        taken(&worker, &stream, &worker.timers.alarm(), patience).await;
        drop((stream, counted, slot, place));
    });
}
