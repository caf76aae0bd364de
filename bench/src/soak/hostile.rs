//! What hostile, broken and unlucky clients do: each of them must be answered or closed in time. Knows bytes that hurt,
//! not how they are refused.

use super::Tally;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::Scope;
use std::time::Duration;

/// Far above the proxy's limit for a head that does not come.
const WAIT_MAX: Duration = Duration::from_secs(15);
const SLOW_CONNECTIONS: usize = 32;
const SIPS: usize = 40;

/// Bytes after which a proxy has every reason to refuse, or a client to go.
const PAYLOADS: [(&str, &[u8]); 9] = [
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no, TLS\r\n\r\n"),
    ("bytes of nothing", &[0; 512]),
    (
        "two framings",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    ),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    ("a bare line feed in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\nY: b\r\n\r\n"),
    (
        "a chunk of a size beyond counting",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ),
    ("no host", b"GET / HTTP/1.1\r\n\r\n"),
    ("a version of tomorrow", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ("a bad second request", b"GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /\x01 HTTP/1.1\r\n\r\n"),
];

/// One kind of attack, which goes on until the tally says that it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) attack: fn(SocketAddr, &Tally),
}

pub(super) const KINDS: [Kind; 5] = [
    Kind { name: "malformed requests", attack: refusals },
    Kind { name: "clients that leave", attack: abandonments },
    Kind { name: "slow heads", attack: slowness },
    Kind { name: "storms of resets", attack: storms },
    Kind { name: "slow readers", attack: slow_readers },
];

pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, proxy: SocketAddr, tally: &'scope Tally) {
    for kind in KINDS {
        scope.spawn(move || (kind.attack)(proxy, tally));
    }
}

fn refusals(proxy: SocketAddr, tally: &Tally) {
    for (name, payload) in PAYLOADS.iter().cycle() {
        if tally.is_over() {
            return;
        }
        if let Some(mut stream) = connect(proxy, tally) {
            let _ = stream.write_all(payload);
            expect_the_end(stream, name, tally);
        }
        pause();
    }
}

/// Clients that go before they have what they asked for.
fn abandonments(proxy: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        // A large answer, of which nothing is read: closing with unread bytes sends a reset.
        leave(proxy, tally, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        // An upload that stops in the middle.
        let mut upload = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".to_vec();
        upload.resize(20_000, b'x');
        leave(proxy, tally, &upload);
        leave(proxy, tally, b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
        leave(proxy, tally, b"GET /sm");
        leave(proxy, tally, b"");
        half_close(proxy, tally);
        pause();
    }
}

fn leave(proxy: SocketAddr, tally: &Tally, bytes: &[u8]) {
    if let Some(mut stream) = connect(proxy, tally) {
        let _ = stream.write_all(bytes);
        pause();
    }
}

/// Says that nothing more comes, and still wants the answer.
fn half_close(proxy: SocketAddr, tally: &Tally) {
    if let Some(mut stream) = connect(proxy, tally) {
        let _ = stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let _ = stream.shutdown(Shutdown::Write);
        expect_the_end(stream, "half closed", tally);
    }
}

/// Many heads at once, a byte at a time, until they are cut.
fn slowness(proxy: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        let mut streams: Vec<TcpStream> =
            (0..SLOW_CONNECTIONS).filter_map(|_| connect(proxy, tally)).collect();
        for byte in b"GET /small HTTP/1.1\r\nHost: slow.example\r\nX-Slow: " {
            for stream in &mut streams {
                let _ = stream.write_all(&[*byte]);
            }
            std::thread::sleep(Duration::from_millis(100));
            if tally.is_over() {
                return;
            }
        }
        for stream in streams {
            expect_the_end(stream, "a slow head", tally);
        }
    }
}

/// Connections that come in bursts and break at once, some with a request on its way.
fn storms(proxy: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        for number in 0..SLOW_CONNECTIONS {
            if let Some(mut stream) = connect(proxy, tally) {
                if number % 2 == 0 {
                    let _ = stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
                }
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO)); // closing is a reset
            }
        }
        pause();
    }
}

/// Large answers, taken in sips.
fn slow_readers(proxy: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        let mut streams: Vec<TcpStream> =
            (0..SLOW_CONNECTIONS).filter_map(|_| connect(proxy, tally)).collect();
        for stream in &mut streams {
            let _ = stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for _ in 0..SIPS {
            for stream in &mut streams {
                let _ = stream.read(&mut [0; 512]);
            }
            std::thread::sleep(Duration::from_millis(50));
            if tally.is_over() {
                return;
            }
        }
    }
}

fn connect(proxy: SocketAddr, tally: &Tally) -> Option<TcpStream> {
    Tally::count(&tally.hostile);
    let stream = TcpStream::connect_timeout(&proxy, WAIT_MAX).ok()?;
    stream.set_read_timeout(Some(WAIT_MAX)).ok()?;
    stream.set_write_timeout(Some(WAIT_MAX)).ok()?;
    Some(stream)
}

/// Reads until the proxy closes, by whatever way.
fn expect_the_end(mut stream: TcpStream, name: &str, tally: &Tally) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    if ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
        Tally::count(&tally.unanswered);
        println!("{name}: neither answered nor closed; so far {:?}", String::from_utf8_lossy(&bytes));
    }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
