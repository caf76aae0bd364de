//! The JSON form of a line: always the same keys in the same order. Knows nothing of where it goes.

use super::escape::{Notation, put_escaped};
use super::number::{put_integer, put_millis};
use super::record::{GivenUp, Hedge, Record, Tls};
use std::time::Duration;

/// `,"key":` as one constant.
macro_rules! key {
    ($key:literal) => {
        concat!(",\"", $key, "\":")
    };
}

/// Appends the record as one JSON object. A key whose value is not known has `null`.
pub(super) fn append(record: &Record<'_>, time: &str, out: &mut Vec<u8>) {
    let failure = record.failure;
    let mut object = Object { out };
    object.out.extend_from_slice(b"{\"time\":\"");
    object.out.extend_from_slice(time.as_bytes());
    object.out.push(b'"');
    object.string(key!("request_id"), Some(record.request_id));
    object.string(key!("listener"), Some(record.listener));
    object.string(key!("client"), Some(record.client));
    object.string(key!("method"), record.method);
    object.string(key!("host"), record.host);
    object.string(key!("path"), record.path);
    object.string(key!("query"), record.query);
    object.string(key!("protocol"), record.protocol);
    object.string(key!("user_agent"), record.user_agent);
    object.string(key!("route"), record.route);
    object.string(key!("cluster"), record.cluster);
    object.string(key!("endpoint"), record.endpoint);
    object.integer(key!("status"), record.status.map(u64::from));
    object.integer(key!("grpc_status"), record.grpc_status.map(u64::from));
    object.integer(key!("attempts"), Some(record.attempts.into()));
    object.millis(key!("queue_ms"), record.queue);
    object.millis(key!("connect_ms"), record.connect);
    object.millis(key!("first_byte_ms"), record.first_byte);
    object.millis(key!("total_ms"), Some(record.total));
    object.integer(key!("bytes_in"), Some(record.bytes_in));
    object.integer(key!("bytes_out"), Some(record.bytes_out));
    object.string(key!("ended_by"), failure.map(|failure| failure.blame));
    object.string(key!("stage"), failure.map(|failure| failure.stage));
    object.string(key!("cause"), failure.map(|failure| failure.cause));
    object.member(
        key!("given_up"),
        Some(record.given_up).filter(|given_up| !given_up.is_empty()),
        put_given_up,
    );
    object.out.extend_from_slice(if record.hedged { b",\"hedged\":true" } else { b",\"hedged\":false" });
    object.member(key!("hedge"), record.hedge, put_hedge);
    object.string(key!("no_retry"), record.no_retry);
    object.string(key!("sticky"), record.sticky.map(|sticky| sticky.outcome));
    object.string(key!("sticky_reason"), record.sticky.and_then(|sticky| sticky.reason));
    object.string(key!("hash_spilled"), record.hash_spilled);
    object.string(key!("picked_as"), record.picked_as);
    object.string(key!("connection_id"), record.connection_id);
    object.member(key!("tls"), record.tls, put_tls);
    object.out.push(b'}');
}

fn put_given_up(out: &mut Vec<u8>, attempts: &[GivenUp<'_>]) {
    let mut before = b'[';
    for attempt in attempts {
        out.push(before);
        before = b',';
        out.extend_from_slice(b"{\"endpoint\":\"");
        put_escaped(out, attempt.endpoint.as_bytes(), Notation::Json);
        out.push(b'"');
        let mut object = Object { out };
        object.string(key!("stage"), Some(attempt.stage));
        object.string(key!("cause"), Some(attempt.cause));
        object.integer(key!("status"), attempt.status.map(u64::from));
        object.integer(key!("grpc_status"), attempt.grpc_status.map(u64::from));
        object.millis(key!("ms"), Some(attempt.took));
        object.out.push(b'}');
    }
    out.push(b']');
}

fn put_hedge(out: &mut Vec<u8>, hedge: Hedge<'_>) {
    out.extend_from_slice(b"{\"from\":\"");
    put_escaped(out, hedge.from.as_bytes(), Notation::Json);
    out.push(b'"');
    let mut object = Object { out };
    object.string(key!("to"), hedge.to);
    object.string(key!("outcome"), Some(hedge.outcome));
    object.millis(key!("after_ms"), Some(hedge.after));
    object.string(key!("cause"), hedge.cause);
    object.out.push(b'}');
}

fn put_tls(out: &mut Vec<u8>, tls: Tls<'_>) {
    out.extend_from_slice(b"{\"version\":\"");
    put_escaped(out, tls.version.as_bytes(), Notation::Json);
    out.push(b'"');
    let mut object = Object { out };
    object.string(key!("cipher"), Some(tls.cipher));
    object.string(key!("server_name"), tls.server_name);
    object.string(key!("alpn"), tls.alpn);
    object.out.extend_from_slice(if tls.resumed { b",\"resumed\":true" } else { b",\"resumed\":false" });
    object.string(key!("client_subject"), tls.client_subject);
    object.out.push(b'}');
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    fn string(&mut self, key: &str, value: Option<impl AsRef<[u8]>>) {
        self.member(key, value, |out, value| {
            out.push(b'"');
            put_escaped(out, value.as_ref(), Notation::Json);
            out.push(b'"');
        });
    }

    fn integer(&mut self, key: &str, value: Option<u64>) {
        self.member(key, value, put_integer);
    }

    fn millis(&mut self, key: &str, value: Option<Duration>) {
        self.member(key, value, put_millis);
    }

    #[inline]
    fn member<T>(&mut self, key: &str, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
        self.out.extend_from_slice(key.as_bytes());
        match value {
            Some(value) => put(self.out, value),
            None => self.out.extend_from_slice(b"null"),
        }
    }
}
