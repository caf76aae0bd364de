//! The text form of a line, for a person who watches: what, how it went and how long first; the rest as `key=value`.
//! Knows nothing of where it goes.

use super::escape::{Notation, put_escaped};
use super::number::{put_integer, put_millis};
use super::record::{GivenUp, Hedge, Record, Sticky, Tls};

/// Appends the record as words with single spaces between. What is not known is `-`, or its `key=value` is left out.
pub(super) fn append(record: &Record<'_>, time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(time.as_bytes());
    out.push(b' ');
    match record.status {
        Some(status) => put_integer(out, status.into()),
        None => out.push(b'-'),
    }
    out.push(b' ');
    put_word(out, record.method.unwrap_or(b"-"));
    out.push(b' ');
    put_location(out, record);
    out.push(b' ');
    put_millis(out, record.total);
    out.extend_from_slice(b"ms ");
    put_word(out, record.cluster.unwrap_or("-").as_bytes());
    if let Some(endpoint) = record.endpoint {
        out.push(b'/');
        put_word(out, endpoint.as_bytes());
    }
    put_pairs(out, record);
}

fn put_location(out: &mut Vec<u8>, record: &Record<'_>) {
    if record.host.is_none() && record.path.is_none() {
        out.push(b'-');
    }
    put_word(out, record.host.unwrap_or_default());
    put_word(out, record.path.unwrap_or_default());
    if let Some(query) = record.query {
        out.push(b'?');
        put_word(out, query);
    }
}

fn put_pairs(out: &mut Vec<u8>, record: &Record<'_>) {
    for (key, value) in
        [("queue", record.queue), ("connect", record.connect), ("first_byte", record.first_byte)]
    {
        if let Some(duration) = value {
            put_key(out, key);
            put_millis(out, duration);
            out.extend_from_slice(b"ms");
        }
    }
    put_key(out, "attempts");
    put_integer(out, record.attempts.into());
    if !record.given_up.is_empty() {
        put_given_up(out, record.given_up);
    }
    for (key, value) in [("in", record.bytes_in), ("out", record.bytes_out)] {
        put_key(out, key);
        put_integer(out, value);
    }
    if let Some(status) = record.grpc_status {
        put_key(out, "grpc_status");
        put_integer(out, status.into());
    }
    let failure = record.failure;
    for (key, value) in [
        ("ended_by", failure.map(|failure| failure.blame)),
        ("stage", failure.map(|failure| failure.stage)),
        ("cause", failure.map(|failure| failure.cause)),
    ] {
        put_pair(out, key, value.map(str::as_bytes));
    }
    if let Some(hedge) = record.hedge {
        put_hedge(out, &hedge);
    }
    put_pair(out, "no_retry", record.no_retry.map(str::as_bytes));
    if let Some(sticky) = record.sticky {
        put_sticky(out, sticky);
    }
    put_pair(out, "hash_spilled", record.hash_spilled.map(str::as_bytes));
    put_pair(out, "picked_as", record.picked_as.map(str::as_bytes));
    put_pair(out, "client", Some(record.client.as_bytes()));
    put_pair(out, "route", record.route.map(str::as_bytes));
    if let Some(tls) = record.tls {
        put_tls(out, &tls);
    }
    put_pair(out, "id", Some(record.request_id.as_bytes()));
    put_pair(out, "connection", record.connection_id);
}

/// `endpoint(cause,time)`; of an answer that was thrown away its status says more than the cause.
fn put_given_up(out: &mut Vec<u8>, attempts: &[GivenUp<'_>]) {
    put_key(out, "given_up");
    for (position, attempt) in attempts.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        put_word(out, attempt.endpoint.as_bytes());
        out.push(b'(');
        match (attempt.grpc_status, attempt.status) {
            (Some(status), _) => {
                out.extend_from_slice(b"grpc:");
                put_integer(out, status.into());
            }
            (None, Some(status)) => put_integer(out, status.into()),
            (None, None) => put_word(out, attempt.cause.as_bytes()),
        }
        out.push(b',');
        put_millis(out, attempt.took);
        out.extend_from_slice(b"ms)");
    }
}

fn put_hedge(out: &mut Vec<u8>, hedge: &Hedge<'_>) {
    put_pair(out, "hedge", Some(hedge.outcome.as_bytes()));
    out.push(b'(');
    put_word(out, hedge.from.as_bytes());
    if let Some(to) = hedge.to {
        out.push(b'>');
        put_word(out, to.as_bytes());
    }
    if let Some(cause) = hedge.cause {
        out.push(b',');
        put_word(out, cause.as_bytes());
    }
    out.push(b')');
}

fn put_sticky(out: &mut Vec<u8>, sticky: Sticky<'_>) {
    put_pair(out, "sticky", Some(sticky.outcome.as_bytes()));
    if let Some(reason) = sticky.reason {
        out.push(b'(');
        put_word(out, reason.as_bytes());
        out.push(b')');
    }
}

fn put_tls(out: &mut Vec<u8>, tls: &Tls<'_>) {
    for (key, value) in [
        ("tls", Some(tls.version.as_bytes())),
        ("cipher", Some(tls.cipher.as_bytes())),
        ("sni", tls.server_name.map(str::as_bytes)),
        ("alpn", tls.alpn),
        ("resumed", tls.resumed.then_some(&b"true"[..])),
        ("client_subject", tls.client_subject.map(str::as_bytes)),
    ] {
        put_pair(out, key, value);
    }
}

fn put_pair(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    if let Some(word) = value {
        put_key(out, key);
        put_word(out, word);
    }
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    out.push(b' ');
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
}

fn put_word(out: &mut Vec<u8>, word: &[u8]) {
    put_escaped(out, word, Notation::Word);
}
