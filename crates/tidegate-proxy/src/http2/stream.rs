//! One stream of a client's connection, read and written like a connection of its own that carries one request.
//!
//! Read are the bytes of the request's body. Written are heads and the body of an answer, as HTTP/1.1 has them but for the
//! framing: what a head says of its length, and the end that the writer says, are framing enough here.

use super::body::{self, broken};
use super::downstream::Shared;
use super::head::{self, Wanted};
use super::unsent::hold;
use super::window::NARROW_BYTES;
use crate::tls::Agreed;
use crate::workspace::Place;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

#[derive(Debug)]
pub(crate) struct Http2Stream {
    pub(super) shared: Rc<Shared>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    source: RecvStream,
    sink: Sink,
    wanted: Wanted,
    /// Arrived, and not read.
    chunk: Bytes,
    /// Of the body.
    taken: u64,
    /// Where the request's body stands.
    body: Body,
    trailers: Option<HeaderMap>,
    /// Of the request, shared with what of its answer has not left.
    place: Arc<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Open,
    /// Over, and the reader does not know it yet.
    Over,
    /// Nothing more is read but a reset.
    Read,
}

#[derive(Debug)]
enum Sink {
    /// No final head has been written.
    Head(SendResponse<Bytes>),
    Body(Rest),
}

/// What follows a final head.
#[derive(Debug)]
struct Rest {
    send: SendStream<Bytes>,
    /// So much of the body is left, if its head said how much there is.
    left: Option<u64>,
    /// The end has been said.
    is_over: bool,
    /// What breaks it off.
    reset: Reason,
}

impl Http2Stream {
    pub(super) fn new(
        shared: Rc<Shared>,
        source: RecvStream,
        sink: SendResponse<Bytes>,
        wanted: Wanted,
        place: Arc<Place>,
    ) -> Self {
        let body = if source.is_end_stream() { Body::Read } else { Body::Open };
        let (sink, chunk) = (Sink::Head(sink), Bytes::new());
        let state = State { source, sink, wanted, chunk, taken: 0, body, trailers: None, place };
        Self { shared, state: RefCell::new(state) }
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        ready!(state.poll_fetch(cx))?;
        if state.body == Body::Over {
            state.body = Body::Read;
            return Poll::Ready(Ok(0));
        }
        let length = body::take(&mut state.chunk, room);
        state.taken += length as u64;
        if state.taken > u64::from(NARROW_BYTES) {
            self.shared.wants_wide.set(true);
        }
        let _ = state.source.flow_control().release_capacity(length); // fails when the stream is over
        Poll::Ready(Ok(length))
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.borrow_mut().poll_fetch(cx).map(|_| ())
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        let Rest { send, left, is_over, .. } = match &mut state.sink {
            Sink::Head(_) => return Poll::Ready(state.send_head(bytes)),
            Sink::Body(rest) if rest.is_over => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Sink::Body(rest) => rest,
        };
        let wanted =
            left.map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let bytes = bytes.get(..wanted).unwrap_or_default();
        let length = ready!(body::poll_send(send, cx, bytes, *left, Some(&state.place)))?;
        *is_over = *left == Some(length as u64);
        *left = left.map(|left| left - length as u64);
        Poll::Ready(Ok(length))
    }

    /// The message is complete, but for these trailers: lines as HTTP/1.1 has them.
    pub(crate) fn end(&self, trailers: &[u8]) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        if let Sink::Body(Rest { send, is_over, .. }) = &mut state.sink
            && !std::mem::replace(is_over, true)
        {
            body::end(send, trailers, Some(&state.place))?;
        }
        Ok(())
    }

    /// What came behind the request's body, as lines.
    pub(crate) fn take_trailers(&self, out: &mut Vec<u8>) {
        if let Some(trailers) = self.state.borrow_mut().trailers.take() {
            head::write_trailers(&trailers, out);
        }
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Poll::Ready(Ok(0)), |slice| self.poll_write(cx, slice))
    }

    /// The same as `poll_read`, but wakes nobody when there is something to read later.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(&mut Context::from_waker(Waker::noop()), room)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub(crate) fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end(b""))
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
    pub(crate) fn abort(mut self) {
        match &mut self.state.get_mut().sink {
            Sink::Head(sink) => sink.send_reset(Reason::INTERNAL_ERROR),
            Sink::Body(rest) if rest.is_over => {}
            Sink::Body(rest) => rest.send.send_reset(rest.reset),
        }
    }

    /// The same where nothing was done about the request, though an answer may have been begun: it may be tried again (RFC 9113
    /// §8.7).
    pub(super) fn refuse(mut self) {
        match &mut self.state.get_mut().sink {
            Sink::Head(sink) => sink.send_reset(Reason::REFUSED_STREAM),
            Sink::Body(rest) => rest.send.send_reset(Reason::REFUSED_STREAM),
        }
    }
}

impl State {
    /// Ready when there is something to read: bytes in `chunk`, the end, or an error.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            match self.body {
                Body::Over => return Poll::Ready(Ok(())),
                Body::Read => {
                    ready!(self.sink.poll_reset(cx));
                    return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
                }
                Body::Open => {
                    if let Some(data) = ready!(self.source.poll_data(cx)) {
                        self.chunk = data.map_err(broken)?;
                    } else {
                        self.trailers = ready!(self.source.poll_trailers(cx)).map_err(broken)?;
                        self.body = if self.wanted.is_unmeasured { Body::Over } else { Body::Read };
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A head, which comes in one piece; says how long it was.
    fn send_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Sink::Head(respond) = &mut self.sink else { return Ok(0) };
        let mut answer = head::answer(bytes, self.wanted.tunnel).ok_or(ErrorKind::InvalidData)?;
        let status = answer.head.status();
        if status.is_informational() {
            respond.send_informational(answer.head).map_err(broken)?;
            return Ok(answer.length);
        }
        let has_no_body = self.wanted.is_head || matches!(status.as_u16(), 204 | 304);
        let left = if has_no_body { Some(0) } else { answer.content_length };
        let ends = left == Some(0);
        if ends {
            hold(answer.head.headers_mut(), Some(&self.place));
        }
        let send = respond.send_response(answer.head, ends).map_err(broken)?;
        // RFC 8441 §5: of a tunnel, "the RST_STREAM frame with the CANCEL error code" is what the RST of TCP is.
        let is_tunnel = self.wanted.tunnel && status.is_success();
        let reset = if is_tunnel { Reason::CANCEL } else { Reason::INTERNAL_ERROR };
        self.sink = Sink::Body(Rest { send, left, is_over: ends, reset });
        Ok(answer.length)
    }
}

impl Sink {
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Head(sink) => sink.poll_reset(cx).map(|_| ()),
            Self::Body(rest) => rest.send.poll_reset(cx).map(|_| ()),
        }
    }
}
