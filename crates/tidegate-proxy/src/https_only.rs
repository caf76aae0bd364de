//! Clients that are to come by HTTPS: sent there from listeners in the clear, and told to remember it where they have come.

use crate::failure::{Cause, Failure, Stage};
use crate::request::Call;
use crate::tls::challenges;
use tidegate_http::field;
use tidegate_http::request::RequestError;

/// Where the client finds the same by HTTPS; `None`: it is served here.
pub(crate) fn elsewhere(call: &Call<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let Some(port) = call.listener.redirect_https.filter(|_| !call.path().starts_with(challenges::PATH))
    else {
        return Ok(None);
    };
    let request = &call.workspace.request;
    let bytes = call.workspace.input.pinned();
    let host = request.host.of(bytes);
    if host.is_empty() {
        // HTTP/1.0 knows requests without a Host, and nobody can be sent to a host that has not been named.
        return Err(Failure::new(Stage::Route, Cause::Request(RequestError::HostMissing)));
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let query = request.query.of(bytes);
    Ok(Some([b"Location: https://", host, port.as_bytes(), call.located_path(), query, b"\r\n"].concat()))
}

/// The line that tells a client to come by HTTPS only (RFC 6797 §7.2: never in the clear), or nothing.
pub(crate) fn reminder<'a>(call: &Call<'a>) -> &'a str {
    if call.down.is_encrypted() { &call.listener.strict_transport } else { "" }
}

/// The same, beside an answer of an endpoint: what that says itself comes first (RFC 6797 §8.1: nothing behind it counts).
pub(crate) fn reminder_beside_answer<'a>(call: &Call<'a>) -> &'a str {
    let line = reminder(call);
    let (answer, bytes) = (&call.workspace.response, call.workspace.answer.readable());
    let is_said = || field::find(&answer.fields, bytes, b"strict-transport-security").is_some();
    if line.is_empty() || is_said() { "" } else { line }
}
