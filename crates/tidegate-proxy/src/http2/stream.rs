//! One stream of a client's connection, read and written like a connection of its own that carries one request.
//!
//! Read are the bytes of the request's body. Written are heads and the body of an answer, as HTTP/1.1 has them but for the
//! framing: what a head says of its length, and the end that the writer says, are framing enough here.

use super::downstream::Shared;
use super::request::append_trailers;
use crate::tls::Agreed;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http2::{Closed, Slot};

#[derive(Debug)]
pub(crate) struct Http2Stream {
    shared: Rc<Shared>,
    slot: Slot,
}

impl Http2Stream {
    pub(super) fn new(shared: Rc<Shared>, slot: Slot) -> Self {
        Self { shared, slot }
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.shared.link.connection.borrow_mut().poll_read(self.slot, cx, room).map_err(reset)
    }

    /// The same, but wakes nobody when there is something to read later.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.shared.link.connection.borrow_mut().try_read(self.slot, room).map_err(reset)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.link.connection.borrow_mut().poll_readable(self.slot, cx)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.shared.link.connection.borrow().is_readable(self.slot)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.link.make_room();
        self.shared.link.connection.borrow_mut().poll_send(self.slot, cx, bytes).map_err(broken)
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Poll::Ready(Ok(0)), |slice| self.poll_write(cx, slice))
    }

    /// The message is complete, but for these trailers: lines as HTTP/1.1 has them.
    pub(crate) fn end(&self, trailers: &[u8]) -> io::Result<()> {
        self.shared.link.connection.borrow_mut().end(self.slot, trailers).map_err(broken)
    }

    /// The message ends early, with trailers that say so. `false`: that cannot be said.
    pub(crate) fn end_early(&self, trailers: &[u8]) -> bool {
        self.shared.link.connection.borrow_mut().end_early(self.slot, trailers)
    }

    pub(crate) fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end(b""))
    }

    /// Appends what came behind the request's body, as lines, without those that may not be there (RFC 9110 §6.5.1).
    pub(crate) fn take_trailers(&self, out: &mut Vec<u8>) {
        let trailers = self.shared.link.connection.borrow_mut().take_trailers(self.slot);
        append_trailers(&trailers, out);
    }

    /// The end of the body is read as well, though its length is known: for the trailers behind it.
    pub(crate) fn expect_end(&self) {
        self.shared.link.connection.borrow_mut().expect_end(self.slot);
    }

    /// Ready when nobody waits for an answer any more.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.link.connection.borrow_mut().poll_closed(self.slot, cx)
    }

    /// Nobody waits for an answer any more.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.link.connection.borrow().is_closed(self.slot)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.shared.is_encrypted
    }

    pub(crate) fn client_cert(&self) -> &[u8] {
        &self.shared.client_cert
    }

    pub(crate) fn agreed(&self) -> Option<&Rc<Agreed>> {
        self.shared.agreed.as_ref()
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.shared.server_name.as_deref()
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.shared.local
    }

    /// So that what the client got so far is not taken for the whole.
    pub(crate) fn abort(&self) {
        self.shared.link.connection.borrow_mut().abort(self.slot);
    }

    /// The same where nothing was done about the request: it may be tried again.
    pub(super) fn refuse(self) {
        self.shared.link.connection.borrow_mut().refuse(self.slot);
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.shared.link.connection.borrow_mut().release(self.slot);
    }
}

fn reset(_: Closed) -> io::Error {
    ErrorKind::ConnectionReset.into()
}

fn broken(_: Closed) -> io::Error {
    ErrorKind::BrokenPipe.into()
}
