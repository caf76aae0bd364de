//! One worker's end of the access log: a bounded buffer that the writing thread empties. Knows nothing of formats and
//! files.

use crate::families::{ACCESS_LOG_DROPPED, ACCESS_LOG_LINES};
use crate::{Counter, Registry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// One worker's end.
///
/// The lock is held for a copy of one line here and for the swap of two pointers in the writing thread, never while
/// anything is written: a worker does not wait for a file or a pipe.
#[derive(Debug, Default)]
pub struct AccessLogHandle {
    pending: Mutex<Lines>,
    open: Option<Open>,
}

/// What a handle has unless its log is off.
#[derive(Debug)]
struct Open {
    bytes_max: usize,
    writer: Thread,
    lines: Arc<Counter>,
    dropped: Arc<Counter>,
}

/// Whole lines, and how many.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u64,
}

impl AccessLogHandle {
    pub(super) fn new(number: usize, bytes_max: usize, writer: Thread, registry: &Registry) -> Self {
        let open = Open {
            bytes_max,
            writer,
            lines: registry.counter(number, &ACCESS_LOG_LINES, &[]),
            dropped: registry.counter(number, &ACCESS_LOG_DROPPED, &[]),
        };
        Self { pending: Mutex::default(), open: Some(open) }
    }

    /// Whether lines go anywhere; when not, none needs to be formatted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Appends one line; drops it, counted, when the buffer is full.
    pub fn write(&self, line: &[u8]) {
        let Some(open) = &self.open else { return };
        let mut pending = self.lock();
        open.lines.add_from_any_thread(1); // an earlier log's handle may still count in the same cell
        let before = pending.bytes.len();
        if before + line.len() > open.bytes_max {
            open.dropped.add_from_any_thread(1);
            return;
        }
        pending.bytes.extend_from_slice(line);
        pending.count += 1;
        let after = pending.bytes.len();
        drop(pending);
        // Half full: do not wait for the next flush. Asked for once a filling, not once a line.
        let half = open.bytes_max / 2;
        if before < half && after >= half {
            open.writer.unpark();
        }
    }

    /// Takes what is pending and leaves the other, empty.
    pub(super) fn swap(&self, other: &mut Lines) {
        other.bytes.clear();
        other.count = 0;
        std::mem::swap(&mut *self.lock(), other);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
