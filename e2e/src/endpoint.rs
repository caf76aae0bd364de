//! An endpoint as a process of its own, so that a test can end it with SIGKILL: `tidegate-e2e-endpoint PORT BODY`.
//!
//! Answers every request with BODY; knows nothing else.
#![allow(clippy::expect_used, reason = "only tests run it, and they see why it ended")]

use std::net::TcpListener;
use std::thread;

use tidegate_testkit::Wire;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 =
        arguments.next().and_then(|word| word.parse().ok()).expect("the first argument is a port");
    let body = arguments.next().expect("the second argument is a body");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // The standard library sets SO_REUSEADDR, so a killed endpoint's port can be taken at once.
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        let answer = answer.clone();
        thread::spawn(move || serve(stream.into(), answer.as_bytes()));
    }
}

/// Requests without bodies: an answer for each empty line.
fn serve(mut wire: Wire, answer: &[u8]) {
    while let Ok(line) = wire.line() {
        if line.is_empty() && wire.write(answer).is_err() {
            return;
        }
    }
}
