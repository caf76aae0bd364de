//! Most of a cluster's endpoints out at one time, and that their trials then come sooner. Knows no requests and no algorithm.
//!
//! What keeps most of them away is likely the same for all, and soon over, while the few that are left have the requests of all. So where that
//! has just begun, the first trials come after a fraction of the usual time; and where nobody was left, whoever is back has others looked for.

use crate::passive::PassiveMarking;
use crate::seat::Seat;
use crate::{EndpointState, Moment};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Each that is back after all were away has so many others looked for: they are all found in a few steps, and where they are not back,
/// few requests are spent on that.
const SOUGHT: usize = 2;
/// The first trial of who is out with most others comes so many times sooner.
const HASTENED: u32 = 8;
/// And that happens once in as many times the usual time.
const HASTENED_AGAIN: u32 = 16;

/// Moments, where 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// When nobody was up last.
    all_out_at: AtomicU64,
    /// When most began to be out, the last time that trials came sooner for it.
    most_out_from: AtomicU64,
}

impl Outage {
    /// What was known of the same cluster so far.
    pub(crate) fn after(previous: &Self) -> Self {
        let copy = |moment: &AtomicU64| AtomicU64::new(moment.load(Relaxed));
        Self { all_out_at: copy(&previous.all_out_at), most_out_from: copy(&previous.most_out_from) }
    }

    /// A request was given to who is out, for want of another.
    pub(crate) fn last_resort(&self, seats: &[Seat], now: Moment) {
        if !seats.iter().any(|seat| seat.state.is_open(now)) {
            self.all_out_at.store(now.0, Relaxed);
        }
    }

    /// The one at this position could not be connected to, and is back. Where nobody was up a moment ago, some of the others are tried now, and
    /// not when their marks end, so that those who are back first do not have the requests of all until then.
    pub(crate) fn is_back(&self, position: usize, seats: &[Seat], passive: &PassiveMarking, now: Moment) {
        let all_out_at = Moment(self.all_out_at.load(Relaxed));
        if all_out_at == Moment(0) || now.since(all_out_at) > passive.out_for || !are_mostly_out(seats, now) {
            return;
        }
        let others = seats.iter().cycle().skip(position + 1).take(seats.len());
        others.filter(|seat| seat.state.hasten_trial(now)).take(SOUGHT).for_each(drop);
    }

    /// A connect to this one failed at once, and perhaps one too many. Where most are out, its first trials come sooner, the first at an eighth of
    /// the usual time, and each takes twice as long as the one before.
    pub(crate) fn refused(&self, by: &EndpointState, seats: &[Seat], passive: &PassiveMarking, now: Moment) {
        let trials = |state: &EndpointState| {
            let trials = state.connect_failures_in_a_row().checked_sub(passive.failures.max(1));
            trials.filter(|trials| *trials < HASTENED.ilog2())
        };
        let Some(its) = trials(by) else { return };
        if !are_mostly_out(seats, now) || !self.has_just_begun(passive, now) {
            return;
        }
        let after = |trials: u32| now + passive.out_for * (1 << trials) / HASTENED;
        by.hasten_trial(after(its));
        // Those that went before it, when it did not look like that yet.
        for seat in seats.iter().filter(|seat| trials(&seat.state) == Some(0)) {
            seat.state.hasten_trial(after(0));
        }
    }

    /// Most have been out for no longer than a mark lasts, after a time in which they were not. Where most refuse some connects all the time, they
    /// are out and in again all the time as well, and to ask them sooner would only mean more failures.
    fn has_just_begun(&self, passive: &PassiveMarking, now: Moment) -> bool {
        let begun = Moment(self.most_out_from.load(Relaxed));
        if begun == Moment(0) || now.since(begun) > passive.out_for * HASTENED_AGAIN {
            self.most_out_from.store(now.0, Relaxed);
            return true;
        }
        now.since(begun) <= passive.out_for
    }
}

fn are_mostly_out(seats: &[Seat], now: Moment) -> bool {
    let open = seats.iter().filter(|seat| seat.state.is_open(now)).count();
    2 * open <= seats.len()
}
