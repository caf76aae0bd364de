//! The control plane: from a checked configuration to a running proxy, and what keeps it running.
//!
//! Owns the workers' threads, the listening sockets, name resolution, health checks, the admin listener and the signals.
//! Never touches a request. Modules in the order a configuration meets them.

#![forbid(unsafe_code)]

mod control; // a running proxy, seen from outside
mod core; // the life of a configuration: start, reload, drain
mod credentials; // what clusters need from files
mod look; // into files, before anything starts
mod secrets; // what sticky cookies are made with
mod signals; // what the operator asks for while it runs
mod state; // where the system keeps what a program remembers

mod fleet; // the workers, told all at once
mod listening; // the sockets that are bound
mod logs; // the access log across reloads
mod lower; // configuration + what lived before → snapshot
mod memory; // how much of it requests may use
mod names; // host names of endpoints, looked up again and again
mod places; // where to listen: names of the configuration become addresses

mod admin; // the admin listener
mod beliefs; // what adaptive decides by
mod gauges; // the same as metrics
mod health; // active checks
mod overview; // what is in force now, for everybody to look at
mod status; // the state of everything, as facts
mod tls; // what connections are encrypted with
mod watch; // says when endpoints go down or come back

mod chance; // seeds and jitter
mod voice; // lines for the operator

pub use beliefs::BeliefStatus;
pub use control::{AdminChoice, Control, Options, StartError};
pub use look::look;
pub use memory::request_limit;
pub use signals::{Loaded, ServeError, Source};
pub use status::{AcmeStatus, CertificateStatus, ClusterStatus, EndpointStatus, ListenerStatus, Status};
pub use voice::{Level, Voice};
