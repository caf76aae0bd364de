//! The control plane: from a checked configuration to a running proxy, and what keeps it running.
//!
//! Owns the workers' threads, the listening sockets, name resolution, health checks, the admin listener and the signals.
//! Never touches a request. Modules in the order a configuration meets them.

#![forbid(unsafe_code)]

mod chance; // seeds and jitter
mod control; // start, reload, stop
mod listening; // the sockets that are bound, and handing them to the workers
mod logs; // the access log across reloads
mod lower; // configuration + what lived before → snapshot
mod names; // host names of endpoints, looked up again and again
mod places; // where to listen: names of the configuration become addresses
mod signals; // what the operator asks for while it runs
mod voice; // lines for the operator

pub use control::{AdminChoice, Control, Options, StartError};
pub use signals::{Loaded, ServeError, Source};
pub use voice::{Level, Voice};
