//! How much of the requests each endpoint was meant to have: as it was given, or as a log shows it whose proxy took them by turns.

use super::presence::{self, Presence};
use super::turns::{self, Sent, counts};
use super::{AccessLog, ReplayError, ReplayOptions};
use crate::suggest::{did_you_mean, shown};

/// Endpoints that an error names.
const NAMED_MAX: usize = 12;
/// Where more attempts than this part are followed by others, these shift the shares that turns would have.
const GIVEN_UP_MOST: f64 = 0.02;
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
        let are_shifted = log.given_up.len() as f64 > GIVEN_UP_MOST * sent.len() as f64;
        let by_turns = if are_shifted { None } else { turns::weights(&sent, names.len()) };
        match by_turns {
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
fn sent_while_all_were_there(log: &AccessLog, presences: &[Presence]) -> Vec<Sent> {
    let answered = log.entries.iter().map(|entry| Sent {
        at: entry.at + entry.before,
        until: entry.at + entry.latency,
        endpoint: entry.endpoint as usize,
        key: entry.key,
    });
    let given_up = log.given_up.iter().map(|attempt| Sent {
        at: attempt.at,
        until: attempt.at + attempt.took,
        endpoint: attempt.endpoint as usize,
        key: attempt.key,
    });
    let mut sent: Vec<Sent> = answered.chain(given_up).collect();
    sent.sort_by_key(|sent| sent.at);
    let absences = presence::when_somebody_is_absent(presences);
    let is_whole = |at: u64| {
        let at = at.saturating_sub(log.first_at());
        let begun = absences.partition_point(|(from, _)| *from <= at);
        begun == 0 || absences[begun - 1].1 < at
    };
    sent.into_iter().filter(|sent| is_whole(sent.at)).collect()
}

fn is_unequal(counts: &[usize]) -> bool {
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    least
        .zip(most)
        .is_some_and(|(least, most)| most >= turns::REQUESTS_MIN && most as f64 > UNEQUAL * least as f64)
}

#[cfg(test)]
mod tests {
    use super::super::made::{self, options};
    use super::super::turns::by_workers;
    use super::*;
    use crate::random::Random;

    /// Three slots, one and one, at 70 %.
    #[test]
    fn turns_by_weight_come_out_as_they_were_and_are_said_to_be() {
        let mut random = Random::new(3);
        let (mut now, mut slots, mut waited) = (0.0, [vec![0.0_f64; 3], vec![0.0], vec![0.0]], 0.0);
        let lines = by_workers(&[3, 1, 1], 1, 6_000).into_iter().enumerate().map(|(client, endpoint)| {
            now += 50.0 / 5.0 / 0.7 * random.exponential();
            let free = slots[endpoint].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *free = free.max(now) + 50.0 * random.exponential();
            waited += *free - now;
            (now, *free - now, client as u64, endpoint)
        });
        let text = made::text(lines.collect::<Vec<_>>().into_iter().map(|line| (line, 200)));
        let log = AccessLog::read(text.as_bytes()).unwrap();
        let mean = waited / 6_000.0;
        let means = |weights: &[(String, u32)]| {
            let options = ReplayOptions { weights: weights.to_vec(), ..options(&["round_robin"]) };
            let comparison = made::replay(&log, &options);
            (comparison.outcomes[1].latency_ms.mean, comparison.assumed.join("\n"))
        };
        let (told, said) = means(&[]);
        assert!((0.85..1.15).contains(&(told / mean)), "{told} for {mean}");
        assert!(said.contains("by turns") && said.matches(", weight 3").count() == 1, "{said}");
        // One in twenty is tried again.
        let again = |(number, line): (usize, &str)| match number % 20 {
            0 => line.replace(r#""queue_ms""#, r#""given_up":[{"endpoint":"e2","ms":0}],"queue_ms""#) + "\n",
            _ => line.to_owned() + "\n",
        };
        let shifted: String = text.lines().enumerate().map(again).collect();
        let shifted = AccessLog::read(shifted.as_bytes()).unwrap();
        let said = made::replay(&shifted, &options(&["round_robin"])).assumed.join("\n");
        assert!(!said.contains("by turns") && said.contains("--weight"), "{said}");
        let (given, said) = means(&[("e1".to_owned(), 1)]);
        assert!(given > 3.0 * mean && said.contains("as given with --weight"), "{given} for {mean}: {said}");
        let unknown = ReplayOptions { weights: vec![("e9".to_owned(), 2)], ..options(&["round_robin"]) };
        let error = check(&log.endpoint_names(&unknown), &unknown).unwrap_err().to_string();
        assert!(error.contains("no endpoint `e9`") && error.ends_with("e0, e1, e2"), "{error}");
    }
}
