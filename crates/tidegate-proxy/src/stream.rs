//! One connected byte stream: a socket, or what is encrypted on one. Knows no HTTP.

use crate::tls::TlsStream;
use crate::transport::Transport;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// A closed list: dispatch is a branch, and a connection costs its descriptor and no vtable.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Transport),
    Tls(Box<TlsStream>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Plain($inner) => $body,
            Stream::Tls($inner) => $body,
        }
    };
}

impl Stream {
    /// Reads once into `room`; `Ok(0)` is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_read(cx, room))
    }

    /// The same, but wakes nobody when there is something to read later.
    #[inline]
    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.try_read(room))
    }

    /// Says how many bytes are on their way. After `Pending` the next call begins with the same bytes.
    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write(cx, bytes))
    }

    /// The same for bytes in several places.
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write_vectored(cx, slices))
    }

    /// Ready when a read would not wait: bytes, the end, or an error; or when only a read can tell. No system call.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        each!(self, inner => inner.poll_readable(cx))
    }

    /// Whether there have been bytes, the end or an error since the last read. No system call, no waker, on a socket that
    /// has been quiet.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        each!(self, inner => inner.is_readable())
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.is_encrypted(),
        }
    }

    /// How the client reached us.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }

    pub(crate) fn transport(&self) -> &Transport {
        match self {
            Self::Plain(transport) => transport,
            Self::Tls(tls) => tls.transport(),
        }
    }

    /// Our own end, when it is an IP address and the connection still stands.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.transport().local_address()
    }

    /// Sends what the peer sees as the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_shutdown(cx))
    }

    /// Closes so that the peer sees a reset instead of an orderly end: what it got so far is not the whole.
    pub(crate) fn abort(self) {
        match self {
            Self::Plain(transport) => transport.reset_on_close(),
            Self::Tls(tls) => tls.abort(),
        }
    }
}
