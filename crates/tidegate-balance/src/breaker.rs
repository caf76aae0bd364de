//! Taking an endpoint out that answers, but with failures. Knows no status and no algorithm: what counts as a failure is
//! decided before.
//!
//! Two reasons, each of its own. *Failures in a row*: the endpoint is broken whatever the others do. *Success rate*: of the
//! results of one period, so many fewer are good than at the median endpoint that chance does not explain it; when all fail
//! alike, nobody is taken out (Envoy compares with the mean and its standard deviation, which one endpoint of a few moves
//! so much that it hides itself).
//!
//! What both respect: no more than a part of the cluster is out by breakers, and never the last endpoint that is up. After a
//! while one request is let in as a trial, as with failed connects; its success ends the matter, its failure doubles the
//! while. So does being taken out again soon after.

use crate::seat::Seat;
use crate::{EndpointState, Moment};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When failing answers take an endpoint out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that take an endpoint out; 0: however many.
    pub failures: u32,
    /// Percent points that an endpoint's success rate may be below the median; `None`: any.
    pub margin_percent: Option<u32>,
    /// Results that an endpoint must have in a period for its success rate to be looked at.
    pub requests_min: u32,
    pub period: Duration,
    /// The part of the cluster, in percent, that may be out by breakers at once. One endpoint always may.
    pub ejected_percent_max: u32,
    /// From being taken out to the first trial, the first time and at most.
    pub out_for: Duration,
    pub out_for_max: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 5,
            margin_percent: Some(20),
            requests_min: 100,
            period: Duration::from_secs(10),
            ejected_percent_max: 50,
            out_for: Duration::from_secs(10),
            out_for_max: Duration::from_mins(5),
        }
    }
}

impl Breaker {
    fn finds_failures(&self, circuit: &Circuit) -> bool {
        self.failures != 0 && circuit.failures_in_a_row() >= self.failures
    }

    fn finds_worse(&self, behind: Behind) -> bool {
        let margin = self.margin_percent.map(|percent| percent as f32 / 100.0);
        behind.results >= self.requests_min && margin.is_some_and(|margin| behind.part > margin)
    }

    fn waits_less_than(&self, other: &Breaker) -> bool {
        self.out_for < other.out_for || self.out_for_max < other.out_for_max
    }

    /// Whether what took the endpoint out would do so by these thresholds.
    fn keeps_out(&self, state: &EndpointState) -> bool {
        match state.broken_by() {
            Some(Ejection::Failures) => self.finds_failures(state.circuit()),
            Some(Ejection::SuccessRate) => self.finds_worse(state.circuit().behind()),
            None => false,
        }
    }

    /// What keeps an endpoint from being taken out.
    fn obstacle(&self, seats: &[Seat], index: usize, now: Moment) -> Option<HeldBack> {
        let is_other_up =
            (0..).zip(seats).any(|(other, seat)| other != index && seat.state.is_unbroken_and_open(now));
        let broken = seats.iter().filter(|seat| seat.state.is_broken()).count();
        let share = (broken + 1) * 100 <= self.ejected_percent_max as usize * seats.len();
        match (is_other_up, share || broken == 0) {
            (false, _) => Some(HeldBack::LastUp),
            (true, false) => Some(HeldBack::Share),
            (true, true) => None,
        }
    }

    /// The results of a period, which are forgotten with this. `None`: not enough of them, to hold anything against it, either.
    fn result(&self, index: usize, seat: &Seat) -> Option<PeriodResult> {
        let (all, failed) = seat.state.circuit().take_period();
        let is_heard = all >= self.requests_min.max(1) && !seat.state.is_broken();
        if !is_heard && !seat.state.is_broken() {
            seat.state.circuit().is_like_others();
        }
        is_heard.then_some(PeriodResult { index, all, failed })
    }
}

/// Why a breaker took an endpoint out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    Failures,
    SuccessRate,
}

impl Ejection {
    pub const ALL: [Self; 2] = [Self::Failures, Self::SuccessRate];

    /// The word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::SuccessRate => "success_rate",
        }
    }
}

/// Why an endpoint that a breaker would take out stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Nobody else is up.
    LastUp,
    /// As large a part of the cluster is out as may be (`ejected_percent_max`).
    Share,
}

/// Standard errors of a success rate that pass for chance: many, because every endpoint is looked at in every period, and an
/// algorithm that avoids failures stops measuring an endpoint when it has had bad luck.
const DOUBT: f64 = 5.0;

/// The breakers of a cluster, as one snapshot has them. Requests of earlier snapshots may end long after a reload: what they tell is
/// judged by the thresholds in force, which all snapshots share, and not by those that they began with.
#[derive(Debug)]
pub(crate) struct Breakers {
    breaker: Option<Breaker>,
    /// Which of those that came into force this one is; 0: it has not.
    turn: AtomicU32,
    shared: Arc<Shared>,
}

/// By all workers, and all snapshots of the cluster.
#[derive(Debug, Default)]
struct Shared {
    in_force: Mutex<Option<Breaker>>,
    /// The turn of those.
    turn: AtomicU32,
    /// When the period ends. 0: none has begun.
    period_ends: AtomicU64,
    /// Held while endpoints are taken out, so that two at once cannot be one too many. Only ever tried.
    ejecting: Mutex<()>,
}

impl Breakers {
    pub(crate) fn new(breaker: Option<Breaker>, previous: Option<&Breakers>) -> Self {
        let shared = previous.map(|previous| Arc::clone(&previous.shared)).unwrap_or_default();
        Self { breaker, turn: AtomicU32::new(0), shared }
    }

    /// This one's thresholds are those that count from now on. Whoever is out for a reason that is none by them comes back.
    pub(crate) fn come_into_force(&self, seats: &[Seat], now: Moment) {
        let mut in_force = self.shared.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *in_force, self.breaker);
        let turn = self.shared.turn.load(Relaxed).wrapping_add(1).max(1);
        self.turn.store(turn, Relaxed);
        self.shared.turn.store(turn, Relaxed);
        for state in seats.iter().map(|seat| &seat.state) {
            match self.breaker {
                // Just switched on: what was seen before says nothing now.
                Some(_) if !state.is_broken() && before.is_none() => state.circuit().forget(),
                // How long anybody waited by other thresholds is no measure for these.
                _ if !state.is_broken() && before == self.breaker => {}
                _ if !state.is_broken() => state.circuit().forget_wait(),
                Some(breaker) if breaker.keeps_out(state) => {
                    if before.is_some_and(|before| breaker.waits_less_than(&before)) {
                        state.circuit().wait_at_most(breaker.out_for.min(breaker.out_for_max), now);
                    }
                }
                _ => {
                    state.mend(now);
                    state.circuit().forget_wait();
                }
            }
        }
    }

    /// The thresholds that count; `None`: there are no breakers any more.
    fn in_force(&self) -> Option<Breaker> {
        if self.turn.load(Relaxed) == self.shared.turn.load(Relaxed) {
            return self.breaker;
        }
        *self.shared.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One result of the endpoint at this position. Of one that is out, only the trial's says anything.
    pub(crate) fn learn(&self, seats: &[Seat], index: usize, is_trial: bool, failed: bool, now: Moment) {
        let Some(seat) = seats.get(index) else { return };
        let Some(breaker) = self.in_force() else {
            if is_trial {
                seat.state.mend(now);
            }
            return;
        };
        let circuit = seat.state.circuit();
        if seat.state.is_broken() {
            match (is_trial, failed) {
                (false, _) => {}
                (true, false) => seat.state.mend(now),
                (true, true) => circuit.wait(circuit.doubled(&breaker), now),
            }
            return;
        }
        circuit.count(failed);
        if failed && breaker.finds_failures(circuit) {
            self.eject(&breaker, seats, index, Ejection::Failures, now);
        }
        self.judge_if_due(&breaker, seats, now);
    }

    fn judge_if_due(&self, breaker: &Breaker, seats: &[Seat], now: Moment) {
        let Some(margin) = breaker.margin_percent else { return };
        let ends = self.shared.period_ends.load(Relaxed);
        let next = (now + breaker.period).0;
        let is_mine =
            now.0 >= ends && self.shared.period_ends.compare_exchange(ends, next, Relaxed, Relaxed).is_ok();
        if is_mine {
            let results: Vec<_> =
                (0..).zip(seats).filter_map(|(index, seat)| breaker.result(index, seat)).collect();
            if ends != 0 {
                self.judge(breaker, seats, results, margin, now);
            }
        }
    }

    fn judge(
        &self,
        breaker: &Breaker,
        seats: &[Seat],
        mut results: Vec<PeriodResult>,
        margin: u32,
        now: Moment,
    ) {
        results.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        let Some(median) = median(&results) else {
            for seat in results.iter().filter_map(|result| seats.get(result.index)) {
                seat.state.circuit().is_like_others();
            }
            return;
        };
        let (median, error_of_median) = (median.rate(), median.standard_error(median.rate()));
        // Worst first: there may not be room for all.
        for result in results.iter().rev() {
            let excess = result.rate() - median;
            // The median is a sample, too: a lucky one must not make the others look bad.
            let chance = DOUBT * result.standard_error(median).hypot(error_of_median);
            if excess - chance > f64::from(margin) / 100.0 {
                if let Some(seat) = seats.get(result.index) {
                    seat.state.circuit().keep(result, median, excess - chance);
                }
                self.eject(breaker, seats, result.index, Ejection::SuccessRate, now);
            } else if let Some(seat) = seats.get(result.index) {
                seat.state.circuit().is_like_others();
            }
        }
    }

    fn eject(&self, breaker: &Breaker, seats: &[Seat], index: usize, reason: Ejection, now: Moment) {
        let Ok(_guard) = self.shared.ejecting.try_lock() else { return };
        let Some(seat) = seats.get(index) else { return };
        if seat.state.is_broken() {
            return;
        }
        let circuit = seat.state.circuit();
        if let Some(why) = breaker.obstacle(seats, index, now) {
            return circuit.count_held_back(reason, why);
        }
        circuit.wait(circuit.first_wait(breaker, now), now);
        seat.state.trip(reason);
    }

    /// Why the endpoint at this position stays though it would be out for this reason. Judged when it is asked, by the present
    /// thresholds and counts: what is remembered would outlive a reload. Of a success rate nothing is said once a whole period has
    /// gone by without a result.
    pub(crate) fn held_back(
        &self,
        seats: &[Seat],
        index: usize,
        reason: Ejection,
        now: Moment,
    ) -> Option<HeldBack> {
        let breaker = self.in_force()?;
        let seat = seats.get(index).filter(|seat| !seat.state.is_broken())?;
        let circuit = seat.state.circuit();
        let is_found = match reason {
            Ejection::Failures => breaker.finds_failures(circuit),
            Ejection::SuccessRate => {
                let ends = Moment(self.shared.period_ends.load(Relaxed));
                now.since(ends) < breaker.period && breaker.finds_worse(circuit.behind())
            }
        };
        is_found.then(|| breaker.obstacle(seats, index, now)).flatten()
    }
}

/// How far an endpoint's success rate was below the median in the last period, beyond chance, by how many results; nothing
/// where it was within the margin.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    results: u32,
    part: f32,
}

#[derive(Clone, Copy, Debug)]
struct PeriodResult {
    index: usize,
    all: u32,
    failed: u32,
}

impl PeriodResult {
    fn rate(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.all)
    }

    /// Of a rate that is really `rate`, measured with as many results; of none at all it would be nothing, so at least one
    /// failure is thinkable.
    fn standard_error(&self, rate: f64) -> f64 {
        let all = f64::from(self.all);
        let rate = rate.max(1.0 / all);
        (rate * (1.0 - rate) / all).max(0.0).sqrt()
    }
}

/// Of sorted results from two endpoints and more; one alone cannot be told from the others. The lower of two in the middle:
/// where exactly half fail, that is not what is normal.
fn median(results: &[PeriodResult]) -> Option<PeriodResult> {
    let middle = results.get(results.len().saturating_sub(1) / 2)?;
    (results.len() > 1).then_some(*middle)
}

/// What one endpoint's breaker has seen, and until when it is open. Shared by all workers; all accesses are `Relaxed`, as
/// each is a count or a moment by itself.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures_in_a_row: AtomicU32,
    /// In the present period, failures in the lower half.
    period: AtomicU64,
    /// When the next trial is due, while it is out.
    due: AtomicU64,
    /// How long it was out the last time, in nanoseconds.
    waited: AtomicU64,
    /// When it came back.
    mended: AtomicU64,
    by_failures: AtomicU64,
    by_success_rate: AtomicU64,
    /// Percent that succeeded, when the success rate was the reason, and at the median.
    succeeded: AtomicU32,
    succeeded_elsewhere: AtomicU32,
    /// `Behind`, its results in the upper half.
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

impl HeldBack {
    pub const ALL: [Self; 2] = [Self::LastUp, Self::Share];

    /// The word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::LastUp => "last_up",
            Self::Share => "ejected_percent",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::LastUp => 1,
            Self::Share => 2,
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

    fn behind(&self) -> Behind {
        let behind = self.behind.load(Relaxed);
        Behind { results: (behind >> 32) as u32, part: f32::from_bits(behind as u32) }
    }

    /// How often it stayed for this; a row of failures counts once.
    pub(crate) fn times_held_back(&self, reason: Ejection, why: HeldBack) -> u64 {
        self.held(reason).counter(why).load(Relaxed)
    }

    fn count_held_back(&self, reason: Ejection, why: HeldBack) {
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
    fn is_like_others(&self) {
        self.behind.store(0, Relaxed);
        self.release(Ejection::SuccessRate);
    }

    /// All that was seen, but for what is counted for good.
    fn forget(&self) {
        self.failures_in_a_row.store(0, Relaxed);
        self.period.store(0, Relaxed);
        self.release(Ejection::Failures);
        self.is_like_others();
        self.forget_wait();
    }

    /// The next time that it is taken out is the first.
    fn forget_wait(&self) {
        self.waited.store(0, Relaxed);
    }

    fn held(&self, reason: Ejection) -> &Held {
        match reason {
            Ejection::Failures => &self.held_by_failures,
            Ejection::SuccessRate => &self.held_by_success_rate,
        }
    }

    /// Takes the trial that is due; only one caller gets it.
    pub(crate) fn claim(&self, now: Moment) -> bool {
        let due = self.due.load(Relaxed);
        let next = now.0.saturating_add(self.waited.load(Relaxed));
        due <= now.0 && self.due.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn mend(&self, now: Moment) {
        self.failures_in_a_row.store(0, Relaxed);
        self.is_like_others();
        self.mended.store(now.0, Relaxed);
    }

    fn counter(&self, reason: Ejection) -> &AtomicU64 {
        match reason {
            Ejection::Failures => &self.by_failures,
            Ejection::SuccessRate => &self.by_success_rate,
        }
    }

    fn count(&self, failed: bool) {
        if failed {
            self.failures_in_a_row.fetch_add(1, Relaxed);
        } else if self.failures_in_a_row() != 0 {
            // Looking first keeps the cache line shared in the common case.
            self.failures_in_a_row.store(0, Relaxed);
            self.release(Ejection::Failures);
        }
        self.period.fetch_add(1 << 32 | u64::from(failed), Relaxed);
    }

    /// All results and the failures of the period.
    fn take_period(&self) -> (u32, u32) {
        let period = self.period.swap(0, Relaxed);
        ((period >> 32) as u32, period as u32)
    }

    fn keep(&self, result: &PeriodResult, median: f64, behind: f64) {
        let percent = |failed: f64| ((1.0 - failed) * 100.0).round() as u32;
        self.succeeded.store(percent(result.rate()), Relaxed);
        self.succeeded_elsewhere.store(percent(median), Relaxed);
        self.behind.store(u64::from(result.all) << 32 | u64::from((behind as f32).to_bits()), Relaxed);
    }

    /// Twice as long as the last time when that is hardly over.
    fn first_wait(&self, breaker: &Breaker, now: Moment) -> Duration {
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        let is_again = !waited.is_zero() && now.since(Moment(self.mended.load(Relaxed))) < waited;
        if is_again { self.doubled(breaker) } else { breaker.out_for.min(breaker.out_for_max) }
    }

    /// The next trial is due after so long at most.
    fn wait_at_most(&self, span: Duration, now: Moment) {
        if self.due() > now + span {
            self.wait(span, now);
        }
    }

    fn doubled(&self, breaker: &Breaker) -> Duration {
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        (waited * 2).max(breaker.out_for).min(breaker.out_for_max)
    }

    fn wait(&self, span: Duration, now: Moment) {
        self.waited.store((Moment(0) + span).0, Relaxed);
        self.due.store((now + span).0, Relaxed);
    }
}
