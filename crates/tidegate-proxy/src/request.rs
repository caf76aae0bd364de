//! The life of one request.

use crate::affinity::affinity;
use crate::answer;
use crate::attempts::{Attempts, attempt_deadline, no_endpoint};
use crate::client::ClientAddress;
use crate::exchange::{self, Exchanged, poll_client, while_client_stays};
use crate::failure::{Blame, Cause, Failure, Stage};
use crate::grpc;
use crate::hedge;
use crate::http2::Http2Request;
use crate::https_only;
use crate::journal::Journal;
use crate::panics::unless_it_panics;
use crate::pump::{Pump, PumpError, Side};
use crate::queue::{self, Picked};
use crate::snapshot::{Action, Cluster, Listener, Policy, Route};
use crate::sticky::{self, Home, Sticky};
use crate::stream::Stream;
use crate::timers::{Alarm, NEVER, after, now};
use crate::tls::Originator;
use crate::upgrade;
use crate::upstream::{Carries, Connection, Dial, Slot, connect, introduce, introduction};
use crate::verdict::{settle, with_waits_before};
use crate::view::{ClusterView, EndpointView, View, Views};
use crate::worker::Worker;
use crate::workspace::Workspace;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tidegate_balance::{Balancer, Lease, Moment, NoEndpoint};
use tidegate_http::client::{self, Told};
use tidegate_http::forward::{RequestEdits, write_request};
use tidegate_http::path;
use tidegate_http::request::{Method, RequestHead, TargetForm};
use tidegate_http::{BodyLength, Field, FieldKind};

/// A longer name of a request is not taken over; as long as the unique id of the PROXY protocol may be.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// One request in progress, with everything that serving it uses.
pub(crate) struct Call<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) views: &'a Views,
    /// One view for the whole request, unless it waits for its first endpoint when another is published: the last of `views`
    /// that it goes by.
    pub(crate) view: &'a View,
    pub(crate) listener: &'a Listener,
    pub(crate) address: &'a ClientAddress,
    pub(crate) alarm: &'a Alarm,
    pub(crate) down: &'a mut Stream,
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) journal: Journal,
    /// When `timeout.total` is over.
    pub(crate) policy_deadline: Moment,
    /// When the whole request has to be over: then, or earlier, where the client says so.
    pub(crate) total_deadline: Moment,
    /// When the head of the answer to the attempt has to be there; never later than the total.
    pub(crate) attempt_deadline: Moment,
    /// Of the response head that was parsed last.
    pub(crate) response_head_bytes: usize,
    /// The client has been told that its connection goes on.
    pub(crate) keep_alive: bool,
    /// A line of the answer's head that brings the client back to its endpoint, or nothing.
    pub(crate) set_cookie: &'a str,
}

/// What becomes of the client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Reset, so that what the client got is not taken for the whole.
    Abort,
    Close,
    /// Reset, once it has got what it was sent.
    CutShort,
    /// Close, after reading what the client still sends, which may be the rest of a body.
    HearOut,
    KeepAlive,
    /// Close, after reading what of the client is on its way.
    Linger,
}

impl Fate {
    /// Where this ends an answer, or a connection that is passed on.
    pub(crate) fn of_begun(call: &Call<'_>, failure: Failure) -> Self {
        let is_gone = failure.blame() == Blame::Downstream && failure.cause != Cause::AnswerGivenUp;
        if is_gone || takes_nothing(&call.workspace.download, failure) { Self::Abort } else { Self::CutShort }
    }
}

/// Whether a tunnel has ended because the side that this pump writes to had its time.
fn takes_nothing(pump: &Pump, failure: Failure) -> bool {
    failure.stage == Stage::Tunnel && (failure.cause == Cause::TunnelIdle || pump.waits_for == Side::Sink)
}

/// Ends the connection of a tunnel that was broken off, for the endpoint.
pub(crate) fn break_off(call: &Call<'_>, connection: Connection, slot: Option<Slot>, failure: Failure) {
    if takes_nothing(&call.workspace.upload, failure) {
        connection.abort();
    } else {
        connection.cut_short(call.worker, slot);
    }
}

/// As [`serve_by_route`], and a mistake in our own code is a failure, too: it has an answer where none has begun, and a line in the log.
pub(crate) async fn serve(call: &mut Call<'_>) -> Result<Fate, Failure> {
    // Its own scope: what it has borrowed is given back before that is looked at.
    let served = {
        let serving = pin!(serve_by_route(call));
        unless_it_panics(serving).await
    };
    served.unwrap_or_else(|| {
        call.worker.metrics.panics.increment();
        Err(Failure::new(call.journal.stage(), Cause::InternalError))
    })
}

/// The life of one request, from its parsed head on. Every early exit is a `Failure`.
async fn serve_by_route(call: &mut Call<'_>) -> Result<Fate, Failure> {
    canonicalize(call)?;
    if is_misdirected(call) {
        return Err(Failure::new(Stage::Route, Cause::Misdirected));
    }
    if let Some(text) = call.view.snapshot.challenges.text(call.path()) {
        return answer::fixed(call, 200, "application/octet-stream", &text).await;
    }
    if let Some(location) = https_only::elsewhere(call)? {
        return answer::moved(call, &location).await;
    }
    if call.workspace.request.method == Method::Options && !may_be_forwarded(call) {
        return answer::options(call).await;
    }
    let view = call.view;
    let (route, position) = find_route(call, view);
    call.journal.route = position;
    let route = route.ok_or(Failure::new(Stage::Route, Cause::NoRoute))?;
    if let Action::Forward { cluster } = &route.action {
        call.journal.cluster = Some(*cluster);
    }
    if let Some(limit) = &route.rate_limit {
        limit.admit(call)?;
    }
    set_deadlines(call, &route.policy);
    match &route.action {
        Action::Answer { status, content_type, body } => {
            answer::fixed(call, *status, content_type, body).await
        }
        Action::Redirect { status, location } => answer::redirect(call, *status, location).await,
        Action::Forward { cluster } => {
            let found = view.clusters.get(*cluster).ok_or(Failure::new(Stage::Pick, Cause::NoEndpoint))?;
            admit(call, &route.policy)?;
            forward(call, &route.policy, found).await
        }
    }
}

/// One path for matching, logging and forwarding.
fn canonicalize(call: &mut Call<'_>) -> Result<(), Failure> {
    let workspace = &mut *call.workspace;
    workspace.path.clear();
    if workspace.request.form == TargetForm::Asterisk {
        return Ok(());
    }
    let raw = workspace.request.path.of(workspace.input.pinned());
    let canonical = path::canonical(raw, &mut workspace.path);
    canonical.map(|_| ()).map_err(|error| Failure::new(Stage::Route, Cause::Path(error)))
}

/// RFC 9110 §7.4: the request is for a host that the certificate, which the client asked for by another name, is not for.
fn is_misdirected(call: &Call<'_>) -> bool {
    let (Some(server_name), Some(agreed)) = (call.down.server_name(), call.down.agreed()) else {
        return false;
    };
    // With the dot of the root or without, it is the same name (RFC 1034 §3.1).
    let host = call.workspace.request.host.of(call.workspace.input.pinned());
    let (host, asked) = (host.strip_suffix(b".").unwrap_or(host), server_name.as_bytes());
    if host.is_empty() || host.eq_ignore_ascii_case(asked.strip_suffix(b".").unwrap_or(asked)) {
        return false;
    }
    !agreed.covers(&as_certified(host))
}

/// A host as certificates have it: in lower case; addresses of IPv6 without brackets, in the one shortest form (RFC 5952).
fn as_certified(host: &[u8]) -> String {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal.map(str::parse::<Ipv6Addr>) {
        Some(Ok(address)) => address.to_string(),
        _ => host,
    }
}

/// RFC 9110 §7.6.2: an OPTIONS request says how often it may be forwarded; counts this time, in the head itself.
fn may_be_forwarded(call: &mut Call<'_>) -> bool {
    let workspace = &mut *call.workspace;
    let bytes = workspace.input.pinned();
    let is_limit = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(b"max-forwards");
    let Some(limit) = workspace.request.fields.iter().find(is_limit).map(|field| field.value) else {
        return true;
    };
    let Some(digits) = workspace.input.pinned_mut().get_mut(limit.start as usize..limit.end as usize) else {
        return true;
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return true; // not a number: not understood, passed on
    }
    if digits.iter().all(|digit| *digit == b'0') {
        return false;
    }
    for digit in digits.iter_mut().rev() {
        if *digit > b'0' {
            *digit -= 1;
            break;
        }
        *digit = b'9';
    }
    true
}

/// The route of the request in a view, and its position there.
fn find_route<'a>(call: &Call<'_>, view: &'a View) -> (Option<&'a Route>, Option<usize>) {
    let routes = &view.snapshot.routes;
    let bytes = call.workspace.input.pinned();
    let position = routes.find(&call.workspace.request, bytes, call.path());
    (position.and_then(|position| routes.routes().get(position)).map(|route| &**route), position)
}

/// What the route demands before anything is sent.
fn admit(call: &Call<'_>, policy: &Policy) -> Result<(), Failure> {
    match (call.workspace.request.body, policy.body_bytes_max) {
        (BodyLength::Length(length), Some(max)) if length > max => {
            Err(Failure::new(Stage::Policy, Cause::BodyTooLarge))
        }
        _ => Ok(()),
    }
}

/// Picks, connects and exchanges until that ends well, or another attempt would not help.
async fn forward<'a>(
    call: &mut Call<'a>,
    policy: &'a Policy,
    view: &'a ClusterView,
) -> Result<Fate, Failure> {
    view.count_request(call.journal.started);
    let (mut policy, mut view, mut turn) = (policy, view, None);
    let (mut attempts, mut home) = prepare(call, policy, view, None);
    loop {
        let mut lease = match queue::pick(call, policy, view, home, &attempts, turn.take()).await {
            Ok(Picked::Lease(lease, place)) => {
                turn = place;
                lease
            }
            Ok(Picked::Nobody(reason)) if attempts.may_wait_for_anybody(call, view, reason) => {
                let unreached =
                    sticky::pick_with(call, view, home, &attempts.pick(call), Balancer::pick_unreached);
                let Some(lease) = unreached else {
                    Box::pin(attempts.wait_for_anybody(call, view)).await?;
                    if let Some(newer) = by_newest_view(call, view, &attempts) {
                        (policy, view) = newer;
                        (attempts, home) = prepare(call, policy, view, Some(&attempts));
                    }
                    continue;
                };
                lease
            }
            Ok(Picked::Nobody(reason)) => return Err(attempts.nobody(call, view, reason)),
            Ok(Picked::Republished(place)) => {
                turn = Some(place);
                if let Some(newer) = by_newest_view(call, view, &attempts) {
                    (policy, view) = newer;
                    (attempts, home) = prepare(call, policy, view, Some(&attempts));
                }
                continue;
            }
            Err(failure) => return Err(attempts.in_vain(call, view, failure)),
        };
        let endpoint = set_out(call, policy, view, &attempts, &lease)?;
        start_upload(call, policy, view, &endpoint.pool.upstream.authority);
        let failure = match board(call, policy, view, endpoint, attempts.fresh_only).await {
            Ok((slot, connection)) => {
                if call.journal.has_waited_for_connection() && grpc::timeout(call).is_some() {
                    start_upload(call, policy, view, &endpoint.pool.upstream.authority);
                }
                let mut flight = Flight { lease, endpoint, connection, slot };
                let ended = attempt(call, &mut flight, policy, view, &attempts).await;
                match land(call, flight, view, ended) {
                    Ok(fate) => return Ok(fate),
                    Err(failure) => failure,
                }
            }
            Err(failure) => {
                let failure = with_waits_before(call, policy, &mut lease, failure);
                settle(call, lease, endpoint, &Err(failure));
                failure
            }
        };
        let last = call.journal.endpoint.unwrap_or_default();
        attempts.another(call, view, failure, last)?;
        if let Err(gone) = must_stay(call).await {
            return Err(attempts.in_vain(call, view, Failure::new(Stage::Pick, gone.cause)));
        }
        attempts.back_off(call, view).await?;
        if attempts.has_waited_for_restart()
            && let Some(newer) = by_newest_view(call, view, &attempts)
        {
            (policy, view) = newer;
            (attempts, home) = prepare(call, policy, view, Some(&attempts));
        }
    }
}

/// Before the first attempt under a configuration: what is to be tried, with how much of the body kept, and where the client was before.
/// `before`: what was tried, in vain, under another one.
fn prepare<'a>(
    call: &mut Call<'_>,
    policy: &'a Policy,
    view: &ClusterView,
    before: Option<&Attempts<'_>>,
) -> (Attempts<'a>, Home) {
    let hash = affinity(call, &view.cluster.hash_key);
    let anew = || Attempts::new(&policy.retry, hash);
    let attempts = before.map_or_else(anew, |before| before.under(&policy.retry, hash));
    prepare_upload(call, policy, view, &attempts);
    (attempts, Home::of(call, view))
}

/// What the newest configuration has for a request that no endpoint has had yet; `None`: it stays with what it came under, since
/// there is none that is newer, its route leads elsewhere now, or endpoints of then have had something of it.
fn by_newest_view<'a>(
    call: &mut Call<'a>,
    view: &ClusterView,
    attempts: &Attempts<'_>,
) -> Option<(&'a Policy, &'a ClusterView)> {
    let newest = call.newer_view(attempts)?;
    let (route, position) = find_route(call, newest);
    let Route { action: Action::Forward { cluster }, policy, .. } = route? else { return None };
    let found = newest.clusters.get(*cluster)?;
    if !found.cluster.is_same(&view.cluster) || admit(call, policy).is_err() {
        return None;
    }
    call.move_on(newest, position, *cluster);
    set_deadlines(call, policy);
    Some((policy, found))
}

/// Those of the whole request.
fn set_deadlines(call: &mut Call<'_>, policy: &Policy) {
    let begun = call.journal.started;
    let asked = grpc::timeout(call).map_or(NEVER, |timeout| after(begun, timeout));
    call.policy_deadline = after(begun, policy.timeouts.total);
    call.total_deadline = call.policy_deadline.min(asked);
}

/// An attempt begins on the endpoint that was picked.
pub(crate) fn set_out<'v>(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &'v ClusterView,
    attempts: &Attempts<'_>,
    lease: &Lease<'_>,
) -> Result<&'v EndpointView, Failure> {
    let endpoint = view.endpoint(lease.index()).ok_or(no_endpoint(NoEndpoint::Empty))?;
    call.journal.attempts += 1;
    if let Some(failure) = attempts.last_failure() {
        view.metrics().retry(failure);
    }
    call.journal.endpoint = Some(lease.index());
    call.journal.picked = Some(lease.picked_at());
    call.journal.forget_attempt();
    call.attempt_deadline = attempt_deadline(lease.picked_at(), policy.timeouts.attempt, call.total_deadline);
    endpoint.metrics().attempts.increment();
    Ok(endpoint)
}

/// An attempt that has its connection.
pub(crate) struct Flight<'v> {
    pub(crate) lease: Lease<'v>,
    pub(crate) endpoint: &'v EndpointView,
    pub(crate) connection: Connection,
    /// One of the connections that the endpoint may have in use, where those are counted.
    pub(crate) slot: Option<Slot>,
}

/// The right to a connection, and the connection.
pub(crate) async fn board(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
    fresh_only: bool,
) -> Result<(Option<Slot>, Connection), Failure> {
    if !view.cluster.http2 {
        let slot = claim_slot(call, policy, view, endpoint).await?;
        return Ok((slot, checkout(call, policy, view, endpoint, fresh_only).await?));
    }
    // Those that are shared are counted where they are shared.
    let connection = checkout(call, policy, view, endpoint, fresh_only).await?;
    let is_shared = matches!(connection.stream, Stream::Http2Request(_));
    let slot = if is_shared { None } else { claim_slot(call, policy, view, endpoint).await? };
    Ok((slot, connection))
}

/// One try on one endpoint; or, when that keeps it waiting, on whichever of two answers first.
async fn attempt<'v>(
    call: &mut Call<'v>,
    flight: &mut Flight<'v>,
    policy: &Policy,
    view: &'v ClusterView,
    attempts: &Attempts<'_>,
) -> Result<Exchanged, Failure> {
    if let Some(late) = hedge::late_after(call, policy, view) {
        Box::pin(hedge::fly(call, policy, view, attempts, flight, late)).await?;
    }
    let Flight { lease, endpoint, connection, .. } = flight;
    let (limits, asks_for_bodies) = (&view.cluster.head_limits, &endpoint.pool.upstream.asks_for_bodies);
    let index = lease.index();
    let refuse = &|call: &mut Call<'_>, is_vouched| attempts.refuse_answer(call, view, index, is_vouched);
    let up = &mut connection.stream;
    let ended = exchange::run(call, lease, up, policy, limits, asks_for_bodies, refuse).await;
    ended.map_err(|failure| upgrade::unless_spoken(view, up, failure))
}

/// The connection goes back to the pool if it can be used again, and the endpoint hears how it went.
fn land(
    call: &mut Call<'_>,
    flight: Flight<'_>,
    view: &ClusterView,
    ended: Result<Exchanged, Failure>,
) -> Result<Fate, Failure> {
    let Flight { lease, endpoint, connection, mut slot } = flight;
    let is_reusable = ended.as_ref().is_ok_and(|exchanged| exchanged.upstream_reusable)
        && connection.carries != Carries::OneRequest;
    if let Err(failure @ Failure { stage: Stage::Tunnel, .. }) = ended {
        break_off(call, connection, slot.take(), failure);
    } else if is_reusable
        && !endpoint.pool.give_back(connection, call.ended(), view.cluster.idle_connections_max)
    {
        call.worker.metrics.limit("upstream_idle_connections");
    }
    drop(slot);
    let ended = ended.map(|exchanged| exchanged.downstream);
    settle(call, lease, endpoint, &ended);
    ended
}

/// Once for a request: what its body is, and how much of it is kept for another attempt.
fn prepare_upload(call: &mut Call<'_>, policy: &Policy, view: &ClusterView, attempts: &Attempts<'_>) {
    let mut kept = attempts.body_bytes_kept(call, view);
    if kept > 0 && !call.worker.workspaces.may_keep_body(call.workspace) {
        kept = 0;
    }
    let body = call.workspace.request.body;
    let says_length = body != BodyLength::None || call.workspace.request.kinds.has(FieldKind::ContentLength);
    let source = call.down.framing(body, says_length && view.cluster.http2);
    let sink = if view.cluster.http2 { BodyLength::UntilClose } else { body };
    call.workspace.upload.start(source, sink, policy.body_bytes_max.unwrap_or(u64::MAX));
    call.workspace.upload.record(kept);
}

/// Writes the head for the endpoint, and behind it what earlier attempts have taken of the body.
fn start_upload(call: &mut Call<'_>, policy: &Policy, view: &ClusterView, authority: &str) {
    let journal = &call.journal;
    if journal.attempts > 1 || journal.queued.is_some() || journal.has_waited_for_connection() {
        grpc::tell_time_left(call);
    }
    let is_tunnel = upgrade::opens_tunnel(call);
    let workspace = &mut *call.workspace;
    workspace.upload.rewind(&mut workspace.input);
    workspace.upload.ends_message(view.cluster.http2 && !is_tunnel);
    workspace.download.start(BodyLength::None, BodyLength::None, u64::MAX);
    workspace.answer.clear();
    workspace.response_parser.reset();
    let mut lead = std::mem::take(&mut workspace.upload.lead);
    write_head(call, policy, view, authority, &mut lead);
    call.workspace.upload.lead = lead;
    call.workspace.upload.replay();
}

/// Writes the head for the endpoint whose name is `authority`.
pub(crate) fn write_head(
    call: &Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    authority: &str,
    out: &mut Vec<u8>,
) {
    let workspace = &*call.workspace;
    let request = &workspace.request;
    let bytes = workspace.input.pinned();
    let own_host = !policy.preserve_host || request.authority.is_empty();
    let edits = RequestEdits {
        path: canonical_path(&workspace.path, request, bytes),
        query: request.query.of(bytes),
        authority: if own_host { authority.as_bytes() } else { request.authority.of(bytes) },
        client: call.address.text(),
        client_node: call.address.node(),
        scheme: call.down.scheme().as_bytes(),
        told: told(request, bytes, call.listener, call.address.ip()),
        client_cert: call.down.client_cert(),
        request_id: call.request_id().as_bytes(),
        hidden_cookie: view.cluster.sticky.as_ref().map_or(b"", Sticky::hidden_cookie),
        upgrade: request.upgrade.is_some() && (!view.cluster.http2 || upgrade::opens_tunnel(call)),
    };
    write_request(request, bytes, &edits, out);
}

/// The right to use one of the connections that the endpoint may have in use; waits for it as long as for a connect.
async fn claim_slot(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
) -> Result<Option<Slot>, Failure> {
    let Some(slots) = &endpoint.pool.upstream.slots else { return Ok(None) };
    if let Some(slot) = slots.take() {
        return Ok(Some(slot));
    }
    let _pending = wait_for_connection(call, view)?;
    let deadline = after(now(), policy.timeouts.connect).min(call.attempt_deadline);
    let Some(slot) = while_client_stays(call, deadline, slots.wait()).await? else {
        let busy = Failure::new(Stage::Connect, Cause::EndpointBusy);
        return Err(call.overall_failure(Stage::Connect).unwrap_or(busy));
    };
    call.journal.ready = Some(now());
    Ok(slot)
}

/// One of the requests that may wait for a connection at once.
fn wait_for_connection<'a>(call: &Call<'_>, view: &'a ClusterView) -> Result<Pending<'a>, Failure> {
    Pending::below(&view.cluster).ok_or_else(|| too_many_pending(call, view))
}

/// The same of those that wait for an endpoint to be back.
pub(crate) fn wait_for_restart<'a>(call: &Call<'_>, view: &'a ClusterView) -> Result<Pending<'a>, Failure> {
    Pending::below_half(&view.cluster).ok_or_else(|| too_many_pending(call, view))
}

fn too_many_pending(call: &Call<'_>, view: &ClusterView) -> Failure {
    view.metrics().pending_refused.increment();
    call.worker.metrics.limit("pending_requests");
    Failure::new(Stage::Connect, Cause::PendingLimit)
}

/// A connection to the endpoint: a waiting one, or a new one.
async fn checkout(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
    fresh_only: bool,
) -> Result<Connection, Failure> {
    if view.cluster.http2 {
        let request = share(call, policy, view, endpoint).await?;
        if upgrade::opens_tunnel(call) {
            return Box::pin(upgrade::aboard(call, policy, view, endpoint, request)).await;
        }
        return Ok(Connection::shared(request));
    }
    let start = call.journal.ready.or(call.journal.picked).unwrap_or_default();
    let carries = Carries::requests_of(call, &endpoint.pool.upstream);
    let kept = || endpoint.pool.checkout(&carries, start, view.cluster.idle_timeout);
    if !fresh_only && let Some(connection) = kept() {
        endpoint.metrics().reused.increment();
        return Ok(connection);
    }
    let connection = dial(call, policy, view, endpoint, carries, None).await?;
    must_stay(call).await?;
    Ok(connection)
}

/// One of the streams of a connection that is there, or of a new one: of all who need that, one dials. It goes on when its client
/// leaves, for those who wait for the same connection.
async fn share(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
) -> Result<Http2Request, Failure> {
    let start = call.journal.ready.or(call.journal.picked).unwrap_or_default();
    let late = Failure::new(Stage::Connect, Cause::ConnectTimeout);
    let deadline = after(start, policy.timeouts.connect).min(call.attempt_deadline);
    let (pool, slots) = (&endpoint.pool.http2, endpoint.pool.upstream.slots.as_ref());
    let (mut slot, mut has_waited) = (None, false);
    loop {
        if let Some(request) = pool.checkout(&endpoint.pool.upstream, slots, &mut slot) {
            endpoint.metrics().reused.increment();
            if has_waited {
                call.journal.ready = Some(now());
            }
            return Ok(request);
        }
        slot = slot.or_else(|| slots?.take());
        if (slots.is_some() && slot.is_none()) || pool.is_paused() {
            slot = wait_for_room(call, view, endpoint, deadline, slot).await?;
            continue;
        }
        let dialling = match while_client_stays(call, deadline, pool.dial_or_wait()).await? {
            Some(Some(dialling)) => dialling,
            Some(None) if now() < deadline => {
                has_waited = true;
                continue; // with what somebody else has dialled
            }
            Some(None) | None => {
                let since = call.journal.ready.unwrap_or(start).max(pool.adopted_at());
                return Err(call.overall_failure_since(since, Stage::Connect).unwrap_or(late));
            }
        };
        let connection = Box::pin(dial(call, policy, view, endpoint, Carries::Anyone, None)).await?;
        let (stream, dialled, counted) = connection.into_parts();
        let head_bytes_max = view.cluster.head_limits.head_bytes_max;
        let adopted = pool.adopt(call.worker, (stream, dialled), head_bytes_max, slot, counted);
        drop(dialling);
        must_stay(call).await?;
        return Ok(adopted);
    }
}

/// Whoever has left while a connection was made, or an attempt failed, asks for nothing any more.
pub(crate) async fn must_stay(call: &mut Call<'_>) -> Result<(), Failure> {
    let stays = poll_fn(|cx| Poll::Ready(poll_client(call, cx))).await;
    stays.map_err(|gone| Failure::new(Stage::Connect, gone.cause))
}

/// Until there may be room for a request on a connection that is in use, or one more may be used: then with the right to that, which
/// is `slot` already where there is one.
async fn wait_for_room(
    call: &mut Call<'_>,
    view: &ClusterView,
    endpoint: &EndpointView,
    deadline: Moment,
    slot: Option<Slot>,
) -> Result<Option<Slot>, Failure> {
    let _pending = wait_for_connection(call, view)?;
    let slots = endpoint.pool.upstream.slots.as_ref().filter(|_| slot.is_none());
    let any = async {
        tokio::select! {
            () = endpoint.pool.http2.room() => slot,
            one_more = endpoint.pool.http2.wait_for_slot(slots) => one_more,
        }
    };
    let waited = while_client_stays(call, deadline, any).await?;
    call.journal.ready = Some(now());
    waited.ok_or_else(|| {
        let busy = Failure::new(Stage::Connect, Cause::EndpointBusy);
        call.overall_failure(Stage::Connect).unwrap_or(busy)
    })
}

/// A new connection; `instead`: encrypted in this way, not as is usual there.
pub(crate) async fn dial(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
    carries: Carries,
    instead: Option<&Originator>,
) -> Result<Connection, Failure> {
    let start = call.journal.ready.or(call.journal.picked).unwrap_or_default();
    let _pending = wait_for_connection(call, view)?;
    let timeout = policy.timeouts.connect.min(time_to_connect(call, policy, start));
    let introduction = introduction(call, &carries);
    let endpoints = view.cluster.balancer.endpoints();
    let state = call.journal.endpoint.and_then(|index| endpoints.get(index)).map(|picked| &*picked.state);
    let connected = {
        let (upstream, presence) = (&endpoint.pool.upstream, &view.cluster.presence);
        let (scratch, timers) = (&call.worker.tls_scratch, &call.worker.timers);
        let dial = Dial { upstream, state, presence, scratch, timers, introduction: &introduction, instead };
        connect(&dial, carries, call.alarm, (start, call.attempt_deadline), timeout).await
    };
    let now = now();
    match connected {
        Ok(connection) => {
            call.journal.connected = Some(now);
            if let Some(state) = state {
                state.reached();
            }
            endpoint.metrics().connected(Duration::from_nanos(now.0 - start.0));
            endpoint.metrics().handshake(&connection.stream);
            introduce(call, &connection, introduction);
            Ok(connection)
        }
        Err(cause) => {
            call.journal.connect_failed = Some(now);
            endpoint.metrics().connect_failed(cause);
            let failure = Failure::new(Stage::Connect, cause);
            let since = start.max(endpoint.pool.http2.adopted_at());
            Err(call.overall_failure_since(since, Stage::Connect).unwrap_or(failure))
        }
    }
}

/// What the other timeouts leave of the attempt's time for all addresses of its endpoint together. A client in a hurry does not make
/// each one's part smaller: an address that would have served it would pass for one that does not answer.
fn time_to_connect(call: &Call<'_>, policy: &Policy, start: Moment) -> Duration {
    let picked = call.journal.picked.unwrap_or(start);
    attempt_deadline(picked, policy.timeouts.attempt, call.policy_deadline).since(start)
}

/// One request that waits for a connection.
pub(crate) struct Pending<'a>(&'a AtomicUsize);

impl<'a> Pending<'a> {
    fn below(cluster: &'a Cluster) -> Option<Self> {
        // A count, ordering nothing.
        if cluster.pending.fetch_add(1, Relaxed) >= cluster.pending_max {
            cluster.pending.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(&cluster.pending))
    }

    /// As long as half of them are left for those who need not wait for long.
    fn below_half(cluster: &'a Cluster) -> Option<Self> {
        let has_many = cluster.pending.load(Relaxed) >= cluster.pending_max / 2;
        if has_many { None } else { Self::below(cluster) }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// `rewritten` unless the path was canonical as it came; an absolute target without a path means the root.
fn canonical_path<'a>(rewritten: &'a [u8], request: &RequestHead, bytes: &'a [u8]) -> &'a [u8] {
    match (rewritten, request.path.of(bytes)) {
        // RFC 9112 §3.2.4; with a query it is the root's.
        (_, b"") if request.method == Method::Options && request.query.is_empty() => b"*",
        (b"", b"") => b"/",
        (b"", as_sent) => as_sent,
        (rewritten, _) => rewritten,
    }
}

/// What the peer says of its client, if it is a proxy that is trusted.
fn told<'a>(
    request: &RequestHead,
    bytes: &'a [u8],
    listener: &Listener,
    peer: Option<IpAddr>,
) -> Option<Told<'a>> {
    let trusts = |address| listener.trusts(address);
    peer.is_some_and(trusts).then(|| client::told(&request.fields, bytes, trusts))
}

impl<'a> Call<'a> {
    /// The client that trusted proxies in front of us saw.
    pub(crate) fn forwarded_client(&self) -> Option<IpAddr> {
        let request = &self.workspace.request;
        told(request, self.workspace.input.pinned(), self.listener, self.address.ip())?.address
    }

    /// The view that was published last, where it is another one, and the request may go by that.
    pub(crate) fn newer_view(&self, attempts: &Attempts<'_>) -> Option<&'a View> {
        let is_newer = self.worker.generation() != self.view.snapshot.generation;
        (is_newer && attempts.may_move_on()).then(|| self.views.add(self.worker.view()))
    }

    /// Goes by that view from now on; `route` and `cluster`: its own ones there.
    pub(crate) fn move_on(&mut self, view: &'a View, route: Option<usize>, cluster: usize) {
        self.view = view;
        (self.journal.route, self.journal.cluster) = (route, Some(cluster));
        if self.journal.endpoint.is_some() {
            self.journal.forget_place(now()); // it was one of before
        }
    }

    /// What the request is called here, at its endpoint and in answers of our own: as a trusted proxy in front of us calls
    /// it, if that is one word that can stand anywhere, or by a name of our own.
    pub(crate) fn request_id(&self) -> &str {
        self.told_request_id().unwrap_or(self.journal.id.text())
    }

    fn told_request_id(&self) -> Option<&str> {
        let request = &self.workspace.request;
        if !self.journal.head_read || !request.kinds.has(FieldKind::XRequestId) {
            return None;
        }
        self.address.ip().filter(|address| self.listener.trusts(*address))?;
        let mut lines = request.fields.iter().filter(|field| field.kind == FieldKind::XRequestId);
        let (field, None) = (lines.next()?, lines.next()) else { return None };
        let id = field.value.of(self.workspace.input.pinned());
        let is_one_word = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/+=@".contains(byte));
        is_one_word.then(|| str::from_utf8(id).ok())?
    }

    /// The client's own connection, here or at a trusted proxy in front of us, is encrypted.
    pub(crate) fn came_by_https(&self) -> bool {
        let request = &self.workspace.request;
        let told = told(request, self.workspace.input.pinned(), self.listener, self.address.ip());
        let here = self.down.scheme().as_bytes();
        told.and_then(|told| told.proto).unwrap_or(here).eq_ignore_ascii_case(b"https")
    }

    /// How a connection ends that does not go on: with a look at what the client still sends, because closing over
    /// unread bytes resets the connection and takes the answer with it (RFC 9112 §9.6).
    pub(crate) fn last_fate(&self) -> Fate {
        match self.journal.head_read {
            _ if self.journal.half_closed => Fate::Close,
            true => Fate::HearOut,
            false => Fate::Linger, // a head that is refused need not have an end
        }
    }

    /// When the request, or its last attempt, ended: now, unless the moment is at hand.
    pub(crate) fn ended(&mut self) -> Moment {
        *self.journal.ended.get_or_insert_with(now)
    }

    /// The canonical path, or `*`.
    pub(crate) fn path(&self) -> &[u8] {
        canonical_path(&self.workspace.path, &self.workspace.request, self.workspace.input.pinned())
    }

    /// The canonical path for a Location: who asks about all of a server is sent to its root.
    pub(crate) fn located_path(&self) -> &[u8] {
        match self.path() {
            b"*" => b"/",
            path => path,
        }
    }

    /// Whether the client may have another request for this connection: it still sends, or has sent it before its end.
    pub(crate) fn client_may_go_on(&self) -> bool {
        !self.journal.half_closed || !self.workspace.input.is_empty()
    }

    /// The client has given the request less time than `timeout.total` does: that it was not enough says nothing about the endpoint.
    pub(crate) fn is_hurried(&self) -> bool {
        self.total_deadline < self.policy_deadline
    }

    /// When half of what `timeout.total` gives is over: an endpoint that keeps a request waiting from then on to the end has failed.
    /// Not where the client gives less, which could be too little.
    pub(crate) fn half_time(&self) -> Option<Moment> {
        let (begun, end) = (self.journal.started, self.policy_deadline);
        (end != NEVER && !self.is_hurried()).then(|| after(begun, end.since(begun) / 2))
    }

    /// As `overall_failure`, where the endpoint alone has been waited for since a moment.
    pub(crate) fn overall_failure_since(&self, since: Moment, stage: Stage) -> Option<Failure> {
        let is_of_the_endpoint = self.half_time().is_some_and(|half_time| since <= half_time);
        let failure = self.overall_failure(stage)?;
        Some(if is_of_the_endpoint { failure.of_the_endpoint() } else { failure })
    }

    /// The failure that overrules a stage's own timeout: the worker stops, or the request's time is over.
    pub(crate) fn overall_failure(&self, stage: Stage) -> Option<Failure> {
        if self.worker.is_stopping() {
            return Some(Failure::new(stage, Cause::DrainDeadline));
        }
        (now() >= self.total_deadline).then_some(Failure::new(stage, Cause::TotalTimeout))
    }

    /// Sends what `download` holds; nothing is read for it.
    pub(crate) async fn flush_download(&mut self, idle: Duration) -> Result<(), Failure> {
        let deadline = after(now(), idle).min(self.total_deadline);
        let workspace = &mut *self.workspace;
        let down = &mut *self.down;
        let flush = poll_fn(|cx| workspace.download.poll_flush_all(cx, &mut workspace.answer, down));
        match self.alarm.within(deadline, flush).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PumpError::SinkBroken(_))) => Err(Failure::new(Stage::Body, Cause::ClientGone)),
            Ok(Err(_)) => Err(Failure::new(Stage::Body, Cause::AnswerBroken)),
            Err(_) => {
                let stalled = Failure::new(Stage::Body, Cause::ClientStalled);
                Err(self.overall_failure(Stage::Body).unwrap_or(stalled))
            }
        }
    }
}
