//! How many attempts beyond the first a cluster has to bear. Knows no request and no reason to try again.
//!
//! Retries help when a few requests fail and hurt when most do: then they multiply the load on what is left. So they are
//! paid from an income: a part of all requests, and a little a second for clusters with few. The idea is of Finagle's
//! `RetryBudget`; here income and expenses are sums that fade with one time constant, so that nothing jumps when a window
//! ends.

use crate::Moment;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Income and expenses count for about this long: what was not spent may be spent in a burst, as when an endpoint dies with
/// requests in flight.
const MEMORY_SECONDS: f64 = 10.0;

/// What a budget is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryIncome {
    /// Retries for each hundred requests.
    pub percent: u32,
    /// Retries a second, whatever the requests.
    pub per_second: u32,
}

impl RetryIncome {
    /// For second attempts beside a first: a part of all requests, and one a second, because of few requests hardly one would
    /// be earned.
    pub const fn for_hedges(percent: u32) -> Self {
        Self { percent, per_second: 1 }
    }
}

/// Shared by all workers, and by all snapshots of a cluster.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// First attempts that nobody found the book free for.
    requests: AtomicU64,
    /// Locked for a few additions.
    book: Mutex<Book>,
}

/// Sums that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    requests: f64,
    retries: f64,
    at: Moment,
}

impl RetryBudget {
    /// Requests that were sent for the first time, lately. Waits for nobody.
    pub fn earn(&self, requests: u32, now: Moment) {
        self.requests.fetch_add(u64::from(requests), Relaxed); // a count, ordering nothing
        if let Ok(mut book) = self.book.try_lock() {
            book.fade(self.requests.swap(0, Relaxed) as f64, now);
        }
    }

    /// Takes one retry out of the budget; `false`, and nothing taken: there is none left.
    pub fn spend(&self, income: RetryIncome, now: Moment) -> bool {
        // A sum of numbers is whole after any panic.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.fade(self.requests.swap(0, Relaxed) as f64, now);
        let earned = book.requests * f64::from(income.percent) / 100.0;
        let affordable = book.retries + 1.0 <= earned + f64::from(income.per_second) * MEMORY_SECONDS;
        if affordable {
            book.retries += 1.0;
        }
        affordable
    }
}

impl Book {
    /// `arrived` came just now.
    fn fade(&mut self, arrived: f64, now: Moment) {
        let kept = (-now.since(self.at).as_secs_f64() / MEMORY_SECONDS).exp();
        self.requests = self.requests * kept + arrived;
        self.retries *= kept;
        self.at = now.max(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const INCOME: RetryIncome = RetryIncome { percent: 10, per_second: 3 };

    /// Retries granted when each of `per_second` requests a second asks for one, from `from` to `to` seconds.
    fn granted(budget: &RetryBudget, per_second: u32, from: u64, to: u64) -> u32 {
        let start = Moment(0) + Duration::from_secs(from);
        let asks = (to - from) as u32 * per_second;
        let spends = |ask: u32| {
            let now = start + Duration::from_secs(1) * ask / per_second;
            budget.earn(1, now);
            budget.spend(INCOME, now)
        };
        (0..asks).filter(|&ask| spends(ask)).count() as u32
    }

    #[test]
    fn a_storm_is_held_to_a_part_of_the_requests() {
        let budget = RetryBudget::default();
        let first = granted(&budget, 1_000, 0, 60);
        assert!((6_000..6_300).contains(&first), "10 % of 60 000, 3 a second, and a burst: {first}");
        let later = granted(&budget, 1_000, 60, 120);
        assert!((6_000..6_300).contains(&later), "{later}");
    }

    #[test]
    fn a_cluster_with_few_requests_may_still_retry() {
        let budget = RetryBudget::default();
        assert_eq!(granted(&budget, 2, 0, 60), 120, "two a second are always affordable");
    }

    #[test]
    fn what_was_saved_may_be_spent_at_once_when_an_endpoint_dies() {
        let budget = RetryBudget::default();
        let mut now = Moment(0);
        for _ in 0..60 {
            budget.earn(1_000, now);
            now = now + Duration::from_secs(1);
            assert!(budget.spend(INCOME, now));
        }
        let burst = (0..10_000).filter(|_| budget.spend(INCOME, now)).count();
        assert!((800..1_200).contains(&burst), "{burst}");
        let soon = now + Duration::from_millis(10);
        assert!((0..100).filter(|_| budget.spend(INCOME, soon)).count() <= 2, "it fills up slowly");
    }

    #[test]
    fn a_clock_that_has_run_for_long_before_the_first_request_takes_nothing_away() {
        let budget = RetryBudget::default();
        let now = Moment(0) + Duration::from_hours(1000);
        budget.earn(100, now);
        let percent = RetryIncome { percent: 10, per_second: 0 };
        assert_eq!((0..100).filter(|_| budget.spend(percent, now)).count(), 10);
    }

    #[test]
    fn without_income_there_is_nothing_to_spend() {
        let nothing = RetryIncome { percent: 0, per_second: 0 };
        let budget = RetryBudget::default();
        budget.earn(1_000_000, Moment(1));
        assert!(!budget.spend(nothing, Moment(1)));
    }

    proptest! {
        #[test]
        fn no_more_is_spent_than_was_earned(
            steps in prop::collection::vec((0_u32..200, 0_u64..2_000, 0_u32..50), 1..200),
            percent in 0_u32..100,
            per_second in 0_u32..20,
        ) {
            let income = RetryIncome { percent, per_second };
            let budget = RetryBudget::default();
            let (mut now, mut requests, mut spent) = (Moment(0), 0_u64, 0_u64);
            for (arrived, millis, asks) in steps {
                budget.earn(arrived, now);
                requests += u64::from(arrived);
                now = now + Duration::from_millis(millis);
                spent += (0..asks).filter(|_| budget.spend(income, now)).count() as u64;
            }
            let seconds = now.since(Moment(0)).as_secs_f64() + MEMORY_SECONDS;
            // Faded sums let through what fades: at most once more over the life of a burst.
            let earned = requests as f64 * f64::from(percent) / 100.0 + seconds * f64::from(per_second);
            prop_assert!(spent as f64 <= 2.0 * earned + 1.0, "{spent} of {earned}");
        }
    }
}
