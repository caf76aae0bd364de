//! A connection to an endpoint as the h2 crate wants one. Knows no frames.

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
    /// Whether the endpoint has said what it allows.
    settled: Rc<Settled>,
    portion: Portion,
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

impl Io {
    pub(super) fn new(stream: Stream, settled: Rc<Settled>) -> Self {
        Self { stream, settled, portion: Portion::default() }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let asked = this.portion.0.min(room.remaining());
        let length = ready!(this.stream.poll_read(cx, room.initialize_unfilled_to(asked)))?;
        room.advance(length);
        this.portion.learn(length, asked);
        let begin = room.filled().len() - length;
        this.settled.receive(room.filled().get(begin..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what was written is with the kernel
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
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
