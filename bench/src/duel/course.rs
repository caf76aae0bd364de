//! What happens in one run, decided before it begins: arrivals with their work, and what befalls the endpoints. The
//! same seed gives every proxy the same course. Knows no sockets and no clock; times are nanoseconds from the start.

use super::chance::Chance;
use super::endpoint::Manner;

pub(super) const MILLISECOND: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MILLISECOND;
/// The mean work of a request: long enough that two cores serve thousands of waiting requests without being busy.
pub(super) const MEAN_WORK: u64 = 50 * MILLISECOND;
/// Of the logarithm of the work: most requests are short, one in a hundred takes six times the mean.
const SIGMA: f64 = 1.0;

/// One request: when it is due, and how long it keeps a slot of an endpoint of speed 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: u64,
    pub(super) work: u64,
}

/// What befalls an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Happening {
    /// What was counted so far is the warm-up's.
    Measure,
    /// It stands still, as a process does that got SIGSTOP.
    Pause,
    Resume,
    /// Work that begins from now on takes so many times as long.
    Slow(f64),
    Turn(Manner),
}

/// Something that befalls one endpoint at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scheduled {
    pub(super) at: u64,
    pub(super) endpoint: usize,
    pub(super) happening: Happening,
}

/// One endpoint as it is at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Host {
    pub(super) slots: usize,
    /// Requests that it serves until it is warm; a cold one takes ten times as long at first. 0 for warm.
    pub(super) warm_after: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) seed: u64,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) hosts: Vec<Host>,
    pub(super) scheduled: Vec<Scheduled>,
    /// From when on it counts; before that, everybody learns.
    pub(super) measured_from: u64,
    /// When the last request is due.
    pub(super) ends: u64,
}

/// Poisson arrivals: the next one does not wait for an answer to the last.
pub(super) fn arrivals(seed: u64, per_second: f64, ends: u64) -> Vec<Arrival> {
    let (mut gaps, mut work) = (Chance::from_seed(seed), Chance::from_seed(!seed));
    let mean_gap = SECOND as f64 / per_second;
    let mut at = gaps.exponential(mean_gap);
    let mut arrivals = Vec::new();
    while at < ends as f64 {
        let work = work.lognormal(MEAN_WORK as f64, SIGMA) as u64;
        arrivals.push(Arrival { at: at as u64, work });
        at += gaps.exponential(mean_gap);
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_the_rate_and_with_the_work_that_were_asked_for() {
        let all = arrivals(1, 1000.0, 20 * SECOND);
        assert!((19_500..20_500).contains(&all.len()), "{}", all.len());
        assert!(all.is_sorted_by_key(|arrival| arrival.at));
        let mean = all.iter().map(|arrival| arrival.work as f64).sum::<f64>() / all.len() as f64;
        assert!((mean / MEAN_WORK as f64 - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn one_seed_is_one_course_whatever_the_end() {
        let (short, long) = (arrivals(3, 500.0, SECOND), arrivals(3, 500.0, 2 * SECOND));
        assert_eq!(short, long[..short.len()]);
        assert_ne!(short, arrivals(4, 500.0, SECOND));
    }
}
