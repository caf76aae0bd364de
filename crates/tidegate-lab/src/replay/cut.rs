//! Whether a log begins in the middle of a queue, as one that was rotated in an overload does. Knows no format.
//!
//! A line is written when a request is over: the first lines are about requests that came before, and waited for others that are in no line. What an endpoint did meanwhile cannot be
//! told, and slots and speeds come out wrong by whatever is needed to explain such waits.

use super::AccessLog;
use super::capacity::Capacity;
use super::fleet::Fleet;

/// So many times as many as there are slots, at some endpoint, are no moment's chance.
const QUEUE_TIMES: f64 = 2.0;
/// Of so many times as many requests a queue at first spoils little.
const LATER_TIMES: usize = 20;
/// Beyond this, or its inverse, endpoints of one fleet are hardly as quick or as slow as that.
const ODD_SPEED: f64 = 8.0;

/// The most that an endpoint had when the first request of the log was answered, where it was a queue.
pub(super) fn queue_at_first(log: &AccessLog, fleet: &Fleet) -> Option<usize> {
    let first_end = log.entries.iter().map(|entry| entry.at + entry.latency).min()?;
    let there = |places: &Vec<usize>| {
        let entries = places.iter().map(|&place| &log.entries[place]);
        entries
            .take_while(|entry| entry.at <= first_end)
            .filter(|entry| entry.at + entry.before <= first_end)
            .count()
    };
    let queue = |(places, capacity): (&Vec<usize>, &Capacity)| {
        let there = there(places);
        let is_long = there as f64 > QUEUE_TIMES * f64::from(capacity.slots);
        let is_queue = is_long && there * LATER_TIMES > places.len();
        is_queue.then_some(there)
    };
    fleet.places.iter().zip(&fleet.capacities).filter_map(queue).max()
}

pub(super) fn is_odd(speed: f64) -> bool {
    !(ODD_SPEED.recip()..=ODD_SPEED).contains(&speed)
}

#[cfg(test)]
mod tests {
    use super::super::made::{options, replay};
    use super::*;
    use crate::random::Random;
    use std::fmt::Write as _;
    use std::ops::Range;

    /// Lines of two endpoints of two slots in turn, at that load, in the order of the ends.
    fn told(load: f64, lines: Range<usize>) -> Vec<String> {
        let (mut random, mut now, mut free) = (Random::new(9), 0.0_f64, [[0.0_f64; 2]; 2]);
        let mut requests: Vec<(f64, f64, usize)> = (0..6_000)
            .map(|number| {
                now += 0.1 / 4.0 / load * random.exponential();
                let slots = &mut free[number % 2];
                let slot = slots.iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
                *slot = slot.max(now) + 0.1 * random.exponential();
                (*slot, *slot - now, number % 2)
            })
            .collect();
        requests.sort_by(|one, other| one.0.total_cmp(&other.0));
        let text = requests[lines].iter().fold(String::new(), |mut text, &(ended, took, endpoint)| {
            let began = ended - took;
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:{:02}:{:09.6}Z","client":"c","endpoint":"e{endpoint}","status":200,"queue_ms":0,"first_byte_ms":{:.3}}}"#,
                began as u64 / 60,
                began % 60.0,
                1e3 * took,
            );
            text
        });
        let log = AccessLog::read(text.as_bytes()).unwrap();
        replay(&log, &options(&["round_robin"])).assumed
    }

    #[test]
    fn a_log_that_was_cut_out_of_an_overload_says_so() {
        let says_so = |load, lines| {
            told(load, lines).iter().any(|told| told.starts_with("the log begins in the middle of a queue ("))
        };
        assert!(says_so(1.2, 3_000..5_000));
        assert!(!says_so(1.2, 0..2_000), "it was idle before its first line");
        for begin in [0, 1_000, 2_000, 3_000, 4_000] {
            assert!(!says_so(0.6, begin..begin + 2_000), "{begin}: a few were there by chance");
        }
    }

    #[test]
    fn a_speed_of_sixteen_is_a_guess() {
        assert_eq!([1.0, 0.13, 7.9, 16.0, 0.1].map(is_odd), [false, false, false, true, true]);
    }
}
