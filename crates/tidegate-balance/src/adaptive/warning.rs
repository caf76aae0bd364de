//! What cannot wait for an answer to arrive: that answers are overdue, and that the last few came late. Knows no score.

use super::{Patience, is_probe};
use crate::seat::Seat;
use crate::{EndpointState, Moment};
use std::time::Duration;

/// Adds this much cost per unit of suspicion.
const SUSPICION_COST: f32 = 0.5;
/// Suspicion halves in this many latencies without news.
const SUSPICION_HALF_LIFE: f32 = 100.0;
/// The most that silence costs: so many times the time that it has lasted.
const AS_LONG_AGAIN: f32 = 1.0;
/// And the most for whoever has been left alone for long: the request that finds out whether it answers would have waited behind so many.
const FOUND_OUT_FOR: f32 = 2.0;
/// Gaps that one request tells of, however long it waits: it may be long by itself (a poll, a report, an upload). That two in a row are is less likely, so that
/// the second tells of twice as many, and so on.
const TOLD_BY_ONE: f32 = 3.0;

/// What is held against an endpoint now, for people to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warning {
    /// Its cost counts so many times because it is silent; 1 where it is not.
    pub by_silence: f32,
    /// And so many times because its last answers came late; 1 where they did not.
    pub by_lateness: f32,
    /// Since its last sign of life.
    pub silent_for: Duration,
    /// Requests that wait for it, or did until they were answered elsewhere.
    pub unanswered: u32,
}

impl Warning {
    pub(super) fn read(seat: &Seat, patience: Patience, now: Moment) -> Self {
        let state = &seat.state;
        Self {
            by_silence: by_silence(state, patience, now),
            by_lateness: by_lateness(state, patience, now),
            silent_for: state.standing().silent_for(now),
            unanswered: state.unanswered(),
        }
    }

    /// How many times its cost counts: 1 where nothing is wrong.
    pub fn factor(&self) -> f32 {
        self.by_silence * self.by_lateness
    }
}

/// What costs so much with nothing to warn of. Whoever has been silent for a while may be for as long again, and not for ever: nobody needs to
/// wait much longer than that elsewhere, however many wait there. Nor for whoever has been left alone so long that it would have answered all that is not
/// long by itself: it may hold nothing but polls, and somebody who would wait behind many finds out.
#[inline]
pub(super) fn weighed(cost: f32, state: &EndpointState, patience: Patience, now: Moment) -> f32 {
    let cost = cost * by_lateness(state, patience, now);
    let silence = by_silence(state, patience, now) - 1.0;
    if silence <= 0.0 {
        return cost;
    }
    let standing = state.standing();
    let as_long_again = AS_LONG_AGAIN * standing.age(now) * patience.at_once;
    let most = if state.may_have_answered(now) { as_long_again.min(FOUND_OUT_FOR) } else { as_long_again };
    cost + (cost * silence).min(most)
}

/// 1, and more the longer answers are overdue and the later the last ones came.
#[inline]
pub(super) fn factor(state: &EndpointState, patience: Patience, now: Moment) -> f32 {
    by_silence(state, patience, now) * by_lateness(state, patience, now)
}

#[inline]
fn by_silence(state: &EndpointState, patience: Patience, now: Moment) -> f32 {
    let silence = believed_silence(state, now);
    if silence > patience.silence && !is_probe(state, now) { 1.0 + (silence - patience.silence) } else { 1.0 }
}

/// In units of the expected gap, no more than those requests tell that were sent there since it last answered: what was there before has waited
/// while others were answered, so whoever holds long polls and is asked for nothing else is not silent. What was answered elsewhere meanwhile is not long by itself.
#[inline]
fn believed_silence(state: &EndpointState, now: Moment) -> f32 {
    let silence = state.silence(now);
    let asked = f32::from(state.asked());
    let told = TOLD_BY_ONE * asked * f32::midpoint(asked, 1.0);
    if state.requests_overtaken() > 0 { silence } else { silence.min(told) }
}

#[inline]
fn by_lateness(state: &EndpointState, patience: Patience, now: Moment) -> f32 {
    let standing = state.standing();
    let recent = standing.recent.get();
    if recent <= patience.lateness {
        return 1.0;
    }
    let remembered = recent * (-standing.age(now) / SUSPICION_HALF_LIFE).exp2();
    1.0 + SUSPICION_COST * (remembered - patience.lateness).max(0.0)
}

#[cfg(test)]
mod tests {
    use crate::testing::Fleet;
    use crate::{Algorithm, Ended, Moment};
    use std::time::Duration;

    #[test]
    fn whoever_is_silent_is_told_of_until_it_answers() {
        let fleet = Fleet::even(Algorithm::Adaptive { peers: 1 }, 2);
        let (latency, mut now) = (Duration::from_millis(10), Moment(1));
        let answered = Ended::Answered { status: 200, first_byte: latency };
        for _ in 0..200 {
            let lease = fleet.pick_at(now);
            now = now + latency;
            lease.settle(answered, now);
        }
        let held: Vec<_> = (0..6).map(|_| fleet.pick_at(now)).collect();
        let warning = |now| fleet.warning(0, now).expect("adaptive chooses");
        assert_eq!((warning(now).by_silence, warning(now).by_lateness), (1.0, 1.0));
        let later = now + Duration::from_secs(1);
        let silent = warning(later);
        assert!(silent.by_silence > 4.0 && silent.factor() >= silent.by_silence, "{silent:?}");
        assert_eq!((silent.silent_for, silent.unanswered), (Duration::from_secs(1), 3));
        let late = Ended::Answered { status: 200, first_byte: Duration::from_secs(1) };
        held.into_iter().filter(|lease| lease.index() == 0).for_each(|lease| lease.settle(late, later));
        let late = warning(later);
        assert!((late.by_silence - 1.0).abs() < f32::EPSILON && late.by_lateness > 1.0, "{late:?}");
    }

    /// An endpoint that serves one request after the other in no time, beside those that wait for something else.
    #[test]
    fn whoever_holds_long_polls_and_answers_all_else_is_not_silent() {
        let fleet = Fleet::even(Algorithm::Adaptive { peers: 1 }, 1);
        let (latency, mut now) = (Duration::from_millis(10), Moment(1));
        let answer = |now: Moment| {
            let lease = fleet.pick_at(now);
            lease.settle(Ended::Answered { status: 200, first_byte: latency }, now + latency);
        };
        for _ in 0..200 {
            answer(now);
            now = now + latency;
        }
        let by_silence = |now| fleet.warning(0, now).unwrap().by_silence;
        let _poll = fleet.pick_at(now);
        assert!(
            (by_silence(now + Duration::from_mins(1)) - 1.0).abs() < f32::EPSILON,
            "it may be long by itself"
        );
        let _polls = fleet.hold(0, 7);
        answer(now);
        assert!(
            (by_silence(now + Duration::from_mins(1)) - 1.0).abs() < f32::EPSILON,
            "nobody has asked since"
        );
        let _stuck: Vec<_> = (0..4).map(|_| fleet.pick_at(now + 2 * latency)).collect();
        assert!(by_silence(now + Duration::from_secs(1)) > 5.0, "four have asked, and none was answered");
    }
}
