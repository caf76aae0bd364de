//! The access log: a line formatted on the worker, a bounded buffer, a thread that writes. Never blocks a worker.
//!
//! Knows neither requests nor the clock; it is handed records and lines.

mod buffer;
mod escape;
mod json;
mod number;
mod record;
mod text;
mod timestamp;
mod writer;

pub use buffer::AccessLogHandle;
pub use record::{Failure, Format, Formatter, GivenUp, Hedge, Record, Sticky, Tls};
pub use timestamp::Timestamp;
pub use writer::{AccessLog, OpenError, Target};
