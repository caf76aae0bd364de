//! How much a scenario asks of the laboratory, told before anything runs. Knows rates and times, no request.

use crate::span::{SECOND, Span};
use crate::traffic::Step;

/// At some millions a second a run of these takes minutes for each algorithm.
const REQUESTS_MAX: f64 = 1e9;
/// Some 250 bytes each, while they wait.
const WAITING_MAX: f64 = 1e7;

/// What comes, on the average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Demand {
    pub(crate) requests: f64,
    /// At the worst moment, when the endpoints are well.
    pub(crate) waiting: f64,
}

impl Demand {
    /// `rate` and `capacity` in requests a second; the steps in their order.
    pub(crate) fn of(rate: f64, capacity: f64, steps: &[Step], lasts: Span) -> Self {
        let (mut demand, mut waiting) = (Self { requests: 0.0, waiting: 0.0 }, 0.0_f64);
        let starts = [(Span(0), 1.0)].into_iter().chain(steps.iter().map(|step| (step.at, step.times)));
        let ends = steps.iter().map(|step| step.at).chain([lasts]);
        for ((from, times), until) in starts.zip(ends) {
            let seconds = until.min(lasts).0.saturating_sub(from.0) as f64 / SECOND;
            demand.requests += rate * times * seconds;
            waiting = (waiting + (rate * times - capacity) * seconds).max(0.0);
            demand.waiting = demand.waiting.max(waiting);
        }
        demand
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        let Self { requests, waiting } = self;
        if *requests > REQUESTS_MAX {
            return Some(format!(
                "{requests:.1e} requests would come: at most {REQUESTS_MAX:.0e} can be run; lower `rate` or `load`, or `lasts`"
            ));
        }
        (*waiting > WAITING_MAX).then(|| {
            format!(
                "{waiting:.1e} requests would wait at once, because so many more come than the endpoints can serve: at \
                 most {WAITING_MAX:.0e} can; lower `rate` or `load`, or `lasts`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_what_waits_follow_the_steps() {
        let at = |seconds: u64, times| Step { at: Span(seconds * 1_000_000_000), times };
        let lasts = Span(30_000_000_000);
        assert_eq!(Demand::of(10.0, 20.0, &[], lasts), Demand { requests: 300.0, waiting: 0.0 });
        let burst = [at(10, 3.0), at(15, 0.5)];
        assert_eq!(
            Demand::of(10.0, 20.0, &burst, lasts),
            Demand { requests: 100.0 + 150.0 + 75.0, waiting: 50.0 }
        );
        let behind_the_end = [at(40, 1e9)];
        let same = Demand { requests: 300.0, waiting: 0.0 };
        assert_eq!(Demand::of(10.0, 20.0, &behind_the_end, lasts), same);
    }

    #[test]
    fn only_what_can_be_run_passes() {
        let lasts = Span(60_000_000_000);
        let said = |rate, capacity| Demand::of(rate, capacity, &[], lasts).complaint().unwrap_or_default();
        assert!(said(1e12, 1e3).contains("6.0e13 requests would come: at most 1e9"), "{}", said(1e12, 1e3));
        assert!(said(1e6, 1e3).contains("requests would wait at once"), "{}", said(1e6, 1e3));
        assert_eq!((said(1e6, 1e6), said(1e3, 1.0)), (String::new(), String::new()));
        assert!(said(f64::MAX, 1.0).contains("would come"));
    }
}
