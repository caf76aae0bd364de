//! The JSON form of a line: always the same keys in the same order. Knows nothing of where it goes.

use super::escape::{Notation, put_escaped};
use super::number::{put_integer, put_millis};
use super::record::Record;
use std::time::Duration;

/// Appends the record as one JSON object. A key whose value is not known has `null`.
pub(super) fn append(record: &Record<'_>, time: &str, out: &mut Vec<u8>) {
    let failure = record.failure;
    let mut object = Object { out, separator: b'{' };
    object.string("time", Some(time));
    object.string("request_id", Some(record.request_id));
    object.string("listener", Some(record.listener));
    object.string("client", Some(record.client));
    object.string("method", record.method);
    object.string("host", record.host);
    object.string("path", record.path);
    object.string("query", record.query);
    object.string("protocol", record.protocol);
    object.string("user_agent", record.user_agent);
    object.string("route", record.route);
    object.string("cluster", record.cluster);
    object.string("endpoint", record.endpoint);
    object.integer("status", record.status.map(u64::from));
    object.integer("attempts", Some(record.attempts.into()));
    object.millis("queue_ms", record.queue);
    object.millis("connect_ms", record.connect);
    object.millis("first_byte_ms", record.first_byte);
    object.millis("total_ms", Some(record.total));
    object.integer("bytes_in", Some(record.bytes_in));
    object.integer("bytes_out", Some(record.bytes_out));
    object.string("ended_by", failure.map(|failure| failure.blame));
    object.string("stage", failure.map(|failure| failure.stage));
    object.string("cause", failure.map(|failure| failure.cause));
    object.out.push(b'}');
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
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
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.separator = b',';
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        match value {
            Some(value) => put(self.out, value),
            None => self.out.extend_from_slice(b"null"),
        }
    }
}
