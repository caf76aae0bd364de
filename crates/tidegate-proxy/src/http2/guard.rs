//! What a client is waited for besides requests: what it has begun to say has to go on, and frames that move nothing are paid
//! for by time when nothing else does (RFC 9113 §10.5). Does no I/O; the budget itself is the codec's.

use crate::timers::{Alarm, after, now};
use std::task::Context;
use std::time::Duration;
use tidegate_balance::Moment;
use tidegate_http2::Budget;

/// What a second is worth.
const SPARE_FRAMES_PER_SECOND: u64 = 10;

#[derive(Debug)]
pub(super) struct Guard {
    alarm: Alarm,
    head_timeout: Duration,
    /// What has been begun, and until when it is waited for.
    unfinished: Option<(u64, Moment)>,
    pub(super) spare: Spare,
}

/// The time that passes, and what it is worth.
#[derive(Debug)]
pub(super) struct Spare {
    replenished: Moment,
}

impl Guard {
    pub(super) fn new(alarm: Alarm, head_timeout: Duration) -> Self {
        Self { alarm, head_timeout, unfinished: None, spare: Spare::new() }
    }

    /// `true`: something that was begun does not go on. `unfinished`: what that is at the moment.
    pub(super) fn is_late(&mut self, unfinished: Option<u64>, cx: &mut Context<'_>) -> bool {
        if unfinished != self.unfinished.map(|(known, _)| known) {
            self.unfinished = unfinished.map(|this| (this, after(now(), self.head_timeout)));
            if let Some((_, deadline)) = self.unfinished {
                self.alarm.arm(deadline, cx);
            }
        }
        self.alarm.fired() && self.unfinished.is_some_and(|(_, deadline)| deadline <= now())
    }
}

impl Spare {
    pub(super) fn new() -> Self {
        Self { replenished: now() }
    }

    /// Puts the time that has passed into a budget that is used up; `false`: that was not enough for anything.
    pub(super) fn replenish(&mut self, budget: &mut Budget) -> bool {
        let frames = now().since(self.replenished).as_millis() as u64 * SPARE_FRAMES_PER_SECOND / 1000;
        if frames > 0 {
            self.replenished = now();
            budget.replenish(frames);
        }
        frames > 0
    }
}
