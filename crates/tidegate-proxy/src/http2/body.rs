//! Bodies to and from endpoints of HTTP/2: pieces out and in, and the end. Knows no heads.

use super::head;
use bytes::{Buf, Bytes};
use h2::SendStream;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

/// Sends the beginning of `bytes`, as much as there is room for.
pub(super) fn poll_send(
    send: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    send.reserve_capacity(bytes.len());
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        }
    }
    let length = bytes.len().min(send.capacity());
    let data = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
    send.send_data(data, false).map_err(broken)?;
    Poll::Ready(Ok(length))
}

/// Says that the message is complete, but for these trailers: lines as HTTP/1.1 has them.
pub(super) fn end(send: &mut SendStream<Bytes>, trailers: &[u8]) -> io::Result<()> {
    if trailers.is_empty() {
        send.send_data(Bytes::new(), true).map_err(broken)
    } else {
        send.send_trailers(head::trailers(trailers)).map_err(broken)
    }
}

/// Moves the beginning of what has arrived into `room`.
pub(super) fn take(arrived: &mut impl Buf, room: &mut [u8]) -> usize {
    let length = arrived.remaining().min(room.len());
    if let Some(room) = room.get_mut(..length) {
        arrived.copy_to_slice(room);
    }
    length
}

pub(super) fn broken(error: h2::Error) -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, error)
}
