//! What the endpoints of a cluster have in common, and how far each is believed to differ from it. Knows nothing of a
//! single request.
//!
//! Noise is not information. Every 100 ms the medians of all beliefs are taken, and each endpoint's difference from them
//! is shrunk by what chance alone could explain (with the garrote of Breiman, "Better subset regression using the
//! nonnegative garrote", Technometrics 37(4), 1995). On an even fleet nothing is left: every cost is exactly 1 and the
//! policy is least request.

use super::by_weight::ByWeight;
use super::distance::ByDistance;
use super::errors::{Elsewhere, NOISE_GAIN};
use super::explore::{Cheapest, explore_if_due};
use super::model::{DEVIATION, FleetLevel, remembered};
use super::own::Own;
use super::queueing::{MeanCost, Tolls};
use super::{Patience, Published, SILENCE_ALLOWED, SUSPICION_FROM};
use crate::float::AtomicF32;
use crate::seat::Seat;
use crate::{EndpointState, Moment};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(100);
/// More endpoints than this are taken in turns, each period so much shorter, so that no request waits for a long look.
const TURN: usize = 256;
/// A prime: steps of it visit every position of any smaller number of endpoints once, and no pattern in their order
/// (every fourth with more cores) makes a turn unlike the whole.
const STRIDE: usize = 2_147_483_647;
const HURRIED_PERIOD: Duration = Duration::from_millis(5);
/// A newcomer's slowness is put down to being cold for this long.
const SLOW_START: Duration = Duration::from_secs(30);
/// Whoever has been heard for so long without a lesson teaches nothing.
const UNTAUGHT_MIN: Duration = Duration::from_secs(1);
/// Times as much as the mean of the others it is suspected: by the mean alone it is still before all that are suspected more.
const SUSPECTED_UNTAUGHT: f32 = 2.0;
/// Late answers of a newcomer are no warning for so long, and as long as it takes so much longer than others (in logarithms: a third). One that is warm and
/// never suspected, among many that are now and then, has more than its share.
const COLD_FOR: Duration = Duration::from_secs(10);
const COLD_FROM: f32 = 0.3;
/// Endpoints that join this soon after the cluster's first answer are founders, not newcomers: nothing tells them apart.
const FOUNDING: Duration = Duration::from_secs(10);
/// Standard deviations that pass for chance when this proxy sees all traffic, and when others send load unseen: then a
/// difference half hidden by their traffic is worth acting on.
const DOUBT_ALONE: f32 = 1.4;
const DOUBT_AMONG_PEERS: f32 = 0.5;
/// The root of the mean square of recent residuals, over their mean absolute deviation, when each is by itself.
const SWAY: f32 = 0.42;
/// More noise than this (lognormal service with σ = 1 has 0.8) is that of different kinds of requests.
const NOISE_TELLING: f32 = 0.9;
/// A variance of latencies this many times their mean's square (lognormal service with σ = 1 has 1.7) says that a few requests
/// are most of the work.
const SPREAD_TELLING: f32 = 10.0;
/// The most that wild answers make all doubts grow.
const CLUMPING_MAX: f32 = 10.0;
/// How far the mean of a settled estimate strays, in deviations of single answers: the root of half of its gain.
const SETTLED: f32 = 0.122;
/// What chance counts for slots. An endpoint that is believed to have more than the others gets the load that proves it wrong;
/// one that is believed to have fewer does not.
const FEWER_SLOTS_DOUBT: f32 = 1.5;
const MORE_SLOTS_DOUBT: f32 = 0.45;
/// So many slots are taken unevenly by chance: the next request finds one sooner where they are free sooner.
const FEW_SLOTS: f32 = 8.0;
/// What has been seen not to wait is known by steps: the root of two.
const STEP_OF_SLOTS: f32 = 0.35;
/// Where a typical endpoint has been seen to serve fewer of our requests at once, most of what is there may be other proxies', and nothing tells how busy all are.
const TELLING_SLOTS: f32 = 3.0;
/// Who is up to twice as slow as others is as good a place as they are, while a slot of many is free there.
const SLOWER_FOR_NOTHING: f32 = 0.7;
/// Differences of 10 % are not worth acting on however certain: equal costs leave ties, and ties keep everybody in use.
const INDIFFERENCE: f32 = 0.1;
/// What one certain failure is worth, in service times, to the request that may wait instead. To everybody it is worth several times
/// that: a request that waits makes all behind it wait too, and a pick does not count those (Naor, "The regulation of queue size by
/// levying tolls", Econometrica 37(1), 1969).
const FAILURE_COST: f32 = 14.0;
/// Nobody waits longer than that, in service times, whatever for: where half of a fleet is broken and the rest is not enough, as many fail.
const ERROR_COST_MAX: f32 = 6.0;
/// Times as many slots as have been seen not to make anybody wait are believed, when what failing costs is turned into requests.
const SLOTS_UNSEEN_MAX: f32 = 1.5;
/// Error rates differ by this much for no reason, and by this many standard deviations by chance.
const ERROR_MARGIN: f32 = 0.02;
const ERROR_DOUBT: f32 = 6.0;
/// A rate up to this, three failures in a row, is an accident where others fail as often over a minute.
const ACCIDENT_MAX: f32 = 0.5;
/// The most that a minute's record makes normal.
const REMEMBERED_MAX: f32 = 0.05;
/// And what it may say for more than so many times what is normal now, an outage for one, is not believed to go on.
const STILL_TRUE: f32 = 2.0;
/// A larger part of the endpoints, and at least so many of them, do not break in the same moment: something is wrong that they share.
const SHARED_FROM: f32 = 0.25;
const SHARED_BY_MIN: usize = 4;
/// And where endpoints are few, nor do two, when more than this part of them have failed at anything in that moment: a burst of requests for what fails everywhere meets some
/// of them more often than others.
const FEW_FROM: f32 = 0.5;
const FEW_MIN: usize = 2;
/// Whoever is of a later tier, and has answered nobody for so long, has nothing to do.
const SPARE_FROM: Duration = Duration::from_secs(2);
/// What is normal follows at this rate per period, so that the luck of a moment does not define it.
const NORMAL_GAIN: f32 = 0.1;
/// The most an endpoint is believed to differ from the fleet. Without a limit, those that are believed to be normal would
/// take hundreds of requests before one that seemed slow a moment ago gets its first.
const COST_MIN: f32 = 1.0 / 16.0;
const COST_MAX: f32 = 16.0;

/// Shared by all workers and handed on from snapshot to snapshot.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    shrink_due: AtomicU64,
    /// The moment of the first answer; 0 before it.
    founded: AtomicU64,
    is_measured: AtomicBool,
    log_service: AtomicF32,
    log_parallelism: AtomicF32,
    by_weight: ByWeight,
    by_distance: ByDistance,
    own: Own,
    mean_cost: MeanCost,
    noise: AtomicF32,
    log_latency: AtomicF32,
    sway: AtomicF32,
    spread: AtomicF32,
    silence: AtomicF32,
    /// The most requests in flight that nobody has been seen to wait among, for each unit of weight.
    unhurried: AtomicF32,
    /// What one request is for each unit of weight: 1 where weights are equal, and little where one is far smaller than the others.
    lightness: AtomicF32,
    clumping: AtomicF32,
    /// Made of the others, and kept because every pick asks.
    silence_allowed: AtomicF32,
    lateness_allowed: AtomicF32,
    served_at_once: AtomicF32,
    normal_errors: AtomicF32,
    /// The same of a minute's record, which also tells of what is over.
    normal_record: AtomicF32,
    /// When many were last seen to fail in one moment.
    shared_at: AtomicU64,
    scratch: Mutex<Scratch>,
    /// Where the next turn begins.
    cursor: AtomicUsize,
}

/// Kept so that no median allocates.
#[derive(Debug, Default)]
struct Scratch {
    values: Vec<f32>,
    /// Each with its weight.
    weighed: Vec<(f32, u32)>,
}

impl Fleet {
    /// What is expected of an endpoint of this lightness. `None` before the first median.
    pub(crate) fn level(&self, lightness: f32, published: &Published) -> Option<FleetLevel> {
        self.is_measured.load(Relaxed).then(|| self.level_at(lightness, self.by_distance(published)))
    }

    fn level_at(&self, lightness: f32, by_distance: f32) -> FleetLevel {
        let by_weight = self.by_weight.expected(lightness);
        FleetLevel {
            log_service: f64::from(self.log_service.get() + by_weight + by_distance),
            log_parallelism: f64::from(self.log_parallelism.get() + by_weight + by_distance),
            // No fewer than one request, and one for each unit of weight where weights tell slots.
            log_parallelism_min: f64::from(if by_weight < 0.0 { by_weight.max(lightness.ln()) } else { 0.0 }),
            noise: f64::from(self.noise.get()),
            clumping: f64::from(self.clumping.get()),
        }
    }

    fn by_distance(&self, published: &Published) -> f32 {
        self.by_distance.expected(&published.distance, self.log_service.get())
    }

    /// How much of the request that is to be placed counts by what it costs there.
    #[inline]
    pub(crate) fn own(&self) -> f32 {
        self.own.get()
    }

    pub(super) fn tolls(&self, patience: Patience) -> Tolls {
        Tolls::new(self.mean_cost.get(), patience.at_once / self.typical_lightness())
    }

    /// How many times as long a request takes there as where the weight is smallest, by what its weight tells; 1 where that is no speed.
    pub(crate) fn told_by_weight(&self, seat: &Seat) -> f32 {
        self.by_weight.expected(seat.lightness).exp()
    }

    /// What is expected of a typical endpoint.
    pub(crate) fn typical_level(&self) -> Option<FleetLevel> {
        self.is_measured.load(Relaxed).then(|| self.level_at(self.typical_lightness(), 0.0))
    }

    fn typical_lightness(&self) -> f32 {
        // Before the first median it is 0.
        if self.is_measured.load(Relaxed) { self.lightness.get() } else { 1.0 }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            // Before the first median it is 0.
            silence: self.silence_allowed.get().max(SILENCE_ALLOWED),
            lateness: self.lateness_allowed.get(),
            at_once: self.served_at_once.get().max(self.typical_lightness().min(1.0)),
        }
    }

    /// By how much all doubts grow where answers differ wildly: 1 where they do not. Recent residuals stray further, as a mean,
    /// than if each were by itself; or single ones are so far apart that a few tell nothing; or a few requests are most of the
    /// work, and where they happen to be looks like a fault.
    fn measure_clumping(&self) -> f32 {
        let noise = self.noise.get();
        let in_clumps = self.sway.get() / (SWAY * noise).max(INDIFFERENCE);
        let wild = (noise / NOISE_TELLING).powi(4);
        in_clumps.max(wild).max(self.spread.get() / SPREAD_TELLING).clamp(1.0, CLUMPING_MAX)
    }

    /// This one jumped: price it now, and do not wait for the period to end to look at all. Several jumps share one look.
    pub(crate) fn jumped(&self, state: &EndpointState, lightness: f32, peers: u32, now: Moment) {
        if self.is_measured.load(Relaxed) {
            state.standing().cost.set(self.price(state, lightness, doubt(peers), now));
        }
        self.shrink_due.fetch_min((now + HURRIED_PERIOD).0, Relaxed);
    }

    /// Takes the medians and prices every endpoint, if that is due and nobody else is at it.
    pub(crate) fn shrink_if_due(&self, seats: &[Seat], peers: u32, now: Moment) {
        let due = self.shrink_due.load(Relaxed);
        if now.0 < due {
            return;
        }
        let next = (now + PERIOD.mul_f32(part_of(seats))).0;
        if self.shrink_due.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return;
        }
        if let Ok(mut scratch) = self.scratch.try_lock() {
            self.shrink(seats, peers, now, &mut scratch);
        }
    }

    fn shrink(&self, seats: &[Seat], peers: u32, now: Moment, scratch: &mut Scratch) {
        if self.founded.load(Relaxed) == 0 {
            self.founded.store(now.0.max(1), Relaxed);
        }
        let turn = Turn::new(seats, self.cursor.load(Relaxed), now);
        self.cursor.store((turn.start + TURN) % seats.len().max(1), Relaxed);
        self.measure_errors(&turn, now, scratch);
        self.look_for_shared_failures(&turn, now);
        let measured = self.measure(&turn, peers, now, scratch);
        for seat in turn.seats() {
            let state = &seat.state;
            if measured {
                state.count_lingering(f64::from(self.log_latency.get()).exp(), now);
            }
            self.price_errors(state, now);
            if measured && seat.state.published().gain.get() > 0.0 {
                seat.state.standing().cost.set(self.price(&seat.state, seat.lightness, doubt(peers), now));
            }
        }
        let open = turn.in_use(now);
        self.suspect_who_teaches_nothing(open.clone(), now);
        let lingering =
            lower_median(turn.gather(now, &mut scratch.values, |seat| Some(seat.state.lingering() as f32)));
        let (lingering, at_once) =
            (lingering.unwrap_or(0.0), self.unhurried.get() / self.typical_lightness());
        turn.seats().for_each(|seat| seat.state.compare_lingering(lingering as u32, at_once as u32));
        self.mean_cost.follow(open.clone(), self.typical_lightness(), part_of(turn.seats));
        let Some(cheapest) = Cheapest::of(open) else { return };
        for seat in turn.seats() {
            explore_if_due(seat, cheapest, now);
        }
    }

    /// Whoever is heard and teaches nothing (all of whose answers are 404, say) is late as often as others are, for all that is known. Never suspected, it would draw
    /// what suspicion sends elsewhere.
    fn suspect_who_teaches_nothing<'a>(&self, open: impl Iterator<Item = &'a Seat> + Clone, now: Moment) {
        let teaches = |seat: &&Seat| {
            let published = seat.state.published();
            published.untaught(now) <= published.idle(now) + UNTAUGHT_MIN
        };
        let unsuspected = self.patience().lateness;
        let suspicion = |seat: &Seat| (seat.state.standing().recent.get() - unsuspected).max(0.0);
        let (sum, count) = open
            .clone()
            .filter(teaches)
            .fold((0.0, 0.0), |(sum, count), seat| (sum + suspicion(seat), count + 1.0));
        let usual = if count > 0.0 { sum / count } else { 0.0 };
        for seat in open.filter(|seat| !teaches(seat)) {
            seat.state.standing().recent.set(unsuspected + SUSPECTED_UNTAUGHT * usual);
        }
    }

    /// The medians over the endpoints that are up and have answered. False when there are none.
    fn measure(&self, turn: &Turn<'_>, peers: u32, now: Moment, scratch: &mut Scratch) -> bool {
        let of_seat = |seat: &Seat| {
            let log_service = heard(&seat.state, |published| &published.log_service)?;
            Some((-seat.lightness.ln(), log_service))
        };
        let open = turn.in_use(now);
        let free = self.free_part(open.clone(), peers);
        if Seat::is_even(turn.seats) {
            self.own.start_anew();
        } else {
            let deviation = DEVIATION as f32 * self.noise.get() * self.clumping.get() * SETTLED;
            self.by_weight.follow(open.filter_map(of_seat), deviation, part_of(turn.seats));
            self.own.follow(free, part_of(turn.seats));
        }
        // Were the cold ones among them, where they are many, whoever is warm would seem cheap, and they would have nothing to warm by.
        let is_warm = |seat: &&Seat| !self.is_newcomer(seat.state.published().joined(), now);
        let mut detrended = |field: fn(&Published) -> &AtomicF32| {
            let of_seat = |seat: &Seat| {
                let value = Some(seat).filter(is_warm).and_then(|seat| heard(&seat.state, field))?;
                Some(
                    value
                        - self.by_weight.expected(seat.lightness)
                        - self.by_distance(seat.state.published()),
                )
            };
            median(turn.gather(now, &mut scratch.values, of_seat))
        };
        let service = detrended(|published| &published.log_service);
        let parallelism = detrended(|published| &published.log_parallelism);
        let round_trip = |seat: &Seat| seat.state.published().distance.round_trip();
        let round_trip = lower_median(turn.gather(now, &mut scratch.values, round_trip)).unwrap_or_default();
        self.by_distance.follow(round_trip, free, part_of(turn.seats));
        let mut median_of = |field: fn(&Published) -> &AtomicF32| {
            median(turn.gather(now, &mut scratch.values, |seat| heard(&seat.state, field)))
        };
        let noise = median_of(|published| &published.noise);
        let log_latency = median_of(|published| &published.log_latency);
        let sway = median_of(|published| &published.sway);
        let spread = median_of(|published| &published.spread);
        let silence = median_of(|published| &published.silence);
        // Of one that fails, much of what is in flight waits for nothing.
        let sound = |state: &EndpointState| state.standing().error_cost.get() <= 0.0;
        let of_seat = |seat: &Seat| heard(&seat.state, |published| &published.unhurried);
        let of_sound_seat = |seat: &Seat| of_seat(seat).filter(|_| sound(&seat.state));
        let unhurried = median_by_weight(turn.weigh(now, &mut scratch.weighed, of_sound_seat));
        let of_heard_seat = |seat: &Seat| of_seat(seat).map(|_| seat.lightness);
        let lightness = median_by_weight(turn.weigh(now, &mut scratch.weighed, of_heard_seat));
        let is_measured = self.is_measured.load(Relaxed);
        // While all are newcomers, what was usual before them is.
        let before = |level: &AtomicF32| is_measured.then(|| level.get());
        let service = service.or_else(|| before(&self.log_service));
        let parallelism = parallelism.or_else(|| before(&self.log_parallelism));
        let (Some(service), Some(parallelism), Some(noise)) = (service, parallelism, noise) else {
            return false;
        };
        let gain = if is_measured { part_of(turn.seats) } else { 1.0 };
        for (level, median) in [
            (&self.log_service, service),
            (&self.log_parallelism, parallelism),
            (&self.noise, noise),
            (&self.log_latency, log_latency.unwrap_or_default()),
            (&self.sway, sway.unwrap_or_default()),
            (&self.spread, spread.unwrap_or_default()),
            (&self.silence, silence.unwrap_or_default()),
            (&self.unhurried, unhurried.unwrap_or_default()),
            (&self.lightness, lightness.unwrap_or(1.0)),
        ] {
            level.follow(median, gain);
        }
        let clumping = self.measure_clumping();
        self.clumping.set(clumping);
        self.silence_allowed.set(SILENCE_ALLOWED * self.silence.get().max(1.0) * clumping.sqrt());
        self.lateness_allowed.set(SUSPICION_FROM * self.noise.get() * clumping);
        self.is_measured.store(true, Relaxed);
        self.served_at_once.set(self.at_once());
        true
    }

    /// Of all slots; 0 where these cannot be told.
    fn free_part<'a>(&self, seats: impl Iterator<Item = &'a Seat>, peers: u32) -> f32 {
        let slots = self.unhurried.get() / self.typical_lightness();
        if slots < TELLING_SLOTS { 0.0 } else { 1.0 - busy_part(seats, peers) }
    }

    /// Normal is the lower quartile of the error rates, not the median: with half or more of the endpoints failing, the
    /// median would call that normal, and fast failures would draw the traffic from the rest. When all fail alike, the
    /// quartile is what all do. Of endpoints and of weight: neither many canaries that fail nor one large endpoint says what is
    /// normal. Rates of the moment are 0 for most where one request in a hundred fails, so the record of a minute is asked as well; but it knows of what is over, too, and so it never says more than `REMEMBERED_MAX`.
    fn measure_errors(&self, turn: &Turn<'_>, now: Moment, scratch: &mut Scratch) {
        let mut quartile_of = |rate: fn(&Published, Moment) -> f32| {
            let rate = |seat: &Seat| {
                let published = seat.state.published();
                published.is_heard().then(|| rate(published, now))
            };
            let of_endpoints = lower_quartile(turn.gather(now, &mut scratch.values, rate));
            let weighed = turn.weigh(now, &mut scratch.weighed, rate);
            let of_weight = lower_quartile_by_weight(weighed);
            of_endpoints.zip(of_weight).map_or(0.0, |(endpoints, weight)| endpoints.min(weight))
        };
        let momentary = quartile_of(Published::error_rate);
        let remembered = quartile_of(|published, _| published.record().share());
        let momentary = momentary.max(remembered.min(REMEMBERED_MAX));
        for (normal, quartile) in [(&self.normal_errors, momentary), (&self.normal_record, remembered)] {
            normal.follow(quartile, NORMAL_GAIN * part_of(turn.seats));
        }
    }

    /// Where many fail in one moment that did not before, it is not they who have broken: what they answer by itself is judged, when the
    /// moment is over, as if each had failed by accident.
    fn look_for_shared_failures(&self, turn: &Turn<'_>, now: Moment) {
        let normal = self.normal_errors.get();
        let is_struck = |published: &Published| {
            published.spell().is_of_this_moment(now) && published.record().offences(normal) > 0.0
        };
        let seats = || turn.seats().filter(|seat| !turn.is_spare(seat, now));
        let heard = || seats().map(|seat| seat.state.published()).filter(|published| published.is_heard());
        let struck = || heard().filter(|published| is_struck(published));
        let failed = heard().filter(|published| published.spell().has_just_failed(now)).count();
        let (count, all) = (struck().count(), heard().count());
        let is_shared = count >= SHARED_BY_MIN && count as f32 > SHARED_FROM * all as f32;
        if is_shared || (failed >= FEW_MIN && failed as f32 > FEW_FROM * all as f32) {
            self.shared_at.store(now.0, Relaxed);
            struck().for_each(Published::share_blame);
        }
    }

    pub(crate) fn errors_elsewhere(&self) -> Elsewhere {
        Elsewhere { normal: self.normal_errors.get(), shared_at: Moment(self.shared_at.load(Relaxed)) }
    }

    /// What happened in the last moment, but no more than the minute's record allows: where one request in a thousand fails, the
    /// moment after a failure is no worse than others. Priced in service times, and paid in requests: so many as are served in that time.
    pub(crate) fn price_errors(&self, state: &EndpointState, now: Moment) {
        let (published, normal) = (state.published(), self.normal_errors.get());
        let record = published.record();
        let rate = published.error_rate(now).min(record.share_at_most());
        let is_accident = rate <= ACCIDENT_MAX && record.offences(normal) <= 0.0;
        // Of the last few attempts much may be chance, of a minute's little; but what a minute knows may be over, here and elsewhere.
        let on_records = self.normal_record.get().min(STILL_TRUE * normal + REMEMBERED_MAX);
        let on_record = record.surely_more(normal.max(on_records));
        let proven = (on_record.min(rate - normal) - ERROR_MARGIN).max(0.0);
        let excess = if is_accident { 0.0 } else { Tolerance::around(normal).excess(rate).max(proven) };
        state.standing().error_cost.set((FAILURE_COST * excess).min(ERROR_COST_MAX) * self.at_once());
    }

    /// Requests that a typical endpoint serves in one service time, for each unit of weight: typical of those that serve most requests, not of most
    /// endpoints, which may all be canaries. What is believed of slots is far too little well below saturation, and where
    /// a queue lasts for minutes, which passes for slots then, far too much; what has been seen not to wait is a little too small where hardly
    /// anything has been tried.
    fn at_once(&self) -> f32 {
        let unhurried = self.unhurried.get();
        let one = self.typical_lightness();
        // No fewer slots are believed than one for each unit of weight: by itself that says nothing of a large weight.
        let believed = (self.log_parallelism.get() + self.by_weight.expected(one)).exp();
        let believed = if believed > 1.0 { believed } else { one };
        believed.clamp(unhurried, SLOTS_UNSEEN_MAX * unhurried.max(one))
    }

    /// How long it takes a typical endpoint, busy with as many as it serves at once, to serve so many. What is learned is a mean of logarithms; where these are
    /// normal, the mean is larger by the root of one more than the squared coefficient of variation.
    pub(crate) fn time_to_serve(&self, requests: f32, each_at_least: Duration) -> Duration {
        let mean = self.log_service.get().exp() * (1.0 + self.spread.get().clamp(0.0, SPREAD_TELLING)).sqrt();
        let times = (requests / self.at_once()).min(ERROR_COST_MAX);
        Duration::try_from_secs_f32(mean.max(each_at_least.as_secs_f32()) * times).unwrap_or_default()
    }

    /// What is left of an endpoint's difference once chance is taken out of it.
    fn price(&self, state: &EndpointState, lightness: f32, doubt: f32, now: Moment) -> f32 {
        let published = state.published();
        let by_weight = self.by_weight.expected(lightness);
        let by_distance = self.by_distance(published);
        let beside = by_weight + by_distance;
        let level = (self.log_service.get() + beside, self.log_parallelism.get() + beside);
        let chance = doubt
            * DEVIATION as f32
            * self.noise.get()
            * self.clumping.get()
            * (published.gain.get() / 2.0).sqrt();
        let chance = chance.max(INDIFFERENCE);
        let untaught = published.untaught(now);
        // Whoever is heard and teaches nothing has nobody to find out that it is as fast as the others.
        let heard_in_vain = untaught.saturating_sub(published.idle(now));
        let slower = published.log_service.get() - level.0;
        let slower = slower * remembered(heard_in_vain.as_secs_f64()) as f32;
        let mut service = shrunk(slower, chance);
        let difference = published.log_parallelism.get() - level.1;
        let kept = remembered(untaught.as_secs_f64()) as f32;
        let doubt = if difference < 0.0 { FEWER_SLOTS_DOUBT } else { MORE_SLOTS_DOUBT };
        let mut parallelism = shrunk(kept * difference, doubt * chance);
        if self.is_newcomer(published.joined(), now) {
            (service, parallelism) = (service.min(0.0), 0.0);
        }
        // Where load is steady the two stray together and explain the answers as before. Each judged by itself, that would
        // become a difference in cost that nobody has measured.
        let measured = slower - kept * difference;
        let believed = (service - parallelism).clamp(measured.min(0.0), measured.max(0.0));
        let beside_typical = by_weight - self.by_weight.expected(self.typical_lightness());
        let unhurried = published.unhurried.get() * (-beside_typical - by_distance).exp();
        let worth = self.among_many_slots(believed, parallelism, unhurried);
        let worth = worth + self.by_distance.preference() * by_distance;
        worth.exp().clamp(COST_MIN, COST_MAX)
    }

    /// What a difference in cost is worth where slots are many. As long as one is free nobody waits, and where all are free or taken alike it does
    /// not matter who is twice as slow; but the drain time fills the faster ones beyond their slots before it uses the free ones of the others.
    /// Of the slots themselves, which `model` cannot tell from service times there, what has been seen not to wait says more.
    fn among_many_slots(&self, believed: f32, parallelism: f32, unhurried: f32) -> f32 {
        let typical = self.unhurried.get();
        if typical <= FEW_SLOTS || unhurried <= 0.0 {
            return believed;
        }
        let seen = (unhurried / typical).ln();
        let slots = parallelism.clamp(seen - STEP_OF_SLOTS, seen + STEP_OF_SLOTS);
        let slower = believed + slots;
        let matters = (slower.abs() * FEW_SLOTS / typical).max(slower.abs() - SLOWER_FOR_NOTHING);
        let worth = slower.signum() * matters - slots;
        worth.clamp(believed.min(0.0), believed.max(0.0))
    }

    /// Slow because it has just joined or come back, not because it stands still: it warms by serving.
    pub(crate) fn may_be_cold(&self, state: &EndpointState, now: Moment) -> bool {
        let published = state.published();
        published.joins() || self.is_newcomer(published.joined(), now)
    }

    /// It may be, has not been there for long, and is slower than others: late answers are no warning.
    pub(crate) fn is_cold(&self, state: &EndpointState, lightness: f32, now: Moment) -> bool {
        let published = state.published();
        let is_new = published.joins() || now.since(published.joined()) < COLD_FOR;
        if !is_new || !self.may_be_cold(state, now) {
            return false;
        }
        let expected =
            self.log_service.get() + self.by_weight.expected(lightness) + self.by_distance(published);
        published.log_service.get() - expected > COLD_FROM
    }

    fn is_newcomer(&self, joined: Moment, now: Moment) -> bool {
        joined.since(Moment(self.founded.load(Relaxed))) > FOUNDING && now.since(joined) < SLOW_START
    }
}

fn doubt(peers: u32) -> f32 {
    if peers > 1 { DOUBT_AMONG_PEERS } else { DOUBT_ALONE }
}

fn is_spare(first_tier: u8, seat: &Seat, now: Moment) -> bool {
    seat.tier > first_tier && seat.state.published().idle(now) > SPARE_FROM
}

/// The endpoints that are measured and priced at one time: all of them, or as many as a turn takes.
struct Turn<'a> {
    seats: &'a [Seat],
    start: usize,
    /// The first tier that has somebody up; later ones are for what it cannot take.
    first_tier: u8,
}

impl<'a> Turn<'a> {
    fn new(seats: &'a [Seat], start: usize, now: Moment) -> Self {
        let turn = Self { seats, start, first_tier: u8::MAX };
        let open = turn.seats().filter(|seat| seat.state.is_open(now));
        let first_tier = open.map(|seat| seat.tier).min().unwrap_or(u8::MAX);
        Self { first_tier, ..turn }
    }

    /// It has had nothing to do for a while: what it answered before says nothing of what is usual now.
    fn is_spare(&self, seat: &Seat, now: Moment) -> bool {
        is_spare(self.first_tier, seat, now)
    }

    /// Those that may be picked, but for spares.
    fn in_use(&self, now: Moment) -> impl Iterator<Item = &'a Seat> + Clone + use<'a> {
        let first_tier = self.first_tier;
        self.seats().filter(move |seat| seat.state.is_open(now) && !is_spare(first_tier, seat, now))
    }

    fn seats(&self) -> impl Iterator<Item = &'a Seat> + Clone + use<'a> {
        let (seats, start) = (self.seats, self.start);
        (start..start + seats.len().min(TURN))
            .filter_map(move |step| seats.get(step.wrapping_mul(STRIDE) % seats.len()))
    }

    /// What those that may be picked have to say, each one value or nothing.
    fn gather<'s>(
        &self,
        now: Moment,
        scratch: &'s mut Vec<f32>,
        value: impl Fn(&Seat) -> Option<f32>,
    ) -> &'s mut [f32] {
        scratch.clear();
        scratch.extend(self.in_use(now).filter_map(value));
        scratch
    }

    /// The same, each value with its endpoint's weight.
    fn weigh<'s>(
        &self,
        now: Moment,
        scratch: &'s mut Vec<(f32, u32)>,
        value: impl Fn(&Seat) -> Option<f32>,
    ) -> &'s mut [(f32, u32)] {
        scratch.clear();
        scratch.extend(self.in_use(now).filter_map(|seat| Some((value(seat)?, seat.share))));
        scratch
    }
}

/// What is known of an endpoint that has answered.
fn heard(state: &EndpointState, field: fn(&Published) -> &AtomicF32) -> Option<f32> {
    let published = state.published();
    (published.gain.get() > 0.0).then(|| field(published).get())
}

/// The part of the slots of these endpoints that are taken, by weight; more than 1 where requests wait. Each peer has as many in flight: they are there
/// now, and were while one's own were seen not to wait.
fn busy_part<'a>(seats: impl Iterator<Item = &'a Seat>, peers: u32) -> f32 {
    let others = peers.saturating_sub(1) as f32;
    let (mut taken, mut whole) = (0.0, 0.0);
    for seat in seats {
        let own = seat.state.at_work() as f32;
        taken += seat.share as f32 * (own + others * own) / (seat.at_once() + others * own);
        whole += seat.share as f32;
    }
    taken / f32::max(whole, 1.0)
}

/// The part of the endpoints that one turn takes.
fn part_of(seats: &[Seat]) -> f32 {
    (TURN as f32 / seats.len() as f32).min(1.0)
}

/// The error rates that pass for normal now.
struct Tolerance {
    normal: f32,
    margin: f32,
}

impl Tolerance {
    /// Recent rates are means of few attempts: by chance alone they differ the more, the more failing is normal.
    fn around(normal: f32) -> Self {
        let chance = (normal * (1.0 - normal) * NOISE_GAIN).sqrt();
        Self { normal, margin: ERROR_MARGIN + ERROR_DOUBT * chance }
    }

    fn excess(&self, rate: f32) -> f32 {
        (rate - self.normal - self.margin).max(0.0)
    }
}

/// The non-negative garrote: nothing is left of what chance may explain, and nearly all of what it cannot.
fn shrunk(difference: f32, chance: f32) -> f32 {
    if difference.abs() <= chance { 0.0 } else { difference - chance * chance / difference }
}

fn nth(values: &mut [f32], index: usize) -> Option<f32> {
    (index < values.len()).then(|| *values.select_nth_unstable_by(index, f32::total_cmp).1)
}

fn lower_quartile(values: &mut [f32]) -> Option<f32> {
    nth(values, values.len().saturating_sub(1) / 4)
}

fn median(values: &mut [f32]) -> Option<f32> {
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    Some(f32::midpoint(nth(values, lower)?, nth(values, upper)?))
}

/// The lower one of two: of two endpoints, that of the better one.
fn lower_median(values: &mut [f32]) -> Option<f32> {
    nth(values, values.len().saturating_sub(1) / 2)
}

/// With equal weights, the lower quartile.
fn lower_quartile_by_weight(values: &mut [(f32, u32)]) -> Option<f32> {
    values.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let whole: u64 = values.iter().map(|value| u64::from(value.1)).sum();
    let mut sum = 0;
    let reached = values.iter().find(|&&(_, weight)| {
        sum += u64::from(weight);
        4 * sum + u64::from(weight) > whole
    });
    reached.map(|&(value, _)| value)
}

/// Half of all weight is on either side: with equal weights, the median.
fn median_by_weight(values: &mut [(f32, u32)]) -> Option<f32> {
    values.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let whole: u64 = values.iter().map(|value| u64::from(value.1)).sum();
    let mut sum = 0;
    let mut reached = values.iter().map(|&(value, weight)| {
        sum += 2 * u64::from(weight);
        (value, sum)
    });
    let (lower, sum) = reached.find(|&(_, sum)| sum >= whole)?;
    let upper = if sum == whole { reached.next().map_or(lower, |next| next.0) } else { lower };
    Some(f32::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::testing::Fleet as Cluster;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_median_by_weight_is_the_median_of_as_many_as_the_weights_say(
            values in prop::collection::vec((0_u8..100, 1_u32..5), 0..20),
        ) {
            let mut weighed: Vec<_> = values.iter().map(|&(value, weight)| (f32::from(value), weight)).collect();
            let repeat = |&(value, weight): &(f32, u32)| std::iter::repeat_n(value, weight as usize);
            let mut repeated: Vec<_> = weighed.iter().flat_map(repeat).collect();
            prop_assert_eq!(median_by_weight(&mut weighed), median(&mut repeated));
            let mut even: Vec<_> = values.iter().map(|&(value, _)| (f32::from(value), 7)).collect();
            let mut plain: Vec<_> = even.iter().map(|value| value.0).collect();
            prop_assert_eq!(lower_quartile_by_weight(&mut even), lower_quartile(&mut plain));
        }
    }

    #[test]
    fn turns_take_every_endpoint_of_a_large_cluster_once() {
        let cluster = Cluster::even(Algorithm::Adaptive { peers: 1 }, 3 * TURN);
        let seats = Seat::all(cluster.endpoints(), &[]);
        let turns = [0, TURN, 2 * TURN].map(|start| Turn::new(&seats, start, Moment(0)));
        let mut seen: Vec<_> = turns.iter().flat_map(Turn::seats).map(std::ptr::from_ref).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3 * TURN);
    }

    #[test]
    fn what_peers_have_in_flight_takes_slots_and_was_there_when_they_were_seen() {
        let cluster = Cluster::even(Algorithm::Adaptive { peers: 1 }, 1);
        let seats = Seat::all(cluster.endpoints(), &[]);
        let _held = cluster.hold(0, 2);
        for (unhurried, peers, expected) in
            [(4.0, 1, 0.5), (4.0, 5, 10.0 / 12.0), (2.0, 5, 1.0), (1.0, 1, 2.0)]
        {
            seats[0].state.published().unhurried.set(unhurried);
            let busy = busy_part(seats.iter(), peers);
            assert!((busy - expected).abs() < 1e-6, "{busy} of {unhurried} with {peers}");
        }
    }

    #[test]
    fn a_median_of_none_is_none_and_of_two_their_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0]), Some(2.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn service_time_and_parallelism_that_stray_together_cost_nothing() {
        let fleet = Fleet::default();
        let cost = |service: f32, parallelism: f32| {
            let state = EndpointState::default();
            let published = state.published();
            published.gain.set(0.03);
            published.log_service.set(service);
            published.log_parallelism.set(parallelism);
            fleet.price(&state, 1.0, doubt(1), Moment(0))
        };
        assert!((cost(0.5, 0.5) - 1.0).abs() < f32::EPSILON && (cost(-0.5, -0.5) - 1.0).abs() < f32::EPSILON);
        assert!(cost(0.5, 0.0) > 1.5 && cost(0.0, 0.5) < 0.7);
    }

    #[test]
    fn where_slots_are_many_a_difference_is_worth_less_and_none_is_none() {
        let fleet = Fleet::default();
        let worth = |typical: f32, believed: f32, parallelism: f32, unhurried: f32| {
            fleet.unhurried.set(typical);
            fleet.among_many_slots(believed, parallelism, unhurried)
        };
        let is = |one: f32, other: f32| (one - other).abs() < 0.02;
        assert!(is(worth(6.0, 0.7, 0.0, 6.0), 0.7), "of few slots nothing changes");
        assert!(is(worth(64.0, 0.0, 0.0, 32.0), 0.0), "nor for equal ones, whatever was seen");
        assert!(is(worth(64.0, 0.69, 0.0, 64.0), 0.09), "twice as slow");
        assert!(is(worth(64.0, 2.3, 0.0, 64.0), 1.6), "ten times as slow");
        assert!(is(worth(64.0, 0.7, -0.7, 32.0), 0.7), "half of the slots, as seen");
        assert!(worth(64.0, 2.0, -2.1, 16.0) < 1.9, "an eighth, and more has been seen");
    }

    #[test]
    fn differences_within_chance_vanish_and_clear_ones_stay() {
        assert!(shrunk(0.2, 0.25).abs() < f32::EPSILON);
        assert!(shrunk(-0.2, 0.25).abs() < f32::EPSILON);
        assert!((shrunk(-1.0, 0.25) + 0.9375).abs() < 1e-6);
        assert!((shrunk(0.251, 0.25)).abs() < 0.01, "without a jump at the border");
    }
}
