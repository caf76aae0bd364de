//! Loopback addresses that nobody uses, for programs that cannot pick a port themselves. Knows no program.

use std::net::{SocketAddr, TcpListener};

/// A loopback address that was free a moment ago.
pub(crate) fn free() -> Result<SocketAddr, String> {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    taken.map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address: expected something like 127.0.0.1:8001"))
}
