//! What one endpoint's answers teach: its service time and its parallelism, from latency and load alone. Pure arithmetic;
//! knows no clock, no other endpoint and no thread.
//!
//! The model: with `n` requests in flight, `L(n) = S · (1 + (n/c)^3)^(1/3)`. Below `c` the latency is the service time
//! `S`, above it grows in proportion to the queue, and the bend between is smooth. In logarithms, with `a = ln S`,
//! `b = ln c`, `z = 3 (ln n - b)`: `ln L = a + ln(1 + e^z) / 3`, whose derivatives are `1` by `a` and `-sigmoid(z)` by `b`.
//! Each answer takes one gradient step on the clamped residual; the clamp keeps one outlier from mattering.

use std::time::Duration;

/// The gain of a settled estimate: a memory of about 33 answers.
const GAIN_MIN: f64 = 0.03;
/// A residual counts for at most this many times the fleet's noise.
const CLAMP: f64 = 2.5;
/// The prior, "an endpoint is like the fleet", against one answer. Where answers tell, it is nothing; where they do not (at
/// a constant load half the service time and half the parallelism fit as well) it decides.
const PRIOR: f64 = 0.005;
/// At first it weighs as much as this many answers together, for service time and for parallelism. What the first few happened to
/// say would else be believed for thousands, where later ones cannot tell.
const PRIOR_ANSWERS: (f64, f64) = (2.0, 10.0);
/// The same for parallelism, times the fourth power of how little the answer tells about it: much where an endpoint is idle,
/// next to nothing at the bend.
const RELAXATION: f64 = 0.04;
/// Slots change rarely: so much of the gain goes to them. Where load is steady nothing holds the estimate, and it strays the
/// less the smaller its steps are.
const PARALLELISM_GAIN: f64 = 1.0 / 3.0;
/// Parallelism is forgotten with this time constant: to a busy endpoint that is nothing against what its answers tell.
const FORGOTTEN_SECONDS: f64 = 15.0;
/// How fast recent residuals are forgotten, and how fast when a slow endpoint does better than thought.
const RECENT_GAIN: f64 = 0.2;
const RECENT_GAIN_IMPROVING: f64 = 0.7;
/// How fast it is forgotten how far they strayed: a memory of a hundred answers.
const SWAY_GAIN: f64 = 0.01;
/// And how far apart latencies are: a memory of a thousand answers, as one in a hundred may be the one that matters.
const SPREAD_GAIN: f64 = 0.001;
/// Recent residuals this many times the noise off are a new level, not noise: four standard deviations of their mean.
const JUMP: f64 = 1.7;
const JUMP_SAMPLES_MIN: u32 = 20;
/// Where this and more (in logarithms: e times as long) is put down to a queue, and answers come sooner, it is the queue that is in doubt. Where that is
/// all or nearly all that they are sooner by, there is none.
const EXPLAINED: f64 = 1.0;
const NEARLY_ALL: f64 = 0.7;
/// Half as many slots again are then believed at once (in logarithms). All that would do without a queue were ten times as many, beside a burst of long polls.
const MORE_SLOTS: f64 = 0.4;
/// An endpoint this much above the fleet (twice the service time) counts as slow.
const SLOW: f64 = 0.7;
/// No endpoint is believed to serve more than `e^9` (8 000) requests at once.
const LOG_PARALLELISM_MAX: f64 = 9.0;
/// Even constant latencies are not believed to be more certain than this.
const NOISE_MIN: f64 = 0.02;
/// Before the first median there is no fleet to compare with: what a lognormal service with σ = 1 shows.
const NOISE_UNKNOWN: f64 = 0.8;

/// The mean absolute deviation of a normal distribution times this is its standard deviation.
pub(crate) const DEVIATION: f64 = 1.25;
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(20);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The medians that a single endpoint is measured against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FleetLevel {
    pub(crate) log_service: f64,
    pub(crate) log_parallelism: f64,
    /// No endpoint like this is believed to serve fewer at once.
    pub(crate) log_parallelism_min: f64,
    /// The mean absolute residual.
    pub(crate) noise: f64,
    /// How many times further noise strays that comes in clumps; at least 1.
    pub(crate) clumping: f64,
}

/// What is believed about one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Model {
    pub(crate) log_service: f64,
    pub(crate) log_parallelism: f64,
    /// The mean absolute residual.
    pub(crate) noise: f64,
    /// The mean of recent residuals: positive when the endpoint answers later than believed.
    pub(crate) recent: f64,
    /// The last residual.
    pub(crate) last: f64,
    /// The mean of recent clamped residuals.
    pub(crate) recent_clamped: f64,
    /// The same without a new start after a jump, and its mean square.
    stray: f64,
    stray_square: f64,
    /// The mean of what queueing recently explained of latencies' logarithms.
    explained: f64,
    /// The mean latency in seconds, as it is, without the model.
    pub(crate) latency: f64,
    /// The mean of its logarithm: what one of many takes that are different says little.
    pub(crate) log_latency: f64,
    /// The mean over many more answers, and the mean square.
    long_latency: f64,
    long_square: f64,
    pub(crate) samples: u32,
}

/// What one answer told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Seconds from the pick to the answer's head.
    pub(crate) latency: f64,
    /// Requests in flight at the pick, this one included, for each unit of weight.
    pub(crate) load: f64,
    /// Seconds since the endpoint was last heard.
    pub(crate) idle: f64,
}

/// Whether an answer fits what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    Fits,
    /// The endpoint is on another level than it was.
    Jumped,
}

impl Model {
    /// One answer. `fleet` is `None` before the first median.
    pub(crate) fn learn(&mut self, answer: &Answer, fleet: Option<&FleetLevel>) -> Lesson {
        let Answer { latency, load, idle } = *answer;
        let latency = latency.max(1e-6);
        self.samples = self.samples.saturating_add(1);
        let gain = self.gain();
        self.latency += gain * (latency - self.latency);
        self.log_latency += gain * (latency.ln() - self.log_latency);
        let slowly = SPREAD_GAIN.max(1.0 / f64::from(self.samples));
        self.long_latency += slowly * (latency - self.long_latency);
        self.long_square += slowly * (latency * latency - self.long_square);
        if self.samples == 1 {
            self.log_service = latency.ln();
            return Lesson::Fits;
        }
        let clumping = fleet.map_or(1.0, |fleet| fleet.clumping);
        let fleet_noise = fleet.map_or(NOISE_UNKNOWN, |fleet| fleet.noise).max(NOISE_MIN);
        let (unhurried, by_parallelism) = self.without_queueing(latency, load.max(1e-3));
        let residual = unhurried - self.log_service;
        self.explained += RECENT_GAIN * (latency.ln() - unhurried - self.explained);
        let clamped = residual.clamp(-CLAMP * fleet_noise, CLAMP * fleet_noise);
        self.step(gain, clamped, by_parallelism, fleet_noise * clumping, fleet);
        if let Some(fleet) = fleet {
            self.relax(gain, 1.0 - by_parallelism, idle, fleet);
        }
        self.noise += gain * (residual.abs() - self.noise);
        self.remember(residual, clamped, fleet);
        self.jump(fleet_noise * clumping)
    }

    /// The logarithm of the latency without the part that queueing explains, and that part's derivative by `-b`. With
    /// `e^z = (n/c)^3` known, `ln L - ln(1 + e^z) / 3` is one logarithm instead of three.
    fn without_queueing(&self, latency: f64, load: f64) -> (f64, f64) {
        let e = load.powi(3) * (-3.0 * self.log_parallelism).exp();
        ((latency.powi(3) / (1.0 + e)).ln() / 3.0, e / (1.0 + e))
    }

    /// How much one answer moves the estimate: the plain mean at first.
    pub(crate) fn gain(&self) -> f64 {
        GAIN_MIN.max(1.0 / f64::from(self.samples.max(1)))
    }

    /// How far the means of recent residuals stray, as a root of their mean square.
    pub(crate) fn sway(&self) -> f64 {
        self.stray_square.sqrt()
    }

    /// The variance of latencies over their mean's square: 1.7 where they are lognormal with σ = 1.
    pub(crate) fn spread(&self) -> f64 {
        self.long_square / self.long_latency.powi(2).max(1e-12) - 1.0
    }

    pub(crate) fn is_slow(&self, fleet: &FleetLevel) -> bool {
        self.log_service - fleet.log_service > SLOW
    }

    /// Whether its last answers came sooner than believed, by more than the noise.
    pub(crate) fn is_better(&self, fleet: &FleetLevel) -> bool {
        self.recent_clamped < -fleet.noise.max(NOISE_MIN) * fleet.clumping
    }

    /// Nobody has fewer slots than one. Who would have to have fewer, to take as long as it does, and is believed to be quicker than the others, is not: its first
    /// answers were short by chance, and what it takes since is put down to the queue of the many requests that it got for it. Of one that is slower, a part of that is a slow
    /// start, which is over soon.
    ///
    /// Parallelism is not learned while the level is in doubt: a slow spell would look like missing slots.
    fn step(&mut self, gain: f64, clamped: f64, by_parallelism: f64, noise: f64, fleet: Option<&FleetLevel>) {
        self.log_service += gain * (1.0 - by_parallelism) * clamped;
        if self.recent.abs() >= noise {
            return;
        }
        let moved = self.log_parallelism - PARALLELISM_GAIN * gain * by_parallelism * clamped;
        let parallelism_min = fleet.map_or(0.0, |fleet| fleet.log_parallelism_min);
        self.log_parallelism = moved.clamp(parallelism_min, LOG_PARALLELISM_MAX);
        let too_few = parallelism_min - moved;
        if too_few > 0.0 && fleet.is_some_and(|fleet| self.log_service < fleet.log_service) {
            self.log_service += too_few / PARALLELISM_GAIN;
        }
    }

    /// An answer from far below the bend says nothing about parallelism; without evidence an endpoint is like the others. Else
    /// one that is believed to serve only one at a time would get only one at a time, and never prove more.
    fn relax(&mut self, gain: f64, uninformed: f64, idle: f64, fleet: &FleetLevel) {
        let of_answers = |count| PRIOR.max(count / f64::from(self.samples));
        self.log_service += gain * of_answers(PRIOR_ANSWERS.0) * (fleet.log_service - self.log_service);
        let prior = of_answers(PRIOR_ANSWERS.1);
        let kept = (1.0 - gain * (prior + RELAXATION * uninformed.powi(4))) * remembered(idle);
        self.log_parallelism = fleet.log_parallelism + kept * (self.log_parallelism - fleet.log_parallelism);
    }

    fn remember(&mut self, residual: f64, clamped: f64, fleet: Option<&FleetLevel>) {
        let is_slow = fleet.is_some_and(|fleet| self.is_slow(fleet));
        let gain = if is_slow && residual < 0.0 { RECENT_GAIN_IMPROVING } else { RECENT_GAIN };
        self.last = residual;
        self.recent += gain * (residual - self.recent);
        self.recent_clamped += gain * (clamped - self.recent_clamped);
        self.stray += RECENT_GAIN * (clamped - self.stray);
        self.stray_square += SWAY_GAIN * (self.stray.powi(2) - self.stray_square);
    }

    fn jump(&mut self, noise: f64) -> Lesson {
        if self.samples <= JUMP_SAMPLES_MIN || self.recent_clamped.abs() <= JUMP * noise {
            return Lesson::Fits;
        }
        if self.doubts_the_queue() {
            return self.doubt_queue();
        }
        self.log_service += self.recent;
        self.latency *= self.recent.exp();
        (self.recent, self.recent_clamped) = (0.0, 0.0);
        Lesson::Jumped
    }

    /// Answers come sooner than believed, among many that are believed to wait.
    fn doubts_the_queue(&self) -> bool {
        self.recent < 0.0 && self.explained > EXPLAINED
    }

    /// Where nearly all of the queue is not there, more is served at once; or those that are there are long polls, which nobody knows yet. So slots are
    /// believed step by step, and the service time is left as it was: what is wrong about that, answers tell as they come.
    fn doubt_queue(&mut self) -> Lesson {
        if -self.recent < NEARLY_ALL * self.explained {
            return Lesson::Fits;
        }
        self.log_parallelism = (self.log_parallelism + MORE_SLOTS).min(LOG_PARALLELISM_MAX);
        self.explained -= MORE_SLOTS;
        (self.recent, self.recent_clamped) = (0.0, 0.0);
        Lesson::Jumped
    }
}

/// What is left of a difference in parallelism after so many seconds without news.
pub(crate) fn remembered(idle: f64) -> f64 {
    let times = idle / FORGOTTEN_SECONDS;
    // To a millionth the same, and most answers come within this of the one before.
    if times < 1e-3 { 1.0 - times } else { (-times).exp() }
}

/// The logarithm of what `load` requests in flight make of the service time.
pub(crate) fn queueing(log_parallelism: f64, load: f64) -> f64 {
    (load.powi(3) * (-3.0 * log_parallelism).exp()).ln_1p() / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Stream;
    use proptest::prelude::*;

    fn latency_of(service: f64, parallelism: f64, load: f64) -> f64 {
        service * (1.0 + (load / parallelism).powi(3)).cbrt()
    }

    /// Loads from 1 to 3 times the parallelism, and latencies with noise around the model.
    fn taught(service: f64, parallelism: f64, sigma: f64, seed: u64, answers: u32) -> Model {
        let mut stream = Stream::new(seed);
        let mut model = Model::default();
        for _ in 0..answers {
            // A fleet of endpoints like this one.
            let fleet = FleetLevel {
                log_service: model.log_service,
                log_parallelism: model.log_parallelism,
                log_parallelism_min: 0.0,
                noise: model.noise,
                clumping: 1.0,
            };
            let fleet = (model.samples > 5).then_some(fleet);
            let load = (1.0 + stream.next_unit() * 3.0 * parallelism).floor();
            let noise = (sigma * stream.next_normal()).exp();
            let latency = latency_of(service, parallelism, load) * noise;
            model.learn(&Answer { latency, load, idle: 0.0 }, fleet.as_ref());
        }
        model
    }

    proptest! {
        #[test]
        fn service_time_and_parallelism_are_learned_from_latency_and_load(
            service in 0.001_f64..1.0,
            parallelism in 1.0_f64..32.0,
            seed: u64,
        ) {
            let model = taught(service, parallelism, 0.1, seed, 3_000);
            prop_assert!((model.log_service - service.ln()).abs() < 0.35, "{model:?}");
            prop_assert!((model.log_parallelism - parallelism.ln()).abs() < 0.5, "{model:?}");
        }

        #[test]
        fn no_latency_and_no_load_make_the_model_lose_its_mind(
            answers in prop::collection::vec((0.0_f64..1e6, 0.0_f64..1e9), 1..200),
        ) {
            let mut model = Model::default();
            for (latency, load) in answers {
                model.learn(&Answer { latency, load, idle: 0.0 }, None);
            }
            prop_assert!(model.log_service.is_finite() && model.recent.is_finite() && model.noise.is_finite());
            prop_assert!((0.0..=LOG_PARALLELISM_MAX).contains(&model.log_parallelism));
        }
    }

    #[test]
    fn a_new_level_is_found_within_a_dozen_answers() {
        let mut model = taught(0.01, 4.0, 0.3, 1, 500);
        let fleet = FleetLevel {
            log_service: 0.01_f64.ln(),
            log_parallelism: 0.0,
            log_parallelism_min: 0.0,
            noise: 0.24,
            clumping: 1.0,
        };
        let slow = Answer { latency: 0.1, load: 1.0, idle: 0.0 };
        let jumped = (0..12).any(|_| model.learn(&slow, Some(&fleet)) == Lesson::Jumped);
        assert!(jumped && model.is_slow(&fleet), "{model:?}");
    }

    #[test]
    fn one_outlier_is_no_new_level() {
        let mut model = taught(0.01, 4.0, 0.3, 1, 500);
        let fleet = FleetLevel {
            log_service: 0.01_f64.ln(),
            log_parallelism: 0.0,
            log_parallelism_min: 0.0,
            noise: 0.24,
            clumping: 1.0,
        };
        let before = model.log_service;
        let outlier = Answer { latency: 10.0, load: 1.0, idle: 0.0 };
        assert_eq!(model.learn(&outlier, Some(&fleet)), Lesson::Fits);
        assert!((model.log_service - before).abs() < 0.05);
    }
}
