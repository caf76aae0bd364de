//! What judges the results of a cluster now, whatever snapshot their requests began with, and what a change of it means for
//! those that are out. Knows nothing of how results are judged.

use crate::breaker::{Breaker, Ejection, UNANSWERED};
use crate::seat::Seat;
use crate::{EndpointState, Moment, StatusSet};
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Shared by all workers, and by all snapshots of one cluster: a reload finds it again in [`States`](crate::States), also when
/// the cluster was gone meanwhile and requests of before are still open.
#[derive(Debug, Default)]
pub struct InForce {
    rules: Mutex<Option<Arc<Rules>>>,
    /// How often they were replaced.
    turn: AtomicU32,
    /// When the present period began. 0: none has.
    period_began: AtomicU64,
    /// Held while endpoints are taken out, so that two at once cannot be one too many. Only ever tried by workers.
    ejecting: Mutex<()>,
}

/// What one snapshot says.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) breaker: Option<Breaker>,
    pub(crate) failures: StatusSet,
    pub(crate) seats: Arc<[Seat]>,
    /// Whom earlier ones named and these do not, while requests of before keep what is known of them: they may be named again, and
    /// what changes meanwhile is no less for them.
    gone: Vec<Weak<EndpointState>>,
}

impl InForce {
    /// These count from now on. `is_told`: is given their number before anybody is judged by them.
    pub(crate) fn replace(&self, mut rules: Rules, now: Moment, is_told: impl FnOnce(u32)) {
        // Values of these locks are whole after any panic.
        let mut current = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.gone = current.as_ref().map(|before| before.missing_in(&rules.seats)).unwrap_or_default();
        let rules = Arc::new(rules);
        let before = current.replace(Arc::clone(&rules));
        let turn = self.turn().wrapping_add(1).max(1);
        if rules.period() != before.as_ref().and_then(|before| before.period()) && self.has_period() {
            self.period_began.store(now.0, Relaxed);
        }
        is_told(turn);
        self.turn.store(turn, Relaxed);
        drop(current);
        let _guard = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        rules.follow(before.as_deref(), now);
    }

    pub(crate) fn turn(&self) -> u32 {
        self.turn.load(Relaxed)
    }

    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the present period ends if it is so long.
    pub(crate) fn period_ends(&self, period: Duration) -> Moment {
        Moment(self.period_began.load(Relaxed)) + period
    }

    fn has_period(&self) -> bool {
        self.period_began.load(Relaxed) != 0
    }

    /// The present period, which is so long, is over, and the caller is who has ended it; whether its results tell how it is now: not where it was the
    /// first one, of which nobody knows how long it was, or has been over for as long again, as nobody looked.
    pub(crate) fn end_period(&self, period: Duration, now: Moment) -> Option<bool> {
        let began = self.period_began.load(Relaxed);
        let is_first = began == 0;
        let is_over = is_first || now >= Moment(began) + period;
        let is_mine = is_over && self.period_began.compare_exchange(began, now.0, Relaxed, Relaxed).is_ok();
        is_mine.then_some(!is_first && now < Moment(began) + 2 * period)
    }

    /// `None`: somebody else is at it, or the rules of this turn do not count any more: whom they take out now, no change would look at again.
    pub(crate) fn try_ejecting(&self, turn: u32) -> Option<MutexGuard<'_, ()>> {
        self.ejecting.try_lock().ok().filter(|_| self.turn() == turn)
    }
}

impl Rules {
    pub(crate) fn new(breaker: Option<Breaker>, failures: StatusSet, seats: Arc<[Seat]>) -> Self {
        Self { breaker, failures, seats, gone: Vec::new() }
    }

    /// Who is here or was, and is not among those.
    fn missing_in(&self, seats: &[Seat]) -> Vec<Weak<EndpointState>> {
        let here: HashSet<_> = seats.iter().map(|seat| Arc::as_ptr(&seat.state)).collect();
        let living = self.gone.iter().filter(|state| state.strong_count() != 0).cloned();
        let all = self.seats.iter().map(|seat| Arc::downgrade(&seat.state)).chain(living);
        all.filter(|state| !here.contains(&state.as_ptr())).collect()
    }

    /// Where an endpoint of an earlier snapshot is in this one.
    pub(crate) fn position(&self, state: &Arc<EndpointState>) -> Option<usize> {
        self.seats.iter().position(|seat| Arc::ptr_eq(&seat.state, state))
    }

    /// How long success rates are measured before they are compared; `None`: nobody compares.
    fn period(&self) -> Option<Duration> {
        self.breaker.and_then(|breaker| breaker.margin_percent.and(Some(breaker.period)))
    }

    /// What was found by the rules of before is looked at again.
    fn follow(&self, before: Option<&Rules>, now: Moment) {
        let gone: Vec<_> = self.gone.iter().filter_map(Weak::upgrade).collect();
        let all = self.seats.iter().map(|seat| &seat.state).chain(&gone);
        let (is_out, is_in): (Vec<_>, Vec<_>) = all.partition(|state| state.is_broken());
        let breaker_before = before.and_then(|before| before.breaker);
        let other_failures = before.is_some_and(|before| before.failures != self.failures);
        for state in is_in {
            let circuit = state.circuit();
            if self.breaker.is_some() && breaker_before.is_none() {
                // Just switched on: what was seen before says nothing now.
                circuit.forget();
            } else if self.breaker != breaker_before {
                // How long anybody waited by other thresholds is no measure for these.
                circuit.forget_wait();
            }
            if other_failures || before.and_then(Rules::period).is_none() {
                // Other things were counted, or since who knows when.
                circuit.forget_period();
            }
            if other_failures && !circuit.statuses().is_subset(&self.all_failures()) {
                circuit.end_row();
            }
        }
        for state in is_out {
            self.follow_one_out(state, before, now);
        }
        self.let_back_beyond_share();
    }

    fn follow_one_out(&self, state: &EndpointState, before: Option<&Rules>, now: Moment) {
        let circuit = state.circuit();
        let Some(breaker) = self.breaker.filter(|breaker| self.keep_out(breaker, state)) else {
            state.mend(now);
            return circuit.forget_wait();
        };
        let breaker_before = before.and_then(|before| before.breaker);
        if breaker_before.is_some_and(|before| breaker.waits_less_than(&before)) {
            circuit.wait_at_most(breaker.out_for.min(breaker.out_for_max), now);
        }
        if self.excuse(state, before) {
            circuit.end_wait(now);
        }
    }

    /// Whether what took the endpoint out would do so by these.
    fn keep_out(&self, breaker: &Breaker, state: &EndpointState) -> bool {
        let circuit = state.circuit();
        match state.broken_by() {
            Some(Ejection::Failures) => {
                breaker.finds_failures(circuit) && !circuit.statuses().is_disjoint(&self.all_failures())
            }
            Some(Ejection::SuccessRate) => breaker.finds_worse(circuit),
            None => false,
        }
    }

    /// A part of what took the endpoint out has just become no failure, or may have: how it is doing by these, a trial has to tell.
    fn excuse(&self, state: &EndpointState, before: Option<&Rules>) -> bool {
        let Some(before) = before else { return false };
        match state.broken_by() {
            Some(Ejection::Failures) => {
                !state.circuit().statuses().and(&before.failures).is_subset(&self.failures)
            }
            Some(Ejection::SuccessRate) => !before.failures.is_subset(&self.failures),
            None => false,
        }
    }

    fn all_failures(&self) -> StatusSet {
        let mut all = self.failures;
        all.insert(UNANSWERED);
        all
    }

    /// Of more that are out than may be, those come back whose wait ends first: they would be tried first anyway. What they have
    /// failed with still counts, and takes them out again where there is room.
    fn let_back_beyond_share(&self) {
        let Some(breaker) = self.breaker else { return };
        let mut out: Vec<_> =
            self.seats.iter().map(|seat| &seat.state).filter(|state| state.is_broken()).collect();
        out.sort_by_key(|state| state.circuit().due());
        let too_many = out.len().saturating_sub(breaker.ejected_max(self.seats.len()));
        for state in out.into_iter().take(too_many) {
            state.circuit().forget_wait();
            state.let_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Balancer, Endpoint, EndpointId, States};

    #[test]
    fn whoever_is_gone_is_remembered_only_while_somebody_else_knows_it() {
        let states = States::default();
        let in_force = Arc::<InForce>::default();
        let load = |address: String| {
            let id = EndpointId { cluster: "app".into(), address: address.into() };
            let endpoint = Endpoint { weight: 1, state: states.of(&id), id };
            let balancer = Balancer::new(Algorithm::RoundRobin, vec![endpoint], None)
                .with_breaker(None, Arc::clone(&in_force));
            balancer.come_into_force(Moment(1));
            balancer
        };
        let gone = || in_force.rules().map_or(0, |rules| rules.gone.len());
        let held = load("10.0.0.1:1".to_owned());
        (2..100).for_each(|port| drop(load(format!("10.0.0.1:{port}"))));
        assert_eq!(gone(), 2, "the one before, and that of which a request is open");
        let _back = load("10.0.0.1:1".to_owned());
        assert_eq!(gone(), 1);
        drop(held);
    }

    #[test]
    fn nobody_is_taken_out_by_rules_that_do_not_count_any_more() {
        let in_force = InForce::default();
        let none = || Rules::new(None, StatusSet::default(), Arc::new([]));
        in_force.replace(none(), Moment(1), |_| {});
        let turn = in_force.turn();
        assert!(in_force.try_ejecting(turn).is_some());
        in_force.replace(none(), Moment(2), |_| {});
        assert!(in_force.try_ejecting(turn).is_none(), "they were looked at when the others came");
        assert!(in_force.try_ejecting(in_force.turn()).is_some());
    }
}
