//! Options of connected TCP sockets, set on a borrowed descriptor. Knows nothing of what is sent.

use rustix::ioctl::{Getter, Opcode, ioctl};
use socket2::{SockRef, TcpKeepalive};
use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// When the kernel takes a peer for gone that says nothing, not even that it has received something. `None`: it never does by
/// itself, or after the many minutes of its own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Nothing is on its way: it is asked.
    pub keepalive: Option<Keepalive>,
    /// Data is on its way and stays unacknowledged, or unread by a peer that takes nothing, for so long
    /// (`TCP_USER_TIMEOUT`, RFC 5482); whole milliseconds.
    pub unacknowledged: Option<Duration>,
}

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

impl Keepalive {
    /// A peer that is gone is found out after about so long: half of it in silence, the rest with probes, an eighth of it
    /// apart, so that three may get lost on their way.
    pub fn within(time: Duration) -> Self {
        const SHORTEST: Duration = Duration::from_secs(1);
        // The kernel's own limit (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL).
        const LONGEST: Duration = Duration::from_secs(32_767);
        let part = |time: Duration| Duration::from_secs(time.as_secs()).clamp(SHORTEST, LONGEST);
        let (idle, interval) = (part(time / 2), part(time / 8));
        let probes = time.saturating_sub(idle).as_secs() / interval.as_secs();
        Self { idle, interval, probes: probes.clamp(1, 127) as u32 } // MAX_TCP_KEEPCNT
    }
}

/// Sends small writes at once (Nagle's algorithm off).
pub fn set_nodelay(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Of a new socket, whose defaults need no change; or of one that listens, from which accepted ones inherit it (Linux), and that
/// may have had another before: then `Presence::default()` is set, too.
pub fn set_presence(socket: &impl AsFd, presence: &Presence) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match presence.keepalive {
        None => socket.set_keepalive(false)?,
        Some(Keepalive { idle, interval, probes }) => {
            let parameters = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(probes);
            socket.set_tcp_keepalive(&parameters)?;
        }
    }
    let longest = Duration::from_millis(i32::MAX as u64); // 25 days; beyond it the kernel refuses
    socket.set_tcp_user_timeout(presence.unacknowledged.map(|time| time.min(longest)))
}

/// Makes the coming close a reset: what is still unsent is thrown away and the peer reads an error, not an end. The only
/// honest way to cut a body that ends with the connection.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// What has been written and the peer's system has not said to have: a reset would take it back (`SIOCOUTQ`, tcp(7)). An error where the
/// connection does not stand any more.
pub fn unacknowledged_bytes(socket: &impl AsFd) -> io::Result<usize> {
    const SIOCOUTQ: Opcode = 0x5411;
    SockRef::from(socket).peer_addr()?;
    #[allow(unsafe_code, reason = "rustix has no safe function for this request")]
    // SAFETY: SIOCOUTQ is a request of every Linux, and writes one int (tcp(7)); of other descriptors than sockets it is TIOCOUTQ, which does, too.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new())? };
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// The way to the peer's system and back, as the kernel has measured it (`TCP_INFO`, tcp(7)): of a new connection what the handshake took, however late it
/// was looked at. `None` where it has not, as after a packet that was lost and sent again, or does not tell.
pub fn round_trip(socket: &impl AsFd) -> Option<Duration> {
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    #[allow(unsafe_code, reason = "neither rustix nor socket2 has a function for this option")]
    // SAFETY: the descriptor is borrowed, and so open; all bytes of `tcp_info` may be zero, and the kernel writes no more of it than `length` says.
    let (failed, info) = unsafe {
        let mut info: libc::tcp_info = zeroed();
        let (descriptor, place) = (socket.as_fd().as_raw_fd(), (&raw mut info).cast());
        (libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut length), info)
    };
    (failed == 0 && info.tcpi_rtt > 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
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
    fn a_round_trip_on_this_machine_is_short_and_known() {
        let (near, far) = pair();
        for end in [&near, &far] {
            let took = round_trip(end).unwrap();
            assert!(took < Duration::from_millis(500), "{took:?}");
        }
        let no_tcp = std::os::unix::net::UnixStream::pair().unwrap().0;
        assert_eq!(round_trip(&no_tcp), None);
    }

    const PRESENCE: Presence = Presence {
        keepalive: Some(Keepalive {
            idle: Duration::from_secs(7),
            interval: Duration::from_secs(3),
            probes: 4,
        }),
        unacknowledged: Some(Duration::from_millis(1234)),
    };

    fn read_back(socket: &impl AsFd) -> Presence {
        let socket = SockRef::from(socket);
        let keepalive = socket.keepalive().unwrap().then(|| Keepalive {
            idle: socket.tcp_keepalive_time().unwrap(),
            interval: socket.tcp_keepalive_interval().unwrap(),
            probes: socket.tcp_keepalive_retries().unwrap(),
        });
        let unacknowledged = socket.tcp_user_timeout().unwrap().filter(|timeout| !timeout.is_zero());
        Presence { keepalive, unacknowledged }
    }

    #[test]
    fn options_read_back_as_they_were_set() {
        let (near, _far) = pair();
        set_nodelay(&near).unwrap();
        assert!(SockRef::from(&near).tcp_nodelay().unwrap());
        for presence in [PRESENCE, Presence::default(), PRESENCE] {
            set_presence(&near, &presence).unwrap();
            assert_eq!(read_back(&near), presence);
        }
    }

    #[test]
    fn accepted_connections_inherit_what_the_listening_socket_has_then() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        for presence in [PRESENCE, Presence::default()] {
            set_presence(&listener, &presence).unwrap();
            let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(read_back(&listener.accept().unwrap().0), presence);
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_found_out_in_about_the_time_that_was_asked_for() {
        for (asked, idle, interval, probes) in [
            (Duration::from_millis(1), 1, 1, 1),
            (Duration::from_secs(2), 1, 1, 1),
            (Duration::from_mins(2), 60, 15, 4),
            (Duration::from_hours(24), 32_767, 10_800, 4),
            (Duration::MAX, 32_767, 32_767, 127),
        ] {
            let expected = Keepalive {
                idle: Duration::from_secs(idle),
                interval: Duration::from_secs(interval),
                probes,
            };
            assert_eq!(Keepalive::within(asked), expected, "{asked:?}");
            let (near, _far) = pair();
            let presence = Presence { keepalive: Some(expected), unacknowledged: Some(asked) };
            set_presence(&near, &presence).unwrap_or_else(|error| panic!("{asked:?}: {error}"));
        }
    }

    #[test]
    fn the_peer_of_a_reset_connection_reads_an_error_and_not_an_end() {
        let (near, mut far) = pair();
        reset_on_close(&near).unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn what_the_peers_system_has_not_taken_is_known_until_the_peer_is_gone() {
        let (mut near, mut far) = pair();
        assert_eq!(unacknowledged_bytes(&near).unwrap(), 0);
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(length) = near.write(&[b'x'; 16_384]) {
            written += length;
        }
        let left = unacknowledged_bytes(&near).unwrap();
        assert!(0 < left && left < written, "{left} of {written}");
        far.read_exact(&mut vec![0; written]).unwrap();
        let is_all_acknowledged = || {
            unacknowledged_bytes(&near).unwrap() == 0 || {
                std::thread::sleep(Duration::from_millis(1));
                false
            }
        };
        assert!((0..10_000).any(|_| is_all_acknowledged()), "whoever has read all has it");
        reset_on_close(&far).unwrap();
        drop(far);
        let told = unacknowledged_bytes(&near);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::NotConnected);
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
