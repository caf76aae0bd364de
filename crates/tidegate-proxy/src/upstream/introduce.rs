//! Telling endpoints who the client is before its first request, by the PROXY protocol. Such a connection carries the
//! requests of that client alone. Knows no pools.

use super::{Connection, Upstream};
use crate::client::Mark;
use crate::request::Call;
use tidegate_http::proxy_protocol::{self, Values};

/// Whose requests a connection to an endpoint may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    Anyone,
    /// Those that come over this client's connection, and no other one from the same address: each has a header of its own.
    Client(Mark),
    /// The one that it was opened for.
    OneRequest,
}

impl Carries {
    pub(crate) fn requests_of(call: &Call<'_>, upstream: &Upstream) -> Self {
        if !upstream.introduces_clients {
            return Self::Anyone;
        }
        Self::Client(call.address.mark())
    }

    /// Whether there may be another request for it.
    pub(super) fn may_be_asked_for(&self) -> bool {
        match self {
            Self::Anyone => true,
            Self::Client(mark) => mark.is_in_use(),
            Self::OneRequest => false,
        }
    }
}

/// The header that a new connection begins with, or nothing.
pub(crate) fn introduction(call: &Call<'_>, carries: &Carries) -> Vec<u8> {
    let Carries::Client(_) = carries else { return Vec::new() };
    let mut header = Vec::new();
    // What was agreed on here counts; of what was not, somebody in front may know.
    let heard = call.address.heard();
    let asked = call.down.server_name().or(call.journal.server_name.as_deref());
    let asked = asked.or(heard.and_then(|heard| heard.server_name.as_deref()));
    let values = Values {
        unique_id: heard.and_then(|heard| heard.unique_id.as_deref()).or(Some(call.request_id().as_bytes())),
        protocol: call.down.protocol().or(heard.and_then(|heard| heard.protocol.as_deref())),
        authority: asked.map(str::as_bytes),
    };
    proxy_protocol::write(call.address.ends(call.down), &values, &mut header);
    header
}

/// Puts the header before the first request of a new connection, so that they leave in one piece; on an encrypted
/// connection it has been said before.
pub(crate) fn introduce(call: &mut Call<'_>, connection: &Connection, introduction: Vec<u8>) {
    if !connection.stream.is_encrypted() {
        call.workspace.upload.lead.splice(0..0, introduction);
    }
}
