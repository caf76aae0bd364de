//! A connection as the h2 crate wants one. Knows no frames, but lets them be watched.

use super::guard::Watch;
use super::settled::Settled;
use crate::stream::Stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    /// Read before it was known what the connection speaks; read first.
    received: Vec<u8>,
    watch: Option<Rc<Watch>>,
    settled: Option<Rc<Settled>>,
    portion: Portion,
    /// Our side has ended.
    has_ended: bool,
    /// So much more is read and forgotten.
    forgets: usize,
}

/// How much is asked for at a time. Room has to be cleared before anything is read into it, so that it costs time, and memory
/// once it has been touched: there is as much as is likely to come.
#[derive(Debug)]
struct Portion(usize);

/// Some small requests; more than the library has room for.
const PORTIONS: (usize, usize) = (1024, 64 * 1024);

impl Default for Portion {
    fn default() -> Self {
        Self(PORTIONS.0)
    }
}

impl Portion {
    fn learn(&mut self, came: usize, asked: usize) {
        if came == asked {
            self.0 = (self.0 * 4).min(PORTIONS.1);
        } else if came < self.0 / 4 {
            self.0 = (self.0 / 2).max(PORTIONS.0);
        }
    }
}

/// What a client may still say when our side has ended, mostly about windows.
const FORGETS: usize = 256 * 1024;

impl Io {
    pub(super) fn new(stream: Stream, received: Vec<u8>) -> Self {
        let portion = Portion::default();
        Self { stream, received, watch: None, settled: None, portion, has_ended: false, forgets: FORGETS }
    }

    /// Because anybody may be at its other end.
    #[must_use]
    pub(super) fn watched_by(mut self, watch: Rc<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Because somebody wants to know what the other end allows.
    #[must_use]
    pub(super) fn settling(mut self, settled: Rc<Settled>) -> Self {
        self.settled = Some(settled);
        self
    }

    /// What came of sending.
    fn watched<T>(&self, sent: Poll<T>) -> Poll<T> {
        if let Some(watch) = &self.watch {
            watch.stalls(sent.is_pending());
        }
        sent
    }

    fn has_fault(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.has_fault())
    }

    /// How many of these bytes go on.
    fn receive(&self, bytes: &[u8]) -> usize {
        if let Some(settled) = &self.settled {
            settled.receive(bytes);
        }
        self.watch.as_ref().map_or(bytes.len(), |watch| watch.receive(bytes))
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_fault() {
            return Poll::Pending; // whoever drives the connection is about to end it
        }
        let length = if this.received.is_empty() {
            let asked = this.portion.0.min(room.remaining());
            let length = ready!(this.stream.poll_read(cx, room.initialize_unfilled_to(asked)))?;
            room.advance(length);
            this.portion.learn(length, asked);
            length
        } else {
            let length = this.received.len().min(room.remaining());
            room.put_slice(this.received.get(..length).unwrap_or_default());
            this.received.drain(..length);
            length
        };
        let begin = room.filled().len() - length;
        let passed = this.receive(room.filled().get(begin..).unwrap_or_default());
        room.set_filled(begin + passed);
        if passed == 0 && length > 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.watched(self.stream.poll_write(cx, bytes)))?;
        if let Some(watch) = &self.watch {
            watch.send(bytes.get(..length).unwrap_or_default());
        }
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = ready!(self.watched(self.stream.poll_write_vectored(cx, slices)))?;
        if let Some(watch) = &self.watch {
            watch.send_vectored(slices, length);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what was written is with the kernel
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_ended {
            ready!(this.stream.poll_shutdown(cx))?;
            this.has_ended = true;
        }
        if let Some(watch) = &this.watch {
            // Closing over what a client says would be a reset, and lose what it has not read yet (RFC 9112 §9.6).
            let mut room = [0; 1024];
            while this.forgets > 0 {
                let Ok(length @ 1..) = ready!(this.stream.poll_read(cx, &mut room)) else { break };
                this.forgets = this.forgets.saturating_sub(length);
                watch.hear();
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_follows_what_comes() {
        let mut portion = Portion::default();
        for (came, asked, next) in [
            (1024, 1024, 4096),
            (4096, 4096, 16_384),
            (8192, 8192, 65_536), // there was room for no more
            (65_536, 65_536, 65_536),
            (30_000, 65_536, 65_536),
            (100, 65_536, 32_768),
            (100, 32_768, 16_384),
        ] {
            portion.learn(came, asked);
            assert_eq!(portion.0, next, "{came} of {asked}");
        }
        (0..9).for_each(|_| portion.learn(50, portion.0));
        assert_eq!(portion.0, PORTIONS.0);
    }
}
