//! Metrics and the access log: counted on the workers without locks, merged and written elsewhere.
//!
//! Knows no request internals: it is handed numbers, words and bytes.

#![forbid(unsafe_code)]

pub mod access_log;
pub mod exposition;
pub mod families;
pub mod histogram;
pub mod process;
pub mod registry;
mod value;

pub use access_log::{AccessLog, AccessLogHandle};
pub use families::Family;
pub use histogram::{Distribution, Histogram};
pub use registry::{Counter, Gauge, Registry};
