//! Active health checks: one task for each endpoint that is to be checked, its verdicts stored in the endpoint's state.
//!
//! An endpoint that is new counts as up until its first check, which runs at once and decides alone; later verdicts need
//! `rise` or `fall` results in a row. A check that a reload does not touch goes on undisturbed; one whose settings change
//! starts anew. A check that cannot be made, for want of file descriptors or of an address, says nothing.

mod grpc; // questions and answers of gRPC
mod probe;
mod tally;

use crate::chance;
use crate::lower::Previous;
use crate::overview::Overview;
use probe::probe;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tidegate_balance::{CheckVerdict, EndpointId, EndpointState};
use tidegate_config::HealthCheck;
use tidegate_proxy::upstream::Upstream;
use tidegate_proxy::{load, now};
use tidegate_telemetry::families::{ENDPOINT_HEALTH_CHECKS, ENDPOINT_LOAD_REPORTS};
use tidegate_telemetry::registry::CONTROL;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The checks that run now.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    running: HashMap<EndpointId, Running>,
}

#[derive(Debug)]
struct Running {
    subject: Subject,
    task: JoinHandle<()>,
}

/// What is checked, and how.
#[derive(Clone, Debug)]
struct Subject {
    check: HealthCheck,
    upstream: Arc<Upstream>,
    state: Arc<EndpointState>,
    /// The answers of a check may say how busy the endpoint is, as those to requests may.
    hears_reports: bool,
}

impl Subject {
    fn hear(&self, report: &[u8], overview: &Overview) {
        if self.hears_reports {
            let learned = load::learn(report, &self.state, now());
            let labels = [&*self.upstream.id.cluster, &*self.upstream.id.address, learned.word()];
            overview.registry.counter(CONTROL, &ENDPOINT_LOAD_REPORTS, &labels).add_from_any_thread(1);
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.check == other.check
            && self.hears_reports == other.hears_reports
            && Arc::ptr_eq(&self.upstream, &other.upstream)
    }
}

impl Checks {
    /// Starts what is missing, ends what is not wanted any more, and leaves the rest alone.
    pub(crate) async fn follow(&mut self, overview: &Arc<Overview>) {
        let wanted = subjects(&overview.current());
        let (kept, ended): (HashMap<_, _>, _) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(id, running)| wanted.get(id).is_some_and(|subject| running.subject.is(subject)));
        self.running = kept;
        for (_, gone) in ended {
            gone.end().await;
        }
        for (id, subject) in wanted {
            self.running.entry(id).or_insert_with(|| Running::start(subject, overview));
        }
    }

    pub(crate) async fn end(&mut self) {
        for (_, running) in self.running.drain() {
            running.end().await;
        }
    }
}

fn subjects(current: &Previous) -> HashMap<EndpointId, Subject> {
    let checked = current.snapshot.clusters.iter().filter_map(|cluster| {
        let check = current.config.cluster(&cluster.name)?.health.as_ref()?;
        Some((cluster, check))
    });
    let subjects = checked.flat_map(|(cluster, check)| {
        let pairs = cluster.balancer.endpoints().iter().zip(&cluster.upstreams);
        let hears_reports = cluster.balancer.listens_to_reports();
        pairs.map(move |(endpoint, upstream)| {
            let (upstream, state) = (Arc::clone(upstream), Arc::clone(&endpoint.state));
            (endpoint.id.clone(), Subject { check: check.clone(), upstream, state, hears_reports })
        })
    });
    subjects.collect()
}

impl Running {
    fn start(subject: Subject, overview: &Arc<Overview>) -> Self {
        let task = tokio::spawn(keep_checking(subject.clone(), Arc::clone(overview)));
        Self { subject, task }
    }

    /// What nobody checks is not down by a check.
    async fn end(self) {
        self.task.abort();
        let _ = self.task.await; // after this it marks nothing any more
        self.subject.state.mark_check(CheckVerdict::Up);
    }
}

async fn keep_checking(subject: Subject, overview: Arc<Overview>) {
    let id = &subject.upstream.id;
    let count = |outcome| {
        overview.registry.counter(CONTROL, &ENDPOINT_HEALTH_CHECKS, &[&id.cluster, &id.address, outcome])
    };
    let mut tally = Tally::new(subject.check.rise, subject.check.fall);
    loop {
        let next = Instant::now() + interval(&subject.check);
        let learn_round_trip = |took| subject.state.learn_round_trip(took, now());
        match probe(&subject.check, &subject.upstream, learn_round_trip).await {
            Ok(said) => {
                count("passed").add_from_any_thread(1);
                if let Some(report) = said {
                    subject.hear(&report, &overview);
                }
                tally.passed().into_iter().for_each(|verdict| subject.state.mark_check(verdict));
                subject.state.reached_by_check(true);
            }
            Err(error) if error.is_ours() => {}
            Err(error) => {
                count("failed").add_from_any_thread(1);
                overview.explain(id, &format!("health check failed: {error}"));
                if error.is_silence() {
                    subject.state.missed_by_check(now());
                }
                tally.failed().into_iter().for_each(|verdict| subject.state.mark_check(verdict));
                if !error.is_silence() {
                    subject.state.reached_by_check(false);
                }
            }
        }
        sleep_until(next).await;
    }
}

fn interval(check: &HealthCheck) -> Duration {
    check.interval + check.jitter.mul_f64(chance::fraction())
}
