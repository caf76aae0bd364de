//! Everything that one run measured, and as JSON. Knows numbers, not how they were taken or what they should be.

use crate::idle::Idle;
use crate::peers::Subject;
use crate::scenario::{Sample, Scenario};
use serde_json::{Map, Value, json};

#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) commit: String,
    /// The one-minute load average before and after: what else ran on the machine.
    pub(crate) load: [String; 2],
    pub(crate) method: String,
    pub(crate) versions: Vec<(Subject, String)>,
    pub(crate) loads: Vec<(Scenario, Vec<(Subject, Sample)>)>,
    pub(crate) syscalls: Vec<(Subject, f64)>,
    pub(crate) idle: Vec<(Subject, Idle)>,
    /// By the number of connections that ask at once.
    pub(crate) instructions: Vec<(usize, f64)>,
    pub(crate) allocations: Option<f64>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// Keeps what was measured, or why it was not.
    pub(crate) fn keep<T>(&mut self, measured: Result<T, String>) -> Option<T> {
        measured.map_err(|error| self.failures.push(error)).ok()
    }

    pub(crate) fn sample(&self, scenario: &str, subject: Subject) -> Option<&Sample> {
        let (_, samples) = self.loads.iter().find(|(one, _)| one.name == scenario)?;
        find(samples, subject)
    }

    pub(crate) fn to_json(&self) -> Value {
        let loads: Map<String, Value> = self
            .loads
            .iter()
            .map(|(scenario, samples)| (scenario.name.to_owned(), by_subject(samples, sample_json)))
            .collect();
        let instructions: Map<String, Value> = self
            .instructions
            .iter()
            .map(|(connections, count)| (connections.to_string(), json!(count)))
            .collect();
        json!({
            "date": self.date,
            "commit": self.commit,
            "load_average": self.load,
            "method": self.method,
            "versions": by_subject(&self.versions, |version| json!(version)),
            "loads": loads,
            "syscalls_per_request": by_subject(&self.syscalls, |calls| json!(calls)),
            "idle_connection_kib": by_subject(&self.idle, |idle| json!({ "fresh": idle.fresh, "served": idle.served })),
            "user_instructions_per_request": instructions,
            "heap_allocations_per_request": self.allocations,
            "failures": self.failures,
        })
    }
}

pub(crate) fn find<T>(measured: &[(Subject, T)], subject: Subject) -> Option<&T> {
    measured.iter().find(|(one, _)| *one == subject).map(|(_, value)| value)
}

fn by_subject<T>(measured: &[(Subject, T)], value: impl Fn(&T) -> Value) -> Value {
    measured
        .iter()
        .map(|(subject, one)| (subject.name().to_owned(), value(one)))
        .collect::<Map<_, _>>()
        .into()
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "requests_per_second": sample.requests_per_second,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "cpu_us_per_request": sample.cpu_us,
        "cpu_us_per_request_range": [sample.cpu_us_range.0, sample.cpu_us_range.1],
        "requests_per_cpu_second": sample.requests_per_cpu_second(),
        "errors": sample.errors,
    })
}
