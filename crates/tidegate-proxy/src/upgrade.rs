//! Upgrades, such as to WebSocket, on their way to endpoints that speak HTTP/2: there they are tunnels, each a stream
//! (RFC 8441), where the endpoint takes those. One that does not may speak HTTP/1.1 as well, if that can be agreed on.

use crate::failure::{Cause, Failure, Stage};
use crate::http2::Http2Request;
use crate::request::{Call, dial, must_stay};
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::after;
use crate::tls::OriginateError;
use crate::upstream::{Carries, Connection};
use crate::view::{ClusterView, EndpointView};
use tidegate_http::Version;
use tidegate_http::request::Method;

/// Whether the request opens a tunnel, or asks for nothing at all. Other offers than WebSocket may be declined
/// (RFC 9110 §7.8), and are by endpoints that know no upgrades; but a client of HTTP/2 that wants a tunnel makes no offer.
pub(crate) fn opens_tunnel(call: &Call<'_>) -> bool {
    let request = &call.workspace.request;
    let Some(protocol) = request.upgrade else { return false };
    let is_websocket = protocol.of(call.workspace.input.pinned()).eq_ignore_ascii_case(b"websocket");
    request.version == Version::Http2 || (is_websocket && request.method == Method::Get)
}

/// The answer takes a tunnel for granted that there is not: what follows it would be read as if it came out of one
/// (RFC 8441 §5: any 2xx opens it).
pub(crate) fn is_mistaken(call: &Call<'_>) -> bool {
    let request = &call.workspace.request;
    let is_success = (200..300).contains(&call.workspace.response.status);
    is_success && request.version == Version::Http2 && request.upgrade.is_some()
}

/// The stream, if the endpoint takes tunnels on it, or a connection of HTTP/1.1.
pub(crate) async fn aboard(
    call: &mut Call<'_>,
    policy: &Policy,
    view: &ClusterView,
    endpoint: &EndpointView,
    request: Http2Request,
) -> Result<Connection, Failure> {
    let start = call.journal.connected.or(call.journal.ready).or(call.journal.picked).unwrap_or_default();
    let deadline = after(start, policy.timeouts.connect).min(call.attempt_deadline);
    let failed = |cause| Failure::new(Stage::Connect, cause);
    match call.alarm.within(deadline, request.may_open_tunnel()).await {
        Ok(Some(true)) => return Ok(Connection::shared(request)),
        Ok(Some(false)) => {}
        Ok(None) => return Err(failed(request.breach().map_or(Cause::EndpointClosed, Cause::Http2Breach))),
        Err(_) => {
            let late = failed(Cause::ConnectTimeout);
            return Err(call.overall_failure_since(start, Stage::Connect).unwrap_or(late));
        }
    }
    drop(request);
    // In the clear there is no asking what the endpoint speaks besides what it is said to.
    let upstream = &endpoint.pool.upstream;
    let originator = upstream.tls.as_ref().ok_or(failed(Cause::UpgradeUnsupported))?.speaking(b"http/1.1");
    let asked = dial(call, policy, view, endpoint, Carries::Anyone, Some(&originator)).await;
    let mut connection = asked.map_err(unless_agreed)?;
    must_stay(call).await?;
    connection.carries = Carries::OneRequest; // the others are for HTTP/2
    Ok(connection)
}

/// Keys for HTTP/2 were agreed on a moment ago: what is refused is HTTP/1.1 (RFC 7301 §3.2: by an alert, where not by less).
fn unless_agreed(failure: Failure) -> Failure {
    match failure.cause {
        Cause::Tls(OriginateError::Alert | OriginateError::Closed | OriginateError::Failed) => {
            Failure::new(failure.stage, Cause::UpgradeUnsupported)
        }
        _ => failure,
    }
}

/// What it means that an exchange failed on `up`. Who was asked for HTTP/1.1 and agreed on nothing may speak it all the same; who then
/// ends the connection, or says something else, does not.
pub(crate) fn unless_spoken(view: &ClusterView, up: &Stream, failure: Failure) -> Failure {
    let has_agreed = !view.cluster.http2 || matches!(up, Stream::Http2Request(_)) || up.protocol().is_some();
    match failure.cause {
        Cause::AnswerHeadCut | Cause::EndpointClosed | Cause::Response(_) | Cause::Tls(_) if !has_agreed => {
            Failure::new(failure.stage, Cause::UpgradeUnsupported)
        }
        _ => failure,
    }
}
