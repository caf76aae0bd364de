//! What a replay takes for granted, in sentences. Knows no numbers but those that were told.

use super::capacity::{Capacity, Proxy};
use super::cut;
use super::fleet::Fleet;
use super::presence::Presence;
use super::stays::QUEUED;
use super::weights::Told;
use super::{AccessLog, ReplayOptions, warm_up};
use crate::machine::{Discipline, Machine};
use crate::suggest::shown;

/// Endpoints that are spoken of one by one.
const ENDPOINTS_MAX: usize = 12;

pub(super) fn sentences(fleet: &Fleet, log: &AccessLog, options: &ReplayOptions) -> Vec<String> {
    let machines = fleet.machines.iter().zip(&fleet.capacities).zip(&fleet.presences);
    let one = |((machine, capacity), presence): ((&Machine, &Capacity), &Presence)| {
        endpoint(machine, capacity, log, options) + &there(presence)
    };
    let mut sentences: Vec<String> = machines.take(ENDPOINTS_MAX).map(one).collect();
    if fleet.machines.len() > ENDPOINTS_MAX {
        sentences.push(format!("and {} endpoints more", fleet.machines.len() - ENDPOINTS_MAX));
    }
    let more = [
        slots_of_nobody(log, options),
        begins_in_a_queue(fleet, log),
        weights(fleet),
        joined_and_left(fleet),
        away_in_between(fleet),
        left_out(fleet),
        tried_again(fleet, log, options),
        errors_of_the_proxy(log),
        found_nobody(fleet, log),
        waits_in_the_proxy(fleet, log),
        more_than_held(fleet, options),
        names_are_enough(log, options),
        streams(log),
        tunnels(log),
        odd_lines(log),
        only_failures(fleet, log),
    ];
    sentences.extend(more.into_iter().flatten());
    sentences
}

fn endpoint(machine: &Machine, capacity: &Capacity, log: &AccessLog, options: &ReplayOptions) -> String {
    let slots = match options.slots {
        Some(slots) => format!("{}, as given", so_many(slots)),
        None if !log.names_endpoints() => format!("{}, which is a guess", so_many(machine.slots)),
        None => slots(machine, capacity),
    };
    let speed = match capacity.service {
        Some(_) if cut::is_odd(machine.speed) => {
            format!(
                "speed {:.2}, which is a guess: hardly any two endpoints of a cluster differ so much",
                machine.speed
            )
        }
        Some(_) => format!("speed {:.2}", machine.speed),
        None if log.names_endpoints() => "speed 1.00 for want of answers without failures".to_owned(),
        None => "speed 1.00".to_owned(),
    };
    let fails = machine.fails.map_or(String::new(), |fails| format!(", fails {:.2} %", fails.part.0 * 100.0));
    let weight = if machine.weight == 1 { String::new() } else { format!(", weight {}", machine.weight) };
    format!("{}: {slots}, {speed}{weight}{fails}", shown(&machine.name))
}

/// In seconds of the log.
fn there(presence: &Presence) -> String {
    let at =
        |what, at: Option<u64>| at.map_or_else(String::new, |at| format!(", {what} after {} s", tenths(at)));
    let away = |&(from, until): &(u64, u64)| format!(", away from {} to {} s", tenths(from), tenths(until));
    let away: String = presence.away.iter().map(away).collect();
    at("joined", presence.joins) + &away + &at("left", presence.leaves)
}

fn slots_of_nobody(log: &AccessLog, options: &ReplayOptions) -> Option<String> {
    let said = "the log does not say which endpoint had which request, so that its times are explained by one queue for all: give --slots, or log \
                $upstream_addr; without it the algorithms may differ by several times from what they would be";
    (options.slots.is_none() && !log.names_endpoints()).then(|| said.to_owned())
}

fn begins_in_a_queue(fleet: &Fleet, log: &AccessLog) -> Option<String> {
    let queue = cut::queue_at_first(log, fleet)?;
    Some(format!(
        "the log begins in the middle of a queue ({queue} requests were at one endpoint when the first was answered), and what they waited for is not in it: slots \
         and speeds are guesses; take a log from a calmer moment on, or give --slots"
    ))
}

fn weights(fleet: &Fleet) -> Option<String> {
    match fleet.weights {
        Told::Nothing => None,
        Told::Given => Some("weights are as given with --weight, and 1 of all others".to_owned()),
        Told::Turns => Some(
            "the log's proxy took the endpoints by turns, some oftener than others: that is told as their weights; others are given with --weight NAME=NUMBER"
                .to_owned(),
        ),
        Told::Unequal => Some(
            "some endpoints had far more requests than others, and no log says which weights they have: if they are not equal, say so with --weight NAME=NUMBER"
                .to_owned(),
        ),
    }
}

fn joined_and_left(fleet: &Fleet) -> Option<String> {
    let of = |what, at: fn(&Presence) -> Option<u64>| {
        let times: Vec<u64> = fleet.presences.iter().filter_map(at).collect();
        let (first, last) = times.iter().min().zip(times.iter().max())?;
        let when = if tenths(*first) == tenths(*last) {
            tenths(*first)
        } else {
            format!("{} to {}", tenths(*first), tenths(*last))
        };
        Some(format!("{} {what} after {when} s", times.len()))
    };
    let both = [of("joined", |presence| presence.joins), of("left", |presence| presence.leaves)];
    let both: Vec<String> = both.into_iter().flatten().collect();
    (!both.is_empty()).then(|| {
        format!(
            "of {} endpoints {}, as far as their first and last requests tell: before and after they are not there",
            fleet.presences.len(),
            both.join(" and ")
        )
    })
}

fn away_in_between(fleet: &Fleet) -> Option<String> {
    let away = fleet.presences.iter().filter(|presence| !presence.away.is_empty()).count();
    (away > 0).then(|| {
        format!(
            "of {} endpoints {away} {} not asked for a while although idle, as one that restarts: meanwhile they are not there",
            fleet.presences.len(),
            if away == 1 { "was" } else { "were" }
        )
    })
}

/// Of the two that the log may show, that which errs less.
fn left_out(fleet: &Fleet) -> Option<String> {
    let left_out = fleet.presences.iter().filter(|presence| presence.left_out > 0).count();
    (left_out > 0).then(|| {
        format!(
            "of {} endpoints {left_out} {} not asked for a while after a failure: taken for whom the log's proxy left out, who would have been there for others; if \
             they restarted, say --restarts",
            fleet.presences.len(),
            if left_out == 1 { "was" } else { "were" }
        )
    })
}

fn tried_again(fleet: &Fleet, log: &AccessLog, options: &ReplayOptions) -> Option<String> {
    let (retried, attempts) = (log.retried(), log.given_up.len());
    if retried == 0 {
        return None;
    }
    let were = if retried == 1 { "was" } else { "were" };
    let counted = format!("{retried} of {} requests {were} tried again", log.entries.len());
    if attempts == 0 {
        return Some(format!(
            "{counted}, and the log does not say which endpoints had failed: they do not fail in a replay, and what the earlier attempts took is a wait"
        ));
    }
    let trying = options.contenders.iter().filter(|contender| contender.extras.retries).count();
    let failed = fleet.attempts_that_failed(log);
    if failed == 0 {
        return Some(format!("{counted}, because nobody was there: nothing fails for that in a replay"));
    }
    let rows = match trying {
        0 => {
            "no algorithm here tries again, so that their errors are what the log's row has none of: add +retry to its name"
        }
        _ if trying == options.contenders.len() => "all algorithms here try again, too",
        _ => "those with +retry try again, too; the errors of the others are what the log's row has none of",
    };
    let attempts = match failed {
        1 => "an attempt that failed counts as a failure of its endpoint".to_owned(),
        _ => format!("{failed} attempts that failed count as failures of their endpoints"),
    };
    Some(format!("{counted}: {attempts}; {rows}"))
}

fn errors_of_the_proxy(log: &AccessLog) -> Option<String> {
    let (errors, all) = (log.errors.len(), log.entries.len() + log.errors.len());
    (errors > 0).then(|| {
        format!(
            "{errors} of {all} requests had an error of the proxy's own, because no endpoint was there to answer: they are errors in the log's row, and are left \
             out of the others, whose endpoints are always there"
        )
    })
}

fn found_nobody(fleet: &Fleet, log: &AccessLog) -> Option<String> {
    let unconnected = log.entries.iter().filter(|entry| entry.failed && entry.reached.is_unconnected());
    let failed = unconnected.filter(|entry| !fleet.is_failure(entry, log)).count();
    (failed > 0).then(|| {
        format!(
            "{failed} of {} requests failed because no connection came about: they are errors in the log's row, and in the others find somebody who is there",
            log.entries.len()
        )
    })
}

fn tenths(nanoseconds: u64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1e9)
}

fn slots(machine: &Machine, capacity: &Capacity) -> String {
    if capacity.is_like_others() {
        return format!(
            "{}, as others have: it had {} in flight at the most, and nothing says that they ran out",
            so_many(machine.slots),
            capacity.most
        );
    }
    let how = match (capacity.was_full, capacity.service) {
        _ if capacity.is_guessed => {
            ", if it is as fast as others: whole seconds do not tell that here, $msec in the log would"
        }
        (true, _) if machine.discipline == Discipline::Shared => {
            ", which all in flight share, from when answers came"
        }
        (true, _) if !capacity.is_exact => ", as far as whole seconds tell: $msec in the log tells more",
        (true, _) => ", from when answers came",
        (false, _) if matches!(capacity.proxy, Proxy::Held(_)) => {
            " at least, as many as it had while others waited in the proxy"
        }
        (false, Some(_)) if !capacity.is_exact => {
            ", the most that were in flight, as far as whole seconds tell"
        }
        (false, Some(_)) => " at least, the most that were in flight: nothing says that they ran out",
        (false, None) => ", the most that were in flight",
    };
    format!("{}{how}", so_many(machine.slots))
}

fn so_many(slots: u32) -> String {
    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") }
}

fn waits_in_the_proxy(fleet: &Fleet, log: &AccessLog) -> Option<String> {
    let waits: Vec<u64> =
        log.entries.iter().map(|entry| entry.queued).filter(|queued| *queued >= QUEUED).collect();
    let unclear = fleet.capacities.iter().filter(|capacity| capacity.proxy == Proxy::Unclear).count();
    let mean = waits.iter().map(|wait| *wait as f64).sum::<f64>() / waits.len().max(1) as f64;
    let what_for = match unclear {
        0 => String::new(),
        1 => "; what they waited for at one endpoint cannot be told".to_owned(),
        count => format!("; what they waited for at {count} endpoints cannot be told"),
    };
    (!waits.is_empty()).then(|| {
        format!(
            "{} of {} requests waited in the proxy, {:.1} ms on average, which the log's row counts; in a replay each is sent as it \
             comes, and waits at its endpoint{what_for}",
            waits.len(),
            log.entries.len(),
            mean / 1e6
        )
    })
}

/// With slots to spare nobody waits where the proxy let them wait.
fn more_than_held(fleet: &Fleet, options: &ReplayOptions) -> Option<String> {
    let slots = options.slots?;
    let held = |capacity: &Capacity| if let Proxy::Held(held) = capacity.proxy { Some(held) } else { None };
    let less = fleet.capacities.iter().filter_map(held).filter(|held| *held < slots);
    less.max().map(|held| {
        format!(
            "the proxy sent {held} at once while others waited in it: with {slots} slots they do not wait in a replay, and the log's own \
             choices come out quicker than they were"
        )
    })
}

fn names_are_enough(log: &AccessLog, options: &ReplayOptions) -> Option<String> {
    let given = options.endpoints.filter(|_| log.names_endpoints())?;
    Some(format!("--endpoints {given} is not used: the log names its endpoints, {}", log.endpoints.len()))
}

fn streams(log: &AccessLog) -> Option<String> {
    let streams = log.streams;
    (streams > 0).then(|| {
        format!(
            "{streams} requests that last far longer than all others are left out: nobody waited behind them, so that they are streams, polls or downloads, which hold \
             no slot"
        )
    })
}

fn tunnels(log: &AccessLog) -> Option<String> {
    let tunnels = log.tunnels;
    (tunnels > 0)
        .then(|| format!("{tunnels} tunnels (status 101) are left out: how long they last is not work"))
}

fn odd_lines(log: &AccessLog) -> Option<String> {
    let lack = log.lack_msec;
    (lack > 0).then(|| {
        format!(
            "{lack} of {} lines have no $msec, and are taken to end where the line before does",
            log.lines
        )
    })
}

/// Then no latency is there to compare a replay with, and perhaps no work.
fn only_failures(fleet: &Fleet, log: &AccessLog) -> Option<String> {
    if log.entries.iter().all(|entry| entry.failed) {
        return Some(format!(
            "all requests of the log failed, which says nothing of their work: each counts as {:.3} ms, what a failure took on average; \
             how far to believe that cannot be told",
            fleet.service / 1e6
        ));
    }
    let warm_up = log.first_at() + warm_up(log.lasts());
    let is_answer = |entry: &super::Entry| !entry.failed && entry.at >= warm_up;
    let said = "all requests after the warm-up failed, so that how far to believe this cannot be told";
    (!log.entries.iter().any(is_answer)).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::made::{self, options};
    use super::*;
    use crate::outcome::Comparison;
    use crate::random::Random;
    use std::fmt::Write as _;

    fn replay(text: &str, endpoints: Option<u32>) -> Comparison {
        replay_with(text, endpoints, None)
    }

    fn replay_with(text: &str, endpoints: Option<u32>, slots: Option<u32>) -> Comparison {
        let options = ReplayOptions { slots, endpoints, ..options(&["least_request"]) };
        made::replay(&AccessLog::read(text.as_bytes()).unwrap(), &options)
    }

    /// Two endpoints that a proxy sends `limit` requests at most, at nine tenths of what they can do, in the milliseconds of `HAProxy`. With
    /// the mean of what clients waited.
    fn queued(slots: usize, limit: usize) -> (String, f64) {
        let (mut random, mut now, mut total, mut text) = (Random::new(3), 0.0_f64, 0.0, String::new());
        let mut has = [(); 2].map(|()| (vec![0.0_f64; limit], vec![0.0_f64; slots]));
        let first =
            |free: &[f64]| (0..free.len()).min_by(|&one, &other| free[one].total_cmp(&free[other])).unwrap();
        for _ in 0..4_000 {
            now += 100.0 / 0.9 / 2.0 / slots.min(limit) as f64 * random.exponential();
            let freed = [0, 1].map(|endpoint| has[endpoint].0[first(&has[endpoint].0)]);
            let endpoint = usize::from(freed[1] < freed[0]);
            let sent = freed[endpoint].max(now);
            let (held, free) = &mut has[endpoint];
            let slot = first(free);
            free[slot] = free[slot].max(sent) + 100.0 * (random.normal() - 0.5).exp();
            let place = first(held);
            held[place] = free[slot];
            total += free[slot] - now;
            let _ = writeln!(
                text,
                "c:1 [10/Oct/2026:13:{:02}:{:06.3}] f b/s{endpoint} 0/{}/0/{}/0 200 5 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"",
                now as u64 / 60_000,
                (now as u64 % 60_000) as f64 / 1e3,
                (sent - now) as u64,
                (free[slot] - sent) as u64,
            );
        }
        (text, total / 4_000.0)
    }

    #[test]
    fn waits_in_the_proxy_are_the_clients_and_tell_what_the_endpoints_held() {
        for (slots, limit, told) in [
            (2, 2, "2 slots at least, as many as it had while others waited in the proxy"),
            (4, 2, "2 slots at least, as many as it had while others waited in the proxy"),
            (2, 4, "2 slots, from when answers came"),
        ] {
            let (text, mean) = queued(slots, limit);
            let replay = replay(&text, None);
            let case = format!("{slots} slots, {limit} at most: {:?}", replay.assumed);
            assert!(replay.assumed[..2].iter().all(|endpoint| endpoint.contains(told)), "{case}");
            assert!(replay.assumed[2].contains("of 4000 requests waited in the proxy, "), "{case}");
            let [log, least_request] = replay.outcomes.as_slice() else { panic!("two") };
            assert!((log.latency_ms.mean / mean - 1.0).abs() < 0.1, "{case}: {} {mean}", log.latency_ms.mean);
            // One queue for all is a little better.
            let times = least_request.latency_ms.mean / log.latency_ms.mean;
            assert!((0.95..1.3).contains(&times), "{case}: {times}");
        }
    }

    #[test]
    fn who_gives_more_slots_than_the_proxy_used_is_told_what_that_means() {
        let (text, _) = queued(4, 2);
        let told = |slots| replay_with(&text, None, Some(slots)).assumed;
        assert!(told(4)[3].starts_with("the proxy sent 2 at once"), "{:?}", told(4));
        assert_eq!(told(2).len(), 3, "{:?}", told(2));
    }

    /// It had one or none in flight, while others waited for something else.
    #[test]
    fn what_cannot_have_been_waited_for_at_the_endpoint_is_said_to_be_unknown() {
        let text = (0..2_000).fold(String::new(), |mut text, number| {
            let ms = number * 10;
            let _ = writeln!(
                text,
                "c:1 [10/Oct/2026:13:00:{:06.3}] f b/s0 0/{}/0/{}/0 200 5 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"",
                f64::from(ms) / 1e3,
                if number % 3 == 0 { 6 + number % 40 } else { 0 },
                2 + number % 12,
            );
            text
        });
        let replay = replay(&text, None);
        assert!(replay.assumed[1].ends_with("at one endpoint cannot be told"), "{:?}", replay.assumed);
    }

    /// Requests every 10 ms that take 5 ms and up to 20, with exact ends.
    fn nginx(number: u32, status: u16, took: f64, address: &str, msec: bool) -> String {
        let end = f64::from(number) / 100.0 + took;
        let msec = if msec { format!(" {:.3}", 1_791_640_536.0 + end) } else { String::new() };
        let second = 36 + end as u64;
        format!(
            "c - - [10/Oct/2026:13:{:02}:{:02} +0000] \"GET / HTTP/1.1\" {status} 5 \"-\" \"x\" {took:.3} {took:.3}{address}{msec}\n",
            55 + second / 60,
            second % 60,
        )
    }

    #[test]
    fn tunnels_are_left_out_and_counted() {
        let line = |number: u32| match number % 50 {
            0 => nginx(number, 101, 5.0, " e:1", true),
            _ => nginx(number, 200, 0.005, " e:1", true),
        };
        let replay = replay(&(0..2_000).map(line).collect::<String>(), None);
        assert!(replay.assumed[0].starts_with("e:1: 1 slot "), "{:?}", replay.assumed);
        assert!(replay.assumed[1].starts_with("40 tunnels"), "{:?}", replay.assumed);
    }

    #[test]
    fn a_line_without_msec_among_others_changes_nothing() {
        let line = |number: u32, lacks: bool| {
            let took = f64::from(5 + number * 7 % 16) / 1e3;
            nginx(number, 200, took, " e:1", !(lacks && number == 900))
        };
        let [exact, lacks] = [false, true]
            .map(|lacks| replay(&(0..2_000).map(|number| line(number, lacks)).collect::<String>(), None));
        assert_eq!(exact.assumed[0], lacks.assumed[0]);
        assert!(lacks.assumed[1].starts_with("1 of 2000 lines have no $msec"), "{:?}", lacks.assumed);
        let [exact, lacks] = [&exact, &lacks].map(|replay| replay.outcomes[1].latency_ms.p99);
        assert!((exact / lacks - 1.0).abs() < 0.01, "{exact} {lacks}");
    }

    #[test]
    fn a_log_of_failures_alone_is_said_to_tell_nothing_and_not_to_take_no_time() {
        let fails_from = |from: u32| {
            let status = |number| if number < from { 200 } else { 503 };
            let text = (0..500).map(|number| nginx(number, status(number), 0.005, " e:1", true));
            replay(&text.collect::<String>(), None)
        };
        for (from, said) in
            [(0, "all requests of the log failed"), (20, "all requests after the warm-up failed")]
        {
            let replay = fails_from(from);
            assert!(replay.assumed[1].starts_with(said), "{:?}", replay.assumed);
            assert!(
                replay.explained.is_none() && !replay.to_table().contains("p50 of 0"),
                "{}",
                replay.to_table()
            );
        }
        assert!(fails_from(0).assumed[1].contains("each counts as 5.000 ms"), "{:?}", fails_from(0).assumed);
        assert!(fails_from(450).explained.is_some());
    }

    #[test]
    fn a_number_of_endpoints_that_is_not_used_is_told() {
        let lines = |address: &str| {
            (0..500).map(|number| nginx(number, 200, 0.005, address, true)).collect::<String>()
        };
        let named = replay(&lines(" e:1"), Some(4));
        assert!(named.assumed[1].starts_with("--endpoints 4 is not used"), "{:?}", named.assumed);
        let nameless = replay(&lines(""), Some(4));
        assert_eq!(nameless.endpoints, 4);
        assert!(nameless.assumed[0].contains("which is a guess"), "{:?}", nameless.assumed);
        assert!(nameless.assumed[1].contains("give --slots"), "{:?}", nameless.assumed);
        let given = replay_with(&lines(""), Some(4), Some(2)).assumed;
        assert_eq!(given, vec!["e1: 2 slots, as given, speed 1.00"; given.len()]);
    }
}
