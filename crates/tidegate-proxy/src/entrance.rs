//! What a connection has to say before its first request: a header of the PROXY protocol, from the networks that send one,
//! and only from those. Knows no requests.

use crate::client::Heard;
use crate::downstream::{Late, read_at_once, read_more};
use crate::failure::{Cause, Failure, Stage};
use crate::patience::SlowHead;
use crate::request::Call;
use crate::snapshot::Listener;
use crate::timers::now;
use std::net::IpAddr;
use std::task::Poll;
use tidegate_balance::Moment;
use tidegate_http::proxy_protocol::{Header, Origin, ProxyHeaderError, Values, begins_with_header, parse};

/// How a connection has to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// With a request, and not with a header: its client could claim to be anyone.
    HeaderForbidden,
    HeaderRequired,
    /// With a request.
    Open,
}

impl Entrance {
    pub(crate) fn of(listener: &Listener, peer: Option<IpAddr>) -> Self {
        match peer {
            _ if listener.proxy_protocol_from.is_empty() => Self::Open,
            Some(peer) if listener.introduces(peer) => Self::HeaderRequired,
            _ => Self::HeaderForbidden,
        }
    }
}

/// What a connection that was readable had begun.
pub(crate) enum Entered {
    /// It closed.
    End,
    /// It may go on, comes from there, and this is what else was said.
    From(Origin, Option<Heard>),
    /// A false alarm.
    Nothing,
}

/// Reads the beginning of the connection, until `deadline`. What lies behind a header stays in the input.
pub(crate) async fn enter(
    call: &mut Call<'_>,
    entrance: Entrance,
    deadline: Moment,
) -> Result<Entered, Failure> {
    match read_at_once(call) {
        Poll::Ready(true) => {}
        Poll::Ready(false) => return Ok(Entered::End),
        Poll::Pending => return Ok(Entered::Nothing),
    }
    let failed = |cause| Failure::new(Stage::Head, cause);
    call.journal.started = now();
    let mut waiting = SlowHead::new(call.journal.started, deadline);
    loop {
        let found = judge(call.workspace.input.readable(), entrance);
        if let Some(Header { origin, values, length }) =
            found.map_err(|error| failed(Cause::ProxyHeader(error)))?
        {
            let heard = Heard::of(&values);
            call.workspace.input.consume(length);
            call.workspace.input.unpin(); // a head is read from the front of the buffer
            return Ok(Entered::From(origin, heard));
        }
        match read_more(call, waiting.until()).await {
            Ok(true) => {}
            Err(Late) if waiting.may_stay(call.worker) => {}
            Ok(false) => return Err(failed(Cause::ClientGone)),
            Err(Late) => return Err(call.overall_failure(Stage::Head).unwrap_or(failed(waiting.cause()))),
        }
    }
}

/// The header that the connection begins with, or as good as one. `None`: more is needed to say.
fn judge(bytes: &[u8], entrance: Entrance) -> Result<Option<Header<'_>>, ProxyHeaderError> {
    let nothing = Header { origin: Origin::Peer, values: Values::default(), length: 0 };
    match (entrance, begins_with_header(bytes)) {
        (Entrance::HeaderRequired, _) => parse(bytes),
        (Entrance::HeaderForbidden, None) => Ok(None),
        (Entrance::HeaderForbidden, Some(true)) => Err(ProxyHeaderError::Unexpected),
        (Entrance::HeaderForbidden, Some(false)) | (Entrance::Open, _) => Ok(Some(nothing)),
    }
}
