//! Scripted clients and endpoints, and the real program between them.
//!
//! Threads and blocking sockets with deadlines: what a test did is what its lines say. It shares no code with the
//! proxy, its codec least of all, so that a mistake there is not repeated here. Only tests use this crate.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test world reads the clock, and ends the test when it cannot be built"
)]

/// A test in a network of its own.
pub mod apart;
/// A raw client: bytes out as the test says, answers in.
pub mod client;
/// A clock on the wall that a test can set.
pub mod clock;
/// A scripted HTTP/1 endpoint that records what reached it.
pub mod endpoint;
/// TLS in front of a scripted endpoint.
pub mod front;
/// Something that a script waits for.
pub mod gate;
/// A client of HTTP/2.
pub mod http2;
/// A client of HTTP/2 that sends any frames.
pub mod http2_raw;
/// Closed-loop load that counts what failed, by kind.
pub mod load;
/// The metrics page, read.
pub mod metrics;
/// A DNS server with zones that a test makes up.
pub mod named;
/// Waiting for something with a deadline.
pub mod patience;

pub mod pebble;
/// Ports no one else has.
pub mod port;
/// Signals, memory and descriptors of a process by its id.
pub mod process;
/// The real program in a scratch folder.
pub mod proxy;
/// Python with packages that no one here wrote.
pub mod python;
/// Seeded randomness.
pub mod random;
/// Answers, read by an independent reader.
pub mod reply;
/// Certificates for a test, and a client that trusts them.
pub mod tls;
/// A byte stream with deadlines.
pub mod wire;

pub use apart::{Disk, Loss, Network, apart};
pub use client::{Client, Delivery};
pub use clock::WallClock;
pub use endpoint::{Endpoint, Received, Script, Then, Visit};
pub use front::{Front, Meeting};
pub use gate::Gate;
pub use load::{Load, Report};
pub use metrics::Metrics;
pub use patience::{comes_true, eventually};
pub use port::Port;
pub use proxy::{Proxy, Tidegate};
pub use reply::{Fields, Reply};
pub use wire::{Gone, Wire};
