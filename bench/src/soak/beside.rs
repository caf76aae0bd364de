//! One well-behaved client beside each kind of attack: what it waits for, compared with the quiet just before.
//! Says the numbers; that none of its requests failed is the only thing that is judged.

use super::Tally;
use super::hostile::{KINDS, Kind};
use crate::client::Client;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);
const ATTACKED: Duration = Duration::from_secs(2);
/// Of each kind at once.
const ATTACKERS: usize = 4;
/// Between two requests of the client: it is not to be a load of its own.
const PAUSE: Duration = Duration::from_millis(1);

/// What the client saw in one phase.
#[derive(Debug)]
struct Seen {
    /// Of the requests that were answered well, shortest first.
    times: Vec<Duration>,
    failed: usize,
}

/// How many requests of the client failed.
pub(super) fn measure(proxy: SocketAddr) -> usize {
    println!(
        "a client beside attacks  quiet p50    p99   attacked p50    p99   p99 ratio   failed   (microseconds)"
    );
    let mut failed = 0;
    for kind in KINDS {
        let quiet = ask_for(proxy, QUIET);
        let attacked = beside(proxy, kind);
        println!("{}", line(kind.name, &quiet, &attacked));
        failed += quiet.failed + attacked.failed;
    }
    failed
}

fn beside(proxy: SocketAddr, kind: Kind) -> Seen {
    let attack = Tally::default();
    let all_stepped_back = Barrier::new(ATTACKERS + 1);
    std::thread::scope(|scope| {
        for _ in 0..ATTACKERS {
            scope.spawn(|| {
                step_back();
                all_stepped_back.wait();
                (kind.attack)(proxy, &attack);
            });
        }
        all_stepped_back.wait();
        let seen = ask_for(proxy, ATTACKED);
        attack.over.store(true, Ordering::Relaxed);
        seen
    })
}

/// Attackers have machines of their own: what they keep this one's processors from is not the proxy's doing. What the kernel
/// does for their packets still is part of the attack. Where the whole soak runs as a real-time process (`chrt -r 10`, as root), the attackers
/// become ordinary ones, and get what the others leave.
fn step_back() {
    const LEAST: i32 = 19;
    // Of this thread (Linux); lowering always may be done.
    let _ = rustix::process::setpriority_process(None, LEAST);
    let thread = rustix::thread::gettid().to_string();
    let ordinary = ["--other", "--pid", "0", &thread];
    let _ = std::process::Command::new("chrt").args(ordinary).stderr(Stdio::null()).status();
}

fn ask_for(proxy: SocketAddr, duration: Duration) -> Seen {
    let mut seen = Seen { times: Vec::new(), failed: 0 };
    let mut kept = None;
    let start = Instant::now();
    while start.elapsed() < duration {
        let asked = Instant::now();
        let client = kept.take().map_or_else(|| Client::connect(proxy), Ok);
        let answered =
            client.and_then(|mut client| client.get("/small").map(|answer| (client, answer.status)));
        match answered {
            Ok((client, 200)) => {
                seen.times.push(asked.elapsed());
                kept = Some(client);
            }
            _ => seen.failed += 1,
        }
        std::thread::sleep(PAUSE);
    }
    seen.times.sort_unstable();
    seen
}

impl Seen {
    /// In microseconds; 0 when nothing was answered.
    fn percentile(&self, percent: usize) -> u128 {
        let place = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(place).map_or(0, Duration::as_micros)
    }
}

fn line(name: &str, quiet: &Seen, attacked: &Seen) -> String {
    let ratio = attacked.percentile(99) as f64 / quiet.percentile(99).max(1) as f64;
    format!(
        "{name:<24} {:>9} {:>6} {:>14} {:>6} {ratio:>11.1} {:>8}",
        quiet.percentile(50),
        quiet.percentile(99),
        attacked.percentile(50),
        attacked.percentile(99),
        quiet.failed + attacked.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_compares_the_two_phases() {
        let seen =
            |first: u64| Seen { times: (first..first + 100).map(Duration::from_micros).collect(), failed: 1 };
        let line = line("slow heads", &seen(1), &seen(201));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["slow", "heads", "51", "100", "251", "300", "3.0", "2"]);
        assert_eq!(Seen { times: vec![], failed: 0 }.percentile(99), 0);
    }
}
