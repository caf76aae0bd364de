//! What has been learned about one endpoint, as all workers see it. Knows nothing of the other endpoints.
//!
//! Three parts by who touches them. `Standing` is read by every pick and shares the cache line of the counters. `Published`
//! is what the fleet's medians are taken from. `Mind` is behind a lock that is only ever tried: an answer that finds
//! another worker learning from the same endpoint is not learned from, and nobody waits. All atomics are `Relaxed`: each
//! is an estimate by itself, and a reader that sees one new and one old is off by one answer.

use super::distance::Distance;
use super::errors::{Elsewhere, ErrorRate, MEMORY_SHARED_SECONDS, Record, decayed};
use super::gaps::Gaps;
use super::model::{Answer, BACKOFF_MAX, BACKOFF_MIN, FleetLevel, Lesson, Model};
use super::spell::Spell;
use super::unhurried::Unhurried;
use crate::float::AtomicF32;
use crate::{EndpointState, Moment};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a pick needs to know beside the requests in flight.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Service time over parallelism, shrunk to and in units of the fleet's.
    pub(crate) cost: AtomicF32,
    /// What failing costs, in the same units.
    pub(crate) error_cost: AtomicF32,
    /// Answers a nanosecond from one request in flight: `1 / L`. 0: not known yet.
    pace: AtomicF32,
    /// The mean of recent residuals, clamped.
    pub(crate) recent: AtomicF32,
    /// When it last gave a sign of life, or got busy.
    last_sign: AtomicU64,
    /// 0: no probe wanted. Else when the next one may go; in the lowest bits `PROBING` while one is out, `EXPLORING` for one that
    /// goes whatever this endpoint is believed to cost.
    probe: AtomicU64,
}

const PROBING: u64 = 1;
const EXPLORING: u64 = 2;

impl Default for Standing {
    /// An endpoint nothing is known about costs what the fleet costs.
    fn default() -> Self {
        Self {
            cost: AtomicF32::new(1.0),
            error_cost: AtomicF32::default(),
            pace: AtomicF32::default(),
            recent: AtomicF32::default(),
            last_sign: AtomicU64::default(),
            probe: AtomicU64::default(),
        }
    }
}

impl Standing {
    pub(crate) fn sign_of_life(&self, now: Moment) {
        self.last_sign.store(now.0, Relaxed);
    }

    /// The last answers came late for a reason that is known.
    pub(crate) fn forgive(&self) {
        if self.recent.get() > 0.0 {
            self.recent.set(0.0);
        }
    }

    /// How long it has been silent, in units of the gap that `waiting` requests let expect (Little's law).
    pub(crate) fn silence(&self, waiting: u32, now: Moment) -> f32 {
        self.age(now) * waiting as f32
    }

    /// Since the last sign of life.
    pub(crate) fn silent_for(&self, now: Moment) -> Duration {
        now.since(Moment(self.last_sign.load(Relaxed)))
    }

    /// In nanoseconds; infinite as long as it is not known.
    pub(crate) fn mean_latency(&self) -> f32 {
        1.0 / self.pace.get()
    }

    /// Time since the last sign of life, in mean latencies.
    pub(crate) fn age(&self, now: Moment) -> f32 {
        // Through i64, which one instruction converts; u64 takes a branch and ten.
        let age = now.0.saturating_sub(self.last_sign.load(Relaxed)).cast_signed();
        age as f32 * self.pace.get()
    }

    pub(crate) fn is_probe_due(&self, now: Moment) -> bool {
        let probe = self.probe.load(Relaxed);
        probe != 0 && probe <= now.0
    }

    /// Whether the probe that is due or out goes whatever this endpoint is believed to cost.
    pub(crate) fn is_exploring(&self) -> bool {
        self.probe.load(Relaxed) & EXPLORING != 0
    }

    /// Takes the probe that is due, if nobody else did. One that never reports back is due again after a while.
    pub(crate) fn claim_probe(&self, now: Moment) {
        let probe = self.probe.load(Relaxed);
        let out = moment_of_probe(now + BACKOFF_MAX) | PROBING | (probe & EXPLORING);
        if probe != 0 && probe <= now.0 {
            // Losing the race means that the other worker's request is the probe.
            let _ = self.probe.compare_exchange(probe, out, Relaxed, Relaxed);
        }
    }
}

/// The latest estimates, for the medians and for people.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) log_service: AtomicF32,
    pub(crate) log_parallelism: AtomicF32,
    pub(crate) noise: AtomicF32,
    pub(crate) log_latency: AtomicF32,
    pub(crate) sway: AtomicF32,
    pub(crate) spread: AtomicF32,
    pub(crate) distance: Distance,
    /// The most requests in flight, for each unit of weight, that nobody has been seen to wait among; 0 before the first success.
    pub(crate) unhurried: AtomicF32,
    /// How old its silences are, in units of the expected gap.
    pub(crate) silence: AtomicF32,
    /// 0 before the first success.
    pub(crate) gain: AtomicF32,
    error_rate: AtomicF32,
    error_memory: AtomicF32,
    attempts: AtomicF32,
    failures: AtomicF32,
    /// When the last failures began that nothing explained, and the last of them.
    spell_began: AtomicU64,
    last_failed: AtomicU64,
    /// 0 before the first answer of any kind.
    heard_at: AtomicU64,
    /// When an answer last taught something of latency.
    taught_at: AtomicU64,
    /// When it joined the cluster or came back, by its first answer since.
    joined: AtomicU64,
    is_rejoining: AtomicBool,
    /// What part of the believed its last answer took, where it was explored and did better than believed; 0 where not.
    promise: AtomicF32,
    /// So many periods in a row it had nothing to do and was not heard.
    unheard_periods: AtomicU32,
}

impl Published {
    pub(crate) fn error_rate(&self, now: Moment) -> f32 {
        decayed(self.error_rate.get(), self.error_memory.get(), Moment(self.heard_at.load(Relaxed)), now)
    }

    /// As of the last answer or failure.
    pub(crate) fn record(&self) -> Record {
        Record { attempts: self.attempts.get(), failures: self.failures.get() }
    }

    pub(crate) fn spell(&self) -> Spell {
        Spell { began: Moment(self.spell_began.load(Relaxed)), last: Moment(self.last_failed.load(Relaxed)) }
    }

    /// Many have failed in the moment of its failures.
    pub(crate) fn share_blame(&self) {
        self.error_memory.set(MEMORY_SHARED_SECONDS);
    }

    /// Whether any answer or failure ever came.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard_at.load(Relaxed) != 0
    }

    pub(crate) fn idle(&self, now: Moment) -> Duration {
        now.since(Moment(self.heard_at.load(Relaxed)))
    }

    /// Since its answers last taught something of latency.
    pub(crate) fn untaught(&self, now: Moment) -> Duration {
        now.since(Moment(self.taught_at.load(Relaxed)))
    }

    /// Nothing has been heard of it since it joined or came back.
    pub(crate) fn joins(&self) -> bool {
        self.is_rejoining.load(Relaxed) || !self.is_heard()
    }

    pub(crate) fn joined(&self) -> Moment {
        Moment(self.joined.load(Relaxed))
    }

    /// What it would cost by its last answer, where that was better than believed.
    pub(crate) fn promised(&self, cost: f32) -> Option<f32> {
        Some(self.promise.get()).filter(|promise| *promise > 0.0).map(|promise| promise * cost)
    }

    /// Counts one more period without a word from it; gives their number.
    pub(crate) fn another_period_unheard(&self) -> u32 {
        let periods = self.unheard_periods.load(Relaxed).saturating_add(1);
        self.unheard_periods.store(periods, Relaxed);
        periods
    }
}

/// What is believed about an endpoint, for people to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beliefs {
    /// The time an unhurried request takes to its answer's head; zero before the first answer.
    pub service: Duration,
    /// What a connect takes: the way there and back.
    pub round_trip: Option<Duration>,
    /// Requests it serves at once before they queue, for each unit of weight.
    pub parallelism: f32,
    /// The rate of failures among recent attempts, as of the last one.
    pub error_rate: f32,
    /// What one more request costs there, in units of the fleet's typical endpoint.
    pub cost: f32,
    /// What its failing adds to that.
    pub error_cost: f32,
}

#[derive(Debug, Default)]
struct Mind {
    model: Model,
    errors: ErrorRate,
    gaps: Gaps,
    backoff: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) published: Published,
    mind: Mutex<Mind>,
    unhurried: Mutex<Unhurried>,
}

/// What an attempt that says something about its endpoint said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Evidence {
    Failure,
    /// The connection broke, of a request that was picked then.
    Break {
        picked: Moment,
    },
    /// `silence`: how long nothing had come before, in units of the expected gap.
    Success {
        latency: Duration,
        load: f64,
        silence: f32,
    },
    /// It has done what was asked, in a time that says nothing of how soon others are answered: it is long by itself, or there was nothing
    /// to do (not found, not allowed).
    OtherSuccess {
        silence: f32,
    },
}

impl Learned {
    /// The endpoint was out and is back: it may be cold.
    pub(crate) fn rejoin(&self) {
        self.published.is_rejoining.store(true, Relaxed);
    }

    pub(crate) fn beliefs(&self, standing: &Standing) -> Beliefs {
        let published = &self.published;
        let is_known = published.gain.get() > 0.0;
        let service = if is_known { published.log_service.get().exp() } else { 0.0 };
        Beliefs {
            service: Duration::try_from_secs_f32(service).unwrap_or_default(),
            round_trip: published.distance.round_trip().map(Duration::from_secs_f32),
            parallelism: published.log_parallelism.get().exp(),
            error_rate: published.error_rate.get(),
            cost: standing.cost.get(),
            error_cost: standing.error_cost.get(),
        }
    }

    pub(crate) fn learn(
        &self,
        state: &EndpointState,
        evidence: Evidence,
        fleet: Option<&FleetLevel>,
        elsewhere: Elsewhere,
        now: Moment,
    ) -> Lesson {
        let Ok(mut mind) = self.mind.try_lock() else { return Lesson::Fits };
        let mind = &mut *mind;
        let idle = now.since(mind.errors.at).as_secs_f64();
        if self.joins(now) {
            mind.errors = ErrorRate::default();
        }
        match evidence {
            Evidence::Failure => mind.errors.failed(elsewhere, now),
            Evidence::Break { picked } => mind.errors.broke(picked, elsewhere, now),
            Evidence::Success { .. } | Evidence::OtherSuccess { .. } => mind.errors.succeeded(elsewhere, now),
        }
        self.publish_errors(&mind.errors);
        if let Evidence::Success { silence, .. } | Evidence::OtherSuccess { silence } = evidence {
            mind.gaps.learn(silence);
            self.published.silence.set(mind.gaps.age());
        }
        let Evidence::Success { latency, load, .. } = evidence else {
            mind.end_vain_probe(state, now);
            return Lesson::Fits;
        };
        let lesson = mind.model.learn(&Answer { latency: latency.as_secs_f64(), load, idle }, fleet);
        self.publish_model(&mind.model, state.standing());
        self.published.taught_at.store(now.0, Relaxed);
        let is_slow = fleet.is_some_and(|fleet| mind.model.is_slow(fleet));
        let is_better =
            state.standing().is_exploring() && fleet.is_some_and(|fleet| mind.model.is_better(fleet));
        self.published.promise.set(if is_better { mind.model.last.exp() as f32 } else { 0.0 });
        mind.plan_probe(state, is_slow, lesson, now);
        lesson
    }

    /// What an answer tells of whether it waited. `requests`: how many were in flight at its pick, itself included; `lightness`: what one is
    /// for each unit of weight.
    pub(crate) fn watch_waiting(&self, latency: Duration, requests: f32, lightness: f32) {
        let Ok(mut unhurried) = self.unhurried.try_lock() else { return };
        let log_latency = latency.as_secs_f32().max(1e-6).ln();
        self.published.unhurried.set(unhurried.learn(log_latency, requests) * lightness);
    }

    /// Nothing is heard of the endpoint: a request now and then finds out whether that has changed.
    pub(crate) fn plan_another_probe(&self, state: &EndpointState, now: Moment) {
        if let Ok(mut mind) = self.mind.try_lock() {
            mind.plan_probe(state, true, Lesson::Fits, now);
        }
    }

    /// Nothing has been heard of the endpoint for so long that what is believed about it may have become wrong: the next request
    /// finds out, unless one is out to do so.
    pub(crate) fn explore(&self, state: &EndpointState, now: Moment) {
        let probe = &state.standing().probe;
        let planned = probe.load(Relaxed);
        if planned & PROBING != 0 && planned > now.0 {
            return;
        }
        self.published.unheard_periods.store(0, Relaxed);
        // Losing the race means that a request was sent there, or is to be.
        if probe.compare_exchange(planned, moment_of_probe(now) | EXPLORING, Relaxed, Relaxed).is_ok() {
            state.want_probe(true);
        }
    }

    /// Whether this is the first answer since the endpoint joined or came back.
    fn joins(&self, now: Moment) -> bool {
        let published = &self.published;
        if !published.joins() {
            return false;
        }
        published.is_rejoining.store(false, Relaxed);
        published.joined.store(now.0, Relaxed);
        true
    }

    fn publish_errors(&self, errors: &ErrorRate) {
        self.published.error_rate.set(errors.rate);
        self.published.error_memory.set(errors.memory);
        self.published.attempts.set(errors.record.attempts);
        self.published.failures.set(errors.record.failures);
        self.published.spell_began.store(errors.spell.began.0, Relaxed);
        self.published.last_failed.store(errors.spell.last.0, Relaxed);
        self.published.heard_at.store(errors.at.0.max(1), Relaxed);
        self.published.unheard_periods.store(0, Relaxed);
    }

    fn publish_model(&self, model: &Model, standing: &Standing) {
        let published = &self.published;
        published.log_service.set(model.log_service as f32);
        published.log_parallelism.set(model.log_parallelism as f32);
        published.noise.set(model.noise as f32);
        published.log_latency.set(model.log_latency as f32);
        published.sway.set(model.sway() as f32);
        published.spread.set(model.spread() as f32);
        published.gain.set(model.gain() as f32);
        standing.pace.set((1e-9 / model.latency.max(1e-6)) as f32);
        standing.recent.set(model.recent_clamped as f32);
    }
}

impl Mind {
    /// While the endpoint is slow, a request now and then finds out whether it still is: twice as long after each probe,
    /// and soon again after a change.
    fn plan_probe(&mut self, state: &EndpointState, is_slow: bool, lesson: Lesson, now: Moment) {
        let standing = state.standing();
        let probe = standing.probe.load(Relaxed);
        state.want_probe(is_slow);
        if !is_slow {
            if probe != 0 {
                standing.probe.store(0, Relaxed);
            }
            return;
        }
        if probe == 0 || lesson == Lesson::Jumped {
            self.backoff = BACKOFF_MIN;
        } else if probe & PROBING != 0 {
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        } else {
            return;
        }
        standing.probe.store(moment_of_probe(now + self.backoff), Relaxed);
    }

    /// It has told nothing of how slow the endpoint is. One that went to explore has found that it fails, which is priced, or that it answers,
    /// and is not due again at once.
    fn end_vain_probe(&mut self, state: &EndpointState, now: Moment) {
        let probe = state.standing().probe.load(Relaxed);
        if probe & PROBING == 0 {
            return;
        }
        let is_slow = probe & EXPLORING == 0;
        self.plan_probe(state, is_slow, Lesson::Fits, now);
    }
}

/// The moment without the bits that say what the probe is, and not 0.
fn moment_of_probe(at: Moment) -> u64 {
    (at.0 & !(PROBING | EXPLORING)).max(4)
}
