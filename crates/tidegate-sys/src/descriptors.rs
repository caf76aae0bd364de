//! The limit on open file descriptors, which bounds how many connections a proxy can hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

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

#[cfg(test)]
mod tests {
    use super::*;

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
