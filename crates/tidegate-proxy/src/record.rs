//! The one place where a finished request becomes metrics and a log line. Decides nothing.

use crate::journal::Journal;
use crate::request::Call;
use crate::worker::AccessLog;
use std::time::{Duration, SystemTime};
use tidegate_balance::Moment;
use tidegate_http::{Version, field};
use tidegate_telemetry::access_log::{Failure as LoggedFailure, Formatter, Record, Tls};

/// Turns records into lines of the access log; one per worker.
#[derive(Debug)]
pub(crate) struct LineWriter {
    log: AccessLog,
    formatter: Formatter,
}

impl LineWriter {
    pub(crate) fn new(log: AccessLog) -> Self {
        Self { formatter: Formatter::new(log.format), log }
    }
}

/// Counts and logs a request that is over, however it ended.
pub(crate) fn record(call: &mut Call<'_>) {
    let total = call.ended().since(call.journal.started);
    let journal = &call.journal;
    let metrics = call.view.route_metrics(journal.route);
    if journal.is_passed_on {
        call.worker.metrics.passed_on(&call.listener.key, journal);
    } else {
        if journal.status > 0 {
            metrics.requests.increment(journal.status);
        }
        metrics.duration.record(total);
        metrics.body_bytes_in.add(journal.body_bytes_in);
        metrics.body_bytes_out.add(journal.body_bytes_out);
    }
    if let Some(failure) = &journal.failure {
        call.worker.metrics.failure(&metrics.route, failure);
        if let Some(limit) = failure.limit() {
            call.worker.metrics.limit(limit);
        }
    }
    if let Some(writer) = &mut *call.worker.access_log.borrow_mut() {
        log(call, total, writer);
    }
}

fn log(call: &Call<'_>, total: Duration, writer: &mut LineWriter) {
    let journal = &call.journal;
    let head = journal.head_read.then_some(&call.workspace.request);
    let bytes = call.workspace.input.pinned();
    let endpoint = journal.endpoint.and_then(|position| call.view.endpoint(position));
    let route = journal.route.and_then(|position| call.view.snapshot.routes.routes().get(position));
    let forwarded = head.and_then(|_| call.forwarded_client()).map(|address| address.to_string());
    #[allow(clippy::disallowed_methods, reason = "log lines carry the time of day")]
    let ended = SystemTime::now();
    let record = Record {
        time: ended.checked_sub(total).unwrap_or(ended),
        request_id: journal.id.text(),
        listener: &call.listener.key,
        client: forwarded.as_deref().unwrap_or(str::from_utf8(call.address.text()).unwrap_or_default()),
        method: head.map(|head| head.method_text.of(bytes)),
        host: match &journal.server_name {
            Some(name) => Some(name.as_bytes()),
            None => head.map(|head| head.authority.of(bytes)),
        },
        path: head.map(|_| call.path()),
        query: head.map(|head| head.query.of(bytes)).and_then(|query| query.strip_prefix(b"?")),
        protocol: match head.map(|head| head.version) {
            Some(Version::Http10) => Some("HTTP/1.0"),
            Some(Version::Http11) => Some("HTTP/1.1"),
            Some(Version::Http2) => Some("HTTP/2"),
            None => journal.is_passed_on.then_some("TCP"),
        },
        user_agent: head.and_then(|head| field::find(&head.fields, bytes, b"user-agent")),
        route: route.map(|route| &*route.name),
        cluster: endpoint.map(|(cluster, _)| &*cluster.cluster.name),
        endpoint: endpoint.map(|(_, endpoint)| &*endpoint.pool.upstream.id.address),
        status: (journal.status > 0).then_some(journal.status),
        grpc_status: journal.grpc_status,
        attempts: journal.attempts,
        queue: since(journal.ready.or(journal.picked).or(journal.queued), Some(journal.started)),
        connect: since(journal.connected, journal.ready.or(journal.picked)),
        first_byte: since(journal.first_byte, journal.sent()),
        total,
        bytes_in: journal.body_bytes_in,
        bytes_out: journal.body_bytes_out,
        hedged: journal.hedged,
        no_retry: journal.no_retry,
        connection_id: call.address.heard().and_then(|heard| heard.unique_id.as_deref()),
        failure: logged_failure(journal),
        tls: call.down.agreed().map(|agreed| Tls {
            version: agreed.version,
            cipher: agreed.cipher,
            server_name: call.down.server_name(),
            alpn: agreed.protocol,
            resumed: agreed.is_resumed,
            client_subject: agreed.client_subject.as_deref(),
        }),
    };
    writer.log.handle.write(writer.formatter.line(&record));
}

fn logged_failure(journal: &Journal) -> Option<LoggedFailure<'static>> {
    journal.failure.map(|failure| LoggedFailure {
        blame: failure.blame().word(),
        stage: failure.stage.word(),
        cause: failure.word(),
    })
}

fn since(later: Option<Moment>, earlier: Option<Moment>) -> Option<Duration> {
    Some(later?.since(earlier?))
}
