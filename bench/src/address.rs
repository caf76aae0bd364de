//! Loopback addresses that nobody uses, for programs that cannot pick a port themselves. Knows no program.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Different loopback addresses that were free a moment ago.
pub(crate) fn free<const COUNT: usize>() -> Result<[SocketAddr; COUNT], String> {
    let taken: Vec<_> = (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let address = |listener: &io::Result<TcpListener>| listener.as_ref().ok()?.local_addr().ok();
    let addresses: Vec<SocketAddr> = taken.iter().filter_map(address).collect();
    addresses.try_into().map_err(|_| "no free ports on 127.0.0.1".to_owned())
}

pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address: expected something like 127.0.0.1:8001"))
}
