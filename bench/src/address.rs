//! Loopback addresses that nobody uses, for programs that cannot pick a port themselves. Knows no program.

use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Different loopback addresses that were free a moment ago.
pub(crate) fn free<const COUNT: usize>() -> Result<[SocketAddr; COUNT], String> {
    let taken: Vec<_> = (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let address = |listener: &io::Result<TcpListener>| listener.as_ref().ok()?.local_addr().ok();
    let addresses: Vec<SocketAddr> = taken.iter().filter_map(address).collect();
    addresses.try_into().map_err(|_| "no free ports on 127.0.0.1".to_owned())
}

/// An address that stays ours while nobody listens on it: bound, so that no outgoing connection gets its port, and
/// shared, so that a listener can.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

pub(crate) fn reserve() -> Result<Reserved, String> {
    let reserve = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Reserved { address, _socket: socket })
    };
    reserve().map_err(|error: io::Error| format!("no free port on 127.0.0.1: {error}"))
}

pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address: expected something like 127.0.0.1:8001"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_address_can_be_listened_on_again_and_again() {
        let reserved = reserve().unwrap();
        for _ in 0..3 {
            let listener = TcpListener::bind(reserved.address).unwrap();
            let client = std::net::TcpStream::connect(reserved.address).unwrap();
            drop((listener.accept().unwrap(), listener, client));
        }
    }
}
