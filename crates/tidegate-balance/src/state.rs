//! The live state of one endpoint, shared by all workers and by every snapshot that names it. Knows who may be picked
//! and why not; knows nothing of how a choice is made.
//!
//! Every cause of being out has a place of its own (three bits and a deadline), so that one never erases another. All
//! that a scan must look at twice has a bit in one byte, which is 0 for nearly every endpoint of nearly every scan.

use crate::absence::Absence;
use crate::adaptive::{Beliefs, Learned, Published, Standing};
use crate::asked::MomentsAsked;
use crate::breaker::{Breaker, Ejection, HeldBack};
use crate::capacity::Capacity;
use crate::circuit::Circuit;
use crate::entropy::mix;
use crate::in_flight::{Counts, InFlight, Most, Phase};
use crate::in_vain::InVain;
use crate::lingering::{Lingering, LingeringNow};
use crate::peak_ewma::PeakLatency;
use crate::prequal::Probe;
use crate::reported::{LoadReport, ReportedWeight};
use crate::{Moment, PassiveMarking};
use crossbeam_utils::CachePadded;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Duration;

/// Whether an endpoint may be picked, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Active checks failed `fall` times in a row.
    DownByCheck,
    /// Connects failed; passive marking, until the moment that `EndpointState::trial_due` tells.
    DownByConnect,
    /// So many requests in a row failed; until the moment that `EndpointState::trial_due` tells.
    DownByFailures,
    /// Far fewer of its requests succeeded than elsewhere; until the moment that `EndpointState::trial_due` tells.
    DownBySuccessRate,
    /// The operator takes it out: what is open finishes, nothing new goes there.
    Draining,
    /// Its name has not resolved yet.
    Unresolved,
}

impl Health {
    /// The word in logs, metrics and the status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::DownByCheck => "down_by_check",
            Self::DownByConnect => "down_by_connect",
            Self::DownByFailures => "down_by_failures",
            Self::DownBySuccessRate => "down_by_success_rate",
            Self::Draining => "draining",
            Self::Unresolved => "unresolved",
        }
    }
}

/// What the active checks conclude after `rise` or `fall` results in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    Down,
    Up,
}

const CHECK_DOWN: u8 = 1;
const DRAINING: u8 = 2;
const UNRESOLVED: u8 = 4;
const OUT: u8 = CHECK_DOWN | DRAINING | UNRESOLVED;
/// `connect_mark` holds a mark. The bit decides: it is set after the mark is.
const MARKED: u8 = 8;
/// A breaker took it out, until the moment in `circuit`.
const BROKEN_BY_FAILURES: u8 = 32;
const BROKEN_BY_SUCCESS_RATE: u8 = 64;
const BROKEN: u8 = BROKEN_BY_FAILURES | BROKEN_BY_SUCCESS_RATE;
/// `adaptive` wants to know how the endpoint is doing now.
const PROBE_WANTED: u8 = 16;

/// Live state, shared by all workers and by every snapshot that names the endpoint.
///
/// All that a scan reads lies in one cache line. Every access is `Relaxed`: each field is a fact by itself, no other
/// memory is published through it, and read-modify-write operations on one atomic are exact under any ordering.
#[derive(Debug, Default)]
pub struct EndpointState {
    live: CachePadded<Live>,
    learned: CachePadded<Learned>,
    capacity: Capacity,
    circuit: Circuit,
    in_vain: InVain,
    absence: Absence,
    moments_asked: MomentsAsked,
    lingering: Lingering,
    peak_latency: PeakLatency,
    probe: Probe,
    reported_weight: ReportedWeight,
}

#[derive(Debug, Default)]
struct Live {
    /// What makes a scan look twice; 0: may be picked, and there is no more to know.
    remarks: AtomicU8,
    /// Requests that were answered elsewhere while they waited here, since the last sign of life; at most 255, which is as good
    /// as more.
    overtaken: AtomicU8,
    /// Requests that it was sent since the last sign of life; at most 255. Written without a lock: two at once may count as one.
    asked: AtomicU8,
    lingering: LingeringNow,
    in_flight: InFlight,
    /// When it last got a request or was done with one.
    last_used: AtomicU64,
    /// When `MARKED`: the moment of the next trial, with `SLOW` in the lowest bit.
    connect_mark: AtomicU64,
    standing: Standing,
}

/// In a connect mark: the last failed connect took so long that another try costs a request its patience.
const SLOW: u64 = 1;

impl EndpointState {
    /// Requests that hold a lease on this endpoint now, exactly.
    pub fn in_flight(&self) -> u32 {
        self.live.in_flight.requests()
    }

    /// Connects that failed since the last answer.
    pub fn connect_failures_in_a_row(&self) -> u32 {
        self.absence.failures_in_a_row()
    }

    /// When it last got a request or was done with one; the clock's origin when never. By this ties go to who has had nothing to do for longest: one that is
    /// slow, or busy for other proxies, too, has its turn the later.
    pub(crate) fn last_used(&self) -> Moment {
        Moment(self.live.last_used.load(Relaxed))
    }

    /// It is done with a request.
    pub(crate) fn used(&self, now: Moment) {
        self.live.last_used.store(now.0, Relaxed);
    }

    /// The effective health: the operator's word first, then what makes picking pointless, then the verdicts. `Up` means
    /// that it may be picked; with `trial_due` in the past, for one trial.
    pub fn health(&self, now: Moment) -> Health {
        let causes = self.remarks();
        if causes & DRAINING != 0 {
            Health::Draining
        } else if causes & UNRESOLVED != 0 {
            Health::Unresolved
        } else if causes & CHECK_DOWN != 0 {
            Health::DownByCheck
        } else if self.is_marked(now) {
            Health::DownByConnect
        } else if self.is_waiting(now) {
            self.waiting_for_trial().unwrap_or(Health::Up)
        } else {
            Health::Up
        }
    }

    /// What people are told: as `health`, but an endpoint that is marked is not up again because its trial is due, but when
    /// one succeeds.
    pub fn lasting_health(&self, now: Moment) -> Health {
        match self.health(now) {
            Health::Up => self.waiting_for_trial().unwrap_or(Health::Up),
            health => health,
        }
    }

    /// The mark that the endpoint bears, whether or not its trial is due.
    pub fn waiting_for_trial(&self) -> Option<Health> {
        match self.remarks() {
            marked if marked & MARKED != 0 => Some(Health::DownByConnect),
            broken if broken & BROKEN_BY_FAILURES != 0 => Some(Health::DownByFailures),
            broken if broken & BROKEN_BY_SUCCESS_RATE != 0 => Some(Health::DownBySuccessRate),
            _ => None,
        }
    }

    /// When the next trial of a marked endpoint is due; `None` when it is not marked.
    pub fn trial_due(&self) -> Option<Moment> {
        let by_connect = self.connect_mark().map(|mark| Moment(mark & !SLOW));
        let by_breaker = self.is_broken().then(|| self.circuit.due());
        by_connect.max(by_breaker)
    }

    /// Whether a trial that a breaker let in is under way, and nothing is known of how it goes.
    pub fn is_on_trial(&self) -> bool {
        self.is_broken() && self.circuit.has_trial()
    }

    /// Requests that failed since the last one that did not, connects included, as a breaker counts them.
    pub fn failures_in_a_row(&self) -> u32 {
        self.circuit.failures_in_a_row()
    }

    /// Percent of requests that succeeded, there and at the median endpoint, when that was last a reason to take it out.
    pub fn success_percents(&self) -> (u32, u32) {
        self.circuit.success_percents()
    }

    /// How often a breaker has taken it out.
    pub fn ejections(&self, reason: Ejection) -> u64 {
        self.circuit.ejections(reason)
    }

    /// How often it stayed though a breaker would have taken it out for this reason.
    pub fn times_held_back(&self, reason: Ejection, why: HeldBack) -> u64 {
        self.circuit.times_held_back(reason, why)
    }

    /// Of the requests in flight, those whose answer has begun.
    pub fn streaming(&self) -> u32 {
        self.live.in_flight.streaming()
    }

    /// What `adaptive` has learned about this endpoint.
    pub fn beliefs(&self) -> Beliefs {
        self.learned.beliefs(&self.live.standing)
    }

    /// The rate of failures among recent attempts, as far as `adaptive` still remembers them.
    pub fn error_rate(&self, now: Moment) -> f32 {
        self.learned.published.error_rate(now)
    }

    /// What the endpoint says about itself: requests in flight from everybody, and the latency it would have now. For
    /// `prequal`.
    pub fn report_probe(&self, in_flight: u32, latency: Duration, now: Moment) {
        self.probe.report(in_flight, latency, now);
    }

    /// What the endpoint says of its load, in a response header for example. For `reported_load`.
    pub fn report_load(&self, report: &LoadReport, now: Moment) {
        self.reported_weight.report(report, now);
    }

    /// Stores the verdict of the active checks. Leaves every other cause as it is.
    pub fn mark_check(&self, verdict: CheckVerdict) {
        if verdict == CheckVerdict::Up && self.remarks() & CHECK_DOWN != 0 {
            self.learned.rejoin();
            if self.absence.has_costly_trials() {
                self.hasten_trial(Moment(0)); // it is due: this one worked
            }
        }
        self.remark(CHECK_DOWN, verdict == CheckVerdict::Down);
    }

    /// A check has not reached it: it may be cut off, though no request has found out yet, unless checks have taken it out before. Optional. To be called
    /// before `mark_check`.
    pub fn missed_by_check(&self, now: Moment) {
        if self.remarks() & CHECK_DOWN == 0 {
            self.absence.missed_by_check(now);
        }
    }

    /// A check has reached it. To be called after `mark_check`: who passes, and is out until more have, is still as good as cut off; who says that it is
    /// not well is not.
    pub fn reached_by_check(&self, passes: bool) {
        if !passes || self.remarks() & CHECK_DOWN == 0 {
            self.absence.reached_by_check();
        }
    }

    /// Takes the endpoint out for new requests, or back in.
    pub fn set_draining(&self, draining: bool) {
        if !draining && self.remarks() & DRAINING != 0 {
            // It was probably restarted meanwhile.
            self.learned.rejoin();
        }
        self.remark(DRAINING, draining);
    }

    /// Whether its name has an address. A fresh state counts as resolved.
    pub fn set_resolved(&self, resolved: bool) {
        self.remark(UNRESOLVED, !resolved);
    }

    fn remark(&self, what: u8, applies: bool) {
        if applies {
            self.live.remarks.fetch_or(what, Relaxed);
        } else {
            self.live.remarks.fetch_and(!what, Relaxed);
        }
    }

    #[inline]
    fn remarks(&self) -> u8 {
        self.live.remarks.load(Relaxed)
    }

    fn connect_mark(&self) -> Option<u64> {
        (self.remarks() & MARKED != 0).then(|| self.live.connect_mark.load(Relaxed))
    }

    /// Taken out by a breaker.
    pub(crate) fn is_broken(&self) -> bool {
        self.remarks() & BROKEN != 0
    }

    pub(crate) fn broken_by(&self) -> Option<Ejection> {
        match self.remarks() {
            broken if broken & BROKEN_BY_FAILURES != 0 => Some(Ejection::Failures),
            broken if broken & BROKEN_BY_SUCCESS_RATE != 0 => Some(Ejection::SuccessRate),
            _ => None,
        }
    }

    /// Which time it is that a breaker has taken it out; `None`: it is not out by one.
    pub(crate) fn time_out(&self) -> Option<NonZeroU32> {
        if self.is_broken() { self.circuit.times_out() } else { None }
    }

    fn is_waiting(&self, now: Moment) -> bool {
        self.is_broken() && self.circuit.due() > now
    }

    /// Up, and not just for a trial.
    pub(crate) fn is_unbroken_and_open(&self, now: Moment) -> bool {
        !self.is_broken() && self.is_open(now)
    }

    /// A breaker takes it out.
    pub(crate) fn trip(&self, reason: Ejection) {
        self.circuit.count_ejection(reason);
        for reason in Ejection::ALL {
            self.circuit.release(reason);
        }
        self.remark(
            match reason {
                Ejection::Failures => BROKEN_BY_FAILURES,
                Ejection::SuccessRate => BROKEN_BY_SUCCESS_RATE,
            },
            true,
        );
    }

    /// What a breaker said holds no longer.
    pub(crate) fn mend(&self, now: Moment) {
        self.circuit.mend(now);
        self.let_back();
    }

    /// It is up again, whatever a breaker holds against it.
    pub(crate) fn let_back(&self) {
        self.remark(BROKEN, false);
        self.learned.rejoin();
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    fn is_marked(&self, now: Moment) -> bool {
        self.connect_mark().is_some_and(|mark| mark & !SLOW > now.0)
    }

    /// May be picked: up, or marked by failed connects with a trial due.
    #[inline]
    pub(crate) fn is_open(&self, now: Moment) -> bool {
        self.is_unremarkable() || self.is_open_all_the_same(now)
    }

    /// May be picked, and there is nothing else that a scan must know but counts and costs.
    #[inline]
    pub(crate) fn is_unremarkable(&self) -> bool {
        self.remarks() == 0
    }

    /// Apart, so that the common case stays small.
    #[cold]
    fn is_open_all_the_same(&self, now: Moment) -> bool {
        self.remarks() & OUT == 0 && !self.is_marked(now) && !self.is_waiting(now)
    }

    /// Neither out nor to be tried again.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.remarks() & (OUT | MARKED | BROKEN) == 0
    }

    /// May be picked, and only to be tried again.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        !self.is_up() && self.is_open(now)
    }

    /// Out by failing answers or by connects that failed quickly, and by nothing else: worth a try when nobody else is left.
    pub(crate) fn is_last_resort(&self) -> bool {
        let connects = self.connect_mark().map(|mark| mark & SLOW == 0);
        self.remarks() & OUT == 0 && connects.unwrap_or_else(|| self.is_broken())
    }

    /// From when on it may be asked by a request that would have to wait; `None`: it is up, or out by more than connects that failed quickly.
    /// Nor while it is being asked: who cannot be reached any more may keep one request waiting, and not many. Who has taken the connection
    /// is given one more each moment, and not all at once: it may take them and answer none.
    pub(crate) fn asked_from(&self) -> Option<Moment> {
        let mark = self.connect_mark()?;
        if mark & SLOW != 0 || self.is_out_by_more_than_connects() {
            return None;
        }
        let asked = self.moments_asked.last();
        if self.live.in_flight.waiting() == 0 {
            Some(self.absence.asked_again(asked))
        } else {
            self.absence.asked_beside(asked)
        }
    }

    /// Its failures have all others preferred, and nobody would find out whether it is gone, or back.
    pub(crate) fn is_to_be_asked(&self, now: Moment) -> bool {
        self.absence.is_in_doubt(self.moments_asked.last(), now) && self.live.in_flight.waiting() == 0
    }

    pub(crate) fn may_be_asked(&self, now: Moment) -> bool {
        self.asked_from().is_some_and(|from| from <= now)
    }

    /// It refused its last connect at once, is out for nothing else, and nobody has asked it for a moment, or asks it now.
    pub(crate) fn is_left_alone(&self, now: Moment) -> bool {
        self.absence.refuses()
            && !self.is_out_by_more_than_connects()
            && self.live.in_flight.waiting() == 0
            && self.absence.asked_again(self.moments_asked.last()) <= now
    }

    fn is_out_by_more_than_connects(&self) -> bool {
        self.remarks() & (OUT | BROKEN) != 0
    }

    /// It has answered, and if it refuses connects now, it has not done so for longer than a restart takes.
    pub(crate) fn may_be_restarting(&self, now: Moment) -> bool {
        self.absence.is_a_restart_at_most(now) && (self.is_open(now) || self.is_last_resort())
    }

    /// It has answered, and cannot be connected to, for no longer than a network takes to find another way. What checks say of it meanwhile is
    /// no news, and no other reason takes it out.
    pub(crate) fn may_be_cut_off(&self, now: Moment) -> bool {
        self.absence.is_short(now) && self.remarks() & (DRAINING | UNRESOLVED | BROKEN) == 0
    }

    /// Its connects have taken long to fail, it is out for nothing else, and nobody has asked it for a moment.
    pub(crate) fn is_unreached(&self, now: Moment) -> bool {
        self.connect_mark().is_some_and(|mark| mark & SLOW != 0)
            && !self.is_out_by_more_than_connects()
            && self.absence.asked_again(self.moments_asked.last()) <= now
    }

    /// Takes the trial that is due on a marked endpoint. Only one caller gets it; true when there is no mark at all.
    pub(crate) fn claim_trial(
        &self,
        now: Moment,
        passive: &PassiveMarking,
        breaker: Option<&Breaker>,
    ) -> bool {
        if self.is_unremarkable() {
            return true;
        }
        let is_mine = !self.is_broken() || self.circuit.claim(breaker, now);
        if is_mine && self.claim_connect_trial(now, passive) {
            return true;
        }
        if is_mine {
            self.circuit.trial_ended(now); // somebody else has the other half of it
        }
        false
    }

    fn claim_connect_trial(&self, now: Moment, passive: &PassiveMarking) -> bool {
        let Some(mark) = self.connect_mark() else { return true };
        let next = mark_at(now + self.absence.mark_lasts(passive), mark & SLOW);
        mark & !SLOW <= now.0 && self.live.connect_mark.compare_exchange(mark, next, Relaxed, Relaxed).is_ok()
    }

    /// Counts one more request in flight and says how many there are now.
    pub(crate) fn enter(&self, now: Moment) -> Counts {
        self.entered(self.live.in_flight.enter(), now)
    }

    /// As `enter`, unless as much as may be is in flight already: `None` then.
    pub(crate) fn enter_below(&self, most: Most, now: Moment) -> Option<Counts> {
        Some(self.entered(self.live.in_flight.enter_below(most)?, now))
    }

    fn entered(&self, before: Counts, now: Moment) -> Counts {
        self.used(now);
        let mut asked = self.live.asked.load(Relaxed);
        if before.requests() == 0 && self.requests_overtaken() == 0 {
            self.live.standing.sign_of_life(now);
            asked = 0;
        }
        self.moments_asked.asked(asked, now);
        self.live.asked.store(asked.saturating_add(1), Relaxed);
        before
    }

    /// The answer to one of those in flight, of that moment, has begun.
    pub(crate) fn begin(&self, phase: Phase, picked: Moment) {
        self.live.in_flight.begin(phase);
        self.lingering.left(&self.live.lingering, picked);
    }

    /// Counts one less, of that moment. Called by the lease alone, once for each `enter`.
    pub(crate) fn leave(&self, phase: Phase, picked: Moment) {
        self.live.in_flight.leave(phase);
        if phase == Phase::Waiting {
            self.lingering.left(&self.live.lingering, picked);
        }
    }

    /// Of the requests in flight, those that may keep others waiting: all but long polls and what says nothing for most of the time.
    pub(crate) fn at_work(&self) -> u32 {
        self.live.in_flight.counts().at_work().saturating_sub(self.lingering())
    }

    /// One more request would tell how it is doing now: nobody is there, or only what has been there for long or says nothing, and whatever
    /// it was asked for since has been answered.
    pub(crate) fn is_free(&self) -> bool {
        self.in_flight() == 0 || (self.asked() == 0 && self.at_work() == 0)
    }

    /// Requests that have waited for far longer than is usual.
    #[inline]
    pub(crate) fn lingering(&self) -> u32 {
        u32::from(self.live.lingering.count())
    }

    /// How many more of these it has than others, as far as that makes a difference.
    #[inline]
    pub(crate) fn lingering_more_than_usual(&self) -> u32 {
        u32::from(self.live.lingering.more_than_usual())
    }

    /// To be called now and then: half of the endpoints that are up have no more of these, and serve so many requests at once.
    pub(crate) fn compare_lingering(&self, usual: u32, at_once: u32) {
        self.live.lingering.compare(usual, at_once);
    }

    /// One that came at that moment is answered. Whether it has waited for far longer than is usual for a reason of its own: others who came later did not, or
    /// it is one of many that end in one moment.
    pub(crate) fn was_long_by_itself(&self, picked: Moment, now: Moment) -> bool {
        if !self.lingering.includes(picked) {
            return false;
        }
        let is_one_of_many =
            (self.lingering.answered(now).as_nanos() as f32) < self.live.standing.mean_latency();
        is_one_of_many || self.moments_asked.is_overtaken(picked)
    }

    /// To be called now and then, by one at a time. `usual`: how long its answers take, in seconds.
    pub(crate) fn count_lingering(&self, usual: f64, now: Moment) {
        self.lingering.turn_if_due(&self.live.lingering, self.live.in_flight.waiting(), usual, now);
    }

    #[inline]
    pub(crate) fn load(&self) -> &InFlight {
        &self.live.in_flight
    }

    /// Whether `adaptive` wants a scan to look at its probe.
    pub(crate) fn want_probe(&self, wanted: bool) {
        if wanted != self.is_probe_wanted() {
            self.remark(PROBE_WANTED, wanted);
        }
    }

    pub(crate) fn is_probe_wanted(&self) -> bool {
        self.remarks() & PROBE_WANTED != 0
    }

    /// A request was given up that had waited there for so long, and nothing came; how long some have, in all, since the last answer.
    pub(crate) fn waited_in_vain(&self, from: Moment, to: Moment) -> Duration {
        self.in_vain.add(from, to)
    }

    /// An answer came, to a request of that moment.
    pub(crate) fn has_answered(&self, picked: Moment, took: Duration) {
        self.in_vain.answered(took);
        self.moments_asked.answered(picked);
    }

    /// How long it has been silent, in units of the gap that those who wait for it let expect.
    pub(crate) fn silence(&self, now: Moment) -> f32 {
        self.live.standing.silence(self.unanswered(), now)
    }

    /// Requests that it was sent since its last sign of life.
    pub(crate) fn asked(&self) -> u8 {
        self.live.asked.load(Relaxed)
    }

    /// How long these have been waiting, all together, in mean latencies.
    pub(crate) fn stands_still_for(&self, now: Moment) -> f32 {
        self.moments_asked.in_vain(self.asked(), now) / self.live.standing.mean_latency()
    }

    /// Whoever has come last does not wait for others, as far as answers tell that usually take so long.
    pub(crate) fn has_answered_last(&self, usual: Duration, now: Moment) -> bool {
        self.moments_asked.is_answered(self.asked(), usual, now)
    }

    /// All that wait there have done so for far longer than is usual, and it has been left alone for long since: if these are long by themselves, one more would
    /// be answered.
    pub(crate) fn may_have_answered(&self, now: Moment) -> bool {
        self.requests_overtaken() == 0 && self.at_work() == 0 && self.stands_still_for(now) <= 0.0
    }

    /// Requests that wait for its answer, and those that were answered elsewhere while they did.
    pub(crate) fn unanswered(&self) -> u32 {
        self.live.in_flight.waiting() + self.requests_overtaken()
    }

    /// An answer came: whoever was silent is so no more.
    pub(crate) fn sign_of_life(&self, now: Moment) {
        self.live.standing.sign_of_life(now);
        self.live.asked.store(0, Relaxed);
        // Looking first keeps the cache line shared in the common case.
        if self.requests_overtaken() != 0 {
            self.live.overtaken.store(0, Relaxed);
        }
    }

    pub(crate) fn requests_overtaken(&self) -> u32 {
        u32::from(self.live.overtaken.load(Relaxed))
    }

    /// It kept a request waiting so long that it was answered elsewhere. The request is gone from the count, but not from the
    /// endpoint, which must not pass for an idle one.
    pub(crate) fn overtaken(&self, now: Moment) {
        // Two that are counted as one are as good as two.
        let more = self.live.overtaken.load(Relaxed).saturating_add(1);
        self.live.overtaken.store(more, Relaxed);
        self.learned.plan_another_probe(self, now);
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.live.standing
    }

    pub(crate) fn learned(&self) -> &Learned {
        &self.learned
    }

    pub(crate) fn reported_weight(&self) -> &ReportedWeight {
        &self.reported_weight
    }

    pub(crate) fn probe(&self) -> &Probe {
        &self.probe
    }

    pub(crate) fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub(crate) fn peak_latency(&self) -> &PeakLatency {
        &self.peak_latency
    }

    pub(crate) fn published(&self) -> &Published {
        &self.learned.published
    }

    /// An answer is proof that connecting works. `true`: that it did not was believed until now. Who refused connections for a while was probably
    /// restarted, though nobody may have asked it often enough to mark it.
    pub(crate) fn connect_proven(&self, now: Moment) -> bool {
        let was_away = self.absence.is_over(now);
        let was_marked = self.remarks() & MARKED != 0;
        if was_marked {
            self.absence.forget_costly_trials();
            self.remark(MARKED, false);
        }
        if was_marked || was_away {
            self.learned.rejoin();
        }
        was_marked
    }

    /// The trial that ends a mark by connects, if it has one, is due then. `false`: it was due sooner.
    pub(crate) fn hasten_trial(&self, due: Moment) -> bool {
        let Some(mark) = self.connect_mark().filter(|mark| mark & !SLOW > due.0) else { return false };
        let sooner = mark_at(due, mark & SLOW);
        self.live.connect_mark.compare_exchange(mark, sooner, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn absence(&self) -> &Absence {
        &self.absence
    }

    /// The way there and back took so long, without any work. Optional: tells how far away it is.
    pub fn learn_round_trip(&self, took: Duration, now: Moment) {
        self.published().distance.learn(took, now);
    }

    /// It has taken a connection. Optional: tells of one that was refused before that it is back, before it has answered.
    pub fn reached(&self) {
        if self.remarks() & MARKED != 0 {
            self.absence.reached();
        }
    }

    /// Counts a failed connect and marks the endpoint when there were enough in a row.
    pub(crate) fn connect_failed(&self, took: Duration, now: Moment, passive: &PassiveMarking) {
        let failures = self.absence.connect_failed(took, now, passive);
        if passive.failures != 0 && failures >= passive.failures {
            let slow = if took >= passive.slow_from { SLOW } else { 0 };
            let is_renewed = self.remarks() & MARKED != 0;
            let lasts = self.absence.mark_lasts(passive);
            // Else who restarts again and again in time with it would be met at the same moment each time.
            let lasts = if is_renewed { lasts + lasts / 4 * (mix(now.0) as u32 >> 24) / 256 } else { lasts };
            self.live.connect_mark.store(mark_at(now + lasts, slow), Relaxed);
            self.remark(MARKED, true);
        }
    }
}

fn mark_at(due: Moment, slow: u64) -> u64 {
    (due.0 & !SLOW) | slow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence::{ASKED_AFTER_MAX, ASKED_AFTER_MIN};

    const PASSIVE: PassiveMarking = PassiveMarking {
        failures: 3,
        out_for: Duration::from_secs(2),
        slow_from: Duration::from_millis(100),
    };

    fn fail(state: &EndpointState, times: u32, now: Moment) {
        for _ in 0..times {
            state.connect_failed(Duration::ZERO, now, &PASSIVE);
        }
    }

    #[test]
    fn a_fresh_endpoint_is_up() {
        assert_eq!(EndpointState::default().health(Moment(0)), Health::Up);
    }

    #[test]
    fn one_cause_of_being_out_never_erases_another() {
        let state = EndpointState::default();
        let now = Moment(10);
        fail(&state, 3, now);
        state.mark_check(CheckVerdict::Down);
        state.set_resolved(false);
        state.set_draining(true);
        assert_eq!(state.health(now), Health::Draining);
        state.set_draining(false);
        assert_eq!(state.health(now), Health::Unresolved);
        state.set_resolved(true);
        assert_eq!(state.health(now), Health::DownByCheck);
        state.mark_check(CheckVerdict::Up);
        assert_eq!(state.health(now), Health::DownByConnect);
        state.connect_proven(Moment(0));
        assert_eq!(state.health(now), Health::Up);
    }

    #[test]
    fn fewer_failed_connects_than_the_threshold_leave_it_up() {
        let state = EndpointState::default();
        fail(&state, 2, Moment(5));
        assert_eq!(state.health(Moment(5)), Health::Up);
        state.connect_proven(Moment(0));
        fail(&state, 2, Moment(6));
        assert_eq!(state.health(Moment(6)), Health::Up, "an answer in between starts the count again");
    }

    #[test]
    fn a_threshold_of_zero_turns_passive_marking_off() {
        let state = EndpointState::default();
        for _ in 0..100 {
            state.connect_failed(Duration::ZERO, Moment(5), &PassiveMarking { failures: 0, ..PASSIVE });
        }
        assert_eq!(state.health(Moment(5)), Health::Up);
    }

    #[test]
    fn one_trial_is_let_in_when_the_mark_is_over_and_then_the_mark_stands_again() {
        let state = EndpointState::default();
        let start = Moment(0);
        fail(&state, 3, start);
        let due = start + PASSIVE.out_for;
        assert!(!state.claim_trial(Moment(due.0 - 2), &PASSIVE, None));
        assert!(state.is_open(due));
        assert!(state.claim_trial(due, &PASSIVE, None));
        assert!(!state.is_open(due));
        assert!(!state.claim_trial(due, &PASSIVE, None));
        assert_eq!(state.trial_due(), Some(due + PASSIVE.out_for));
    }

    #[test]
    fn people_hear_that_it_is_up_when_a_trial_has_succeeded_and_not_when_one_is_due() {
        let state = EndpointState::default();
        fail(&state, 3, Moment(0));
        let due = Moment(0) + PASSIVE.out_for;
        assert_eq!((state.health(due), state.lasting_health(due)), (Health::Up, Health::DownByConnect));
        state.trip(Ejection::Failures);
        state.connect_proven(Moment(0));
        assert_eq!(state.lasting_health(due), Health::DownByFailures);
        state.set_draining(true);
        assert_eq!(state.lasting_health(due), Health::Draining);
        state.set_draining(false);
        state.mend(due);
        assert_eq!(state.lasting_health(due), Health::Up);
    }

    #[test]
    fn connects_that_fail_slowly_are_no_last_resort() {
        let state = EndpointState::default();
        fail(&state, 3, Moment(0));
        assert!(state.is_last_resort());
        state.connect_failed(Duration::from_secs(1), Moment(0), &PASSIVE);
        assert!(!state.is_last_resort());
        state.connect_failed(Duration::ZERO, Moment(0), &PASSIVE);
        state.set_draining(true);
        assert!(!state.is_last_resort(), "draining wins");
    }

    #[test]
    fn who_refuses_is_asked_at_once_after_a_moment_and_more_seldom_the_longer_it_does() {
        let state = EndpointState::default();
        let asked_for = |at: Moment| {
            state.enter(at);
            assert_eq!(state.asked_from(), None, "it is being asked");
            state.leave(Phase::Waiting, Moment(0));
            fail(&state, 1, at);
            state.asked_from().map(|from| from.since(at))
        };
        let start = Moment(0) + Duration::from_mins(1);
        assert_eq!([asked_for(start), asked_for(start)], [None; 2], "it is up");
        assert_eq!(asked_for(start), Some(ASKED_AFTER_MAX), "it has never answered");
        state.connect_proven(start);
        fail(&state, 2, start);
        for (seconds, expected) in [(0, 50), (1, 125), (4, 500), (60, 1000)] {
            let asked = asked_for(start + Duration::from_secs(seconds));
            assert_eq!(asked, Some(Duration::from_millis(expected)), "after {seconds} s");
        }
        let back = start + Duration::from_secs(61);
        state.enter(back);
        state.reached();
        assert_eq!(state.asked_from(), Some(back + ASKED_AFTER_MIN), "it has taken the connection");
        state.leave(Phase::Waiting, Moment(0));
        fail(&state, 1, back);
        state.enter(back);
        assert_eq!(state.asked_from(), None, "it is gone again");
        state.leave(Phase::Waiting, Moment(0));
        state.trip(Ejection::Failures);
        assert_eq!(state.asked_from(), None, "a breaker has it out as well");
        state.mend(start);
        state.mark_check(CheckVerdict::Down);
        assert_eq!(state.asked_from(), None, "checks have");
        state.mark_check(CheckVerdict::Up);
        assert!(state.asked_from().is_some());
        state.connect_failed(Duration::from_secs(1), start, &PASSIVE);
        assert_eq!(state.asked_from(), None, "silence costs a request its time");
    }

    #[test]
    fn whose_connects_take_long_to_fail_is_asked_again_by_its_marks_alone() {
        let (state, now) = (EndpointState::default(), Moment(1));
        let later = now + PASSIVE.out_for;
        for (took, expected) in [(Duration::ZERO, true), (PASSIVE.slow_from, false)] {
            state.connect_failed(took, now, &PASSIVE);
            assert_eq!((state.is_to_be_asked(now), state.is_to_be_asked(later)), (false, expected));
        }
        state.connect_proven(later);
        state.absence().broke_off(later);
        assert!(state.is_to_be_asked(later), "it has answered, so that what broke off is news");
        state.enter(later);
        state.absence().broke_off(later);
        state.leave(Phase::Waiting, later);
        assert!(!state.is_to_be_asked(later), "it was asked");
    }

    #[test]
    fn whoever_answers_heads_and_breaks_off_what_follows_is_asked_once() {
        let (state, start) = (EndpointState::default(), Moment(1));
        let asked_at = |seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            state.connect_proven(now);
            state.absence().broke_off(now);
            let is_asked = state.is_to_be_asked(now);
            state.enter(now);
            state.begin(Phase::Answering, now);
            is_asked
        };
        assert_eq!(
            [0, 1, 5, 9, 10, 11, 19, 20].map(asked_at),
            [true, false, false, false, true, false, false, true]
        );
    }

    #[test]
    fn a_good_check_ends_the_wait_of_those_whose_trials_came_ever_more_seldom() {
        let (state, took, now) = (EndpointState::default(), Duration::from_secs(1), Moment(1));
        fail(&state, 2, now);
        (0..3).for_each(|_| state.absence().trial_was_costly());
        state.connect_failed(took, now, &PASSIVE);
        assert_eq!(state.trial_due(), Some(Moment(mark_at(now + 8 * PASSIVE.out_for, 0))));
        state.mark_check(CheckVerdict::Up);
        assert_eq!(state.health(now), Health::DownByConnect, "it says nothing new");
        state.mark_check(CheckVerdict::Down);
        state.mark_check(CheckVerdict::Up);
        assert!(state.is_due(now));
    }

    #[test]
    fn all_that_a_scan_reads_fits_in_one_cache_line() {
        assert!(size_of::<Live>() <= 64);
    }
}
