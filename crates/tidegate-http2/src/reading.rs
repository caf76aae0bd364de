//! What streams hear from the other side: bytes of bodies, their ends, and how much may be under way.

use crate::connection::{Closed, Connection, Width};
use crate::frame::kind;
use crate::settings;
use crate::stream::{Body, Slot, Stream};
use crate::window::{NARROW_BYTES, WIDE_BYTES, WIDE_STREAM_BYTES};
use std::task::{Context, Poll};

impl Connection {
    /// So much of what came need not be kept any more.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.window.give_back(bytes) {
            self.out.put_window(0, more);
        }
    }

    /// Reads what has come of a body; `Ok(0)` is its end, which those are told whose length was not, as often as they read.
    pub fn poll_read(
        &mut self,
        slot: Slot,
        cx: &Context<'_>,
        room: &mut [u8],
    ) -> Poll<Result<usize, Closed>> {
        let read = self.try_read(slot, room);
        if read.is_pending()
            && let Some(stream) = self.streams.get_mut(slot)
        {
            stream.reader.sleep(cx);
        }
        read
    }

    /// The same, but wakes nobody when there is something to read later.
    pub fn try_read(&mut self, slot: Slot, room: &mut [u8]) -> Poll<Result<usize, Closed>> {
        let Some(stream) = self.streams.get_mut(slot) else { return Poll::Ready(Err(Closed)) };
        if let Some(length) = stream.question.as_mut().and_then(|question| question.take_heads(room)) {
            return Poll::Ready(Ok(length));
        }
        if stream.arrived.is_empty() {
            // An answer that has come whole is whole, whatever became of its connection.
            if stream.body == Body::Over && (stream.question.is_some() || !stream.is_reset) {
                stream.body = Body::Read;
                return Poll::Ready(Ok(0));
            }
            return match stream.body {
                _ if stream.is_reset => Poll::Ready(Err(Closed)),
                Body::Read if stream.wanted.is_unmeasured => Poll::Ready(Ok(0)),
                _ => Poll::Pending,
            };
        }
        let length = stream.arrived.take(room);
        stream.taken += length as u64;
        if self.width == Width::Narrow && stream.taken > u64::from(NARROW_BYTES) {
            self.width = Width::Wanted;
        }
        let more = stream.window.give_back(length).filter(|_| stream.body == Body::Open && !stream.is_reset);
        let id = stream.id;
        if let Some(more) = more {
            self.out.put_window(id, more);
        }
        self.give_back(length);
        if self.wants_wide() || !self.out.is_empty() {
            self.wake_driver();
        }
        Poll::Ready(Ok(length))
    }

    pub fn poll_readable(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(slot) {
            Some(stream) if !stream.is_readable() => {
                stream.reader.sleep(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    pub fn is_readable(&self, slot: Slot) -> bool {
        self.streams.get(slot).is_none_or(Stream::is_readable)
    }

    /// Whoever reads the body wants to be told its end, though its length is known: for what comes behind it.
    pub fn expect_end(&mut self, slot: Slot) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.wanted.is_unmeasured = true;
            if stream.body == Body::Read {
                stream.body = Body::Over;
            }
        }
    }

    /// It has been reset, by either side, or its connection is broken.
    pub fn is_closed(&self, slot: Slot) -> bool {
        self.streams.get(slot).is_none_or(|stream| stream.is_reset)
    }

    /// The same, and whoever reads is woken when it happens.
    pub fn poll_closed(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(slot) {
            Some(stream) if !stream.is_reset => {
                stream.reader.sleep(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// What came behind the body, as lines.
    pub fn take_trailers(&mut self, slot: Slot) -> Vec<u8> {
        self.streams.get_mut(slot).map(|stream| std::mem::take(&mut stream.trailers)).unwrap_or_default()
    }

    /// Somebody takes more of a body than clients may send at once to begin with.
    pub fn wants_wide(&self) -> bool {
        self.width == Width::Wanted
    }

    /// This client gets no more than that; the next piece that is taken asks again.
    pub fn stay_narrow(&mut self) {
        self.width = Width::Narrow;
    }

    /// From now on the client may send more at a time, on all of its streams. `false`: not before it has understood what it was
    /// told at the beginning.
    pub fn widen(&mut self) -> bool {
        if self.settings_unheard > 0 {
            return false;
        }
        (self.width, self.settings_unheard) = (Width::Wide, 1);
        self.out.put(kind::SETTINGS, 0, 0, &settings::window(WIDE_STREAM_BYTES));
        self.stream_window_bytes = WIDE_STREAM_BYTES;
        for stream in self.streams.iter_mut() {
            stream.window.widen(WIDE_STREAM_BYTES);
        }
        self.hearing.widen(WIDE_STREAM_BYTES);
        let more = self.window.widen(WIDE_BYTES);
        self.out.put_window(0, more);
        true
    }
}
