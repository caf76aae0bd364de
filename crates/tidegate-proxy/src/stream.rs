//! One connected byte stream, whatever carries it. Knows no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A closed list: dispatch is a branch, and a connection costs its descriptor and no vtable.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Tcp($inner) => $body,
            Stream::Unix($inner) => $body,
        }
    };
}

impl Stream {
    /// Reads once into `room`; `Ok(0)` is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        let polled = each!(self, inner => Pin::new(inner).poll_read(cx, &mut room));
        polled.map_ok(|()| room.filled().len())
    }

    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    #[inline]
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    /// Ready when a read would not wait: bytes, the end, or an error. No system call.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        each!(self, inner => inner.poll_read_ready(cx)).map(|_| ())
    }

    /// Whether the reactor has seen bytes, the end or an error since the last read. No system call, no waker.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        each!(self, inner => inner.try_io(Interest::READABLE, || Ok(()))).is_ok()
    }

    /// Our own end, when it is an IP address and the connection still stands.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Sends what the peer sees as the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }

    /// Closes so that the peer sees a reset instead of an orderly end: what it got so far is not the whole.
    pub(crate) fn abort(self) {
        if let Self::Tcp(tcp) = &self {
            // Not possible only when the socket is gone already, which the peer sees as well.
            let _ = tidegate_sys::reset_on_close(tcp);
        }
    }
}
