//! How much of the requests each endpoint was meant to have: as it was given, or as a log shows it whose proxy took them by turns. Knows no
//! latencies.

use super::presence::{self, Presence};
use super::{AccessLog, ReplayError, ReplayOptions};
use crate::suggest::{did_you_mean, shown};

/// Endpoints that an error names.
const NAMED_MAX: usize = 12;
/// The lightest endpoint's weight is at most this, where turns tell it: those of 7 and 6 have hardly other shares than those that are alike, one of
/// whom was not asked for a while.
const LIGHTEST_MAX: u32 = 5;
/// Requests of whoever has fewest, so that they tell its weight.
const REQUESTS_MIN: usize = 100;
/// Each worker of a proxy may be in the middle of a turn of its own.
const STRAY_MIN: f64 = 6.0;
const STRAY_PART: f64 = 0.001;
/// A share tells this weight, and not the next one, where that is so many times as far as it may stray.
const APART: f64 = 4.0;
/// The parts of the log that are looked at, of so many requests each, and how much their shares vary in parts of what chance would make.
const PARTS_MIN: usize = 4;
const PARTS_MAX: usize = 10;
const PART_OF: usize = 500;
const VARIES_AT_MOST: f64 = 0.1;
/// Whoever has so many times as many requests as another may have been meant to.
const UNEQUAL: f64 = 1.5;

/// Of all endpoints of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    pub(super) of: Vec<u32>,
    pub(super) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All are alike as far as anybody knows.
    Nothing,
    /// They were given.
    Given,
    /// The proxy took them by turns, some oftener than others.
    Turns,
    /// Some had more requests than others, and not by turns.
    Unequal,
}

impl Weights {
    pub(super) fn of(
        names: &[String],
        log: &AccessLog,
        presences: &[Presence],
        options: &ReplayOptions,
    ) -> Self {
        if !options.weights.is_empty() {
            let given = |name: &String| options.weights.iter().rev().find(|(of, _)| of == name);
            let of = names.iter().map(|name| given(name).map_or(1, |(_, weight)| *weight)).collect();
            return Self { of, told: Told::Given };
        }
        let equal = || vec![1; names.len()];
        if !log.names_endpoints() {
            return Self { of: equal(), told: Told::Nothing };
        }
        let sent = sent_while_all_were_there(log, presences);
        match by_turns(&sent, names.len()) {
            Some(of) => Self { of, told: Told::Turns },
            None if is_unequal(&counts(&sent, names.len())) => Self { of: equal(), told: Told::Unequal },
            None => Self { of: equal(), told: Told::Nothing },
        }
    }
}

/// Whether each that has a weight is one of these.
pub(super) fn check(names: &[String], options: &ReplayOptions) -> Result<(), ReplayError> {
    let is_unknown = |name: &str| !names.iter().any(|known| known == name);
    let Some((name, _)) = options.weights.iter().find(|(name, _)| is_unknown(name)) else { return Ok(()) };
    let near = did_you_mean(name, names.iter().map(String::as_str));
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    let mut known: Vec<String> =
        sorted.into_iter().take(NAMED_MAX).map(|name| shown(name).into_owned()).collect();
    if names.len() > NAMED_MAX {
        known.push(format!("{} more", names.len() - NAMED_MAX));
    }
    Err(ReplayError::UnknownEndpoint { name: name.clone(), near, known: known.join(", ") })
}

/// Whom each attempt was sent to, in their order.
fn sent_while_all_were_there(log: &AccessLog, presences: &[Presence]) -> Vec<u32> {
    let answered = log.entries.iter().map(|entry| (entry.at + entry.before, entry.endpoint));
    let given_up = log.given_up.iter().map(|attempt| (attempt.at, attempt.endpoint));
    let mut sent: Vec<(u64, u32)> = answered.chain(given_up).collect();
    sent.sort_by_key(|(at, _)| *at);
    let absences = presence::when_somebody_is_absent(presences);
    let is_whole = |at: u64| {
        let at = at.saturating_sub(log.first_at());
        let begun = absences.partition_point(|(from, _)| *from <= at);
        begun == 0 || absences[begun - 1].1 < at
    };
    sent.into_iter().filter(|(at, _)| is_whole(*at)).map(|(_, endpoint)| endpoint).collect()
}

fn counts(sent: &[u32], endpoints: usize) -> Vec<usize> {
    let mut counts = vec![0; endpoints];
    for &endpoint in sent {
        counts[endpoint as usize] += 1;
    }
    counts
}

fn is_unequal(counts: &[usize]) -> bool {
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    least.zip(most).is_some_and(|(least, most)| most >= REQUESTS_MIN && most as f64 > UNEQUAL * least as f64)
}

/// The smallest weights that explain all shares, where they differ: and each part of the log has these shares, far closer than chance or a choice by load
/// would have them.
fn by_turns(sent: &[u32], endpoints: usize) -> Option<Vec<u32>> {
    let counts = counts(sent, endpoints);
    let least = counts.iter().min().copied().filter(|least| *least >= REQUESTS_MIN)?;
    let stray = (sent.len() as f64 * STRAY_PART).max(STRAY_MIN);
    let weights = (1..=LIGHTEST_MAX)
        .take_while(|lightest| least as f64 / f64::from(*lightest) > APART * stray)
        .map(|lightest| -> Vec<u32> {
            let one = least as f64 / f64::from(lightest);
            counts.iter().map(|count| (*count as f64 / one).round() as u32).collect()
        })
        .find(|weights| {
            let explained = expected(weights, sent.len());
            counts.iter().zip(explained).all(|(count, explained)| (*count as f64 - explained).abs() <= stray)
        })?;
    let differ = weights.iter().any(|weight| *weight != weights[0]);
    (differ && is_even(sent, &weights)).then_some(weights)
}

/// How many of so many requests each has by its weight.
fn expected(weights: &[u32], requests: usize) -> Vec<f64> {
    let all: f64 = weights.iter().copied().map(f64::from).sum();
    weights.iter().map(|weight| requests as f64 * f64::from(*weight) / all).collect()
}

fn is_even(sent: &[u32], weights: &[u32]) -> bool {
    let parts = (sent.len() / PART_OF).clamp(PARTS_MIN, PARTS_MAX);
    let (mut varies, mut by_chance) = (0.0, 0.0);
    for part in sent.chunks_exact(sent.len() / parts) {
        let counts = counts(part, weights.len());
        for (count, expected) in counts.into_iter().zip(expected(weights, part.len())) {
            varies += (count as f64 - expected).powi(2);
            by_chance += expected * (1.0 - expected / part.len() as f64);
        }
    }
    varies <= VARIES_AT_MOST * by_chance
}

#[cfg(test)]
mod tests {
    use super::super::made::{self, options};
    use super::*;
    use crate::random::Random;

    /// Whom a proxy of so many workers sends its requests to, each by turns as these weights say (smooth weighted round robin).
    fn turns(weights: &[u32], workers: usize, requests: usize) -> Vec<u32> {
        let mut random = Random::new(7);
        let mut due = vec![vec![0_i64; weights.len()]; workers];
        let all: i64 = weights.iter().copied().map(i64::from).sum();
        (0..requests)
            .map(|_| {
                let due = &mut due[(random.exponential() * 1e6) as usize % workers];
                due.iter_mut().zip(weights).for_each(|(due, weight)| *due += i64::from(*weight));
                let next = (0..due.len()).max_by_key(|&endpoint| due[endpoint]).unwrap();
                due[next] -= all;
                next as u32
            })
            .collect()
    }

    #[test]
    fn weights_are_told_where_the_proxy_takes_endpoints_by_turns() {
        for workers in [1, 4, 8] {
            for weights in [[3, 1, 1], [5, 3, 2], [19, 1, 1], [2, 3, 3], [5, 6, 7]] {
                let sent = turns(&weights, workers, 6_000);
                assert_eq!(by_turns(&sent, 3).as_deref(), Some(&weights[..]), "{workers} workers");
            }
            assert_eq!(by_turns(&turns(&[1, 1, 1], workers, 6_000), 3), None, "all are alike");
            assert_eq!(by_turns(&turns(&[7, 7, 6], workers, 6_000), 3), None, "hardly different");
            assert_eq!(by_turns(&turns(&[3, 1, 1], workers, 300), 3), None, "too few to tell");
        }
    }

    /// Three slots, one and one, at 70 %.
    #[test]
    fn turns_by_weight_come_out_as_they_were_and_are_said_to_be() {
        let mut random = Random::new(3);
        let (mut now, mut slots, mut waited) = (0.0, [vec![0.0_f64; 3], vec![0.0], vec![0.0]], 0.0);
        let lines = turns(&[3, 1, 1], 1, 6_000).into_iter().enumerate().map(|(client, endpoint)| {
            now += 50.0 / 5.0 / 0.7 * random.exponential();
            let free = slots[endpoint as usize].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *free = free.max(now) + 50.0 * random.exponential();
            waited += *free - now;
            (now, *free - now, client as u64, endpoint as usize)
        });
        let log = made::log(lines.collect::<Vec<_>>());
        let mean = waited / 6_000.0;
        let means = |weights: &[(String, u32)]| {
            let options = ReplayOptions { weights: weights.to_vec(), ..options(&["round_robin"]) };
            let comparison = made::replay(&log, &options);
            (comparison.outcomes[1].latency_ms.mean, comparison.assumed.join("\n"))
        };
        let (told, said) = means(&[]);
        assert!((0.85..1.15).contains(&(told / mean)), "{told} for {mean}");
        assert!(said.contains("by turns") && said.matches(", weight 3").count() == 1, "{said}");
        let (given, said) = means(&[("e1".to_owned(), 1)]);
        assert!(given > 3.0 * mean && said.contains("as given with --weight"), "{given} for {mean}: {said}");
        let unknown = ReplayOptions { weights: vec![("e9".to_owned(), 2)], ..options(&["round_robin"]) };
        let error = check(&log.endpoint_names(&unknown), &unknown).unwrap_err().to_string();
        assert!(error.contains("no endpoint `e9`") && error.ends_with("e0, e1, e2"), "{error}");
    }

    #[test]
    fn choices_by_chance_or_load_tell_no_weights_and_are_unequal() {
        let mut random = Random::new(9);
        for _ in 0..20 {
            let by_chance =
                |_| if random.exponential() < 0.51 { random.exponential() as u32 % 2 + 1 } else { 0 };
            let sent: Vec<u32> = (0..6_000).map(by_chance).collect();
            assert_eq!(by_turns(&sent, 3), None);
            assert!(is_unequal(&counts(&sent, 3)));
        }
    }
}
