//! Every metric that Tidegate exposes, in one table: the reference in docs/ is generated from it. Knows no values.
//!
//! Names are as in OpenMetrics, without `_total`; units are base units and end the name. Every label's values are
//! bounded: by the configuration (listener, route, cluster, endpoint) or by a closed list of words.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    /// A gauge of what is no whole number, kept in thousandths.
    Fraction,
    Gauge,
    /// In seconds.
    Histogram,
}

/// One metric family: its OpenMetrics name without suffix, its labels in order, one sentence of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    /// The base unit that ends the name.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| self.name.strip_suffix(unit).is_some_and(|before| before.ends_with('_')))
    }
}

/// The values of the label `code`, by the first digit of the status.
pub const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The position of a status code's class in `CODE_CLASSES`.
#[inline]
pub fn code_class(status: u16) -> usize {
    usize::from((status / 100).clamp(1, 5)) - 1
}

/// The values of the label `state` of `ENDPOINT_HEALTH`.
pub const HEALTH_STATES: [&str; 7] = [
    "up",
    "down_by_check",
    "down_by_connect",
    "down_by_failures",
    "down_by_success_rate",
    "draining",
    "unresolved",
];

/// The values of the label `state` of `ACME_STATE`.
pub const ACME_STATES: [&str; 3] = ["asking", "fresh", "waiting"];

/// Declares each family and the list of all of them.
macro_rules! families {
    ($($family:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: see its help.")]
            pub static $family: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// Every family, in the order of the reference.
        pub static ALL: &[&Family] = &[$(&$family),*];
    };
}

families! {
    LISTENER_CONNECTIONS_ACCEPTED = Counter "tidegate_listener_connections_accepted" ["listener"]
        "Connections accepted from clients.";
    LISTENER_CONNECTIONS = Gauge "tidegate_listener_connections" ["listener"]
        "Connections from clients that are open now.";
    LISTENER_CONNECTIONS_REFUSED = Counter "tidegate_listener_connections_refused" ["listener", "limit"]
        "Connections closed unanswered because a limit on connections was reached; limit is client, listener or total.";
    TCP_CONNECTIONS = Counter "tidegate_tcp_connections" ["listener", "outcome"]
        "Connections that were passed on as they are (tcp, sni) and have ended; outcome is passed, or failed by a cause that tidegate_failures has.";
    TCP_BYTES = Counter "tidegate_tcp_bytes" ["listener", "direction"]
        "Bytes of connections that were passed on as they are and have ended; direction is in (from clients) or out.";
    TLS_HANDSHAKES = Counter "tidegate_tls_handshakes" ["listener", "outcome"]
        "TLS handshakes with clients; outcome is full, resumed, challenge (an authority looked at what it asked for), or why there was none: alert (from the client), client_cert_bad, client_cert_missing, client_cert_revoked, client_gone, failed, limit (no turn among limit.handshakes in time), no_shared_protocol, no_shared_signature, no_shared_suite, no_shared_version, not_tls or timeout.";
    TLS_CONNECTIONS = Counter "tidegate_tls_connections" ["listener", "version", "protocol", "handshake"]
        "Encrypted connections from clients, by what was agreed on: version is 1.2 or 1.3, protocol (ALPN) is h2, http/1.1 or none, handshake is full or resumed.";
    CERTIFICATE_EXPIRY = Gauge "tidegate_tls_certificate_not_after_timestamp_seconds" ["certificate"]
        "When the certificate expires, in seconds since the Unix epoch; certificate is the file that it comes from.";
    CERTIFICATE_OK = Gauge "tidegate_tls_certificate_ok" ["certificate"]
        "Whether what the files of the certificate, or of those who vouch for clients or endpoints, hold now is in use: 1, or 0 while what they held before is kept.";
    ACME_ORDERS = Counter "tidegate_acme_orders" ["outcome"]
        "Times that an authority was asked for a certificate; outcome is obtained or failed.";
    ACME_STATE = Gauge "tidegate_acme_state" ["certificate", "state"]
        "Where asking an authority for the certificate stands, 1 for the state that holds: asking, fresh (nothing until the next one is due) or waiting (it failed, and is tried again).";
    ACME_FAILURES = Gauge "tidegate_acme_failures_in_a_row" ["certificate"]
        "Times since the last success that an authority gave no such certificate.";
    ACME_NEXT = Gauge "tidegate_acme_next_order_timestamp_seconds" ["certificate"]
        "When an authority is asked for the certificate the next time, in seconds since the Unix epoch: when it suggests (RFC 9773), at two thirds of the life of the one before, or when the pause after a failure is over.";
    CERTIFICATE_READS = Counter "tidegate_tls_certificate_reads" ["certificate", "outcome"]
        "Times that files of a certificate had changed and were read again; outcome is replaced or refused.";
    LISTENER_ACCEPT_PAUSES = Counter "tidegate_listener_accept_pauses" ["listener"]
        "Times that accepting paused because the process or the system had no file descriptor or memory left.";

    REQUESTS_IN_SERVICE = Gauge "tidegate_requests_in_service" []
        "Requests, from the first byte of the head to the last of the answer, and tunnels, that are served now.";
    REQUEST_LIMIT = Gauge "tidegate_request_limit" []
        "Requests that may be in service at once: limit.requests, or what follows from the memory.";
    REQUESTS = Counter "tidegate_requests" ["route", "code"]
        "Requests that ended, by the class of the status sent; those that ended without one count under failures only.";
    REQUEST_DURATION = Histogram "tidegate_request_duration_seconds" ["route"]
        "Time from the first byte of a request to the last byte of its answer.";
    REQUEST_PANICS = Counter "tidegate_request_panics" []
        "Requests that ended because Tidegate itself made a mistake: a bug worth reporting, with the line on standard error.";
    REQUEST_BODY_BYTES = Counter "tidegate_request_body_bytes" ["route"]
        "Bytes of request bodies received from clients.";
    RESPONSE_BODY_BYTES = Counter "tidegate_response_body_bytes" ["route"]
        "Bytes of response bodies sent to clients.";
    FAILURES = Counter "tidegate_failures" ["route", "blame", "stage", "cause"]
        "Requests that failed, by who was to blame, the stage reached and the cause; the words are those of the access log.";
    LIMIT_HITS = Counter "tidegate_limit_hits" ["limit"]
        "Times that a configured limit refused or cut something short, by the name of the limit.";
    TUNNELS = Gauge "tidegate_tunnels" []
        "Upgraded connections (such as WebSocket) that are open now.";

    CLUSTER_RETRIES = Counter "tidegate_cluster_retries" ["cluster", "reason"]
        "Attempts after the first one of a request; reason is what ended the attempt before: connect, reset, status or timeout.";
    CLUSTER_RETRIES_REFUSED = Counter "tidegate_cluster_retries_refused" ["cluster", "reason"]
        "Failed attempts that another did not follow though the failure called for one; reason is attempts, body, budget, endpoints (nobody is up, or all refuse connections and are not just being restarted), method or queue (no other had room in time).";
    CLUSTER_HEDGES = Counter "tidegate_cluster_hedges" ["cluster", "outcome"]
        "Second attempts beside a first that waited on a stalled endpoint: won, lost, failed; or not made: unpaid (the budget, send_proxy_protocol or \
         upstream_connections forbade it) or no_slot (a copy would have waited elsewhere, too).";
    CLUSTER_PENDING = Gauge "tidegate_cluster_pending_requests" ["cluster"]
        "Requests that wait for a connection to an endpoint now.";
    CLUSTER_PENDING_REFUSED = Counter "tidegate_cluster_pending_refused" ["cluster"]
        "Requests refused because too many were waiting already.";
    CLUSTER_QUEUED = Gauge "tidegate_cluster_queued_requests" ["cluster"]
        "Requests that wait for an endpoint with room now.";
    CLUSTER_QUEUE = Histogram "tidegate_cluster_queue_seconds" ["cluster"]
        "Time that requests waited for an endpoint with room, whatever came of it.";
    CLUSTER_SHEDS = Counter "tidegate_cluster_sheds" ["cluster", "reason"]
        "Requests refused because no endpoint had room; reason is full (too many were waiting), predicted (the wait would have been too long) or timeout.";
    CLUSTER_NO_ENDPOINT = Counter "tidegate_cluster_no_endpoint" ["cluster", "reason"]
        "Picks that found no endpoint; reason is all_down, all_tried or empty.";
    CLUSTER_EXCEPTIONAL_PICKS = Counter "tidegate_cluster_exceptional_picks" ["cluster", "reason"]
        "Picks of endpoints that would not have been picked otherwise; reason is last_resort (nobody is up who has room, and this one failed quickly), probe (adaptive wanted to know how it is doing) or trial (its time out is over, and how the request goes decides).";
    CLUSTER_HASH_SPILLS = Counter "tidegate_cluster_hash_spills" ["cluster", "reason"]
        "Picks in clusters that hash which are not where the request's key belongs, though that endpoint is up; reason is bound (it had more to do than bound_percent allows) or full (it had as many requests as endpoint_requests allows).";
    CLUSTER_STICKY = Counter "tidegate_cluster_sticky" ["cluster", "outcome", "reason"]
        "Picks in clusters with a sticky cookie; outcome is kept, spilled (its endpoint was too busy; reason is bound, full by endpoint_requests, or hedged: another answered first), moved (reason is tried, or the state that it was in), new or unknown; the reason of the others is none.";

    ENDPOINT_INFO = Gauge "tidegate_endpoint_info" ["cluster", "endpoint", "tier", "zone"]
        "Always 1; the labels say where the endpoint stands: its tier, and its zone or nothing.";
    ENDPOINT_UP = Gauge "tidegate_endpoint_up" ["cluster", "endpoint"]
        "Whether the endpoint is up: 1 or 0. One that was taken out is up again when a trial has succeeded, not when one is due.";
    ENDPOINT_HEALTH = Gauge "tidegate_endpoint_health" ["cluster", "endpoint", "state"]
        "1 for the state the endpoint is in (up, down_by_check, down_by_connect, down_by_failures, down_by_success_rate, draining, unresolved), 0 for the others.";
    ENDPOINT_HEALTH_CHECKS = Counter "tidegate_endpoint_health_checks" ["cluster", "endpoint", "outcome"]
        "Active health checks, by outcome: passed or failed.";
    ENDPOINT_EJECTIONS = Counter "tidegate_endpoint_ejections" ["cluster", "endpoint", "reason"]
        "Times that a breaker took the endpoint out; reason is failures (in a row) or success_rate.";
    ENDPOINT_EJECTIONS_HELD_BACK = Counter "tidegate_endpoint_ejections_held_back" ["cluster", "endpoint", "reason", "limit"]
        "Times that a breaker would have taken the endpoint out and did not, by the reason that it had; limit is ejected_percent, or last_up: nobody else was up.";
    ENDPOINT_ATTEMPTS = Counter "tidegate_endpoint_attempts" ["cluster", "endpoint"]
        "Attempts of requests on the endpoint.";
    ENDPOINT_ATTEMPTS_FAILED = Counter "tidegate_endpoint_attempts_failed" ["cluster", "endpoint", "cause"]
        "Attempts on the endpoint that failed, whether another followed or not, and not by the client's doing; the words are those of the access log.";
    ENDPOINT_ANSWERS = Counter "tidegate_endpoint_answers" ["cluster", "endpoint", "code"]
        "Final answers from the endpoint, by the class of their status.";
    FIRST_BYTE_DURATION = Histogram "tidegate_endpoint_first_byte_seconds" ["cluster", "endpoint"]
        "Time from sending a request to the endpoint to the head of its answer.";
    CONNECTS = Counter "tidegate_endpoint_connects" ["cluster", "endpoint"]
        "Connections opened to the endpoint.";
    CONNECT_FAILURES = Counter "tidegate_endpoint_connect_failures" ["cluster", "endpoint"]
        "Connections to the endpoint that could not be opened.";
    CONNECT_DURATION = Histogram "tidegate_endpoint_connect_seconds" ["cluster", "endpoint"]
        "Time that opening a connection to the endpoint took.";
    ENDPOINT_TLS_HANDSHAKES = Counter "tidegate_endpoint_tls_handshakes" ["cluster", "endpoint", "outcome"]
        "TLS handshakes of connections for requests to the endpoint; outcome is full, resumed or failed.";
    ENDPOINT_CONNECTIONS = Gauge "tidegate_endpoint_connections" ["cluster", "endpoint"]
        "Connections to the endpoint that are open now, idle ones included.";
    ENDPOINT_CONNECTIONS_IDLE = Gauge "tidegate_endpoint_connections_idle" ["cluster", "endpoint"]
        "Connections to the endpoint that wait in the pool now.";
    ENDPOINT_CONNECTIONS_REUSED = Counter "tidegate_endpoint_connections_reused" ["cluster", "endpoint"]
        "Attempts that took a waiting connection from the pool instead of opening one.";
    ENDPOINT_REQUEST_LIMIT = Gauge "tidegate_endpoint_request_limit" ["cluster", "endpoint"]
        "Attempts that may be under way on the endpoint at once, now; 0 without a limit. Where it is learned (auto), those whose answer has begun do not count.";
    ENDPOINT_COST = Fraction "tidegate_endpoint_cost" ["cluster", "endpoint"]
        "What adaptive believes that one more request costs there, in units of the cluster's typical endpoint.";
    ENDPOINT_ERROR_COST = Fraction "tidegate_endpoint_error_cost" ["cluster", "endpoint"]
        "What adaptive adds to that because the endpoint fails more than others: it is chosen as if so many more requests were under way there.";
    ENDPOINT_ERROR_RATE = Fraction "tidegate_endpoint_error_rate" ["cluster", "endpoint"]
        "The part of the endpoint's last attempts that failed, as adaptive remembers them: from 0 to 1, at this moment.";
    ENDPOINT_WARNING = Fraction "tidegate_endpoint_warning" ["cluster", "endpoint"]
        "How many times both costs count now because the endpoint's answers are overdue or the last ones came late: 1 where nothing is wrong.";
    ENDPOINT_IN_FLIGHT = Gauge "tidegate_endpoint_in_flight" ["cluster", "endpoint"]
        "Attempts on the endpoint that are under way now.";
    ENDPOINT_LOAD_REPORTS = Counter "tidegate_endpoint_load_reports" ["cluster", "endpoint", "outcome"]
        "Reports of its load in answers of the endpoint, for algorithms that listen; outcome is read or unreadable.";

    ACCESS_LOG_LINES = Counter "tidegate_access_log_lines" []
        "Lines handed to the access log.";
    ACCESS_LOG_DROPPED = Counter "tidegate_access_log_lines_dropped" []
        "Lines of the access log lost because its buffer was full or writing failed.";
    CONFIG_RELOADS = Counter "tidegate_config_reloads" ["outcome"]
        "Times the configuration was read again, by outcome: applied or refused.";
    CONFIG_RELOAD_OK = Gauge "tidegate_config_last_reload_ok" []
        "Whether the last attempt to read the configuration was applied: 1 or 0.";
    CONFIG_RELOADED_AT = Gauge "tidegate_config_applied_timestamp_seconds" []
        "When the configuration in force was applied, in seconds since the Unix epoch.";
    DRAINING = Gauge "tidegate_draining" []
        "Whether the proxy finishes what is open and accepts nothing new: 1 or 0.";
    WORKERS = Gauge "tidegate_workers" []
        "Worker threads that serve connections.";
    BUILD_INFO = Gauge "tidegate_build_info" ["version"]
        "Always 1; the label says which version runs.";

    HEAP_ALLOCATIONS = Counter "tidegate_heap_allocations" []
        "Times the heap was asked for memory; only in builds with the feature count-allocations.";
    PROCESS_CPU = Counter "process_cpu_seconds" []
        "Processor time that the process has used, in user and kernel mode.";
    PROCESS_RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" []
        "Physical memory that the process holds.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "File descriptors that are open now.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "File descriptors that may be open at most.";
    PROCESS_START_TIME = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since the Unix epoch.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_carry_the_prefix_or_are_the_conventional_process_ones() {
        let names: HashSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(matches!(name.split('_').next(), Some("tidegate" | "process")), "{name}");
            assert!(!name.ends_with("_total"), "{name}: the suffix is added when rendered");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn help_is_one_sentence_and_histograms_are_in_seconds() {
        for family in ALL {
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
            assert!(family.kind != Kind::Histogram || family.unit() == Some("seconds"), "{}", family.name);
        }
    }

    #[test]
    fn every_status_has_a_class() {
        let classes = [0, 100, 204, 301, 404, 503, 999].map(|status| CODE_CLASSES[code_class(status)]);
        assert_eq!(classes, ["1xx", "1xx", "2xx", "3xx", "4xx", "5xx", "5xx"]);
    }
}
