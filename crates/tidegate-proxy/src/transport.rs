//! One connected socket. Knows no HTTP, and nothing of what may be encrypted on it.
//!
//! The runtime is asked whether a stream is ready and told when it is not; the bytes move by plain system calls. Reads and
//! writes do not count against what a task may do at a time: whoever repeats them without end sees to that.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tidegate_sys::{is_quiet, receive, transmit, transmit_gathered};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

/// A closed list: dispatch is a branch, and a connection costs its descriptor and no vtable. The rarer one in a box leaves room in the
/// other for whoever wraps both: a client's connection is 16 bytes smaller.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(Box<UnixStream>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Transport::Tcp($inner) => $body,
            Transport::Unix($inner) => $body,
        }
    };
}

impl Transport {
    /// Reads once into `room`; `Ok(0)` is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read(room) {
                Poll::Ready(read) => return Poll::Ready(read),
                Poll::Pending => ready!(each!(self, inner => inner.poll_read_ready(cx)))?,
            }
        }
    }

    /// The same, but wakes nobody when there is something to read later.
    #[inline]
    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.attempt(Interest::READABLE, room.len(), |socket| receive(&socket, room))
    }

    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes.len(), |socket| transmit(&socket, bytes))
    }

    /// As much as the kernel takes now; wakes nobody.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.attempt(Interest::WRITABLE, bytes.len(), |socket| transmit(&socket, bytes))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_send(cx, length, |socket| transmit_gathered(&socket, slices))
    }

    #[inline]
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        send: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.attempt(Interest::WRITABLE, length, &send) {
                Poll::Ready(done) => return Poll::Ready(done),
                Poll::Pending => ready!(each!(self, inner => inner.poll_write_ready(cx)))?,
            }
        }
    }

    /// One system call if the runtime believes that it would not wait. One that moved less than was wanted has emptied or
    /// filled the socket (epoll(7)): the runtime, which listens to "would block" only, is told that, and another call
    /// that finds nothing is spared.
    #[inline]
    fn attempt(
        &self,
        interest: Interest,
        wanted: usize,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut moved_less = None;
        let call = |socket| match call(socket)? {
            moved if 0 < moved && moved < wanted => {
                moved_less = Some(moved);
                Err(ErrorKind::WouldBlock.into())
            }
            moved => Ok(moved),
        };
        let called = each!(self, inner => inner.try_io(interest, || call(inner.as_fd())));
        match (moved_less, called) {
            (Some(moved), _) => Poll::Ready(Ok(moved)),
            (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            (None, called) => Poll::Ready(called),
        }
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

    /// One of another worker, as one of this one: this one's runtime hears of it from now on. Nothing has come that was not read.
    pub(crate) fn taken_over(self) -> io::Result<Self> {
        if !each!(&self, inner => is_quiet(&inner.as_fd())) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(match self {
            Self::Tcp(tcp) => Self::Tcp(TcpStream::from_std(tcp.into_std()?)?),
            Self::Unix(unix) => Self::Unix(Box::new(UnixStream::from_std(unix.into_std()?)?)),
        })
    }

    /// Nobody knows whether there is anything to read: the runtime supposes it of what has just been accepted. Spares whoever
    /// waits a false alarm.
    pub(crate) fn supposes_nothing(&self) {
        let unread = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = each!(self, inner => inner.try_io(Interest::READABLE, unread));
    }

    /// Its number.
    pub(crate) fn descriptor(&self) -> u64 {
        u64::from(each!(self, inner => inner.as_raw_fd()).unsigned_abs())
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
        each!(self, inner => Pin::new(&mut *inner).poll_shutdown(cx))
    }

    /// What the peer's system has not taken yet, and a reset would take back. `None`: nobody is there to take it.
    pub(crate) fn unacknowledged_bytes(&self) -> Option<usize> {
        match self {
            Self::Tcp(_) => self.untaken_bytes(),
            Self::Unix(_) => None, // what is written is there, and stays
        }
    }

    /// What the peer's system has not taken yet; on the same system, the peer. `None`: nobody is there to take it.
    pub(crate) fn untaken_bytes(&self) -> Option<usize> {
        each!(self, inner => tidegate_sys::unacknowledged_bytes(inner)).ok()
    }

    /// Sees to it that the peer sees a reset instead of an orderly end when this is dropped.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            // Not possible only when the socket is gone already, which the peer sees as well.
            let _ = tidegate_sys::reset_on_close(tcp);
        }
    }
}
