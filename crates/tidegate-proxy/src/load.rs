//! What endpoints say of their load, handed on to balancing. Knows no algorithm.

use crate::metrics::LoadReportMetrics;
use crate::request::Call;
use std::time::Duration;
use tidegate_balance::{EndpointState, Lease, LoadReport as Rates, Moment};
use tidegate_http::{FieldKind, LoadReport, field};

/// The name of the field, for those who read heads elsewhere.
pub const FIELD: &str = "endpoint-load-metrics";

/// Learns from the head of an answer, when the algorithm listens and the endpoint speaks.
pub(crate) fn hear(call: &Call<'_>, lease: &Lease<'_>, now: Moment) {
    let response = &call.workspace.response;
    if !response.kinds.has(FieldKind::EndpointLoadMetrics) {
        return;
    }
    let bytes = call.workspace.answer.readable();
    let value = field::find_kind(&response.fields, bytes, FieldKind::EndpointLoadMetrics).unwrap_or_default();
    let learned = learn(value, &lease.endpoint().state, now);
    let endpoint = call.journal.place().and_then(|place| call.view.endpoint(place));
    if let Some(metrics) = endpoint.and_then(|(_, endpoint)| endpoint.metrics().load_reports.as_ref()) {
        metrics.count(learned);
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    Read,
    Unreadable,
}

impl Learned {
    /// The metric's label `outcome`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Learns from the value of the field.
pub fn learn(value: &[u8], state: &EndpointState, now: Moment) -> Learned {
    let Some(report) = LoadReport::parse(value) else { return Learned::Unreadable };
    let rates = Rates {
        requests_per_second: report.requests_per_second as f32,
        errors_per_second: report.errors_per_second as f32,
        utilisation: report.utilisation as f32,
    };
    state.report_load(&rates, now);
    if let (Some(in_flight), Some(latency_ms)) = (report.in_flight, report.latency_ms) {
        let latency = Duration::try_from_secs_f64(latency_ms / 1e3).unwrap_or(Duration::MAX);
        state.report_probe(in_flight as u32, latency, now);
    }
    Learned::Read
}

impl LoadReportMetrics {
    pub(crate) fn count(&self, learned: Learned) {
        match learned {
            Learned::Read => self.read.increment(),
            Learned::Unreadable => self.unreadable.increment(),
        }
    }
}
