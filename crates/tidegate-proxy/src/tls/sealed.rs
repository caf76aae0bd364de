//! Encrypted bytes on their way out. Its memory only grows, and what has been written to once is not cleared again: who writes
//! a record says how much of the room it took.

/// Bytes that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    memory: Vec<u8>,
    filled: usize,
}

impl Sealed {
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The memory stays.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()) {
            room.copy_from_slice(bytes);
            self.filled += bytes.len();
        }
    }

    /// These have been sent. Without any left it holds no memory.
    pub(super) fn sent(&mut self, length: usize) {
        if length >= self.filled {
            *self = Self::default();
        } else {
            self.memory.copy_within(length..self.filled, 0);
            self.filled -= length;
        }
    }

    /// Lets `write` put so many bytes at most behind the others, and say how many it were.
    pub(super) fn write<E>(
        &mut self,
        bytes_max: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let written = write(self.room(bytes_max).unwrap_or_default())?;
        self.filled = self.memory.len().min(self.filled + written);
        Ok(())
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        let end = self.filled + length;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        self.memory.get_mut(self.filled..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sealed: &mut Sealed, bytes: &[u8], room: usize) {
        let write = |to: &mut [u8]| {
            to[..bytes.len()].copy_from_slice(bytes);
            Ok::<_, ()>(bytes.len())
        };
        sealed.write(room, write).unwrap();
    }

    #[test]
    fn what_is_written_follows_what_waits_and_leaves_in_order() {
        let mut sealed = Sealed::default();
        put(&mut sealed, b"first", 64);
        sealed.append(b", ");
        put(&mut sealed, b"second", 6);
        assert_eq!(sealed.bytes(), b"first, second");
        sealed.sent(7);
        assert_eq!(sealed.bytes(), b"second");
        assert_eq!(sealed.write(8, |_| Err::<usize, _>("no")), Err("no"));
        assert_eq!(sealed.bytes(), b"second", "what failed has written nothing");
        sealed.sent(6);
        assert!(sealed.is_empty() && sealed.memory.capacity() == 0);
    }

    #[test]
    fn nothing_of_what_was_there_before_is_taken_for_new() {
        let mut sealed = Sealed::default();
        put(&mut sealed, b"a long one", 64);
        sealed.clear();
        put(&mut sealed, b"short", 64);
        assert_eq!(sealed.bytes(), b"short");
    }
}
