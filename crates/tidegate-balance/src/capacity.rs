//! How many requests one endpoint should have in flight, from its answers alone: enough to keep it busy, and not so many
//! that they queue inside it. Knows no other endpoint and no algorithm.
//!
//! What tells is how the latency answers to the load. By Little's law, while slots are idle the latency does not depend on
//! the requests in flight; once all are busy it grows in proportion. So the slope of ln latency over ln load goes from 0 to 1
//! where the slots run out, and the limit is held where it is about in the middle. A limit that held the load constant would
//! learn nothing, however (half the service time and half the slots fit as well), so it is lower for a few latencies in each
//! cycle, and higher for a few.
//!
//! It starts as TCP does: twice as many with each round of answers, until somebody has been seen to wait, and then half as many as long
//! as that helps. Where slots go, and latencies leave all that was known, it falls at once, and starts anew from there. As with TCP, who
//! never comes back says the most: where most of a round are given up unanswered, the limit is halved (`lateness.rs`), and comes back by doubling (`recovery.rs`); where some are,
//! and the more the higher the load, that counts as latency does. An endpoint that refuses says by itself how many it takes (`refusals.rs`).
//!
//! What waits for something else than a slot (long polls) keeps nobody out: while nothing comes of those that are there, more are let in, ever more
//! slowly, and one of these that is answered at once proves that there is room.
//!
//! The parallelism that `adaptive` learns is not used. It is there to tell endpoints apart, and a limit of 1.2 times it and
//! one proves itself right: in simulation an endpoint with 8 slots was kept at 3 requests, and one with 100 as well.

use crate::Moment;
use crate::block::{Block, NEAR, ROUND_MIN};
use crate::float::AtomicF32;
use crate::lateness::{End, Lateness, QUICK};
use crate::latest::Latest;
use crate::recovery::{Next, Recovery};
use crate::refusals::Refusals;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Requests in flight before anything is known.
const FIRST: f32 = 8.0;
const MOST: f32 = 10_000.0;
/// The least that a slope leads to: with one at a time there is no other load, and so no slope.
const LEAST: f32 = 1.05;
/// The cycle, in typical latencies, and in it the time of the lower and of the higher limit. Lower is short, because slots
/// idle; higher costs only a short queue in the endpoint.
pub(crate) const CYCLE: f64 = 16.0;
const LOWER: Range<f64> = 0.0..2.0;
const HIGHER: Range<f64> = 8.0..11.0;
/// By how much one block moves the limit at most: one slow spell is no proof. A block that says the same as the one before
/// counts double, the next four times, up to this.
const DOWN_MOST: f64 = 0.2;
const UP_MOST: f64 = 0.35;
const MOMENTUM_MOST: f64 = 8.0;
/// Rounds of those before that count when the limit is doubled: a load that was long far below it says little of the one that comes.
const ROUNDS_REMEMBERED: f64 = 4.0;
/// A limit that does not go up and down: nothing is known yet, or the latencies at one limit are compared with those at half of it.
const AS_IT_IS: f32 = 0.0;
/// Most latencies of late are so many times the settled mean, and grow with the load: there are fewer slots than there were.
const FALLEN: f64 = 3.0;
/// And so many times: it is far too many.
const DEEP: f64 = 6.0;
/// It falls to this part of the limit at most then, and to so many requests: slow ones that come together look the same.
const FALL_MOST: f32 = 0.125;
const FALL_LEAST: f32 = 4.0;
/// Answers that the typical latency is taken over.
const TYPICAL_OVER: f32 = 64.0;
/// An endpoint that is full and says nothing for this many typical latencies gets one request more, one more after twice that, and so on: those
/// that it has may wait for something else than a slot.
const SILENCE: f64 = 8.0;
/// In typical latencies: what takes so long is looked at apart.
const SLOW: f64 = 8.0;
/// In typical latencies: no wait.
const AT_ONCE: f32 = 2.0;
/// And the usual one: what happens while slots go changes it little.
const USUAL_OVER: f64 = 512.0;
/// In usual latencies: a failure that takes less is of another kind.
const NOT_QUICK: f64 = 0.5;
/// The typical latency while none is known, in seconds.
const TYPICAL_ASSUMED: f32 = 0.02;

/// Why a learned limit is as high as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitReason {
    /// Nobody has been seen to wait: it is doubled with each round of answers.
    #[default]
    Start,
    /// Answers took longer the more there were: half as many are tried, as long as that helps.
    Descent,
    /// One more would begin to wait.
    Steady,
    /// Hardly anybody was served: it was halved, and comes back from there.
    Recovery,
    /// The endpoint refuses what is more.
    Refusals,
    /// Nothing is heard of those that are there: some more are let in.
    Silence,
}

impl LimitReason {
    /// Those that are learned with the limit; the others follow from it.
    const LEARNED: [Self; 4] = [Self::Start, Self::Descent, Self::Steady, Self::Recovery];
}

/// The limit as picks read it, and what it is learned from.
#[derive(Debug)]
pub(crate) struct Capacity {
    limit: AtomicF32,
    /// Why, as a position in `LimitReason::LEARNED`.
    reason: AtomicU8,
    /// The most that the endpoint takes by what it refuses.
    ceiling: AtomicF32,
    /// `1 / typical latency`, in nanoseconds, of the last block, or `AS_IT_IS`.
    pace: AtomicF32,
    /// In seconds. 0: not known yet.
    typical: AtomicF32,
    /// When something came of a request there, or the first that waits there was asked for.
    heard: AtomicU64,
    learning: Mutex<Learning>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            limit: AtomicF32::new(FIRST),
            reason: AtomicU8::default(),
            ceiling: AtomicF32::new(f32::INFINITY),
            pace: AtomicF32::default(),
            typical: AtomicF32::default(),
            heard: AtomicU64::default(),
            learning: Mutex::default(),
        }
    }
}

impl Capacity {
    /// The most requests in flight now.
    pub(crate) fn limit(&self, now: Moment) -> u32 {
        let (limit, extra) = self.limit_and_extra(now);
        limit + extra
    }

    /// The same where none is in flight, and so nothing is to be heard.
    pub(crate) fn limit_of_idle(&self, now: Moment) -> u32 {
        self.limit_and_extra(now).0
    }

    pub(crate) fn reason(&self, now: Moment, is_idle: bool) -> LimitReason {
        match self.limit_and_extra(now) {
            (_, 1..) if !is_idle => LimitReason::Silence,
            (limit, _) if limit as f32 >= self.ceiling.get() => LimitReason::Refusals,
            _ => {
                LimitReason::LEARNED.get(usize::from(self.reason.load(Relaxed))).copied().unwrap_or_default()
            }
        }
    }

    /// What answers allow, and what is let in beyond that because nothing is heard.
    fn limit_and_extra(&self, now: Moment) -> (u32, u32) {
        let (pace, limit) = (f64::from(self.pace.get()), self.limit.get());
        let (lower, higher) = excursion(limit);
        let factor = match (now.0 as f64 * pace) % CYCLE {
            _ if pace <= f64::from(AS_IT_IS) => 1.0,
            phase if LOWER.contains(&phase) => lower,
            phase if HIGHER.contains(&phase) => higher,
            _ => 1.0,
        };
        let limit = (factor * limit).ceil().min(self.ceiling.get()).max(1.0);
        (limit as u32, self.extra(now).min(limit.max(FIRST) as u32))
    }

    /// What `limit` is never less than.
    pub(crate) fn least(&self) -> u32 {
        let limit = self.limit.get();
        (excursion(limit).0 * limit).min(self.ceiling.get()).max(1.0) as u32
    }

    /// One for each time that the silence has doubled.
    fn extra(&self, now: Moment) -> u32 {
        let silence = now.since(Moment(self.heard.load(Relaxed))).as_secs_f64();
        (1.0 + silence / (SILENCE * f64::from(self.typical_or_assumed()))).log2() as u32
    }

    fn typical_or_assumed(&self) -> f32 {
        match self.typical.get() {
            0.0 => TYPICAL_ASSUMED,
            typical => typical,
        }
    }

    /// The first request that waits there is asked for.
    pub(crate) fn first_asked(&self, now: Moment) {
        self.heard.store(now.0, Relaxed);
    }

    /// One answer: `load` is what was in flight when it was asked for, itself included. When another worker is at it, this
    /// answer teaches nothing, and nobody waits.
    pub(crate) fn learn(&self, latency: Duration, load: u32, now: Moment) {
        self.heard.store(now.0, Relaxed);
        let Ok(mut learning) = self.learning.try_lock() else { return };
        let (latency, load) = (latency.as_secs_f64().max(1e-6), f64::from(load.max(1)));
        learning.answers += 1;
        if learning.is_told_by(latency) {
            self.learn_typical(latency as f32, learning.answers);
            learning.add(load, latency, now);
        }
        learning.learn_usual(latency);
        learning.note(now, latency, End::Answered);
        if let Some(ceiling) = learning.refusals.served(load as u32, now) {
            self.ceiling.set(ceiling);
        }
        self.conclude(&mut learning, now);
    }

    fn learn_typical(&self, latency: f32, answers: u64) {
        self.typical.set(match self.typical.get() {
            0.0 => latency,
            typical => typical * ((latency / typical).ln() / (answers as f32).min(TYPICAL_OVER)).exp(),
        });
    }

    /// One of those that were let in because nothing was heard has been answered. At once: then those that are silent are in nobody's way,
    /// unless they wait in vain.
    pub(crate) fn learn_let_in(&self, latency: Duration, load: u32) {
        let are_served = || self.learning.try_lock().is_ok_and(|it| !it.lateness.hardly_anybody_is_served());
        if latency.as_secs_f32() < AT_ONCE * self.typical_or_assumed() && are_served() {
            self.limit.set(self.limit.get().max(load as f32));
        }
    }

    /// Whether so many are more than there would be if something had been heard.
    pub(crate) fn is_beyond(&self, load: u32) -> bool {
        let limit = self.limit.get();
        load as f32 > (excursion(limit).1 * limit).ceil()
    }

    /// A request that one of the proxy's own timeouts ended, unanswered, after so long a wait. Says nothing where it has not waited for
    /// longer than is usual, or nothing usual is known: the timeout is too short for any load.
    pub(crate) fn learn_late(&self, waited: Duration, load: u32, now: Moment) {
        self.heard.store(now.0, Relaxed);
        let typical = self.typical.get();
        if typical == 0.0 || waited.as_secs_f32() < typical {
            return;
        }
        let Ok(mut learning) = self.learning.try_lock() else { return };
        let (waited, load) = (waited.as_secs_f64().max(1e-6), f64::from(load.max(1)));
        if learning.add(load, waited, now) {
            learning.block.add_late(load);
        }
        learning.note(now, waited, End::Late);
        self.conclude(&mut learning, now);
    }

    /// A failure that the endpoint answered with, which may be because it has a timeout of its own.
    pub(crate) fn learn_failure(&self, latency: Duration, now: Moment) {
        let Ok(mut learning) = self.learning.try_lock() else { return };
        let (latency, usual) = (latency.as_secs_f64(), learning.usual);
        if usual > 0.0 && latency >= NOT_QUICK * usual {
            self.heard.store(now.0, Relaxed);
            learning.note(now, latency, End::InVain);
            self.conclude(&mut learning, now);
        }
    }

    /// A client left after so long a wait, or its time was over. It may have any reason, unless hardly anybody else is served either.
    pub(crate) fn learn_left(&self, waited: Duration, now: Moment) {
        let Ok(mut learning) = self.learning.try_lock() else { return };
        if learning.usual > 0.0 {
            learning.note(now, waited.as_secs_f64(), End::InVain);
            self.conclude(&mut learning, now);
        }
    }

    /// An endpoint that said it was asked too much.
    pub(crate) fn learn_refused(&self, load: u32, now: Moment) {
        self.heard.store(now.0, Relaxed);
        let Ok(mut learning) = self.learning.try_lock() else { return };
        if let Some(ceiling) = learning.refusals.refused(load.max(1), now) {
            self.ceiling.set(ceiling);
        }
    }

    fn conclude(&self, learning: &mut Learning, now: Moment) {
        self.move_limit(learning, now);
        self.reason.store(learning.reason() as u8, Relaxed);
    }

    fn move_limit(&self, learning: &mut Learning, now: Moment) {
        let limit = self.limit.get();
        if learning.block.round < 1.5 {
            learning.slow_from = SLOW * f64::from(self.typical.get());
        }
        if learning.lateness.has_too_many(limit) {
            self.limit.set(learning.halve(limit, now));
            return;
        }
        let block = &learning.block;
        match learning.phase {
            Phase::Start if block.somebody_waits() => self.fall(learning, limit, now),
            Phase::Start if block.round >= f64::from(limit.max(learning.recovery.round_min(ROUND_MIN))) => {
                self.start(learning, limit, now);
            }
            Phase::Descent { from } if learning.is_told_whether_fewer_help(limit) => {
                self.descend(learning, limit, from, now);
            }
            Phase::Steady if learning.takes_times(FALLEN) && block.all_wait(limit) => {
                self.fall(learning, limit, now);
            }
            Phase::Steady if block.is_full(limit) || block.nobody_waits(limit) => self.hold(learning, limit),
            _ => {}
        }
    }

    fn start(&self, learning: &mut Learning, limit: f32, now: Moment) {
        self.set_pace(learning.block.mean());
        learning.settled = learning.block.mean();
        match learning.after_round(limit) {
            Next::Another => {}
            Next::Settle(next) => {
                self.limit.set(next);
                return learning.begin(Phase::Steady, now);
            }
            Next::Start(next) => {
                self.limit.set(next.min(MOST));
                learning.block.fade_to(ROUNDS_REMEMBERED * f64::from(limit.max(ROUND_MIN)));
            }
        }
        let block = &mut learning.block;
        block.begin_round();
        if block.is_long(limit) {
            block.fade();
        }
    }

    /// To half, and on as long as that helps. From a deep fall it starts anew: whether slots have gone, or slow ones fill them for a moment, is
    /// soon told by doubling.
    fn fall(&self, learning: &mut Learning, limit: f32, now: Moment) {
        self.pace.set(AS_IT_IS);
        if learning.takes_times(DEEP) {
            self.limit.set(learning.after_deep_fall(limit));
            learning.settled = 0.0;
            return learning.begin(Phase::Start, now);
        }
        self.limit.set((limit / 2.0).max(1.0));
        learning.latest.raise_to(learning.block.latency_at(f64::from(limit)));
        learning.begin(Phase::Descent { from: limit }, now);
    }

    fn descend(&self, learning: &mut Learning, limit: f32, from: f32, now: Moment) {
        let latency = learning.block.round_latency / learning.block.round;
        learning.settled = latency;
        self.set_pace(latency);
        if !learning.latest.are_less_than(&learning.before) {
            self.limit.set(from);
            // A round is too short to tell what they settle at.
            learning.settled = 0.0;
            learning.begin(Phase::Steady, now);
        } else if limit > 1.0 {
            self.limit.set((limit / 2.0).max(1.0));
            self.pace.set(AS_IT_IS);
            learning.begin(Phase::Descent { from: limit }, now);
        } else {
            learning.begin(Phase::Steady, now);
        }
    }

    fn hold(&self, learning: &mut Learning, limit: f32) {
        self.set_pace(learning.block.mean());
        let block = &learning.block;
        learning.settled = block.mean();
        if block.load_max >= NEAR * f64::from(limit) {
            let is_raised = !learning.lateness.hardly_anybody_is_served();
            let said = block.step().min(if is_raised { UP_MOST } else { 0.0 });
            let step = learning.with_momentum(said);
            self.limit.set((limit * step.exp() as f32).clamp(LEAST, MOST));
        }
        learning.block = Block::default();
    }

    /// By the mean latency, unless a few that take very long make it.
    fn set_pace(&self, mean: f64) {
        self.pace.set(1e-9 / (mean as f32).min(2.0 * self.typical_or_assumed()));
    }
}

/// How the limit is sought.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// As long as nobody waits, twice as many with each round.
    #[default]
    Start,
    /// Somebody has waited: half as many with each round, as long as that helps.
    Descent { from: f32 },
    /// By the slope, in small steps.
    Steady,
}

/// The lower and the higher limit, compared with the limit: of few requests, one more or less is too little to tell anything.
fn excursion(limit: f32) -> (f32, f32) {
    if limit < 2.0 { (0.75, 2.0) } else { (0.75, 1.4) }
}

#[derive(Debug, Default)]
struct Learning {
    phase: Phase,
    block: Block,
    /// What came before is of another phase.
    since: Moment,
    /// By how much the last blocks moved the limit.
    momentum: f64,
    last_step: f64,
    /// The mean latency of the last block. 0: not known yet.
    settled: f64,
    /// Of this phase and of the one before.
    latest: Latest,
    before: Latest,
    /// Latencies that are of another kind than most.
    slow_from: f64,
    answers: u64,
    /// In seconds. 0: not known yet.
    usual: f64,
    lateness: Lateness,
    recovery: Recovery,
    refusals: Refusals,
}

impl Learning {
    fn begin(&mut self, phase: Phase, now: Moment) {
        self.phase = phase;
        self.since = now;
        self.block = Block::default();
        self.before = std::mem::take(&mut self.latest);
        (self.momentum, self.last_step) = (1.0, 0.0);
        self.lateness = Lateness::since(now);
    }

    /// Hardly anybody is served. The limit from now on.
    fn halve(&mut self, limit: f32, now: Moment) -> f32 {
        let next = self.recovery.halve(limit, matches!(self.phase, Phase::Start));
        let lateness = self.lateness.after_fall(now);
        self.begin(Phase::Start, now);
        self.lateness = lateness;
        next
    }

    fn reason(&self) -> LimitReason {
        match self.phase {
            Phase::Start if self.recovery.is_under_way() => LimitReason::Recovery,
            Phase::Start => LimitReason::Start,
            Phase::Descent { .. } => LimitReason::Descent,
            Phase::Steady => LimitReason::Steady,
        }
    }

    fn after_round(&mut self, limit: f32) -> Next {
        let block = &self.block;
        let is_near = block.load_max >= NEAR * f64::from(limit);
        if !is_near || block.are_most_late() || self.lateness.hardly_anybody_is_served() {
            return Next::Another;
        }
        self.recovery.next(limit, block.round_latency / block.round, self.usual)
    }

    /// Where hardly anybody is served, what takes no slot still is, and says nothing of the others.
    fn is_told_by(&self, latency: f64) -> bool {
        !self.lateness.hardly_anybody_is_served() || latency >= QUICK * self.usual
    }

    /// Unless it is of another phase: whoever was asked for before the limit fell has waited behind those who were too many.
    fn add(&mut self, load: f64, latency: f64, now: Moment) -> bool {
        let waited = Duration::try_from_secs_f64(latency).unwrap_or(Duration::MAX);
        let is_of_this = now.since(self.since) >= waited;
        if is_of_this {
            self.latest.add(latency, now);
            self.block.add(load, latency, self.slow_from > 0.0 && latency >= self.slow_from);
        }
        is_of_this
    }

    fn is_told_whether_fewer_help(&self, limit: f32) -> bool {
        self.block.round >= f64::from((limit / 2.0).max(ROUND_MIN)) && self.latest.are_told(&self.before)
    }

    /// Most that is answered takes more than so many times as long as it did.
    fn takes_times(&self, times: f64) -> bool {
        self.settled > 0.0 && self.latest.are_most_above(times * self.settled)
    }

    /// Where the latency would be about twice what it was, if it goes with the load.
    fn after_deep_fall(&self, limit: f32) -> f32 {
        let latency = self.block.recent * f64::from(limit) / self.block.recent_load;
        let part = (2.0 * self.settled / latency) as f32;
        (part.max(FALL_MOST) * limit).max(FALL_LEAST).min(limit / 2.0).max(1.0)
    }

    fn note(&mut self, now: Moment, seconds: f64, end: End) {
        self.lateness.note(now, seconds, self.usual, end);
    }

    fn learn_usual(&mut self, latency: f64) {
        let gain = 1.0 / (self.answers as f64).min(USUAL_OVER);
        let known = if self.usual == 0.0 { latency } else { self.usual };
        self.usual = known * (gain * (latency / known).ln()).exp();
    }

    /// A step that is to be taken. What several blocks say, each doubtfully, is less doubtful.
    fn with_momentum(&mut self, step: f64) -> f64 {
        let goes_on = step * self.last_step > 0.0;
        self.momentum = if goes_on { (2.0 * self.momentum).min(MOMENTUM_MOST) } else { 1.0 };
        self.last_step = step;
        (step * self.momentum).clamp(-DOWN_MOST, UP_MOST)
    }
}
