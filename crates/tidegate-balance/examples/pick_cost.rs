//! What a pick and its feedback cost, for an instruction counter: `pick_cost ALGORITHM ENDPOINTS PICKS`. Prints a sum so that
//! nothing is optimised away, and the time a pair took, which is worth little on a shared machine.
//!
//! Run it twice with different numbers of picks under `valgrind --tool=callgrind`; the difference of the totals is the
//! cost of the picks alone.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Endpoint, EndpointId, LoadBound, Moment, Pick};

fn main() -> Result<(), String> {
    let [algorithm, endpoints, picks] = arguments()?;
    let balancer = cluster(algorithm_named(&algorithm)?, number(&endpoints)?);
    println!("{}", drive(&balancer, u64::from(number(&picks)?)));
    Ok(())
}

fn arguments() -> Result<[String; 3], String> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    arguments.try_into().map_err(|_| "usage: pick_cost ALGORITHM ENDPOINTS PICKS".to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn algorithm_named(name: &str) -> Result<Algorithm, String> {
    match name {
        "adaptive" => Ok(Algorithm::Adaptive { peers: 1 }),
        "maglev" => Ok(Algorithm::Maglev { bound: None }),
        "maglev_drain_time" => Ok(Algorithm::Maglev { bound: Some(LoadBound::drain_time(125)) }),
        "peak_ewma" => Ok(Algorithm::PeakEwma),
        "least_request" => Ok(Algorithm::LeastRequest),
        "random" => Ok(Algorithm::Random { choices: 2 }),
        "rendezvous" => Ok(Algorithm::Rendezvous { bound: None }),
        "rendezvous_drain_time" => Ok(Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) }),
        "round_robin" => Ok(Algorithm::RoundRobin),
        _ => Err(format!("no algorithm is called `{name}`")),
    }
}

fn cluster(algorithm: Algorithm, endpoints: u32) -> Balancer {
    let endpoint = |index| Endpoint {
        id: EndpointId { cluster: "app".into(), address: format!("10.0.0.{index}:80").into() },
        weight: 1,
        state: std::sync::Arc::default(),
    };
    Balancer::new(algorithm, (0..endpoints).map(endpoint).collect(), None)
}

/// Holds two requests per endpoint, as at a moderate load; each pick ends the oldest. 10 µs of virtual time per pick.
fn drive(balancer: &Balancer, picks: u64) -> u64 {
    let mut open = std::collections::VecDeque::new();
    let mut sum = 0;
    for number in 1..=picks {
        let now = Moment(number * 10_000);
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if let Ok(lease) = balancer.pick(&Pick { now, random, hash: None, tried: &[] }) {
            sum += lease.index() as u64;
            open.push_back(lease);
        }
        if open.len() > balancer.endpoints().len() * 2
            && let Some(lease) = open.pop_front()
        {
            let first_byte = Duration::from_micros(900 + (random >> 56));
            lease.settle(Ended::Answered { status: 200, first_byte }, now);
        }
    }
    sum
}
