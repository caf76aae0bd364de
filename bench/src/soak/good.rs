//! What well-behaved clients do all day: keep-alive, pipelining, large answers, chunked answers, uploads.
//! Knows which of it may never fail.

use super::Tally;
use crate::client::{Answer, Client};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicU64;
use std::thread::Scope;
use std::time::Duration;

/// A client connects anew now and then, as browsers do.
const REQUESTS_PER_CONNECTION: usize = 500;
const PIPELINED: usize = 8;
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, proxy: SocketAddr, tally: &'scope Tally) {
    let ask: fn(&mut Client) -> io::Result<Answer> = |client| client.get("/small");
    let ask_chunked: fn(&mut Client) -> io::Result<Answer> = |client| client.get("/chunked");
    for ask in [ask, ask, ask_chunked] {
        scope.spawn(move || repeat(proxy, tally, &tally.good, &tally.failed, ask));
    }
    scope.spawn(move || repeat(proxy, tally, &tally.cuttable, &tally.cut, |client| client.get("/large")));
    let body = vec![b'x'; 64 * 1024];
    scope.spawn(move || {
        repeat(proxy, tally, &tally.cuttable, &tally.cut, |client| client.post("/upload", &body));
    });
    scope.spawn(move || pipeline(proxy, tally));
}

/// Asks again and again until it is over; a connection that failed is replaced.
fn repeat(
    proxy: SocketAddr,
    tally: &Tally,
    asked: &AtomicU64,
    failed: &AtomicU64,
    ask: impl Fn(&mut Client) -> io::Result<Answer>,
) {
    while !tally.is_over() {
        let Ok(mut client) = Client::connect(proxy) else {
            Tally::count(failed);
            continue;
        };
        for _ in 0..REQUESTS_PER_CONNECTION {
            Tally::count(asked);
            let answer = ask(&mut client);
            if !matches!(&answer, Ok(answer) if answer.status == 200) {
                Tally::count(failed);
                complain(failed, &tally.failed, &answer.map(|answer| answer.status));
                break;
            }
            if tally.is_over() {
                return;
            }
        }
    }
}

/// Says what went wrong when it must not.
fn complain(counted: &AtomicU64, strict: &AtomicU64, answer: &io::Result<u16>) {
    if std::ptr::eq(counted, strict) {
        println!("a good request failed: {answer:?}");
    }
}

/// Sends several requests at once and wants as many answers, in order.
fn pipeline(proxy: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        Tally::count(&tally.good);
        let answered = pipelined(proxy);
        if !matches!(answered, Ok(PIPELINED)) {
            Tally::count(&tally.failed);
            println!("{PIPELINED} pipelined requests: {answered:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pipelined(proxy: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&proxy, WAIT_MAX)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    let kept = "GET /small HTTP/1.1\r\nHost: soak.example\r\n\r\n".repeat(PIPELINED - 1);
    let last = "GET /small HTTP/1.1\r\nHost: soak.example\r\nConnection: close\r\n\r\n";
    stream.write_all(kept.as_bytes())?;
    stream.write_all(last.as_bytes())?;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers)?;
    Ok(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count())
}
