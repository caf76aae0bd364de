//! Answers that the proxy gives itself: fixed ones, redirects, and what a failed request gets. Forwards nothing.

use crate::failure::{Cause, Failure, Stage};
use crate::grpc;
use crate::https_only;
use crate::request::{Call, Fate};
use crate::snapshot::LocationPart;
use crate::stream::Stream;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;
use tidegate_http::request::{Method, RequestError};
use tidegate_http::{BodyLength, Version, field, status};
use tokio::task::coop::consume_budget;

/// The answer of a route that answers by itself.
pub(crate) async fn fixed(
    call: &mut Call<'_>,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Result<Fate, Failure> {
    if matches!(status, 204 | 205 | 304) {
        return respond(call, status, b"", b"").await; // there is nothing that could have a type
    }
    let typed = [b"Content-Type: ", content_type.as_bytes(), b"\r\n"].concat();
    respond(call, status, &typed, body).await
}

/// The answer to an OPTIONS request that may not be forwarded.
pub(crate) async fn options(call: &mut Call<'_>) -> Result<Fate, Failure> {
    respond(call, 200, ALLOW, b"").await
}

const ALLOW: &[u8] = b"Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n";

/// The answer of a route that points elsewhere.
pub(crate) async fn redirect(
    call: &mut Call<'_>,
    status: u16,
    location: &[LocationPart],
) -> Result<Fate, Failure> {
    let request = &call.workspace.request;
    let bytes = call.workspace.input.pinned();
    // HTTP/1.0 knows requests without a Host, and nobody can be sent to a host that has not been named.
    if request.host.of(bytes).is_empty() && location.iter().any(|part| matches!(part, LocationPart::Host)) {
        return Err(Failure::new(Stage::Route, Cause::Request(RequestError::HostMissing)));
    }
    let mut line = b"Location: ".to_vec();
    for part in location {
        line.extend_from_slice(match part {
            LocationPart::Host => request.host.of(bytes),
            LocationPart::Literal(text) => text.as_bytes(),
            LocationPart::Path => call.located_path(),
            LocationPart::Query => request.query.of(bytes),
        });
    }
    line.extend_from_slice(b"\r\n");
    respond(call, status, &line, b"").await
}

/// The answer to a request that is to be made by HTTPS; `location` is a line. The method stays what it is (308).
pub(crate) async fn moved(call: &mut Call<'_>, location: &[u8]) -> Result<Fate, Failure> {
    respond(call, 308, location, b"").await
}

/// No answer, but what is logged where nobody waited for one.
const CLIENT_GONE: u16 = 499;

/// What the client of a failed request gets: an answer where one can still be given, an end that is seen as one where not.
pub(crate) async fn fail(call: &mut Call<'_>, failure: Failure) -> Fate {
    if failure.cause == Cause::ClientGone && !call.journal.begun {
        return Fate::Close; // it may still read what was answered before
    }
    if call.journal.begun && end_call(call, failure) {
        return Fate::Close;
    }
    if call.journal.begun {
        return Fate::of_begun(call, failure);
    }
    if failure.status() == CLIENT_GONE {
        return Fate::Abort;
    }
    if call.journal.head_read && grpc::is_call(call) {
        return fail_call(call, failure).await;
    }
    let mut lines = format!(
        "Proxy-Status: tidegate; error={}; details=\"{}\"\r\nX-Request-Id: {}\r\nCache-Control: no-store\r\n",
        failure.proxy_error(),
        failure.word(),
        call.request_id(),
    );
    if let Cause::RateLimited { retry_seconds } = failure.cause {
        // Formatting into a String cannot fail.
        let _ = write!(lines, "Retry-After: {retry_seconds}\r\n");
    }
    match failure.status() {
        405 => lines.push_str("Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n"),
        503 => {
            let seconds = call.journal.retry_after.unwrap_or(1);
            let _ = std::fmt::Write::write_fmt(&mut lines, format_args!("Retry-After: {seconds}\r\n"));
        }
        _ => {}
    }
    let body =
        if wants_html(call) { html(call, failure, &mut lines) } else { problem(call, failure, &mut lines) };
    respond(call, failure.status(), lines.as_bytes(), body.as_bytes()).await.unwrap_or(Fate::Abort)
}

/// A call whose answer breaks off is told why behind what it has got: a reset would be a mistake of ours to it (INTERNAL), and is
/// not tried again. `false`: there is no way to say that.
fn end_call(call: &mut Call<'_>, failure: Failure) -> bool {
    if failure.status() == CLIENT_GONE || !call.journal.head_read || !grpc::is_call(call) {
        return false;
    }
    let Stream::Http2(stream) = &*call.down else { return false };
    let status = grpc::status(failure);
    let ended =
        stream.end_early(format!("grpc-status: {status}\r\ngrpc-message: {}\r\n", failure.word()).as_bytes());
    if ended {
        call.journal.grpc_status = Some(status);
    }
    ended
}

/// A gRPC call always gets a 200; how it ended is said beside it.
async fn fail_call(call: &mut Call<'_>, failure: Failure) -> Fate {
    let lines = format!(
        "Content-Type: application/grpc\r\ngrpc-status: {}\r\ngrpc-message: {}\r\nX-Request-Id: {}\r\n\
         Proxy-Status: tidegate; error={}; details=\"{}\"\r\n",
        grpc::status(failure),
        failure.word(),
        call.request_id(),
        failure.proxy_error(),
        failure.word(),
    );
    respond(call, 200, lines.as_bytes(), b"").await.unwrap_or(Fate::Abort)
}

/// Sends a whole answer. The connection goes on when the request is read to its end.
async fn respond(call: &mut Call<'_>, status: u16, lines: &[u8], body: &[u8]) -> Result<Fate, Failure> {
    // Nothing else makes a client wait that is answered from here: others must have their turn.
    consume_budget().await;
    let request_is_whole = call.journal.head_read && body_is_read(call) && call.client_may_go_on();
    let reminder = https_only::reminder(call);
    let workspace = &mut *call.workspace;
    let head_read = call.journal.head_read;
    let request = &workspace.request;
    let client_is_http10 = head_read && request.version == Version::Http10;
    // Of what a mistake of ours has left behind nobody knows enough to go on with it.
    let is_trusted = call.journal.failure.is_none_or(|failure| failure.cause != Cause::InternalError);
    let keep_alive = request_is_whole && request.keep_alive && is_trusted && !call.worker.is_draining();
    let without_body = head_read && request.method == Method::Head;
    workspace.download.start(BodyLength::None, BodyLength::None, u64::MAX);
    workspace.download.ends_message(call.down.ends_messages());
    let out = &mut workspace.download.lead;
    let connection = match (keep_alive, client_is_http10) {
        (true, true) => "Connection: keep-alive\r\n",
        (true, false) => "",
        (false, _) => "Connection: close\r\n",
    };
    let reason = status::reason(status);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\n{}", date_line());
    out.extend_from_slice(lines);
    out.extend_from_slice(reminder.as_bytes());
    if !matches!(status, 204 | 304) {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    let _ = write!(out, "{connection}\r\n");
    if !without_body {
        out.extend_from_slice(body);
        call.journal.body_bytes_out = body.len() as u64;
    }
    call.journal.status = status;
    call.journal.begun = true;
    call.total_deadline = crate::timers::NEVER; // an answer about lateness is not itself late
    call.flush_download(ANSWER_TIMEOUT).await?;
    call.journal.ended = None;
    Ok(if keep_alive { Fate::KeepAlive } else { call.last_fate() })
}

/// The Date field of now, as a whole line.
pub(crate) fn date_line() -> String {
    #[allow(clippy::disallowed_methods, reason = "the Date field is what a clock on the wall says")]
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("Date: {date}\r\n")
}

/// For the client to take an answer that fits the socket's buffer in nearly every case.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

fn body_is_read(call: &Call<'_>) -> bool {
    let started = call.journal.attempts > 0;
    call.workspace.request.body == BodyLength::None || (started && call.workspace.upload.is_taken())
}

fn wants_html(call: &Call<'_>) -> bool {
    let request = &call.workspace.request;
    let accept = field::find(&request.fields, call.workspace.input.pinned(), b"accept");
    call.journal.head_read
        && accept.is_some_and(|accept| memchr::memmem::find(accept, b"text/html").is_some())
}

/// RFC 9457. Every value is from a closed list, so nothing needs escaping.
fn problem(call: &Call<'_>, failure: Failure, lines: &mut String) -> String {
    lines.push_str("Content-Type: application/problem+json\r\n");
    format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"detail\":\"{}\",\"cause\":\"{}\",\"request_id\":\"{}\"}}\n",
        status::reason(failure.status()),
        failure.status(),
        sentence(failure),
        failure.word(),
        call.request_id(),
    )
}

fn html(call: &Call<'_>, failure: Failure, lines: &mut String) -> String {
    lines.push_str("Content-Type: text/html; charset=utf-8\r\n");
    let (status, title) = (failure.status(), status::reason(failure.status()));
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{status} {title}</title>\n\
         <style>body{{font:1rem/1.5 system-ui;max-width:36rem;margin:15vh auto;padding:0 1rem}}small{{opacity:.7}}</style>\n\
         <h1>{status} {title}</h1><p>{}</p>\n<small>Request {} · {}</small></html>\n",
        sentence(failure),
        call.request_id(),
        failure.word(),
    )
}

/// A calm sentence for the client; the log has the cause.
fn sentence(failure: Failure) -> &'static str {
    match (failure.status(), failure.stage) {
        (404, _) => "Nothing is served under this host and path.",
        (408, _) => "The request did not arrive in time.",
        (413, _) => "The request body is larger than this site accepts.",
        (414, _) => "The address of the request is longer than this site accepts.",
        (417, _) => "This site does not fulfil the expectation of the request.",
        (421, _) => "This connection was made for another host than the one that the request is for.",
        (429, _) => "There have been too many requests. Please try again in a moment.",
        (431, _) => "The header of the request is larger than this site accepts.",
        (400..=499, _) => "The request is not well-formed, so it was not passed on.",
        (501 | 505, _) => "This site does not support what the request asks for.",
        (502, _) => "The server behind this site could not be reached or gave no valid answer.",
        (503, _) if failure.limit().is_some() => "This site is busy right now. Please try again in a moment.",
        (503, Stage::Pick | Stage::Connect) => {
            "No server behind this site is available right now. Please try again in a moment."
        }
        (503, _) => "This site is busy right now. Please try again in a moment.",
        (504, _) => "The server behind this site did not answer in time.",
        _ => "The request could not be answered.",
    }
}
