//! Bytes into and out of connected stream sockets, by the system call alone: libc's functions of the same names are
//! points where a thread may be cancelled, and pay for it in a program with threads. Knows nothing of what is sent.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

/// Reads what has arrived; 0 is the end of the stream.
#[inline]
pub fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<usize> {
    let (length, _) = recv(socket, room, RecvFlags::empty())?;
    Ok(length)
}

/// Whether nothing has come that was not read, and neither an end nor an error. Never waits.
pub fn is_quiet(socket: &impl AsFd) -> bool {
    let mut room = [0; 1];
    let peeked = recv(socket, room.as_mut_slice(), RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.is_err_and(|error| error == Errno::AGAIN)
}

/// Hands as much to the kernel as it takes. A broken connection is an error, never a signal.
#[inline]
pub fn transmit(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}

/// The same for bytes in several places.
pub fn transmit_gathered(socket: &impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_was_transmitted_is_received_and_then_the_end() {
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(transmit(&near, b"one ").unwrap(), 4);
        assert_eq!(transmit_gathered(&near, &[IoSlice::new(b"two "), IoSlice::new(b"three")]).unwrap(), 9);
        drop(near);
        let mut room = [0; 32];
        assert_eq!(receive(&far, &mut room).unwrap(), 13);
        assert_eq!(&room[..13], b"one two three");
        assert_eq!(receive(&far, &mut room).unwrap(), 0);
    }

    #[test]
    fn sending_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert_eq!(transmit(&near, b"late").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let pieces = [IoSlice::new(b"late")];
        assert_eq!(transmit_gathered(&near, &pieces).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn nothing_to_receive_yet_is_said_and_not_waited_for() {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        assert_eq!(receive(&near, &mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
