//! Whoever is told of a break by a reset has first what was sent before it. Knows no protocol.
//!
//! A reset takes back what the peer's system has not taken yet, and where the peer reads slowly that is all that its own room does not hold.
//! Without a proxy it would have that, for its system keeps what has come. So the connection ends when that has gone, or when none of it goes.

use crate::parting::HeardOut;
use crate::pump::TURN_BYTES;
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::upstream::Slot;
use crate::worker::Worker;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;
use tidegate_balance::Moment;
use tokio::task::yield_now;

/// How long the peer may take none of it: people's clients pause.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// And where others may wait for its connection, as an endpoint may have only so many: no longer than a tunnel keeps its place for that.
const PATIENCE_IN_A_SLOT: Duration = Duration::from_secs(2);
/// Connections to endpoints that each worker keeps for that, beside those of requests. One more is reset at once.
const KEPT_MAX: usize = 256;
/// Between looks: nothing tells when the peer's system has taken all.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LOOKS: Duration = Duration::from_millis(100);

/// When to look again whether all is taken.
struct Looks {
    patience: Duration,
    /// Of what was written, that were ever left.
    least: usize,
    deadline: Moment,
    pause: Duration,
}

impl Looks {
    fn new(patience: Duration) -> Self {
        Self { patience, least: usize::MAX, deadline: now(), pause: FIRST_LOOK }
    }

    /// `None`: all is taken, or none of it any more.
    fn next(&mut self, worker: &Worker, stream: &Stream) -> Option<Moment> {
        let left = stream.unacknowledged_bytes().filter(|left| *left > 0)?;
        let now = now();
        if left < self.least {
            (self.least, self.deadline) = (left, after(now, self.patience));
        }
        let next = after(now, self.pause);
        self.pause = LOOKS.min(2 * self.pause);
        (self.deadline > now && !worker.is_stopping()).then_some(next)
    }
}

/// Waits until the peer's system has all that was written, or has taken none of it for so long, or is gone.
async fn taken(worker: &Worker, stream: &Stream, alarm: &Alarm, patience: Duration) {
    let mut looks = Looks::new(patience);
    while let Some(next) = looks.next(worker, stream) {
        alarm.sleep_until(next).await;
    }
}

/// The same of a client that may look for them only behind its upload: what it still sends is thrown away.
pub(crate) async fn taken_by_client(worker: &Rc<Worker>, stream: &mut Stream, alarm: &Alarm) {
    let Some(_place) = HeardOut::of(worker) else {
        return taken(worker, stream, alarm, PATIENCE).await;
    };
    let (mut looks, mut turn) = (Looks::new(PATIENCE), 0);
    while let Some(next) = looks.next(worker, stream) {
        let heard = poll_fn(|cx| worker.workspaces.with_scratch(|room| stream.poll_read(cx, room)));
        match alarm.within(next, heard).await {
            Ok(Ok(length @ 1..)) => turn += length as u64,
            Ok(_) => return taken(worker, stream, alarm, PATIENCE).await,
            Err(_) => {}
        }
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
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
