//! Whether a request that waits deserves a second attempt beside its first. Knows no request and starts nothing.
//!
//! Sending every late request twice makes things worse: late requests are the large ones, and the second copy costs as much
//! as the first. So lateness ("The tail at scale", Dean and Barroso, CACM 56(2), 2013) only opens the question. It is
//! answered by evidence that the *endpoint* is stalled, and by a place elsewhere where the copy keeps nobody waiting.

use super::model::{DEVIATION, queueing};
use super::{Adaptive, cached_score};
use crate::Moment;
use crate::candidates::Candidates;
use crate::seat::Seat;
use std::time::Duration;

/// An endpoint this many times slower than the fleet is as good as stalled: `ln 2.5`.
const SLOW: f32 = 0.916;
/// So many times the silence that picks are warned of: four large requests at work are often as silent as that, and whoever
/// is late is large, in company of the like.
pub(super) const STALLED: f32 = 1.5;
/// A copy may wait where it would be answered in this part of the time that the request has waited for already.
const PATIENT: f32 = 4.0;
/// One request in ten of an unhurried endpoint takes longer than this many standard deviations above the middle.
const NINE_IN_TEN: f64 = 1.2816;

impl Adaptive {
    /// The age beyond which a request is older than nine in ten that an endpoint serves alone; `None` before there was an answer.
    pub(crate) fn late_after(&self) -> Option<Duration> {
        self.service_quantile(NINE_IN_TEN)
    }

    /// So many standard deviations above the middle of what an endpoint takes for a request that it serves alone.
    fn service_quantile(&self, deviations: f64) -> Option<Duration> {
        let level = self.fleet.typical_level()?;
        let alone = level.log_service + queueing(level.log_parallelism, 1.0);
        let log_seconds = alone + deviations * DEVIATION * level.noise;
        Some(Duration::from_secs_f64(log_seconds.exp().clamp(1e-6, 3600.0)))
    }

    /// Whether what is waiting there may wait for long.
    pub(crate) fn is_stalled(&self, seat: &Seat, now: Moment) -> bool {
        let state = &seat.state;
        let silence = state.silence(now);
        let published = state.published();
        let slowness = || {
            self.fleet
                .level(seat.lightness, seat.state.published())
                .map_or(0.0, |level| published.log_service.get() - level.log_service as f32)
        };
        silence > STALLED * self.fleet.patience().silence || (published.gain.get() > 0.0 && slowness() > SLOW)
    }

    /// The best of those that are not stalled, fail no more than others, and have a slot to spare. How many slots there are is learned from the load that
    /// comes, and may be more than anybody has seen: a request that is `age` old need not mind a wait that is short beside that.
    pub(crate) fn choose_free(&self, candidates: &Candidates<'_>, age: Duration) -> Option<usize> {
        let now = candidates.now();
        let suits = |seat: &Seat| {
            (seat.has_free_slot() || expected(seat) * PATIENT < age.as_nanos() as f32)
                && seat.state.trial_due().is_none()
                && seat.state.standing().error_cost.get() <= 0.0
                && !self.is_stalled(seat, now)
        };
        let scored = candidates
            .iter()
            .filter(|(_, seat)| suits(seat))
            .map(|(index, seat)| (index, cached_score(seat, now)));
        scored.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(index, _)| index)
    }
}

/// When one more request would be answered there if all that is there were served before it, in nanoseconds.
fn expected(seat: &Seat) -> f32 {
    let queued = (seat.state.at_work() as f32 + 1.0) / seat.slots();
    seat.state.standing().mean_latency() * queued.max(1.0)
}

#[cfg(test)]
mod tests {
    use crate::testing::Fleet;
    use crate::{Algorithm, Ended, Lease, Moment, Pick, Second};
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);
    const TEN_MS: Duration = Duration::from_millis(10);

    /// Four endpoints that have answered 200 requests each, within 10 ms.
    fn experienced() -> (Fleet, Moment) {
        let fleet = Fleet::even(Algorithm::Adaptive { peers: 1 }, 4);
        let mut now = Moment(1);
        for _ in 0..800 {
            let lease = fleet.pick_at(now);
            now = now + TEN_MS;
            lease.settle(Ended::Answered { status: 200, first_byte: TEN_MS }, now);
        }
        (fleet, now)
    }

    fn hedge<'a>(fleet: &'a Fleet, first: &Lease<'_>, now: Moment) -> Option<Lease<'a>> {
        fleet.pick_hedge(first, &Pick { now, random: 7, hash: None, tried: &[first.index()] }).lease()
    }

    #[test]
    fn nobody_is_late_before_anything_is_known() {
        let fleet = Fleet::even(Algorithm::Adaptive { peers: 1 }, 2);
        assert_eq!(fleet.late_after(), None);
        assert_eq!(Fleet::even(Algorithm::LeastRequest, 2).late_after(), None);
    }

    #[test]
    fn late_is_what_nine_in_ten_are_not() {
        let (fleet, _) = experienced();
        let late = fleet.late_after().unwrap();
        assert!((Duration::from_millis(9)..Duration::from_millis(20)).contains(&late), "{late:?}");
    }

    #[test]
    fn a_request_on_an_endpoint_that_went_silent_gets_a_second_one_elsewhere() {
        let (fleet, now) = experienced();
        let first = fleet.pick_at(now);
        assert!(
            hedge(&fleet, &first, now + 3 * TEN_MS).is_none(),
            "late, but nothing says that the endpoint is stalled"
        );
        let second = hedge(&fleet, &first, now + 8 * TEN_MS).unwrap();
        assert_ne!(second.index(), first.index());
        assert_eq!(fleet.in_flight().iter().sum::<u32>(), 2);
    }

    /// It is the one with most room, and quick to say so.
    #[test]
    fn no_copy_goes_to_an_endpoint_that_fails() {
        let (fleet, mut now) = experienced();
        for _ in 0..20 {
            let fails = fleet.lease(3, now).unwrap();
            now = now + MS;
            fails.settle(Ended::Answered { status: 503, first_byte: MS }, now);
        }
        let first = fleet.lease(0, now).unwrap();
        let _busy: Vec<_> = [1, 2].into_iter().flat_map(|index| fleet.hold(index, 3)).collect();
        let pick = Pick { now: now + 8 * TEN_MS, random: 7, hash: None, tried: &[0] };
        assert!(matches!(fleet.pick_hedge(&first, &pick), Second::NoSlot));
    }

    #[test]
    fn an_endpoint_whose_requests_were_answered_elsewhere_does_not_pass_for_an_idle_one() {
        let (fleet, now) = experienced();
        let first = fleet.pick_at(now);
        let (silent, overtaken_at) = (first.index(), now + 8 * TEN_MS);
        let second = hedge(&fleet, &first, overtaken_at).unwrap();
        second.settle(Ended::Answered { status: 200, first_byte: TEN_MS }, overtaken_at);
        first.settle(Ended::Overtaken, overtaken_at);
        assert_eq!(fleet.in_flight(), [0; 4]);
        // What comes in the next 18 ms goes elsewhere; then one finds out, and only one.
        assert!((0..18).all(|ms| fleet.pick_at(overtaken_at + MS * ms).index() != silent));
        let later = (18..40).map(|ms| fleet.pick_at(overtaken_at + MS * ms));
        let probe: Vec<_> = later.filter(|lease| lease.index() == silent).collect();
        assert_eq!(probe.len(), 1);
        let answered_at = overtaken_at + MS * 45;
        for lease in probe {
            lease.settle(Ended::Answered { status: 200, first_byte: TEN_MS }, answered_at);
        }
        let next: Vec<_> = (1..=4).map(|ms| fleet.pick_at(answered_at + MS * ms)).collect();
        let is_silent = |lease: &Lease<'_>| lease.index() == silent;
        assert_eq!(next.iter().filter(|lease| is_silent(lease)).count(), 1, "it answers, and has its turn");
    }

    #[test]
    fn a_large_request_on_an_endpoint_that_answers_others_is_left_alone() {
        let (fleet, mut now) = experienced();
        let first = fleet.hold(2, 1).pop().unwrap();
        for _ in 0..20 {
            let other = fleet.hold(2, 1).pop().unwrap();
            now = now + TEN_MS;
            other.settle(Ended::Answered { status: 200, first_byte: TEN_MS }, now);
        }
        assert!(hedge(&fleet, &first, now).is_none());
    }

    #[test]
    fn where_everybody_is_busy_nobody_is_sent_twice() {
        let (fleet, now) = experienced();
        let first = fleet.pick_at(now);
        let _busy: Vec<_> = (0..4).map(|index| fleet.hold(index, 3)).collect();
        let pick = Pick { now: now + 8 * TEN_MS, random: 7, hash: None, tried: &[first.index()] };
        assert!(matches!(fleet.pick_hedge(&first, &pick), Second::NoSlot), "stalled, but so are the others");
    }

    #[test]
    fn whoever_has_waited_for_long_may_wait_elsewhere_for_a_little() {
        let (fleet, now) = experienced();
        let first = fleet.pick_at(now);
        let (others, mut now) = ((0..4).filter(|&index| index != first.index()).collect::<Vec<_>>(), now);
        let mut after = None;
        for _ in 0..100 {
            // All but the stalled one have more requests than they are known to serve at once, and answer them.
            let busy: Vec<_> =
                [&others[..]; 3].concat().into_iter().map(|index| fleet.lease(index, now).unwrap()).collect();
            after = after.or_else(|| hedge(&fleet, &first, now).map(|_| now));
            now = now + TEN_MS;
            for lease in busy {
                lease.settle(Ended::Answered { status: 200, first_byte: TEN_MS }, now);
            }
        }
        let waited = after.unwrap().since(first.picked_at());
        assert!((5 * TEN_MS..40 * TEN_MS).contains(&waited), "{waited:?}");
    }
}
