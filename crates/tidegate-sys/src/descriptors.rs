//! What bounds how many connections a proxy can hold: open file descriptors, and ports of its own to connect from.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// How many descriptors this process may have open; `None` is "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// What holds now.
    pub soft: Option<u64>,
    /// What the soft limit may be raised to without privileges.
    pub hard: Option<u64>,
}

pub fn descriptor_limit() -> DescriptorLimit {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    DescriptorLimit { soft: current, hard: maximum }
}

/// Raises the soft limit to the hard one and says what holds afterwards. Most systems start programs with a soft limit
/// of 1024 only for the sake of `select`, which nothing here uses.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let before = descriptor_limit();
    if before.soft != before.hard {
        setrlimit(Resource::Nofile, Rlimit { current: before.hard, maximum: before.hard })?;
    }
    Ok(descriptor_limit())
}

/// Whether the error says that the process or the system has no descriptor or buffer left: worth a pause, not an end.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// The lowest number that no open descriptor has: the kernel gives the next one this (POSIX, "File Descriptor Allocation"), so all below are
/// taken. `any` is some open one.
pub fn lowest_free_descriptor(any: impl AsFd) -> io::Result<u64> {
    let copy = rustix::io::fcntl_dupfd_cloexec(any, 0)?;
    Ok(u64::from(copy.as_raw_fd().unsigned_abs()))
}

/// Whether a connect to that address failed because no port was left to connect from. The kernel says the same of an address
/// that nothing here can reach, such as `::1` without IPv6; a datagram socket, which has ports of its own, tells them apart.
pub fn is_out_of_ports(error: &io::Error, to: SocketAddr) -> bool {
    let says_so = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable);
    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    says_so && UdpSocket::bind(SocketAddr::new(any, 0)).is_ok_and(|socket| socket.connect(to).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_missing_only_where_there_is_a_way() {
        let unassigned = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert!(is_out_of_ports(&unassigned, ([127, 0, 0, 1], 80).into()));
        assert!(!is_out_of_ports(&unassigned, ([255, 255, 255, 255], 80).into()), "no way there");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!is_out_of_ports(&refused, ([127, 0, 0, 1], 80).into()));
    }

    #[test]
    fn raising_lifts_the_soft_limit_to_the_hard_one() {
        let before = descriptor_limit();
        let lowered =
            Rlimit { current: Some(before.soft.map_or(512, |soft| soft.min(512))), maximum: before.hard };
        setrlimit(Resource::Nofile, lowered).unwrap();
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raised, DescriptorLimit { soft: before.hard, hard: before.hard });
    }

    #[test]
    fn what_is_opened_next_has_the_lowest_free_number_or_a_higher_one() {
        let any = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let lowest = lowest_free_descriptor(&any).unwrap();
        let next = any.try_clone().unwrap();
        // Other tests open and close descriptors at the same time; standard input and output are never given back.
        assert!(lowest > 2 && next.as_raw_fd() > 2);
    }

    #[test]
    fn running_out_is_told_from_other_failures() {
        use rustix::io::Errno;
        for (errno, out) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::NOMEM, true),
            (Errno::CONNREFUSED, false),
            (Errno::CONNABORTED, false),
        ] {
            assert_eq!(is_out_of_descriptors(&io::Error::from(errno)), out, "{errno}");
        }
        assert!(!is_out_of_descriptors(&io::Error::from(io::ErrorKind::UnexpectedEof)));
    }
}
