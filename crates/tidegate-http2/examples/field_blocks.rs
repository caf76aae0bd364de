//! The field blocks of one client, many times over: what `valgrind --tool=callgrind` counts. Prints nothing.
//! Arguments: `request`, `answer` or `answers` (each with another length and tag), and the number of rounds.
//! Instructions per block: the difference of two runs.

use std::hint::black_box;
use std::ops::ControlFlow;

use tidegate_http2::hpack::{Decoder, Encoder};

type Field = (&'static [u8], &'static [u8]);

/// The first as h2load writes it, and the next: four bytes of the tables, one path spelled out.
const REQUESTS: [&[u8]; 2] = [
    b"\x82\x87\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x04\x88\x60\x75\x99\x89\xa6\xbb\x49\xc7\
      \x7a\x88\x25\xb6\x50\xc3\xab\xb6\x15\xc1\x53\x03\x2a\x2f\x2a",
    b"\x82\x87\xc0\x04\x88\x60\x75\x99\x89\xa6\xbb\x49\xc7\xbf\xbe",
];

const ANSWER: [Field; 7] = [
    (b"Server", b"nginx/1.31.0"),
    (b"Date", b"Mon, 23 Nov 2026 01:10:00 GMT"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"128"),
    (b"Last-Modified", b"Sun, 22 Nov 2026 11:00:00 GMT"),
    (b"ETag", b"\"64f0c1-80\""),
    (b"Accept-Ranges", b"bytes"),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rounds: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    black_box(match what.as_str() {
        "request" => requests(rounds),
        "answer" => answers(rounds, |_| None),
        _ => answers(rounds, |round| Some(tags(round))),
    });
}

#[inline(never)]
fn requests(rounds: usize) -> usize {
    let mut decoder = Decoder::new(4096);
    let mut bytes = 0;
    for round in 0..rounds {
        let block = REQUESTS[round.min(1)];
        bytes = 0;
        let result = decoder.decode(black_box(block), |name, value| {
            bytes += black_box(name).len() + black_box(value).len();
            ControlFlow::Continue(())
        });
        assert_eq!(result, Ok(()));
    }
    bytes
}

#[inline(never)]
fn answers(rounds: usize, tags: impl Fn(usize) -> Option<[[u8; 10]; 2]>) -> usize {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for round in 0..rounds {
        let tags = tags(round);
        out.clear();
        encoder.begin(&mut out);
        encoder.status(*b"200", &mut out);
        for (name, value) in black_box(&ANSWER) {
            let value = match (&tags, *name) {
                (Some([length, _]), b"Content-Length") => &length[5..],
                (Some([_, tag]), b"ETag") => tag,
                _ => *value,
            };
            encoder.field(name, value, &mut out);
        }
        black_box(&out);
    }
    out.len()
}

/// A length and a tag that no other round of the last thousands has.
fn tags(round: usize) -> [[u8; 10]; 2] {
    let mut digits = [b'"'; 10];
    let mut rest = round;
    for digit in digits[1..9].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut length = digits;
    length.copy_within(1..9, 2);
    [length, digits]
}
