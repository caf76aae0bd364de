//! How many requests an endpoint may have in flight, and who hears that one of them has ended. Knows no queue: only that
//! somebody may be waiting.
//!
//! The count is exact: a unit is only taken below the limit, in one step, so that no number of workers exceeds it.

use crate::capacity::{Capacity, LimitReason};
use crate::float::AtomicF32;
use crate::in_flight::Most;
use crate::seat::Seat;
use crate::{Lease, Moment};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// The most requests that may be in flight on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestLimit {
    /// A little more than the endpoint serves at once, learned from how soon its answers begin. Those that have begun do not
    /// count: an event stream or a download is not what the others wait for, and one that goes on for hours teaches nothing.
    Learned,
    Most(u32),
    #[default]
    None,
}

/// Somebody who wants to hear when there may be room on an endpoint with a limit: of every request that ends there, and where
/// only those count whose answer has not begun, of each that begins, too.
pub trait RoomWatch: Debug + Send + Sync {
    /// Called after the request has ceased to count, from whatever thread that happens on.
    fn freed(&self);
}

/// What came of a request, as far as room goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Came {
    /// After so long.
    Answer(Duration),
    /// A failure, after so long.
    Failure(Duration),
    /// Its client left after so long.
    Left(Duration),
    /// It was given up after so long.
    Nothing(Duration),
    /// The endpoint said that it was too much, after so long.
    Refusal(Duration),
}

/// Answers that the mean is taken over.
const ANSWERS_REMEMBERED: f32 = 32.0;

/// The limits of a cluster, one for each endpoint, in their order.
#[derive(Debug)]
pub(crate) struct Rooms {
    limits: Box<[RequestLimit]>,
    watch: Option<Arc<dyn RoomWatch>>,
    answer_time: Arc<AnswerTime>,
}

impl Rooms {
    /// `None` when nothing is limited: then nothing needs to be counted below anything.
    pub(crate) fn new(
        limits: &[RequestLimit],
        watch: Option<Arc<dyn RoomWatch>>,
        answer_time: &Arc<AnswerTime>,
    ) -> Option<Self> {
        let is_limited = limits.iter().any(|limit| *limit != RequestLimit::None);
        is_limited.then(|| Self { limits: limits.into(), watch, answer_time: Arc::clone(answer_time) })
    }

    /// `None`: any number.
    pub(crate) fn most(&self, index: usize, seat: &Seat, now: Moment) -> Option<Most> {
        match self.limits.get(index) {
            Some(RequestLimit::Learned) => Some(Most::Waiting(learned_limit(seat, now))),
            Some(RequestLimit::Most(most)) => Some(Most::Requests(*most)),
            Some(RequestLimit::None) | None => None,
        }
    }

    /// `None`: it is not learned.
    pub(crate) fn limit_reason(&self, index: usize, seat: &Seat, now: Moment) -> Option<LimitReason> {
        self.is_learned(index).then(|| seat.state.capacity().reason(now, is_idle(seat)))
    }

    pub(crate) fn has_room(&self, index: usize, seat: &Seat, now: Moment) -> bool {
        let load = seat.state.load();
        match self.limits.get(index) {
            // In the common case, without a look at the clock.
            Some(RequestLimit::Learned) if load.is_below(Most::Waiting(seat.state.capacity().least())) => {
                true
            }
            _ => self.most(index, seat, now).is_none_or(|most| load.is_below(most)),
        }
    }

    /// What came of a request.
    pub(crate) fn learn(&self, lease: &Lease<'_>, seat: &Seat, came: Came, now: Moment) {
        match came {
            Came::Answer(latency) => self.answer_time.learn(latency),
            Came::Left(waited) | Came::Nothing(waited) => self.answer_time.learn_at_least(waited),
            Came::Failure(_) | Came::Refusal(_) => {}
        }
        if self.is_learned(lease.index()) {
            learn_capacity(lease, seat.state.capacity(), came, now);
        }
    }

    /// A request that went well has ended, after so long in all.
    pub(crate) fn ended(&self, whole: Duration) {
        self.answer_time.learn_whole(whole);
    }

    /// For how long a place is taken, typically, where that is until the end of the answer.
    pub(crate) fn typical_stay(&self) -> Option<Duration> {
        self.limits
            .iter()
            .any(|limit| matches!(limit, RequestLimit::Most(_)))
            .then(|| self.answer_time.typical_whole())?
    }

    pub(crate) fn usual_answer_time(&self) -> Option<Duration> {
        self.answer_time.usual()
    }

    pub(crate) fn typical_answer_time(&self) -> Option<Duration> {
        self.answer_time.typical()
    }

    /// An answer has begun, and goes on.
    pub(crate) fn begun(&self, index: usize) {
        if self.is_learned(index) {
            self.freed();
        }
    }

    fn is_learned(&self, index: usize) -> bool {
        self.limits.get(index) == Some(&RequestLimit::Learned)
    }

    pub(crate) fn freed(&self) {
        if let Some(watch) = &self.watch {
            watch.freed();
        }
    }
}

fn learned_limit(seat: &Seat, now: Moment) -> u32 {
    let capacity = seat.state.capacity();
    if is_idle(seat) { capacity.limit_of_idle(now) } else { capacity.limit(now) }
}

fn is_idle(seat: &Seat) -> bool {
    seat.state.load().waiting() == 0
}

fn learn_capacity(lease: &Lease<'_>, capacity: &Capacity, came: Came, now: Moment) {
    let load = lease.before().waiting().saturating_add(1);
    match came {
        Came::Answer(latency) => {
            if lease.is_let_in() {
                capacity.learn_let_in(latency, load);
            }
            capacity.learn(latency, load, now);
        }
        Came::Failure(latency) => capacity.learn_failure(latency, now),
        Came::Left(waited) => capacity.learn_left(waited, now),
        Came::Nothing(waited) => capacity.learn_late(waited, load, now),
        Came::Refusal(latency) => {
            capacity.learn_refused(load, now);
            // One that takes its time may be the end of a wait.
            capacity.learn_left(latency, now);
        }
    }
}

/// How long answers of a cluster took to begin, of late, and how far that was off, on average: as TCP takes its round trips (Jacobson,
/// "Congestion avoidance and control", SIGCOMM 1988). When two workers learn at once, one answer is lost.
#[derive(Debug, Default)]
pub(crate) struct AnswerTime {
    /// In seconds. 0: not known yet.
    mean: AtomicF32,
    deviation: AtomicF32,
    /// A mean of logarithms: a few that take very long hardly count.
    log_typical: AtomicF32,
    /// The same of the time until they have ended, which a place is taken for. 0: not known yet.
    log_whole: AtomicF32,
}

impl AnswerTime {
    fn learn(&self, latency: Duration) {
        let (latency, mean) = (latency.as_secs_f32().max(1e-6), self.mean.get());
        if mean == 0.0 {
            self.mean.set(latency);
            self.log_typical.set(latency.ln());
            return;
        }
        self.log_typical.follow(latency.ln(), 1.0 / ANSWERS_REMEMBERED);
        let off = latency - mean;
        self.mean.set(mean + off / ANSWERS_REMEMBERED);
        let deviation = self.deviation.get();
        self.deviation.set(deviation + (off.abs() - deviation) / ANSWERS_REMEMBERED);
    }

    /// An answer has ended, after so long in all.
    fn learn_whole(&self, whole: Duration) {
        let log = whole.as_secs_f32().max(1e-6).ln();
        let known = self.log_whole.get();
        self.log_whole.set(if known == 0.0 { log } else { known + (log - known) / ANSWERS_REMEMBERED });
    }

    fn typical_whole(&self) -> Option<Duration> {
        let known = self.log_whole.get();
        (known != 0.0).then(|| Duration::from_secs_f32(known.exp()))
    }

    /// An answer was given up after so long. Where answers become so slow that none is in time, nothing else tells.
    fn learn_at_least(&self, waited: Duration) {
        if waited.as_secs_f32() > self.mean.get() {
            self.learn(waited);
        }
    }

    fn typical(&self) -> Option<Duration> {
        (self.mean.get() > 0.0).then(|| Duration::from_secs_f32(self.log_typical.get().exp()))
    }

    /// Most answers have begun by then.
    fn usual(&self) -> Option<Duration> {
        let mean = self.mean.get();
        (mean > 0.0).then(|| Duration::from_secs_f32(mean + self.deviation.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_answer_time_follows_what_answers_take() {
        let time = AnswerTime::default();
        assert_eq!(time.usual(), None);
        let after = |times: u32, millis: u64| {
            (0..times).for_each(|_| time.learn(Duration::from_millis(millis)));
            time.usual().map_or(0, |usual| usual.as_millis())
        };
        assert_eq!(after(1, 100), 100);
        assert_eq!(after(200, 100), 100);
        assert!((200..=500).contains(&after(32, 300)), "it is on the way, and unsure");
        assert!((300..=310).contains(&after(400, 300)));
    }

    #[test]
    fn who_waits_in_vain_for_longer_than_usual_tells_of_slower_answers() {
        let time = AnswerTime::default();
        let millis = || time.usual().map_or(0, |usual| usual.as_millis());
        (0..200).for_each(|_| time.learn(Duration::from_millis(100)));
        (0..200).for_each(|_| time.learn_at_least(Duration::from_millis(50)));
        assert_eq!(millis(), 100);
        (0..200).for_each(|_| time.learn_at_least(Duration::from_millis(900)));
        assert!((880..=920).contains(&millis()), "{}", millis());
    }
}
