//! Options of connected TCP sockets, set on a borrowed descriptor. Knows nothing of what is sent.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

/// When the kernel asks a silent peer whether it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe; whole seconds, at least one.
    pub idle: Duration,
    /// Between probes; whole seconds, at least one.
    pub interval: Duration,
    /// Unanswered probes after which the connection is broken.
    pub probes: u32,
}

/// Sends small writes at once (Nagle's algorithm off).
pub fn set_nodelay(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

pub fn set_keepalive(socket: &impl AsFd, keepalive: Keepalive) -> io::Result<()> {
    let parameters = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.probes);
    SockRef::from(socket).set_tcp_keepalive(&parameters)
}

/// How long sent data may stay unacknowledged before the connection is broken (`TCP_USER_TIMEOUT`, RFC 5482);
/// milliseconds, zero is the kernel's default of many minutes.
pub fn set_user_timeout(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(Some(timeout))
}

/// Makes the coming close a reset: what is still unsent is thrown away and the peer reads an error, not an end. The only
/// honest way to cut a body that ends with the connection.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Says "nothing more comes" and keeps reading: the first step of a lingering close (RFC 9112 section 9.6).
pub fn shutdown_write(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn options_read_back_as_they_were_set() {
        let (near, _far) = pair();
        let keepalive =
            Keepalive { idle: Duration::from_secs(7), interval: Duration::from_secs(3), probes: 4 };
        set_nodelay(&near).unwrap();
        set_keepalive(&near, keepalive).unwrap();
        set_user_timeout(&near, Duration::from_millis(1234)).unwrap();
        let socket = SockRef::from(&near);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.probes);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(1234)));
    }

    #[test]
    fn the_peer_of_a_reset_connection_reads_an_error_and_not_an_end() {
        let (near, mut far) = pair();
        reset_on_close(&near).unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_connection_that_is_shut_down_for_writing_still_reads() {
        let (mut near, mut far) = pair();
        shutdown_write(&near).unwrap();
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
        far.write_all(b"late").unwrap();
        drop(far);
        let mut late = String::new();
        near.read_to_string(&mut late).unwrap();
        assert_eq!(late, "late");
    }
}
