//! Numbers read off the proxy's metrics, and what happened between two readings. Knows no display.

use super::endpoints::Endpoint;
use std::sync::Arc;
use std::time::Duration;
use tidegate_control::{EndpointStatus, Status};
use tidegate_telemetry::families::{
    CLUSTER_RETRIES, CODE_CLASSES, CONNECT_FAILURES, ENDPOINT_ANSWERS, ENDPOINT_ATTEMPTS,
    FIRST_BYTE_DURATION, REQUEST_DURATION, REQUESTS,
};
use tidegate_telemetry::{Distribution, Registry};

/// What the configuration from flags calls its only route and cluster.
const DEFAULT: &str = "default";

/// Reads.
#[derive(Debug)]
pub(super) struct Meter {
    registry: Arc<Registry>,
    endpoints: Vec<Endpoint>,
}

/// All counts at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Since the start of the load.
    pub(super) at: Duration,
    pub(super) requests: Counts,
    /// Attempts after the first one of a request.
    pub(super) retries: u64,
    pub(super) endpoints: Vec<EndpointReading>,
}

#[derive(Clone, Debug)]
pub(super) struct EndpointReading {
    pub(super) name: &'static str,
    pub(super) address: String,
    pub(super) counts: Counts,
    pub(super) in_flight: u32,
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Answers of 500 and above, and failed connects.
    pub(super) errors: u64,
    pub(super) times: Distribution,
}

impl Counts {
    /// What was added since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            times: self.times.since(&earlier.times),
        }
    }
}

impl Meter {
    pub(super) fn new(registry: Arc<Registry>, endpoints: Vec<Endpoint>) -> Self {
        Self { registry, endpoints }
    }

    pub(super) fn read(&self, at: Duration, status: &Status) -> Reading {
        let listed = || status.clusters.iter().flat_map(|cluster| &cluster.endpoints);
        let retries = |reason| self.registry.total(&CLUSTER_RETRIES, &[DEFAULT, reason]);
        let requests = |class: &&str| self.registry.total(&REQUESTS, &[DEFAULT, class]);
        Reading {
            at,
            requests: Counts {
                requests: CODE_CLASSES.iter().map(requests).sum(),
                errors: self.registry.total(&REQUESTS, &[DEFAULT, "5xx"]),
                times: self.registry.distribution(&REQUEST_DURATION, &[DEFAULT]),
            },
            retries: retries("connect") + retries("reset"),
            endpoints: self
                .endpoints
                .iter()
                .map(|endpoint| {
                    self.endpoint(endpoint, listed().find(|one| one.endpoint == endpoint.address))
                })
                .collect(),
        }
    }

    fn endpoint(&self, endpoint: &Endpoint, status: Option<&EndpointStatus>) -> EndpointReading {
        let labels = [DEFAULT, endpoint.address.as_str()];
        let failed_answers = self.registry.total(&ENDPOINT_ANSWERS, &[labels[0], labels[1], "5xx"]);
        EndpointReading {
            name: endpoint.name,
            address: endpoint.address.clone(),
            counts: Counts {
                requests: self.registry.total(&ENDPOINT_ATTEMPTS, &labels),
                errors: failed_answers + self.registry.total(&CONNECT_FAILURES, &labels),
                times: self.registry.distribution(&FIRST_BYTE_DURATION, &labels),
            },
            in_flight: status.map_or(0, |status| status.in_flight),
            state: status.map_or("unknown", |status| status.health),
        }
    }
}

impl Reading {
    /// What happened between an earlier reading and this one.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.endpoints.iter().zip(&earlier.endpoints);
        Self {
            at: self.at.saturating_sub(earlier.at),
            requests: self.requests.since(&earlier.requests),
            retries: self.retries.saturating_sub(earlier.retries),
            endpoints: pairs
                .map(|(now, before)| EndpointReading {
                    counts: now.counts.since(&before.counts),
                    ..now.clone()
                })
                .collect(),
        }
    }

    /// How many of them in a second.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.at.as_secs_f64().max(0.001)
    }
}

/// Milliseconds, when anything was measured.
pub(super) fn quantile_ms(counts: &Counts, share: f64) -> Option<f64> {
    counts.times.quantile(share).map(|time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::report::Summary;
    use super::*;
    use tidegate_control::ClusterStatus;

    const ADDRESS: &str = "127.0.0.1:8001";

    /// A meter of one endpoint, and what the proxy would count.
    fn meter() -> (Meter, Arc<Registry>) {
        let registry = Arc::<Registry>::default();
        let endpoint = Endpoint { name: "steady", address: ADDRESS.to_owned() };
        (Meter::new(Arc::clone(&registry), vec![endpoint]), registry)
    }

    fn count(registry: &Registry, requests: u64, failed: u64) {
        registry.counter(0, &REQUESTS, &[DEFAULT, "2xx"]).add(requests - failed);
        registry.counter(0, &REQUESTS, &[DEFAULT, "5xx"]).add(failed);
        registry.counter(0, &ENDPOINT_ATTEMPTS, &[DEFAULT, ADDRESS]).add(requests);
        registry.counter(0, &ENDPOINT_ANSWERS, &[DEFAULT, ADDRESS, "5xx"]).add(failed);
        let times = registry.histogram(0, &FIRST_BYTE_DURATION, &[DEFAULT, ADDRESS]);
        (0..requests).for_each(|_| times.record(Duration::from_millis(4)));
    }

    fn status() -> Status {
        let endpoint = EndpointStatus {
            endpoint: ADDRESS.to_owned(),
            health: "up",
            reason: None,
            weight: 1,
            tier: 0,
            zone: None,
            in_flight: 3,
            request_limit: None,
            request_limit_reason: None,
            unhurried: None,
            beliefs: None,
            connections: 4,
            idle_connections: 1,
            addresses: Vec::new(),
        };
        let cluster = ClusterStatus {
            cluster: DEFAULT.to_owned(),
            balance: "",
            pending: 0,
            queued: 0,
            endpoints: vec![endpoint],
        };
        Status {
            certificates: Vec::new(),
            state: "serving",
            version: "",
            generation: 1,
            workers: 1,
            listeners: Vec::new(),
            clusters: vec![cluster],
        }
    }

    #[test]
    fn a_window_counts_only_what_happened_in_it() {
        let (meter, registry) = meter();
        count(&registry, 100, 10);
        let earlier = meter.read(Duration::from_secs(1), &status());
        count(&registry, 50, 1);
        let window = meter.read(Duration::from_secs(3), &status()).since(&earlier);
        assert_eq!((window.requests.requests, window.requests.errors), (50, 1));
        let endpoint = &window.endpoints[0];
        assert_eq!((endpoint.counts.requests, endpoint.counts.errors), (50, 1));
        assert_eq!((endpoint.in_flight, endpoint.state), (3, "up"));
        assert!((window.per_second(50) - 25.0).abs() < 1e-9);
        let middle = quantile_ms(&endpoint.counts, 0.5).unwrap();
        assert!((3.5..4.5).contains(&middle), "{middle} ms");
    }

    #[test]
    fn the_summary_says_the_same_to_people_and_to_scripts() {
        let (meter, registry) = meter();
        count(&registry, 200, 4);
        let summary = Summary::new(&meter.read(Duration::from_secs(10), &status()), 2);
        let text = summary.to_text();
        assert!(text.contains("200 requests in 10.0 s, 20/s"), "{text}");
        assert!(text.contains("4 answered with 5xx, 2 without an answer, 0 tried again"), "{text}");
        let facts: serde_json::Value = serde_json::from_str(&summary.to_json()).unwrap();
        assert_eq!(
            (&facts["requests"], &facts["errors"], &facts["unanswered"]),
            (&200.into(), &4.into(), &2.into())
        );
        assert_eq!(facts["endpoints"][0]["endpoint"], "steady");
        assert_eq!(facts["endpoints"][0]["requests_per_second"], 20.0);
        for measured in ["p50_ms", "p99_ms"] {
            let number = facts["endpoints"][0][measured].to_string();
            let digits = number.split_once('.').map_or(0, |(_, digits)| digits.len());
            assert!((1..=3).contains(&digits), "{number}");
        }
    }
}
