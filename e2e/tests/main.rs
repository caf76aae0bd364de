//! The real program over real sockets: one scenario a file.
//!
//! Each test starts its own proxy and its own endpoints on loopback; none depends on another or on luck.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "all of this is test code, its shared parts included"
)]

mod canary;
mod door;
mod favourite;

mod abusive_clients;
mod acme;
mod acme_dns;
mod acme_suggestions;
mod balancing;
mod breakers;
mod broken_origins;
mod certificates;
mod chaos;
mod cli;
mod client_certificates;
mod client_limits;
mod endpoint_tls;
mod expectations;
mod grpc;
mod health;
mod hostile_framing;
mod hostile_hellos;
mod hostile_sizes;
mod http11;
mod http2;
mod http2_downgrade;
mod http2_early_answers;
mod http2_endpoints;
mod http2_goodbyes;
mod http2_hostile;
mod https_only;
mod internal_certificates;
mod laboratory;
mod last_words;
mod limits;
mod load_reports;
mod machine_faults;
mod network_faults;
mod observability;
mod paths_and_identity;
mod proxy_protocol;
mod proxy_protocol_peers;
mod queue;
mod real_clients;
mod reload_and_drain;
mod retries;
mod routing;
mod sticky;
mod tcp_routes;
mod terminal;
mod tiers_and_zones;
mod timeouts;
mod tls;
mod tls_hostile;
mod two_python_servers;
mod unsent_bodies;
mod websocket;
mod whose_failure;
