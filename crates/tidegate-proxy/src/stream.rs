//! One byte stream: a socket, what is encrypted on one, or one of the many that a connection of HTTP/2 consists of.

use crate::http2::{Http2Request, Http2Stream};
use crate::tls::{Agreed, TlsStream};
use crate::transport::Transport;
use rustls::HandshakeKind;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http::BodyLength;

/// A closed list: dispatch is a branch, and a connection costs its descriptor and no vtable.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Transport),
    Tls(Box<TlsStream>),
    /// One of many on a client's connection; ends without the connection's ending.
    Http2(Http2Stream),
    /// The same on a connection to an endpoint.
    Http2Request(Box<Http2Request>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Plain($inner) => $body,
            Stream::Tls($inner) => $body,
            Stream::Http2($inner) => $body,
            Stream::Http2Request($inner) => $body,
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

    /// Ready when it has been broken off, as far as that can be told without reading.
    pub(crate) fn poll_broken_off(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Http2Request(_) => Poll::Pending,
            Self::Http2(stream) => stream.poll_closed(cx),
        }
    }

    /// Whether there have been bytes, the end or an error since the last read. No system call, no waker, on a socket that
    /// has been quiet.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        each!(self, inner => inner.is_readable())
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Http2Request(_) => false, // asked of clients' connections
            Self::Tls(tls) => tls.is_encrypted(),
            Self::Http2(stream) => stream.is_encrypted(),
        }
    }

    /// Whether both sides have agreed on HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.speaks_http2())
    }

    /// The name that the client asked for when it began TLS, in lower case.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) | Self::Http2Request(_) => None,
            Self::Tls(tls) => tls.server_name(),
            Self::Http2(stream) => stream.server_name(),
        }
    }

    /// What was agreed on with the client when it began TLS.
    pub(crate) fn agreed(&self) -> Option<&Rc<Agreed>> {
        match self {
            Self::Plain(_) | Self::Http2Request(_) => None,
            Self::Tls(tls) => tls.agreed(),
            Self::Http2(stream) => stream.agreed(),
        }
    }

    /// What the client agreed to speak when it began TLS.
    pub(crate) fn protocol(&self) -> Option<&'static [u8]> {
        match self {
            Self::Tls(tls) => tls.protocol(),
            Self::Http2(stream) if stream.is_encrypted() => Some(b"h2"),
            Self::Plain(_) | Self::Http2(_) | Self::Http2Request(_) => None,
        }
    }

    /// How the body of a message that is read here is framed, when its head says this. `with_trailers`: what comes behind a body whose
    /// length is known, even as 0, may go on.
    pub(crate) fn framing(&self, body: BodyLength, with_trailers: bool) -> BodyLength {
        match (self, body) {
            (Self::Http2(_), BodyLength::Chunked) => BodyLength::UntilClose,
            (Self::Http2(stream), BodyLength::Length(_) | BodyLength::None) if with_trailers => {
                stream.expect_end();
                BodyLength::UntilClose
            }
            _ => body,
        }
    }

    /// Messages that are written here end by a word of their own, not by what they consist of.
    pub(crate) fn ends_messages(&self) -> bool {
        matches!(self, Self::Http2(_) | Self::Http2Request(_))
    }

    /// Says that the message is complete, but for these trailers, which are lines.
    pub(crate) fn end_message(&self, trailers: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Ok(()),
            Self::Http2(stream) => stream.end(trailers),
            Self::Http2Request(request) => request.end(trailers),
        }
    }

    /// Appends the trailers of the message that has been read, as lines, where they do not come in the bytes.
    pub(crate) fn take_trailers(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(_) | Self::Tls(_) => {}
            Self::Http2(stream) => stream.take_trailers(out),
            Self::Http2Request(request) => request.take_trailers(out),
        }
    }

    /// How the keys were agreed on, if it is encrypted.
    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        match self {
            Self::Plain(_) | Self::Http2(_) | Self::Http2Request(_) => None,
            Self::Tls(tls) => tls.handshake_kind(),
        }
    }

    /// What endpoints are told of the certificate that the client has shown: complete lines, or nothing.
    pub(crate) fn client_cert(&self) -> &[u8] {
        match self {
            Self::Plain(_) | Self::Http2Request(_) => b"",
            Self::Tls(tls) => tls.client_cert(),
            Self::Http2(stream) => stream.client_cert(),
        }
    }

    /// How the client reached us.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }

    /// Our own end, when it is an IP address and the connection still stands.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(transport) => transport.local_address(),
            Self::Tls(tls) => tls.transport().local_address(),
            Self::Http2(stream) => stream.local_address(),
            Self::Http2Request(_) => None,
        }
    }

    /// Sends what the peer sees as the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_shutdown(cx))
    }

    /// What the peer's system has not taken yet of what was written. `None`: there is no telling, or nobody to take it.
    pub(crate) fn unacknowledged_bytes(&self) -> Option<usize> {
        self.transport()?.unacknowledged_bytes()
    }

    /// The same, and what a peer on this system has not read.
    pub(crate) fn untaken_bytes(&self) -> Option<usize> {
        self.transport()?.untaken_bytes()
    }

    /// `None`: it shares one with others, whose windows tell what is taken, and ends behind what was sent.
    fn transport(&self) -> Option<&Transport> {
        match self {
            Self::Plain(transport) => Some(transport),
            Self::Tls(tls) => Some(tls.transport()),
            Self::Http2(_) | Self::Http2Request(_) => None,
        }
    }

    /// When this is dropped, the peer sees a reset instead of an orderly end: what it got so far is not the whole.
    pub(crate) fn reset_on_close(&mut self) {
        match self {
            Self::Plain(transport) => transport.reset_on_close(),
            Self::Tls(tls) => tls.reset_on_close(),
            Self::Http2(stream) => stream.abort(),
            Self::Http2Request(_) => {} // is taken back
        }
    }
}
