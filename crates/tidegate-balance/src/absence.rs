//! Whether an endpoint is there at all: connects that failed, what it broke off, how long it has been gone. Knows no request, no other endpoint, and of marks
//! only how long they last.

use crate::{Moment, PassiveMarking};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64};
use std::time::Duration;

/// Later than any moment.
const SERVES: u64 = u64::MAX;
/// Whoever has failed to be connected to for less may have been busy for a moment.
const RESTART_MIN: Duration = Duration::from_millis(200);
/// Whoever has not taken connects for longer is not just being restarted, nor cut off for a moment as by a switch that is.
const RESTART_MAX: Duration = Duration::from_secs(5);

/// Who refuses connects is asked again, while all others are full, after this part of the time for which it has done so. At an eighth a
/// restart takes little longer than it does; who is gone for good costs a connect a second.
const ASKED_AFTER_PART: u32 = 8;
pub(crate) const ASKED_AFTER_MIN: Duration = Duration::from_millis(50);
pub(crate) const ASKED_AFTER_MAX: Duration = Duration::from_secs(1);

/// Whoever has broken off what it had may have ended, and be back in a moment; twice in so short a time it is something else.
const BREAKS_APART: Duration = Duration::from_secs(10);

/// So often is the time of a connect mark doubled.
const DOUBLED_MAX: u8 = 4;

/// All accesses are `Relaxed`, as each is a count or a moment by itself.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    connect_failures_in_a_row: AtomicU16,
    /// Trials of the connect mark that cost a request its time for nothing, though another endpoint was up.
    costly_trials: AtomicU8,
    /// When the first connect failed after an answer; `SERVES`: none has; 0: there has been no answer.
    gone_since: AtomicU64,
    /// When the first check did not reach it, while it was well by its checks; 0: they reach it, or there are none.
    unchecked_since: AtomicU64,
    /// From when on one request finds out whether it takes connections, whatever its failures cost; `SERVES`: never, 0: it has answered since.
    asked_again_from: AtomicU64,
    /// When that was last for what it broke off; 0: never.
    broke_off_at: AtomicU64,
    /// Who is marked has taken a connection since the last one that failed.
    is_reached: AtomicBool,
}

impl Absence {
    /// Connects that failed since the last answer.
    pub(crate) fn failures_in_a_row(&self) -> u32 {
        u32::from(self.connect_failures_in_a_row.load(Relaxed))
    }

    /// One more; gives their number.
    pub(crate) fn connect_failed(&self, took: Duration, now: Moment, passive: &PassiveMarking) -> u32 {
        self.is_reached.store(false, Relaxed);
        let one_more = |failures: u16| Some(failures.saturating_add(1));
        let failures = &self.connect_failures_in_a_row;
        let before = u32::from(failures.fetch_update(Relaxed, Relaxed, one_more).unwrap_or(u16::MAX));
        let _ = self.gone_since.compare_exchange(SERVES, now.0, Relaxed, Relaxed);
        // Trying who takes long to fail costs a request its patience.
        let again_from = if took < passive.slow_from { (now + passive.out_for).0 } else { SERVES };
        self.asked_again_from.store(again_from, Relaxed);
        before.saturating_add(1)
    }

    /// Its last connect failed, and not slowly.
    pub(crate) fn refuses(&self) -> bool {
        self.failures_in_a_row() != 0 && self.asked_again_from.load(Relaxed) != SERVES
    }

    /// It has answered. `true`: it refused connections before for so long that it was probably restarted, though nobody may have asked it often enough to mark it.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        // Looking first keeps the cache line shared in the common case.
        if self.asked_again_from.load(Relaxed) != 0 {
            self.asked_again_from.store(0, Relaxed);
        }
        if self.failures_in_a_row() != 0 {
            self.connect_failures_in_a_row.store(0, Relaxed);
        }
        let gone_since = self.gone_since.load(Relaxed);
        if gone_since != SERVES {
            self.gone_since.store(SERVES, Relaxed);
        }
        !matches!(gone_since, 0 | SERVES) && now.since(Moment(gone_since)) >= RESTART_MIN
    }

    /// It has answered once, and if it refuses connects now, it has not done so for longer than a restart takes.
    pub(crate) fn is_a_restart_at_most(&self, now: Moment) -> bool {
        let since = self.gone_since.load(Relaxed);
        since == SERVES || (since != 0 && now.since(Moment(since)) < RESTART_MAX)
    }

    /// It has answered once, and for some time, which is short, no request or no check has been able to reach it.
    pub(crate) fn is_short(&self, now: Moment) -> bool {
        let gone_since = self.gone_since.load(Relaxed);
        if gone_since == 0 {
            return false; // it has never answered
        }
        let by_requests = if gone_since == SERVES { 0 } else { gone_since };
        let since = by_requests.max(self.unchecked_since.load(Relaxed));
        since != 0 && now.since(Moment(since)) < RESTART_MAX
    }

    pub(crate) fn missed_by_check(&self, now: Moment) {
        let _ = self.unchecked_since.compare_exchange(0, now.0.max(1), Relaxed, Relaxed);
    }

    pub(crate) fn reached_by_check(&self) {
        self.unchecked_since.store(0, Relaxed);
    }

    /// When it may be asked again by a request that would have to wait, where it refuses connects, was last asked then, and nobody waits for it.
    pub(crate) fn asked_again(&self, asked: Moment) -> Moment {
        let refuses_for = match self.gone_since.load(Relaxed) {
            0 => ASKED_AFTER_MAX * ASKED_AFTER_PART, // it has never answered
            since => asked.since(Moment(since)),
        };
        asked + (refuses_for / ASKED_AFTER_PART).clamp(ASKED_AFTER_MIN, ASKED_AFTER_MAX)
    }

    /// The same where somebody waits for it: only once it has taken the connection.
    pub(crate) fn asked_beside(&self, asked: Moment) -> Option<Moment> {
        self.is_reached.load(Relaxed).then(|| asked + ASKED_AFTER_MIN)
    }

    /// It has broken off what it had, or it is as long as a mark lasts since it refused a connection, and has not been asked since: somebody has to find out whether it is there.
    /// Once each time, and not again before it has answered or refused.
    pub(crate) fn is_in_doubt(&self, asked: Moment, now: Moment) -> bool {
        let from = self.asked_again_from.load(Relaxed);
        (1..=now.0).contains(&from) && asked < Moment(from)
    }

    /// A request ended without its answer, or in the midst of it, and not because its time was over. If it is gone, connects are refused: one
    /// request finds that out at once. Not so for whoever takes connections, and answers heads, and breaks off again and again.
    pub(crate) fn broke_off(&self, now: Moment) {
        let before = self.broke_off_at.load(Relaxed);
        let is_news = before == 0 || now.since(Moment(before)) >= BREAKS_APART;
        if is_news && self.asked_again_from.compare_exchange(0, now.0.max(1), Relaxed, Relaxed).is_ok() {
            self.broke_off_at.store(now.0.max(1), Relaxed);
        }
    }

    /// Marked, it has taken a connection.
    pub(crate) fn reached(&self) {
        self.is_reached.store(true, Relaxed);
    }

    /// The trial of its connect mark took long to fail, and others were up: the next one is put off for twice as long. To be called before
    /// `connect_failed`.
    pub(crate) fn trial_was_costly(&self) {
        let trials = self.costly_trials.load(Relaxed);
        self.costly_trials.store(trials.saturating_add(1).min(DOUBLED_MAX), Relaxed);
    }

    pub(crate) fn has_costly_trials(&self) -> bool {
        self.costly_trials.load(Relaxed) > 0
    }

    pub(crate) fn forget_costly_trials(&self) {
        self.costly_trials.store(0, Relaxed);
    }

    pub(crate) fn mark_lasts(&self, passive: &PassiveMarking) -> Duration {
        passive.out_for.saturating_mul(1 << self.costly_trials.load(Relaxed).min(DOUBLED_MAX))
    }
}
