//! One stream (RFC 9113 §5.1), and all that a connection has. A stream is in here from its head until whoever serves it lets go
//! of it, whatever the client has done to it meanwhile: so the limit on streams counts what is being served.

use crate::arrived::Arrived;
use crate::request::Wanted;
use crate::window::{ReceiveWindow, SendWindow};
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// Streams that we have reset, of which more may be on its way: that is forgotten, and no fault. So many times as many as may be
/// served at once, and never fewer than so many.
const RESET_TIMES: usize = 4;
const RESET_MIN: usize = 256;

/// Which stream, as long as it is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) wanted: Wanted,
    /// It has been reset, by either side, or its connection is broken.
    pub(crate) is_reset: bool,

    pub(crate) body: Body,
    /// So much of it is to come, if its head said how much there is.
    pub(crate) left: Option<u64>,
    pub(crate) arrived: Arrived,
    pub(crate) window: ReceiveWindow,
    /// Bytes that have been read.
    pub(crate) taken: u64,
    pub(crate) trailers: Vec<u8>,
    pub(crate) reader: Sleeper,

    pub(crate) sending: Sending,
    pub(crate) send_window: SendWindow,
    pub(crate) writer: Sleeper,
    /// Waits for its turn to write.
    pub(crate) is_queued: bool,
}

/// Where the request's body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Open,
    /// Over, and the reader has to be told.
    Over,
    /// Nothing more is read but a reset.
    Read,
}

/// Where the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// No final head has been written.
    Head,
    /// So much is left, if the head said how much there is.
    Body(Option<u64>),
    Over,
}

/// Somebody who waits.
#[derive(Debug, Default)]
pub(crate) struct Sleeper(Option<Waker>);

impl Sleeper {
    #[inline]
    pub(crate) fn sleep(&mut self, cx: &Context<'_>) {
        if !self.0.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.0 = Some(cx.waker().clone());
        }
    }

    #[inline]
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Stream {
    pub(crate) fn wake(&mut self) {
        self.reader.wake();
        self.writer.wake();
    }

    /// All of the request has come.
    pub(crate) fn end_body(&mut self) {
        self.body = if self.wanted.is_unmeasured { Body::Over } else { Body::Read };
    }

    /// Whether a read would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        self.is_reset || !self.arrived.is_empty() || self.body == Body::Over
    }
}

#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// Numbers go up (RFC 9113 §5.1.1), so whatever is new comes last.
    by_id: Vec<(u32, Slot)>,
    /// In the order of their resets.
    reset: VecDeque<u32>,
    reset_max: usize,
}

impl Streams {
    pub(crate) fn new(streams_max: u32) -> Self {
        let reset_max = (streams_max as usize).saturating_mul(RESET_TIMES).max(RESET_MIN);
        Self { reset_max, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Of a stream with a higher number than all before.
    pub(crate) fn insert(&mut self, stream: Stream) -> Slot {
        let id = stream.id;
        let slot = Slot(self.free.pop().unwrap_or(self.slots.len() as u32));
        match self.slots.get_mut(slot.0 as usize) {
            Some(place) => *place = Some(stream),
            None => self.slots.push(Some(stream)),
        }
        self.by_id.push((id, slot));
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Stream> {
        let stream = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.free.push(slot.0);
        if let Ok(place) = self.by_id.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.by_id.remove(place);
        }
        Some(stream)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Stream> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Stream> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn find(&self, id: u32) -> Option<Slot> {
        let place = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.by_id.get(place).map(|(_, slot)| *slot)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().flatten()
    }

    pub(crate) fn note_reset(&mut self, id: u32) {
        if self.reset.len() >= self.reset_max {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    pub(crate) fn was_reset(&self, id: u32) -> bool {
        self.reset.contains(&id)
    }

    /// Gives memory back that is not needed at the time.
    pub(crate) fn trim(&mut self) {
        if self.is_empty() {
            let (mut reset, reset_max) = (std::mem::take(&mut self.reset), self.reset_max);
            reset.shrink_to_fit();
            *self = Self { reset, reset_max, ..Self::default() };
        }
    }
}
