//! Whether a proxy took its endpoints by turns, as weights say, and looked at nothing else. Knows no weights that somebody gave, and of a log only who
//! was sent a request when, and until when it had it.
//!
//! Shares alone do not tell. In a load test whose clients come again when they are answered, least request over endpoints of 4, 2 and 2 slots has
//! shares of 2, 1 and 1 to a request, for that is what they can serve. But who goes by load sends the next one to whoever has just answered,
//! or has the fewest, or a client's to the same as ever, and who takes turns knows nothing of that.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The lightest endpoint's weight is at most this, where turns tell it: hardly anybody writes others, and with larger numbers ever more shares would be those
/// of some weights by chance.
const LIGHTEST_MAX: u32 = 3;
/// Requests of whoever has fewest, so that they tell its weight.
pub(super) const REQUESTS_MIN: usize = 100;
/// Each worker of a proxy may be in the middle of a turn of its own.
const STRAY_MIN: f64 = 6.0;
const STRAY_PART: f64 = 0.001;
/// A share tells this weight, and not the next one, where that is so many times as far as it may stray.
const APART: f64 = 4.0;
/// The parts of the log that are looked at, of so many requests each, and how much their shares vary in parts of what chance would make.
const PARTS_MIN: usize = 4;
const PARTS_MAX: usize = 10;
const PART_OF: usize = 500;
const PARTS_VARY_AT_MOST: f64 = 0.1;
/// The same of whole turns of all, of so many requests at least, or of so many turns where somebody has one of each. Turns of four workers: .08 to
/// .24; a choice by load of one: .07 to .4.
const FEW: u32 = 20;
const TURNS: u32 = 4;
const FEW_VARY_AT_MOST: f64 = 0.25;
/// Turns that vary no more than this are those of one worker, whatever else they look like.
const EXACT: f64 = 0.03;
/// So many more than by chance, of all, go to whoever has just answered. By turns -.12 to .06, by load -.01 to .65.
const TO_LAST_AT_MOST: f64 = 0.025;
/// So many times as many as by chance go to somebody who has more than the fewest in flight. By turns .39 to 1, by the load that one worker knows 0.
const BEYOND_FEWEST_AT_LEAST: f64 = 0.3;
/// So much of what chance does not explain goes to whoever the same client had before. By turns about 0, by a hash or a cookie 1.
const TO_OWN_AT_MOST: f64 = 0.25;

/// A request to one endpoint. Moments in any unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) until: u64,
    pub(super) endpoint: usize,
    /// Of its client.
    pub(super) key: u64,
}

pub(super) fn counts(sent: &[Sent], endpoints: usize) -> Vec<usize> {
    let mut counts = vec![0; endpoints];
    for sent in sent {
        counts[sent.endpoint] += 1;
    }
    counts
}

/// The smallest weights that explain all shares, where they differ, and where the endpoints were taken by turns. `sent`: in their order.
pub(super) fn weights(sent: &[Sent], endpoints: usize) -> Option<Vec<u32>> {
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
    (differ && are_turns(sent, &weights)).then_some(weights)
}

/// How many of so many requests each has by its weight.
fn expected(weights: &[u32], requests: usize) -> Vec<f64> {
    let all: f64 = weights.iter().copied().map(f64::from).sum();
    weights.iter().map(|weight| requests as f64 * f64::from(*weight) / all).collect()
}

fn are_turns(sent: &[Sent], weights: &[u32]) -> bool {
    let parts = (sent.len() / PART_OF).clamp(PARTS_MIN, PARTS_MAX);
    let turn = weights.iter().sum::<u32>();
    let turns = FEW.div_ceil(turn).max(if weights.contains(&1) { TURNS } else { 1 });
    let few_vary = varies(sent, weights, (turn * turns) as usize);
    let choice = Choice::of(sent, weights);
    varies(sent, weights, sent.len() / parts) <= PARTS_VARY_AT_MOST
        && few_vary <= FEW_VARY_AT_MOST
        && choice.to_last <= TO_LAST_AT_MOST
        && choice.to_own <= TO_OWN_AT_MOST
        && (few_vary <= EXACT || choice.beyond_fewest >= BEYOND_FEWEST_AT_LEAST)
}

/// How much the shares in parts of so many requests vary, in parts of what chance would make.
fn varies(sent: &[Sent], weights: &[u32], part: usize) -> f64 {
    let (mut varies, mut by_chance) = (0.0, 0.0);
    for part in sent.chunks_exact(part) {
        let counts = counts(part, weights.len());
        for (count, expected) in counts.into_iter().zip(expected(weights, part.len())) {
            varies += (count as f64 - expected).powi(2);
            by_chance += expected * (1.0 - expected / part.len() as f64);
        }
    }
    varies / by_chance
}

/// Who was sent requests, as one sees it who knows how many each has, and where each client was.
struct Choice {
    /// How many more than by chance went to whoever had just answered, in parts of all.
    to_last: f64,
    /// How many times as many as by chance went to somebody who had more than the fewest.
    beyond_fewest: f64,
    /// How many more than by chance went where the client's last one had gone, in parts of as many as could.
    to_own: f64,
}

impl Choice {
    fn of(sent: &[Sent], weights: &[u32]) -> Self {
        let shares = expected(weights, 1);
        let mut in_flight = vec![0_u32; weights.len()];
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let (mut last, mut of_client) = (None, HashMap::new());
        let (mut own, mut others) = (0.0, 0.0);
        let (mut to_last, mut beyond, mut beyond_by_chance) = (0.0, 0.0, 0.0);
        for sent in sent {
            while let Some(&Reverse((until, endpoint))) = ends.peek()
                && until <= sent.at
            {
                ends.pop();
                in_flight[endpoint] -= 1;
                last = Some(endpoint);
            }
            let is = |holds: bool| f64::from(u8::from(holds));
            to_last += last.map_or(0.0, |last| is(last == sent.endpoint) - shares[last]);
            let fewest = in_flight.iter().min().copied().unwrap_or_default();
            beyond += is(in_flight[sent.endpoint] > fewest);
            let have_more = shares.iter().zip(&in_flight).filter(|(_, count)| **count > fewest);
            beyond_by_chance += have_more.map(|(share, _)| share).sum::<f64>();
            if let Some(before) = of_client.insert(sent.key, sent.endpoint) {
                let by_chance: f64 = shares[before];
                own += is(before == sent.endpoint) - by_chance;
                others += 1.0 - by_chance;
            }
            ends.push(Reverse((sent.until, sent.endpoint)));
            in_flight[sent.endpoint] += 1;
        }
        let to_own = if others < 1.0 { 0.0 } else { own / others };
        let beyond_fewest = if beyond_by_chance < 1.0 { 1.0 } else { beyond / beyond_by_chance };
        Self { to_last: to_last / sent.len() as f64, beyond_fewest, to_own }
    }
}

/// Whom a proxy of so many workers sends its requests to, each by turns as these weights say (smooth weighted round robin).
#[cfg(test)]
pub(super) fn by_workers(weights: &[u32], workers: usize, requests: usize) -> Vec<usize> {
    let mut random = crate::random::Random::new(7);
    let mut due = vec![vec![0_i64; weights.len()]; workers];
    let all: i64 = weights.iter().copied().map(i64::from).sum();
    (0..requests)
        .map(|_| {
            let due = &mut due[(random.exponential() * 1e6) as usize % workers];
            due.iter_mut().zip(weights).for_each(|(due, weight)| *due += i64::from(*weight));
            let next = (0..due.len()).max_by_key(|&endpoint| due[endpoint]).unwrap_or_default();
            due[next] -= all;
            next
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Requests that come by chance, of which each takes as long by chance that so many are in flight.
    fn sent(to: Vec<usize>, in_flight: f64) -> Vec<Sent> {
        let (mut random, mut now) = (Random::new(5), 0.0);
        let made = to.into_iter().map(|endpoint| {
            now += 1e6 * random.exponential();
            let until = (now + 1e6 * in_flight * random.exponential()) as u64;
            Sent { at: now as u64, until, endpoint, key: (random.exponential() * 1e3) as u64 % 9 }
        });
        made.collect()
    }

    #[test]
    fn weights_are_told_where_the_proxy_takes_endpoints_by_turns() {
        for in_flight in [0.3, 2.0, 12.0] {
            for workers in [1, 2, 4] {
                for of in [[3, 1, 1], [5, 3, 2], [19, 1, 1], [2, 3, 3], [3, 5, 7]] {
                    let sent = sent(by_workers(&of, workers, 6_000), in_flight);
                    let told = weights(&sent, 3);
                    assert_eq!(told.as_deref(), Some(&of[..]), "{workers} workers, {in_flight} in flight");
                }
                let told = |of, requests| weights(&sent(by_workers(of, workers, requests), in_flight), 3);
                assert_eq!(told(&[1, 1, 1], 6_000), None, "all are alike");
                assert_eq!(told(&[7, 7, 5], 6_000), None, "nobody has such weights");
                assert_eq!(told(&[3, 1, 1], 300), None, "too few to tell");
            }
        }
    }

    #[test]
    fn choices_by_chance_tell_none() {
        let mut random = Random::new(9);
        for _ in 0..20 {
            let by_chance =
                |_| if random.exponential() < 0.51 { random.exponential() as usize % 2 + 1 } else { 0 };
            assert_eq!(weights(&sent((0..6_000).map(by_chance).collect(), 4.0), 3), None);
        }
    }

    #[test]
    fn nor_do_clients_that_come_by_a_clock_and_always_to_the_same() {
        let mut sent: Vec<Sent> = (0..12_u64)
            .flat_map(|key| {
                let moments = (0..400).map(move |turn| 300 * turn + 25 * key);
                moments.map(move |at| Sent { at, until: at + 40, endpoint: [0, 0, 1][key as usize % 3], key })
            })
            .collect();
        sent.sort_by_key(|sent| sent.at);
        assert_eq!(weights(&sent, 2), None);
        for sent in &mut sent {
            sent.key = 0;
        }
        assert_eq!(weights(&sent, 2), Some(vec![2, 1]), "nobody could tell that one");
    }

    /// Clients that come again when they are answered, and endpoints with slots: each has the share that it can serve.
    #[test]
    fn nor_do_choices_by_load_that_have_the_shares_of_weights() {
        for (slots, clients) in [(&[4, 2, 2][..], 24), (&[4, 2, 2], 7), (&[4, 2], 12), (&[9, 3], 9)] {
            for spread in [0.0, 0.2] {
                for policy in [Policy::Fewest, Policy::BySlots, Policy::Queue] {
                    let sent = load_test(slots, clients, spread, policy);
                    assert_eq!(
                        weights(&sent, slots.len()),
                        None,
                        "{slots:?}, {clients}, {spread}, {policy:?}"
                    );
                }
            }
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Policy {
        Fewest,
        /// The fewest for its slots.
        BySlots,
        /// Whoever has a free slot; else it waits in the proxy.
        Queue,
    }

    fn load_test(slots: &[usize], clients: usize, spread: f64, policy: Policy) -> Vec<Sent> {
        let mut random = Random::new(3);
        let mut free: Vec<Vec<u64>> = slots.iter().map(|slots| vec![0; *slots]).collect();
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut in_flight = vec![0; slots.len()];
        let mut clients: BinaryHeap<Reverse<u64>> = (0..clients as u64).map(Reverse).collect();
        let mut sent = Vec::new();
        while sent.len() < 3_000 {
            let Some(Reverse(mut now)) = clients.pop() else { break };
            let mut end_until = |now: u64, in_flight: &mut Vec<usize>| {
                while let Some(&Reverse((until, endpoint))) = ends.peek()
                    && until <= now
                {
                    ends.pop();
                    in_flight[endpoint] -= 1;
                }
            };
            end_until(now, &mut in_flight);
            if policy == Policy::Queue {
                now = free.iter().flatten().copied().min().unwrap_or_default().max(now);
                end_until(now, &mut in_flight);
            }
            let bid = |endpoint: &usize| match policy {
                Policy::Fewest => in_flight[*endpoint] as f64,
                Policy::BySlots => (in_flight[*endpoint] + 1) as f64 / slots[*endpoint] as f64,
                Policy::Queue => f64::from(u8::from(free[*endpoint].iter().all(|free| *free > now))),
            };
            let endpoint = (0..slots.len()).min_by(|one, other| bid(one).total_cmp(&bid(other))).unwrap();
            let slot = free[endpoint].iter_mut().min().unwrap();
            let work = 1e6 * (1.0 + spread * (random.exponential().min(2.0) - 1.0));
            *slot = now.max(*slot) + work as u64;
            ends.push(Reverse((*slot, endpoint)));
            in_flight[endpoint] += 1;
            sent.push(Sent { at: now, until: *slot, endpoint, key: 0 });
            clients.push(Reverse(*slot + 1));
        }
        sent.sort_by_key(|sent| sent.at);
        sent
    }
}
