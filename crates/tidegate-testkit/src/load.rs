//! Closed-loop load that counts what failed, by kind.
//!
//! Each thread keeps one connection busy: a request goes out when the answer before it is in. Nothing is retried,
//! nothing forgiven; a connection is replaced only when the answer said that it closes, or after a failure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::patience::eventually;
use crate::reply::{Problem, Reply};

/// What the load saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Answers 200 by their body.
    pub bodies: BTreeMap<String, u64>,
    /// Requests without a complete answer, by what happened.
    pub broken: BTreeMap<String, u64>,
}

impl Report {
    pub fn total(&self) -> u64 {
        self.answers.values().sum::<u64>() + self.broken.values().sum::<u64>()
    }

    pub fn ok(&self) -> u64 {
        self.answers.get(&200).copied().unwrap_or(0)
    }

    pub fn failed(&self) -> u64 {
        self.total() - self.ok()
    }

    /// # Panics
    /// When anything but 200 came back.
    pub fn expect_no_failures(&self) {
        assert_eq!(self.failed(), 0, "of {} requests: {:?} {:?}", self.total(), self.answers, self.broken);
    }

    fn add(&mut self, other: &Self) {
        merge(&mut self.answers, &other.answers);
        merge(&mut self.bodies, &other.bodies);
        merge(&mut self.broken, &other.broken);
    }

    fn count(&mut self, answer: &Result<Reply, Problem>, fresh: bool) {
        match answer {
            Ok(reply) => {
                *self.answers.entry(reply.status).or_default() += 1;
                if reply.status == 200 {
                    *self.bodies.entry(reply.text()).or_default() += 1;
                }
            }
            Err(problem) => {
                let place = if fresh { "on a new connection" } else { "on a kept connection" };
                *self.broken.entry(format!("{problem:?} {place}")).or_default() += 1;
            }
        }
    }
}

fn merge<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key.clone()).or_default() += count;
    }
}

/// Load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    threads: Vec<JoinHandle<Report>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Load {
    /// So many connections, each sending GETs of this target.
    pub fn start(to: SocketAddr, connections: usize, target: &str) -> Self {
        Self::paced(to, connections, target, Duration::ZERO)
    }

    /// As [`Load::start`], with this pause after each answer.
    pub fn paced(to: SocketAddr, connections: usize, target: &str, pause: Duration) -> Self {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..connections)
            .map(|_| {
                let (request, stop, done) = (request.clone(), stop.clone(), done.clone());
                std::thread::spawn(move || keep_asking(to, request.as_bytes(), pause, &stop, &done))
            })
            .collect();
        Self { threads, stop, done }
    }

    /// Requests finished so far, well or not.
    pub fn finished(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more are finished.
    pub fn wait_for(&self, more: u64) {
        let goal = self.finished() + more;
        eventually(&format!("{more} more requests are done"), || self.finished() >= goal);
    }

    /// # Panics
    /// When a thread of the load did.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for thread in self.threads {
            report.add(&thread.join().expect("the load runs to its end"));
        }
        report
    }
}

fn keep_asking(
    to: SocketAddr,
    request: &[u8],
    pause: Duration,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Report {
    let mut report = Report::default();
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let fresh = kept.is_none();
        let mut client = match kept.take().map_or_else(|| Client::try_connect(to), Ok) {
            Ok(client) => client,
            Err(error) => {
                *report.broken.entry(format!("connect: {:?}", error.kind())).or_default() += 1;
                done.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        client.send(request);
        let answer = client.try_reply();
        report.count(&answer, fresh);
        done.fetch_add(1, Ordering::Relaxed);
        kept = answer.is_ok_and(|reply| !reply.closes()).then_some(client);
        std::thread::sleep(pause);
    }
    report
}
