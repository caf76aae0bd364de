//! The one place where a finished request becomes metrics and a log line. Decides nothing.

use crate::client::ClientAddress;
use crate::failure::{Cause, Failure};
use crate::hash_spill;
use crate::journal::{self, RefusedLine, RequestId};
use crate::occasion;
use crate::request::Call;
use crate::snapshot::Listener;
use crate::sticky::Visit;
use crate::stream::Stream;
use crate::timers::now;
use crate::tls::Agreed;
use crate::view::View;
use crate::worker::{AccessLog, Worker};
use std::time::{Duration, SystemTime};
use tidegate_balance::Moment;
use tidegate_http::{Version, field};
use tidegate_telemetry::access_log::{
    Failure as LoggedFailure, Formatter, GivenUp, Hedge, Record, Sticky, Tls,
};

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
    let cluster = journal.cluster.and_then(|position| call.view.clusters.get(position));
    let endpoint = journal.place().and_then(|place| call.view.endpoint(place));
    let route = journal.route.and_then(|position| call.view.snapshot.routes.routes().get(position));
    let forwarded = head.and_then(|_| call.forwarded_client()).map(|address| address.to_string());
    let refused = |part: fn(&RefusedLine) -> &Vec<u8>| {
        journal.refused_line.as_deref().map(|line| &**part(line)).filter(|part| !part.is_empty())
    };
    // Neither takes memory for a request that went straight.
    let given_up: Vec<_> = journal.given_up.iter().map(given_up).collect();
    let hedge = journal.hedge.as_deref().map(|hedge| logged_hedge(call, hedge));
    let record = Record {
        time: time_of_day_before(total),
        request_id: call.request_id(),
        listener: &call.listener.key,
        client: forwarded.as_deref().unwrap_or(str::from_utf8(call.address.text()).unwrap_or_default()),
        method: head.map(|head| head.method_text.of(bytes)).or(refused(|line| &line.method)),
        host: match &journal.server_name {
            Some(name) => Some(name.as_bytes()),
            None => head.map(|head| head.authority.of(bytes)),
        },
        path: head.map(|_| call.path()).or(refused(|line| &line.path)),
        query: head
            .map(|head| head.query.of(bytes))
            .or(refused(|line| &line.query))
            .and_then(|query| query.strip_prefix(b"?")),
        protocol: match head.map(|head| head.version) {
            Some(Version::Http10) => Some("HTTP/1.0"),
            Some(Version::Http11) => Some("HTTP/1.1"),
            Some(Version::Http2) => Some("HTTP/2"),
            None if matches!(call.down, Stream::Http2(_)) => Some("HTTP/2"),
            None => journal.is_passed_on.then_some("TCP"),
        },
        user_agent: head.and_then(|head| field::find(&head.fields, bytes, b"user-agent")),
        route: route.map(|route| &*route.name),
        cluster: cluster.map(|view| &*view.cluster.name),
        endpoint: endpoint.map(|(_, endpoint)| &*endpoint.pool.upstream.id.address),
        status: (journal.status > 0).then_some(journal.status),
        grpc_status: journal.grpc_status,
        attempts: journal.attempts,
        queue: since(journal.ready.or(journal.picked).or(journal.queued), Some(journal.started)),
        connect: since(journal.connected.or(journal.connect_failed), journal.ready.or(journal.picked)),
        first_byte: since(journal.first_byte, journal.sent()),
        total,
        bytes_in: journal.body_bytes_in,
        bytes_out: journal.body_bytes_out,
        given_up: &given_up,
        hedged: journal.hedged,
        hedge,
        no_retry: journal.no_retry,
        sticky: journal.sticky.map(logged_visit),
        hash_spilled: journal.hash_spilled.map(hash_spill::word),
        picked_as: journal.picked_as.map(occasion::word),
        connection_id: call.address.heard().and_then(|heard| heard.unique_id.as_deref()),
        failure: journal.failure.map(logged_failure),
        tls: call.down.agreed().map(|agreed| logged_tls(agreed, call.down.server_name())),
    };
    writer.log.handle.write(writer.formatter.line(&record));
}

fn logged_failure(failure: Failure) -> LoggedFailure<'static> {
    LoggedFailure { blame: failure.blame().word(), stage: failure.stage.word(), cause: failure.word() }
}

fn given_up(attempt: &journal::GivenUp) -> GivenUp<'_> {
    let failure = logged_failure(attempt.failure);
    let status = match attempt.failure.cause {
        Cause::AnswerRefused(status) => Some(status),
        _ => None,
    };
    GivenUp {
        endpoint: &attempt.endpoint,
        stage: failure.stage,
        cause: failure.cause,
        status,
        grpc_status: attempt.grpc_status.filter(|_| status.is_some()),
        took: attempt.took,
    }
}

fn logged_hedge<'a>(call: &Call<'a>, hedge: &journal::Hedge) -> Hedge<'a> {
    Hedge {
        from: address(call, hedge.from),
        to: hedge.to.map(|to| address(call, to)),
        outcome: hedge.outcome.word(),
        cause: hedge.failure.map(|failure| failure.word()),
        after: hedge.after,
    }
}

/// Of the endpoint at a position in the cluster that the request was for.
fn address<'a>(call: &Call<'a>, endpoint: usize) -> &'a str {
    let view: &'a View = call.view;
    let found = call.journal.cluster.and_then(|cluster| view.endpoint((cluster, endpoint)));
    found.map_or("", |(_, endpoint)| &endpoint.pool.upstream.id.address)
}

fn logged_visit(visit: Visit) -> Sticky<'static> {
    Sticky { outcome: visit.word(), reason: visit.reason() }
}

fn logged_tls<'a>(agreed: &'a Agreed, server_name: Option<&'a str>) -> Tls<'a> {
    Tls {
        version: agreed.version,
        cipher: agreed.cipher,
        server_name,
        alpn: agreed.protocol,
        resumed: agreed.is_resumed,
        client_subject: agreed.client_subject.as_deref(),
    }
}

/// What went wrong with a connection before anything on it was a request, or with a stream of HTTP/2 before it was one.
pub(crate) struct Incident<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) listener: &'a Listener,
    pub(crate) address: &'a ClientAddress,
    pub(crate) protocol: Option<&'static str>,
    pub(crate) agreed: Option<&'a Agreed>,
    pub(crate) server_name: Option<&'a str>,
    /// When the connection did.
    pub(crate) began: Moment,
    pub(crate) failure: Failure,
}

/// The same for what never was a request.
pub(crate) fn record_incident(incident: &Incident<'_>) {
    let Incident { worker, listener, address, failure, .. } = incident;
    worker.metrics.failure(&worker.view().route_metrics(None).route, failure);
    let Some(writer) = &mut *worker.access_log.borrow_mut() else { return };
    let total = now().since(incident.began);
    let id = RequestId::new(worker.random());
    let record = Record {
        time: time_of_day_before(total),
        request_id: id.text(),
        listener: &listener.key,
        client: str::from_utf8(address.text()).unwrap_or_default(),
        method: None,
        host: None,
        path: None,
        query: None,
        protocol: incident.protocol,
        user_agent: None,
        route: None,
        cluster: None,
        endpoint: None,
        status: None,
        grpc_status: None,
        attempts: 0,
        queue: None,
        connect: None,
        first_byte: None,
        total,
        bytes_in: 0,
        bytes_out: 0,
        given_up: &[],
        hedged: false,
        hedge: None,
        no_retry: None,
        sticky: None,
        hash_spilled: None,
        picked_as: None,
        connection_id: address.heard().and_then(|heard| heard.unique_id.as_deref()),
        failure: Some(logged_failure(*failure)),
        tls: incident.agreed.map(|agreed| logged_tls(agreed, incident.server_name)),
    };
    writer.log.handle.write(writer.formatter.line(&record));
}

fn time_of_day_before(elapsed: Duration) -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "log lines carry the time of day")]
    let now = SystemTime::now();
    now.checked_sub(elapsed).unwrap_or(now)
}

fn since(later: Option<Moment>, earlier: Option<Moment>) -> Option<Duration> {
    Some(later?.since(earlier?))
}
