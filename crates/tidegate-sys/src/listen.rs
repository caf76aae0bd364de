//! Listening sockets, TCP and Unix: non-blocking, closed on exec, with errors that say what to do. Knows nothing of what
//! is accepted on them.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Whether other sockets of this process may listen on the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortUse {
    Exclusive,
    /// `SO_REUSEPORT`: the kernel spreads connections over all sockets that listen on the address.
    Shared,
}

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: another program already does (find it with `ss -ltnp`)")]
    AddressInUse { address: String },
    #[error("cannot listen on {address}: no interface of this machine has that address")]
    AddressNotAvailable { address: String },
    #[error("cannot listen on {}: a program that is running answers there", path.display())]
    Answered { path: PathBuf },
    #[error("cannot listen on {address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("cannot listen on {}: the folder does not exist", path.display())]
    NoFolder { path: PathBuf },
    #[error("cannot listen on {}: a file that is not a socket is in the way", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {}: the path is longer than the 107 bytes that a socket address holds", path.display())]
    PathTooLong { path: PathBuf },
    #[error("cannot listen on {address}: permission denied{hint}")]
    PermissionDenied { address: String, hint: &'static str },
}

/// Listens on one TCP address. `[::]:8888` takes IPv4 connections too, and becomes `0.0.0.0:8888` where the kernel has no
/// IPv6. `backlog`: connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
pub fn listen_tcp(address: SocketAddr, backlog: u32, port_use: PortUse) -> Result<TcpListener, ListenError> {
    let listen = || {
        let socket = tcp_socket(address)?;
        socket.set_reuse_port(port_use == PortUse::Shared)?;
        bind(&socket, address)?;
        listening(socket, backlog)
    };
    listen().map_err(|source| ListenError::from_tcp(address, source))
}

/// One listening socket for each of `count` workers on one address; port 0 gives all of them the same port.
///
/// Sockets that share a port share it with every process of the same user, so a second proxy started by mistake would
/// silently take half of the connections. The first socket is therefore bound exclusively, which fails when anybody else
/// is there, and allows sharing only afterwards.
pub fn listen_tcp_group(
    address: SocketAddr,
    backlog: u32,
    count: usize,
) -> Result<Vec<TcpListener>, ListenError> {
    if count <= 1 {
        return Ok(vec![listen_tcp(address, backlog, PortUse::Exclusive)?]);
    }
    let claim = || {
        let socket = tcp_socket(address)?;
        bind(&socket, address)?;
        socket.set_reuse_port(true)?;
        listening(socket, backlog)
    };
    let first: TcpListener = claim().map_err(|source| ListenError::from_tcp(address, source))?;
    let bound = first.local_addr().map_err(|source| ListenError::from_tcp(address, source))?;
    let mut group = vec![first];
    for _ in 1..count {
        group.push(listen_tcp(bound, backlog, PortUse::Shared)?);
    }
    Ok(group)
}

/// Listens on a Unix socket. A socket file that nobody answers on, left by a process that died, is replaced.
pub fn listen_unix(path: &Path, backlog: u32) -> Result<UnixListener, ListenError> {
    let address = SockAddr::unix(path).map_err(|_| ListenError::PathTooLong { path: path.into() })?;
    remove_stale(path, &address)?;
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        listening(socket, backlog)
    };
    listen().map_err(|source| ListenError::from_unix(path, source))
}

/// A new socket for the address: IPv4 where the kernel has no IPv6 and any address would do.
fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = match Socket::new(Domain::for_address(address), Type::STREAM, None) {
        Err(error) if is_any_v6(address) && lacks_v6(&error) => {
            Socket::new(Domain::IPV4, Type::STREAM, None)?
        }
        other => other?,
    };
    // A port whose last connections are in TIME_WAIT can be listened on again at once.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Binds; `[::]` without the IPv6-only flag, so that one socket serves both families.
fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    if address.is_ipv6() && socket.domain()? == Domain::IPV4 {
        return socket.bind(&any_v4.into());
    }
    if address.is_ipv6() {
        socket.set_only_v6(!is_any_v6(address))?;
    }
    socket.bind(&address.into())
}

fn is_any_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn lacks_v6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn listening<L: From<Socket>>(socket: Socket, backlog: u32) -> io::Result<L> {
    socket.set_nonblocking(true)?;
    socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Removes a socket file that nobody listens on; refuses one that is alive, and anything that is not a socket.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), ListenError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.into() });
    }
    let knock = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?; // EAGAIN: somebody listens, with a full backlog
        socket.connect(address)
    };
    match knock() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| ListenError::from_unix(path, source))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(ListenError::from_unix(path, error)),
        _ => Err(ListenError::Answered { path: path.into() }),
    }
}

impl ListenError {
    fn from_tcp(address: SocketAddr, source: io::Error) -> Self {
        let hint = match address.port() {
            1..1024 => {
                "; ports below 1024 need the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), \
                 or a lower net.ipv4.ip_unprivileged_port_start"
            }
            _ => "",
        };
        Self::from_io(address.to_string(), hint, source)
    }

    fn from_unix(path: &Path, source: io::Error) -> Self {
        if source.kind() == ErrorKind::NotFound {
            return Self::NoFolder { path: path.into() };
        }
        Self::from_io(path.display().to_string(), " (see who may write to its folder)", source)
    }

    fn from_io(address: String, hint: &'static str, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::AddressInUse { address },
            ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { address },
            ErrorKind::PermissionDenied => Self::PermissionDenied { address, hint },
            _ => Self::Io { address, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, TcpStream};

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn has_v6() -> bool {
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    #[test]
    fn a_listener_does_not_block_on_accept() {
        let listener = listen_tcp(LOOPBACK, 16, PortUse::Exclusive).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_listener_is_closed_on_exec() {
        let listener = listen_tcp(LOOPBACK, 16, PortUse::Exclusive).unwrap();
        assert!(rustix::io::fcntl_getfd(&listener).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn an_address_in_use_says_so_and_how_to_find_by_whom() {
        let first = listen_tcp(LOOPBACK, 16, PortUse::Exclusive).unwrap();
        let taken = first.local_addr().unwrap();
        let error = listen_tcp(taken, 16, PortUse::Exclusive).unwrap_err();
        assert!(matches!(error, ListenError::AddressInUse { .. }), "{error}");
        assert!(error.to_string().contains(&taken.to_string()) && error.to_string().contains("ss -ltnp"));
    }

    #[test]
    fn a_group_shares_one_port_and_refuses_a_second_group() {
        let group = listen_tcp_group(LOOPBACK, 16, 3).unwrap();
        let address = group[0].local_addr().unwrap();
        assert!(group.iter().all(|listener| listener.local_addr().unwrap() == address));
        let error = listen_tcp_group(address, 16, 3).unwrap_err();
        assert!(matches!(error, ListenError::AddressInUse { .. }), "{error}");
    }

    #[test]
    fn a_group_can_grow_and_every_member_gets_connections() {
        let mut group = listen_tcp_group(LOOPBACK, 128, 2).unwrap();
        let address = group[0].local_addr().unwrap();
        group.push(listen_tcp(address, 128, PortUse::Shared).unwrap());
        // The kernel spreads by a hash of the ports: 100 connections miss one of 3 sockets with odds of 1 in 10^17.
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted: Vec<_> =
            group.iter().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count()).collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn any_address_of_ipv6_takes_connections_of_both_families() {
        let listener = listen_tcp((Ipv6Addr::UNSPECIFIED, 0).into(), 16, PortUse::Exclusive).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if has_v6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn an_address_of_no_interface_is_named() {
        let foreign = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0)); // RFC 5737: documentation only
        let error = listen_tcp(foreign, 16, PortUse::Exclusive).unwrap_err();
        assert!(matches!(error, ListenError::AddressNotAvailable { .. }), "{error}");
    }

    #[test]
    fn a_low_port_without_permission_says_which_capability_is_missing() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let error = ListenError::from_tcp((Ipv4Addr::LOCALHOST, 80).into(), denied);
        assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
    }

    #[test]
    fn a_socket_file_that_nobody_answers_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        drop(UnixListener::bind(&path).unwrap()); // std leaves the file behind
        let listener = listen_unix(&path, 16).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_file_that_somebody_answers_on_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let _alive = UnixListener::bind(&path).unwrap();
        assert!(matches!(listen_unix(&path, 16).unwrap_err(), ListenError::Answered { .. }));
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_busy_socket_whose_backlog_is_full_counts_as_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let _alive = listen_unix(&path, 0).unwrap();
        let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(matches!(listen_unix(&path, 16).unwrap_err(), ListenError::Answered { .. }));
    }

    #[test]
    fn a_file_that_is_not_a_socket_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "keep me").unwrap();
        assert!(matches!(listen_unix(&path, 16).unwrap_err(), ListenError::NotASocket { .. }));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "keep me");
    }

    #[test]
    fn a_missing_folder_and_a_long_path_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = listen_unix(&folder.path().join("not/here.sock"), 16).unwrap_err();
        assert!(matches!(missing, ListenError::NoFolder { .. }), "{missing}");
        let long = listen_unix(&folder.path().join("x".repeat(108)), 16).unwrap_err();
        assert!(matches!(long, ListenError::PathTooLong { .. }), "{long}");
    }
}
