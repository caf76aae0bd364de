//! What the other side has set (RFC 9113 §6.5), and what we set. Knows no streams.

use crate::fault::Fault;
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::window::NARROW_BYTES;

/// Identifiers (RFC 9113 §6.5.2, RFC 8441 §3).
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(super) const ENABLE_PUSH: u16 = 2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(super) const MAX_FRAME_SIZE: u16 = 5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// One value that matters to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Of the table for what we send.
    TableBytes(u32),
    /// Of streams.
    WindowBytes(u32),
    /// At once.
    Streams(u32),
    /// Whether they may become some (RFC 8441 §3).
    Tunnels(bool),
}

/// The values of one frame, in order; its length is a multiple of six.
pub(crate) fn read(payload: &[u8]) -> impl Iterator<Item = Result<Setting, Fault>> {
    payload.as_chunks().0.iter().filter_map(|[a, b, value @ ..]: &[u8; 6]| {
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([*a, *b]) {
            id::HEADER_TABLE_SIZE => Some(Ok(Setting::TableBytes(value))),
            id::INITIAL_WINDOW_SIZE if value > i32::MAX as u32 => Some(Err(Fault::FlowControl)),
            id::INITIAL_WINDOW_SIZE => Some(Ok(Setting::WindowBytes(value))),
            id::ENABLE_PUSH | id::ENABLE_CONNECT_PROTOCOL if value > 1 => Some(Err(Fault::Protocol)),
            // We never send more than what everybody takes.
            id::MAX_FRAME_SIZE if !(PAYLOAD_BYTES_MAX as u32..1 << 24).contains(&value) => {
                Some(Err(Fault::Protocol))
            }
            id::MAX_CONCURRENT_STREAMS => Some(Ok(Setting::Streams(value))),
            id::ENABLE_CONNECT_PROTOCOL => Some(Ok(Setting::Tunnels(value == 1))),
            _ => None, // about pushes, advice, or unknown
        }
    })
}

/// What we set to begin with.
pub(crate) fn ours(streams_max: u32, head_bytes_max: usize) -> Vec<u8> {
    written([
        (id::MAX_CONCURRENT_STREAMS, streams_max),
        (id::INITIAL_WINDOW_SIZE, NARROW_BYTES),
        (id::MAX_HEADER_LIST_SIZE, u32::try_from(head_bytes_max).unwrap_or(u32::MAX)),
        (id::ENABLE_CONNECT_PROTOCOL, 1),
    ])
}

/// What we set to begin with where it is for us to ask.
pub(crate) fn asking(stream_window_bytes: u32, head_bytes_max: usize) -> Vec<u8> {
    written([
        (id::ENABLE_PUSH, 0),
        (id::INITIAL_WINDOW_SIZE, stream_window_bytes),
        (id::MAX_HEADER_LIST_SIZE, u32::try_from(head_bytes_max).unwrap_or(u32::MAX)),
    ])
}

fn written<const N: usize>(values: [(u16, u32); N]) -> Vec<u8> {
    values.into_iter().flat_map(|(id, value)| bytes(id, value)).collect()
}

/// From now on streams may send so much.
pub(crate) fn window(bytes_max: u32) -> [u8; 6] {
    bytes(id::INITIAL_WINDOW_SIZE, bytes_max)
}

fn bytes(id: u16, value: u32) -> [u8; 6] {
    let mut bytes = [0; 6];
    bytes
        .iter_mut()
        .zip(id.to_be_bytes().into_iter().chain(value.to_be_bytes()))
        .for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: u16, value: u32) -> Vec<Result<Setting, Fault>> {
        read(&bytes(id, value)).collect()
    }

    #[test]
    fn values_that_must_not_be_are_told_with_their_error() {
        assert_eq!(of(id::HEADER_TABLE_SIZE, 0), [Ok(Setting::TableBytes(0))]);
        assert_eq!(of(id::INITIAL_WINDOW_SIZE, 1 << 31), [Err(Fault::FlowControl)]);
        assert_eq!(of(id::INITIAL_WINDOW_SIZE, (1 << 31) - 1), [Ok(Setting::WindowBytes((1 << 31) - 1))]);
        assert_eq!(of(id::ENABLE_PUSH, 2), [Err(Fault::Protocol)]);
        assert_eq!(of(id::MAX_FRAME_SIZE, 16_383), [Err(Fault::Protocol)]);
        assert_eq!(of(id::MAX_FRAME_SIZE, 1 << 24), [Err(Fault::Protocol)]);
        for (id, value) in [(id::ENABLE_PUSH, 1), (id::MAX_FRAME_SIZE, (1 << 24) - 1), (99, 7)] {
            assert_eq!(of(id, value), [], "{id}");
        }
    }
}
