//! One stream of a connection to an endpoint, written and read like a connection of its own that carries one request.
//!
//! Written are the head of a request, as HTTP/1.1 has it, and its body without framing. Read are the heads of answers,
//! written out in the same way, and the body of the last one.

use super::body::{self, broken};
use super::breach::Breach;
use super::head::{self, Tunnel};
use super::upstream::Occupied;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

#[derive(Debug)]
pub(crate) struct Http2Request {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    sink: Sink,
    source: Source,
    /// Heads, as they are read.
    head: Vec<u8>,
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    /// What the request asks to become, if it is no message but the beginning of a tunnel.
    tunnel: Option<Tunnel>,
    /// One of the streams that the connection may have.
    occupied: Occupied,
}

#[derive(Debug)]
enum Sink {
    /// Nothing has been written.
    Head(SendRequest<Bytes>),
    Body(SendStream<Bytes>),
    Over(SendStream<Bytes>),
    Gone,
}

#[derive(Debug)]
enum Source {
    /// Nothing has been asked for.
    Nothing,
    /// Nothing could be asked for.
    Failed(ErrorKind, Option<Breach>),
    Head(ResponseFuture),
    Body(RecvStream),
    Over,
}

impl Http2Request {
    pub(super) fn new(sender: SendRequest<Bytes>, occupied: Occupied) -> Self {
        let state = State {
            sink: Sink::Head(sender),
            source: Source::Nothing,
            head: Vec::new(),
            chunk: Bytes::new(),
            trailers: None,
            tunnel: None,
            occupied,
        };
        Self { state: RefCell::new(state) }
    }

    /// Whether it may be the beginning of a tunnel; `None`: the connection ended before the endpoint had said.
    pub(crate) fn may_open_tunnel(&self) -> impl Future<Output = Option<bool>> + use<> {
        self.state.borrow().occupied.takes_tunnels()
    }

    /// What the endpoint has done wrong, if the connection has ended by that.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.state.borrow().occupied.breach()
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        if !ready!(state.poll_fetch(cx))? {
            return Poll::Ready(Ok(0));
        }
        if !state.head.is_empty() {
            let length = body::take(&mut state.head.as_slice(), room);
            state.head.drain(..length);
            return Poll::Ready(Ok(length));
        }
        let length = body::take(&mut state.chunk, room);
        if let Source::Body(source) = &mut state.source {
            let _ = source.flow_control().release_capacity(length); // fails when the stream is over
        }
        Poll::Ready(Ok(length))
    }

    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(&mut Context::from_waker(Waker::noop()), room)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.borrow_mut().poll_fetch(cx).map(|_| ())
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        let send = match &mut state.sink {
            Sink::Head(sender) => {
                let is_ready = ready!(sender.poll_ready(cx)).map_err(|error| state.occupied.failed(&error));
                let sent = is_ready.and_then(|()| state.send_head(bytes));
                // Whoever waits for an answer has to hear of it as well.
                return Poll::Ready(sent.inspect_err(|error| {
                    state.source = Source::Failed(error.kind(), Breach::behind(error));
                }));
            }
            Sink::Body(send) => send,
            Sink::Over(_) | Sink::Gone => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        };
        body::poll_send(send, cx, bytes)
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
        let state = &mut *self.state.borrow_mut();
        state.sink = match std::mem::replace(&mut state.sink, Sink::Gone) {
            Sink::Body(mut send) => {
                body::end(&mut send, trailers)?;
                Sink::Over(send)
            }
            other => other,
        };
        Ok(())
    }

    pub(crate) fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end(b""))
    }

    pub(crate) fn take_trailers(&self, out: &mut Vec<u8>) {
        if let Some(trailers) = self.state.borrow_mut().trailers.take() {
            head::write_trailers(&trailers, out);
        }
    }
}

impl State {
    /// Ready when there is something to read, or (`false`) the end.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.head.is_empty() && self.chunk.is_empty() {
            match &mut self.source {
                Source::Nothing => return Poll::Pending,
                Source::Failed(_, Some(breach)) => return Poll::Ready(Err((*breach).into())),
                Source::Failed(kind, None) => return Poll::Ready(Err((*kind).into())),
                Source::Over => return Poll::Ready(Ok(false)),
                Source::Head(response) => {
                    if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                        let interim = interim.map_err(|error| self.occupied.failed(&error))?;
                        head::write_answer(&interim.into_parts().0, false, &mut self.head);
                        continue;
                    }
                    let response =
                        ready!(Pin::new(response).poll(cx)).map_err(|error| self.occupied.failed(&error))?;
                    let (parts, source) = response.into_parts();
                    match self.tunnel.take().filter(|_| parts.status.is_success()) {
                        Some(tunnel) => head::write_switch(&parts, &tunnel, &mut self.head),
                        None => head::write_answer(&parts, source.is_end_stream(), &mut self.head),
                    }
                    self.source = Source::Body(source);
                }
                Source::Body(source) => {
                    if let Some(data) = ready!(source.poll_data(cx)) {
                        self.chunk = data.map_err(broken)?;
                    } else {
                        self.trailers = ready!(source.poll_trailers(cx)).map_err(broken)?;
                        self.source = Source::Over;
                    }
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    /// A head, which comes in one piece; says how long it was.
    fn send_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Sink::Head(sender) = &mut self.sink else { return Ok(0) };
        let request = head::request(bytes, self.occupied.scheme()).ok_or(ErrorKind::InvalidData)?;
        let ends = !request.has_body && request.tunnel.is_none();
        let begun = sender.send_request(request.head, ends);
        let (response, send) = begun.map_err(|error| {
            self.occupied.connection_ends(); // its numbers are used up, or it says goodbye
            self.occupied.failed(&error)
        })?;
        (self.source, self.tunnel) = (Source::Head(response), request.tunnel);
        self.sink = if ends { Sink::Over(send) } else { Sink::Body(send) };
        Ok(request.length)
    }
}

impl Drop for State {
    /// An exchange that is given up is taken back.
    fn drop(&mut self) {
        if let (Sink::Body(send) | Sink::Over(send), false) =
            (&mut self.sink, matches!(self.source, Source::Over))
        {
            send.send_reset(Reason::CANCEL);
        }
    }
}

impl Occupied {
    /// `ConnectionRefused`: the endpoint has not looked at the request, and says so (RFC 9113 §8.7). Or what it does wrong.
    fn failed(&self, error: &h2::Error) -> io::Error {
        if error.is_go_away() || error.is_io() {
            self.connection_ends();
        }
        let is_unseen = error.reason() == Some(Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR));
        if is_unseen {
            return ErrorKind::ConnectionRefused.into();
        }
        self.breach_by(error).map_or(ErrorKind::ConnectionReset.into(), io::Error::from)
    }
}
