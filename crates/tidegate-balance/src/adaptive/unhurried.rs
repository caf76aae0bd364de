//! How many requests at a time one endpoint has been seen to serve without making them wait. Pure arithmetic; knows no clock,
//! no other endpoint and no thread.
//!
//! What a load bound holds down must not be all it goes by: the parallelism of `model` is that of the load that comes, and an
//! endpoint that is let have one request at a time never proves that it could serve two. So this is asked the other way round:
//! there is room until waiting has been *seen*. Answers are kept by how many requests were in flight, in steps (1, 2, 3, 4, 6, 8,
//! 12, 16 …). The step above one that has been tried is open, as in TCP's slow start (RFC 5681 §3.1); it is closed when its
//! answers take longer than those from below, by more than a margin and by more than chance explains; and while the one below is
//! in use, that is slowly forgotten, so that a request now and then tries again. Where nothing holds the load down, it may be above a closed
//! step all the time, and says what is to be forgotten: a queue must not, however long it lasts, and answers that come as soon as those from
//! below show that the step was closed by mistake.
//!
//! What passes for chance is measured here, by how far the answers of one step are apart, and not taken from `model`: where a belief is
//! wrong nothing fits it, which looks like noise, and with so much of it no queue would ever be seen.
//!
//! How much of it passes depends on what is at stake. Where the load hardly ever reaches what is allowed, a step that is closed by
//! mistake sends keys away that nobody made wait. Where it always does, one that is left open makes everybody wait, and above all where
//! requests share a processor: there nobody waits in line, all take a little longer, and no answer says clearly why.

use super::model::DEVIATION;

/// Up to 1 024 requests at a time are told apart.
const STEPS: usize = 20;
/// Fewer answers than this say nothing.
const TELLING: f32 = 16.0;
/// A memory of so many answers.
const MEMORY: f32 = 128.0;
/// And of a closed step, so that it is tried again some day.
const MEMORY_CLOSED: f32 = 32.0;
/// How much of what closes it is forgotten with each answer that is a reason to try it again.
const FORGOTTEN: f32 = 1.0 / 160.0;
/// So much longer is not waiting yet: `ln 1.1`.
const MARGIN: f32 = 0.1;
/// Standard deviations that pass for chance: where nobody comes near what is allowed, and by how much fewer where all do.
const DOUBT: f32 = 2.0;
const DOUBT_PRESSED: f32 = 1.5;

/// Of an endpoint whose work changes a step may have few answers for long, and must not be compared by what it was: so many of the last ones, about,
/// are compared with all of them, each counted as so many deviations at most, and all are forgotten where so many of a difference are exceeded.
const LATELY: f32 = 16.0;
const OUTLIER: f32 = 3.0;
const DOUBT_OTHER_WORK: f32 = 5.0;

/// Twice as much as is allowed, and a little more: by so many steps a load that is held strays.
const HELD_STEPS: usize = 2;

/// Even constant latencies are not believed to be more certain than this.
const DEVIATION_MIN: f32 = 0.02;

#[derive(Debug, Default)]
pub(crate) struct Unhurried {
    steps: [Step; STEPS],
    /// The part of the last `MEMORY` answers, about, that were to requests of the uppermost open step.
    pressed: f32,
    deviation: Deviation,
}

/// How far the logarithm of a latency is from the mean of its own step.
#[derive(Clone, Copy, Debug, Default)]
struct Deviation {
    answers: f32,
    absolute: f32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    answers: f32,
    /// The mean of the logarithms of their latencies.
    log_latency: f32,
    /// How far the last `LATELY` answers, about, were above that, outliers clipped.
    lately: f32,
}

impl Unhurried {
    /// One answer. `load`: requests in flight at its pick, itself included.
    /// Gives the most requests in flight that nobody is known to wait among.
    pub(crate) fn learn(&mut self, log_latency: f32, load: f32) -> f32 {
        let at = step_of(load);
        if let Some(step) = self.steps.get_mut(at) {
            self.deviation.learn(log_latency, *step);
            step.learn(log_latency, self.deviation.get());
        }
        let doubt = Doubt { deviation: self.deviation.get(), times: DOUBT - DOUBT_PRESSED * self.pressed };
        let found = self.find(doubt);
        let Found { open, most, .. } = found;
        // Far beyond what is allowed nobody holds the load to it.
        self.pressed += (f32::from((open - 1..=open + HELD_STEPS).contains(&at)) - self.pressed) / MEMORY;
        if self.is_reason_to_try(at, found, doubt)
            && let Some(closed) = self.steps.get_mut(open)
        {
            closed.answers = closed.answers.min(MEMORY_CLOSED) * (1.0 - FORGOTTEN);
        }
        most
    }

    /// The first step is always open. One that has been passed over on the way up is no obstacle: what is above it tells more. A few answers
    /// from below are nothing to compare with.
    fn find(&self, doubt: Doubt) -> Found {
        let mut left: f32 = self.steps.iter().map(|step| step.answers).sum();
        let (mut below, mut tried) = (Step::default(), 0);
        for (at, &step) in self.steps.iter().enumerate() {
            if left < TELLING {
                return Found { open: at + 1, below, most: most_of(at) };
            }
            left -= step.answers;
            if below.answers >= TELLING && below.is_shorter(step, doubt) {
                return Found { open: at, below, most: step.served_at_once(at, below, tried) };
            }
            below.add(step);
            tried = if step.answers >= TELLING { at } else { tried };
        }
        Found { open: STEPS, below, most: most_of(STEPS - 1) }
    }

    /// Whether an answer from the step `at` is a reason to try the first closed one again: there is as much to do as is allowed, or those above it do
    /// not wait, who would have to before it does.
    fn is_reason_to_try(&self, at: usize, found: Found, doubt: Doubt) -> bool {
        let closed = found.open;
        let does_not_wait = |above: &Step| !found.below.is_shorter(*above, doubt);
        (step_of(found.most)..closed).contains(&at)
            || (at > closed && self.steps.get(at).is_some_and(does_not_wait))
    }
}

#[derive(Clone, Copy, Debug)]
struct Found {
    /// Steps that are open.
    open: usize,
    /// What they know together.
    below: Step,
    /// Requests at a time that nobody waits among.
    most: f32,
}

/// What passes for chance.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// How far answers of the same step are apart.
    deviation: f32,
    /// Standard deviations of a difference.
    times: f32,
}

impl Deviation {
    /// The first of a step tells nothing, the next ones are off by what their mean is off as well.
    fn learn(&mut self, log_latency: f32, step: Step) {
        if step.answers >= 1.0 {
            let absolute = (log_latency - step.log_latency).abs() / (1.0 + 1.0 / step.answers).sqrt();
            self.answers = (self.answers + 1.0).min(MEMORY);
            self.absolute += (absolute - self.absolute) / self.answers;
        }
    }

    /// The standard deviation, if they are normal.
    fn get(self) -> f32 {
        (DEVIATION as f32 * self.absolute).max(DEVIATION_MIN)
    }
}

impl Step {
    fn learn(&mut self, log_latency: f32, deviation: f32) {
        if self.answers >= 1.0 {
            let more = (log_latency - self.log_latency).clamp(-OUTLIER * deviation, OUTLIER * deviation);
            self.lately += (more - self.lately) / LATELY;
        }
        if self.is_of_other_work(deviation) {
            *self = Self::default();
        }
        self.answers = (self.answers + 1.0).min(MEMORY);
        self.log_latency += (log_latency - self.log_latency) / self.answers;
    }

    /// What came lately is not like what came before: longer or shorter beyond the margin and beyond chance.
    fn is_of_other_work(self, deviation: f32) -> bool {
        let chance = deviation * (1.0 / (2.0 * LATELY - 1.0) + 1.0 / self.answers.max(1.0)).sqrt();
        self.lately.abs() > MARGIN + DOUBT_OTHER_WORK * chance
    }

    fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.log_latency += (other.log_latency - self.log_latency) * other.answers / self.answers.max(1.0);
    }

    /// Of this step, the one at `at`, whose requests wait: in proportion to the queue (Little's law), so that from how much longer they take it
    /// can be told where waiting begins, if nothing is known of the steps between; `tried` is the highest one that does not wait.
    fn served_at_once(self, at: usize, below: Self, tried: usize) -> f32 {
        let by_queue = most_of(at) / (self.log_latency - below.log_latency).exp();
        by_queue.clamp(most_of(tried), most_of(at.saturating_sub(1)).max(most_of(tried)))
    }

    /// Whether the answers of `other` take longer, beyond the margin and beyond chance: what knows no answers is infinitely uncertain.
    fn is_shorter(self, other: Self, doubt: Doubt) -> bool {
        let chance = doubt.deviation * (1.0 / self.answers + 1.0 / other.answers).sqrt();
        other.log_latency - self.log_latency > MARGIN + doubt.times * chance
    }
}

/// 0 for one request, 4 for five and six, 5 for seven and eight.
fn step_of(load: f32) -> usize {
    (0..STEPS).find(|&step| load <= most_of(step)).unwrap_or(STEPS - 1)
}

/// The most requests in flight of a step: powers of two, and half as many again.
fn most_of(step: usize) -> f32 {
    let power = (1_u32 << step.div_ceil(2)) as f32;
    match step {
        0 => 1.0,
        even if even.is_multiple_of(2) => 1.5 * power,
        _ => power,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Stream;
    use proptest::prelude::*;

    /// An endpoint with so many slots, and as many requests for it as are let in, at random up to the most that it is let have.
    struct World {
        unhurried: Unhurried,
        most: f32,
        stream: Stream,
        sigma: f64,
    }

    impl World {
        fn new(sigma: f64, seed: u64) -> Self {
            Self { unhurried: Unhurried::default(), most: 1.0, stream: Stream::new(seed), sigma }
        }

        /// `wanted`: the most that there is to do at once.
        fn answer(&mut self, slots: f64, wanted: f64) {
            let most = f64::from(self.most).min(wanted);
            let load = 1.0 + (self.stream.next_unit() * most).floor().min(most - 1.0);
            let log_latency = (load / slots).max(1.0).ln() + self.sigma * self.stream.next_normal();
            self.most = self.unhurried.learn(log_latency as f32, load as f32);
        }

        /// What it is let have in the mean of so many answers: a step is tried, and closed, by chance now and then.
        fn mean_of(&mut self, answers: u32, slots: f64) -> f64 {
            let mut sum = 0.0;
            for _ in 0..answers {
                self.answer(slots, 1e3);
                sum += f64::from(self.most);
            }
            sum / f64::from(answers)
        }

        fn after(mut self, answers: u32, slots: f64) -> Self {
            (0..answers).for_each(|_| self.answer(slots, 1e3));
            self
        }
    }

    proptest! {
        #[test]
        fn slots_are_found_from_below_whatever_their_number(slots in 1_u32..100, sigma in 0.0_f64..1.0, seed: u64) {
            let slots = f64::from(slots);
            let mut world = World::new(sigma, seed).after(3_000, slots);
            let mean = world.mean_of(1_000, slots);
            // Below 0.6 are two of 43 000 draws, by chance.
            prop_assert!(mean > 0.45 * slots && mean < 2.2 * slots + 1.0, "{} of {}", mean, slots);
        }

        /// Whatever the queue: the answers of each step are compared with one another, those of different steps are not.
        #[test]
        fn chance_is_what_answers_at_the_same_load_differ_by(slots in 1_u32..100, sigma in 0.3_f64..2.0, seed: u64) {
            let world = World::new(sigma, seed).after(3_000, f64::from(slots));
            let found = f64::from(world.unhurried.deviation.get());
            prop_assert!(found > 0.7 * sigma && found < 1.35 * sigma, "{} of {}", found, sigma);
        }

        #[test]
        fn no_latency_and_no_load_close_the_first_step(
            answers in prop::collection::vec((-14.0_f32..9.0, 0.0_f32..1e9), 1..300),
        ) {
            let mut unhurried = Unhurried::default();
            for (log_latency, load) in answers {
                let most = unhurried.learn(log_latency, load);
                prop_assert!((1.0..=most_of(STEPS - 1)).contains(&most), "{}", most);
            }
        }
    }

    #[test]
    fn steps_are_powers_of_two_and_half_as_many_again() {
        let most: Vec<f32> = (0..9).map(most_of).collect();
        assert_eq!(most, [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0]);
        assert_eq!([0.1, 1.0, 2.0, 5.0, 6.0, 7.0, 1e9].map(step_of), [0, 0, 1, 4, 4, 5, STEPS - 1]);
    }

    #[test]
    fn a_hundred_answers_and_some_are_enough_for_sixteen_slots() {
        let world = World::new(0.8, 1).after(400, 16.0);
        assert!(world.most >= 12.0, "{}", world.most);
    }

    #[test]
    fn an_endpoint_that_gets_more_slots_or_fewer_is_found_out() {
        for seed in 2..6 {
            let mut world = World::new(0.5, seed).after(2_000, 16.0);
            world.mean_of(1_000, 2.0);
            let fewer = world.mean_of(1_000, 2.0);
            world.mean_of(8_000, 16.0);
            let more = world.mean_of(2_000, 16.0);
            assert!(fewer <= 4.0 && more >= 11.0, "{fewer} of 2, {more} of 16");
        }
    }

    /// As many as are let in are always there, and share eight slots: whoever comes finds nearly the same, and takes as long.
    #[test]
    fn a_shared_processor_that_is_always_full_is_found_out() {
        for seed in 4..7 {
            let (mut world, mut mean) = (World::new(1.0, seed), 0.0);
            for _ in 0..20_000 {
                let most = f64::from(world.most);
                let load = most - (world.stream.next_unit() * most / 4.0).floor();
                let log_latency = (0.9 * most / 8.0).max(1.0).ln() + world.stream.next_normal();
                world.most = world.unhurried.learn(log_latency as f32, load as f32);
                mean += most / 2e4;
            }
            assert!((6.0..11.0).contains(&mean), "{mean} of 8");
        }
    }

    /// Nothing holds the load down: twenty times what it serves at once, for an hour.
    #[test]
    fn a_queue_is_not_forgotten_however_long_it_lasts() {
        for seed in 7..10 {
            let mut world = World::new(1.0, seed).after(500, 4.0);
            for _ in 0..20_000 {
                let load = 60.0 + (world.stream.next_unit() * 40.0).floor();
                let log_latency = (load / 4.0).ln() + world.stream.next_normal();
                world.most = world.unhurried.learn(log_latency as f32, load as f32);
            }
            assert!(world.most <= 8.0, "{} of 4, seed {seed}", world.most);
        }
    }

    /// As behind `adaptive`: the load goes up within one latency, and hardly ever comes back to the low steps.
    #[test]
    fn a_load_that_is_high_from_the_start_and_waits_for_nothing_closes_no_low_step() {
        for (seed, load) in (20..60).zip([40.0, 76.0, 160.0].into_iter().cycle()) {
            let (mut unhurried, mut stream) = (Unhurried::default(), Stream::new(seed));
            let mut most = 0.0;
            for answer in 0..20_000 {
                let load = f64::from(answer + 1).min(load * (0.8 + 0.4 * stream.next_unit()));
                most = unhurried.learn(stream.next_normal() as f32, load as f32);
            }
            assert!(most >= 12.0, "{most} where {load} do not wait, seed {seed}");
        }
    }

    #[test]
    fn a_step_that_was_closed_by_mistake_is_opened_by_answers_from_above_it() {
        let mut world = World::new(0.8, 10).after(500, 64.0);
        for _ in 0..64 {
            world.most = world.unhurried.learn(2.0, 6.0);
        }
        assert!(world.most <= 4.0, "{} are open", world.most);
        for _ in 0..1_000 {
            let load = 20.0 + (world.stream.next_unit() * 20.0).floor();
            world.most = world.unhurried.learn((0.8 * world.stream.next_normal()) as f32, load as f32);
        }
        assert!(world.most >= 32.0, "{} are open", world.most);
    }

    #[test]
    fn of_slots_that_nobody_needs_nothing_is_said() {
        let mut world = World::new(0.8, 3);
        (0..2_000).for_each(|_| world.answer(100.0, 4.0));
        assert!((4.0..=8.0).contains(&world.most), "{}", world.most);
    }
}
