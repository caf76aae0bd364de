//! What may be sent more than once: a request that failed, and one that an endpoint keeps waiting. Knows the rules, which are
//! the proxy's, and no request.

use crate::proxy::Ending;
use crate::span::Span;
use serde::Deserialize;
use tidegate_balance::RetryIncome;

/// The rules of a scenario, for the algorithms that are asked to follow them: `adaptive+hedge`, `least_request+retry`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Again {
    pub retry: Retry,
    pub hedge: Hedge,
}

/// A later attempt on another endpoint, after one that failed.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    pub on: Vec<Reason>,
    /// Before the third attempt, by chance between half of it and all; doubled before each later one.
    pub backoff: Span,
    /// The budget: retries for each hundred requests, and retries a second.
    pub percent: u32,
    pub per_second: u32,
    /// All failures are those of a connection, after which the first retry is free.
    #[serde(skip)]
    pub are_lost: bool,
}

/// A second attempt beside one that keeps a request waiting on a stalled endpoint.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// At most so many for each hundred requests.
    pub percent: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Connect,
    Reset,
    /// An answer of 500.
    Status,
}

impl Again {
    /// What each value alone does not show.
    pub(crate) fn complaint(&self) -> Option<String> {
        let is_part = |percent| (1..=100).contains(&percent);
        if !(2..=10).contains(&self.retry.attempts) || !is_part(self.retry.percent) {
            return Some("`retry` takes `attempts` from 2 to 10, and `percent` from 1 to 100".to_owned());
        }
        let has_budget = is_part(self.hedge.percent);
        (!has_budget).then(|| "`hedge` takes a `percent` from 1 to 100".to_owned())
    }
}

impl Retry {
    pub(crate) fn income(&self) -> RetryIncome {
        RetryIncome { percent: self.percent, per_second: self.per_second }
    }

    /// Whether the budget pays for a retry after so many attempts: not for the first after a connection that could not be made, or died before an answer.
    pub(crate) fn is_paid(&self, ending: Ending, attempts: u32) -> bool {
        let is_lost = self.are_lost || matches!(ending, Ending::Refused | Ending::Reset);
        attempts > 1 || !is_lost
    }

    pub(crate) fn wants(&self, ending: Ending) -> bool {
        ending.is_failure()
            && self.on.contains(&match ending {
                Ending::Answered { .. } => Reason::Status,
                Ending::Refused => Reason::Connect,
                Ending::Reset => Reason::Reset,
            })
    }

    /// The wait before the next attempt, when so many have been made. `chance`: from 0 to 1.
    pub(crate) fn wait(&self, attempts: u32, chance: f64) -> u64 {
        let Some(doublings) = attempts.checked_sub(2) else { return 0 };
        let most = self.backoff.0 as f64 * f64::from(doublings.min(30)).exp2();
        (most * (0.5 + 0.5 * chance)) as u64
    }
}

impl Default for Retry {
    /// As in the proxy's configuration, and on statuses, too.
    fn default() -> Self {
        Self {
            attempts: 3,
            on: vec![Reason::Connect, Reason::Reset, Reason::Status],
            backoff: Span(25_000_000),
            percent: 10,
            per_second: 3,
            are_lost: false,
        }
    }
}

impl Hedge {
    pub(crate) fn income(self) -> RetryIncome {
        RetryIncome::for_hedges(self.percent)
    }
}

impl Default for Hedge {
    /// As in the proxy's configuration.
    fn default() -> Self {
        Self { percent: 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_attempt_comes_at_once_and_later_ones_wait_twice_as_long_each() {
        let retry = Retry::default();
        assert_eq!(retry.wait(1, 1.0), 0);
        assert_eq!((retry.wait(2, 0.0), retry.wait(2, 1.0)), (12_500_000, 25_000_000));
        assert_eq!(retry.wait(3, 1.0), 50_000_000);
    }

    #[test]
    fn only_what_is_named_is_tried_again() {
        let retry: Retry = toml::from_str("on = ['connect']").unwrap();
        let all = [200, 500].map(|status| Ending::Answered { status });
        let all = [all[0], all[1], Ending::Reset, Ending::Refused];
        assert_eq!(all.map(|ending| retry.wants(ending)), [false, false, false, true]);
        assert_eq!(all.map(|ending| Retry::default().wants(ending)), [false, true, true, true]);
    }
}
