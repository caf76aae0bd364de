//! One stream of a connection to an endpoint, written and read like a connection of its own that carries one request.
//!
//! Written are the head of a request, as HTTP/1.1 has it, and its body without framing. Read are the heads of answers,
//! written out in the same way, and the body of the last one.

use super::breach::Breach;
use super::upstream::Shared;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http::chunked::may_trail;
use tidegate_http2::{Closed, Ending, Slot};

#[derive(Debug)]
pub(crate) struct Http2Request {
    shared: Rc<Shared>,
    slot: Slot,
}

impl Http2Request {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let slot = shared.link.connection.borrow_mut().open();
        Self { shared, slot }
    }

    /// Whether it may be the beginning of a tunnel, as soon as the endpoint has said so; `None`: the connection ended before.
    pub(crate) fn may_open_tunnel(&self) -> impl Future<Output = Option<bool>> + use<> {
        let shared = Rc::clone(&self.shared);
        async move { shared.takes_tunnels().await }
    }

    /// What the endpoint has done wrong, if the connection has ended by that.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.shared.breach.get()
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.shared.link.connection.borrow_mut().poll_read(self.slot, cx, room);
        read.map_err(|closed| self.why(closed))
    }

    /// The same, but wakes nobody when there is something to read later.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.shared.link.connection.borrow_mut().try_read(self.slot, room);
        read.map_err(|closed| self.why(closed))
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.link.connection.borrow_mut().poll_readable(self.slot, cx)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.shared.link.connection.borrow().is_readable(self.slot)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.link.make_room();
        let sent = self.shared.link.connection.borrow_mut().poll_send(self.slot, cx, bytes);
        self.shared.handle_sent();
        sent.map_err(|closed| self.why(closed))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Poll::Ready(Ok(0)), |slice| self.poll_write(cx, slice))
    }

    /// The request is complete, but for these trailers: lines as HTTP/1.1 has them.
    pub(crate) fn end(&self, trailers: &[u8]) -> io::Result<()> {
        let ended = self.shared.link.connection.borrow_mut().end(self.slot, trailers);
        ended.map_err(|closed| self.why(closed))
    }

    pub(crate) fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end(b""))
    }

    /// Appends what came behind the answer's body, as lines, without those that may not be there (RFC 9110 §6.5.1).
    pub(crate) fn take_trailers(&self, out: &mut Vec<u8>) {
        let trailers = self.shared.link.connection.borrow_mut().take_trailers(self.slot);
        append_trailers(&trailers, out);
    }

    /// `ConnectionRefused`: the endpoint has declined the request (RFC 9113 §8.7); `NotConnected`: it never looks at it; `FileTooLarge`: the
    /// head of its answer is. Or what it has done wrong.
    fn why(&self, _: Closed) -> io::Error {
        match self.shared.link.connection.borrow().ending(self.slot) {
            Ending::Refused => ErrorKind::ConnectionRefused.into(),
            Ending::Unseen => ErrorKind::NotConnected.into(),
            Ending::Malformed => Breach::Answer.into(),
            Ending::TooLarge => ErrorKind::FileTooLarge.into(),
            Ending::Lost => self.breach().map_or(ErrorKind::ConnectionReset.into(), io::Error::from),
        }
    }
}

impl Drop for Http2Request {
    /// One that is given up is taken back.
    fn drop(&mut self) {
        self.shared.link.connection.borrow_mut().release(self.slot);
        self.shared.handle_released();
    }
}

/// Without those that may not be there (RFC 9110 §6.5.1).
pub(super) fn append_trailers(trailers: &[u8], out: &mut Vec<u8>) {
    for line in trailers.split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if may_trail(name) {
            out.extend_from_slice(line);
        }
    }
}
