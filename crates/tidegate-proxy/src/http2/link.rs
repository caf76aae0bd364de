//! A connection's frames and the socket that they go through: what clients' connections and those to endpoints have in common.

use crate::stream::Stream;
use crate::workspace::Workspaces;
use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};
use tidegate_http2::Connection;

/// Read at once.
const PORTION_BYTES: usize = 64 * 1024;

/// Reads before others of the worker have a turn.
const READS_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Link {
    /// Frames, as far as they are understood and have not left.
    pub(super) connection: RefCell<Connection>,
    /// Where they come from and go to, until it is closed.
    io: RefCell<Option<Stream>>,
    /// Of whoever moves them.
    driver: RefCell<Waker>,
    /// The other side does not take what it is sent.
    pub(super) has_stalled: Cell<bool>,
    /// It is not there any more.
    pub(super) is_gone: Cell<bool>,
    /// It has said something since that was asked last; or something was sent.
    pub(super) has_heard: Cell<bool>,
    pub(super) has_sent: Cell<bool>,
}

impl Link {
    pub(super) fn new(connection: Connection, io: Stream) -> Self {
        Self {
            connection: RefCell::new(connection),
            io: RefCell::new(Some(io)),
            driver: RefCell::new(Waker::noop().clone()),
            has_stalled: Cell::new(false),
            is_gone: Cell::new(false),
            has_heard: Cell::new(false),
            has_sent: Cell::new(false),
        }
    }

    /// Whoever moves frames does so now.
    pub(super) fn drive(&self, cx: &Context<'_>) {
        self.driver.borrow_mut().clone_from(cx.waker());
        self.connection.borrow_mut().drive(cx);
    }

    /// Sends what there is to send, as far as the other side takes it.
    pub(super) fn flush(&self, cx: &mut Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        let io = self.io.borrow();
        let Some(io) = io.as_ref() else { return };
        while !connection.unsent().is_empty() {
            match io.poll_write(cx, connection.unsent()) {
                Poll::Ready(Ok(length @ 1..)) => {
                    connection.handle_sent(length);
                    self.has_sent.set(true);
                }
                Poll::Ready(_) => {
                    self.is_gone.set(true);
                    return connection.lose();
                }
                Poll::Pending => return self.has_stalled.set(true),
            }
        }
        self.has_stalled.set(false);
    }

    /// Before a piece of a message is put behind others: sends those first, if there is no room for it. Whoever moves frames is the one
    /// that waits for the other side.
    pub(super) fn make_room(&self) {
        if self.connection.borrow().is_full() {
            let driver = self.driver.borrow();
            self.flush(&mut Context::from_waker(&driver));
        }
    }

    /// Reads once, whatever it is.
    pub(super) fn poll_hear(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.borrow().as_ref().map_or(Poll::Ready(Ok(0)), |io| io.poll_read(cx, room))
    }

    /// Ends our side.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.borrow_mut().as_mut().map_or(Poll::Ready(Ok(())), |io| io.poll_shutdown(cx))
    }

    pub(super) fn close(&self) {
        self.io.take();
    }

    /// Reads until there is nothing more, it is somebody else's turn, or `take` says `Break`. `rest` is what has come of a frame that is not
    /// whole; `take` says how much it took of what is whole.
    pub(super) fn receive(
        &self,
        cx: &mut Context<'_>,
        workspaces: &Workspaces,
        rest: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> Taken,
    ) {
        for _ in 0..READS_MAX {
            if !self.connection.borrow_mut().may_read() {
                return;
            }
            match workspaces.with_scratch(|room| self.poll_read(cx, room, rest, &mut take)) {
                Poll::Ready(true) => {}
                Poll::Ready(false) | Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Reads once, behind what has come of a frame. Whether to go on.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
        rest: &mut Vec<u8>,
        take: &mut impl FnMut(&[u8]) -> Taken,
    ) -> Poll<bool> {
        let held = rest.len();
        let end = room.len().min(held + PORTION_BYTES);
        let Some(portion) = room.get_mut(held..end) else { return Poll::Pending };
        let read = ready!(self.poll_hear(cx, portion));
        let Ok(length @ 1..) = read else {
            self.is_gone.set(true); // one that ends its side only is gone as well
            return Poll::Ready(false);
        };
        if let Some(front) = room.get_mut(..held) {
            front.copy_from_slice(rest);
        }
        self.has_heard.set(true);
        let bytes = room.get(..held + length).unwrap_or_default();
        let Taken { length, goes_on } = take(bytes);
        rest.clear();
        rest.extend_from_slice(bytes.get(length..).unwrap_or_default());
        Poll::Ready(goes_on)
    }
}

/// Of what has been read.
pub(super) struct Taken {
    pub(super) length: usize,
    /// Nothing is wrong with it.
    pub(super) goes_on: bool,
}
