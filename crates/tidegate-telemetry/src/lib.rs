//! Metrics and the access log: counted on the workers without locks, merged and written elsewhere.
//!
//! Knows no request internals: it is handed numbers, words and bytes.

pub mod access_log;
pub mod families;
pub mod histogram;
pub mod registry;

pub use access_log::{AccessLog, AccessLogHandle};
pub use families::Family;
pub use histogram::Histogram;
pub use registry::{Counter, Gauge, Registry};
