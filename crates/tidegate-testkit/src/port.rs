//! Ports that no one else has, below the range the kernel takes for outgoing connections.
//!
//! A port is reserved for TCP by holding the UDP port of the same number: exclusive across test processes, without
//! a file, and given back when this process ends. (Two programs that listen with `SO_REUSEPORT` would not notice
//! each other.)

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// The next number to try; starts where the process id says, so that parallel test programs seldom meet.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A TCP port on loopback that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    reservation: UdpSocket,
}

impl Port {
    /// # Panics
    /// When all ports are taken.
    pub fn free() -> Self {
        let start = (std::process::id() % 110) as u16 * 200;
        for _ in 0..COUNT {
            let offset = NEXT.fetch_add(1, Ordering::Relaxed); // only uniqueness within the process matters
            let number = FIRST + (start.wrapping_add(offset) % COUNT);
            if let Some(port) = Self::reserve(number) {
                return port;
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    fn reserve(number: u16) -> Option<Self> {
        let address = (Ipv4Addr::LOCALHOST, number);
        let reservation = UdpSocket::bind(address).ok()?;
        // Asked, not tried by listening: a program started by another test in that moment would inherit the listener
        // until it runs, and keep the port for as long.
        TcpStream::connect(address).is_err().then_some(Self { reservation })
    }

    pub fn number(&self) -> u16 {
        self.address().port()
    }

    pub fn address(&self) -> SocketAddr {
        self.reservation.local_addr().expect("a bound socket has an address")
    }
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn two_reservations_never_share_a_number() {
        let ports: Vec<_> = (0..50).map(|_| Port::free()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
