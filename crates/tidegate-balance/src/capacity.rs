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
use crate::float::AtomicF32;
use crate::lateness::{End, Lateness, QUICK};
use crate::recovery::{Next, Recovery};
use crate::refusals::Refusals;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Requests in flight before anything is known.
const FIRST: f32 = 8.0;
const MOST: f32 = 10_000.0;
/// The least that a slope leads to: with one at a time there is no other load, and so no slope.
const LEAST: f32 = 1.05;
/// The cycle, in typical latencies, and in it the time of the lower and of the higher limit. Lower is short, because slots
/// idle; higher costs only a short queue in the endpoint.
const CYCLE: f64 = 16.0;
const LOWER: Range<f64> = 0.0..2.0;
const HIGHER: Range<f64> = 8.0..11.0;
/// With slots to spare the slope is 0, with none it is 1. The limit is held where it is this: a slot that idles costs more
/// than a request that waits in the endpoint instead of here.
const SLOPE_WANTED: f64 = 0.7;
/// How much of the difference one block makes good, and at most: one slow spell is no proof. A block that says the same as the one before
/// counts double, the next four times, up to this.
const GAIN: f64 = 0.5;
const DOWN_MOST: f64 = 0.2;
const UP_MOST: f64 = 0.35;
const MOMENTUM_MOST: f64 = 8.0;
/// Upwards, when all loads were the same.
const NUDGE: f64 = 0.1;
/// Upwards as well, as at the start, where latencies are too scattered to say anything.
const UNSURE: f64 = 0.5;
const UP_UNSURE: f64 = 0.2;
/// A slope is believed the less, the larger its standard error is, compared with this.
const ERROR_ALLOWED: f64 = 0.25;
/// Answers that make a block: about those of one cycle.
const BLOCK_MIN: f32 = 64.0;
/// A limit that nobody comes near is not moved: nothing is learned about it.
const NEAR: f64 = 0.8;
/// Answers that make a round of the start, at least.
const ROUND_MIN: f32 = 8.0;
/// Rounds of those before that count when the limit is doubled: a load that was long far below it says little of the one that comes.
const ROUNDS_REMEMBERED: f64 = 4.0;
/// A limit that does not go up and down: nothing is known yet, or the latencies at one limit are compared with those at half of it.
const AS_IT_IS: f32 = 0.0;
/// While it starts, a slope that is surely above this says that somebody waits.
const SLOPE_OF_WAITING: f64 = 0.35;
/// Answers that a latency is of late that is taken over.
const RECENT: f64 = 8.0;
/// Fewer have helped when the latency is below this part of what it was.
const HELPED: f64 = 0.75;
/// Latencies of late that are so many times those of the block before, and grow with the load, say that there are fewer slots than there were.
const FALLEN: f64 = 3.0;
/// And those that are so many times say that it is far too many.
const DEEP: f64 = 6.0;
/// Of so many answers at least.
const FEW: f64 = 16.0;
/// And of so many rounds: those that queue together have latencies that are alike, which say less than it seems.
const ROUNDS: f64 = 8.0;
/// The limit never falls below this part of itself at once.
const FALL_MOST: f64 = 0.0625;
/// A part of the requests that is given up as late counts as if their latencies had grown by so many times that.
const WEIGHT_OF_LATE: f64 = 2.0;
/// Answers that the typical latency is taken over.
const TYPICAL_OVER: f32 = 64.0;
/// An endpoint that is full and says nothing for this many typical latencies gets one request more, one more after twice that, and so on: those
/// that it has may wait for something else than a slot.
const SILENCE: f64 = 8.0;
/// In typical latencies: what takes so long is looked at apart.
const SLOW: f64 = 8.0;
/// And when those take so many times as long as others on average: else they are the long end of one kind.
const APART: f64 = 12.0;
/// In typical latencies.
const AT_ONCE: f32 = 2.0;
/// And that which is usual: what happens while slots go changes it little.
const USUAL_OVER: f64 = 512.0;
/// In usual latencies: a failure that takes less is of another kind.
const NOT_QUICK: f64 = 0.5;
/// The typical latency while none is known, in seconds.
const TYPICAL_ASSUMED: f32 = 0.02;

/// The limit as picks read it, and what it is learned from.
#[derive(Debug)]
pub(crate) struct Capacity {
    limit: AtomicF32,
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
        let (pace, limit) = (f64::from(self.pace.get()), self.limit.get());
        let (lower, higher) = excursion(limit);
        let factor = match (now.0 as f64 * pace) % CYCLE {
            _ if pace <= f64::from(AS_IT_IS) => 1.0,
            phase if LOWER.contains(&phase) => lower,
            phase if HIGHER.contains(&phase) => higher,
            _ => 1.0,
        };
        let limit = (factor * limit).ceil().min(self.ceiling.get()).max(1.0);
        limit as u32 + self.extra(now).min(limit.max(FIRST) as u32)
    }

    /// What `limit` is never less than.
    pub(crate) fn least(&self) -> u32 {
        let limit = self.limit.get();
        (excursion(limit).0 * limit).min(self.ceiling.get()).max(1.0) as u32
    }

    /// Because nothing has been heard.
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
            Phase::Descent(fall) if block.round >= f64::from((limit / 2.0).max(ROUND_MIN)) => {
                self.descend(learning, limit, fall, now);
            }
            Phase::Steady if block.has_fallen(limit, learning.settled) => self.fall(learning, limit, now),
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
        if block.all.count >= f64::from((limit * 2.0 * CYCLE as f32).max(4.0 * BLOCK_MIN)) {
            block.fade();
        }
    }

    /// To half; where the latency of late is out of all proportion, to where it would be about twice what it was if it goes with the load.
    fn fall(&self, learning: &mut Learning, limit: f32, now: Moment) {
        let block = &learning.block;
        let is_deep = learning.settled > 0.0 && block.recent > DEEP * learning.settled;
        let by_line = block.latency_at(f64::from(limit));
        let in_proportion = block.recent * f64::from(limit) / block.recent_load;
        let latency = if is_deep { by_line.max(in_proportion) } else { by_line };
        let part = if is_deep { (2.0 * learning.settled / latency).clamp(FALL_MOST, 0.5) } else { 0.5 };
        self.limit.set((part as f32 * limit).max(1.0));
        if is_deep {
            self.set_pace(block.mean());
        } else {
            self.pace.set(AS_IT_IS);
        }
        learning.begin(Phase::Descent(Fall { latency, from: limit, is_deep }), now);
    }

    fn descend(&self, learning: &mut Learning, limit: f32, fall: Fall, now: Moment) {
        let latency = learning.block.round_latency / learning.block.round;
        learning.settled = latency;
        self.set_pace(latency);
        if latency >= HELPED * fall.latency {
            self.limit.set(fall.from);
            learning.begin(Phase::Steady, now);
        } else if fall.is_deep {
            learning.begin(Phase::Start, now);
        } else if limit > 1.0 {
            self.limit.set((limit / 2.0).max(1.0));
            self.pace.set(AS_IT_IS);
            learning.begin(Phase::Descent(Fall { latency, from: limit, is_deep: false }), now);
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
    /// Somebody has waited: half as many with each round, as long as that helps; after a deep fall, it starts from there.
    Descent(Fall),
    /// By the slope, in small steps.
    Steady,
}

/// What was before the limit was lowered.
#[derive(Clone, Copy, Debug)]
struct Fall {
    /// The mean latency, in seconds.
    latency: f64,
    from: f32,
    is_deep: bool,
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

    fn after_round(&mut self, limit: f32) -> Next {
        let block = &self.block;
        let is_near = block.load_max >= NEAR * f64::from(limit);
        if !is_near || 2.0 * block.late > block.all.count || self.lateness.hardly_anybody_is_served() {
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
            self.block.add(load, latency, self.slow_from > 0.0 && latency >= self.slow_from);
        }
        is_of_this
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

/// Sums for a line through latency over load. Not of their logarithms: where some requests hardly take any time, waiting
/// ever so little makes a large difference to the logarithm of theirs.
#[derive(Debug, Default)]
struct Block {
    all: Sums,
    slow: Sums,
    /// Given up unanswered.
    late: f64,
    late_load: f64,
    /// Of the round of a start or descent, as is `load_max` then.
    round: f64,
    round_latency: f64,
    load_max: f64,
    /// Latency and load of the last answers.
    recent: f64,
    recent_load: f64,
}

#[derive(Debug, Default)]
struct Sums {
    count: f64,
    load: f64,
    /// In seconds.
    latency: f64,
    load_squared: f64,
    latency_squared: f64,
    product: f64,
}

impl Sums {
    fn add(&mut self, load: f64, latency: f64) {
        self.count += 1.0;
        self.load += load;
        self.latency += latency;
        self.load_squared += load * load;
        self.latency_squared += latency * latency;
        self.product += load * latency;
    }

    fn fade(&mut self) {
        self.count /= 2.0;
        self.load /= 2.0;
        self.latency /= 2.0;
        self.load_squared /= 2.0;
        self.latency_squared /= 2.0;
        self.product /= 2.0;
    }

    /// How far its means are from these, squared and multiplied, for each of so many.
    fn spread(&self, load: f64, latency: f64, of: f64) -> Spread {
        if self.count < 1.0 {
            return Spread::default();
        }
        let (load, latency) = (self.load / self.count - load, self.latency / self.count - latency);
        let part = self.count / of;
        Spread { load: part * load * load, both: part * load * latency, latency: part * latency * latency }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    load: f64,
    both: f64,
    latency: f64,
}

/// How latency goes with load, both compared with their means: 0 where it does not depend, 1 in proportion.
struct Line {
    slope: f64,
    /// The square of the slope's standard error.
    error: f64,
}

impl Block {
    fn add(&mut self, load: f64, latency: f64, is_slow: bool) {
        if is_slow {
            self.slow.add(load, latency);
        }
        self.all.add(load, latency);
        self.round += 1.0;
        self.round_latency += latency;
        self.load_max = self.load_max.max(load);
        let gain = 1.0 / self.all.count.min(RECENT);
        self.recent += gain * (latency - self.recent);
        self.recent_load += gain * (load - self.recent_load);
    }

    /// One of those that were added was given up.
    fn add_late(&mut self, load: f64) {
        self.late += 1.0;
        self.late_load += load;
    }

    fn begin_round(&mut self) {
        (self.round, self.round_latency, self.load_max) = (0.0, 0.0, 0.0);
    }

    /// What there is counts for half of what it did.
    fn fade(&mut self) {
        self.all.fade();
        self.late /= 2.0;
        self.late_load /= 2.0;
        self.slow.fade();
    }

    fn fade_to(&mut self, count: f64) {
        while self.all.count > count {
            self.fade();
        }
    }

    fn mean(&self) -> f64 {
        self.all.latency / self.all.count
    }

    fn is_full(&self, limit: f32) -> bool {
        self.all.count >= f64::from((limit * CYCLE as f32).max(BLOCK_MIN))
    }

    fn nobody_waits(&self, limit: f32) -> bool {
        let is_flat = |line: Line| line.slope + 2.0 * line.error.sqrt() < SLOPE_OF_WAITING;
        let is_told = self.all.count >= FEW.max(ROUNDS * f64::from(limit)) && self.all.count % 4.0 == 0.0;
        is_told && self.load_max >= NEAR * f64::from(limit) && self.line().is_some_and(is_flat)
    }

    fn has_fallen(&self, limit: f32, settled: f64) -> bool {
        let is_steep = |line: Line| line.slope - 2.0 * line.error.sqrt() > SLOPE_WANTED;
        settled > 0.0
            && self.recent > FALLEN * settled
            && self.all.count >= FEW
            && self.load_max >= NEAR * f64::from(limit)
            && self.line().is_some_and(is_steep)
    }

    fn somebody_waits(&self) -> bool {
        let is_steep = |line: Line| line.slope - 2.0 * line.error.sqrt() > SLOPE_OF_WAITING;
        let is_told = self.all.count >= f64::from(ROUND_MIN) && self.round % 4.0 == 0.0;
        is_told && self.line().is_some_and(is_steep)
    }

    /// `None` when all loads were the same.
    fn line(&self) -> Option<Line> {
        let (load, latency) = (self.all.load / self.all.count, self.all.latency / self.all.count);
        let between = self.between(load, latency);
        let within = |sum: f64, square: f64, between: f64| (sum / self.all.count - between) / square - 1.0;
        let of_load = within(self.all.load_squared, load * load, between.load);
        let of_both = within(self.all.product, load * latency, between.both);
        let of_latency = within(self.all.latency_squared, latency * latency, between.latency);
        if of_load < 1e-3 {
            return None;
        }
        let slope = of_both / of_load;
        let error = (of_latency - slope * of_both).max(0.0) / (self.all.count * of_load);
        // Those who are late at any load have no slope.
        let part = self.late / self.all.count;
        let late_slope = (self.late_load / self.all.count / load - part) / of_load;
        let late_error = part * (1.0 - part) / (self.all.count * of_load);
        Some(Line {
            slope: slope + WEIGHT_OF_LATE * late_slope,
            error: error + WEIGHT_OF_LATE.powi(2) * late_error,
        })
    }

    /// What there is between slow ones and others. Slow pages that are asked for together, as by a clock, come at higher loads than others and
    /// take longer, and neither is because of the other.
    fn between(&self, load: f64, latency: f64) -> Spread {
        let slow = &self.slow;
        let others = Sums {
            count: self.all.count - slow.count,
            load: self.all.load - slow.load,
            latency: self.all.latency - slow.latency,
            ..Sums::default()
        };
        if slow.latency * others.count < APART * others.latency * slow.count {
            return Spread::default();
        }
        let [one, other] = [slow, &others].map(|sums| sums.spread(load, latency, self.all.count));
        Spread {
            load: one.load + other.load,
            both: one.both + other.both,
            latency: one.latency + other.latency,
        }
    }

    /// By the line.
    fn latency_at(&self, load: f64) -> f64 {
        let slope = self.line().map_or(0.0, |line| line.slope.max(0.0));
        let further = (load / (self.all.load / self.all.count) - 1.0).max(0.0);
        self.mean() * (1.0 + slope * further)
    }

    /// By how much to move the logarithm of the limit.
    fn step(&self) -> f64 {
        let Some(Line { slope, error }) = self.line() else { return NUDGE };
        if error > UNSURE.powi(2) && slope - 2.0 * error.sqrt() <= SLOPE_OF_WAITING {
            return UP_UNSURE;
        }
        let belief = 1.0 / (1.0 + error / ERROR_ALLOWED.powi(2));
        belief * (SLOPE_WANTED - slope) * GAIN
    }
}
