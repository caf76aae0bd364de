//! Frames by hand, and a connection that takes and gives them.

#![allow(dead_code, reason = "each test of its own takes what it needs")]

use std::task::{Context, Poll, Waker};
use tidegate_http2::hpack::Encoder;
use tidegate_http2::{Connection, Fault, Limits, Progress, Slot};

pub(crate) const LIMITS: Limits = Limits { streams_max: 20, head_bytes_max: 4096 };

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn head(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let (mut encoder, mut block) = (Encoder::new(), Vec::new());
    encoder.limit_table(0); // so that blocks do not depend on each other
    encoder.begin(&mut block);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

pub(crate) fn request(stream: u32, method: &str, more: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "test")];
    head(stream, &[&pseudo[..], more].concat(), flags)
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    request(stream, "GET", &[], END_STREAM)
}

pub(crate) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// A connection whose client has said what it sets.
pub(crate) fn begun() -> Connection {
    let mut connection = Connection::new(LIMITS);
    take(&mut connection, &frame(SETTINGS, 0, 0, b""));
    connection
}

/// All frames of `bytes`: what begins with them, and what is wrong.
pub(crate) fn take(connection: &mut Connection, mut bytes: &[u8]) -> (Vec<(Slot, String)>, Option<Fault>) {
    let (mut begun, mut text) = (Vec::new(), Vec::new());
    loop {
        match connection.receive(bytes, &mut text) {
            Progress::NeedMore => return (begun, None),
            Progress::Taken(length) => bytes = &bytes[length..],
            Progress::Begun(length, new) => {
                begun.push((new.slot, String::from_utf8(text.clone()).unwrap()));
                bytes = &bytes[length..];
            }
            Progress::Exhausted => return (begun, Some(Fault::Flood)),
            Progress::Fault(fault) => return (begun, Some(fault)),
        }
    }
}

/// Kinds, flags, streams and payloads of what is to leave.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(header) = bytes.first_chunk::<9>() {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        frames.push((*kind, *flags, u32::from_be_bytes(*stream), bytes[9..9 + length].to_vec()));
        bytes = &bytes[9 + length..];
    }
    assert!(bytes.is_empty());
    frames
}

pub(crate) fn leave(connection: &mut Connection) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let left = frames(connection.unsent());
    connection.handle_sent(connection.unsent().len());
    left
}

pub(crate) fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

pub(crate) fn sends(connection: &mut Connection, slot: Slot, bytes: &[u8]) -> Option<usize> {
    match connection.poll_send(slot, &noop(), bytes) {
        Poll::Ready(sent) => Some(sent.unwrap()),
        Poll::Pending => None,
    }
}
