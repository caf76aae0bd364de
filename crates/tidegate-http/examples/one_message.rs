//! One request and one response through the whole codec, many times over: what `valgrind --tool=callgrind` counts.
//! Prints nothing; the number of rounds is the first argument. Instructions per message: the difference of two runs.

use std::hint::black_box;

use tidegate_http::forward::{RequestEdits, ResponseEdits, write_request, write_response};
use tidegate_http::path::canonical;
use tidegate_http::request::{RequestHead, RequestParser};
use tidegate_http::response::{ResponseHead, ResponseParser};
use tidegate_http::{FieldSet, HeadLimits, Progress};

const REQUEST: &[u8] =
    b"GET /api/items?page=2 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench/1.0\r\n\
    Accept: */*\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.31.0\r\nDate: Mon, 23 Nov 2026 01:10:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 128\r\nETag: \"64f0c1-80\"\r\n\r\n";

const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, field_count_max: 100 };

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut codec = Codec::default();
    for _ in 0..rounds {
        codec.request(black_box(REQUEST));
        codec.response(black_box(RESPONSE));
        black_box(&codec.out);
    }
}

#[derive(Default)]
struct Codec {
    requests: RequestParser,
    request: RequestHead,
    responses: ResponseParser,
    response: ResponseHead,
    path: Vec<u8>,
    out: Vec<u8>,
}

impl Codec {
    #[inline(never)]
    fn request(&mut self, bytes: &[u8]) {
        let progress = self.requests.parse(bytes, &LIMITS, &mut self.request);
        assert_eq!(progress, Ok(Progress::Complete { head_bytes: bytes.len() }));
        let head = &self.request;
        self.path.clear();
        let is_rewritten = canonical(head.path.of(bytes), &mut self.path).unwrap_or_default();
        let edits = RequestEdits {
            path: if is_rewritten { &self.path } else { head.path.of(bytes) },
            query: head.query.of(bytes),
            authority: head.authority.of(bytes),
            client: b"192.0.2.17",
            client_node: b"192.0.2.17",
            scheme: b"http",
            told: None,
            client_cert: b"",
            request_id: b"",
            hidden_cookie: b"",
            upgrade: false,
        };
        self.out.clear();
        write_request(head, bytes, &edits, &mut self.out);
    }

    #[inline(never)]
    fn response(&mut self, bytes: &[u8]) {
        let progress = self.responses.parse(bytes, &LIMITS, self.request.method, &mut self.response);
        assert_eq!(progress, Ok(Progress::Complete { head_bytes: bytes.len() }));
        let edits = ResponseEdits {
            body: self.response.body,
            keep_alive: true,
            client_is_http10: false,
            upgrade: false,
            extra: b"",
            hidden: FieldSet::default(),
        };
        self.out.clear();
        write_response(&self.response, bytes, &edits, &mut self.out);
    }
}
