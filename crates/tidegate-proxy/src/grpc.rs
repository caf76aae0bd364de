//! What gRPC asks of whoever stands between: its deadlines, and its own words for how a call ended
//! (gRPC over HTTP/2, "Requests" and "Responses"). Only calls that come by HTTP/2 are looked at.

use crate::failure::{Cause, Failure};
use crate::request::Call;
use crate::timers::now;
use std::time::Duration;
use tidegate_http::response::ResponseHead;
use tidegate_http::{Field, Version, field};

const CANCELLED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 4;

/// What a call says of itself.
pub(crate) fn is_call(call: &Call<'_>) -> bool {
    let request = &call.workspace.request;
    if request.version != Version::Http2 {
        return false;
    }
    let kind =
        field::find(&request.fields, call.workspace.input.pinned(), b"content-type").unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the client waits for the end of its call, if it says so. In a request that is no call, the field means nothing.
pub(crate) fn timeout(call: &Call<'_>) -> Option<Duration> {
    let request = &call.workspace.request;
    let said = || field::find(&request.fields, call.workspace.input.pinned(), b"grpc-timeout");
    if is_call(call) { parse_timeout(said()?) } else { None }
}

/// Before an attempt that does not begin at once: says in the head of the call how much of its time is left.
pub(crate) fn tell_time_left(call: &mut Call<'_>) {
    if !is_call(call) {
        return;
    }
    let workspace = &mut *call.workspace;
    let (request, bytes) = (&workspace.request, workspace.input.pinned());
    let says_it = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(b"grpc-timeout");
    let Some(value) = request.fields.iter().find(says_it).map(|field| field.value) else { return };
    let place = workspace.input.pinned_mut().get_mut(value.start as usize..value.end as usize);
    if let Some(text) = place {
        shorten_timeout(text, call.total_deadline.since(now()));
    }
}

/// In the unit that is there, rounded up, with as many digits.
fn shorten_timeout(text: &mut [u8], left: Duration) {
    let Some(said) = parse_timeout(text) else { return };
    let Some((unit, digits)) = text.split_last_mut() else { return };
    let unit = unit_of(*unit).unwrap_or_default().as_nanos();
    if unit == 0 || left >= said {
        return;
    }
    let mut number = left.as_nanos().div_ceil(unit);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// At most eight digits and a unit.
fn parse_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(unit_of(*unit)? * number)
}

fn unit_of(letter: u8) -> Option<Duration> {
    Some(match letter {
        b'H' => Duration::from_hours(1),
        b'M' => Duration::from_mins(1),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        _ => return None,
    })
}

/// How an answer without a message ended the call, if its head says so.
pub(crate) fn status_of(response: &ResponseHead, buffer: &[u8]) -> Option<u8> {
    let text = field::find(&response.fields, buffer, b"grpc-status")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// How a call ended, by what came behind its answer: lines.
pub(crate) fn status_in(trailers: &[u8]) -> Option<u8> {
    let is_status =
        |line: &&[u8]| line.get(..12).is_some_and(|name| name.eq_ignore_ascii_case(b"grpc-status:"));
    let line = trailers.split(|byte| *byte == b'\n').find(is_status)?;
    std::str::from_utf8(line.get(12..)?.trim_ascii()).ok()?.parse().ok()
}

/// The status of HTTP that an endpoint is judged by, whose answer had `status`. A call that somebody else ended before the endpoint said how
/// it went is one that went well so far; and that a client in a hurry was told to have given too little time is no failure.
pub(crate) fn judged(call: &Call<'_>, status: u16, is_whole: bool) -> u16 {
    let journal = &call.journal;
    match journal.grpc_status {
        _ if !journal.is_grpc => status,
        None if !is_whole => status,
        Some(DEADLINE_EXCEEDED) if call.is_hurried() => counts_as(status, Some(CANCELLED)),
        said => counts_as(status, said),
    }
}

/// What an answer counts as where endpoints are judged by the statuses of HTTP: what google.rpc.Code says of each. A call that
/// ended without a status is one of which nobody knows how it went ("Responses").
fn counts_as(http: u16, grpc: Option<u8>) -> u16 {
    const UNKNOWN: u8 = 2;
    if http != 200 {
        return http;
    }
    match grpc.unwrap_or(UNKNOWN) {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500, // unknown, internal, data loss, and what nobody has defined
    }
}

/// The status of a call that ends here: as clients translate the status of HTTP, but for deadlines, which have one of their
/// own.
pub(crate) fn status(failure: Failure) -> u8 {
    const PERMISSION_DENIED: u8 = 7;
    const RESOURCE_EXHAUSTED: u8 = 8;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match (failure.cause, failure.status()) {
        (
            Cause::AttemptTimeout
            | Cause::AttemptTooShort
            | Cause::FirstByteTimeout
            | Cause::KeptWaiting
            | Cause::TotalTimeout,
            _,
        ) => DEADLINE_EXCEEDED,
        (Cause::InternalError, _) => INTERNAL,
        (_, 401) => UNAUTHENTICATED,
        (_, 403) => PERMISSION_DENIED,
        (_, 404) => UNIMPLEMENTED,
        (_, 413) => RESOURCE_EXHAUSTED,
        (_, 400..=499) if failure.status() != 429 => INTERNAL,
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_behind_an_answer_and_counts_as_one_of_http() {
        for (trailers, found, counts) in [
            ("grpc-status: 0\r\n", Some(0), 200),
            ("x-a: grpc-status: 0\r\nGrpc-Status:14\r\ngrpc-message: \r\n", Some(14), 503),
            ("grpc-status: 99\r\n", Some(99), 500),
            ("grpc-status: 999\r\n", None, 500),
            ("grpc-status-details-bin: 1\r\n", None, 500),
            ("", None, 500),
        ] {
            let status = status_in(trailers.as_bytes());
            assert_eq!((status, counts_as(200, status)), (found, counts), "{trailers}");
        }
        assert_eq!(counts_as(404, None), 404, "no answer of gRPC at all");
    }

    #[test]
    fn timeouts_have_a_number_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("123456789S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_time_that_is_left_is_said_in_the_clients_unit_rounded_up() {
        let seconds = Duration::from_secs;
        for (said, left, expected) in [
            ("5000m", seconds(4), "4000m"),
            ("5000m", Duration::from_micros(1_500), "0002m"),
            ("5S", Duration::from_millis(2_001), "3S"),
            ("5S", Duration::ZERO, "0S"),
            ("99999999n", seconds(1), "99999999n"),
            ("1H", seconds(60), "1H"),
            ("5s", seconds(1), "5s"),
            ("", seconds(1), ""),
        ] {
            let mut text = said.as_bytes().to_vec();
            shorten_timeout(&mut text, left);
            assert_eq!(text, expected.as_bytes(), "{said}");
        }
    }
}
