//! A fixed buffer with a readable region, and a pinned front that survives while the region moves on.

/// Room for one head, and for a body on its way through. Larger means fewer system calls per megabyte; pages that small
/// messages never touch cost no memory.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// `[ pinned | consumed | readable | room ]`: bytes enter at the back, leave at the front of `readable`.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    pinned: usize,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::on(vec![0; capacity].into_boxed_slice())
    }

    #[inline]
    pub(crate) fn readable(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn readable_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The head that `pin` set aside.
    #[inline]
    pub(crate) fn pinned(&self) -> &[u8] {
        self.bytes.get(..self.pinned).unwrap_or_default()
    }

    pub(crate) fn pinned_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.pinned).unwrap_or_default()
    }

    /// Sets the first `length` readable bytes aside; they stay in place until `unpin`. Only on a compacted buffer.
    pub(crate) fn pin(&mut self, length: usize) {
        debug_assert_eq!(self.start, 0, "only a compacted buffer can be pinned");
        self.pinned = length.min(self.end);
        self.start = self.pinned;
    }

    /// Forgets the pinned bytes and moves what is still readable to the front.
    pub(crate) fn unpin(&mut self) {
        self.pinned = 0;
        self.compact();
    }

    #[inline]
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            self.start = self.pinned;
            self.end = self.pinned;
        }
    }

    /// Where the next read goes. Makes room by moving the readable bytes forward when the back is full; empty only when
    /// the buffer is full of readable bytes.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            self.compact();
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Sees to room for another read, in a larger buffer when this one is full: for a head, which must be whole in here and
    /// whose length the parser bounds.
    #[inline]
    pub(crate) fn grow_when_full(&mut self) {
        if self.room().is_empty() {
            self.grow(self.bytes.len() * 2);
        }
    }

    /// Sees to `length` bytes behind the pinned head, whatever they hold now.
    #[inline]
    pub(crate) fn reserve_behind_head(&mut self, length: usize) {
        if self.bytes.len() - self.pinned < length {
            self.grow(self.pinned + length);
        }
    }

    #[cold]
    fn grow(&mut self, capacity: usize) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.resize(capacity.max(1), 0);
        self.bytes = bytes.into_boxed_slice();
    }

    /// Of the usual size: worth keeping when the request is over.
    pub(crate) fn is_usual(&self) -> bool {
        self.bytes.len() <= BUFFER_BYTES
    }

    /// `length` bytes of `room` have been filled.
    #[inline]
    pub(crate) fn filled(&mut self, length: usize) {
        self.end = (self.end + length).min(self.bytes.len());
    }

    /// A buffer on memory that is borrowed for a while.
    pub(crate) fn on(memory: Box<[u8]>) -> Self {
        Self { bytes: memory, pinned: 0, start: 0, end: 0 }
    }

    /// Leaves a buffer without memory.
    pub(crate) fn take_memory(&mut self) -> Box<[u8]> {
        self.clear();
        std::mem::take(&mut self.bytes)
    }

    /// Exchanges the memory under a buffer without a pinned head, and takes along what is readable; `memory` becomes
    /// as large as this one's was if that does not fit.
    #[inline]
    pub(crate) fn move_to(&mut self, memory: &mut Box<[u8]>) {
        debug_assert_eq!(self.pinned, 0, "a pinned head is elsewhere afterwards");
        if !self.is_empty() {
            self.carry_over(memory);
        }
        std::mem::swap(&mut self.bytes, memory);
        (self.start, self.end) = (0, self.end - self.start);
    }

    #[cold]
    fn carry_over(&self, memory: &mut Box<[u8]>) {
        let held = self.readable();
        if memory.len() < held.len() {
            *memory = vec![0; self.bytes.len()].into_boxed_slice();
        }
        if let Some(room) = memory.get_mut(..held.len()) {
            room.copy_from_slice(held);
        }
    }

    /// Puts `bytes`, the rest of what has passed elsewhere, behind what is readable, in a larger buffer when this one is
    /// too small.
    pub(crate) fn append_rest(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.bytes.len() < end {
            self.grow(end);
        }
        if let Some(room) = self.bytes.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
            self.end = end;
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.pinned, self.start, self.end) = (0, 0, 0);
    }

    fn compact(&mut self) {
        if self.start > self.pinned {
            self.bytes.copy_within(self.start..self.end, self.pinned);
            self.end -= self.start - self.pinned;
            self.start = self.pinned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn a_pinned_head_stays_while_the_body_moves_through() {
        let mut buffer = Buffer::with_capacity(8);
        put(&mut buffer, b"headbody");
        buffer.pin(4);
        assert_eq!(buffer.readable(), b"body");
        assert!(buffer.room().is_empty(), "full");
        buffer.consume(3);
        assert_eq!(buffer.room().len(), 3, "room is made behind the pinned bytes");
        put(&mut buffer, b"123");
        assert_eq!((buffer.pinned(), buffer.readable()), (&b"head"[..], &b"y123"[..]));
        buffer.consume(3);
        buffer.unpin();
        assert_eq!((buffer.pinned(), buffer.readable()), (&b""[..], &b"3"[..]));
    }

    #[test]
    fn a_head_longer_than_the_buffer_gets_a_larger_one_and_keeps_room_for_a_body() {
        let mut buffer = Buffer::with_capacity(8);
        put(&mut buffer, b"longhead");
        buffer.grow_when_full();
        put(&mut buffer, b"and more");
        buffer.pin(16);
        buffer.reserve_behind_head(4);
        put(&mut buffer, b"body");
        assert_eq!((buffer.pinned(), buffer.readable()), (&b"longheadand more"[..], &b"body"[..]));
        buffer.reserve_behind_head(4);
        assert!(buffer.room().is_empty(), "bytes of a body do not make a buffer grow");
    }

    #[test]
    fn what_is_readable_moves_along_to_other_memory() {
        let mut buffer = Buffer::with_capacity(16);
        put(&mut buffer, b"sent and not yet");
        buffer.consume(9);
        let mut large = vec![0; 8].into_boxed_slice();
        buffer.move_to(&mut large);
        assert_eq!((buffer.readable(), large.len()), (&b"not yet"[..], 16));
        assert_eq!(buffer.room().len(), 1);
        let mut small = vec![0; 4].into_boxed_slice();
        buffer.move_to(&mut small);
        assert_eq!((buffer.readable(), small.len()), (&b"not yet"[..], 8), "and the memory grew for it");
    }

    #[test]
    fn the_rest_of_a_body_that_passed_elsewhere_goes_on_behind_the_head() {
        let mut buffer = Buffer::with_capacity(8);
        put(&mut buffer, b"headbody");
        buffer.pin(4);
        buffer.consume(4);
        buffer.append_rest(b"rest of it");
        assert_eq!((buffer.pinned(), buffer.readable()), (&b"head"[..], &b"rest of it"[..]));
    }
}
