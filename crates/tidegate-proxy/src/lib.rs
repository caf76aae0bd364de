//! The data plane: one worker and what flows through it.
//!
//! Knows no configuration file, no discovery, no control: it serves by the snapshot that it is given. Modules in the order
//! a request meets them.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod accounts; // what each key has used of its rate
mod affinity; // what consistent hashing is done on
mod answer; // answers of our own
mod attempts; // whether a request is tried again
mod client; // who is at the other end, as far as is known
pub mod client_counts; // connections of each client
mod downstream; // one client connection: read a request, serve it, again
mod entrance; // what has to come before the first request
mod event_stream; // answers that go on for as long as somebody listens
mod exchange; // ★ one request and one response between two connections
pub mod failure; // every way to fail → status, word, retry class
mod grpc; // deadlines and statuses of calls
mod hash_spill; // keys that are not served where they belong
mod head_wait; // for whom the head of an answer is waited for, and how long
mod hedge; // a second attempt beside a first
pub mod http2; // frames, and streams that look like connections
mod https_only; // clients that are to come by HTTPS
mod journal; // what happened so far in a request
mod last_words; // what was said before a reset arrives
mod listener; // accept, within the connection limits
pub mod load; // what endpoints say of their load
mod looks; // when a request that waits looks by itself
mod occasion; // endpoints that are not picked the usual way
mod panics; // where a mistake in our own code ends
mod parting; // what a client still says when its connection ends
mod passage; // connections that are passed on as they are
mod patience; // how long a request waits for movement, and for a slow body
mod pump; // one direction of an exchange
pub mod queue; // waiting for an endpoint with room
pub mod rate_limit; // how often somebody may ask
mod record; // a finished request becomes metrics and a log line
mod request; // ★ the life of one request
pub mod route; // host, path, method, fields → route
pub mod sticky; // back to the endpoint that a client was with
pub mod tls; // handshakes, records, certificates
mod tried; // which endpoints a request has been to
mod tunnel; // after 101
mod turned_away; // a request when as many as may be are in service
mod upgrade; // tunnels through endpoints that speak HTTP/2
pub mod upstream; // pool (checkout, give back), connect (the only place that dials)
pub mod worker; // one thread: its listeners, pools, view; start, swap, drain

pub mod metrics; // handles, resolved per snapshot
pub mod snapshot; // the immutable view that everything is served by
mod verdict; // what the end of an attempt says of its endpoint
mod view; // a snapshot with what belongs to this worker

mod buffer; // fixed room with a pinned front
mod stream; // one connected byte stream: a socket, or what is encrypted on one
mod timers; // one alarm a connection, re-armed lazily
mod transport; // one connected socket
pub mod workspace; // what one request is served with, lent and taken back

pub use listener::Socket;
pub use timers::now;
