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

use crate::circuit::Circuit;
use crate::in_force::{InForce, Rules};
use crate::seat::Seat;
use crate::{Moment, StatusSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
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
    pub(crate) fn finds_failures(&self, circuit: &Circuit) -> bool {
        self.failures != 0 && circuit.failures_in_a_row() >= self.failures
    }

    pub(crate) fn finds_worse(&self, circuit: &Circuit) -> bool {
        let (results, behind) = circuit.behind();
        let margin = self.margin_percent.map(|percent| percent as f32 / 100.0);
        results >= self.requests_min && margin.is_some_and(|margin| behind > margin)
    }

    pub(crate) fn waits_less_than(&self, other: &Breaker) -> bool {
        self.out_for < other.out_for || self.out_for_max < other.out_for_max
    }

    /// Of so many endpoints.
    pub(crate) fn ejected_max(&self, endpoints: usize) -> usize {
        (self.ejected_percent_max as usize * endpoints / 100).max(1)
    }

    /// What keeps an endpoint from being taken out.
    fn obstacle(&self, seats: &[Seat], index: usize, now: Moment) -> Option<HeldBack> {
        let broken = seats.iter().filter(|seat| seat.state.is_broken()).count();
        match (is_other_up(seats, index, now), broken < self.ejected_max(seats.len())) {
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

impl HeldBack {
    pub const ALL: [Self; 2] = [Self::LastUp, Self::Share];

    /// The word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::LastUp => "last_up",
            Self::Share => "ejected_percent",
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::LastUp => 1,
            Self::Share => 2,
        }
    }
}

/// Standard errors of a success rate that pass for chance: many, because every endpoint is looked at in every period, and an
/// algorithm that avoids failures stops measuring an endpoint when it has had bad luck.
const DOUBT: f64 = 5.0;

/// How a request went that was sent to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finding {
    pub(crate) index: usize,
    pub(crate) picked_at: Moment,
    /// The endpoint was out when it was picked, and is so since: the result decides.
    pub(crate) is_trial: bool,
    /// It was picked because nobody was up.
    pub(crate) is_last_resort: bool,
    pub(crate) told: Told,
}

/// What is known of one request. It is a success or a failure once; before that it may go well for long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// The status, or `UNANSWERED`.
    Failure(u16),
    /// Its answer has been coming for long, and is not complete: that ends a row of failures and a trial, and is no result.
    GoesWell,
    Success,
}

/// Stands for the status of a failure that had none, beyond those that may be listed: it counts whatever the list says.
pub(crate) const UNANSWERED: u16 = 600;

/// The breakers of a cluster, as one snapshot has them. Requests of earlier snapshots may end long after a reload: what they tell is
/// judged by the rules in force, and not by those that they began with.
#[derive(Debug)]
pub(crate) struct Breakers {
    breaker: Option<Breaker>,
    /// Which of the rules that came into force these are; 0: they have not.
    turn: AtomicU32,
    in_force: Arc<InForce>,
}

impl Breakers {
    pub(crate) fn new(breaker: Option<Breaker>, in_force: Arc<InForce>) -> Self {
        Self { breaker, turn: AtomicU32::new(0), in_force }
    }

    /// What this snapshot says is what counts from now on.
    pub(crate) fn come_into_force(&self, failures: StatusSet, seats: &Arc<[Seat]>, now: Moment) {
        let rules = Rules::new(self.breaker, failures, Arc::clone(seats));
        self.in_force.replace(rules, now, |turn| self.turn.store(turn, Relaxed));
    }

    /// By what this snapshot says.
    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// Rules that have come into force since.
    fn later_rules(&self) -> Option<Arc<Rules>> {
        (self.turn.load(Relaxed) != self.in_force.turn()).then(|| self.in_force.rules()).flatten()
    }

    /// Whether this status says now that the endpoint failed; `failures`: those that this snapshot says.
    pub(crate) fn is_failure(&self, status: u16, failures: &StatusSet) -> bool {
        match self.later_rules() {
            Some(later) => later.failures.contains(status),
            None => failures.contains(status),
        }
    }

    /// One result of an endpoint that is one of these.
    pub(crate) fn learn(&self, seats: &[Seat], finding: Finding, now: Moment) {
        let Some(seat) = seats.get(finding.index) else { return };
        let turn = self.in_force.turn();
        let later = self.later_rules();
        let (breaker, bench, index) = match &later {
            None => (self.breaker, seats, Some(finding.index)),
            Some(later) => (later.breaker, &*later.seats, later.position(&seat.state)),
        };
        match (breaker, index) {
            (Some(breaker), Some(index)) => {
                let bench = Bench { breaker: &breaker, seats: bench, in_force: &self.in_force, turn };
                bench.learn(Finding { index, ..finding }, now);
            }
            // Nobody takes it out any more.
            _ if finding.is_trial => seat.state.mend(now),
            _ => {}
        }
    }

    /// Judges the period, if it is over. The first request after a pause finds one that has long been.
    pub(crate) fn judge_if_due(&self, seats: &[Seat], now: Moment) {
        if let (Some(breaker), None) = (&self.breaker, self.later_rules()) {
            Bench { breaker, seats, in_force: &self.in_force, turn: self.in_force.turn() }.judge_if_due(now);
        }
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
        let seat = seats.get(index).filter(|seat| !seat.state.is_broken())?;
        let later = self.later_rules();
        let (breaker, seats, index) = match &later {
            None => (self.breaker?, seats, index),
            Some(later) => (later.breaker?, &*later.seats, later.position(&seat.state)?),
        };
        let circuit = seat.state.circuit();
        let is_found = match reason {
            Ejection::Failures => breaker.finds_failures(circuit),
            Ejection::SuccessRate => {
                now.since(self.in_force.period_ends(breaker.period)) < breaker.period
                    && breaker.finds_worse(circuit)
            }
        };
        is_found.then(|| breaker.obstacle(seats, index, now)).flatten()
    }
}

/// One breaker, and the endpoints that it judges.
struct Bench<'a> {
    breaker: &'a Breaker,
    seats: &'a [Seat],
    in_force: &'a InForce,
    /// Of the rules that those are, or of earlier ones.
    turn: u32,
}

impl Bench<'_> {
    fn learn(&self, finding: Finding, now: Moment) {
        let Some(seat) = self.seats.get(finding.index) else { return };
        if seat.state.is_broken() {
            return self.learn_of_one_out(seat, finding, now);
        }
        let circuit = seat.state.circuit();
        match finding.told {
            Told::GoesWell => return circuit.end_row_if_any(),
            Told::Success => circuit.count_success(),
            Told::Failure(status) => {
                circuit.count_failure(status);
                if self.breaker.finds_failures(circuit) {
                    self.eject(finding.index, Ejection::Failures, now);
                }
            }
        }
        self.judge_if_due(now);
    }

    /// Of one that is out, only a trial says anything. One that is made for want of anybody better may end the wait, and does not
    /// prolong it: with nobody else up, as many trials are made as there are requests. Nor does one that others were not kept back for any more.
    fn learn_of_one_out(&self, seat: &Seat, finding: Finding, now: Moment) {
        let circuit = seat.state.circuit();
        match finding.told {
            _ if !finding.is_trial => {}
            // A trial that has begun a long answer need not end before it counts.
            Told::Success | Told::GoesWell => seat.state.mend(now),
            Told::Failure(status) => {
                circuit.remember(status);
                let is_forced = finding.is_last_resort || !is_other_up(self.seats, finding.index, now);
                if is_forced {
                    circuit.trial_ended(finding.picked_at);
                } else if circuit.trial_failed(finding.picked_at) {
                    circuit.wait(circuit.doubled(Some(self.breaker)), now);
                }
            }
        }
    }

    fn judge_if_due(&self, now: Moment) {
        let Some(margin) = self.breaker.margin_percent else { return };
        let Some(is_telling) = self.in_force.end_period(self.breaker.period, now) else { return };
        let results: Vec<_> =
            (0..).zip(self.seats).filter_map(|(index, seat)| self.breaker.result(index, seat)).collect();
        if is_telling {
            self.judge(results, margin, now);
        }
    }

    fn judge(&self, mut results: Vec<PeriodResult>, margin: u32, now: Moment) {
        results.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        let Some(median) = median(&results) else {
            for seat in results.iter().filter_map(|result| self.seats.get(result.index)) {
                seat.state.circuit().is_like_others();
            }
            return;
        };
        let (median, error_of_median) = (median.rate(), median.standard_error(median.rate()));
        // Worst first: there may not be room for all.
        for result in results.iter().rev() {
            let Some(seat) = self.seats.get(result.index) else { continue };
            let excess = result.rate() - median;
            // The median is a sample, too: a lucky one must not make the others look bad.
            let chance = DOUBT * result.standard_error(median).hypot(error_of_median);
            if excess - chance > f64::from(margin) / 100.0 {
                seat.state.circuit().keep(result.all, result.rate(), median, excess - chance);
                self.eject(result.index, Ejection::SuccessRate, now);
            } else {
                seat.state.circuit().is_like_others();
            }
        }
    }

    fn eject(&self, index: usize, reason: Ejection, now: Moment) {
        let Some(_guard) = self.in_force.try_ejecting(self.turn) else { return };
        let Some(seat) = self.seats.get(index).filter(|seat| !seat.state.is_broken()) else { return };
        let circuit = seat.state.circuit();
        if let Some(why) = self.breaker.obstacle(self.seats, index, now) {
            return circuit.count_held_back(reason, why);
        }
        circuit.wait(circuit.first_wait(self.breaker, now), now);
        seat.state.trip(reason);
    }
}

fn is_other_up(seats: &[Seat], index: usize, now: Moment) -> bool {
    (0..).zip(seats).any(|(other, seat)| other != index && seat.state.is_unbroken_and_open(now))
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
