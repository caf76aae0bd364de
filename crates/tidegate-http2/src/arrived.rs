//! Bytes of a body that have arrived, until somebody reads them; as many as the windows let come. Knows no windows.

/// Room that a stream keeps when all has been read: what a client may send before somebody takes much of it.
const KEPT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    read: usize,
}

impl Arrived {
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.read > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Moves the beginning into `room`.
    pub(crate) fn take(&mut self, room: &mut [u8]) -> usize {
        let arrived = self.bytes.get(self.read..).unwrap_or_default();
        let length = arrived.len().min(room.len());
        if let (Some(room), Some(arrived)) = (room.get_mut(..length), arrived.get(..length)) {
            room.copy_from_slice(arrived);
        }
        self.read += length;
        if self.is_empty() {
            self.read = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        length
    }

    /// Forgets all; says how much that was.
    pub(crate) fn clear(&mut self) -> usize {
        let forgotten = std::mem::take(self);
        forgotten.bytes.len() - forgotten.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_put() {
        let mut arrived = Arrived::default();
        let (mut put, mut taken) = (Vec::new(), Vec::new());
        for round in 0..100_usize {
            let piece = vec![round as u8; round * 37 % 500];
            arrived.put(&piece);
            put.extend_from_slice(&piece);
            let mut room = vec![0; round * 53 % 300];
            let length = arrived.take(&mut room);
            taken.extend_from_slice(&room[..length]);
        }
        assert_eq!(arrived.clear(), put.len() - taken.len());
        assert!(put.starts_with(&taken) && arrived.is_empty());
    }
}
