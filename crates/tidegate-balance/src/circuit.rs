//! What has been seen of one endpoint that a breaker may take out, and until when it is out. Knows no other endpoint, and
//! of thresholds only how long they let wait.

use crate::breaker::{Breaker, Ejection, HeldBack};
use crate::status_set::SharedStatusSet;
use crate::{Moment, StatusSet};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::time::Duration;

/// For so long at least nothing is held against a trial of which nothing comes: it may ask for a page that takes its time, or its client may
/// send slowly. Much longer, and an endpoint that is well again would be without requests for as long as a long poll takes.
const TRIAL_PATIENCE: Duration = Duration::from_secs(10);

/// What one endpoint's breaker has seen, and until when it is open. Shared by all workers; all accesses are `Relaxed`, as
/// each is a count or a moment by itself.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures_in_a_row: AtomicU32,
    /// What those were, and the trials since.
    statuses: SharedStatusSet,
    /// In the present period, failures in the lower half.
    period: AtomicU64,
    /// When the next trial is due, while it is out.
    due: AtomicU64,
    /// When the trial that decides was sent, while nothing is known of how it goes. 0: none is under way.
    trial: AtomicU64,
    /// How long it was out the last time, in nanoseconds.
    waited: AtomicU64,
    /// When it came back.
    mended: AtomicU64,
    by_failures: AtomicU64,
    by_success_rate: AtomicU64,
    /// Percent that succeeded, when the success rate was the reason, and at the median.
    succeeded: AtomicU32,
    succeeded_elsewhere: AtomicU32,
    /// How far its success rate was below the median in the last period, beyond chance (an `f32`), and in the upper half by how many
    /// results; nothing where it was within the margin.
    behind: AtomicU64,
    held_by_failures: Held,
    held_by_success_rate: Held,
}

/// How often an endpoint was held back that a breaker would have taken out for one reason.
#[derive(Debug, Default)]
struct Held {
    /// What has been counted for the present row or the last period: 0, or `HeldBack::number`.
    counted: AtomicU8,
    by_last_up: AtomicU64,
    by_share: AtomicU64,
}

impl Held {
    fn counter(&self, why: HeldBack) -> &AtomicU64 {
        match why {
            HeldBack::LastUp => &self.by_last_up,
            HeldBack::Share => &self.by_share,
        }
    }
}

impl Circuit {
    pub(crate) fn due(&self) -> Moment {
        Moment(self.due.load(Relaxed))
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row.load(Relaxed)
    }

    /// Percent that succeeded, there and at the median, when that was last a reason.
    pub(crate) fn success_percents(&self) -> (u32, u32) {
        (self.succeeded.load(Relaxed), self.succeeded_elsewhere.load(Relaxed))
    }

    pub(crate) fn ejections(&self, reason: Ejection) -> u64 {
        self.counter(reason).load(Relaxed)
    }

    pub(crate) fn count_ejection(&self, reason: Ejection) {
        self.counter(reason).fetch_add(1, Relaxed);
    }

    /// Which time it is that it is out; `None`: it never was.
    pub(crate) fn times_out(&self) -> Option<NonZeroU32> {
        let times = Ejection::ALL.map(|reason| self.ejections(reason));
        NonZeroU32::new(times.iter().sum::<u64>() as u32)
    }

    /// By how many results, and how far, its success rate was below the median.
    pub(crate) fn behind(&self) -> (u32, f32) {
        let behind = self.behind.load(Relaxed);
        ((behind >> 32) as u32, f32::from_bits(behind as u32))
    }

    /// What the failures in a row were, and those of trials since.
    pub(crate) fn statuses(&self) -> StatusSet {
        self.statuses.load()
    }

    pub(crate) fn remember(&self, status: u16) {
        self.statuses.insert(status);
    }

    /// How often it stayed for this; a row of failures counts once.
    pub(crate) fn times_held_back(&self, reason: Ejection, why: HeldBack) -> u64 {
        self.held(reason).counter(why).load(Relaxed)
    }

    pub(crate) fn count_held_back(&self, reason: Ejection, why: HeldBack) {
        let held = self.held(reason);
        if held.counted.swap(why.number(), Relaxed) != why.number() {
            held.counter(why).fetch_add(1, Relaxed);
        }
    }

    /// The reason is gone, or the endpoint is out: being held back again counts again.
    pub(crate) fn release(&self, reason: Ejection) {
        let counted = &self.held(reason).counted;
        // Looking first keeps the cache line shared in the common case.
        if counted.load(Relaxed) != 0 {
            counted.store(0, Relaxed);
        }
    }

    /// Its success rate is not far below the others', or too little is known to say so.
    pub(crate) fn is_like_others(&self) {
        self.behind.store(0, Relaxed);
        self.release(Ejection::SuccessRate);
    }

    /// All that was seen, but for what is counted for good.
    pub(crate) fn forget(&self) {
        self.end_row();
        self.forget_period();
        self.forget_wait();
    }

    /// What was counted as failures of this period and the last is none, or not all.
    pub(crate) fn forget_period(&self) {
        self.period.store(0, Relaxed);
        self.is_like_others();
    }

    pub(crate) fn end_row(&self) {
        self.failures_in_a_row.store(0, Relaxed);
        self.statuses.clear();
        self.release(Ejection::Failures);
    }

    /// The next time that it is taken out is the first.
    pub(crate) fn forget_wait(&self) {
        self.waited.store(0, Relaxed);
    }

    fn held(&self, reason: Ejection) -> &Held {
        match reason {
            Ejection::Failures => &self.held_by_failures,
            Ejection::SuccessRate => &self.held_by_success_rate,
        }
    }

    /// Takes the trial that is due; only one caller gets it. The next one is due when it would be if this one had failed at once, but not before
    /// there was some time for it; should it still be under way then, it counts as failed.
    pub(crate) fn claim(&self, breaker: Option<&Breaker>, now: Moment) -> bool {
        let due = self.due.load(Relaxed);
        let waited = if self.has_trial() { self.doubled(breaker) } else { self.waited() };
        let next = now + doubled(waited, breaker).max(TRIAL_PATIENCE);
        let is_mine = due <= now.0 && self.due.compare_exchange(due, next.0, Relaxed, Relaxed).is_ok();
        if is_mine {
            self.trial.store(now.0, Relaxed);
            self.waited.store((Moment(0) + waited).0, Relaxed);
        }
        is_mine
    }

    pub(crate) fn has_trial(&self) -> bool {
        self.trial.load(Relaxed) != 0
    }

    /// The trial of that moment has failed; whether it is the one that decides. Another one may have taken its place.
    pub(crate) fn trial_failed(&self, of: Moment) -> bool {
        self.trial.compare_exchange(of.0, 0, Relaxed, Relaxed).is_ok()
    }

    /// The trial of that moment is over, and if nothing was decided until now it has decided nothing: others are let in as if it had never been.
    pub(crate) fn trial_ended(&self, of: Moment) {
        if self.trial_failed(of) {
            self.due.fetch_min((of + self.waited()).0, Relaxed);
        }
    }

    pub(crate) fn mend(&self, now: Moment) {
        self.end_row();
        self.is_like_others();
        self.trial.store(0, Relaxed);
        self.mended.store(now.0, Relaxed);
    }

    fn counter(&self, reason: Ejection) -> &AtomicU64 {
        match reason {
            Ejection::Failures => &self.by_failures,
            Ejection::SuccessRate => &self.by_success_rate,
        }
    }

    pub(crate) fn count_failure(&self, status: u16) {
        self.remember(status);
        self.failures_in_a_row.fetch_add(1, Relaxed);
        self.period.fetch_add(1 << 32 | 1, Relaxed);
    }

    pub(crate) fn count_success(&self) {
        self.end_row_if_any();
        self.period.fetch_add(1 << 32, Relaxed);
    }

    pub(crate) fn end_row_if_any(&self) {
        // Looking first keeps the cache line shared in the common case.
        if self.failures_in_a_row() != 0 {
            self.end_row();
        }
    }

    /// All results and the failures of the period.
    pub(crate) fn take_period(&self) -> (u32, u32) {
        let period = self.period.swap(0, Relaxed);
        ((period >> 32) as u32, period as u32)
    }

    /// So large a part of so many failed; at the median, and beyond that and chance.
    pub(crate) fn keep(&self, results: u32, failed: f64, median: f64, behind: f64) {
        let percent = |failed: f64| ((1.0 - failed) * 100.0).round() as u32;
        self.succeeded.store(percent(failed), Relaxed);
        self.succeeded_elsewhere.store(percent(median), Relaxed);
        self.behind.store(u64::from(results) << 32 | u64::from((behind as f32).to_bits()), Relaxed);
    }

    /// Twice as long as the last time when that is hardly over.
    pub(crate) fn first_wait(&self, breaker: &Breaker, now: Moment) -> Duration {
        let waited = self.waited();
        let is_again = !waited.is_zero() && now.since(Moment(self.mended.load(Relaxed))) < waited;
        if is_again { doubled(waited, Some(breaker)) } else { breaker.out_for.min(breaker.out_for_max) }
    }

    /// The next trial is due after so long at most; but one that is under way has its time.
    pub(crate) fn wait_at_most(&self, span: Duration, now: Moment) {
        let trial = self.trial.load(Relaxed);
        if trial != 0 {
            self.waited.fetch_min((Moment(0) + span).0, Relaxed);
            self.due.fetch_min((Moment(trial) + (2 * span).max(TRIAL_PATIENCE)).0, Relaxed);
        } else if self.due() > now + span {
            self.wait(span, now);
        }
    }

    /// The next trial is due; should it fail, how long it waited until then counts.
    pub(crate) fn end_wait(&self, now: Moment) {
        self.due.fetch_min(now.0, Relaxed);
    }

    fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Relaxed))
    }

    pub(crate) fn doubled(&self, breaker: Option<&Breaker>) -> Duration {
        doubled(self.waited(), breaker)
    }

    /// Whatever is under way, the next trial decides.
    pub(crate) fn wait(&self, span: Duration, now: Moment) {
        self.trial.store(0, Relaxed);
        self.waited.store((Moment(0) + span).0, Relaxed);
        self.due.store((now + span).0, Relaxed);
    }
}

/// `None`: it waits by rules that are gone.
fn doubled(waited: Duration, breaker: Option<&Breaker>) -> Duration {
    breaker.map_or(waited, |breaker| (waited * 2).max(breaker.out_for).min(breaker.out_for_max))
}
