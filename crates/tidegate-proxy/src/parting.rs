//! What a client may still say when its connection is to end. Knows no protocol.
//!
//! Closing over bytes that nobody has read is a reset, and a client that is busy sending is told of that before it looks for its answer
//! (RFC 9112 §9.6). So our side ends at once, and what comes is thrown away until the client has ended, too, or for so long.

use crate::pump::TURN_BYTES;
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::worker::Worker;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;
use tidegate_balance::Moment;
use tokio::task::yield_now;

/// Who has sent nothing for that long has either read the end or does not look for it.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// What the rest of an upload may take, as with nginx (`lingering_time`): many clients look for an answer only behind it. A whole number of
/// bytes would be no bound for a fast network and none for a slow one, and nothing is kept of them.
pub(crate) const UPLOAD: Duration = Duration::from_secs(30);

/// Connections of a worker that may send for as long. They hold no place for a request, but one of `limit.connections`; all others have
/// what those have that send nothing of use.
const UPLOADS_MAX: usize = 256;

/// And what may come of these: what is under way on a fast line.
const TRIFLE: usize = 256 * 1024;

/// One of the connections that may send for so long.
#[derive(Debug)]
pub(crate) struct HeardOut(Rc<Worker>);

impl HeardOut {
    /// `None`: there are as many as may be.
    pub(crate) fn of(worker: &Rc<Worker>) -> Option<Self> {
        let taken = worker.heard_out.get();
        if taken >= UPLOADS_MAX {
            worker.metrics.limit("unread_uploads");
            return None;
        }
        worker.heard_out.set(taken + 1);
        Some(Self(Rc::clone(worker)))
    }
}

impl Drop for HeardOut {
    fn drop(&mut self) {
        self.0.heard_out.set(self.0.heard_out.get() - 1);
    }
}

/// Ends our side, then reads and forgets what the client still sends of a body whose end nobody waits for, so that it gets to read our answer.
pub(crate) async fn hear_out(worker: &Rc<Worker>, stream: &mut Stream, alarm: &Alarm) {
    let Some(_place) = HeardOut::of(worker) else {
        return linger(worker, stream, alarm).await;
    };
    let began = now();
    // Whoever drains has waited for requests, and the answer to this one is out.
    let until = || after(began, if worker.is_draining() { SILENCE } else { UPLOAD });
    forget(worker, stream, alarm, until, usize::MAX).await;
}

/// The same for a client that has nothing more to send: only what is on its way.
pub(crate) async fn linger(worker: &Worker, stream: &mut Stream, alarm: &Alarm) {
    let until = after(now(), SILENCE);
    forget(worker, stream, alarm, || until, TRIFLE).await;
}

async fn forget(
    worker: &Worker,
    stream: &mut Stream,
    alarm: &Alarm,
    until: impl Fn() -> Moment,
    bytes_max: usize,
) {
    let (mut left, mut turn, mut told) = (bytes_max, 0, false);
    loop {
        let now = now();
        if left == 0 || until() <= now || worker.is_stopping() {
            return;
        }
        let heard = poll_fn(|cx| {
            // Beside the reading: what is encrypted may have to wait for a client that reads only behind its upload.
            told = told || stream.poll_shutdown(cx).is_ready();
            worker.workspaces.with_scratch(|room| stream.poll_read(cx, room))
        });
        // Late or broken: either way the connection ends here.
        let Ok(Ok(length @ 1..)) = alarm.within(until().min(after(now, SILENCE)), heard).await else {
            return;
        };
        left = left.saturating_sub(length);
        turn += length as u64;
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
    }
}
