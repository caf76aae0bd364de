//! When a request that waits for an endpoint with room looks by itself whether somebody who refused connections is back, when it asks somebody who fails, and
//! when it gives up. Knows no endpoint.

use crate::timers::{Alarm, now};
use std::task::{Context, Poll};
use tidegate_balance::Moment;

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has waited for as long as failing costs.
    Failing,
    Last,
    /// Another may ask whom it has just asked itself.
    Others,
    Own,
}

/// Each but the last comes once.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    pub(crate) alarm: &'a Alarm,
    pub(crate) others: Option<Moment>,
    pub(crate) own: Option<Moment>,
    pub(crate) failing: Option<Moment>,
    pub(crate) last: Moment,
    pub(crate) is_armed: bool,
}

impl Looks<'_> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Look> {
        let (moment, look) = self.next();
        if !self.is_armed {
            self.is_armed = true;
            self.alarm.arm(moment, cx);
        }
        if !self.alarm.fired() {
            return Poll::Pending;
        }
        self.is_armed = false;
        match look {
            // All alarms of a worker that stops go off before their time.
            _ if now() < moment => return Poll::Ready(Look::Last),
            Look::Last => {}
            Look::Others => self.others = None,
            Look::Own => self.own = None,
            Look::Failing => self.failing = None,
        }
        Poll::Ready(look)
    }

    fn next(&self) -> (Moment, Look) {
        let others = self.others.map(|moment| (moment, Look::Others));
        let own = self.own.map(|moment| (moment, Look::Own));
        let failing = self.failing.map(|moment| (moment, Look::Failing));
        let last = (self.last, Look::Last);
        others
            .into_iter()
            .chain(own)
            .chain(failing)
            .fold(last, |next, look| if look.0 < next.0 { look } else { next })
    }
}
